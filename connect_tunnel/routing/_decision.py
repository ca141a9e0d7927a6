"""What a router decided: the ways to try, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from connect_tunnel._errors import InvalidProxy
from connect_tunnel._frozen import Frozen
from connect_tunnel._proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterable

Way: TypeAlias = tuple[Proxy, ...]
"""The proxies to pass, in order; none is the direct way."""


class Decision(Frozen):
    """The ways on which a target may be reached, and what decided it.

    Args:
        ways: The ways to try, in order. Each is a chain: the first of its proxies is dialled,
            the last opens the target, and one without proxies is direct.
        rule: What decided, in words that a person may read: it holds no secret.

    Attributes:
        ways: The same, as tuples.
        rule: The same.

    Raises:
        InvalidProxy: There is no way at all, or something in one is not a Proxy.
    """

    __slots__ = __match_args__ = ("ways", "rule")

    ways: tuple[Way, ...]
    rule: str

    def __init__(self, ways: Iterable[Iterable[Proxy]], rule: str) -> None:
        read = tuple(tuple(way) for way in ways)
        fine = all(isinstance(proxy, Proxy) for way in read for proxy in way)
        if not read or not fine:
            del ways, read  # URLs in the place of proxies may hold a password
            raise InvalidProxy(
                "a decision names one way at least, each of them a chain of Proxy objects",
                hint="write [[proxy]] for one proxy, and [[]] for none",
            )
        self._set(ways=read, rule=rule)

    @property
    def proxies(self) -> Way:
        """The proxies of the way to try first; empty when it is direct."""
        return self.ways[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decision) and (self.ways, self.rule) == (other.ways, other.rule)

    def __hash__(self) -> int:
        return hash((self.ways, self.rule))

    def __str__(self) -> str:
        return ", or ".join(_in_words(way) for way in self.ways)

    def _shown(self) -> str:
        return f"<Decision: {self}; {self.rule}>"


def _in_words(way: Way) -> str:
    return "through " + ", then ".join(proxy.url for proxy in way) if way else "direct"
