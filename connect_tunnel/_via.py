"""Reading `via`: the way there, as a caller may say it."""

from __future__ import annotations

from typing import TypeAlias

from ._errors import InvalidProxy
from ._proxy import Proxy, ProxyLike
from ._route import Hop, Hops

Via: TypeAlias = "ProxyLike | list[str] | list[Proxy] | list[ProxyLike]"


def read_via(via: Via) -> Hops | InvalidProxy:
    """The hops of a way, or what is wrong with it.

    The error is returned for the caller to raise once it has forgotten `via`: tracebacks
    print the locals of the frames that they pass, and a URL may hold a password.
    """
    try:
        return _read(via)
    except InvalidProxy as error:
        return error.with_traceback(None)


def _read(via: Via) -> Hops:
    if isinstance(via, Proxy | str):
        return (Hop(Proxy.parse(via)),)
    if not isinstance(via, list):
        raise InvalidProxy(
            f"via is a URL, a Proxy, or a list of these, not {type(via).__name__}",
            hint="write 'http://host:port'",
        )
    if not via:
        raise InvalidProxy("a way of no proxies at all", hint="name at least one")
    proxies = [Proxy.parse(proxy) for proxy in via]
    return tuple(Hop(proxy, number, len(proxies)) for number, proxy in enumerate(proxies, 1))
