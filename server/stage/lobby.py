"""The lobby of a stage: connections that have not started, few in all and few of an address.

Where it is full a newcomer is let in, and the oldest goes, of the address that has most there: whoever comes to play
starts at once, and whoever only holds places loses them.
"""

from collections import Counter

from clavilux.server.stage.outbox import Farewell, Outbox
from clavilux.server.stage.refusals import try_again

RETRY_SECONDS = 1.0


class Lobby:
    """Connections that have not started, oldest first."""

    def __init__(self, most: int, most_per_house: int) -> None:
        self._most = most
        self._most_per_house = most_per_house
        self._houses: dict[Outbox, str] = {}

    def enter(self, outbox: Outbox, house: str) -> None:
        """Let in the connection of `outbox`, from the addresses `house`; dismiss another if there are too many."""
        self._houses[outbox] = house
        counts = Counter(self._houses.values())
        if counts[house] > self._most_per_house:
            self._dismiss_oldest(house)
        elif len(self._houses) > self._most:
            self._dismiss_oldest(counts.most_common(1)[0][0])

    def leave(self, outbox: Outbox) -> None:
        """Forget the connection: it has started, or ended; twice does no harm."""
        self._houses.pop(outbox, None)

    def dismiss(self, farewell: Farewell) -> None:
        """Say goodbye to all of them."""
        for outbox in self._houses:
            outbox.finish(farewell)

    def _dismiss_oldest(self, house: str) -> None:
        oldest = next(outbox for outbox, from_where in self._houses.items() if from_where == house)
        self.leave(oldest)
        oldest.finish(try_again("too many connections that have not started", RETRY_SECONDS))
