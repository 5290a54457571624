"""Sound files: whatever libsndfile reads becomes samples with a rate."""

from dataclasses import dataclass
from pathlib import Path

import soundfile

from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound.samples import Samples, as_sound


@dataclass(frozen=True, eq=False)
class Clip:
    """A whole sound."""

    samples: Samples  # [n, channels], -1 to 1
    rate: int  # Hz

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


def read_clip(path: Path) -> Clip:
    """Read a sound file: WAV, FLAC, OGG, MP3, AIFF and whatever else libsndfile knows.

    Raises SoundError when there is no such file, it is not audio, or it is empty.
    """
    if not path.is_file():
        raise SoundError(f"{path} is {'a folder' if path.is_dir() else 'missing'}; expected a sound file")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise SoundError(f"{path} is not audio that can be read ({reason}); expected WAV, FLAC, OGG or MP3") from error
    if not len(samples):
        raise SoundError(f"{path} holds no samples; expected some sound")
    try:
        return Clip(as_sound(samples, rate), rate)
    except SoundError as error:
        raise SoundError(f"{path}: {error}") from error
