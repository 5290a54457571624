"""Every kind makes sound of the right form, the same for the same seed, in the range of what it stands for."""

import numpy as np
import pytest

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.clips import PEAK
from clavilux.training.lumia.data.concepts import NAMES
from clavilux.training.lumia.data.synthesis import birds, contacts, elements, kinds, machines, mammals, ringing
from clavilux.training.lumia.data.synthesis.blocks import Kind, Sound, length
from clavilux.training.lumia.data.synthesis.kinds import KINDS, SECONDS, take

SEED = 3
FEW = 6  # takes that a property is measured over


def made(kind: Kind, count: int = FEW) -> list[Sound]:
    return [kind(np.random.default_rng([SEED, number])) for number in range(count)]


def centroid(sound: Sound) -> float:
    """Mean frequency, weighted by power."""
    power = np.square(np.abs(np.fft.rfft(sound)))
    return float((np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE) * power).sum() / power.sum())


def strongest(sound: Sound) -> float:
    """Frequency with the most power, in bands of a sixth of a semitone or so."""
    power = np.square(np.abs(np.fft.rfft(sound, 4 * SAMPLE_RATE)))
    return float(np.convolve(power, np.ones(21), "same").argmax()) / 4


def pulse_rate(sound: Sound, low: float, high: float) -> float:
    """Strongest rate of the envelope between two rates."""
    envelope = np.abs(sound) - np.abs(sound).mean()
    power = np.abs(np.fft.rfft(envelope, 8 * SAMPLE_RATE))
    return float(low + power[int(8 * low) : int(8 * high)].argmax() / 8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_take_is_finite_level_short_and_labelled(kind):
    for number in range(3):
        clip = take(kind, number, SEED)
        assert clip.sound.dtype == np.float32
        assert clip.sound.ndim == 1
        assert 0.04 < len(clip.sound) / SAMPLE_RATE <= SECONDS
        assert np.isfinite(clip.sound).all()
        assert np.abs(clip.sound).max() == pytest.approx(PEAK)
        assert (clip.label, clip.text) == (kind, "")
        assert (clip.origin.voice, clip.origin.source) == (f"synthesis/{kind}", "synthesised")
        assert (clip.origin.licence, clip.engine) == ("Apache-2.0", "synthesis")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_and_number_give_the_same_take_and_others_another(kind):
    first = take(kind, 0, SEED).sound
    assert first.tobytes() == take(kind, 0, SEED).sound.tobytes()
    assert first.tobytes() != take(kind, 1, SEED).sound.tobytes()
    assert first.tobytes() != take(kind, 0, SEED + 1).sound.tobytes()


def test_every_kind_is_a_concept():
    assert set(KINDS) <= set(NAMES)


def test_every_kind_of_every_file_is_among_the_kinds_once():
    files = (mammals, birds, elements, ringing, machines, contacts)
    assert len(KINDS) == sum(len(file.KINDS) for file in files)


def test_all_takes_come_kind_by_kind(monkeypatch):
    monkeypatch.setattr(kinds, "KINDS", {name: KINDS[name] for name in ("clock", "bubbles")})
    clips = list(kinds.synthesised(kinds.takes(2), SEED))
    assert [clip.label for clip in clips] == ["clock", "clock", "bubbles", "bubbles"]
    assert clips[1].sound.tobytes() == take("clock", 1, SEED).sound.tobytes()


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (mammals.heart, 20, 400),
        (mammals.mouse, 2_000, 7_600),
        (mammals.dolphin, 1_500, 7_600),
        (mammals.purr, 30, 1_500),
        (birds.hoot, 180, 1_200),
        (birds.cuckoo, 350, 1_000),
        (birds.song, 1_000, 7_600),
        (birds.snake, 2_500, 8_000),
        (elements.thunder, 25, 1_500),
        (ringing.watch, 1_000, 8_000),
        (machines.ship, 60, 1_500),
        (machines.rocket, 25, 3_000),
        (contacts.coins, 1_500, 8_000),
        (contacts.maracas, 1_500, 7_600),
        (contacts.knocking, 60, 2_500),
    ],
)
def test_the_centre_of_the_spectrum_lies_where_the_thing_sounds(kind, low, high):
    found = [centroid(sound) for sound in made(kind)]
    assert low < min(found)
    assert max(found) < high


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (birds.hoot, 200, 1_550),
        (birds.cuckoo, 380, 820),
        (birds.dove, 250, 720),
        (birds.warble, 700, 7_500),
        (mammals.mouse, 1_800, 7_600),
        (mammals.heart, 25, 260),
        (birds.mosquito, 250, 4_000),
        (birds.bee, 100, 3_000),
    ],
)
def test_the_strongest_frequency_is_that_of_the_caller(kind, low, high):
    found = [strongest(sound) for sound in made(kind)]
    assert low <= min(found)
    assert max(found) <= high


@pytest.mark.parametrize(
    ("kind", "low", "high", "around"),
    [(mammals.purr, 15, 40, (19, 34)), (mammals.flutter, 10, 60, (14, 48)), (machines.helicopter, 5, 40, (7, 29.5))],
)
def test_what_flutters_does_so_at_its_rate(kind, low, high, around):
    rates = [pulse_rate(sound, low, high) for sound in made(kind)]
    assert around[0] <= np.median(rates) <= around[1]


@pytest.mark.parametrize("kind", [machines.explosion, contacts.slam, ringing.church_bell])
def test_what_is_struck_dies_away(kind):
    for sound in made(kind, 3):
        quarter = len(sound) // 4
        assert np.square(sound[-quarter // 4 :]).mean() < np.square(sound[: 2 * quarter]).mean()


@pytest.mark.parametrize("kind", [elements.wind, elements.rain, elements.stream, machines.jet, machines.motorcycle])
def test_what_goes_on_is_never_silent(kind):
    for sound in made(kind, 3):
        parts = np.square(sound[: len(sound) // 10 * 10]).reshape(10, -1).mean(axis=1)
        assert len(sound) >= length(2.4)
        assert parts.min() > 1e-4 * parts.max()


def test_a_bubble_rises_from_its_pitch():
    found = strongest(elements.bubble(np.random.default_rng(1), 800.0))
    assert 780 <= found <= 1_500


def test_kinds_differ_in_their_mean_spectra():
    def mean(kind: str) -> Sound:
        bands = [np.abs(np.fft.rfft(take(kind, i, SEED).sound, 32_000))[:16_000] for i in range(FEW)]
        power = np.mean([np.square(one).reshape(40, -1).sum(axis=1) / np.square(one).sum() for one in bands], axis=0)
        return power / np.linalg.norm(power)

    assert mean("mouse") @ mean("heart") < 0.1
    assert mean("owl") @ mean("maracas") < 0.3
