"""Reading `via`: the way there, as a caller may say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ._errors import InvalidProxy
from ._proxy import Proxy, ProxyLike
from ._route import Hop, Hops, Routed, hops_of

if TYPE_CHECKING:
    from .routing._router import Router

Via: TypeAlias = "ProxyLike | Router | list[str] | list[Proxy] | list[ProxyLike]"


def read_via(via: Via) -> Hops | Routed | InvalidProxy | ImportError:
    """The hops of a way, or who decides on them, or what is wrong with it.

    The error is returned for the caller to raise once it has forgotten `via`: tracebacks
    print the locals of the frames that they pass, and a URL may hold a password.
    """
    if isinstance(via, Proxy):
        return (Hop(via),)
    try:
        return _read(via)
    except (InvalidProxy, ImportError) as error:
        return error.with_traceback(None)


def _read(via: Via) -> Hops | Routed:
    if isinstance(via, str):
        return hops_of((Proxy.parse(via),))
    if not isinstance(via, list):
        from .routing._router import Router  # noqa: PLC0415 - for those who have one

        if isinstance(via, Router):
            return Routed(via)
        raise InvalidProxy(
            f"via is a URL, a Proxy, a router, or a list of proxies, not {type(via).__name__}",
            hint="write 'http://host:port'; without a proxy it is routing.Direct()",
        )
    if not via:
        raise InvalidProxy("a way of no proxies at all", hint="name at least one")
    return hops_of([Proxy.parse(proxy) for proxy in via])


def shares(way: Hops | Routed) -> bool:
    """Whether its connections may be shared."""
    return isinstance(way, Routed) or any(hop.multiplexes for hop in way)


def shown(way: Hops | Routed) -> str:
    """A way in words, fit for a repr."""
    if isinstance(way, Routed):
        return repr(way)
    return " -> ".join(hop.proxy.url for hop in way)
