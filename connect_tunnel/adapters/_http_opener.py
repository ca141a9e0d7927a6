"""Opens the connections of http://, as a dialer opens tunnels: each by the program of its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from connect_tunnel._async.bell import LoopBell
from connect_tunnel._async.dialer import _tunnel as _async_tunnel
from connect_tunnel._async.wait import run as run_async
from connect_tunnel._net.driver import Driver
from connect_tunnel._open import raise_refusal
from connect_tunnel._sync.bell import SocketBell
from connect_tunnel._sync.dialer import _tunnel
from connect_tunnel._sync.wait import run
from connect_tunnel._target import Target
from connect_tunnel._timeout import Timeout
from connect_tunnel._walk import Opened

if TYPE_CHECKING:
    from connect_tunnel._async.tunnel import AsyncTunnel
    from connect_tunnel._net.sock import SocketOption
    from connect_tunnel._steps import Program
    from connect_tunnel._sync.tunnel import Tunnel

    from ._http_forward import Way

T = TypeVar("T")


def perform(program: Program[T], target: Target, seconds: float | None) -> T:
    """Perform a program that connects to nothing, in this thread.

    Raises:
        TunnelError: As the program does, or for want of time.
    """
    driver = Driver(target, Timeout(seconds), new_bell=SocketBell)
    return run(driver.run(program), driver.deadline)


async def perform_async(program: Program[T], target: Target, seconds: float | None) -> T:
    """Perform a program that connects to nothing, in this task.

    Raises:
        TunnelError: As the program does, or for want of time.
    """
    driver = Driver(target, Timeout(seconds), new_bell=LoopBell)
    return await run_async(driver.run(program), driver.deadline)


class Opener:
    """For threads."""

    def __init__(self, way: Way) -> None:
        self._way: Final = way

    def open_tunnel(
        self,
        target: tuple[str, int],
        *,
        timeout: float | None,
        local_address: tuple[str, int] | None,
        socket_options: tuple[SocketOption, ...],
    ) -> Tunnel:
        """Open a connection for requests to a target.

        Raises:
            TunnelError: As `Dialer.open_tunnel` does.
        """
        driver = Driver(
            Target.parse(target), Timeout(timeout), new_bell=SocketBell,
            local_address=local_address, socket_options=socket_options,
        )  # fmt: skip
        outcome = run(driver.run(self._way.reach(driver.target)), driver.deadline)
        if isinstance(outcome, Opened):
            return _tunnel(driver, outcome)
        return run(driver.run(raise_refusal(outcome), anew=False), driver.deadline)


class AsyncOpener:
    """For event loops."""

    def __init__(self, way: Way) -> None:
        self._way: Final = way

    async def open_tunnel(
        self,
        target: tuple[str, int],
        *,
        timeout: float | None,
        local_address: tuple[str, int] | None,
        socket_options: tuple[SocketOption, ...],
    ) -> AsyncTunnel:
        """Open a connection for requests to a target.

        Raises:
            TunnelError: As `AsyncDialer.open_tunnel` does.
        """
        driver = Driver(
            Target.parse(target), Timeout(timeout), new_bell=LoopBell,
            local_address=local_address, socket_options=socket_options,
        )  # fmt: skip
        outcome = await run_async(driver.run(self._way.reach(driver.target)), driver.deadline)
        if isinstance(outcome, Opened):
            return _async_tunnel(driver, outcome)
        return await run_async(driver.run(raise_refusal(outcome), anew=False), driver.deadline)
