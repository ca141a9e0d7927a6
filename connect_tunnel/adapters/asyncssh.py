"""asyncssh: what its `tunnel=` takes, so that SSH goes through proxies.

via = connect_tunnel.adapters.asyncssh.Connector("http://proxy.corp:3128")
async with asyncssh.connect("host.example.com", tunnel=via) as ssh: ...
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from .asyncio import create_connection, dialer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel import AsyncDialer
    from connect_tunnel._timeout import TimeoutLike
    from connect_tunnel._via import Via

__all__ = ["Connector"]

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Connector:
    """A way there, kept, as asyncssh's `tunnel=` of `connect` and its like.

    Of asyncssh's options `family`, `flags` and `local_addr` mean nothing here, and a name is
    looked up by the proxy, unless `canonicalize_hostname` says otherwise.

    Args:
        via: The way there, or an AsyncDialer, which has its own timeout and local address.
        timeout: Seconds for the opening of each tunnel, None for no limit, or a Timeout with
            parts. SSH itself has `login_timeout`.
        local_address: Host and port to dial from.

    Raises:
        InvalidProxy: There is no such way.
    """

    def __init__(
        self,
        via: Via | AsyncDialer,
        *,
        timeout: TimeoutLike = 30.0,
        local_address: tuple[str, int] | None = None,
    ) -> None:
        try:
            dialer = dialer_of(via, timeout, local_address)
        finally:
            del via  # a traceback would print it, and it may hold a password
        self._dialer: Final = dialer

    async def create_connection(
        self, session_factory: Callable[[], P], remote_host: str, remote_port: int
    ) -> tuple[asyncio.Transport, P]:
        """Open a tunnel: what asyncssh calls.

        Raises:
            TunnelError: The tunnel could not be opened; asyncssh passes it on.
        """
        return await create_connection(session_factory, remote_host, remote_port, via=self._dialer)

    def __repr__(self) -> str:
        return f"<Connector of {self._dialer!r}>"
