"""Several ways to the same targets, of which one will do."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from connect_tunnel._errors import InvalidProxy
from connect_tunnel._frozen import Frozen
from connect_tunnel._proxy import Proxy, ProxyLike
from connect_tunnel._timeout import seconds

from ._decision import Decision
from ._health import Health
from ._router import Direct, Router

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from connect_tunnel._errors import TunnelError
    from connect_tunnel._steps import Program
    from connect_tunnel._target import Target

    from ._decision import Way

WayLike: TypeAlias = "ProxyLike | Direct | list[str] | list[Proxy] | list[ProxyLike]"

_COOL_DOWN = 60.0  # seconds; a proxy that is restarted is back by then


class FirstWorking(Router, Frozen):
    """The first of several ways that can be reached.

    Only a proxy that cannot be reached leads to the next: its name is unknown, or nobody
    accepts a connection. What a proxy answers is final, a 403 and a 407 too; to ask another one
    for what this one forbids is not for a library to decide. Credentials, and what was learnt
    with them, stay with their proxy.

    Args:
        ways: In order of preference: URLs, proxies, lists of these for chains, and `Direct()`
            for no proxy at all, which is never taken unless it is named.
        cool_down: For how many seconds one that could not be reached is tried last.
        rotate: Whether each opening begins with the way behind the one that the last began with.

    Raises:
        InvalidProxy: One is unusable, or there is none.
        ValueError: `cool_down` is not a positive number.
    """

    __slots__ = ("_health", "_turns", "rotate", "ways")

    ways: tuple[Way, ...]
    rotate: bool
    _health: Health
    _turns: Iterator[int]

    def __init__(
        self, ways: Iterable[WayLike], *, cool_down: float = _COOL_DOWN, rotate: bool = False
    ) -> None:
        read = _read(ways)
        del ways  # a traceback would print them, and they may hold a password
        if isinstance(read, InvalidProxy):
            raise read
        health = Health(seconds(cool_down) or float("inf"))
        # Its `next` is one operation, so that threads get a turn each.
        self._set(ways=read, rotate=rotate, _health=health, _turns=count())

    def route(self, target: Target) -> Program[Decision]:
        """Decide for all of them, in the order of the moment."""
        del target
        yield from ()
        first = next(self._turns) % len(self.ways) if self.rotate else 0
        ways = self._health.order(self.ways[first:] + self.ways[:first])
        return Decision(ways, f"the first that can be reached of {len(ways)}")

    def report(self, way: Way, error: TunnelError | None) -> None:
        """Learn what came of an attempt."""
        self._health.report(way, error)

    def _shown(self) -> str:
        shown = (" -> ".join(proxy.url for proxy in way) or "direct" for way in self.ways)
        return f"<FirstWorking: {', '.join(shown)}>"


def _read(ways: Iterable[WayLike]) -> tuple[Way, ...] | InvalidProxy:
    """The ways, or what is wrong with them, to be raised where no frame has seen a URL."""
    try:
        if isinstance(ways, str | Proxy):
            raise InvalidProxy("ways are a list", hint="one way alone needs no FirstWorking")
        read = tuple(_read_way(way) for way in ways)
    except InvalidProxy as error:
        return error.with_traceback(None)
    return read or InvalidProxy("no ways at all", hint="name at least one")


def _read_way(way: WayLike) -> Way:
    match way:
        case Direct():
            return ()
        case list():
            if not way:
                raise InvalidProxy("a way of no proxies at all", hint="Direct() says so")
            return tuple(Proxy.parse(proxy) for proxy in way)
        case _:
            return (Proxy.parse(way),)
