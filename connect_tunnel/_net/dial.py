"""Dialling: Happy Eyeballs, version 2 (RFC 8305)."""

from __future__ import annotations

import errno
import os
import socket
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final

from connect_tunnel._errors import ProxyUnreachable

from .sock import IPV4, IPV6, new_socket
from .waits import WRITE, AnyReady, Ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from connect_tunnel._steps import Endpoint

    from .sock import SocketOption
    from .waits import Operation

ATTEMPT_DELAY = 0.25  # seconds before the next address is tried beside it (RFC 8305, 5)

_CONNECTED = frozenset({0, errno.EISCONN})
_PENDING = frozenset(
    {errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", -1)}
)


def dial(
    addresses: Sequence[Endpoint],
    local_address: tuple[str, int] | None,
    options: Iterable[SocketOption],
    *,
    speaks_first: bool = False,
) -> Operation[socket.socket]:
    """Connect to the first address that answers, and close all other attempts.

    Args:
        addresses: Where to.
        local_address: Where from.
        options: For `setsockopt` on each socket before it connects.
        speaks_first: Whether we say something as soon as it is connected.

    Raises:
        ProxyUnreachable: None does; `attempts` tells what came of each.
    """
    # Two take turns in any order.
    untried = interleave(addresses) if len(addresses) > 2 else [*addresses]
    racing: dict[socket.socket, Endpoint] = {}
    failed: list[tuple[Endpoint, OSError]] = []
    try:
        while untried or racing:
            if untried:
                address = untried.pop(0)
                try:
                    sock, connected = _begin(
                        address, local_address, options, speaks_first=speaks_first
                    )
                except OSError as error:
                    failed.append((address, error))
                    continue  # a failure brings on the next attempt at once
                if connected:
                    return sock
                racing[sock] = address
            for sock in (yield from _ready(list(racing), more=bool(untried))):
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                address = racing.pop(sock)
                if code == 0:
                    return sock
                failed.append((address, OSError(code, os.strerror(code))))
                sock.close()
        raise _unreachable(failed)
    finally:
        for sock in racing:
            sock.close()


def _begin(
    address: Endpoint,
    local_address: tuple[str, int] | None,
    options: Iterable[SocketOption],
    *,
    speaks_first: bool,
) -> tuple[socket.socket, bool]:
    """A socket that connects, and whether it has done so already."""
    family = IPV4
    place: tuple[Any, ...] | str = address
    if isinstance(address, str):
        family = _UNIX
    elif ":" in address[0]:
        family, place = IPV6, _with_scope(*address)
    sock = new_socket(family, local_address, options, speaks_first=speaks_first)
    try:
        code = sock.connect_ex(place)
        if code in _PENDING:
            # On the same machine, where many proxies are, it is done by now: asking again
            # costs less than waiting.
            code = sock.connect_ex(place)
        if code in _CONNECTED:
            return sock, True
        if code in _PENDING and family != _UNIX:
            return sock, False
        # A Unix socket that is not connected at once never is: its queue is full.
        raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise


_UNIX: Final = int(getattr(socket, "AF_UNIX", -1))  # which Windows has, and Python there has not


def _with_scope(host: str, port: int) -> tuple[Any, ...]:
    """An IPv6 socket address; its zone is one of this machine's interfaces (RFC 9844)."""
    host, _, zone = host.partition("%")
    if not zone:
        return host, port
    return host, port, 0, int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)


def _ready(racing: list[socket.socket], *, more: bool) -> Operation[list[socket.socket]]:
    if len(racing) == 1 and not more:
        yield Ready(racing[0], WRITE)
        return racing
    interests = [(sock, WRITE) for sock in racing]
    ready: list[socket.socket] = yield AnyReady(interests, ATTEMPT_DELAY if more else None)
    return ready


def interleave(addresses: Sequence[Endpoint]) -> list[Endpoint]:
    """The same addresses, families taking turns, beginning with that of the first."""
    colon = ":" in addresses[0][0] if addresses else False
    first = [address for address in addresses if (":" in address[0]) == colon]
    other = [address for address in addresses if (":" in address[0]) != colon]
    turns = chain.from_iterable(zip_longest(first, other))
    return [address for address in turns if address is not None]


def _unreachable(failed: list[tuple[Endpoint, OSError]]) -> ProxyUnreachable:
    attempts = tuple((_shown(address), error.strerror or str(error)) for address, error in failed)
    told = "; ".join(f"{address}: {said}" for address, said in attempts)
    return ProxyUnreachable(
        f"cannot be reached ({told or 'its name has no address'})",
        attempts=attempts,
        errno=failed[-1][1].errno if failed else None,
    )


def _shown(address: Endpoint) -> str:
    if isinstance(address, str):
        return ascii(address)[1:-1]
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
