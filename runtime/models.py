"""Models: the three graphs of a bundle, loaded."""

from dataclasses import dataclass

from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser
from clavilux.runtime.hearing.audio_encoder import AudioEncoder


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
