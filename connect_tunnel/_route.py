"""The way that a tunnel takes: its hops, and what each of them answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ._frozen import Frozen

if TYPE_CHECKING:
    from ._proxy import Proxy
    from ._response import ProxyResponse


class Hop:
    """One proxy of a way, and its place in it."""

    __slots__ = __match_args__ = ("proxy", "number", "of")

    def __init__(self, proxy: Proxy, number: int = 1, of: int = 1) -> None:
        self.proxy: Final = proxy
        self.number: Final = number
        self.of: Final = of

    @property
    def place(self) -> str | None:
        """Which of several hops this is, as in "2 of 3"."""
        return f"{self.number} of {self.of}" if self.of > 1 else None

    def __repr__(self) -> str:
        return f"<Hop {self.number} of {self.of}: {self.proxy.url}>"


Hops: TypeAlias = tuple[Hop, ...]


class Route(Frozen):
    """The way that an open tunnel takes.

    Attributes:
        proxies: The URL of each proxy, without userinfo, in the order they are passed.
        responses: What each answered, in the same order.
    """

    __slots__ = __match_args__ = ("proxies", "responses")

    proxies: tuple[str, ...]
    responses: tuple[ProxyResponse, ...]

    def __init__(self, proxies: tuple[str, ...], responses: tuple[ProxyResponse, ...]) -> None:
        self._set(proxies=proxies, responses=responses)

    def _shown(self) -> str:
        return f"<Route {' -> '.join(self.proxies)}>"
