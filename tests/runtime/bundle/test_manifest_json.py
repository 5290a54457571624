"""Reading manifests that come from outside."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.bundle.manifest import EvidenceSpec, GuidanceSpec
from clavilux.runtime.bundle.manifest_json import format_manifest, parse_manifest
from clavilux.runtime.errors import BundleError
from clavilux.runtime.loading import DEFAULT_BUNDLE
from tests.runtime.bundle.manifests import DOCUMENT, document

LUMIA = DEFAULT_BUNDLE / "bundle.json"
FILE = {"bytes": 1, "sha256": "0" * 64}


def refusal(path: str, value: object = None) -> str:
    """Return what is said of DOCUMENT with `value` at `path`."""
    with pytest.raises(BundleError) as caught:
        parse_manifest(json.dumps(document(path, value)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_manifest_survives_writing_and_reading():
    manifest = parse_manifest(json.dumps(DOCUMENT))
    assert parse_manifest(format_manifest(manifest)) == manifest


def test_the_written_manifest_says_the_same_as_the_read_one():
    assert json.loads(format_manifest(parse_manifest(json.dumps(DOCUMENT)))) == DOCUMENT


def test_the_default_bundles_manifest_is_written_as_it_was_read():
    text = (DEFAULT_BUNDLE / "bundle.json").read_text(encoding="utf-8")
    assert format_manifest(parse_manifest(text)) == text


def test_of_a_key_that_stands_twice_the_last_counts():
    text = json.dumps(DOCUMENT)
    assert parse_manifest(text[:-1] + ', "name": "second"}').name == "second"
    assert parse_manifest(text.replace('"1": [3]', '"1": [0], "1": [3]')).schedule.timesteps[1] == (3.0,)


def test_a_manifest_that_does_not_tell_its_evidence_has_the_default_bundles():
    assert parse_manifest(json.dumps(document("evidence"))).evidence == EvidenceSpec()


def test_what_is_evidence_for_a_held_sound_is_no_less_than_for_a_short_one():
    assert refusal("evidence.held_similarity", 0.3) == (
        "bundle.json: evidence.held_similarity is 0.3; expected 0.4 or more, what a short sound needs"
    )


def asked(height: int, width: int, *, factor: int = 8, channels: int = 4, batch: int = 1, largest: int = 0) -> str:
    """Return DOCUMENT with pictures of this size, and of sizes up to `largest` where that is given."""
    sizes = {"smallest": 64, "largest": largest, "multiple": 64} if largest else None
    latents = {"channels": channels, "height": height // factor, "width": width // factor}
    picture = {"height": height, "width": width}
    return json.dumps(DOCUMENT | {"picture": picture, "latents": latents, "sizes": sizes, "batch": batch})


@pytest.mark.parametrize(
    "text",
    [
        asked(2048, 2048, batch=64),
        asked(4096, 4096, channels=16, batch=16),
        asked(2048, 8192),
        asked(2048, 2048, factor=1, channels=3),
        asked(1024, 1024, batch=64, largest=4096),
        asked(1024, 1024, largest=8192),
    ],
)
def test_large_pictures_are_taken(text: str) -> None:
    assert parse_manifest(text).batch >= 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (asked(8192, 8192), "a picture of 8192x8192 has 67108864 pixels; expected 16777216 at most, as 4096x4096 has"),
        (asked(4160, 4096), "a picture of 4160x4096 has 17039360 pixels; expected 16777216 at most"),
        (
            asked(4096, 4096, factor=1, channels=5),
            "of 5 channels for 16777216 pixels and a batch of 1 are 83886080 numbers; expected 67108864 at most",
        ),
        (asked(512, 512, factor=1, batch=64, channels=8), "and a batch of 64 are 134217728 numbers"),
        (asked(64, 64, channels=64, batch=64, largest=8192), "of 64 channels for 16777216 pixels and a batch of 64"),
    ],
)
def test_a_manifest_that_asks_for_more_memory_than_any_in_use_is_refused(text: str, line: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_manifest(text)
    assert line in str(caught.value)


def test_a_manifest_that_does_not_tell_its_lead_in_means_the_references():
    assert parse_manifest(json.dumps(document("audio.lead_in"))).audio.lead_in == "nothing"


OPTIONAL = ("parity", "concepts", "evidence", "steps", "guidance", "sizes", "batch", "light")


def test_what_older_bundles_do_not_tell_may_be_missing():
    manifest = parse_manifest(json.dumps({key: value for key, value in DOCUMENT.items() if key not in OPTIONAL}))
    assert (manifest.parity, manifest.concepts, manifest.steps, manifest.batch) == ((), (), 1, 1)
    assert (manifest.guidance, manifest.sizes, manifest.light) == (GuidanceSpec("none", 1.0, 1.0), None, False)


@pytest.mark.parametrize("key", ["kept", "choices"])
def test_how_the_arithmetic_was_chosen_may_be_missing(key: str):
    assert getattr(parse_manifest(json.dumps(document(f"precision.{key}"))).precision, key) == ()


def test_sizes_may_be_nothing():
    assert parse_manifest(json.dumps(DOCUMENT | {"sizes": None})).sizes is None


def test_unknown_fields_are_left_to_later_versions():
    assert parse_manifest(json.dumps(DOCUMENT | {"mood": "blue"})).name == "small"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nonsense",
        "[" * 100_000,
        '{"format": ' + "9" * 5000 + "}",
        json.dumps(DOCUMENT | {"mood": float("nan")}),
        "\ud800",
    ],
)
def test_what_is_not_json_is_refused(text: str):
    with pytest.raises(BundleError, match="not JSON"):
        parse_manifest(text)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"bundle"'])
def test_what_is_not_an_object_is_refused(text: str):
    with pytest.raises(BundleError, match="expected an object"):
        parse_manifest(text)


@pytest.mark.parametrize("found", [2, 0, "1", None, True, 1.0])
def test_another_format_is_refused(found: object):
    assert "this version of Clavilux reads 1" in refusal("format", found)


@pytest.mark.parametrize("path", [key for key in DOCUMENT if key not in ("format", *OPTIONAL)])
def test_every_required_field_is_missed_by_name(path: str):
    assert f"{path} is missing; expected" in refusal(path)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", "", "name is ''; expected one line of text"),
        ("name", "two\nlines", "expected one line of text"),
        ("licence", 3, "licence is 3; expected one line of text"),
        ("sources", "here", "sources is 'here'; expected a list"),
        ("sources", ["here"], "sources[0] is 'here'; expected an object"),
        ("audio.sample_rate", 44100, "sample_rate is 44100; expected 16000"),
        (
            "audio.window_samples",
            32001,
            "window_samples is 32001; expected a whole number, 560 to 960000, a multiple of 160",
        ),
        ("audio.window_samples", 160, "window_samples is 160; expected a whole number, 560 to"),
        ("audio.lead_in", "hum", "lead_in is 'hum'; expected one of nothing, silence"),
        ("audio.hop_samples", 1601, "hop_samples is 1601; expected a whole number, 160 to 960000, a multiple of 160"),
        ("audio.hop_samples", 32160, "hop_samples is 32160; expected at most the window's 32000"),
        ("audio.mel_bins", 128, "mel_bins is 128"),
        ("tokens.count", 1, "count is 1; expected a whole number, 2 to"),
        ("tokens.width", 2.5, "width is 2.5; expected a whole number"),
        ("tokens.width", True, "width is true; expected a whole number"),
        ("latents.channels", 0, "channels is 0"),
        ("picture.height", 65, "does not fit latents of 8x16"),
        ("picture.width", 64, "does not fit latents of 8x16"),
        ("schedule.kind", "heun", "kind is 'heun'; expected one of euler, ddim, lcm"),
        ("schedule.prediction", ["epsilon"], "prediction is ['epsilon']; expected one of"),
        ("schedule.alphas_cumprod", [], "alphas_cumprod is empty"),
        ("schedule.alphas_cumprod", [0.5, 1.5], "alphas_cumprod[1] is 1.5; expected a number, 0 to 1"),
        ("schedule.alphas_cumprod", [float("nan")], "alphas_cumprod[0] is nan"),
        ("schedule.initial_noise", float("inf"), "initial_noise is inf"),
        ("schedule.initial_noise", 10**400, "expected a number, 0 to 100"),
        ("schedule.final_alpha", "1", "final_alpha is '1'; expected a number"),
        ("schedule.timesteps", {"2": [3, 1]}, "timesteps: 1 is missing"),
        ("schedule.timesteps", {"1": [3], "x": [1]}, "timesteps has the key 'x'"),
        ("schedule.timesteps", {"1": [4]}, "1[0] is 4; expected a number, 0 to 3"),
        ("schedule.timesteps", {"1": [3, 1]}, "1 is [3.0, 1.0]; expected 1 falling timesteps"),
        ("schedule.timesteps", {"1": [3], "2": [1, 3]}, "expected 2 falling timesteps"),
        ("schedule.timesteps", {"1": [3], "3": [3, 2, 1]}, "timesteps: 2 is missing; expected every number of steps"),
        ("steps", 0, "steps is 0; expected a whole number, 1 to 1000"),
        ("steps", 3, "steps is 3; expected a number that the schedule has"),
        ("guidance", "much", "guidance is 'much'; expected an object"),
        ("guidance.kind", "twice", "kind is 'twice'; expected one of none, classic, once, self"),
        ("guidance.scale", 31, "scale is 31; expected a number, 0 to 30"),
        ("guidance.delta", -0.1, "delta is -0.1; expected a number, 0 to 1"),
        ("sizes", [64, 256], "sizes is [64, 256]; expected an object"),
        ("sizes.smallest", 4, "smallest is 4; expected a whole number, 8 to"),
        ("sizes.smallest", 65, "the side 65 does not fit sizes 65 to 256; expected multiples of 64"),
        ("sizes.smallest", 128, "the side 64 does not fit sizes 128 to 256; expected multiples of 64"),
        ("sizes.largest", 32, "largest is 32; expected 64 or more"),
        ("sizes.largest", 64, "the side 128 does not fit sizes 64 to 64"),
        ("sizes.multiple", 0, "multiple is 0; expected a whole number, 1 to"),
        ("sizes.multiple", 4, "multiple is 4; expected a multiple of 8"),
        ("batch", 65, "batch is 65; expected a whole number, 1 to 64"),
        ("precision.arithmetic", "int4", "arithmetic is 'int4'; expected one of float32, float16, int8"),
        ("precision.kept", [{"component": "unet", "operators": "Sin", "count": 0}], "count is 0; expected a whole"),
        ("precision.choices", [{"component": "unet", "arithmetic": "bits"}], "arithmetic is 'bits'; expected one of"),
        ("precision.storage", "int8", "storage is 'int8'; expected one of float32, float16"),
        ("files", {"denoiser.onnx": {"bytes": -1, "sha256": "0" * 64}}, "bytes is -1"),
        ("files", {"denoiser.onnx": {"bytes": 1, "sha256": "0" * 63}}, "expected 64 hexadecimal digits"),
        ("parity", [{"component": "unet", "figure": "cosine", "value": "high"}], "value is 'high'"),
        ("concepts", "dog", "concepts is 'dog'; expected a list"),
        ("concepts", [7], "concepts[0] is 7; expected one line of text"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(path: str, value: object, message: str):
    assert message in refusal(path, value)


@pytest.mark.parametrize(
    "name", ["../denoiser.onnx", "a/b", "a\\b", "/etc/passwd", "..", ".", "", ".hidden", "a..b", "é"]
)
def test_a_file_name_that_could_leave_the_folder_is_refused(name: str):
    assert "expected plain file names" in refusal("files", {name: FILE})


@pytest.mark.parametrize("name", ["denoiser.onnx", "denoiser.onnx.data", "model-00001.bin", "README"])
def test_plain_file_names_pass(name: str):
    assert list(parse_manifest(json.dumps(document("files", {name: FILE}))).files) == [name]


def test_a_number_too_large_for_any_type_is_named():
    text = json.dumps(DOCUMENT).replace('"final_alpha": 1.0', '"final_alpha": 1e999')
    with pytest.raises(BundleError, match="final_alpha is inf; expected a number, 0 to 1"):
        parse_manifest(text)


def test_brackets_without_end_in_an_unknown_field_are_refused():
    with pytest.raises(BundleError, match="not JSON"):
        parse_manifest(json.dumps(DOCUMENT)[:-1] + ', "mood": ' + "[" * 100_000)


def test_a_text_that_no_line_can_hold_is_refused():
    assert "sources[0]: origin is 'a\\u202eb'; expected one line of text" in refusal(
        "sources", [{"component": "unet", "origin": "a\u202eb"}]
    )


def test_a_long_wrong_value_is_shortened():
    assert len(refusal("name", "x" * 10_000)) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
PATHS = [*DOCUMENT, *(f"{key}.{name}" for key, table in DOCUMENT.items() if isinstance(table, dict) for name in table)]


@given(path=st.sampled_from(PATHS), value=JSON)
def test_any_json_is_taken_or_refused_in_one_line(path: str, value: object):
    changed = document()
    *way, key = path.split(".", 1) if "files" not in path else (path.split(".")[0],)
    (changed[way[0]] if way else changed)[key] = value
    assert "\n" not in outcome(json.dumps(changed))


def outcome(text: str) -> str:
    try:
        return parse_manifest(text).name
    except BundleError as error:
        return str(error)


@pytest.mark.parametrize("key", ["steps", "audio", "tokens", "files", "sizes", "batch"])
def test_a_lone_surrogate_is_named_wherever_it_stands(key: str) -> None:
    text = json.dumps(json.loads(LUMIA.read_text()) | {key: "\ud800"})
    with pytest.raises(BundleError, match=rf"{key} is '\\ud800'"):
        parse_manifest(text)


@pytest.mark.parametrize("value", ["1e999", "-1e999", "9" * 500, "2", "[]"])
def test_no_format_but_ours_is_taken_however_it_is_written(value: str) -> None:
    text = LUMIA.read_text().replace('"format": 1,', f'"format": {value},')
    with pytest.raises(BundleError, match="has format"):
        parse_manifest(text)
