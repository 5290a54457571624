"""Models: the three graphs of a bundle, loaded, and what each of them does for a picture."""

from dataclasses import dataclass

import numpy as np

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser
from clavilux.runtime.diffusion.guider import guider_for
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.hearing.audio_encoder import AudioEncoder
from clavilux.runtime.providers.session import Workload
from clavilux.runtime.sound.format import MEL_BINS, frame_count

SEED = 0


@dataclass(frozen=True)
class Models:
    """The audio encoder, the denoiser and the decoder that a picture passes."""

    encoder: AudioEncoder
    denoiser: Denoiser
    decoder: Decoder

    @property
    def provider(self) -> str:
        """Providers that really run them, in the words of its libraries, for example "CPUExecutionProvider"."""
        sessions = (self.encoder.session, self.denoiser.session, self.decoder.session)
        return ", ".join(dict.fromkeys(session.provider for session in sessions))


def workloads(bundle: Bundle) -> dict[str, Workload]:
    """Return what each graph does once for a picture, with seeded inputs of the bundle's usual sizes, by its name."""
    random = np.random.default_rng(SEED)
    audio, latents, conditioning = bundle.audio, bundle.latents, bundle.conditioning
    features = random.normal(size=(frame_count(audio.window_samples), MEL_BINS)).astype(np.float32)
    noise = random.normal(size=(1, latents.channels, latents.height, latents.width)).astype(np.float32)
    guider = guider_for(bundle.guidance, conditioning.negative)
    schedule, prompt = Schedule(bundle.schedule), conditioning.idle[None]
    return {
        AUDIO_ENCODER: lambda session: AudioEncoder(session).encode(features),
        DENOISER: lambda session: Denoiser(session, schedule, guider).denoise(prompt, lambda _: noise),
        DECODER: lambda session: Decoder(session).decode(noise),
    }
