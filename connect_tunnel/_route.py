"""The way that a tunnel takes: its hops, and what each of them answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ._errors import InvalidProxy
from ._frozen import Frozen
from .auth._exchange import Memory

if TYPE_CHECKING:
    import ssl  # noqa: TID251 - the type of a context
    from collections.abc import Sequence

    from ._proxy import Proxy
    from ._response import ProxyResponse
    from .routing._decision import Way
    from .routing._router import Router


class Hop:
    """One proxy of a way, its place in it, and what it has taught us.

    A hop lives as long as its way: that of a `Dialer`, or of one opening.

    Attributes:
        http1_only: Whether it has turned out to be of no use in HTTP/2.
    """

    __slots__ = ("http1_only", "memory", "number", "of", "proxy")
    __match_args__ = ("proxy", "number", "of")

    def __init__(self, proxy: Proxy, number: int = 1, of: int = 1) -> None:
        self.memory: Final = None if proxy.auth is None else Memory()
        self.proxy: Final = proxy
        self.number: Final = number
        self.of: Final = of
        self.http1_only: bool = False

    @property
    def multiplexes(self) -> bool:
        """Whether it is to be asked in HTTP/2, if it agrees."""
        return self.proxy.http2 is not None and not self.http1_only

    @property
    def protocols(self) -> tuple[str, ...]:
        """What it is offered by ALPN (RFC 7301)."""
        if not self.multiplexes:
            return ("http/1.1",)
        return ("h2", "http/1.1") if self.proxy.http1 else ("h2",)

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """For TLS with it; what one context offers cannot be taken back."""
        settings = self.proxy.http2
        if self.http1_only and settings is not None and settings.fallback_context is not None:
            return settings.fallback_context
        return self.proxy.ssl_context

    @property
    def place(self) -> str | None:
        """Which of several hops this is, as in "2 of 3"."""
        return f"{self.number} of {self.of}" if self.of > 1 else None

    def __repr__(self) -> str:
        return f"<Hop {self.number} of {self.of}: {self.proxy.url}>"


Hops: TypeAlias = tuple[Hop, ...]
"""The hops of a way, in the order they are passed; none on the direct way."""


def hops_of(proxies: Sequence[Proxy]) -> Hops:
    """The hops of a way through these proxies.

    Raises:
        InvalidProxy: One that can only be dialled is behind another.
    """
    if len(proxies) == 1:
        return (Hop(proxies[0]),)
    for proxy in proxies[1:]:
        if proxy.unix_path is not None or proxy.proxy_protocol is not None:
            what = "is behind a Unix socket" if proxy.unix_path else "is told the PROXY protocol"
            raise InvalidProxy(f"{what}, so it can only be the first", proxy_url=proxy.url)
    return tuple(Hop(proxy, number, len(proxies)) for number, proxy in enumerate(proxies, 1))


class Routed:
    """Ways that a router decides on, target by target, and their hops.

    The hops are kept, and with them what their proxies have taught us. Each belongs to one
    way, so that nothing that one proxy said ever reaches another.
    """

    __slots__ = ("_hops", "router")

    def __init__(self, router: Router) -> None:
        self.router: Final = router
        self._hops: Final[dict[Way, Hops]] = {}

    def hops(self, way: Way) -> Hops:
        """The hops of one of the ways."""
        hops = self._hops.get(way)
        if hops is None:
            if len(self._hops) >= _MOST_WAYS:
                self._hops.clear()
            # Who comes second finds the first one's.
            hops = self._hops.setdefault(way, hops_of(way))
        return hops

    def __repr__(self) -> str:
        return repr(self.router)


_MOST_WAYS = 256  # a router may make up ways without end: a PAC file for each session


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
        return f"<Route {' -> '.join(self.proxies) or 'direct'}>"
