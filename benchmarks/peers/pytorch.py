"""The reference's stack in a comparison: transformers and diffusers in PyTorch, eager or compiled.

    python -m clavilux.benchmarks.peers.pytorch             # eager
    python -m clavilux.benchmarks.peers.pytorch --compile   # torch.compile

As their documentation has it: inference mode, one thread per core, channels-last for the UNet and the autoencoder
(diffusers, "Accelerate inference"), float16 and TF32 on a card, bfloat16 where Clavilux plays in that. Compiled:
encoder, UNet and the autoencoder's decoder by torch.compile, with weights frozen into the graph on a CPU (PyTorch,
"torch.compile on CPU"), and "max-autotune" without CUDA graphs on a card. The pipeline is diffusers' own, with the
prompt given as embeddings, without guidance.
"""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.peers.worker import FRAME_STEP, MEL_BINS, SAMPLE_RATE, STACK, Array, Job, Watch, serve

UNUSED = ("text_encoder", "tokenizer", "safety_checker", "feature_extractor")
CARD_MODE = "max-autotune-no-cudagraphs"


class Torch:
    """Wav2Vec2BertModel and StableDiffusionPipeline."""

    packages: tuple[str, ...] = ("torch", "transformers", "diffusers", "numpy")
    compiles = False
    decoded = 0.0

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = (
            "features: SeamlessM4TFeatureExtractor over the whole window, as it offers no stream",
        )

    def load(self, job: Job) -> None:
        """Load all parts: on a card in float16, against bfloat16 in that, else in float32."""
        import torch

        self._torch = torch
        torch.set_num_threads(job.threads)
        self._device = "cuda" if job.device.startswith(("cuda", "tensorrt")) else "cpu"
        half = job.device.lower().endswith(":bf16")
        self._type = torch.float16 if self._device == "cuda" else torch.bfloat16 if half else torch.float32
        if half:
            self.notes += ("bfloat16",)
        torch.backends.cuda.matmul.allow_tf32 = True
        self._extractor = front_end()
        self._encoder = load_encoder(job.checkpoints, self._type).to(self._device)
        self._pipeline = self._load_pipeline(job.checkpoints)
        if self.compiles:
            self._compile()

    def encode(self, samples: Array, bos: Array, watch: Watch) -> Any:
        """Extract and encode as the reference does."""
        torch = self._torch
        watch.begin()
        features = extract(self._extractor, samples)
        watch.lap("features")
        with torch.inference_mode():
            given = torch.from_numpy(features).to(self._device, self._type)
            tokens = self._encoder(input_features=given).last_hidden_state
            first = torch.from_numpy(bos)[None, None].to(tokens)
            prompt = torch.cat([first, tokens], dim=1)
        watch.lap("encode")
        return prompt

    def denoise(self, prompt: Any, latents: Array, steps: int) -> Any:
        """Let diffusers' pipeline run its steps."""
        torch = self._torch
        return self._pipeline(
            prompt_embeds=prompt,
            latents=torch.from_numpy(latents).to(self._device, self._type),
            num_inference_steps=steps,
            guidance_scale=0.0,
            output_type="latent",
        ).images

    def decode(self, latents: Any) -> NDArray[np.uint8]:
        """Decode and convert as the pipeline's last lines do."""
        torch, pipeline = self._torch, self._pipeline
        with torch.inference_mode():
            planes = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor, return_dict=False)[0]
            pictures = pipeline.image_processor.postprocess(in_place(planes), output_type="np")
        picture: NDArray[np.uint8] = (pictures[0] * 255).round().astype("uint8")
        return picture

    def synchronise(self) -> None:
        """Wait for the card."""
        if getattr(self, "_device", "cpu") == "cuda":
            self._torch.cuda.synchronize()

    def _load_pipeline(self, folder: Path) -> Any:
        import diffusers

        kinds = {
            name: json.loads((folder / name / "config.json").read_text())["_class_name"] for name in ("unet", "vae")
        }
        loaded = {
            name: getattr(diffusers, kind)
            .from_pretrained(folder / name, torch_dtype=self._type, local_files_only=True)
            .eval()
            .to(self._device, memory_format=self._torch.channels_last)
            for name, kind in kinds.items()
        }
        pipeline = diffusers.StableDiffusionPipeline(
            **loaded, scheduler=load_scheduler(folder), requires_safety_checker=False, **dict.fromkeys(UNUSED)
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _compile(self) -> None:
        torch = self._torch
        how = {"mode": CARD_MODE} if self._device == "cuda" else {}
        self._encoder = torch.compile(self._encoder, **how)
        self._pipeline.unet = torch.compile(self._pipeline.unet, **how)
        self._pipeline.vae.decode = torch.compile(self._pipeline.vae.decode, **how)


class CompiledTorch(Torch):
    """The same through torch.compile; the first picture of a size compiles, and is told apart."""

    compiles = True


def in_place(planes: Any) -> Any:
    """Return planes [1, 3, H, W] of what may come in blocks of n x n pixels, [1, 3 n n, H / n, W / n]."""
    from torch.nn.functional import pixel_shuffle

    block = math.isqrt(planes.shape[1] // 3)
    return pixel_shuffle(planes, block) if block > 1 else planes


def front_end() -> Any:
    """Return the reference's own feature extractor."""
    from transformers import SeamlessM4TFeatureExtractor

    return SeamlessM4TFeatureExtractor(
        feature_size=MEL_BINS, num_mel_bins=MEL_BINS, sampling_rate=SAMPLE_RATE, stride=STACK
    )


def extract(extractor: Any, samples: Array) -> Array:
    """Return what the reference feeds its encoder, float32 [1, frames / 2, 160]."""
    found = extractor(
        samples,
        sampling_rate=SAMPLE_RATE,
        return_tensors="np",
        padding="max_length",
        max_length=len(samples) // FRAME_STEP,
        truncation=True,
    )
    features: Array = found["input_features"].astype(np.float32)
    return features


def load_encoder(folder: Path, dtype: Any) -> Any:
    """Return the audio encoder."""
    from transformers import Wav2Vec2BertModel

    return Wav2Vec2BertModel.from_pretrained(folder / "encoder", local_files_only=True).to(dtype).eval()


def load_scheduler(folder: Path) -> Any:
    """Return the scheduler, of the class that its own configuration names."""
    import diffusers

    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    return getattr(diffusers, config["_class_name"]).from_config(config)


if __name__ == "__main__":
    if "--compile" in sys.argv:
        os.environ.setdefault("TORCHINDUCTOR_FREEZING", "1")
    serve(CompiledTorch if "--compile" in sys.argv else Torch)
