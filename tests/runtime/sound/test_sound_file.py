"""Sound files: read whole, or refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound.sound_file import read_clip
from tests.runtime.sound.sounds import noise


@pytest.mark.parametrize(("suffix", "subtype"), [(".wav", "FLOAT"), (".flac", "PCM_24"), (".ogg", "VORBIS")])
def test_a_sound_file_is_read_with_all_its_channels(tmp_path: Path, suffix: str, subtype: str) -> None:
    path = tmp_path / f"clip{suffix}"
    soundfile.write(path, noise(22_050, channels=2), 44_100, subtype=subtype)
    clip = read_clip(path)
    assert clip.samples.shape == (22_050, 2)
    assert (clip.rate, clip.seconds) == (44_100, 0.5)


def test_an_mp3_is_read(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp3"
    soundfile.write(path, noise(44_100), 44_100)
    assert read_clip(path).seconds == pytest.approx(1.0, abs=0.1)


def test_samples_are_float32(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(1000), 16_000, subtype="PCM_16")
    assert read_clip(path).samples.dtype == np.float32


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SoundError, match=r"nothing\.wav is missing; expected a sound file"):
        read_clip(tmp_path / "nothing.wav")


def test_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SoundError, match="is a folder; expected a sound file"):
        read_clip(tmp_path)


def test_what_is_not_audio_is_named(tmp_path: Path) -> None:
    path = tmp_path / "letter.wav"
    path.write_text("Dear sir,")
    with pytest.raises(SoundError, match=r"letter\.wav is not audio that can be read \(.*\); expected WAV"):
        read_clip(path)


def test_an_empty_sound_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0, np.float32), 16_000)
    with pytest.raises(SoundError, match="holds no samples"):
        read_clip(path)


def test_sound_that_cannot_be_used_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(100, 1e30, np.float32), 16_000, subtype="FLOAT")
    with pytest.raises(SoundError, match=r"loud\.wav: the sound reaches 1e.30"):
        read_clip(path)
