"""Which ways could not be taken lately: they are tried last for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import ProxyUnreachable, TunnelError, TunnelTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._decision import Way

COOL_DOWN: Final = 300.0  # seconds, as Chromium has it; Firefox has half an hour
_MOST: Final = 1024  # ways that are remembered: a list in the wild names a handful


def is_unreached(error: TunnelError) -> bool:
    """Whether an attempt failed because the proxy could not be reached.

    That is its name and its TCP, and no more: what answers is there. Another proxy would be a way
    round a refusal, which is not ours to look for (Chromium 67 stopped doing so).
    """
    match error:
        case ProxyUnreachable():
            return True
        case TunnelTimeout(phase="resolve" | "tcp"):
            return True
        case _:
            return False


class Health:
    """The ways that could not be reached, and until when they rest.

    Threads share it without a lock: each touch is one operation of a dict.

    Args:
        cool_down: For how many seconds a way rests.
        clock: What tells the time, in seconds; it never goes back.
    """

    def __init__(
        self, cool_down: float = COOL_DOWN, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cool_down: Final = cool_down
        self._clock: Final = clock
        self._until: Final[dict[Way, float]] = {}

    def report(self, way: Way, error: TunnelError | None) -> None:
        """What came of an attempt on this way.

        Args:
            way: The way. The direct one never rests: there is no proxy to be missed.
            error: How it failed; None if it did not.
        """
        if error is None:
            self._until.pop(way, None)
        elif way and is_unreached(error):
            if len(self._until) >= _MOST:
                self._make_room()
            self._until[way] = self._clock() + self._cool_down

    def rests(self, way: Way) -> bool:
        """Whether this way could not be reached lately."""
        until = self._until.get(way)
        return until is not None and self._clock() < until

    def order(self, ways: Iterable[Way]) -> list[Way]:
        """The same ways, and those that rest behind all others."""
        return sorted(ways, key=self.rests)

    def _make_room(self) -> None:
        ways = list(self._until)
        # What rests no more, or else all of them: it is a memory, and no duty.
        for way in [way for way in ways if not self.rests(way)] or ways:
            self._until.pop(way, None)
