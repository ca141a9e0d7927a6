"""Blocking help in a thread that is abandoned when time runs out.

One daemon thread a call, which nobody joins: a resolver may take minutes, an event loop's
own executor joins its threads when the program ends, and neither may hold up a caller whose
deadline has passed. The thread ends by itself, and holds one descriptor until then.
"""

from __future__ import annotations

import socket
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .waits import READ, Ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel._steps import Address

    from .waits import Operation

T = TypeVar("T")


def resolve(name: str, port: int) -> Operation[list[Address]]:
    """The addresses of a name, in the order of the system's resolver (RFC 6724)."""
    return offload(lambda: _look_up(name, port))


def _look_up(name: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(
        name.encode("ascii"),  # as bytes, since a str would go through IDNA2003
        port,
        type=socket.SOCK_STREAM,
        proto=socket.IPPROTO_TCP,
    )
    return [(_numeric(address), port) for _, _, _, _, address in found]


def _numeric(address: tuple[Any, ...]) -> str:
    host: str = address[0]
    scope = address[3] if len(address) == 4 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host


class _Outcome(Generic[T]):
    """What comes of a call. It may be a secret, and a traceback prints the locals it finds."""

    __slots__ = ("errors", "results")

    def __init__(self) -> None:
        self.results: list[T] = []
        self.errors: list[BaseException] = []


def offload(function: Callable[[], T]) -> Operation[T]:
    """Call something that blocks, and wait for it as for a socket."""
    near, far = socket.socketpair()
    outcome = _Outcome[T]()

    def work() -> None:
        with far:  # its end is the signal
            try:
                outcome.results.append(function())
            except BaseException as error:  # noqa: BLE001 - carried over to the caller
                outcome.errors.append(error)

    with near:
        near.setblocking(False)
        try:
            Thread(target=work, name="connect_tunnel-offload", daemon=True).start()
        except BaseException:
            far.close()
            raise
        yield Ready(near, READ)
    if outcome.errors:
        raise outcome.errors[0]
    return outcome.results[0]
