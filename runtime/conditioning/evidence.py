"""Evidence that a thing is heard: near enough, for long enough; then its name counts, and stays for a moment.

Something short, such as a word or a bark, is judged as soon as it is over, or before that where it is very near: while
it sounds, and in running speech, the nearest name is another one every few moments. A sound that goes on has to be near
for longer. What no name has evidence for is none of the things that a bundle knows.
"""

import math
from dataclasses import dataclass

from clavilux.runtime.bundle.manifest import EvidenceSpec
from clavilux.runtime.frame import Heard

SHORT = 1.2  # s that something short lasts at most
OVER = (0.04, 2.0)  # s of pause after which it may be over, and as long as it can be what is heard
CLEAR = 0.12  # s that something short has to be very near, if it is not over:
NEARER = 1 / 3  # of the way from the similarity of a sound that goes on to 1
STAY = 0.3  # s that a name stays without being the nearest: syllables differ, and silence follows words
SLACK = 0.1  # of similarity that a name may lose before it counts as gone
RISE, FALL = 0.15, 0.6  # time constants of the confidence, s


@dataclass(frozen=True)
class Moment:
    """Moment of a stream: what is the nearest, and whether something short has just been over."""

    nearest: Heard | None  # None: nothing that has a name
    seconds: float  # since the moment before,
    sounding: float  # and how many of them are of sound that came in
    lasted: float  # s, of the newest sound event,
    over_for: float  # and since it ended


class Evidence:
    """State: the name that counts, the evidence for one that may come to, and the confidence that one is known."""

    def __init__(self, spec: EvidenceSpec) -> None:
        self.heard: Heard | None = None  # the name that counts, with its newest similarity
        self.known = 0.0  # confidence that it is what sounds, 0 to 1
        self.late: float | None = None  # s that the name which has just begun to count was near before; else None
        self._spec = spec
        self._candidate: str | None = None
        self._near = 0.0  # s that the candidate has been near
        self._short = 0.0  # s, by similarity squared, since something short was over
        self._held = 0.0  # s that the candidate has been near as a sound that goes on has to be,
        self._clear = 0.0  # and very near
        self._missed = 0.0  # s that the name that counts has not been heard

    def advance(self, moment: Moment) -> bool:
        """Take the next moment; return whether its own nearest name is the one that counts."""
        nearest = moment.nearest
        near = nearest if nearest is not None and nearest.similarity >= self._spec.similarity else None
        self._gather(near, moment)
        self.late = None
        if near is not None and self._suffices(moment):
            if self.heard is None or self.heard.name != near.name:
                self.late = self._near
            self.heard, self._missed = near, 0.0
        elif self.heard is not None:
            self._keep(self.heard, nearest, moment.seconds)
        self._grow_sure(moment.seconds)
        return self.heard is not None and self.heard is nearest

    def forget(self, seconds: float) -> None:
        """Take that nothing sounds, for so many seconds."""
        self.heard = self._candidate = None
        self.late = None
        self._near = self._short = self._held = self._clear = 0.0
        self._grow_sure(seconds)

    def _gather(self, near: Heard | None, moment: Moment) -> None:
        """Gather evidence for the candidate, or begin anew for another one."""
        same = near is not None and near.name == self._candidate
        if not same:
            self._near = self._short = self._held = self._clear = 0.0
        self._candidate = None if near is None else near.name
        if near is None:
            return
        self._near += moment.seconds if same else 0.0
        since = min(moment.seconds, moment.over_for)  # what a long hop heard before the end is no evidence
        self._short = self._short + since * near.similarity**2 if _is_over(moment) else 0.0
        held = self._spec.held_similarity
        clear = held + NEARER * (1 - held)
        self._held = self._held + moment.sounding if same and near.similarity >= held else 0.0
        self._clear = self._clear + moment.sounding if same and near.similarity >= clear else 0.0

    def _suffices(self, moment: Moment) -> bool:
        """Whether there is enough evidence for the candidate."""
        is_enough = (_is_over(moment) and self._short >= self._spec.persistence) or self._clear >= CLEAR
        return (is_enough and moment.lasted <= SHORT) or self._held >= self._spec.held_persistence

    def _keep(self, counts: Heard, nearest: Heard | None, seconds: float) -> None:
        """Keep the name that counts while it is the nearest and hardly less near, or was a moment ago."""
        least = self._spec.similarity - SLACK
        if nearest is not None and nearest.name == counts.name and nearest.similarity >= least:
            self.heard, self._missed = nearest, 0.0
            return
        self._missed += seconds
        if self._missed > STAY:
            self.heard = None

    def _grow_sure(self, seconds: float) -> None:
        aim = 0.0 if self.heard is None else self._share(self.heard.similarity)
        constant = RISE if aim > self.known else FALL
        self.known += (1 - math.exp(-seconds / constant)) * (aim - self.known)

    def _share(self, similarity: float) -> float:
        """Return a similarity as confidence: a half where a name may begin to count, 1 halfway from there to alike."""
        least = self._spec.similarity
        return min(1.0, max(0.0, 0.5 + (similarity - least) / max(1e-6, 1 - least)))


def _is_over(moment: Moment) -> bool:
    """Whether a sound event has ended, not long ago."""
    low, high = OVER
    return low <= moment.over_for <= high
