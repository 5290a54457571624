"""Changes of the shape that graphs run at, bounded in number: the size of the pictures, and how many run at once.

Each allocates, and on a card captures a graph; a size that changes with every frame would leave time for nothing else.
Pure: told the time.
"""

from dataclasses import replace

from clavilux.runtime.control.parameters import Parameters, Value
from clavilux.runtime.token_bucket import TokenBucket

SHAPING = ("height", "width", "stream_batch", "steps")
BURST = 4  # changes that may follow each other at once,
PER_SECOND = 1.0  # and in the long run


class ShapeChanges:
    """State: the shape that holds, and how many changes are left."""

    def __init__(self) -> None:
        self._held: dict[str, Value] = {}  # SHAPING, as they were last let through
        self._left = TokenBucket(BURST, PER_SECOND)

    def hold(self, parameters: Parameters, now: float) -> Parameters:
        """Return the parameters of the frame at `now` seconds, with the last shape until a change of it is due."""
        values = parameters.values()
        wanted = {name: values[name] for name in SHAPING}
        if self._held and _shape(wanted) != _shape(self._held):
            if self._left.available(now) < 1:
                return replace(parameters, **self._held)  # type: ignore[arg-type]
            self._left.spend(1)
        self._held = wanted
        return parameters


def _shape(values: dict[str, Value]) -> tuple[Value, ...]:
    """Return what graphs are prepared for; the number of steps is part of it where all of them run at once."""
    return values["height"], values["width"], values["stream_batch"] and values["steps"]
