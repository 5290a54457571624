"""The adapters of festival, Pico and Piper say what they are told, and name what is missing."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia.data import assets, festival, pico, piper
from clavilux.training.lumia.data.espeak import Espeak
from clavilux.training.lumia.data.festival import Festival


@pytest.fixture
def speaker():
    engine = Festival()
    yield engine
    engine.close()


def test_festival_speaks_in_all_three_voices(speaker):
    for voice in (*festival.DIPHONES, *festival.HTS):
        samples, rate = speaker.say("A dog.", voice)
        assert rate in (16_000, 32_000)
        assert 0.3 < len(samples) / rate < 2.0
        assert np.abs(samples).max() > 0.1


def test_festival_says_the_same_twice_whatever_was_said_between(speaker):
    first, _ = speaker.say("A dog.", "ked", 1.1, 0.9)
    speaker.say("A cat.", "kal", 0.9, 1.3)
    np.testing.assert_array_equal(speaker.say("A dog.", "ked", 1.1, 0.9)[0], first)


def test_speed_and_pitch_reach_festival():
    script = festival._script("A dog.", "ked_diphone", 1.25, 1.2, Path("take.wav"))
    assert "Duration_Stretch 0.800" in script
    assert "(target_f0_mean 126.0)" in script
    assert "target_f0_mean" not in festival._script("A dog.", "cmu_us_slt_arctic_hts", 1, 1.2, Path("take.wav"))


def test_quotes_end_no_string_of_festival(speaker):
    samples, _ = speaker.say('A "dog" \\ cat.', "kal")
    assert len(samples) > 0


def test_a_voice_that_festival_lacks_is_named(speaker, monkeypatch):
    monkeypatch.setitem(festival.DIPHONES, "nobody", "nobody_diphone")
    with pytest.raises(ClaviluxError, match="no voice nobody_diphone"):
        speaker.say("A dog.", "nobody")
    assert len(speaker.say("A dog.", "kal")[0]) > 0


def test_a_festival_that_ends_is_told_of(speaker):
    speaker._process.kill()
    with pytest.raises(ClaviluxError, match="ended with exit code -9 while it spoke"):
        speaker.say("A dog.", "kal")


def test_a_missing_festival_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClaviluxError, match="install the package festival"):
        Festival()


def test_pico_is_imported_from_its_wheel_and_scaled(tmp_path, monkeypatch):
    (tmp_path / "py_nanotts").mkdir()
    (tmp_path / "py_nanotts/__init__.py").write_text(
        "import array\n"
        "class NanoTTS:\n"
        "    def speak(self, text, voice, speed, pitch, volume):\n"
        "        assert (text, voice, speed, pitch, volume) == ('A dog.', 'en-GB', 1.2, 0.9, 0.5)\n"
        "        return array.array('h', [0, 16384, -32768]).tobytes()\n"
    )
    monkeypatch.setattr(assets, "python_packages", lambda folder, wheels: folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "py_nanotts", raising=False)
    samples = pico.Pico(tmp_path).say("A dog.", "en-GB", 1.2, 0.9)
    sys.modules.pop("py_nanotts")
    assert samples.tolist() == [0.0, 0.5, -1.0]


NUMBERS = {"^": [1], "$": [2], "_": [0], "d": [7], "ɔ": [8], "̃": [9], " ": [3]}


def test_phonemes_are_numbered_with_pads_between_and_ends_round_them():
    assert piper.phoneme_numbers("dɔ", NUMBERS) == [1, 0, 7, 0, 8, 0, 2]


def test_unknown_phonemes_are_left_out_and_marks_stand_alone():
    assert piper.phoneme_numbers("d?õ", NUMBERS) == [1, 0, 7, 0, 9, 0, 2]


def test_piper_feeds_its_model_without_noise(tmp_path, monkeypatch):
    fed = {}

    class FakeSession:
        def __init__(self, *_, **__):
            pass

        def run(self, _, feed):
            fed.update(feed)
            return [np.ones((1, 1, 1, 5), np.float32)]

    class FakeEspeak:
        def phonemes(self, text, voice):
            assert (text, voice) == ("A dog.", "en-us")
            return "dɔ"

    model = tmp_path / piper.MODEL
    model.parent.mkdir(parents=True)
    config = {"audio": {"sample_rate": 22_050}, "phoneme_id_map": NUMBERS, "espeak": {"voice": "en-us"}}
    model.with_suffix(".onnx.json").write_text(json.dumps(config))
    monkeypatch.setattr(assets, "python_packages", lambda folder, wheels: folder)
    monkeypatch.setattr(piper.ort, "InferenceSession", FakeSession)
    engine = piper.Piper(tmp_path, FakeEspeak())
    assert engine.say("A dog.").shape == (5,)
    assert engine.rate == 22_050
    assert fed["input"].tolist() == [[1, 0, 7, 0, 8, 0, 2]]
    assert fed["input_lengths"].tolist() == [7]
    assert fed["scales"].tolist() == [0.0, 1.0, 0.0]


def test_espeak_gives_phonemes_with_the_stop_of_the_text():
    assert Espeak().phonemes("Look, an owl!", "en-us") == "lˈʊk, ɐn ˈaʊl!"  # noqa: RUF001
    assert Espeak().phonemes("dog", "en-us") == "dˈɑːɡ"  # noqa: RUF001
