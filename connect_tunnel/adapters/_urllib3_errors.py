"""What urllib3 is told when a tunnel is not opened.

urllib3 decides by the class of an error whether it tries again: `Retry.connect` counts what
failed before anything was sent to the origin and is a ConnectTimeoutError, alone or within a
ProxyError; `Retry.other` counts what else is a ProxyError.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
)

from connect_tunnel._errors import (
    InvalidProxy,
    InvalidTarget,
    ProxyUnreachable,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

    from connect_tunnel._response import ProxyResponse


class TunnelProxyError(ProxyError):
    """A proxy did not open a tunnel, and `original_error` says why.

    That is a `connect_tunnel.TunnelError`, which is `__cause__` too; but where no connection
    to the proxy could be made it is a NewConnectionError, as urllib3 has it.

    Attributes:
        retryable: Whether the same may succeed later.
    """

    retryable: bool = True

    def __str__(self) -> str:
        # Once: urllib3's own would show the original error behind it.
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"ProxyError({str(self)!r})"


def translated(error: TunnelError, connection: HTTPConnection) -> HTTPError:
    """The error of urllib3 for one of ours; for the caller to raise `from` ours."""
    said = str(error)
    match error:
        case InvalidTarget():
            return LocationValueError(said)
        case TunnelTimeout():
            # Whatever it was spent on, the origin has seen nothing of the request.
            return ConnectTimeoutError(connection, said)
        case ProxyUnreachable(direct=True):
            return _unreachable(error, connection)
        case ProxyUnreachable():
            return TunnelProxyError(said, _unreachable(error, connection))
        case _:
            told = TunnelProxyError(said, error)
            told.retryable = _may_change(error)
            return told


def _may_change(error: TunnelError) -> bool:
    if isinstance(error, TunnelRefused):
        return error.retryable
    return not isinstance(error, InvalidProxy)


def _unreachable(error: ProxyUnreachable, connection: HTTPConnection) -> NewConnectionError:
    unknown = error.__cause__
    new: NewConnectionError
    if isinstance(unknown, socket.gaierror):
        new = NameResolutionError(error.attempts[0][0], connection, unknown)
    else:
        new = NewConnectionError(connection, str(error))
    new.__cause__ = error
    return new


def tunnel_error(error: BaseException) -> TunnelError | None:
    """Ours, if that is at the bottom of an error of urllib3's or of requests'."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TunnelError):
        cause = cause.__cause__ or _wrapped(cause)
    return cause


def _wrapped(error: BaseException) -> BaseException | None:
    """What they keep, too, as a reason or an argument: a cause does not survive a pickle."""
    kept = (getattr(error, "reason", None), *error.args)
    return next((item for item in kept if isinstance(item, BaseException)), None)


def proxy_answer(error: BaseException) -> ProxyResponse | None:
    """What a proxy said no with, if that is what is at the bottom of an error."""
    ours = tunnel_error(error)
    return ours.response if isinstance(ours, TunnelRefused) else None
