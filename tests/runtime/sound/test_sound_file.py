"""Sound files: read as they are, with a line on what falls short, or refused in one line."""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from clavilux.benchmarks.studies.sound_files import KINDS, sound, tones, write, write_silent_film
from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound import libsndfile
from clavilux.runtime.sound.decoding import Block, Decoded, UnreadableError
from clavilux.runtime.sound.sound_file import Clip, open_sound, read_clip
from tests.runtime.sound.sounds import noise

RATE = 44_100


def written(path: Path, seconds: float = 2.0, **how: str) -> bytes:
    """Write a sound of one channel and return the file's bytes."""
    soundfile.write(path, sound(1, RATE, seconds), RATE, **how)
    return path.read_bytes()


def refusal(path: Path) -> str:
    with pytest.raises(SoundError) as error:
        read_clip(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def loudest(clip: Clip) -> list[int]:
    """Return the loudest tone of each channel, in Hz."""
    spectrum = np.abs(np.fft.rfft(clip.samples, axis=0))
    return [round(float(place) / clip.seconds) for place in spectrum.argmax(axis=0)]


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


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_samples_of_any_width_are_float32_at_full_scale_1(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "clip.wav"
    wanted = sound(2, 16_000)
    soundfile.write(path, wanted, 16_000, subtype=subtype)
    clip = read_clip(path)
    assert clip.samples.dtype == np.float32
    np.testing.assert_allclose(clip.samples, wanted, atol=1 / 100 if subtype == "PCM_U8" else 1e-4)


def test_sound_beyond_full_scale_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "hot.wav"
    soundfile.write(path, np.full(100, 3.0, np.float32), 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_clip(path).samples, np.float32(3.0))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing.wav").endswith("nothing.wav is missing; expected a sound file")


def test_a_folder_is_named(tmp_path: Path) -> None:
    assert "is a folder; expected a sound file" in refusal(tmp_path)


def test_what_is_not_audio_is_named(tmp_path: Path) -> None:
    path = tmp_path / "letter.wav"
    path.write_text("Dear sir,")
    assert "letter.wav is not audio that can be read (" in (told := refusal(path))
    assert "; expected WAV, FLAC" in told


@pytest.mark.parametrize("seconds", [0.0, -1.0], ids=["a header alone", "no bytes"])
def test_an_empty_sound_is_named(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0, np.float32), 16_000)
    if seconds < 0:
        path.write_bytes(b"")
    assert refusal(path).endswith("holds no samples; expected some sound")


def test_sound_that_cannot_be_used_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(100, 1e30, np.float32), 16_000, subtype="FLOAT")
    assert "loud.wav: the sound reaches 1e+30" in refusal(path)


def test_values_that_are_no_numbers_are_named_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    samples = noise(64_000)
    samples[50_000] = np.nan
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    assert "nan.wav: the sound holds values that are not finite" in (told := refusal(path))
    assert told.endswith("(3.1 s from its beginning)")  # of the block


@pytest.mark.parametrize(
    ("channels", "rate", "line"),
    [
        (33, 16_000, "has 33 channels; expected 1 to 32"),
        (1, 7_999, "has 7999 samples a second; expected 8000 to 192000"),
        (1, 192_001, "has 192001 samples a second; expected 8000 to 192000"),
    ],
)
def test_channels_and_rates_that_cannot_be_used_are_named(tmp_path: Path, channels: int, rate: int, line: str) -> None:
    path = tmp_path / "odd.wav"
    soundfile.write(path, noise(1000, channels=channels), rate)
    assert refusal(path).endswith(f"odd.wav {line}")


def test_thirty_two_channels_are_read_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    soundfile.write(path, sound(32, 48_000), 48_000)
    assert loudest(read_clip(path)) == tones(32)


def test_more_than_is_promised_is_read_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "joined.mp3"
    path.write_bytes(written(tmp_path / "a.mp3", 2.0) + written(tmp_path / "b.mp3", 4.1))
    with open_sound(path) as file:
        lengths = [sum(map(len, file.blocks())) for _ in range(2)]
    assert lengths == [round(6.1 * RATE)] * 2
    assert caplog.messages == [f"{path} promises 2.0 s and holds 6.1 s; they are taken"]


@pytest.mark.parametrize("ending", ["wav", "aiff", "au", "w64", "flac", "mp3"])
def test_less_than_is_promised_is_read_and_told(tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture) -> None:
    content = written(tmp_path / f"whole.{ending}", 10.0)
    path = tmp_path / f"half.{ending}"
    path.write_bytes(content[: len(content) * 42 // 100])
    clip = read_clip(path)
    assert clip.seconds == pytest.approx(4.2, abs=0.2)  # MP3 frames are of different sizes
    assert loudest(clip) == tones(1)
    assert caplog.messages == [f"{path} promises 10.0 s and holds {clip.seconds:.1f} s; they are taken"]


def test_a_whole_file_is_no_reason_for_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for ending in ("wav", "flac", "ogg", "mp3"):
        written(tmp_path / f"whole.{ending}")
        read_clip(tmp_path / f"whole.{ending}")
    assert caplog.messages == []


@pytest.mark.parametrize("data", [0, 0xFFFF_FFFF])
@pytest.mark.parametrize("whole", [0, 0xFFFF_FFFF])
def test_a_wav_whose_length_nobody_wrote_is_read_to_its_end(
    tmp_path: Path, data: int, whole: int, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(written(tmp_path / "x.wav"))
    struct.pack_into("<I", content, 4, whole)
    struct.pack_into("<I", content, 40, data)
    (tmp_path / "x.wav").write_bytes(content)
    np.testing.assert_allclose(read_clip(tmp_path / "x.wav").samples, sound(1, RATE), atol=1e-4)
    assert caplog.messages == []


def test_a_flac_from_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """FFmpeg leaves the number of samples at zero: the last 36 bits of STREAMINFO's 8 before the checksum."""
    content = bytearray(written(tmp_path / "x.flac"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(content)
    assert len(read_clip(tmp_path / "x.flac").samples) == 2 * RATE


def test_samples_without_a_header_are_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "take.raw"
    path.write_bytes(noise(16_000).tobytes())
    assert refusal(path).endswith(
        "take.raw has no header that tells its rate and channels; "
        "make a WAV of it, for example: ffmpeg -f s16le -ar 48000 -ac 2 -i in.raw out.wav"
    )


def test_the_ending_decides_nothing(tmp_path: Path) -> None:
    for number, ending in enumerate(("raw", "mp3", "txt", "")):
        path = tmp_path / f"x{number}.{ending}"
        path.write_bytes(written(tmp_path / "x.wav"))
        assert read_clip(path).seconds == 2.0


def test_a_web_page_under_a_name_of_sound_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "html.mp3"
    path.write_text("<!DOCTYPE html><html></html>")
    assert refusal(path).endswith("html.mp3 is a web page; expected a sound file")


def test_a_film_without_sound_is_one_line(tmp_path: Path) -> None:
    write_silent_film(tmp_path / "silent.mp4")
    assert refusal(tmp_path / "silent.mp4").endswith(
        "silent.mp4 is a film without sound; expected one with sound, or a sound file"
    )


def test_without_pyav_the_line_says_which_extra_reads_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = next(kind for kind in KINDS if kind.container == "M4A")
    write(kind, tmp_path / "x.m4a", sound(1, RATE), RATE)
    assert read_clip(tmp_path / "x.m4a").seconds == pytest.approx(2.0, abs=0.05)
    monkeypatch.setitem(sys.modules, "av", None)
    assert refusal(tmp_path / "x.m4a").endswith("run: pip install 'clavilux[video]'")


@pytest.mark.parametrize("blocks", [0, 1, 3])
@pytest.mark.parametrize("ending", ["mp3", "flac", "wav"])
def test_what_libsndfile_cannot_read_on_with_pyav_does(
    tmp_path: Path, ending: str, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"x.{ending}"
    written(path)
    whole = read_clip(path).samples
    decode = libsndfile.decode

    def fail(file: BinaryIO) -> Decoded:
        decoded = decode(file)

        def some() -> Iterator[Block]:
            yield from islice(decoded.blocks, blocks)
            raise UnreadableError("it is damaged")

        return replace(decoded, blocks=some())

    monkeypatch.setattr(libsndfile, "decode", fail)
    with open_sound(path) as file:
        assert file.reader == ("libsndfile" if blocks else "PyAV")
    np.testing.assert_allclose(read_clip(path).samples[: len(whole)], whole, atol=1e-3)


def test_blocks_are_a_second_at_most(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", sound(1, 8_000, 5.0), 8_000)
    with open_sound(tmp_path / "x.wav") as file:
        lengths = [len(block) for block in file.blocks()]
    assert (sum(lengths), max(lengths)) == (40_000, 8_000)


@pytest.mark.parametrize("ending", ["wav", "aiff", "ogg", "mp3", "au", "caf"])
def test_joined_files_need_no_pyav(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / f"x.{ending}"
    path.write_bytes(written(path) * 3)
    assert len(read_clip(path).samples) == 6 * RATE


def test_a_damaged_flac_is_read_to_the_damage_without_pyav(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "x.flac"
    soundfile.write(path, noise(20 * RATE), RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 5_000] = bytes(5_000)
    path.write_bytes(content)
    assert 9.0 < read_clip(path).seconds < 10.1
    assert "promises 20.0 s and holds" in caplog.text
    assert "decoder lost sync" in caplog.text


def test_joined_files_of_different_kinds_end_with_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "b.wav", sound(2, 48_000), 48_000)
    path = tmp_path / "x.wav"
    path.write_bytes(written(path) + (tmp_path / "b.wav").read_bytes())
    assert read_clip(path).seconds == 2.0
    assert "it changes from 44100 Hz with 1 channels to 48000 Hz with 2 channels" in caplog.text


def test_channels_of_an_ogg_come_in_the_order_of_wav(tmp_path: Path) -> None:
    """A file of FFmpeg's, in Vorbis' own order, which libsndfile does not change."""
    kind = next(kind for kind in KINDS if kind.container == "Ogg" and kind.library == "PyAV" and 6 in kind.channels)
    path = tmp_path / "x.opus"
    write(kind, path, sound(6, 48_000), 48_000)
    with open_sound(path) as file:
        assert (file.reader, file.layout) == ("libsndfile", "5.1")
    assert loudest(read_clip(path)) == tones(6)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files there")
def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "socket.wav"))
        assert "pipe.wav is a pipe; expected a sound file, or -" in refusal(tmp_path / "pipe.wav")
        assert "socket.wav is a socket; expected" in refusal(tmp_path / "socket.wav")
    assert "/dev/zero is a device; expected" in refusal(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["n" * 300, "caf\udce9.wav", "x.wav/y.wav"])
def test_names_that_no_file_can_have_or_has_are_one_line(tmp_path: Path, name: str) -> None:
    written(tmp_path / "x.wav")
    assert "; expected a sound file" in refusal(tmp_path / name)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    path.write_bytes(written(tmp_path / "x.wav"))
    assert read_clip(path).seconds == 2.0


def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything: the system's answer is given here."""

    def forbid(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    written(tmp_path / "x.wav")
    monkeypatch.setattr(Path, "open", forbid)
    assert refusal(tmp_path / "x.wav").endswith("x.wav cannot be read (Permission denied); expected a sound file")
    monkeypatch.setattr(Path, "stat", forbid)
    assert refusal(tmp_path / "x.wav").endswith("x.wav cannot be read (Permission denied); expected a sound file")


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    """The rest of a file may be anything."""
    path = tmp_path / "x.wav"
    samples = noise(10 * RATE)
    samples[5 * RATE :] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    with open_sound(path) as file:
        block = next(file.blocks())
    assert len(block) < RATE
    np.testing.assert_array_equal(block[:, 0], samples[: len(block)])
