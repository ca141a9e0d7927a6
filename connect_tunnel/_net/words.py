"""What failed in performing a step, in the words of an error."""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING

from connect_tunnel._errors import ProxyHungUp, ProxyUnreachable, TunnelTimeout

if TYPE_CHECKING:
    from connect_tunnel._errors import Phase

_LATE: dict[Phase, str] = {
    "resolve": "could not be looked up",
    "tcp": "did not accept a connection",
    "proxy_tls": "did not finish the TLS handshake",
    "connect": "did not answer CONNECT",
    "auth": "could not be authenticated to",
}
_LATE_HINTS: dict[Phase, str] = {
    "proxy_tls": "a proxy that speaks plain HTTP may wait for ever: is its scheme http:// ?",
    "connect": "it may be waiting for the target",
}


def too_late(phase: Phase, limit: float | None, *, at_hop: bool, direct: bool) -> TunnelTimeout:
    """A part that did not end in time.

    Args:
        phase: Which part.
        limit: What it had, in seconds.
        at_hop: Whether it was with a proxy,
        direct: or with the target; otherwise a router had yet to decide.
    """
    what = _LATE[phase] if at_hop or direct else "no way was decided on"
    hint = _LATE_HINTS.get(phase) if at_hop else None
    return TunnelTimeout(f"{what} within {limit} s", hint=hint, errno=errno.ETIMEDOUT)


def unknown_name(error: OSError, host: str, *, direct: bool) -> ProxyUnreachable:
    """A name that the resolver does not know, or could not find out about."""
    return ProxyUnreachable(
        f"has a name that cannot be looked up: {error.strerror}",
        hint=None if direct else "check the host of its URL, and this machine's resolver",
        errno=error.errno,
        attempts=((host, str(error.strerror)),),
    )


def hung_up(error: OSError) -> ProxyHungUp:
    """A connection that ended where an answer was due."""
    if isinstance(error, ssl.SSLError):
        if isinstance(error, ssl.SSLEOFError):
            return ProxyHungUp("ended TLS without saying so,")
        reason = getattr(error, "reason", None) or error
        return ProxyHungUp(f"broke TLS ({reason})")
    return ProxyHungUp("reset the connection", reset=True, errno=error.errno)
