"""The words for SOCKS: what its codes mean, what it cannot be told, and what to try.

RFC 1928 has codes for what the proxy did not do, and so has SOCKS4. A `ProxyResponse` bears them
as its status, and says whose codes they are where HTTP has its version. Of who may use it SOCKS5
speaks before that, in messages of their own: no method that suits it, or a user and password
that do not. Both become a status that HTTP has for it and no octet can say: 407.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from connect_tunnel._errors import InvalidTarget
from connect_tunnel._response import ProxyResponse
from connect_tunnel._secret import Secret

from .h1 import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connect_tunnel._steps import Address
    from connect_tunnel._target import Target

Login: TypeAlias = Secret[tuple[str, str]]
"""A user and a password for SOCKS5; for SOCKS4 a user id, and "" where a password would be."""

SCHEMES: Final = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
SOCKS4: Final = "SOCKS4"
SOCKS5: Final = "SOCKS5"

_REASONS: Final = {
    (SOCKS5, 0): "succeeded",  # RFC 1928, 6
    (SOCKS5, 1): "general failure",
    (SOCKS5, 2): "not allowed by the ruleset",
    (SOCKS5, 3): "network unreachable",
    (SOCKS5, 4): "host unreachable",
    (SOCKS5, 5): "connection refused",
    (SOCKS5, 6): "TTL expired",
    (SOCKS5, 7): "command not supported",
    (SOCKS5, 8): "address type not supported",
    (SOCKS4, 90): "granted",
    (SOCKS4, 91): "rejected or failed",
    (SOCKS4, 92): "no answer from an identd of the client",
    (SOCKS4, 93): "another user according to the client's identd",
}
_GRANTED: Final = {(SOCKS5, 0), (SOCKS4, 90)}
_LOGIN: Final = 407
_LONGEST: Final = 255  # of what has its length in one octet (RFC 1929, 2)

# ---- what a proxy said ----


def reply_of(protocol: str, code: int) -> ProxyResponse | None:
    """The answer to the request; None if it has no such code.

    SOCKS5 may be given new codes (RFC 1928, 6); SOCKS4 is what it is.
    """
    reason = _REASONS.get((protocol, code))
    if reason is None and protocol == SOCKS4:
        return None
    return ProxyResponse(code, reason or "unassigned code", protocol)


def unauthenticated(reason: str) -> ProxyResponse:
    """The answer of a SOCKS5 proxy that has no use for the request of anybody."""
    return ProxyResponse(_LOGIN, reason, SOCKS5)


def granted(response: ProxyResponse) -> bool:
    """Whether the tunnel is open."""
    return (response.http_version, response.status) in _GRANTED


def wants_login(response: ProxyResponse) -> bool:
    """Whether it wants credentials, or others than it got."""
    return response.status == _LOGIN


# ---- what cannot be said to one ----


def complain(scheme: str, login: Login | None) -> str | None:
    """What is wrong with the credentials for a SOCKS proxy, before anything is sent.

    Raises:
        ImportError: No SOCKS proxy can be asked for anything: socksio is not there.
    """
    from connect_tunnel.auth._prompt import need  # noqa: PLC0415 - loads all the schemes

    need("socksio", extra="socks", what="SOCKS")
    return None if login is None else _misfit(scheme, *login.reveal())


def _misfit(scheme: str, user: object, password: object) -> str | None:
    if not isinstance(user, str) or not isinstance(password, str):
        return "user and password are text"
    try:
        lengths = len(user.encode()), len(password.encode())
    except UnicodeEncodeError:
        return "user and password must be text that UTF-8 can encode"
    if scheme.startswith("socks5"):
        if not 1 <= min(lengths) <= max(lengths) <= _LONGEST:
            return "user and password have 1 to 255 octets each in SOCKS5 (RFC 1929, 2)"
    elif password:
        return "SOCKS4 knows no passwords, only a user id"
    elif "\0" in user or lengths[0] > _LONGEST:
        return "a user id for SOCKS4 has at most 255 octets, and no NUL, which ends it"
    return None


def check(scheme: str, goal: Target) -> None:
    """See that the goal can be named, before anything is sent.

    Raises:
        InvalidTarget: SOCKS4 has four octets for an address, and 4a a name.
    """
    if goal.kind == "ipv6" and scheme.startswith("socks4"):
        raise InvalidTarget(
            f"target '{goal}' is an IPv6 address, and SOCKS4 has no way to name one",
            hint="socks5:// and socks5h:// have",
        )


def resolves_here(scheme: str, goal: Target) -> bool:
    """Whether the goal is to be looked up on this machine, as the scheme has it.

    It is as curl reads them: socks5 and socks4 look names up here, socks5h and socks4a leave it
    to the proxy. Nothing else decides it (CVE-2023-38545).
    """
    return goal.kind == "name" and scheme in ("socks4", "socks5")


def choose(scheme: str, goal: Target, addresses: Iterable[Address]) -> str:
    """The first of the addresses of a goal that the proxy can be told.

    Raises:
        InvalidTarget: None can.
    """
    for host, _ in addresses:
        # A zone means something on this machine only (RFC 9844).
        if "%" not in host and (":" not in host or scheme == "socks5"):
            return host
    kind = "address that a proxy can be told" if scheme == "socks5" else "IPv4 address"
    raise InvalidTarget(
        f"target '{goal}' has no {kind}",
        hint=f"with {'socks5h' if scheme == 'socks5' else 'socks4a'}:// the proxy looks it up",
    )


# ---- what a refusal means ----


def explain(
    response: ProxyResponse, goal: Target, *, scheme: str, user: str | None = None
) -> tuple[str, str | None]:
    """What happened, and what to try.

    Args:
        response: A refusal.
        goal: What was asked for.
        scheme: Of the proxy's URL.
        user: Whose credentials there were, if there were any.
    """
    code, protocol = response.status, response.http_version
    if not wants_login(response):
        what = f"refused the tunnel to {goal} ({protocol} reply {code}: {response.reason})"
        return what, _hint(response, goal, scheme)
    said = f"for the tunnel to {goal} ({protocol}: {response.reason})"
    if user is None:
        return (
            f"wants authentication {said}",
            "no credentials were given; pass auth=(user, password) to Proxy",
        )
    if response.reason == NO_METHOD:
        return f"wants something else than a user and a password {said}", _NO_METHOD_HINT
    whose = escape(user.encode())
    return f"rejected the credentials of '{whose}' {said}", "check the user and the password"


NO_METHOD: Final = "no acceptable method"
_NO_METHOD_HINT = "it may want GSSAPI, which is not spoken here, or no client from here"

_HINTS: Final = {
    (SOCKS5, 2): "it is the proxy's decision, not the target's",
    (SOCKS5, 7): "it speaks SOCKS5, but makes no connections for others",
    (SOCKS4, 92): "it asks the identd of this machine who is there",
    (SOCKS4, 93): "it asks the identd of this machine who is there",
}
_LOOKED_UP_THERE = "the name is looked up by the proxy, from where it stands"
_LOOKED_UP_HERE = "the name was looked up on this machine; with {}:// the proxy does it"
_DIALLED_THERE = "the proxy dials the target itself, from where it stands"


def _hint(response: ProxyResponse, goal: Target, scheme: str) -> str:
    code, protocol = response.status, response.http_version
    if hint := _HINTS.get((protocol, code)):
        return hint
    if (protocol, code) == (SOCKS5, 8):
        looked_up = goal.kind == "name" and scheme == "socks5h"
        return f"it may not {'look names up' if looked_up else 'know IPv6'}"
    if resolves_here(scheme, goal):
        return _LOOKED_UP_HERE.format("socks5h" if protocol == SOCKS5 else "socks4a")
    return _LOOKED_UP_THERE if goal.kind == "name" else _DIALLED_THERE
