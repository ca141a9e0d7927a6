"""What aiohttp is told when a tunnel is not opened."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING

from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
    InvalidUrlClientError,
)
from multidict import CIMultiDict, CIMultiDictProxy

from connect_tunnel._errors import (
    InvalidTarget,
    ProxyUnreachable,
    TunnelClosed,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest

    from connect_tunnel._target import Target


def translated(error: TunnelError, request: ClientRequest) -> Exception:
    """The error of aiohttp for one of ours; for the caller to raise `from` ours."""
    match error:
        case InvalidTarget():
            return InvalidUrlClientError(request.url, str(error))
        case TunnelTimeout():
            return error  # a session makes its own error of it, as of any TimeoutError
        case TunnelRefused():
            return _refused(error, request)
        case TunnelClosed():
            return ClientConnectionError("Connector is closed")
        case ProxyUnreachable(direct=True):
            unknown = isinstance(error.__cause__, socket.gaierror)
            kind = ClientConnectorDNSError if unknown else ClientConnectorError
        case _:
            kind = ClientProxyConnectionError
    # aiohttp shows what the system says of an error number, and nothing else.
    return kind(request.connection_key, OSError(error.errno, str(error)))


def _refused(error: TunnelRefused, request: ClientRequest) -> ClientHttpProxyError:
    answer = error.response
    # It shows its headers, of which some hold secrets.
    fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in answer.headers.harmless()]
    return ClientHttpProxyError(
        request.request_info,
        (),
        status=answer.status,
        message=str(error),
        headers=CIMultiDictProxy(CIMultiDict(fields)),
    )


def failed(error: OSError, request: ClientRequest) -> ClientConnectorError:
    """The same for what went wrong inside a tunnel, before it was of use."""
    key = request.connection_key
    match error:
        case ssl.SSLCertVerificationError():
            return ClientConnectorCertificateError(key, error)
        case ssl.SSLError():
            return ClientConnectorSSLError(key, error)
        case _:
            return ClientConnectorError(key, error)


def late(target: Target, limit: float | None) -> TunnelTimeout:
    """TLS with the origin that did not finish in time."""
    return TunnelTimeout(
        f"the TLS handshake did not finish through the tunnel to {target} within {limit} s",
        target=str(target), phase="target_tls", errno=errno.ETIMEDOUT,
    )  # fmt: skip
