"""Optimum's ONNX Runtime pipeline in a comparison, in an environment of its own.

It loads the layout that `clavilux export --layout diffusers` writes, which is optimum's own (optimum cannot export an
AutoencoderTiny itself). Wav2Vec2-BERT runs in torch there, as optimum has no export of it with an adapter.
"""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.peers.pytorch import extract, front_end, load_encoder
from clavilux.benchmarks.peers.worker import Array, Job, Watch, serve

LAYOUT = "diffusers"  # folder in the bundle
NOTES = (
    "features: SeamlessM4TFeatureExtractor over the whole window, as it offers no stream",
    "encode: torch, as optimum has no export of this encoder",
)


class Optimum:
    """ORTStableDiffusionPipeline."""

    packages: tuple[str, ...] = ("optimum", "optimum-onnx", "onnxruntime", "torch", "transformers", "diffusers")
    notes: tuple[str, ...] = NOTES
    decoded = 0.0

    def load(self, job: Job) -> None:
        """Load the pipeline; on a card through ONNX Runtime's CUDA provider."""
        import torch

        self._torch = torch
        torch.set_num_threads(job.threads)
        self._extractor, self._encoder = front_end(), load_encoder(job.checkpoints, torch.float32)
        self._pipeline = self._load_pipeline(job)
        self._pipeline.set_progress_bar_config(disable=True)

    def encode(self, samples: Array, bos: Array, watch: Watch) -> Any:
        """Extract and encode in torch."""
        torch = self._torch
        watch.begin()
        features = extract(self._extractor, samples)
        watch.lap("features")
        with torch.inference_mode():
            tokens = self._encoder(input_features=torch.from_numpy(features)).last_hidden_state
            prompt = torch.cat([torch.from_numpy(bos)[None, None], tokens], dim=1)
        watch.lap("encode")
        return prompt

    def denoise(self, prompt: Any, latents: Array, steps: int) -> Any:
        """Let the pipeline run its steps."""
        return self._pipeline(
            prompt_embeds=prompt,
            latents=self._torch.from_numpy(latents),
            num_inference_steps=steps,
            guidance_scale=0.0,
            output_type="latent",
            **self._size(latents),
        ).images

    def decode(self, latents: Any) -> NDArray[np.uint8]:
        """Decode and convert as the pipeline's last lines do."""
        pipeline = self._pipeline
        given = self._torch.as_tensor(latents) / pipeline.vae.config.scaling_factor
        planes = pipeline.vae.decode(given)[0]
        pictures = pipeline.image_processor.postprocess(self._torch.as_tensor(planes), output_type="np")
        picture: NDArray[np.uint8] = (pictures[0] * 255).round().astype("uint8")
        return picture

    def synchronise(self) -> None:
        """Do nothing: results come to the host's memory."""

    def _size(self, latents: Array) -> dict[str, int]:
        """Return the pipeline's words for the size of a picture."""
        factor = self._pipeline.vae_scale_factor
        return {"height": latents.shape[2] * factor, "width": latents.shape[3] * factor}

    def _load_pipeline(self, job: Job) -> Any:
        import onnxruntime

        optimum = importlib.import_module("optimum.onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job.threads
        card = job.device.startswith(("cuda", "tensorrt"))
        provider = "CUDAExecutionProvider" if card else "CPUExecutionProvider"
        return optimum.ORTStableDiffusionPipeline.from_pretrained(
            job.bundle / LAYOUT, local_files_only=True, provider=provider, session_options=options
        )


if __name__ == "__main__":
    serve(Optimum)
