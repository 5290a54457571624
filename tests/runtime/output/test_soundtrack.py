"""The sound of a film: in time with its pictures, with all its channels, and never beyond full scale."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.benchmarks.studies.sound_files import LEVEL, sound
from clavilux.runtime.frame import Frame
from clavilux.runtime.output.soundtrack import RATES, aac_rate, divided
from clavilux.runtime.output.video import write_video
from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.sound_file import Clip

FRAME_RATE = Fraction(10)
AAC_CODERS_DELAY = 0.03  # s, of what an edit list does not take back


def pictures(count: int) -> Iterator[Frame]:
    for index in range(count):
        yield Frame(index, np.zeros((64, 64, 3), np.uint8), index / 10, None, -120.0, None)


def heard(path: Path) -> Clip:
    """Return a film's sound as players decode it."""
    with av.open(path) as film:
        stream = film.streams.audio[0]
        blocks = [frame.to_ndarray() for frame in film.decode(stream)]
        return Clip(np.concatenate(blocks, axis=1).T, stream.rate)


def filmed(path: Path, clip: Clip) -> Clip:
    write_video(path, pictures(round(10 * clip.seconds)), clip, FRAME_RATE)
    return heard(path)


def level(samples: Samples, tone: float, rate: int) -> float:
    """Return the amplitude of a tone in one channel."""
    time = np.arange(len(samples)) / rate
    return float(2 * np.abs(np.mean(samples * np.exp(-2j * np.pi * tone * time))))


@given(rate=st.integers(8_000, 192_000))
def test_the_rate_is_aacs_lowest_that_loses_nothing(rate: int) -> None:
    chosen = aac_rate(rate)
    assert chosen in RATES
    assert chosen >= min(rate, RATES[-1])
    assert not [one for one in RATES if rate <= one < chosen]


@pytest.mark.parametrize("rate", [8_000, 11_024, 37_800, 50_000, 96_001, 192_000])
def test_sound_of_any_rate_is_in_the_film_with_its_length(tmp_path: Path, rate: int) -> None:
    found = filmed(tmp_path / "film.mp4", Clip(sound(2, rate), rate))
    assert found.rate == aac_rate(rate)
    assert found.seconds == pytest.approx(2.0, abs=1 / 10)
    middle = found.samples[found.rate // 2 : 3 * found.rate // 2]
    for side, tone in enumerate((400, 490)):
        assert level(middle[:, side], tone, found.rate) == pytest.approx(LEVEL, rel=0.1)


def test_the_centre_of_six_channels_is_heard_on_both_sides(tmp_path: Path) -> None:
    samples = np.zeros((48_000, 6), np.float32)
    samples[:, 2] = sound(1, 48_000, 1.0)[:, 0]
    found = filmed(tmp_path / "film.mp4", Clip(samples, 48_000))
    for side in found.samples.T:
        assert level(side[12_000:36_000], 400, 48_000) == pytest.approx(LEVEL / np.sqrt(2), rel=0.1)


def test_no_channel_of_eighteen_is_lost(tmp_path: Path) -> None:
    found = filmed(tmp_path / "film.mp4", Clip(sound(18, 48_000), 48_000))
    middle = found.samples[24_000:72_000]
    for channel in range(18):
        wanted = LEVEL / 3  # nine channels on each side
        assert level(middle[:, channel % 2], 400 + 90 * channel, 48_000) == pytest.approx(wanted, rel=0.15)
        assert level(middle[:, 1 - channel % 2], 400 + 90 * channel, 48_000) < 0.1 * wanted


@given(channels=st.integers(3, 32), seed=st.integers(0, 9))
def test_unknown_channels_are_as_loud_as_one_of_them_on_the_average(channels: int, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(0, 0.1, (4_000, channels)).astype(np.float32)
    mixed = divided(samples, "")
    assert mixed.shape == (4_000, 2)
    assert np.sqrt(np.mean(mixed**2)) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (2, "stereo"), (6, "5.1"), (2, "")])
def test_known_channels_are_left_to_ffmpeg(channels: int, layout: str) -> None:
    samples = sound(channels, 8_000, 0.1)
    assert divided(samples, layout) is samples


def test_sound_beyond_full_scale_is_cut_and_does_not_wrap(tmp_path: Path) -> None:
    loud = 10 * sound(2, 44_100)  # 3 times full scale
    found = filmed(tmp_path / "film.mp4", Clip(loud, 44_100))
    middle = found.samples[22_050:66_150]
    assert np.abs(middle).max() < 1.3  # what coding adds
    square = 4 / np.pi  # of a wave that is cut hard
    assert 1.0 < level(middle[:, 0], 400, 44_100) < square + 0.02


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 18])
@pytest.mark.parametrize("place", [0.5, 1.5])
def test_a_click_is_heard_at_the_frame_where_it_sounds(tmp_path: Path, channels: int, place: float) -> None:
    samples = np.zeros((96_000, channels), np.float32)
    samples[round(place * 48_000) : round(place * 48_000) + 200] = 0.8
    found = filmed(tmp_path / "film.mp4", Clip(samples, 48_000))
    loudest = np.abs(found.samples).max(axis=1)
    assert np.argmax(loudest > 0.3) / 48_000 == pytest.approx(place, abs=AAC_CODERS_DELAY)
