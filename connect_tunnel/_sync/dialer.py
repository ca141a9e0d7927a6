"""Opening tunnels, for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from connect_tunnel._errors import TunnelClosed
from connect_tunnel._net.driver import Driver
from connect_tunnel._net.stream import Stream
from connect_tunnel._open import raise_refusal, request_tunnel
from connect_tunnel._target import Target
from connect_tunnel._timeout import Timeout
from connect_tunnel._via import read_via, shown
from connect_tunnel._walk import Opened, Refused

from .refusal import Refusal
from .tunnel import Tunnel
from .wait import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from connect_tunnel._net.sock import SocketOption
    from connect_tunnel._route import Hops, Routed
    from connect_tunnel._target import TargetLike
    from connect_tunnel._timeout import TimeoutLike
    from connect_tunnel._via import Via

T = TypeVar("T")


def open_tunnel(
    target: TargetLike,
    *,
    via: Via,
    timeout: TimeoutLike = 30.0,
    local_address: tuple[str, int] | None = None,
    socket_options: Sequence[SocketOption] = (),
) -> Tunnel:
    """Open a tunnel to the target through an HTTP proxy, or through several.

    Args:
        target: "host:port", a pair of host and port, or a Target.
        via: The URL of a proxy, a Proxy, a list of these, where the first is dialled and the
            last opens the tunnel, or a router (see `connect_tunnel.routing`).
        timeout: Seconds for all of it, None for no limit, or a Timeout with parts.
        local_address: Host and port to dial from.
        socket_options: For `setsockopt` on the socket to the first proxy.

    Raises:
        InvalidTarget, InvalidProxy: What was asked for cannot be; nothing was sent.
        TunnelRefused: A proxy said no; its answer is in `response`.
        TunnelTimeout: Time ran out; `phase` says where it went.
        TunnelError: Another of its kinds says what else went wrong.
        ImportError: The way needs an extra that is not installed.

    Source: RFC 9110, 9.3.6.
    """
    way = read_via(via)
    del via  # a traceback would print it, and it may hold a password
    if isinstance(way, Exception):
        raise way
    return _open(Target.parse(target), way, Timeout.parse(timeout), local_address, socket_options)


def _open(
    target: Target,
    way: Hops | Routed,
    timeout: Timeout,
    local_address: tuple[str, int] | None,
    socket_options: Sequence[SocketOption],
) -> Tunnel:
    driver = Driver(target, timeout, local_address=local_address, socket_options=socket_options)
    outcome = run(driver.run(request_tunnel(way, target)), driver.deadline)
    if isinstance(outcome, Opened):
        return _tunnel(driver, target, outcome)
    return run(driver.run(raise_refusal(outcome), anew=False), driver.deadline)


def _tunnel(driver: Driver, target: Target, opened: Opened) -> Tunnel:
    return Tunnel(Stream(driver.release(), target), target, opened.hops, opened.responses)


class Dialer:
    """A way there, kept. Safe between threads and after a fork.

    Args:
        via, timeout, local_address, socket_options: As for `open_tunnel`.

    Raises:
        InvalidProxy: There is no such way.
    """

    __slots__ = ("_closed", "_local_address", "_socket_options", "_timeout", "_way")

    def __init__(
        self,
        via: Via,
        *,
        timeout: TimeoutLike = 30.0,
        local_address: tuple[str, int] | None = None,
        socket_options: Sequence[SocketOption] = (),
    ) -> None:
        way = read_via(via)
        del via
        if isinstance(way, Exception):
            raise way
        self._way: Final = way
        self._timeout: Final = Timeout.parse(timeout)
        self._local_address: Final = local_address
        self._socket_options: Final = tuple(socket_options)
        self._closed = False

    def open_tunnel(
        self,
        target: TargetLike,
        *,
        timeout: float | None = None,
        local_address: tuple[str, int] | None = None,
        socket_options: Sequence[SocketOption] = (),
    ) -> Tunnel:
        """Open a tunnel to the target.

        Args:
            target: As for `connect_tunnel.open_tunnel`.
            timeout: Seconds for this one, where that is less than the dialer's total.
            local_address: For this one, instead of the dialer's.
            socket_options: For this one, set after the dialer's.

        Raises:
            TunnelError: As `connect_tunnel.open_tunnel` does.
        """
        self._check_open()
        return _open(
            Target.parse(target),
            self._way,
            self._timeout.within(timeout),
            local_address or self._local_address,
            (*self._socket_options, *socket_options),
        )

    def request_tunnel(self, target: TargetLike) -> Tunnel | Refusal:
        """Ask for a tunnel to the target, and take a refusal as a value.

        Raises:
            TunnelError: As `open_tunnel` does, but for TunnelRefused.
        """
        self._check_open()
        parsed = Target.parse(target)
        driver = Driver(
            parsed,
            self._timeout,
            local_address=self._local_address,
            socket_options=self._socket_options,
        )
        outcome = run(driver.run(request_tunnel(self._way, parsed)), driver.deadline)
        if isinstance(outcome, Refused):
            return Refusal(driver, outcome)
        return _tunnel(driver, parsed, outcome)

    def close(self) -> None:
        """Open no more tunnels. Those that are open live on."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise TunnelClosed("the dialer is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        way = getattr(self, "_way", ())  # none yet, if a traceback asks
        return f"<Dialer via {shown(way)}>"
