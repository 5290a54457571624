"""Gaps of a source: a pulled cable, a muted microphone, nobody who listened. What was known has grown old then."""

MAX_GAP = 0.5  # s between two chunks that still belong together
MAX_SILENCE = 10.0  # s of it that stand for a longer gap: after them nothing of the sound before is known


class Gaps:
    """State: until when there has been sound."""

    def __init__(self) -> None:
        self._until: float | None = None

    def before(self, captured_at: float, seconds: float) -> float:
        """Take a chunk of so many seconds, captured at `captured_at` s; return how long nothing was heard before it.

        In seconds: 0 for MAX_GAP or less, MAX_SILENCE at most.
        """
        gap = 0.0 if self._until is None else captured_at - self._until
        self._until = captured_at + seconds
        return min(gap, MAX_SILENCE) if gap > MAX_GAP else 0.0
