"""Dialling: Happy Eyeballs, version 2 (RFC 8305)."""

from __future__ import annotations

import errno
import os
import socket
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from connect_tunnel._errors import ProxyUnreachable

from .sock import new_socket
from .waits import WRITE, AnyReady, Ready

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connect_tunnel._steps import Address

    from .sock import SocketOption
    from .waits import Operation

ATTEMPT_DELAY = 0.25  # seconds before the next address is tried beside it (RFC 8305, 5)

_IN_PROGRESS = frozenset(
    {errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", -1)}
)


def dial(
    addresses: list[Address],
    local_address: tuple[str, int] | None,
    options: Iterable[SocketOption],
) -> Operation[socket.socket]:
    """Connect to the first address that answers, and close all other attempts.

    Raises:
        ProxyUnreachable: None does; `attempts` tells what came of each.
    """
    untried = interleave(addresses)
    racing: dict[socket.socket, Address] = {}
    failed: list[tuple[Address, int]] = []
    winner: socket.socket | None = None
    try:
        while untried or racing:
            if untried:
                address = untried.pop(0)
                try:
                    racing[_begin(address, local_address, options)] = address
                except OSError as error:
                    failed.append((address, error.errno or 0))
                    continue  # a failure brings on the next attempt at once
            for sock in (yield from _ready(list(racing), more=bool(untried))):
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    winner = sock
                    return sock
                failed.append((racing.pop(sock), code))
                sock.close()
        raise _unreachable(failed)
    finally:
        for sock in racing:
            if sock is not winner:
                sock.close()


def _begin(
    address: Address,
    local_address: tuple[str, int] | None,
    options: Iterable[SocketOption],
) -> socket.socket:
    sock = new_socket(address[0], local_address, options)
    code = sock.connect_ex(address[1])
    if code and code not in _IN_PROGRESS:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def _ready(racing: list[socket.socket], *, more: bool) -> Operation[list[socket.socket]]:
    if len(racing) == 1 and not more:
        yield Ready(racing[0], WRITE)
        return racing
    interests = [(sock, WRITE) for sock in racing]
    ready: list[socket.socket] = yield AnyReady(interests, ATTEMPT_DELAY if more else None)
    return ready


def interleave(addresses: list[Address]) -> list[Address]:
    """The same addresses, families taking turns, beginning with that of the first."""
    if len(addresses) == 1:
        return [*addresses]
    first = [address for address in addresses if address[0] == addresses[0][0]]
    other = [address for address in addresses if address[0] != addresses[0][0]]
    turns = chain.from_iterable(zip_longest(first, other))
    return [address for address in turns if address is not None]


def _unreachable(failed: list[tuple[Address, int]]) -> ProxyUnreachable:
    attempts = tuple((_shown(address), os.strerror(code)) for address, code in failed)
    told = "; ".join(f"{address}: {said}" for address, said in attempts)
    return ProxyUnreachable(
        f"cannot be reached ({told or 'its name has no address'})",
        attempts=attempts,
        errno=failed[-1][1] if failed else None,
    )


def _shown(address: Address) -> str:
    host, port = address[1][:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
