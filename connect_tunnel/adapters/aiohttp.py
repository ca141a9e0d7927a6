"""aiohttp through tunnels: a connector for `ClientSession`.

    from connect_tunnel.adapters.aiohttp import TunnelConnector

    connector = TunnelConnector("http://alice:s3cret@proxy.corp:3128")
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get("https://www.example.com/") as response:
            ...

https, http, wss and ws URLs alike go through a tunnel, opened with CONNECT: the proxy never sees
a request. (Many proxies open tunnels to port 443 only, and then refuse the others.) All else is
aiohttp's own: pools, limits, timeouts, tracing, and the TLS with the origin, to which `ssl=`
and `server_hostname=` apply, of the connector and of a request. TLS with the proxy is the
`Proxy`'s. On asyncio and uvloop.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from aiohttp import ClientResponse, ServerFingerprintMismatch, TCPConnector

from connect_tunnel._async.dialer import AsyncDialer
from connect_tunnel._errors import TunnelError, TunnelRefused
from connect_tunnel._target import Target
from connect_tunnel._timeout import seconds

from ._aiohttp_errors import failed, late, translated
from ._aiohttp_transport import TunnelHandler, connect
from ._settled import settled

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from aiohttp import ClientTimeout, ClientWebSocketResponse, Fingerprint
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from connect_tunnel._net.sock import SocketOption
    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._via import Via

__all__ = ["TunnelConnector", "proxy_response"]


class TunnelConnector(TCPConnector):
    """An `aiohttp.TCPConnector` whose connections are tunnels.

    What goes wrong on the way is an error of aiohttp's, with ours as its `__cause__`:

    - a proxy that says no: ClientHttpProxyError, with its status. The `headers` have stars
      for what is good for authenticating; the whole answer has `proxy_response`;
    - one that cannot be reached, or says nothing sensible: ClientProxyConnectionError;
    - no time left: ConnectionTimeoutError, whatever the time was spent on;
    - a target that cannot be named in a CONNECT request: InvalidUrlClientError.

    The proxies are the connector's: a request with a `proxy=`, the session's or the
    environment's too, is a ValueError.

    Args:
        via: As for `connect_tunnel.open_tunnel_async`.
        tunnel_timeout: For opening one tunnel, in seconds, where the request has no
            `sock_connect` in its timeout; that bounds the opening as a whole, and TLS with
            the origin, where it is given.
        local_address: Host and port to dial the first proxy from.
        socket_options: For `setsockopt` on the socket to it.
        ssl, keepalive_timeout, force_close, limit, limit_per_host: As for `TCPConnector`.

    Raises:
        InvalidProxy: There is no such way.
    """

    def __init__(  # noqa: PLR0913 - as aiohttp has it
        self,
        via: Via,
        *,
        tunnel_timeout: float | None = 30.0,
        local_address: tuple[str, int] | None = None,
        socket_options: Sequence[SocketOption] = (),
        ssl: bool | Fingerprint | ssl.SSLContext = True,
        keepalive_timeout: float | None = 15.0,
        force_close: bool = False,
        limit: int = 100,
        limit_per_host: int = 0,
    ) -> None:
        way = settled(via)
        del via  # a traceback would print it, and it may hold a password
        if isinstance(way, Exception):
            raise way
        options: dict[str, Any] = {"force_close": True}
        if not force_close:
            options = {"keepalive_timeout": keepalive_timeout}
        super().__init__(  # pyright: ignore[reportUnknownMemberType] # of its socket_factory
            ssl=ssl, limit=limit, limit_per_host=limit_per_host, **options
        )
        self._dialer = AsyncDialer(way, local_address=local_address, socket_options=socket_options)
        self._tunnel_timeout = seconds(tunnel_timeout)
        self._open: dict[asyncio.Future[None], asyncio.Transport] = {}
        self._bridges: set[asyncio.Task[None]] = set()

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        """Take a connection from the pool, or make one; for `aiohttp.ClientSession`."""
        if req.proxy is not None:
            raise ValueError(
                "a TunnelConnector has its own proxies: leave out proxy= and trust_env=True"
            )
        return await super().connect(req, traces, timeout)

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections, those to the proxy too, and wait until they are."""
        await super().close(abort_ssl=abort_ssl)
        await self._dialer.aclose()
        # Those too that a session has let go of: a farewell in TLS may take them for ever.
        for transport in self._open.values():
            transport.abort()
        if rest := {*self._open, *self._bridges}:
            await asyncio.wait(rest)

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        del traces  # of lookups, of which there are none
        # As aiohttp has it, 0 is no limit.
        limit = timeout.sock_connect or self._tunnel_timeout
        ends = None if limit is None else self._loop.time() + limit
        try:
            target = Target(req.host, req.port or 0)
            name = Target(req.server_hostname or req.host, target.port).server_hostname
            tunnel = await self._dialer.open_tunnel(target, timeout=limit)
        except TunnelError as error:
            raise translated(error, req) from error
        answers = tunnel.route.responses
        handler = TunnelHandler(self._loop, answers[-1] if answers else None)
        context = self._get_ssl_context(req)
        try:
            async with asyncio.timeout_at(ends):
                transport = await connect(
                    tunnel, handler, ssl=context, server_hostname=name, bridges=self._bridges
                )
        except TimeoutError as error:
            if error.errno is not None:  # what the network says
                raise failed(error, req) from error
            raise late(target, limit) from None
        except OSError as error:
            raise failed(error, req) from error
        self._open[handler.lost] = transport
        handler.lost.add_done_callback(self._open.pop)
        if context is not None:
            self._check_fingerprint(transport, req)
        return handler

    def _check_fingerprint(self, transport: asyncio.Transport, req: ClientRequest) -> None:
        pinned = self._get_fingerprint(req)
        if pinned is None:
            return
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        found = hashlib.sha256(certificate).digest()
        if found != pinned.fingerprint:
            transport.abort()
            raise ServerFingerprintMismatch(pinned.fingerprint, found, req.host, req.port or 0)


def proxy_response(
    outcome: ClientResponse | ClientWebSocketResponse | BaseException,
) -> ProxyResponse | None:
    """What the proxy answered to CONNECT.

    Args:
        outcome: A response that came through a tunnel, or the error of a request.

    Returns:
        The 2xx that opened the tunnel, or the answer that refused it. None if no proxy
        answered: the way is direct, or something else went wrong.
    """
    if isinstance(outcome, BaseException):
        cause = outcome.__cause__
        return cause.response if isinstance(cause, TunnelRefused) else None
    if not isinstance(outcome, ClientResponse):
        outcome = outcome._response
    handler = outcome._protocol
    return handler.answer if isinstance(handler, TunnelHandler) else None
