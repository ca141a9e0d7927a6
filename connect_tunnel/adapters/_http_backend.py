"""Tunnels from httpcore's network backends: mixins, as in `_http_stream.py`.

The one deadline of an opening is the "connect" timeout of a request. It covers the proxy's name,
TCP, TLS with the proxy, and all that is said until the tunnel is open. TLS with the target comes
afterwards and has the same time once more, as it has without a proxy.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast

import anyio

from connect_tunnel._errors import TunnelError

from ._http_stream import OPENING, limit, translated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connect_tunnel._async.dialer import AsyncDialer
    from connect_tunnel._net.sock import SocketOption
    from connect_tunnel._sync.dialer import Dialer

    from ._http_stream import Library

# As httpcore has them; the last form is that of setsockopt with a length.
Option: TypeAlias = "tuple[int, int, int | bytes | bytearray] | tuple[int, int, None, int]"
Options: TypeAlias = "Iterable[Option] | None"
S = TypeVar("S")


class Backend(Generic[S]):
    """Opens tunnels where a pool would dial."""

    _library: Library
    _stream: Any

    def __init__(self, dialer: Dialer) -> None:
        self._dialer: Final = dialer

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options = None,
    ) -> S:
        """Open a tunnel to the host.

        Args:
            host: The target's.
            port: The target's.
            timeout: Seconds for the whole opening, where the dialer does not allow for less.
            local_address: The host to dial from.
            socket_options: For `setsockopt` on the socket to the first proxy.

        Raises:
            ProxyError: Of the library: a proxy said no, or did not behave.
            ConnectError: Of the library: it could not be reached, or there is no such target.
            ConnectTimeout: Of the library.
        """
        try:
            tunnel = self._dialer.open_tunnel(
                (host, port),
                timeout=limit(timeout),
                local_address=None if local_address is None else (local_address, 0),
                socket_options=_options(socket_options),
            )
        except TunnelError as error:
            raise translated(self._library, OPENING, error) from error
        stream: S = self._stream(tunnel)
        return stream

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Options = None
    ) -> S:
        """Refuse: no proxy connects to a Unix socket of ours.

        Raises:
            UnsupportedProtocol: Of the library, always.
        """
        del path, timeout, socket_options
        raise self._library.UnsupportedProtocol(_NO_UNIX)

    def sleep(self, seconds: float) -> None:
        """Wait, between two tries."""
        time.sleep(seconds)


class AsyncBackend(Generic[S]):
    """Opens tunnels where an async pool would dial."""

    _library: Library
    _stream: Any

    def __init__(self, dialer: AsyncDialer) -> None:
        self._dialer: Final = dialer

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options = None,
    ) -> S:
        """Open a tunnel to the host.

        Args:
            host: The target's.
            port: The target's.
            timeout: Seconds for the whole opening, where the dialer does not allow for less.
            local_address: The host to dial from.
            socket_options: For `setsockopt` on the socket to the first proxy.

        Raises:
            ProxyError: Of the library: a proxy said no, or did not behave.
            ConnectError: Of the library: it could not be reached, or there is no such target.
            ConnectTimeout: Of the library.
        """
        try:
            tunnel = await self._dialer.open_tunnel(
                (host, port),
                timeout=limit(timeout),
                local_address=None if local_address is None else (local_address, 0),
                socket_options=_options(socket_options),
            )
        except TunnelError as error:
            raise translated(self._library, OPENING, error) from error
        stream: S = self._stream(tunnel)
        return stream

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Options = None
    ) -> S:
        """Refuse: no proxy connects to a Unix socket of ours.

        Raises:
            UnsupportedProtocol: Of the library, always.
        """
        del path, timeout, socket_options
        raise self._library.UnsupportedProtocol(_NO_UNIX)

    async def sleep(self, seconds: float) -> None:
        """Wait, between two tries."""
        await anyio.sleep(seconds)


_NO_UNIX = "there is no tunnel to a Unix socket; for a proxy behind one it is Proxy('unix:///path')"


def _options(options: Options) -> tuple[SocketOption, ...]:
    # Whatever setsockopt takes; we hand it through.
    return cast("tuple[SocketOption, ...]", tuple(options or ()))
