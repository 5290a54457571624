"""Clavilux itself in a comparison: the bundle that was exported from the same checkpoints, as the instrument plays it.

`features` is what the instrument does for one hop: the log-mel frames of the newest hop; older ones it has kept.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.peers.worker import Array, Job, Watch, serve
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.diffusion.choose import open_pipeline
from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser
from clavilux.runtime.diffusion.guider import guider_for
from clavilux.runtime.diffusion.pipeline import PictureRequest
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.hearing.audio_encoder import AudioEncoder
from clavilux.runtime.hearing.log_mel import LogMel
from clavilux.runtime.models import workloads
from clavilux.runtime.placement.autotune import open_graphs
from clavilux.runtime.sound.format import frame_count


class Clavilux:
    """The stages of `clavilux.runtime.instrument`, one after the other."""

    packages: tuple[str, ...] = ("clavilux", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino")
    notes: tuple[str, ...] = ()
    decoded = 0.0

    def load(self, job: Job) -> None:
        """Open the bundle's graphs on the device."""
        self._bundle = bundle = Bundle.open(job.bundle)
        sessions = open_graphs(bundle, job.device, job.threads, workloads)
        guider = guider_for(bundle.guidance, bundle.conditioning.negative)
        self._encoder = AudioEncoder(sessions[AUDIO_ENCODER])
        denoiser = Denoiser(sessions[DENOISER], Schedule(bundle.schedule), guider)
        self._pipeline = open_pipeline(denoiser, Decoder(sessions[DECODER]))

    def encode(self, samples: Array, bos: Array, watch: Watch) -> Any:
        """Push the newest hop, read the window, encode it."""
        log_mel = LogMel(frame_count(len(samples)))
        older = len(samples) - self._bundle.audio.hop_samples
        log_mel.push(samples[:older])
        watch.begin()
        log_mel.push(samples[older:])
        features = log_mel.read(0, log_mel.frames)
        watch.lap("features")
        prompt = np.concatenate([bos[None], self._encoder.encode(features)])[None]
        watch.lap("encode")
        return prompt

    def denoise(self, prompt: Any, latents: Array, steps: int) -> Any:
        """Paint the picture: latents that stay on a card are decoded there in the same go."""
        picture = self._pipeline.run(PictureRequest(prompt, lambda _: latents, latents.shape, steps))
        self.decoded = self._pipeline.stages["decode"]
        return picture

    def decode(self, latents: Any) -> NDArray[np.uint8]:
        """Return the picture, which is painted already."""
        picture: NDArray[np.uint8] = latents
        return picture

    def synchronise(self) -> None:
        """Do nothing: a session's `run` ends when its results are in the host's memory."""


if __name__ == "__main__":
    serve(Clavilux)
