"""The real library says what it is told, in the voice that it is told."""

import ctypes
import ctypes.util
import gc

import numpy as np
import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia.data.espeak import Espeak
from clavilux.training.lumia.data.speech import ESPEAK_HELD_OUT, ESPEAK_TRAINED


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return Espeak()


def seconds(espeak: Espeak, text: str, **settings: int) -> float:
    return len(espeak.say(text, "en-us", **settings)) / espeak.rate


def crossings(samples: np.ndarray) -> float:
    """Share of samples where the sign changes: it grows with the pitch."""
    return float(np.mean(np.diff(np.sign(samples)) != 0))


def test_a_word_is_heard_and_takes_its_usual_time(espeak):
    samples = espeak.say("A dog.", "en-us")
    assert samples.dtype == np.float32
    assert 0.1 < np.abs(samples).max() <= 1
    assert 0.2 < len(samples) / espeak.rate < 1.5


def test_more_words_take_longer(espeak):
    assert seconds(espeak, "A dog and a cat and a horse.") > 2 * seconds(espeak, "A dog.")


@pytest.mark.parametrize("voice", ["en-gb-scotland", "en-us+f2", "en-us+klatt3", "de"])
def test_another_voice_says_it_otherwise(espeak, voice):
    usual, other = espeak.say("A dog.", "en-us"), espeak.say("A dog.", voice)
    length = min(len(usual), len(other))
    assert np.abs(usual[:length] - other[:length]).max() > 0.1


def test_a_quicker_voice_is_done_sooner(espeak):
    assert seconds(espeak, "A helicopter.", words_per_minute=240) < 0.8 * seconds(
        espeak, "A helicopter.", words_per_minute=120
    )


def test_a_higher_voice_is_higher(espeak):
    low, high = (espeak.say("Oh.", "en-us", pitch=pitch) for pitch in (0, 99))
    assert crossings(high) > 1.1 * crossings(low)


def test_one_take_does_not_reach_into_the_next(espeak):
    before = seconds(espeak, "A dog.")
    espeak.say("A very long sentence about nothing at all.", "en-us")
    assert seconds(espeak, "A dog.") == pytest.approx(before, rel=0.1)


def test_nothing_said_is_nearly_nothing_heard(espeak):
    assert seconds(espeak, "") < 0.1


def test_an_unknown_voice_is_refused(espeak):
    with pytest.raises(ClaviluxError, match=r"^espeak-ng has no voice 'nowhere'; `espeak-ng --voices=en` lists"):
        espeak.say("A dog.", "nowhere")


def test_after_a_refused_voice_the_known_ones_still_speak(espeak):
    with pytest.raises(ClaviluxError):
        espeak.say("A dog.", "nowhere")
    assert seconds(espeak, "A dog.") > 0.2


def test_a_missing_library_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(ClaviluxError, match="the library espeak-ng was not found; install the package libespeak-ng1"):
        Espeak()


def test_a_library_without_its_data_is_told(monkeypatch):
    class Unready:
        def espeak_Initialize(self, *_):  # noqa: N802 (the library's name)
            return -1

    monkeypatch.setattr(ctypes.util, "find_library", lambda name: name)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Unready())
    with pytest.raises(ClaviluxError, match="did not start; install the package espeak-ng-data"):
        Espeak()


def test_an_unknown_variant_is_refused_where_espeak_would_take_another_voice():
    with pytest.raises(ClaviluxError, match="has no variant 'nobody'"):
        Espeak().say("A dog.", "en-us+nobody")


def test_every_variant_that_is_trained_or_held_out_exists():
    assert set(ESPEAK_TRAINED) - {""} | set(ESPEAK_HELD_OUT) <= Espeak().variants


def test_a_synthesiser_speaks_after_another_one_has_come_and_gone(espeak):
    other = Espeak()
    assert seconds(other, "A horse.") > 0.2
    del other
    gc.collect()
    assert 0.2 < seconds(espeak, "A dog.") < 1.5


def test_two_synthesisers_speak_by_turns_each_for_itself(espeak):
    other = Espeak()
    short, long = (len(one.say(text, "en-us")) for one, text in ((espeak, "A dog."), (other, "A dog and a horse.")))
    assert [len(espeak.say("A dog.", "en-us")), len(other.say("A dog and a horse.", "en-us"))] == pytest.approx(
        [short, long], rel=0.1
    )
