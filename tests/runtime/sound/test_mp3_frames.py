"""MP3 frames: streams are found in what was joined, cut and damaged, and nothing else is taken for sound."""

import random
import tempfile
from pathlib import Path
from typing import BinaryIO

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from clavilux.benchmarks.studies.sound_files import sound
from clavilux.runtime.sound.mp3_frames import begins, find, header, mended
from clavilux.runtime.sound.sound_input import kept

RATE = 44_100


@pytest.fixture(scope="module")
def mp3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return two seconds of sound."""
    path = tmp_path_factory.mktemp("mp3") / "x.mp3"
    soundfile.write(path, sound(2, RATE), RATE)
    return path.read_bytes()


def opened(content: bytes) -> BinaryIO:
    return kept([content])


@pytest.mark.parametrize(
    ("word", "length", "samples", "rate"),
    [
        (0xFFFB9064, 417, 1152, 44_100),  # MPEG-1 layer III, 128 kbit/s
        (0xFFFB9264, 418, 1152, 44_100),  # the same, padded
        (0xFFF388C4, 288, 576, 16_000),  # MPEG-2, 64 kbit/s
        (0xFFE328C4, 144, 576, 8_000),  # MPEG-2.5, 16 kbit/s
        (0xFFFDA400, 576, 1152, 48_000),  # layer II, 192 kbit/s
    ],
)
def test_a_header_tells_the_length_of_its_frame(word: int, length: int, samples: int, rate: int) -> None:
    found = header(word)
    assert found is not None
    assert (found.length, found.samples, found.kind[2]) == (length, samples, rate)


@pytest.mark.parametrize("word", [0, 0xFFFFFFFF, 0xFFF15080, 0xFFFBF064, 0xFFFB0064, 0xFFEB9064], ids=hex)
def test_what_is_no_header_is_none(word: int) -> None:
    assert header(word) is None


def test_a_whole_file_is_read_as_it_is(mp3: bytes) -> None:
    with opened(mp3) as file:
        streams = find(file)
        assert begins(file)
    assert (streams.are_whole, streams.promised) == (True, 2 * RATE)


def test_a_tag_before_the_sound_is_passed_over(mp3: bytes) -> None:
    picture = mp3[:3000]  # frames that are no sound, as in a picture
    tag = b"ID3\x04\0\0" + bytes([0, 0, len(picture) >> 7, len(picture) & 127]) + picture
    with opened(tag + mp3) as file:
        streams = find(file)
        assert begins(file)
    assert (len(streams.found), streams.promised, streams.are_whole) == (1, 2 * RATE, True)


@given(counts=st.integers(2, 4), junk=st.integers(0, 300), seed=st.integers(0, 100))
def test_joined_streams_are_found_with_anything_between_them(mp3: bytes, counts: int, junk: int, seed: int) -> None:
    between = random.Random(seed).randbytes(junk)
    with opened(between.join([mp3] * counts)) as file:
        streams = find(file)
    frames = [stream.frames for stream in streams.found]
    assert len(frames) == counts
    assert len(set(frames)) == 1
    assert not streams.are_whole


def test_a_damaged_stream_becomes_its_whole_frames(mp3: bytes) -> None:
    place = len(mp3) // 2
    with opened(mp3[:place] + bytes(2_000) + mp3[place + 2_000 :]) as file:
        (stream,) = find(file).found
        with mended(file, stream) as whole:
            again = find(whole)
            assert again.are_whole
            (found,) = again.found
            assert found.frames == stream.frames
    assert len(stream.runs) == 2


@given(content=st.binary(max_size=3_000))
def test_nothing_makes_it_fail(content: bytes) -> None:
    with opened(b"\xff\xfb\x90\x64" + content) as file:
        begins(file)
        for stream in find(file).found:
            mended(file, stream).close()


def test_noise_is_no_mp3() -> None:
    with opened(random.Random(0).randbytes(2**18)) as file:
        assert not begins(file)
        assert find(file).found == []


def test_no_folder_is_left_behind(mp3: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with opened(mp3 + mp3) as file:
        for stream in find(file).found:
            with mended(file, stream):
                pass
    assert list(tmp_path.iterdir()) == []
