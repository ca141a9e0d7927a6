"""The connections of urllib3 that are tunnels, and the pools that make them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import MaxRetryError

from connect_tunnel._errors import TunnelError

from ._urllib3_errors import TunnelProxyError, translated

if TYPE_CHECKING:
    import socket

    from urllib3._base_connection import BaseHTTPConnection
    from urllib3.response import BaseHTTPResponse, HTTPResponse

    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._sync.dialer import Dialer
    from connect_tunnel._sync.tunnel import Tunnel

_ANSWER = "_connect_tunnel_answer"


class TunnelHTTPConnection(HTTPConnection):
    """A connection whose socket is a tunnel's.

    Args:
        dialer: Opens it.
        tunnel_timeout: For that, in seconds, if there is no connect timeout.
        args, kwargs: As for urllib3's own.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - as urllib3 has it
        dialer: Dialer,
        tunnel_timeout: float | None,
        **kwargs: Any,  # noqa: ANN401 - likewise
    ) -> None:
        super().__init__(*args, **kwargs)
        self._dialer = dialer
        self._tunnel_timeout = tunnel_timeout
        self._answer: ProxyResponse | None = None

    def _new_conn(self) -> socket.socket:
        with self._open_tunnel() as tunnel:
            answers = tunnel.route.responses
            # Of what runs on TLS this is one end of a bridge, which urllib3 can wrap in more
            # TLS like any other; its own way to have TLS in TLS is not cheaper by much, and
            # is not meant for others.
            sock = tunnel.socket()
        self._answer = answers[-1] if answers else None
        sock.settimeout(self.timeout)
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    def _open_tunnel(self) -> Tunnel:
        limit = self._tunnel_timeout if self.timeout is None else self.timeout
        try:
            # Not `host`, which lacks the dot that a name may end with.
            return self._dialer.open_tunnel((self._dns_host, self.port), timeout=limit)
        except TunnelError as error:
            raise translated(error, self) from error

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as in urllib3
        response = super().getresponse()
        setattr(response, _ANSWER, self._answer)
        return response


class TunnelHTTPSConnection(TunnelHTTPConnection, HTTPSConnection):
    """The same, with urllib3's TLS inside the tunnel."""


def answer_before(response: BaseHTTPResponse) -> ProxyResponse | None:
    """The proxy's 2xx that opened the tunnel which a response came through."""
    answer: ProxyResponse | None = getattr(response, _ANSWER, None)
    return answer


class TunnelHTTPConnectionPool(HTTPConnectionPool):
    """A pool that does not ask again where the answer will be the same."""

    ConnectionCls = TunnelHTTPConnection  # pyright: ignore[reportAssignmentType] # a protocol

    def _make_request(
        self,
        conn: BaseHTTPConnection,
        method: str,
        url: str,
        *args: Any,  # noqa: ANN401 - as urllib3 has it
        **kwargs: Any,  # noqa: ANN401 - likewise
    ) -> BaseHTTPResponse:
        try:
            return super()._make_request(conn, method, url, *args, **kwargs)
        except TunnelProxyError as error:
            retries = kwargs["retries"]
            if error.retryable or retries.total is False:
                raise
            # What urllib3 raises when it has no tries left.
            raise MaxRetryError(self, url, error) from error


class TunnelHTTPSConnectionPool(TunnelHTTPConnectionPool, HTTPSConnectionPool):
    """The same, for https."""

    ConnectionCls = TunnelHTTPSConnection  # pyright: ignore[reportAssignmentType] # likewise
