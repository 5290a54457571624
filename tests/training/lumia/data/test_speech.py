"""Voices are split before anything is said, and the synthesisers say what they are told."""

from collections import Counter

import numpy as np
import pytest

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import speech
from clavilux.training.lumia.data.clips import PEAK, LabelledClip, tidy
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES, OTHER_PHRASES, is_short
from clavilux.training.lumia.data.kokoro import mixture
from clavilux.training.lumia.data.sayings import plural
from clavilux.training.lumia.data.speech import (
    MAX_SECONDS,
    SHORT_TIMES,
    SOURCES,
    Take,
    TakeCounts,
    held_out_takes,
    synthesize,
    training_takes,
)

COUNTS = TakeCounts(name=3, synonym=2, other=4)
TRAINED_ENGINES = ("espeak", "flite", "festival", "pico", "kokoro")


@pytest.fixture(scope="module")
def trained() -> list[Take]:
    return [take for engine in TRAINED_ENGINES for take in training_takes(engine, COUNTS, seed=1)]


def speakers(takes: list[Take]) -> set[str]:
    """Return engine and speaker; of espeak's voices the variant alone, of a mixture all parts."""
    found = set()
    for take in takes:
        voices = [part.partition("*")[0] for part in take.voice.split("+")]
        found |= {f"{take.engine}/{voice}" for voice in (voices[1:] if take.engine == "espeak" else voices)}
    return found


def said(takes: list[Take], folder) -> list[LabelledClip]:
    return list(synthesize(takes, folder))


def test_of_many_takes_the_first_in_a_random_order_are_made():
    every, few = (speech.training_takes("kokoro", TakeCounts(1, 1, 1, most), 3) for most in (None, 10))
    assert few == every[:10]
    assert len(every) > 300


def test_no_speaker_is_both_trained_on_and_measured_with(trained):
    assert not speakers(trained) & speakers(held_out_takes())


def test_no_list_of_trained_voices_shares_a_voice_with_its_held_out_list():
    pairs = [
        (speech.ESPEAK_TRAINED, speech.ESPEAK_HELD_OUT),
        (speech.FLITE_TRAINED, speech.FLITE_HELD_OUT),
        (speech.KOKORO_TRAINED, speech.KOKORO_HELD_OUT),
    ]
    assert all(not set(one) & set(other) for one, other in pairs)
    assert not set(speech.KOKORO_FOREIGN) & {*speech.KOKORO_TRAINED, *speech.KOKORO_HELD_OUT}


def test_engines_held_out_are_never_trained_on(trained):
    assert not {take.engine for take in trained} & set(speech.HELD_OUT_ENGINES)
    assert set(speech.HELD_OUT_ENGINES) <= {take.engine for take in held_out_takes()}


def test_a_speaker_who_is_held_out_of_one_engine_is_trained_on_in_none(trained):
    assert "slt" in speech.FLITE_HELD_OUT
    assert not any(speaker.endswith("/slt") for speaker in speakers(trained))


def test_every_trained_voice_has_its_takes(trained):
    assert {f"flite/{voice}" for voice in speech.FLITE_TRAINED} <= speakers(trained)
    assert {f"kokoro/{voice}" for voice in speech.KOKORO_TRAINED + speech.KOKORO_FOREIGN} <= speakers(trained)
    assert {f"pico/{voice}" for voice in speech.PICO_TRAINED} <= speakers(trained)
    assert {f"festival/{voice}" for voice in speech.FESTIVAL_TRAINED} <= speakers(trained)
    assert {f"espeak/{voice}" for voice in speech.ESPEAK_TRAINED if voice} <= speakers(trained)


def test_hibari_and_the_voice_it_was_distilled_from_are_never_trained_on(trained):
    assert not any(take.engine == "hibari" for take in trained)
    assert "kokoro/af_heart" not in speakers(trained) | {f"kokoro/{voice}" for voice in speech.KOKORO_TRAINED}


def times(word: str) -> int:
    return SHORT_TIMES if is_short(word) else 1


def test_names_and_synonyms_are_said_as_often_as_asked_and_short_ones_twice_as_often():
    labels = Counter(take.label for take in training_takes("espeak", COUNTS, seed=1))
    for one in CONCEPTS:
        synonyms = sum(COUNTS.synonym * times(word) for word in one.synonyms)
        assert labels[one.name] == COUNTS.name * times(one.name) + synonyms
    assert labels[""] == COUNTS.other * len(OTHER_PHRASES)


def test_a_labelled_take_says_its_concept_in_a_sentence(trained):
    words = {concept.name: concept.words for concept in CONCEPTS}
    for take in trained:
        if take.label:
            said = take.text.lower()
            assert any(word in said or plural(word) in said for word in words[take.label])


def test_takes_that_mean_none_say_an_other_phrase(trained):
    assert {take.text for take in trained if not take.label} == set(OTHER_PHRASES)


def test_a_mixture_has_two_or_three_different_voices_with_weights_that_sum_to_one(trained):
    mixtures = {take.voice for take in trained if take.engine == "kokoro" and "+" in take.voice}
    assert {voice.count("+") for voice in mixtures} == {1, 2}
    for voice in mixtures:
        weights = mixture(voice)
        assert len(weights) == voice.count("+") + 1
        assert sum(float(part.partition("*")[2]) for part in voice.split("+")) == pytest.approx(1.0, abs=0.02)
        assert min(weights.values()) > 0


def test_voices_of_other_languages_speak_alone_and_in_mixtures(trained):
    voices = [take.voice for take in trained if take.engine == "kokoro"]
    assert any(voice in speech.KOKORO_FOREIGN for voice in voices)
    mixed = [voice for voice in voices if "+" in voice and any(one in voice for one in speech.KOKORO_FOREIGN)]
    assert all(any(one in voice for one in speech.KOKORO_TRAINED) for voice in mixed)
    assert len(mixed) > len(voices) / 5


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


def test_every_concept_is_measured_in_eight_held_out_voices():
    takes = held_out_takes()
    assert all(Counter(take.label for take in takes)[name] == 8 for name in NAMES)
    engines = Counter(take.engine for take in takes if take.label == "dog")
    assert engines == {"flite": 2, "hibari": 1, "festival-hts": 1, "piper": 1, "espeak": 2, "kokoro": 1}


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


SPOKEN_HERE = [
    ("flite", "kal"), ("espeak", "en-us+m1"), ("espeak", "en-gb"), ("festival", "kal"), ("festival", "ked"),
    ("festival-hts", "slt"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "voice"), SPOKEN_HERE)
def test_a_synthesiser_says_a_word_of_usual_length(engine, voice, tmp_path):
    (clip,) = said([Take(engine, voice, "A dog.", "dog")], tmp_path)
    assert 0.2 < len(clip.sound) / SAMPLE_RATE < MAX_SECONDS
    assert (clip.label, clip.origin.voice, clip.text) == ("dog", f"{engine}/{voice}", "A dog.")
    assert np.abs(clip.sound).max() == pytest.approx(PEAK)


def test_saying_the_same_twice_gives_the_same_samples(tmp_path):
    take = Take("flite", "awb", "A piano.", "piano", speed=1.2, pitch=0.9)
    first, second = said([take, take], tmp_path)
    np.testing.assert_array_equal(first.sound, second.sound)


@pytest.mark.parametrize(("engine", "voice"), [("flite", "awb"), ("espeak", "en-us+m3"), ("festival", "ked")])
def test_faster_speech_is_shorter(engine, voice, tmp_path):
    takes = [Take(engine, voice, "A helicopter.", "helicopter", speed=speed) for speed in (0.8, 1.3)]
    slow, fast = said(takes, tmp_path)
    assert len(fast.sound) < 0.8 * len(slow.sound)


def test_of_speech_too_long_for_a_window_the_end_is_kept_with_what_is_said_there(monkeypatch, tmp_path):
    """The end is compared with what the synthesiser said then: espeak never says a text twice alike."""
    start, whole = speech.ENGINES["espeak"], []

    def start_heard(folder):
        say = start(folder)

        def say_heard(take):
            samples, rate = say(take)
            whole.append(tidy(samples, rate, speech.UNCUT))
            return samples, rate

        return say_heard

    monkeypatch.setitem(speech.ENGINES, "espeak", start_heard)
    text = " ".join(["A helicopter."] * 5 + ["A dog."])
    (clip,) = said([Take("espeak", "en-us", text, "dog")], tmp_path)
    assert len(clip.sound) == int(MAX_SECONDS * SAMPLE_RATE) < len(whole[0]) / 2
    assert clip.text.endswith("helicopter. A dog.")
    assert len(clip.text) < len(text) / 2
    end = whole[0][-SAMPLE_RATE:]
    np.testing.assert_allclose(
        clip.sound[-SAMPLE_RATE:], end * (PEAK / np.abs(whole[0][-len(clip.sound) :]).max()), 1e-5
    )


def test_both_engines_of_festival_share_a_process(monkeypatch, tmp_path):
    started = []

    class FakeFestival:
        def __init__(self):
            started.append(self)

        def say(self, text, speaker, speed, pitch):
            del text, speaker, speed, pitch
            return np.ones(8000, np.float32), 16_000

        def close(self):
            pass

    monkeypatch.setattr(speech, "Festival", FakeFestival)
    speech._festival.cache_clear()
    takes = [Take("festival", "kal", "A dog.", "dog"), Take("festival-hts", "slt", "A cat.", "cat")]
    assert [clip.engine for clip in said(takes, tmp_path)] == ["festival", "festival-hts"]
    speech._festival.cache_clear()
    assert len(started) == 1


def test_pico_and_piper_speak_at_their_own_rates(monkeypatch, tmp_path):
    class FakePico:
        def __init__(self, folder):
            assert folder == tmp_path

        def say(self, text, voice, speed, pitch):
            assert (text, voice, speed, pitch) == ("A dog.", "en-GB", 1.2, 0.9)
            return np.ones(16_000, np.float32)

    class FakePiper:
        rate = 8000

        def __init__(self, folder, espeak):
            del espeak
            assert folder == tmp_path

        def say(self, text):
            return np.ones(8000 if text == "A dog." else 4000, np.float32)

    monkeypatch.setattr(speech, "Pico", FakePico)
    monkeypatch.setattr(speech, "Piper", FakePiper)
    monkeypatch.setattr(speech, "_espeak", lambda: None)
    takes = [Take("pico", "en-GB", "A dog.", "dog", 1.2, 0.9), Take("piper", "joe", "A dog.", "dog")]
    assert [len(clip.sound) for clip in said(takes, tmp_path)] == [pytest.approx(SAMPLE_RATE, rel=0.05)] * 2


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
