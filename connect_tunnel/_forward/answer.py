"""What a listening proxy answers, and why, in the words of RFC 9110 and RFC 9209.

What the proxy on the way said is passed on as it is, but for what was meant for us alone. What
it wants of us, our client could not give: so a 407 is told as a 502.
"""

from __future__ import annotations

import errno
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import (
    InvalidTarget,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyTLSError,
    ProxyUnreachable,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connect_tunnel._headers import Headers

_ODD: Final = re.compile(r"[^\x20-\x7e]")
_NAME: Final = "connect_tunnel"  # in Proxy-Status, of which intermediary it is
# Of a connection (RFC 9110, 7.6.1) or a message that is not the one we send; and what a proxy
# says to its client, who is us.
_NOT_PASSED_ON: Final = frozenset(
    b"authentication-info connection content-length keep-alive proxy-authenticate "
    b"proxy-authentication-info proxy-connection te trailer transfer-encoding upgrade "
    b"www-authenticate".split()
)


def granted(headers: Headers) -> bytes:
    """A 200, with what the proxy on the way said with its own."""
    return b"HTTP/1.1 200 Connection established\r\n%b\r\n" % _lines(_passed_on(headers))


def refused(error: Exception) -> bytes:
    """Why there is no tunnel: the proxy's own answer where there is one, or else ours."""
    if isinstance(error, TunnelRefused) and not isinstance(error, ProxyAuthenticationRequired):
        response = error.response
        if response.http_version.startswith(("1", "2")) and 300 <= response.status <= 599:
            ours = (b"Proxy-Status", b"%b; received-status=%d" % (_NAME.encode(), response.status))
            fields = [*_passed_on(response.headers), ours]
            return _answer(response.status, response.reason, fields, response.body)
    status, kind = _diagnose(error)
    said = str(error) if isinstance(error, TunnelError | ImportError) else "it failed here"
    return answer(status, said, proxy_error=kind)


def answer(
    status: int,
    text: str,
    *fields: tuple[bytes, bytes],
    proxy_error: str | None = None,
) -> bytes:
    """An answer of our own, after which the connection is closed.

    Args:
        status: The status code.
        text: What a human is told; never a secret.
        fields: More fields.
        proxy_error: The type of error, of those that RFC 9209, 2.3 knows.
    """
    more = [*fields, (b"Content-Type", b"text/plain; charset=utf-8")]
    if proxy_error is not None:
        # A String of RFC 9651, 3.3.3 has printable ASCII and two escapes.
        details = _ODD.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
        value = f'{_NAME}; error={proxy_error}; details="{details}"'
        more.append((b"Proxy-Status", value.encode("ascii")))
    return _answer(status, HTTPStatus(status).phrase, more, f"{text}\n".encode())


def _answer(status: int, reason: str, fields: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    last = ((b"Content-Length", b"%d" % len(body)), (b"Connection", b"close"))
    start = b"HTTP/1.1 %d %b\r\n" % (status, reason.encode("latin-1"))
    return start + _lines((*fields, *last)) + b"\r\n" + body


def _passed_on(headers: Headers) -> list[tuple[bytes, bytes]]:
    named = {
        option.strip().lower().encode("latin-1")
        for value in headers.get_list("connection")
        for option in value.split(",")
    }
    dropped = _NOT_PASSED_ON | named
    return [(name, value) for name, value in headers.raw if name.lower() not in dropped]


def _lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % field for field in fields)


# The status of each error, and its type in RFC 9209, 2.3. The first that fits.
_DIAGNOSES: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (InvalidTarget, 400, "http_request_error"),
    (TunnelTimeout, 504, "connection_timeout"),
    (TunnelRefused, 502, "http_request_denied"),
    (ProxyTLSError, 502, "tls_protocol_error"),
    (ProxyHungUp, 502, "connection_terminated"),
    (ProxyMisbehaved, 502, "http_protocol_error"),
    (ProxyUnreachable, 502, "destination_unavailable"),
    (TunnelError, 502, "proxy_configuration_error"),
    (ImportError, 500, "proxy_configuration_error"),
)


def _diagnose(error: Exception) -> tuple[int, str]:
    if isinstance(error, ProxyUnreachable):
        if error.phase == "resolve":
            return 502, "dns_error"
        if error.errno == errno.ECONNREFUSED:
            return 502, "connection_refused"
    for kind, status, name in _DIAGNOSES:
        if isinstance(error, kind):
            return status, name
    return 500, "proxy_internal_error"
