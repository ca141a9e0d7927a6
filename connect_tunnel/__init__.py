"""TCP connections through HTTP proxies, for threads, asyncio and trio.

    with connect_tunnel.open_tunnel("imap.example.com:993", via="http://proxy:3128") as tunnel:
        tls = tunnel.start_tls()

This module is the list of public names, and nothing else. What threads do not need (the
async shell, and anyio with it) is loaded at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._challenge import Challenge
from ._errors import (
    InvalidProxy,
    InvalidTarget,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyTLSError,
    ProxyUnreachable,
    TargetTLSError,
    TunnelBroken,
    TunnelClosed,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)
from ._headers import Headers
from ._http2 import HTTP2
from ._lazy import load as _load
from ._proxy import Proxy
from ._response import ProxyResponse
from ._route import Route
from ._sync.dialer import Dialer, open_tunnel
from ._sync.refusal import Refusal
from ._sync.tunnel import Tunnel
from ._target import Target
from ._timeout import Timeout
from ._version import __version__

if TYPE_CHECKING:
    from ._async.dialer import AsyncDialer, open_tunnel_async
    from ._async.forward import AsyncForwarder, forward_async, serve_proxy_async
    from ._async.refusal import AsyncRefusal
    from ._async.tunnel import AsyncTunnel
    from ._sync.forward import Forwarder, forward, serve_proxy
    from .routing._decision import Decision

__all__ = [
    "HTTP2",
    "AsyncDialer",
    "AsyncForwarder",
    "AsyncRefusal",
    "AsyncTunnel",
    "Challenge",
    "Decision",
    "Dialer",
    "Forwarder",
    "Headers",
    "InvalidProxy",
    "InvalidTarget",
    "Proxy",
    "ProxyAuthenticationRequired",
    "ProxyHungUp",
    "ProxyMisbehaved",
    "ProxyResponse",
    "ProxyTLSError",
    "ProxyUnreachable",
    "Refusal",
    "Route",
    "Target",
    "TargetTLSError",
    "Timeout",
    "Tunnel",
    "TunnelBroken",
    "TunnelClosed",
    "TunnelError",
    "TunnelRefused",
    "TunnelTimeout",
    "__version__",
    "forward",
    "forward_async",
    "open_tunnel",
    "open_tunnel_async",
    "serve_proxy",
    "serve_proxy_async",
]

_LAZY = {
    "AsyncDialer": "._async.dialer",
    "AsyncForwarder": "._async.forward",
    "AsyncRefusal": "._async.refusal",
    "AsyncTunnel": "._async.tunnel",
    "Decision": ".routing",  # where it is at home
    "Forwarder": "._sync.forward",
    "forward": "._sync.forward",
    "forward_async": "._async.forward",
    "open_tunnel_async": "._async.dialer",
    "serve_proxy": "._sync.forward",
    "serve_proxy_async": "._async.forward",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - TYPE_CHECKING has the types
    found = globals()[name] = _load(__name__, name, _LAZY)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _publish() -> None:
    """Tell each object where it is public, for its repr, its pickles and its documentation."""
    for name in set(__all__) - _LAZY.keys() - {"__version__"}:
        globals()[name].__module__ = __name__


_publish()
