"""The study of hearing: what it counts, on sounds that are made without other programs."""

import numpy as np
import pytest
import soundfile

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies import hearing
from clavilux.benchmarks.studies.hearing_material import COLOURS, SENTENCES, at_level, fan, hum, noise
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.clips import LabelledClip, Origin
from clavilux.training.lumia.data.concepts import CONCEPTS
from tests.paths import SOUNDS

ORIGIN = Origin("espeak/en", "espeak-ng", "GPL-3.0-or-later")


def read(word: str) -> np.ndarray:
    samples, rate = soundfile.read(SOUNDS / f"{word}.wav", dtype="float32")
    assert rate == SAMPLE_RATE
    return samples


def band(samples: np.ndarray, low: float, high: float) -> float:
    """Return the power between two frequencies in Hz, in dB."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    return float(10 * np.log10(spectrum[(frequencies >= low) & (frequencies < high)].mean()))


@pytest.mark.parametrize(("colour", "slope"), [("white", 0), ("pink", -3), ("brown", -6), ("blue", 3), ("violet", 6)])
def test_noises_have_their_slopes(colour: str, slope: float) -> None:
    samples = noise(0, 4.0, COLOURS[colour])
    assert band(samples, 1900, 2100) - band(samples, 950, 1050) == pytest.approx(slope, abs=0.5)


def test_hum_is_at_the_mains_frequency_and_its_harmonics() -> None:
    samples = hum(0, 2.0, 50.0)
    assert band(samples, 49, 51) - band(samples, 60, 90) > 40
    assert band(samples, 99, 101) - band(samples, 60, 90) > 30


def test_levels_are_in_dbfs() -> None:
    assert 20 * np.log10(np.std(at_level(fan(0, 1.0), -30.0))) == pytest.approx(-30.0, abs=0.1)


def test_the_sentences_say_no_word_that_lumia_knows() -> None:
    known = {word for concept in CONCEPTS for word in concept.words}
    said = {word.strip(".,").lower() for sentence in SENTENCES for word in sentence.split()}
    assert not known & said
    assert not {word + "s" for word in known} & said


def test_a_name_that_stays_is_told_once_and_one_that_comes_back_twice() -> None:
    assert hearing.told([None, "dog", "dog", None, "dog", "cat"]) == 3
    assert hearing.told(["dog"]) == 1
    assert hearing.told([None] * 5) == 0


def test_noise_has_no_name_and_a_word_has_one() -> None:
    assert hearing.naming("noise", [at_level(noise(1, 4.0, 0.0), -35.0)], None).names == 0.0
    clip = LabelledClip(read("penguin"), "penguin", ORIGIN, "A penguin.")
    row = hearing.words("words", hearing.said([clip]), None)
    assert (row.nearest, row.named, row.warnings) == (1.0, 1.0, ())
    assert row.delay is not None
    assert row.delay[0] < 0.15


def test_what_is_said_about_level_is_warned_of() -> None:
    clip = LabelledClip(read("penguin"), "penguin", ORIGIN, "A penguin.")
    assert "clipped" in hearing.words("loud", hearing.said([clip], gain=6.0), None).warnings
    assert hearing.line(hearing.words("quiet", hearing.said([clip], level=-60.0), None)).startswith("quiet")


def test_a_sound_can_be_played_live() -> None:
    names = hearing.live(hearing.player(None), np.zeros(SAMPLE_RATE, np.float32))
    assert set(names) == {None}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_stops_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    instrument = hearing.player(None)
    monkeypatch.setattr(instrument, "step", lambda *_: 1 / 0)
    with pytest.raises(BenchError, match="ZeroDivisionError"):
        hearing.live(instrument, np.zeros(SAMPLE_RATE // 10, np.float32))
