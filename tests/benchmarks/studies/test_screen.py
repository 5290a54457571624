"""Figures of the screen as they are told; the measuring itself needs a browser and time."""

import argparse

import pytest

from clavilux.benchmarks.studies.screen import NOTHING, SETTINGS, Row, size, table
from clavilux.runtime.output.effects import NEUTRAL


def test_each_effect_is_told_beside_pictures_alone_at_its_own_size():
    rows = [
        Row(640, 360, NOTHING, 5.0, 9.0, 60.0, 1.0),
        Row(640, 360, "glow", 8.0, 12.0, 30.0, 0.5),
        Row(1280, 720, NOTHING, 20.0, 30.0, 20.0, 0.5),
        Row(1280, 720, "glow", 27.5, 40.0, 15.0, 0.25),
    ]
    lines = table(rows).splitlines()
    assert [next(word for word in line.split() if word[0] == "+") for line in lines[-4:]] == [
        "+0.0",
        "+3.0",
        "+0.0",
        "+7.5",
    ]


def test_every_effect_is_measured():
    assert {name for values in SETTINGS.values() for name in values} == set(NEUTRAL)


def test_a_size_is_written_with_an_x():
    assert size("1280x720") == (1280, 720)
    with pytest.raises(argparse.ArgumentTypeError, match="1280x720"):
        size("wide")
