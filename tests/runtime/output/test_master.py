"""The master fades evenly, glides, is black at once when it must, and has the same numbers in the page."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from clavilux.runtime.output.master import GAMMA, GLIDE, Master
from tests.paths import ROOT

FRAME = 1 / 60  # s
NODE = shutil.which("node")


def opened() -> Master:
    master = Master()
    master.advance(0.0)
    return master


def test_it_begins_open():
    assert Master().advance(FRAME) == 1


def test_it_begins_where_it_is_asked_to_be_without_a_fade_or_a_glide():
    assert Master().advance(FRAME, fade=10.0, blackout=True) == 0
    assert Master().advance(FRAME, master=0.3) == pytest.approx(0.3)


@pytest.mark.parametrize("which", ["blackout", "panic"])
def test_without_a_fade_black_is_at_once_and_so_is_the_way_back(which: str):
    master = opened()
    assert master.advance(FRAME, **{which: True}) == 0
    assert master.advance(FRAME) == 1


def test_black_is_black_also_before_any_time_has_passed():
    assert Master().advance(0.0, blackout=True) == 0


def test_a_fade_is_even_to_the_eye_and_takes_its_time():
    master = opened()
    gains = [master.advance(0.1, fade=1.0, blackout=True) for _ in range(10)]
    np.testing.assert_allclose(np.array(gains) ** (1 / GAMMA), np.linspace(0.9, 0, 10), atol=1e-9)
    assert master.advance(0.5, fade=1.0) == pytest.approx(0.5**GAMMA)


def test_panic_waits_for_no_fade():
    master = opened()
    assert master.advance(FRAME, fade=60.0, blackout=True) > 0.99
    assert master.advance(FRAME, fade=60.0, blackout=True, panic=True) == 0


def test_a_fade_that_turns_round_goes_back_from_where_it_was():
    master = opened()
    master.advance(0.25, fade=1.0, blackout=True)
    assert master.advance(0.25, fade=1.0) == 1


def test_time_that_goes_back_is_none():
    master = opened()
    assert master.advance(-1.0, fade=1.0) == 1
    assert master.advance(-100.0, master=0.5) == 1


def test_both_together_are_one_black():
    master = opened()
    master.advance(FRAME, blackout=True, panic=True)
    assert master.advance(FRAME, panic=True) == 0


def test_the_fader_makes_no_steps():
    master = opened()
    gains = [1.0, *(master.advance(FRAME, master=0.2) for _ in range(60))]
    assert max(-np.diff(gains)) < 0.2
    assert gains[-1] == pytest.approx(0.2, abs=1e-5)


def test_the_glide_is_the_same_at_any_frame_rate():
    one, many = opened(), opened()
    once = one.advance(GLIDE, master=0.0)
    for _ in range(8):
        often = many.advance(GLIDE / 8, master=0.0)
    assert once == pytest.approx(often)


def test_the_page_has_the_same_numbers():
    assert NODE, "no Node.js here; `bash .ci/run` installs it"
    rng = np.random.default_rng(0)
    steps = [
        (
            float(rng.uniform(-0.02, 0.1)),
            {
                "master": float(rng.choice((0.2, 0.7, 1.0))),
                "fade": float(rng.choice((0.0, 0.4))),
                "blackout": bool(i // 20 % 3 == 1),
                "panic": bool(i // 35 % 4 == 2),
            },
        )
        for i in range(300)
    ]
    master = Master()
    expected = [master.advance(seconds, **values) for seconds, values in steps]
    script = ROOT / "tests" / "server" / "page" / "master_steps.mjs"
    run = subprocess.run(
        [NODE, script], input=json.dumps(steps), capture_output=True, text=True, timeout=60, check=True
    )
    np.testing.assert_allclose(json.loads(run.stdout), expected, atol=1e-9)
    assert 0 in expected
    assert 0 < np.mean(expected) < 1
