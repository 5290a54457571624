"""Cached embeddings, given or computed."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from clavilux.export.models.conditioning import SEED, check_concepts, check_shapes, make_conditioning, read_given
from clavilux.export.models.usual_sounds import (
    KINDS,
    NOISE_AMPLITUDE,
    NOISE_SEED,
    ROOM_AMPLITUDE,
    reference_hiss,
    room,
    usual_sounds,
    white_noise,
)
from clavilux.runtime.errors import ExportError

SAMPLES = 4000
BOS = np.arange(3, dtype=np.float32)
HISS = np.array([[4, 5, 6], [7, 8, 9]], np.float32)  # tokens


def encode(samples: np.ndarray) -> np.ndarray:
    """Stand in for an encoder: two tokens that tell sounds apart."""
    return np.stack([np.resize(samples[:3], 3), np.full(3, samples.std())]).astype(np.float32)


def prompt(samples: np.ndarray) -> np.ndarray:
    return np.concatenate([BOS[None], encode(samples)])


def test_the_negative_embedding_is_the_hiss_behind_bos():
    made = make_conditioning({}, BOS, HISS, encode, SAMPLES)
    np.testing.assert_array_equal(made.negative, np.concatenate([BOS[None], HISS]))


def test_the_idle_embedding_is_a_quiet_room_behind_bos():
    made = make_conditioning({}, BOS, HISS, encode, SAMPLES)
    np.testing.assert_array_equal(made.idle, prompt(room(SAMPLES, SEED)))


def test_statistics_run_over_different_sounds():
    made = make_conditioning({}, BOS, HISS, encode, SAMPLES)
    assert (made.token_std[0] == 0).all()
    assert (made.token_std[1:] > 0).all()
    assert made.token_mean.shape == (3, 3)


@pytest.mark.parametrize("name", ["negative", "idle"])
def test_a_given_embedding_is_taken_as_it_is(name: str):
    given = {name: np.full((3, 3), 7, np.float32)}
    assert (getattr(make_conditioning(given, BOS, HISS, encode, SAMPLES), name) == 7).all()


def test_given_statistics_are_taken_as_they_are():
    given = {"token_mean": np.zeros((3, 3), np.float32), "token_std": np.ones((3, 3), np.float32)}
    made = make_conditioning(given, BOS, HISS, encode, SAMPLES)
    assert (made.token_mean.sum(), made.token_std.sum()) == (0, 9)


def test_a_given_bos_stands_before_the_text_encoders():
    made = make_conditioning({"bos": BOS + 1}, BOS, HISS, encode, SAMPLES)
    np.testing.assert_array_equal(made.negative[0], BOS + 1)


def test_given_concepts_are_kept():
    concepts = np.ones((2, 2, 3), np.float32)
    assert make_conditioning({"concepts": concepts}, BOS, HISS, encode, SAMPLES).concepts is concepts


def test_given_rows_of_light_are_kept_and_none_are_made():
    light = np.ones((9, 3), np.float32)
    assert make_conditioning({"light": light}, BOS, HISS, encode, SAMPLES).light is light
    assert make_conditioning({}, BOS, HISS, encode, SAMPLES).light is None


def test_without_bos_there_is_no_conditioning():
    with pytest.raises(ExportError, match="there is no BOS embedding; give a text encoder"):
        make_conditioning({}, None, HISS, encode, SAMPLES)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [("bos", (4,), [3]), ("idle", (2, 3), [3, 3]), ("concepts", (5, 3, 3), [5, 2, 3]), ("light", (8, 3), [9, 3])],
)
def test_a_given_embedding_of_another_shape_is_refused(name: str, shape: tuple[int, ...], expected: list[int]):
    with pytest.raises(ExportError) as caught:
        check_shapes({name: np.zeros(shape, np.float32)}, count=3, width=3)
    assert f"{name!r} has shape {list(shape)}; expected {expected}" in str(caught.value)


def test_fitting_embeddings_pass():
    given = {"bos": BOS, "negative": np.zeros((3, 3), np.float32), "concepts": np.zeros((5, 2, 3), np.float32)}
    given["light"] = np.zeros((9, 3), np.float32)
    check_shapes(given, count=3, width=3)
    check_concepts(given, ["a", "b", "c", "d", "e"])


def test_nothing_given_is_nothing_read():
    assert read_given(None) == {}


def test_given_arrays_are_read_as_float32(tmp_path: Path):
    save_file({"bos": BOS.astype(np.float16)}, tmp_path / "given.safetensors")
    assert read_given(tmp_path / "given.safetensors")["bos"].dtype == np.float32


def test_an_unknown_array_is_refused(tmp_path: Path):
    save_file({"mood": BOS}, tmp_path / "given.safetensors")
    with pytest.raises(ExportError, match="holds 'mood'; expected only bos, negative"):
        read_given(tmp_path / "given.safetensors")


@pytest.mark.parametrize("content", [b"", b"something else entirely"])
def test_a_file_without_tensors_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "given.safetensors").write_bytes(content)
    with pytest.raises(ExportError, match="is not a safetensors file"):
        read_given(tmp_path / "given.safetensors")


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ExportError, match="is not a safetensors file"):
        read_given(tmp_path / "given.safetensors")


@pytest.mark.parametrize("make", KINDS)
def test_a_sound_is_finite_audible_and_within_range(make):
    sound = make(SAMPLES, 3)
    assert (sound.dtype, sound.shape) == (np.float32, (SAMPLES,))
    assert 0 < np.abs(sound).max() <= 1


@pytest.mark.parametrize("make", KINDS)
def test_a_seed_always_gives_the_same_sound(make):
    np.testing.assert_array_equal(make(SAMPLES, 3), make(SAMPLES, 3))
    assert not np.array_equal(make(SAMPLES, 3), make(SAMPLES, 4))


def test_white_noise_has_the_references_amplitude():
    assert white_noise(64_000, 0).std() == pytest.approx(NOISE_AMPLITUDE, rel=0.02)


def test_shorter_white_noise_is_the_beginning_of_the_same_draw():
    np.testing.assert_array_equal(white_noise(500, 0), white_noise(64_000, 0)[:500])


def test_a_room_has_its_level_and_falls_with_frequency():
    sound = room(16_000, 0)
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert sound.std() == pytest.approx(ROOM_AMPLITUDE, rel=0.01)
    assert power[10:100].mean() > 10 * power[4000:].mean()


def test_usual_sounds_take_the_kinds_in_turn():
    sounds = usual_sounds(SAMPLES, len(KINDS) + 1)
    np.testing.assert_array_equal(sounds[-1], KINDS[0](SAMPLES, len(KINDS)))


@pytest.mark.parametrize(("window", "samples"), [(60_000, 64_000), (32_000, 64_000), (80_000, 80_000)])
def test_the_references_hiss_lasts_four_seconds_or_a_longer_window(window: int, samples: int):
    hiss = reference_hiss(window)
    assert len(hiss) == samples
    np.testing.assert_array_equal(hiss, white_noise(samples, NOISE_SEED))
