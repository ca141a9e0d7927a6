"""Transports for `httpx2`: its client, with every https:// request through a tunnel.

    transport = TunnelTransport("http://alice:s3cret@proxy.corp:3128")
    with httpx2.Client(transport=transport) as client:
        try:
            response = client.get("https://www.example.com/")
        except httpx2.ProxyError as error:
            print(error.__cause__.response.body)  # of a TunnelRefused: the proxy's own words

They stand wherever an `httpx2.HTTPTransport` does, as in the `http_client=` of an SDK, and behave
as one that connects directly: retries, limits, HTTP/2 and timeouts are as they are without a
proxy. "connect" is the time for all that has to happen until the tunnel is open.

**http://** is not tunnelled: such a request is sent to the proxy itself, as it is by every browser,
by curl and by httpx2, since most proxies open tunnels to few ports and 80 is not among them. What
comes back is the response, also where it is of the proxy's making: nobody can tell. Only a 407
is the proxy's for certain, and a `ProxyError`. With `tunnel_http=True` there is a tunnel for http://
too, and then the proxy sees of either the host and the port alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpcore2
import httpx2

from connect_tunnel.routing import Environment as _Environment

from . import _httpx
from . import httpcore2 as _cores

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

__all__ = [
    "AsyncTunnelTransport",
    "TunnelTransport",
    "mounts_from_environment",
    "mounts_from_environment_async",
]


class TunnelTransport(
    _httpx.Transport[httpx2.Request, httpx2.Response, httpx2.Limits], httpx2.HTTPTransport
):
    """Sends requests through a proxy.

    `response.extensions["proxy_response"]` is the proxy's answer to CONNECT, a `ProxyResponse`,
    also where the tunnel has served requests before; there is none where there was no CONNECT.

    What a proxy says is never a response: it is a `httpx2.ProxyError`, whose `__cause__` is the
    `TunnelRefused` with the proxy's answer. A proxy that cannot be reached is a `ConnectError`, and
    `retries` tries it again; none of these leaves a place in the pool taken.

    Args:
        via: The way there: a URL, a `Proxy`, a list of these, or a router.
        verify: For TLS with the origin. httpcore2 tells a context which ALPN to offer, so do not
            share it with a `Proxy`.
        cert: A certificate of the client's, for the origin.
        trust_env: Whether SSL_CERT_FILE and SSL_CERT_DIR count. No proxy is taken from there.
        http1: Whether to offer HTTP/1.1 to the origin.
        http2: Whether to offer HTTP/2 to the origin (extra: `httpx2[http2]`).
        limits: Of the connections for tunnels, and once more of those for what is forwarded.
        retries: How often to try again to connect.
        local_address: The host to dial from.
        socket_options: For `setsockopt` on the socket to the first proxy.
        tunnel_http: Whether http:// goes through tunnels, too.

    Raises:
        InvalidProxy: There is no such way.
    """

    _httpx = httpx2
    _httpcore = httpcore2
    _backend = _cores.TunnelBackend


class AsyncTunnelTransport(
    _httpx.AsyncTransport[httpx2.Request, httpx2.Response, httpx2.Limits], httpx2.AsyncHTTPTransport
):
    """Sends requests through a proxy, on asyncio or trio.

    All is as in `TunnelTransport`.

    Args:
        via, verify, cert, trust_env, http1, http2, limits, retries, local_address, socket_options,
            tunnel_http: As for `TunnelTransport`.

    Raises:
        InvalidProxy: There is no such way.
    """

    _httpx = httpx2
    _httpcore = httpcore2
    _backend = _cores.AsyncTunnelBackend


def mounts_from_environment(
    environ: Mapping[str, str] | None = None, **settings: Unpack[_httpx.Settings[httpx2.Limits]]
) -> dict[str, TunnelTransport]:
    """Transports that follow HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, for `mounts=`.

        client = httpx2.Client(mounts=mounts_from_environment(), trust_env=False)

    They go by the rules of `connect_tunnel.routing.Environment` rather than by those of httpx2,
    which puts its own beside them if it is left to trust the environment.

    Args:
        environ: The variables; without it the process's, as they are now.
        **settings: As for `TunnelTransport`.
    """
    return dict.fromkeys(_SCHEMES, TunnelTransport(_Environment(environ), **settings))


def mounts_from_environment_async(
    environ: Mapping[str, str] | None = None, **settings: Unpack[_httpx.Settings[httpx2.Limits]]
) -> dict[str, AsyncTunnelTransport]:
    """The same for an `httpx2.AsyncClient`.

    Args:
        environ: The variables; without it the process's, as they are now.
        **settings: As for `AsyncTunnelTransport`.
    """
    return dict.fromkeys(_SCHEMES, AsyncTunnelTransport(_Environment(environ), **settings))


# All that there is, and each by its name: theirs would go before "all://".
_SCHEMES = ("all://", "http://", "https://")
