"""Blocking help in a thread that is abandoned when time runs out.

One daemon thread a call, which nobody joins: a resolver may take minutes, an event loop's
own executor joins its threads when the program ends, and neither may hold up a caller whose
deadline has passed. The thread ends by itself, and holds one descriptor until then.
"""

from __future__ import annotations

import socket
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from .waits import READ, Ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel._steps import Address

    from .waits import Operation

T = TypeVar("T")


def resolve(host: str, port: int) -> Operation[list[Address]]:
    """The addresses of a host, in the order of the system's resolver (RFC 6724)."""
    if (numeric := _numeric(host, port)) is not None:
        return numeric
    return (yield from offload(lambda: _look_up(host, port, 0)))


def _numeric(host: str, port: int) -> list[Address] | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]
    if "%" in host:  # a zone id: looked up among this machine's interfaces, no further
        return _look_up(host, port, socket.AI_NUMERICHOST)
    return None


def _look_up(host: str, port: int, flags: int) -> list[Address]:
    # As bytes, since getaddrinfo would put a str through IDNA2003.
    found = socket.getaddrinfo(
        host.encode("ascii"), port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags
    )
    return [(family, address) for family, _, _, _, address in found]


def offload(function: Callable[[], T]) -> Operation[T]:
    """Call something that blocks, and wait for it as for a socket."""
    near, far = socket.socketpair()
    outcome: list[tuple[T | None, BaseException | None]] = []

    def work() -> None:
        with far:  # its end is the signal
            try:
                outcome.append((function(), None))
            except BaseException as error:  # noqa: BLE001 - carried over to the caller
                outcome.append((None, error))

    with near:
        near.setblocking(False)
        Thread(target=work, name="connect_tunnel-offload", daemon=True).start()
        yield Ready(near, READ)
    [(result, error)] = outcome
    if error is not None:
        raise error
    return result  # type: ignore[return-value] - a T where there is no error
