"""urllib3 through tunnels: a `PoolManager` that opens its connections with a `Dialer`.

    from connect_tunnel.adapters.urllib3 import TunnelPoolManager

    with TunnelPoolManager("http://alice:s3cret@proxy.corp:3128", retries=False) as pool:
        response = pool.request("GET", "https://www.example.com/", timeout=10)

https:// and http:// URLs alike go through a tunnel, opened with CONNECT: the proxy never sees a
request. (Many proxies open tunnels to port 443 only, and then refuse http:// URLs.) All else is
urllib3's own: pools, retries, redirects, and the TLS with the origin, to which the options of
`urllib3.PoolManager` apply as they do without a proxy. TLS with the proxy is the `Proxy`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from urllib3.poolmanager import PoolManager

from connect_tunnel._sync.dialer import Dialer
from connect_tunnel._timeout import seconds

from ._settled import settled
from ._urllib3_errors import TunnelProxyError, proxy_answer
from ._urllib3_pools import TunnelHTTPConnectionPool, TunnelHTTPSConnectionPool, answer_before

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3.connectionpool import HTTPConnectionPool
    from urllib3.response import BaseHTTPResponse

    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._via import Via

__all__ = ["TunnelPoolManager", "TunnelProxyError", "proxy_response"]

_POOLS: dict[str, type[HTTPConnectionPool]] = {
    "http": TunnelHTTPConnectionPool,
    "https": TunnelHTTPSConnectionPool,
}
_OF_THE_DIALER = ("source_address", "socket_options")


class TunnelPoolManager(PoolManager):
    """A `urllib3.PoolManager` whose connections are tunnels.

    What goes wrong on the way is an error of urllib3's, with ours as its `__cause__`:

    - a proxy that says no, or nothing sensible, or cannot be reached: `TunnelProxyError`,
      which is a ProxyError. It is counted and retried as urllib3 does with one, except that a
      no which will not change (403 and 407, unlike 503) ends the retries at once;
    - no time left: ConnectTimeoutError, whatever the time was spent on;
    - a target that cannot be named in a CONNECT request: LocationValueError.

    Args:
        via: As for `connect_tunnel.open_tunnel`.
        num_pools, headers: As for `urllib3.PoolManager`.
        tunnel_timeout: For opening one tunnel, in seconds, where the request has no connect
            timeout; that bounds the opening as a whole, where it is given.
        connection_pool_kw: As for `urllib3.PoolManager`. `source_address` and `socket_options`
            are for the connection to the first proxy.

    Raises:
        InvalidProxy: There is no such way.
    """

    def __init__(
        self,
        via: Via,
        num_pools: int = 10,
        headers: Mapping[str, str] | None = None,
        *,
        tunnel_timeout: float | None = 30.0,
        **connection_pool_kw: Any,  # noqa: ANN401 - as urllib3 has it
    ) -> None:
        way = settled(via)
        del via  # a traceback would print it, and it may hold a password
        if isinstance(way, Exception):
            raise way
        super().__init__(num_pools, headers, **connection_pool_kw)
        self.pool_classes_by_scheme = _POOLS
        self._way: Via = way
        self._tunnel_timeout = seconds(tunnel_timeout)
        self._dialer: Dialer | None = self._new_dialer()

    def clear(self) -> None:
        """Close all connections that are idle, those to the proxy too.

        Like urllib3's own it may be used again afterwards.
        """
        super().clear()
        with self.pools.lock:
            dialer, self._dialer = self._dialer, None
        if dialer is not None:
            dialer.close()

    def _new_dialer(self) -> Dialer:
        options = self.connection_pool_kw
        return Dialer(
            self._way,
            local_address=options.get("source_address"),
            socket_options=options.get("socket_options") or (),
        )

    def _new_pool(
        self,
        scheme: str,
        host: str,
        port: int,
        request_context: dict[str, Any] | None = None,
    ) -> HTTPConnectionPool:
        options = self.connection_pool_kw
        context = dict(options if request_context is None else request_context)
        for name in _OF_THE_DIALER:
            if context.get(name) != options.get(name):
                raise ValueError(f"{name} is given to TunnelPoolManager, and holds for all pools")
        with self.pools.lock:
            if self._dialer is None:
                self._dialer = self._new_dialer()
            context |= {"dialer": self._dialer, "tunnel_timeout": self._tunnel_timeout}
        return super()._new_pool(scheme, host, port, context)


def proxy_response(outcome: BaseHTTPResponse | BaseException) -> ProxyResponse | None:
    """What the proxy answered to CONNECT.

    Args:
        outcome: A response that came through a tunnel, or the error of a request.

    Returns:
        The 2xx that opened the tunnel, or the answer that refused it. None if no proxy
        answered: the way is direct, or something else went wrong.
    """
    if isinstance(outcome, BaseException):
        return proxy_answer(outcome)
    return answer_before(outcome)
