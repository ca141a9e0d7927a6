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
        multiplexes: Whether it is to be asked in HTTP/2, if it agrees.
        protocols: What it is offered by ALPN (RFC 7301).
        ssl_context: For TLS with it; None for the process's own.
    """

    __slots__ = ("memory", "multiplexes", "number", "of", "protocols", "proxy", "ssl_context")
    __match_args__ = ("proxy", "number", "of")

    def __init__(self, proxy: Proxy, number: int = 1, of: int = 1) -> None:
        self.memory: Final = None if proxy.auth is None else Memory()
        self.proxy: Final = proxy
        self.number: Final = number
        self.of: Final = of
        self.ssl_context: ssl.SSLContext | None = proxy.ssl_context
        self.multiplexes: bool = proxy.http2 is not None
        self.protocols: tuple[str, ...] = _HTTP1
        if self.multiplexes:
            self.protocols = ("h2", *_HTTP1) if proxy.http1 else ("h2",)

    def forgo_http2(self) -> None:
        """Ask it in HTTP/1.1 from here on: it has turned out to be of no use in HTTP/2."""
        settings = self.proxy.http2
        if settings is not None and settings.fallback_context is not None:
            self.ssl_context = settings.fallback_context  # what one offers cannot be taken back
        self.protocols = _HTTP1
        self.multiplexes = False

    @property
    def place(self) -> str | None:
        """Which of several hops this is, as in "2 of 3"."""
        return f"{self.number} of {self.of}" if self.of > 1 else None

    def __repr__(self) -> str:
        return f"<Hop {self.number} of {self.of}: {self.proxy.url}>"


_HTTP1: Final = ("http/1.1",)

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
