"""OpenVINO as FastSD CPU uses it, in a comparison: optimum-intel's pipeline, in an environment of its own.

FastSD CPU (rupeshs/fastsdcpu) loads `OVStableDiffusionPipeline`, reshaped to the one size that it paints, with an
autoencoder that is small; the same is done here with the checkpoints' own autoencoder. Wav2Vec2-BERT runs in torch.
Precision is left to OpenVINO, as there; on processors with bfloat16 that may be less exact, which the PSNR then shows.
"""

import importlib
import sys
from typing import Any

from clavilux.benchmarks.peers.optimum_onnx import LAYOUT, NOTES, Optimum
from clavilux.benchmarks.peers.worker import Array, Job, serve

SETTINGS = {"PERFORMANCE_HINT": "LATENCY"}


class OpenVino(Optimum):
    """OVStableDiffusionPipeline."""

    packages: tuple[str, ...] = ("optimum-intel", "openvino", "torch", "transformers", "diffusers")
    notes: tuple[str, ...] = (*NOTES, "precision as OpenVINO takes it: bfloat16 where the processor has that")

    def denoise(self, prompt: Any, latents: Array, steps: int) -> Any:
        """Reshape to this size and compile first, where it is another one than before."""
        size = self._size(latents)
        if size != getattr(self, "_compiled", None):
            self._compiled = size
            self._reshape(latents.shape, tuple(prompt.shape))
            self._pipeline.clear_requests()
            self._pipeline.compile()
        return super().denoise(prompt, latents, steps)

    def _reshape(self, latents: tuple[int, ...], prompt: tuple[int, ...]) -> None:
        """Close all axes. The pipeline's own `reshape` would make room for guidance, and run everything twice."""
        shapes = {"sample": latents, "latent_sample": latents, "encoder_hidden_states": prompt, "timestep": ()}
        for part in (self._pipeline.unet, self._pipeline.vae_decoder):
            part.model.reshape({port: list(shapes[port.get_any_name()]) for port in part.model.inputs})

    def _load_pipeline(self, job: Job) -> Any:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # else importing reports to the web
        optimum = importlib.import_module("optimum.intel")
        settings = {**SETTINGS, "INFERENCE_NUM_THREADS": job.threads}
        return optimum.OVStableDiffusionPipeline.from_pretrained(
            job.bundle / LAYOUT, local_files_only=True, from_onnx=True, compile=False, ov_config=settings
        )


if __name__ == "__main__":
    serve(OpenVino)
