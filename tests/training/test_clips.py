"""Banks of clips keep what they are given, and tidying leaves the sound."""

import numpy as np
import pytest

from training.clips import MARGIN, PEAK, SAMPLE_RATE, ClipBank, load_bank, tidy


def tone(seconds: float, rate: int = SAMPLE_RATE, hertz: float = 440.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.fixture
def bank() -> ClipBank:
    bank = ClipBank()
    bank.add(0.5 * tone(0.1), "dog", "flite/kal")
    bank.add(0.25 * tone(0.2, hertz=900), "cat", "espeak/en-us+m1")
    bank.add(0.25 * tone(0.05), "", "flite/awb")
    return bank


def test_a_saved_bank_comes_back_within_one_step_of_sixteen_bits(bank, tmp_path):
    bank.save(tmp_path / "bank.safetensors")
    loaded = load_bank(tmp_path / "bank.safetensors")
    assert (loaded.labels, loaded.voices) == (bank.labels, bank.voices)
    for before, after in zip(bank.sounds, loaded.sounds, strict=True):
        np.testing.assert_allclose(after, before, atol=1 / 32767)


def test_saving_leaves_no_partial_file(bank, tmp_path):
    bank.save(tmp_path / "bank.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["bank.safetensors"]


def test_only_takes_the_voices_with_a_prefix(bank):
    assert bank.only("flite/").labels == ["dog", ""]


def test_merged_banks_keep_their_order(bank):
    assert bank.merged(bank.only("espeak")).labels == ["dog", "cat", "", "cat"]


def test_merging_changes_neither_bank(bank):
    bank.merged(bank)
    assert len(bank) == 3


def test_tidying_cuts_the_silent_ends_but_keeps_a_margin():
    silence = np.zeros(SAMPLE_RATE, np.float32)
    tidied = tidy(np.concatenate([silence, tone(0.5), silence]), SAMPLE_RATE)
    assert len(tidied) == pytest.approx(0.5 * SAMPLE_RATE + 2 * MARGIN, abs=20)


def test_tidying_sets_the_peak():
    assert np.abs(tidy(0.01 * tone(0.3), SAMPLE_RATE)).max() == pytest.approx(PEAK)


def test_tidying_resamples():
    assert len(tidy(tone(1.0, rate=24_000), 24_000)) == pytest.approx(SAMPLE_RATE, rel=0.02)


def test_tidying_mixes_channels_down():
    assert tidy(np.stack([tone(0.2), tone(0.2)], axis=1), SAMPLE_RATE).ndim == 1


def test_tidying_cuts_what_is_too_long():
    assert len(tidy(tone(3.0), SAMPLE_RATE, longest=1.0)) == SAMPLE_RATE


def test_silence_comes_back_empty():
    assert len(tidy(np.zeros(1000, np.float32), SAMPLE_RATE)) == 0
