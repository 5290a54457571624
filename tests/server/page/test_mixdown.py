"""The page's mixdown under node, against its twin in Python: what is taken, and how it sounds."""

import json
import shutil
import subprocess
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clavilux.runtime.sound.channels import Mixdown

HERE = Path(__file__).parent
NODE = shutil.which("node")
RATE = 16_000  # Hz
BLOCK = RATE // 100  # samples
Samples = NDArray[np.float32]


def in_javascript(sound: Samples, folder: Path) -> tuple[Samples, list[int | None]]:
    assert NODE, "no Node.js here; `bash .ci/run` installs it"
    path = folder / "samples"
    sound.tofile(path)
    command = [NODE, HERE / "mixdown_twin.mjs", path, str(sound.shape[1]), str(BLOCK)]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    return np.array(answer["mixed"], np.float32), answer["taken"]


def in_python(sound: Samples) -> tuple[Samples, list[int | None]]:
    mixdown, mixed, taken = Mixdown(sound.shape[1]), [], []
    for block in np.split(sound, len(sound) // BLOCK):
        mixed.append(mixdown.mix(block))
        taken.append(mixdown.taken)
    return np.concatenate(mixed), taken


def noise(seed: int, seconds: float = 1.0) -> Samples:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def side_by_side(*channels: Samples | float) -> Samples:
    return np.stack([np.broadcast_to(np.float32(channel), RATE) for channel in channels], axis=1)


def scenes(channels: int) -> Samples:
    """Return all channels alike, the last alone, all alike, turned over by turns, the first alone, louder; 1 s each."""
    alike, turned = np.ones(channels), np.where(np.arange(channels) % 2, -0.5, 0.5)
    first, last = 5 * np.eye(channels)[0], np.eye(channels)[-1]
    levels = np.repeat([alike, last, alike, turned, first], RATE, axis=0)
    own = np.random.default_rng(3).normal(0, 0.01, levels.shape)
    return (levels * noise(6, 5.0)[:, None] + own + 0.05).astype(np.float32)


VOICE = noise(1)
GOLDEN: dict[str, tuple[Samples, set[int | None]]] = {
    "one channel": (side_by_side(VOICE), {None}),
    "equal sides": (side_by_side(VOICE, VOICE), {None}),
    "sides that differ": (side_by_side(VOICE, noise(2)), {None}),
    "one side turned over": (side_by_side(VOICE, -VOICE), {1}),
    "a dead side": (side_by_side(0.0, VOICE), {2}),
    "a dead side with an offset": (side_by_side(0.5, VOICE), {2}),
    "one of eighteen": (side_by_side(*[VOICE if number == 3 else 0.0 for number in range(1, 19)]), {3}),
    "the centre of 5.1": (side_by_side(*(VOICE if number == 2 else 0.05 * noise(number) for number in range(6))), {3}),
    "B-format from behind": (side_by_side(VOICE, -VOICE, 0.0, 0.0), {1}),
    "too quiet to tell": (side_by_side(1e-5 * VOICE, -1e-5 * VOICE), {None}),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_channels_are_mixed_so_that_none_is_lost(name: str, tmp_path: Path):
    sound, expected = GOLDEN[name]
    mixed, taken = in_javascript(sound, tmp_path)
    twin, twin_taken = in_python(sound)
    assert set(taken) == expected
    assert taken == twin_taken
    np.testing.assert_allclose(mixed, twin, atol=1e-7)


@pytest.mark.parametrize("channels", [3, 8, 32])
def test_what_is_taken_changes_as_the_rule_says_and_crossfades(channels: int, tmp_path: Path):
    sound = scenes(channels)
    mixed, taken = in_javascript(sound, tmp_path)
    twin, twin_taken = in_python(sound)
    assert [one for one, _ in groupby(taken)][:3] == [None, channels, None]
    assert taken[-1] == 1
    assert taken == twin_taken
    np.testing.assert_allclose(mixed, twin, atol=1e-6)
