"""StreamDiffusion's package in a comparison, in an environment of its own: sd-turbo's way, one step, its own decoder.

It is made for CUDA cards. `StreamDiffusion.__call__` needs one (it times itself with CUDA events); what it calls inside
for sd-turbo (`txt2img_sd_turbo`: UNet, x0 from epsilon, `decode_image`) is called here with a prompt and noise that are
given, so that the pictures can be compared. Its several steps are a pipeline over several frames, not one picture after
the other: only one step is compared. Wav2Vec2-BERT needs a newer transformers than it takes in some set-ups.
"""

import importlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.peers.pytorch import Torch
from clavilux.benchmarks.peers.worker import Array, Job, serve

LAST = [0]  # of the timesteps that `prepare` makes: where the one step begins


class StreamDiffusion(Torch):
    """The package's stream around diffusers' pipeline."""

    packages: tuple[str, ...] = ("streamdiffusion", "torch", "transformers", "diffusers", "numpy")

    def load(self, job: Job) -> None:
        """Load all parts and build the stream. Raises ValueError for what the package cannot do."""
        config = json.loads((job.checkpoints / "scheduler" / "scheduler_config.json").read_text())
        if config["prediction_type"] != "epsilon":
            raise ValueError(f"StreamDiffusion paints from epsilon, these weights predict {config['prediction_type']}")
        super().load(job)
        self._stream: Any = None
        self._shape: tuple[int, ...] = ()

    def denoise(self, prompt: Any, latents: Array, steps: int) -> Any:
        """Do what `txt2img_sd_turbo` does, from noise that is given."""
        if steps != 1:
            raise ValueError("StreamDiffusion's steps are a pipeline over frames; one step is compared")
        torch = self._torch
        with torch.inference_mode():
            stream = self._prepared(latents)
            given = torch.from_numpy(latents).to(self._device, self._type) * stream.beta_prod_t_sqrt
            output = stream.unet(given, stream.sub_timesteps_tensor, encoder_hidden_states=prompt, return_dict=False)[0]
            return (given - stream.beta_prod_t_sqrt * output) / stream.alpha_prod_t_sqrt

    def decode(self, latents: Any) -> NDArray[np.uint8]:
        """Decode as the stream does."""
        with self._torch.inference_mode():
            planes = self._stream.decode_image(latents)
            pictures = self._stream.image_processor.postprocess(planes, output_type="np")
        picture: NDArray[np.uint8] = (pictures[0] * 255).round().astype("uint8")
        return picture

    def _prepared(self, latents: Array) -> Any:
        """Return the stream for this size. Raises whatever the package raises where it cannot be built."""
        if self._stream is None or self._shape != latents.shape:
            self._shape = latents.shape
            package = importlib.import_module("streamdiffusion")
            factor = self._pipeline.vae_scale_factor
            height, width = latents.shape[2] * factor, latents.shape[3] * factor
            stream = package.StreamDiffusion(self._pipeline, LAST, self._type, width, height, cfg_type="none")
            stream.pipe.encode_prompt = lambda **_: [self._torch.zeros(1, 1, 1)]  # the prompt comes with each picture
            stream.prepare("", num_inference_steps=1, guidance_scale=1.0)
            stream.sub_timesteps_tensor = self._torch.full_like(
                stream.sub_timesteps_tensor, stream.scheduler.config.num_train_timesteps - 1
            )
            alpha = stream.scheduler.alphas_cumprod[-1]
            stream.alpha_prod_t_sqrt, stream.beta_prod_t_sqrt = (
                root.sqrt().reshape(1, 1, 1, 1).to(self._device, self._type) for root in (alpha, 1 - alpha)
            )
            self._stream = stream
        return self._stream


if __name__ == "__main__":
    serve(StreamDiffusion)
