"""Excerpts equal the reference's features, and what a sliding window of the instrument hears."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.export.models.feature_extractor import Features
from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound.format import frame_count
from clavilux.training.alignment.data import excerpts
from clavilux.training.alignment.data.excerpts import (
    MIN_HEARD,
    Placing,
    bytes_missing,
    heard,
    heard_at,
    heard_whole,
    length,
    open_sound,
    prepared,
    sliding_ends,
    stretch,
)
from clavilux.training.alignment.data.window import Adapter, window_for
from clavilux.training.features import log_mel
from tests.training.alignment.few_clips import RATE, tone

WINDOW = window_for(8, Adapter())  # 0.63 s
REFERENCE = window_for(47, Adapter())


def wav(samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("seconds", [0.5, 3.75, 4.0, 9.0])
def test_a_whole_clip_is_what_the_references_extractor_gives(seconds: float) -> None:
    samples = tone(seconds)
    expected = Features(REFERENCE.samples).prepared(samples)[0]
    found = heard_whole(wav(samples), REFERENCE)
    assert found.shape == expected.shape == (188, 160)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_features_are_float32_and_normalised_over_the_clip() -> None:
    found = prepared(log_mel(tone(WINDOW.seconds)), WINDOW)
    frames = found.reshape(-1, 80)[: frame_count(WINDOW.samples)]
    assert found.dtype == np.float32
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(frames.std(axis=0, ddof=1), 1, atol=1e-2)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(rate: int) -> None:
    with open_sound(wav(tone(1.0, rate=rate), rate)) as file:
        found = stretch(file, 0, RATE)
        assert length(file) == RATE
    spectrum = np.abs(np.fft.rfft(found))
    assert abs(len(found) - RATE) <= 1
    assert abs(int(spectrum.argmax()) - 440) <= 1


def test_stereo_is_mixed() -> None:
    left, right = tone(seed=1), tone(hertz=900, seed=2)
    with open_sound(wav(np.stack([left, right], axis=1))) as file:
        np.testing.assert_allclose(stretch(file, 0, 8000), (left + right) / 2, atol=1e-6)


def test_a_stretch_is_read_where_it_lies_and_ends_with_the_file() -> None:
    samples = tone(1.0)
    with open_sound(wav(samples)) as file:
        np.testing.assert_array_equal(stretch(file, 1000, 500), samples[1000:1500])
        assert len(stretch(file, 15_900, 500)) == 100
        assert len(stretch(file, 99_000, 500)) == 0


def test_a_long_file_is_read_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    sound, read = wav(tone(40.0)), []
    original = soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, frames: int = -1, **settings: object) -> np.ndarray:
        read.append(frames)
        return original(self, frames, **settings)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    heard_whole(sound, WINDOW)
    heard_at(sound, WINDOW, 20 * RATE, "nothing")
    assert read == [30 * RATE, WINDOW.samples]


def test_a_window_inside_a_clip_is_its_own_stretch() -> None:
    samples = tone(3.0)
    expected = prepared(log_mel(samples[20_000 - WINDOW.samples : 20_000]), WINDOW)
    np.testing.assert_array_equal(heard_at(wav(samples), WINDOW, 20_000, "nothing"), expected)


def test_before_a_clip_there_is_nothing_or_silence() -> None:
    samples = tone(3.0)
    silence = np.zeros(WINDOW.samples - 8000, np.float32)
    for lead_in, expected in (("nothing", samples[:8000]), ("silence", np.concatenate([silence, samples[:8000]]))):
        found = heard_at(wav(samples), WINDOW, 8000, lead_in)
        np.testing.assert_array_equal(found, prepared(log_mel(expected), WINDOW))


def test_after_a_clip_there_is_silence() -> None:
    samples = tone(0.5)
    end = len(samples) + 5000
    start = end - WINDOW.samples
    expected = np.concatenate([samples[max(start, 0) :], np.zeros(5000, np.float32)])
    np.testing.assert_array_equal(heard_at(wav(samples), WINDOW, end, "nothing"), prepared(log_mel(expected), WINDOW))


def test_without_shares_training_hears_what_the_reference_hears() -> None:
    sound = wav(tone(2.0))
    for seed in range(3):
        found = heard(sound, WINDOW, Placing(), np.random.default_rng(seed))
        np.testing.assert_array_equal(found, heard_whole(sound, WINDOW))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.2, 0.6, 1.5]), st.sampled_from(["nothing", "silence"]))
def test_every_partial_window_hears_something(seed: int, seconds: float, lead_in: str) -> None:
    found = heard(wav(tone(seconds)), WINDOW, Placing(partial=1.0, lead_in=lead_in), np.random.default_rng(seed))
    assert found.shape == (WINDOW.frames // 2, 160)
    assert np.isfinite(found).all()
    assert np.abs(found).max() > 0.5


def test_shifted_windows_differ_from_draw_to_draw_and_lie_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    monkeypatch.setattr(
        excerpts,
        "heard_at",
        lambda sound, window, end, lead_in: ends.append(end) or np.zeros((1, 1)),
    )
    sound = wav(tone(2.0))
    for seed in range(40):
        heard(sound, WINDOW, Placing(shift=1.0), np.random.default_rng(seed))
    assert len(set(ends)) > 30
    assert min(ends) >= WINDOW.samples
    assert max(ends) <= 2 * RATE


def test_a_short_clip_cannot_be_shifted() -> None:
    sound = wav(tone(0.5))
    found = heard(sound, WINDOW, Placing(shift=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(found, heard_whole(sound, WINDOW))


def test_sliding_ends_go_from_just_heard_to_nearly_lost() -> None:
    assert sliding_ends(32_000, WINDOW, 3) == [MIN_HEARD, 21_040, 32_000 + WINDOW.samples - MIN_HEARD]
    assert sliding_ends(1000, WINDOW, 2) == [1000, WINDOW.samples]


def with_length(sound: bytes, size: int) -> bytes:
    """Return a WAV whose header says that `size` bytes of sound follow."""
    place = sound.index(b"data") + 4
    return sound[:place] + struct.pack("<I", size) + sound[place + 4 :]


def test_what_a_header_promises_beyond_the_end_is_missing(tmp_path: Path) -> None:
    sound = wav(tone(), subtype="PCM_16")
    assert bytes_missing(sound) == 0
    assert bytes_missing(sound[:-1000]) == 1000
    (tmp_path / "a.wav").write_bytes(sound[:-1000])
    assert bytes_missing(tmp_path / "a.wav") == 1000


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_F000, 16_000 + 36])
def test_a_length_that_was_not_known_when_it_was_written_is_no_promise(size: int) -> None:
    assert bytes_missing(with_length(wav(tone(), subtype="PCM_16"), size)) == 0


@pytest.mark.parametrize("sound", [b"", b"RIFF", b"fLaC" + bytes(100), wav(tone())[:40], wav(tone()) + b"x"])
def test_what_promises_nothing_misses_nothing(sound: bytes) -> None:
    assert bytes_missing(sound) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_samples_that_are_no_sound_are_an_error(value: float) -> None:
    samples = tone()
    samples[4000] = value
    with pytest.raises(SoundError, match="it holds samples that are no numbers, or too large"):
        heard_whole(wav(samples), WINDOW)


def test_a_clip_too_short_to_be_normalised_is_an_error() -> None:
    with pytest.raises(SoundError, match="it has 1 frames of 10 ms; expected 2 or more"):
        heard_whole(wav(tone()[:400]), WINDOW)


@pytest.mark.parametrize("placing", [{"shift": 1.5}, {"partial": -0.1}, {"shift": float("nan")}])
def test_a_share_that_cannot_be_is_named(placing: dict[str, float]) -> None:
    with pytest.raises(SoundError, match=f"share {next(iter(placing))} is .*; expected 0 to 1"):
        Placing(**placing)


def test_an_unknown_lead_in_is_named() -> None:
    with pytest.raises(SoundError, match="lead-in is 'noise'; expected one of nothing, silence"):
        Placing(lead_in="noise")


def test_what_is_no_sound_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(SoundError, match="Format not recognised"):
        open_sound(tmp_path / "a.wav")
