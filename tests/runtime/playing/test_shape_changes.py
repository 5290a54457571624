"""Changes of the pictures' shape: a few at once, then one a second, and all else at the next frame."""

from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.playing.shape_changes import BURST, ShapeChanges


def sized(height: int, **others: float | bool) -> Parameters:
    return Parameters(height=height, width=64, **others)  # type: ignore[arg-type]


def held(changes: ShapeChanges, count: int) -> list[int]:
    """Return the heights that hold where `count` others are asked for at once."""
    return [changes.hold(sized(64 + 8 * k), 0.0).height for k in range(1, count + 1)]


def test_a_few_changes_hold_at_once_and_the_others_when_their_time_has_come() -> None:
    changes = ShapeChanges()
    changes.hold(sized(64), 0.0)
    last = 64 + 8 * BURST
    assert held(changes, BURST + 3) == [*range(72, last + 8, 8), last, last, last]
    assert changes.hold(sized(256), 1.0).height == 256


def test_the_first_shape_is_no_change() -> None:
    changes = ShapeChanges()
    changes.hold(sized(64), 0.0)
    assert held(changes, BURST)[-1] == 64 + 8 * BURST


def test_everything_else_holds_at_once() -> None:
    changes = ShapeChanges()
    held(changes, BURST + 2)
    found = changes.hold(sized(512, glide=2.0), 0.0)
    assert (found.glide, found.height) == (2.0, 72 + 8 * BURST)


def test_back_to_the_shape_that_holds_is_no_change() -> None:
    changes = ShapeChanges()
    held(changes, BURST + 1)
    assert changes.hold(sized(72 + 8 * BURST), 0.0).height == 72 + 8 * BURST
    assert changes.hold(sized(64), 1.0).height == 64


def test_steps_are_part_of_the_shape_where_all_of_them_run_at_once() -> None:
    changes = ShapeChanges()
    assert [changes.hold(Parameters(steps=k), 0.0).steps for k in range(1, 10)] == list(range(1, 10))
    batched = [changes.hold(Parameters(steps=k, stream_batch=True), 0.0) for k in range(1, 10)]
    assert [found.steps for found in batched] == [*range(1, BURST + 1), *[BURST] * (9 - BURST)]
    assert changes.hold(Parameters(steps=9), 0.0) == batched[-1]
