"""A bundle of many sizes and with guidance, played live; and what a bundle that has neither says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.clock import ManualClock
from clavilux.runtime.control.parameters import RANGES, Parameters, defaults_for, describe, ranges_for
from clavilux.runtime.errors import ParameterError
from clavilux.runtime.playing.render import render_picture
from clavilux.runtime.sound.sound_file import Clip
from tests.runtime.instruments import RATE, instrument, stopped, unplayed
from tests.runtime.sound.sounds import noise

ABSENT = {"guidance", "height", "stream_batch", "width"}  # from a bundle of one size and batch without guidance


@pytest.fixture(scope="module")
def flexible(flexible_bundle: Path) -> Bundle:
    return Bundle.open(flexible_bundle)


@pytest.fixture(scope="module")
def plain(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 32), (128, 48), (48, 128), (64, 64)])
def test_a_frame_has_the_size_that_was_asked_for(flexible_bundle: Path, height: int, width: int) -> None:
    frame = instrument(flexible_bundle, height=height, width=width, steps=1).step(0.0)
    assert frame.pixels.shape == (height, width, 3)
    assert frame.pixels.std() > 0


def test_the_size_may_change_while_it_plays_with_feedback(flexible_bundle: Path) -> None:
    player = instrument(flexible_bundle, feedback=0.7, steps=2, noise="walk")
    player.hear(noise(RATE), RATE, captured_at=0.0)
    shapes = []
    for index, (height, width) in enumerate([(64, 64), (64, 96), (64, 96), (32, 128), (64, 64)]):
        player.parameters = player.parameters.merge({"height": height, "width": width}, player.ranges)
        shapes.append(player.step(index / 10).pixels.shape[:2])
    assert shapes == [(64, 64), (64, 96), (64, 96), (32, 128), (64, 64)]


def test_after_a_change_of_size_feedback_begins_anew(flexible_bundle: Path) -> None:
    """The first picture of another size is the one that an instrument without a past paints."""
    changed = instrument(flexible_bundle, feedback=0.9, steps=1, noise="fixed")
    changed.step(0.0)
    changed.parameters = changed.parameters.merge({"width": 96}, changed.ranges)
    fresh = instrument(flexible_bundle, feedback=0.9, steps=1, noise="fixed", width=96)
    np.testing.assert_array_equal(changed.step(0.1).pixels, fresh.step(0.0).pixels)


def test_feedback_goes_on_at_the_new_size(flexible_bundle: Path) -> None:
    player = instrument(flexible_bundle, feedback=0.9, steps=1, noise="fixed", width=96)
    assert not np.array_equal(player.step(0.0).pixels, player.step(0.1).pixels)


def test_blackout_and_freeze_outlive_a_change_of_size(flexible_bundle: Path) -> None:
    player = instrument(flexible_bundle, steps=1)
    player.step(0.0)
    player.parameters = player.parameters.merge({"freeze": True, "width": 96}, player.ranges)
    assert player.step(0.1).pixels.shape == (64, 64, 3)
    player.parameters = player.parameters.merge({"freeze": False}, player.ranges)
    assert player.step(0.2).pixels.shape == (64, 96, 3)


def test_a_clips_picture_has_the_size_that_was_asked_for(flexible_bundle: Path) -> None:
    player = instrument(flexible_bundle, height=32, width=80, steps=1)
    assert render_picture(player.instrument, Clip(noise(RATE, channels=1), RATE), player.parameters).shape == (
        32,
        80,
        3,
    )


def test_the_same_size_through_the_parameters_is_the_same_picture(flexible_bundle: Path) -> None:
    usual, asked = instrument(flexible_bundle), instrument(flexible_bundle, height=64, width=64)
    np.testing.assert_array_equal(usual.step(0.0).pixels, asked.step(0.0).pixels)


def test_an_engine_tells_the_size_that_holds_now(flexible_bundle: Path) -> None:
    engine = stopped(flexible_bundle, ManualClock())
    assert engine.picture == (64, 64)
    engine.set({"height": 32})
    assert engine.picture == (32, 64)


def test_an_engine_of_one_size_tells_that(tiny_bundle: Path) -> None:
    assert stopped(tiny_bundle, ManualClock()).picture == (64, 64)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("height", 40, "height is 40; expected a multiple of 16"),
        ("width", 8, "width is 8; expected 16 to 128 pixels"),
        ("width", 144, "width is 144; expected 16 to 128 pixels"),
        ("height", 0, "height is 0; expected 16 to 128 pixels"),
        ("height", 64.5, "height is 64.5; expected a whole number"),
        ("steps", 7, "steps is 7; expected 1 to 6"),
        ("guidance", 31, "guidance is 31; expected 0 to 30"),
        ("guidance", "much", "guidance is 'much'; expected a number"),
    ],
)
def test_what_the_bundle_cannot_paint_is_refused(
    flexible_bundle: Path, key: str, value: object, complaint: str
) -> None:
    engine = stopped(flexible_bundle, ManualClock())
    before = engine.parameters
    with pytest.raises(ParameterError, match=complaint):
        engine.set({"glide": 1.0, key: value})
    assert engine.parameters == before


@pytest.mark.parametrize("key", sorted(ABSENT))
def test_what_a_bundle_does_not_have_is_refused(tiny_bundle: Path, key: str) -> None:
    engine = stopped(tiny_bundle, ManualClock())
    with pytest.raises(ParameterError, match=f"no parameter '{key}'; this bundle has none"):
        engine.set({key: 1})


def test_what_no_bundle_has_is_refused_with_those_that_this_one_has(plain: Bundle) -> None:
    with pytest.raises(ParameterError, match=r"no parameter 'colour'; there are react, .*") as caught:
        defaults_for(plain).merge({"colour": 1}, ranges_for(plain))
    assert "guidance" not in str(caught.value)


def test_the_description_shows_only_what_the_bundle_has(plain: Bundle) -> None:
    assert set(describe(ranges_for(plain), defaults_for(plain))) == set(RANGES) - ABSENT


def test_the_description_shows_the_bundles_bounds_and_beginnings(flexible: Bundle) -> None:
    described = describe(ranges_for(flexible), defaults_for(flexible))
    assert set(described) == set(RANGES)
    side = {"low": 16, "high": 128, "multiple": 16, "default": 64}
    for name in ("height", "width"):
        assert {key: described[name][key] for key in side} == side
    assert (described["steps"]["high"], described["steps"]["default"]) == (6, 6)
    assert described["guidance"]["default"] == 2.5


def test_light_begins_off_where_nothing_is_known_by_name(plain: Bundle) -> None:
    named, nameless = (replace(plain, concepts=concepts) for concepts in (("owl",), ()))
    assert (defaults_for(named).light, defaults_for(nameless).light) == (Parameters().light, 0.0)
    assert Parameters().light > 0


def test_the_screens_light_begins_off_where_the_bundle_paints_light_itself(plain: Bundle) -> None:
    assert defaults_for(replace(plain, concepts=("owl",), light=True)).light == 0.0


@pytest.mark.parametrize("which", ["flexible", "plain"])
def test_what_a_bundle_begins_with_lies_in_its_ranges(which: str, request: pytest.FixtureRequest) -> None:
    bundle = request.getfixturevalue(which)
    ranges, defaults = ranges_for(bundle), defaults_for(bundle)
    values = {name: value for name, value in defaults.values().items() if name in ranges}
    assert defaults.merge(values, ranges) == defaults


def test_an_instrument_begins_as_its_bundle_says(flexible_bundle: Path) -> None:
    parameters = unplayed(flexible_bundle).defaults
    assert (parameters.steps, parameters.guidance, parameters.height, parameters.width) == (6, 2.5, 64, 64)


def test_more_guidance_is_another_picture(flexible_bundle: Path) -> None:
    pictures = [instrument(flexible_bundle, guidance=scale, steps=2).step(0.0).pixels for scale in (1, 2.5, 6)]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])


def test_the_bundles_own_guidance_holds_until_it_is_changed(flexible_bundle: Path) -> None:
    usual, asked = instrument(flexible_bundle, steps=2), instrument(flexible_bundle, guidance=2.5, steps=2)
    np.testing.assert_array_equal(usual.step(0.0).pixels, asked.step(0.0).pixels)
