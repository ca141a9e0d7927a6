"""Network backends for `httpcore2`: its pools, with every connection of theirs a tunnel.

    with Dialer("http://proxy.corp:3128") as dialer:
        pool = httpcore2.ConnectionPool(network_backend=TunnelBackend(dialer))
        response = pool.request("GET", "https://www.example.com/")
        print(response.extensions["network_stream"].get_extra_info("proxy_response"))

A pool with such a backend knows of no proxy, and so has all that it has without one: its retries,
its limits, HTTP/2 with the target. http:// requests go through a tunnel, too; most proxies allow
that for few ports. To have them forwarded, use the transport of `adapters.httpx2`.

Errors are those of httpcore2. A `ProxyError` is of a proxy that said no or did not behave, and a
`ConnectError` of what could not be reached. Ours is behind each of them as its `__cause__`; a pool
raises errors `from None`, and leaves it as the `__context__`.
"""

from __future__ import annotations

import httpcore2

from . import _http_backend, _http_stream

__all__ = ["AsyncTunnelBackend", "AsyncTunnelStream", "TunnelBackend", "TunnelStream"]


class TunnelStream(_http_stream.Stream["TunnelStream"], httpcore2.NetworkStream):
    """A tunnel as a `httpcore2.NetworkStream`.

    `get_extra_info("proxy_response")` is the proxy's answer to CONNECT, a `ProxyResponse`.
    """

    _library = httpcore2


class AsyncTunnelStream(
    _http_stream.AsyncStream["AsyncTunnelStream"], httpcore2.AsyncNetworkStream
):
    """A tunnel as a `httpcore2.AsyncNetworkStream`.

    `get_extra_info("proxy_response")` is the proxy's answer to CONNECT, a `ProxyResponse`.
    """

    _library = httpcore2


class TunnelBackend(_http_backend.Backend[TunnelStream], httpcore2.NetworkBackend):
    """Opens tunnels for a `httpcore2.ConnectionPool`.

    Args:
        dialer: The way there. Its timeout holds beside those of the requests.
    """

    _library = httpcore2
    _stream = TunnelStream


class AsyncTunnelBackend(
    _http_backend.AsyncBackend[AsyncTunnelStream], httpcore2.AsyncNetworkBackend
):
    """Opens tunnels for a `httpcore2.AsyncConnectionPool`, on asyncio or trio.

    Args:
        dialer: The way there. Its timeout holds beside those of the requests.
    """

    _library = httpcore2
    _stream = AsyncTunnelStream
