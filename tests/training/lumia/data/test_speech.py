"""Voices are split before anything is said, and the synthesisers say what they are told."""

import random
from collections import Counter

import numpy as np
import pytest

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import speech
from clavilux.training.lumia.data.clips import PEAK, LabelledClip
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES, OTHER_PHRASES
from clavilux.training.lumia.data.speech import (
    MAX_SECONDS,
    SOURCES,
    Take,
    TakeCounts,
    held_out_takes,
    synthesize,
    training_takes,
)

COUNTS = TakeCounts(name=3, synonym=2, other=4)
TRAINED_ENGINES = ("espeak", "flite", "kokoro")


@pytest.fixture(scope="module")
def trained() -> list[Take]:
    return [take for engine in TRAINED_ENGINES for take in training_takes(engine, COUNTS, seed=1)]


def speakers(takes: list[Take]) -> set[str]:
    """Return engine and speaker; of espeak's voices the variant alone, of a blend both halves."""
    found = set()
    for take in takes:
        voices = take.voice.split("+")
        found |= {f"{take.engine}/{voice}" for voice in (voices[1:] if take.engine == "espeak" else voices)}
    return found


def said(takes: list[Take], folder) -> list[LabelledClip]:
    return list(synthesize(takes, folder))


def test_no_speaker_is_both_trained_on_and_measured_with(trained):
    assert not speakers(trained) & speakers(held_out_takes())


def test_no_list_of_trained_voices_shares_a_voice_with_its_held_out_list():
    pairs = [
        (speech.ESPEAK_TRAINED, speech.ESPEAK_HELD_OUT),
        (speech.FLITE_TRAINED, speech.FLITE_HELD_OUT),
        (speech.KOKORO_TRAINED, speech.KOKORO_HELD_OUT),
    ]
    assert all(not set(one) & set(other) for one, other in pairs)


def test_every_trained_voice_has_its_takes(trained):
    assert {f"flite/{voice}" for voice in speech.FLITE_TRAINED} <= speakers(trained)
    assert {f"kokoro/{voice}" for voice in speech.KOKORO_TRAINED} <= speakers(trained)
    assert {f"espeak/{voice}" for voice in speech.ESPEAK_TRAINED if voice} <= speakers(trained)


def test_hibari_and_the_voice_it_was_distilled_from_are_never_trained_on(trained):
    assert not any(take.engine == "hibari" for take in trained)
    assert "kokoro/af_heart" not in speakers(trained) | {f"kokoro/{voice}" for voice in speech.KOKORO_TRAINED}


def test_names_and_synonyms_are_said_as_often_as_asked():
    labels = Counter(take.label for take in training_takes("espeak", COUNTS, seed=1))
    assert all(labels[one.name] == COUNTS.name + COUNTS.synonym * len(one.synonyms) for one in CONCEPTS)
    assert labels[""] == COUNTS.other * len(OTHER_PHRASES)


def test_a_labelled_take_says_its_concept_in_a_sentence(trained):
    words = {concept.name: concept.words for concept in CONCEPTS}
    for take in trained:
        if take.label:
            assert take.text.endswith(".")
            assert any(word in take.text.lower() for word in words[take.label])


def test_every_synonym_is_said():
    texts = [take.text for take in training_takes("flite", COUNTS, seed=1) if take.label == "dog"]
    assert Counter(next(word for word in ("dog", "puppy", "hound") if word in text) for text in texts) == {
        "dog": COUNTS.name,
        "puppy": COUNTS.synonym,
        "hound": COUNTS.synonym,
    }


def test_takes_that_mean_none_say_an_other_phrase(trained):
    assert {take.text for take in trained if not take.label} == set(OTHER_PHRASES)


def test_a_vowel_takes_its_article_in_the_common_frame():
    framed = {speech._framed("owl", random.Random(seed)) for seed in range(40)}
    assert framed == {"An owl.", "owl.", "The owl.", "My owl."}


def test_a_blend_has_two_different_voices(trained):
    blends = [take.voice.split("+") for take in trained if take.engine == "kokoro" and "+" in take.voice]
    assert blends
    assert all(len(set(blend)) == 2 for blend in blends)


def test_an_accent_without_a_variant_has_no_plus_behind_it(trained):
    voices = {take.voice for take in trained if take.engine == "espeak"}
    assert set(speech.ACCENTS) <= voices
    assert not any(voice.endswith("+") for voice in voices)


def test_any_beginning_of_the_list_is_varied():
    beginning = training_takes("espeak", COUNTS, seed=1)[:200]
    assert len({take.label for take in beginning}) > 100
    assert "" in {take.label for take in beginning}


def test_the_same_seed_gives_the_same_takes():
    assert training_takes("kokoro", COUNTS, seed=1) == training_takes("kokoro", COUNTS, seed=1)


def test_another_seed_gives_other_takes():
    assert training_takes("kokoro", COUNTS, seed=1) != training_takes("kokoro", COUNTS, seed=2)


def test_every_concept_is_measured_in_six_held_out_voices():
    takes = held_out_takes()
    assert all(Counter(take.label for take in takes)[name] == 6 for name in NAMES)
    engines = Counter(take.engine for take in takes if take.label == "dog")
    assert engines == {"flite": 2, "hibari": 1, "espeak": 2, "kokoro": 1}


def test_every_held_out_voice_says_its_share():
    takes = held_out_takes()
    counts = Counter(f"{take.engine}/{take.voice.split('+')[-1]}" for take in takes)
    assert all(counts[f"flite/{voice}"] == len(NAMES) for voice in speech.FLITE_HELD_OUT)
    espeak = [counts[f"espeak/{voice}"] for voice in speech.ESPEAK_HELD_OUT]
    kokoro = [counts[f"kokoro/{voice}"] for voice in speech.KOKORO_HELD_OUT]
    assert max(espeak) - min(espeak) <= 1
    assert max(kokoro) - min(kokoro) <= 1


def test_held_out_takes_are_spoken_plainly():
    assert {(take.speed, take.pitch) for take in held_out_takes()} == {(1.0, 1.0)}
    assert all(take.text.startswith(("A ", "An ")) for take in held_out_takes())


def test_every_engine_has_its_source_and_licence():
    assert set(speech.ENGINES) == set(SOURCES)
    origin = Take("kokoro", "am_adam", "A dog.", "dog").origin
    assert (origin.voice, origin.licence) == ("kokoro/am_adam", "Apache-2.0")
    assert origin.source.startswith("Kokoro-82M")


@pytest.mark.parametrize(("engine", "voice"), [("flite", "kal"), ("espeak", "en-us+m1"), ("espeak", "en-gb")])
def test_a_synthesiser_says_a_word_of_usual_length(engine, voice, tmp_path):
    (clip,) = said([Take(engine, voice, "A dog.", "dog")], tmp_path)
    assert 0.2 < len(clip.sound) / SAMPLE_RATE < MAX_SECONDS
    assert (clip.label, clip.origin.voice, clip.text) == ("dog", f"{engine}/{voice}", "A dog.")
    assert np.abs(clip.sound).max() == pytest.approx(PEAK)


def test_saying_the_same_twice_gives_the_same_samples(tmp_path):
    take = Take("flite", "awb", "A piano.", "piano", speed=1.2, pitch=0.9)
    first, second = said([take, take], tmp_path)
    np.testing.assert_array_equal(first.sound, second.sound)


@pytest.mark.parametrize(("engine", "voice"), [("flite", "awb"), ("espeak", "en-us+m3")])
def test_faster_speech_is_shorter(engine, voice, tmp_path):
    takes = [Take(engine, voice, "A helicopter.", "helicopter", speed=speed) for speed in (0.8, 1.3)]
    slow, fast = said(takes, tmp_path)
    assert len(fast.sound) < 0.8 * len(slow.sound)


def test_speech_too_long_for_a_window_is_cut(tmp_path):
    (clip,) = said([Take("espeak", "en-us", " ".join(["A helicopter."] * 5), "helicopter")], tmp_path)
    assert len(clip.sound) == int(MAX_SECONDS * SAMPLE_RATE)


def test_clips_keep_the_order_of_the_takes(tmp_path):
    takes = [Take("espeak", "en-us+m1", f"A {name}.", name) for name in ("dog", "cat", "piano", "moon")]
    assert [clip.label for clip in said(takes, tmp_path)] == ["dog", "cat", "piano", "moon"]


def test_an_engine_starts_once_and_only_when_it_is_needed(tmp_path, monkeypatch):
    started = []

    class FakeKokoro:
        def __init__(self, folder):
            started.append(folder)

        def say(self, text, voice, speed):
            del text, voice, speed
            return np.ones(12_000, np.float32)

    monkeypatch.setattr(speech, "Kokoro", FakeKokoro)
    takes = [Take("flite", "kal", "A cat.", "cat"), *[Take("kokoro", "am_adam", "A dog.", "dog")] * 2]
    clips = synthesize(takes, tmp_path)
    assert next(clips).origin.voice == "flite/kal"
    assert started == []
    assert [clip.origin.voice for clip in clips] == ["kokoro/am_adam"] * 2
    assert started == [tmp_path]


def test_hibari_speaks_at_its_own_rate(tmp_path, monkeypatch):
    class FakeHibari:
        sample_rate = 8000

        def __call__(self, text):
            return np.ones(8000 if text == "A dog." else 4000)

    monkeypatch.setattr(speech, "load_hibari", lambda folder: FakeHibari())
    (clip,) = said([Take("hibari", "heart", "A dog.", "dog")], tmp_path)
    assert len(clip.sound) == pytest.approx(SAMPLE_RATE, rel=0.05)
