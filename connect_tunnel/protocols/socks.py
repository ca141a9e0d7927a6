"""A tunnel through a SOCKS proxy: versions 5 (RFC 1928 and 1929), 4 and 4a.

socksio writes the messages. The answers are read here: its parser takes each in one piece, and
cannot say how long that is, when whatever follows the last is the target's (RFC 1928, 6). It also
passes over the version of the first and has no value for a code that is new to it.

Each message is sent when the answer to the one before has come, and so nothing that matters is
sent to somebody who speaks something else.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, NoReturn

from socksio import (
    SOCKS4ARequest,
    SOCKS4Command,
    SOCKS4Request,
    SOCKS5AType,
    SOCKS5AuthMethod,
    SOCKS5AuthMethodsRequest,
    SOCKS5Command,
    SOCKS5CommandRequest,
    SOCKS5UsernamePasswordRequest,
)

from connect_tunnel._errors import ProxyHungUp, ProxyMisbehaved
from connect_tunnel._steps import Peek, Send, Take

from .h1 import escape
from .socks_words import NO_METHOD, SOCKS4, SOCKS5, reply_of, resolves_here, unauthenticated

if TYPE_CHECKING:
    from connect_tunnel._errors import Phase
    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._steps import Program
    from connect_tunnel._target import Target

    from .socks_words import Login

_NOTHING, _PASSWORD, _NO_METHOD = 0x00, 0x02, 0xFF  # RFC 1928, 3
_SIZES: Final = {1: 4, 4: 16}  # octets of an address, by its type (RFC 1928, 5)
_NAME = 3


class _Message:
    """What was sent: its name, the version that its answer begins with, and what silence means."""

    __slots__ = ("hint", "name", "phase", "protocol", "version")

    def __init__(
        self, name: str, protocol: str, version: int, hint: str, phase: Phase | None = None
    ) -> None:
        self.name: Final = name
        self.protocol: Final = protocol
        self.version: Final = version
        self.hint: Final = hint
        self.phase: Final = phase


_OTHER = "it may speak something else on this port, or accept only some clients"
_UNREACHED = "it may have failed to reach the target"
_GREETING = _Message("the greeting", SOCKS5, 5, _OTHER)
# Its version is one of its own (RFC 1929, 2).
_LOGIN = _Message("the user and password", SOCKS5, 1, "it may not accept them", "auth")
_REQUEST = _Message("the request", SOCKS5, 5, _UNREACHED)
_REQUEST_4 = _Message("the request", SOCKS4, 0, f"{_OTHER}, or have failed to reach the target")


def ask_socks(
    scheme: str, goal: Target, address: str | None, login: Login | None
) -> Program[ProxyResponse]:
    """Ask for a tunnel. Of what follows a grant nothing is taken: it is the target's.

    A refusal is told as soon as its code has come. What follows that is nobody's.

    Args:
        scheme: "socks4", "socks4a", "socks5" or "socks5h".
        goal: Where the tunnel is to lead, for which `check` had no complaint.
        address: The numeric address of a goal that is a name, where the scheme has it looked
            up here (`resolves_here`, `choose`).
        login: Who asks, for whom `complain` had no complaint.

    Returns:
        What it answered: see `granted` and `wants_login`.

    Raises:
        ProxyMisbehaved: It does not speak SOCKS, or not this version of it.
        ProxyHungUp: The connection ended before the answer did.
    """
    # Who is to look a name up is settled by the scheme, before a single octet is sent, and not
    # by anything that comes up while the proxy takes its time (CVE-2023-38545).
    assert (address is not None) == resolves_here(scheme, goal), "resolved by the wrong side"
    host = address or goal.host
    if scheme.startswith("socks4"):
        return (yield from _ask_4(host, goal.port, login))
    return (yield from _ask_5(host, goal.port, login))


# ---- SOCKS5 ----


def _ask_5(host: str, port: int, login: Login | None) -> Program[ProxyResponse]:
    offered = [SOCKS5AuthMethod.NO_AUTH_REQUIRED]
    if login is not None:
        offered.append(SOCKS5AuthMethod.USERNAME_PASSWORD)
    yield from Send(SOCKS5AuthMethodsRequest(offered).dumps())
    _, method = yield from _read(_GREETING, 2)
    if method == _NO_METHOD:
        return unauthenticated(NO_METHOD)
    if method == _PASSWORD and login is not None:
        yield from Send(_render(login))
        _, status = yield from _read(_LOGIN, 2)
        if status != 0:
            return unauthenticated(f"user and password rejected with status {status}")
    elif method != _NOTHING:
        _refuse_method(method)
    yield from Send(_request_5(host, port))
    reply = yield from _read(_REQUEST, 2)
    response = reply_of(SOCKS5, reply[1])
    assert response is not None
    if response.status == 0:
        yield from _pass_address(reply)
    return response


def _render(login: Login) -> bytes:
    # The message is nobody's local variable, nor is what goes into it. Both lengths have been
    # checked, so that nothing fails where socksio holds them.
    return SOCKS5UsernamePasswordRequest(*map(str.encode, login.reveal())).dumps()


def _request_5(host: str, port: int) -> bytes:
    # Not `from_address`, which guesses the type of an address by having the system parse it.
    kind, packed = SOCKS5AType.DOMAIN_NAME, host.encode("ascii")
    if ip := _numeric(host):
        kind = SOCKS5AType.IPV4_ADDRESS if ip.version == 4 else SOCKS5AType.IPV6_ADDRESS
        packed = ip.packed
    return SOCKS5CommandRequest(SOCKS5Command.CONNECT, kind, packed, port).dumps()


def _refuse_method(method: int) -> NoReturn:
    raise ProxyMisbehaved(
        f"chose the authentication method {method}, which was not offered (RFC 1928, 3)",
        received=escape(bytes([5, method])),
        hint="pass auth=(user, password) to Proxy" if method == _PASSWORD else None,
    )


def _pass_address(reply: bytes) -> Program[None]:
    """Take the rest of a grant: the address that the proxy dials from, by whichever type.

    It is 0.0.0.0 mostly. Whether the reserved octet is zero is of no consequence to anybody.
    """
    reply = yield from _read(_REQUEST, 5, reply)
    kind = reply[3]
    size = reply[4] + 1 if kind == _NAME else _SIZES.get(kind)
    if size is None:
        raise ProxyMisbehaved(
            f"granted the tunnel from an address of the unknown type {kind} (RFC 1928, 5)",
            received=escape(reply),
        )
    yield from _read(_REQUEST, 4 + size + 2, reply)


# ---- SOCKS4 and 4a ----


def _ask_4(host: str, port: int, login: Login | None) -> Program[ProxyResponse]:
    yield from Send(_request_4(host, port, login))
    reply = yield from _read(_REQUEST_4, 2)
    response = reply_of(SOCKS4, reply[1])
    if response is None:
        raise ProxyMisbehaved(
            f"answered with the code {reply[1]}, which SOCKS4 does not have",
            received=escape(reply),
        )
    if response.status == 90:
        yield from _read(_REQUEST_4, 8, reply)
    return response


def _request_4(host: str, port: int, login: Login | None) -> bytes:
    user = login.reveal()[0].encode() if login else b""
    connect, ip = SOCKS4Command.CONNECT, _numeric(host)
    if ip is None:
        return SOCKS4ARequest(connect, port, host.encode("ascii"), user).dumps()
    assert ip.version == 4, "SOCKS4 has four octets for an address"
    return SOCKS4Request(connect, port, ip.packed, user).dumps()


# ---- both ----


def _numeric(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _read(sent: _Message, size: int, data: bytes = b"") -> Program[bytes]:
    """Read an answer up to so many octets, and take not one more.

    Args:
        sent: What it answers.
        size: How many.
        data: What was read of it before.
    """
    while len(data) < size:
        try:
            seen = yield from Peek()
            if not seen:
                raise ProxyHungUp("closed the connection")
        except ProxyHungUp as gone:
            raise _told(gone, sent, data) from gone.__cause__
        if not data and seen[0] != sent.version:
            raise (yield from _recognise(seen, sent))
        part = seen[: size - len(data)]
        yield from Take(len(part))
        data += part
    return data


def _told(gone: ProxyHungUp, sent: _Message, data: bytes) -> ProxyHungUp:
    """The end of a connection, told by how far the proxy had come."""
    where = "in the middle of its answer to" if data else "without answering"
    return ProxyHungUp(
        f"{gone.args[0]} {where} {sent.name}",
        reset=gone.reset, errno=gone.errno, received=escape(data),
        phase=sent.phase, hint=None if data else sent.hint,
    )  # fmt: skip


# What others say, and the octets that it begins with.
_OTHERS: Final = {
    b"HTTP/": "it speaks HTTP: use an http:// URL",
    b"\x15\x03": "it speaks TLS: use an https:// URL",  # an alert
    b"\x16\x03": "it speaks TLS: use an https:// URL",
    b"SSH-": "it is an SSH server",
    b"220": "it is a mail or FTP server",
    b"554": "it is a mail or FTP server",
    b"* OK": "it is an IMAP server",
    b"+OK": "it is a POP3 server",
}
_OTHER_SOCKS: Final = {
    SOCKS5: {b"\x00\x5b": "it speaks SOCKS4: use a socks4a:// URL"},
    SOCKS4: {b"\x05": "it speaks SOCKS5: use a socks5h:// URL"},
}


def _recognise(data: bytes, sent: _Message) -> Program[ProxyMisbehaved]:
    """Give a name to an answer that is not SOCKS, once enough of it has come."""
    others = _OTHERS | _OTHER_SOCKS[sent.protocol]
    yield from Take(len(data))
    while any(len(data) < len(words) and words.startswith(data) for words in others):
        try:
            seen = yield from Peek()
        except ProxyHungUp:
            break
        if not seen:
            break
        yield from Take(len(seen))
        data += seen
    return ProxyMisbehaved(
        f'answered {sent.name} with something that is not {sent.protocol}: "{escape(data)}"',
        received=escape(data),
        hint=next((hint for words, hint in others.items() if data.startswith(words)), None),
    )
