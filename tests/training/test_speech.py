"""Voices are split before anything is said, and the synthesisers say what they are told."""

import numpy as np
import pytest

from training import speech
from training.clips import SAMPLE_RATE
from training.concepts import NAMES
from training.speech import Take, held_out_takes, synthesize, training_takes

COUNTS = {"flite": 8, "espeak": 40, "kokoro": 30}


@pytest.fixture(scope="module")
def trained() -> list[Take]:
    return training_takes(1, COUNTS)


def speakers(takes: list[Take]) -> set[str]:
    """Return engine and speaker; of espeak's voices the variant alone, of a blend both halves."""
    found = set()
    for take in takes:
        voices = take.voice.split("+")
        found |= {f"{take.engine}/{voice}" for voice in (voices[1:] if take.engine == "espeak" else voices)}
    return found


def test_no_speaker_is_both_trained_on_and_measured_with(trained):
    assert not speakers(trained) & speakers(held_out_takes())


def test_no_list_of_trained_voices_shares_a_voice_with_its_held_out_list():
    pairs = [
        (speech.ESPEAK_TRAINED, speech.ESPEAK_HELD_OUT),
        (speech.FLITE_TRAINED, speech.FLITE_HELD_OUT),
        (speech.KOKORO_TRAINED, speech.KOKORO_HELD_OUT),
    ]
    assert all(not set(one) & set(other) for one, other in pairs)


def test_hibari_and_the_voice_it_was_distilled_from_are_never_trained_on(trained):
    assert not speakers(trained) & {"hibari/heart", "kokoro/af_heart"}


def test_every_concept_is_said_as_often_as_asked(trained):
    for engine, count in COUNTS.items():
        labels = [take.label for take in trained if take.engine == engine]
        assert all(labels.count(name) == count for name in NAMES)


def test_some_phrases_mean_no_concept(trained):
    assert any(take.label == "" for take in trained)


def test_a_labelled_take_says_its_label(trained):
    assert all(take.label in take.text.lower() for take in trained)


def test_the_same_seed_gives_the_same_takes(trained):
    assert training_takes(1, COUNTS) == trained


def test_another_seed_gives_other_takes(trained):
    assert training_takes(2, COUNTS) != trained


def test_every_concept_is_measured_in_every_held_out_voice():
    takes = held_out_takes()
    voices = {take.name for take in takes}
    assert len(takes) == len(voices) * len(NAMES)


def test_held_out_takes_are_spoken_plainly():
    assert {(take.speed, take.pitch) for take in held_out_takes()} == {(1.0, 1.0)}


@pytest.mark.parametrize(("engine", "voice"), [("flite", "kal"), ("espeak", "en-us+m1"), ("espeak", "en-gb+")])
def test_a_program_says_a_word_of_usual_length(engine, voice, tmp_path):
    bank = synthesize([Take(engine, voice, "A dog.", "dog")], tmp_path)
    assert 0.2 < len(bank.sounds[0]) / SAMPLE_RATE < 2.0
    assert (bank.labels, bank.voices) == (["dog"], [f"{engine}/{voice}"])


def test_saying_the_same_twice_gives_the_same_samples(tmp_path):
    take = Take("espeak", "en-us+f2", "A piano.", "piano", speed=1.2, pitch=0.9)
    first, second = synthesize([take, take], tmp_path).sounds
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("engine", "voice"), [("flite", "awb"), ("espeak", "en-us+m3")])
def test_faster_speech_is_shorter(engine, voice, tmp_path):
    takes = [Take(engine, voice, "A helicopter.", "helicopter", speed=speed) for speed in (0.8, 1.3)]
    slow, fast = synthesize(takes, tmp_path).sounds
    assert len(fast) < 0.8 * len(slow)


def test_clips_keep_the_order_of_the_takes(tmp_path):
    takes = [Take("espeak", "en-us+m1", f"A {name}.", name) for name in ("dog", "cat", "piano", "moon")]
    assert synthesize(takes, tmp_path).labels == ["dog", "cat", "piano", "moon"]


def test_models_and_programs_are_put_in_the_order_of_the_takes(tmp_path, monkeypatch):
    class FakeKokoro:
        def __init__(self, folder):
            del folder

        def say(self, text, voice, speed):
            del text, voice, speed
            return np.ones(12_000, np.float32)

    monkeypatch.setattr(speech, "Kokoro", FakeKokoro)
    takes = [Take("kokoro", "am_adam", "A dog.", "dog"), Take("flite", "kal", "A cat.", "cat")]
    bank = synthesize(takes, tmp_path)
    assert bank.voices == ["kokoro/am_adam", "flite/kal"]
    assert np.abs(bank.sounds[0][1000:-1000]).min() > 0.3


def test_hibari_speaks_at_its_own_rate(tmp_path, monkeypatch):
    class FakeHibari:
        sample_rate = 8000

        def __call__(self, text):
            return np.ones(8000 if text == "A dog." else 4000)

    monkeypatch.setattr(speech, "load_hibari", lambda folder: FakeHibari())
    bank = synthesize([Take("hibari", "heart", "A dog.", "dog")], tmp_path)
    assert len(bank.sounds[0]) == pytest.approx(SAMPLE_RATE, rel=0.05)
