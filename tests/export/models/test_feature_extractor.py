"""The settings beside an encoder: what is read, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import SeamlessM4TFeatureExtractor

from clavilux.export.models.feature_extractor import Features, FeatureSettings, read_feature_settings
from clavilux.export.models.usual_sounds import voice
from clavilux.runtime.errors import ExportError
from tests.export.checkpoints.hub import FakeHub, serving, use_cache, write_cache

W2V_BERT = {
    "feature_extractor_type": "SeamlessM4TFeatureExtractor",
    "feature_size": 80,
    "num_mel_bins": 80,
    "padding_side": "right",
    "padding_value": 1,
    "return_attention_mask": True,
    "sampling_rate": 16000,
    "stride": 2,
}
"""Configuration of facebook/w2v-bert-2.0's own feature extractor."""


def settings(folder: Path, **changes: object) -> FeatureSettings:
    told = {key: value for key, value in (W2V_BERT | changes).items() if value is not ...}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return read_feature_settings(folder)


def refusal(folder: Path, **changes: object) -> str:
    with pytest.raises(ExportError) as caught:
        settings(folder, **changes)
    return str(caught.value).removeprefix(f"encoder {folder}: preprocessor_config.json has ")


def test_an_encoder_without_the_file_was_trained_as_the_reference(tmp_path: Path):
    assert read_feature_settings(tmp_path) == FeatureSettings(0.0, 60_000, "nothing")


def test_the_hubs_own_extractor_pads_with_ones(tmp_path: Path):
    assert settings(tmp_path) == FeatureSettings(1, 60_000, "nothing")


def test_what_clavilux_train_writes_is_read(tmp_path: Path):
    found = settings(tmp_path, padding_value=..., window_seconds=6.07, lead_in="silence")
    assert found == FeatureSettings(0.0, 97_120, "silence")


def test_an_encoder_on_the_hub_is_read_as_one_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "encoder").mkdir()
    expected = settings(tmp_path / "encoder", window_seconds=6.07, lead_in="silence")
    write_cache(use_cache(tmp_path / "hub", monkeypatch), "me/encoder", tmp_path / "encoder")
    assert read_feature_settings("me/encoder") == expected == FeatureSettings(1, 97_120, "silence")


def test_that_the_hub_has_no_such_file_is_remembered_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "hub" / "me" / "encoder").mkdir(parents=True)
    use_cache(tmp_path / "cache", monkeypatch, offline=False)
    with serving(FakeHub(tmp_path / "hub"), monkeypatch):
        assert read_feature_settings("me/encoder") == FeatureSettings()
    use_cache(tmp_path / "cache", monkeypatch)
    assert read_feature_settings("me/encoder") == FeatureSettings()


def test_what_cannot_be_asked_is_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "config.json").write_text("{}")
    write_cache(use_cache(tmp_path / "hub", monkeypatch), "me/encoder", tmp_path / "repository")
    with pytest.raises(ExportError, match=r"preprocessor_config\.json, which tells its window and padding, is not in"):
        read_feature_settings("me/encoder")


def test_the_stride_is_the_encoders_to_tell(tmp_path: Path):
    assert settings(tmp_path, stride=1) == settings(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling_rate": 8000}, "sampling_rate 8000; expected 16000"),
        ({"num_mel_bins": 128}, "num_mel_bins 128; expected 80"),
        ({"feature_size": 1}, "feature_size 1; expected 80"),
        ({"padding_side": "left"}, "padding_side 'left'; expected 'right'"),
        (
            {"feature_extractor_type": "Wav2Vec2FeatureExtractor"},
            "feature_extractor_type 'Wav2Vec2FeatureExtractor'; expected 'SeamlessM4TFeatureExtractor'",
        ),
        ({"padding_value": "0"}, "padding_value '0'; expected a number, -1000 to 1000"),
        ({"padding_value": True}, "padding_value True; expected a number, -1000 to 1000"),
        ({"padding_value": float("nan")}, "padding_value nan; expected a number, -1000 to 1000"),
        ({"window_seconds": 0}, "window_seconds 0; expected a number, 0.025 to 60"),
        ({"window_seconds": float("inf")}, "window_seconds inf; expected a number, 0.025 to 60"),
        ({"window_seconds": 1.5001}, "window_seconds 1.5001; expected whole hundredths of a second"),
        ({"lead_in": "noise"}, "lead_in 'noise'; expected nothing or silence"),
        ({"lead_in": []}, "lead_in []; expected nothing or silence"),
    ],
)
def test_another_front_end_is_refused_in_a_line(tmp_path: Path, changes: dict, message: str):
    assert refusal(tmp_path, **changes) == message


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_broken_file_is_refused(tmp_path: Path, text: str):
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ExportError, match=r"preprocessor_config\.json is not"):
        read_feature_settings(tmp_path)


def test_raw_features_have_one_row_per_whole_frame():
    assert Features(60_000).raw(voice(60_000, 0)).shape == (1, 373, 80)


def test_prepared_features_have_the_references_shape():
    assert Features(60_000).prepared(voice(60_000, 0)).shape == (1, 188, 160)


@pytest.mark.parametrize("seconds", [0.5, 3.75, 10])
@pytest.mark.parametrize("padding", [0.0, 1.0])
def test_prepared_features_are_those_of_an_extractor_with_these_settings(seconds: float, padding: float):
    sound = voice(round(seconds * 16_000), 1)
    how = {"padding": "max_length", "max_length": 375, "truncation": True, "return_tensors": "np"}
    theirs = SeamlessM4TFeatureExtractor(padding_value=padding)(sound, sampling_rate=16_000, **how)
    np.testing.assert_array_equal(Features(60_000, padding).prepared(sound), theirs["input_features"])
