"""The frame maker: which parameters move a picture, and which leave every bit of it where it was."""

from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.diffusion import frame_maker, pipeline
from clavilux.runtime.diffusion.motion import Motion
from clavilux.runtime.errors import ProviderError
from tests.runtime.instruments import Player, instrument

MOTIONS = {"motion_zoom": 0.5, "motion_rotation": 40.0, "motion_x": 0.2, "motion_y": -0.2, "motion_drift": 1.0}


def pictures(player: Player, count: int = 4, step: float = 0.1) -> np.ndarray:
    return np.stack([player.step(index * step).pixels for index in range(count)])


def without_motion(monkeypatch: pytest.MonkeyPatch, player: Player, count: int = 4) -> np.ndarray:
    """Return the pictures of a maker that knows no motion."""
    with monkeypatch.context() as patch:
        patch.setattr(frame_maker, "motion_of", lambda *arguments: None)
        patch.setattr(frame_maker, "carry", lambda noise, journey: noise(0))
        return pictures(player, count)


@pytest.mark.parametrize("noise", ["fixed", "walk", "fresh"])
@pytest.mark.parametrize("feedback", [0.0, 0.6])
def test_with_no_motion_asked_for_no_bit_is_another(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, noise: str, feedback: float
) -> None:
    plain = without_motion(monkeypatch, instrument(tiny_bundle, noise=noise, feedback=feedback))
    np.testing.assert_array_equal(pictures(instrument(tiny_bundle, noise=noise, feedback=feedback)), plain)


@pytest.mark.parametrize("name", list(MOTIONS))
@pytest.mark.parametrize("noise", ["fixed", "walk"])
def test_each_kind_of_motion_moves_the_noise_without_feedback(tiny_bundle: Path, name: str, noise: str) -> None:
    moved = pictures(instrument(tiny_bundle, noise=noise, **{name: MOTIONS[name]}))
    still = pictures(instrument(tiny_bundle, noise=noise))
    np.testing.assert_array_equal(moved[0], still[0])
    assert all((one != other).any() for one, other in zip(moved[1:], still[1:], strict=True))


def test_fresh_noise_has_nowhere_to_go_and_only_feedback_moves(tiny_bundle: Path) -> None:
    for feedback, moves in ((0.0, False), (0.8, True)):
        player, still = (
            instrument(tiny_bundle, noise="fresh", feedback=feedback, **motions) for motions in (MOTIONS, {})
        )
        assert (pictures(player) != pictures(still)).any() == moves


def test_a_moving_picture_is_painted_at_every_frame_and_one_that_has_come_to_rest_is_not(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle, noise="fixed", motion_rotation=40.0)
    assert all(player.step(index / 10).stages["denoise"] > 0 for index in range(4))
    player.parameters = player.parameters.merge({"motion_rotation": 0.0})
    resting = player.step(0.4).pixels
    frame = player.step(0.5)
    assert frame.stages["denoise"] == 0
    np.testing.assert_array_equal(frame.pixels, resting)


def test_where_it_came_to_rest_it_stays(tiny_bundle: Path) -> None:
    """A picture that has moved does not leap back when the motion ends."""
    player = instrument(tiny_bundle, noise="fixed", motion_x=0.5)
    moved = pictures(player)
    player.parameters = player.parameters.merge({"motion_x": 0.0})
    np.testing.assert_array_equal(player.step(0.4).pixels, moved[-1])


def test_the_last_latents_are_asked_to_move_by_what_a_frame_lasts(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Motion | None] = []
    player = instrument(tiny_bundle, feedback=0.5, motion_x=0.5)
    monkeypatch.setattr(pipeline, "warp", lambda latents, motion: asked.append(motion) or latents)
    for now in (0.0, 0.1, 0.3):
        player.step(now)
    assert [motion.x for motion in asked if motion] == pytest.approx([0.05, 0.1])
    assert [motion.time for motion in asked if motion] == pytest.approx([0.1, 0.3])


def test_noise_that_travels_goes_on_wandering(tiny_bundle: Path) -> None:
    slow, fast = (instrument(tiny_bundle, noise="walk", walk=walk, motion_zoom=0.5) for walk in (0.0, 1.0))
    assert all((one != other).any() for one, other in zip(pictures(slow)[1:], pictures(fast)[1:], strict=True))


def test_currents_sway_with_the_time_that_was_played(tiny_bundle: Path) -> None:
    one, other = (instrument(tiny_bundle, noise="fixed", motion_drift=1.0) for _ in range(2))
    np.testing.assert_array_equal(pictures(one), pictures(other))


def test_another_maker_goes_on_from_where_the_noise_was(tiny_bundle: Path) -> None:
    motions = {"motion_zoom": 0.5, "motion_drift": 1.0}
    player, other, afresh = (instrument(tiny_bundle, noise="walk", walk=3.0, **motions) for _ in range(3))
    pictures(player)
    other.resume(player.position)
    last, first = player.step(0.3), other.step(0.3)  # no time has passed for either
    np.testing.assert_array_equal(first.pixels, last.pixels)
    assert (afresh.step(0.3).pixels != last.pixels).any()
    assert first.sequence == last.sequence


@pytest.mark.parametrize("noise", [np.nan, np.inf])
def test_latents_that_are_not_finite_are_an_error_and_no_picture(tiny_bundle: Path, noise: float) -> None:
    player = instrument(tiny_bundle)
    player.step(0.0)
    shape = 1, player.bundle.latents.channels, player.bundle.latents.height, player.bundle.latents.width
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_maker, "_layer", lambda *arguments: np.full(shape, noise, np.float32))
        with pytest.raises(ProviderError, match="not finite"):
            player.step(0.1)
    assert player.step(0.2).pixels.any()


def test_a_picture_of_one_colour_is_one_where_its_latents_are_numbers(tiny_bundle: Path) -> None:
    player = instrument(tiny_bundle)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            player.instrument.models.decoder.session, "run", lambda inputs: [np.zeros((1, 64, 64, 3), np.uint8)]
        )
        assert not player.step(0.0).pixels.any()
