"""Tunnels as httpcore's network streams: one text for httpcore and for httpcore2.

The two libraries differ in the names of their modules alone. What is here are mixins: a class of
`httpcore.py` or `httpcore2.py` puts one before the library's own base class and says which library
it is, whose errors are then raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast

import anyio

from connect_tunnel._errors import (
    InvalidProxy,
    ProxyMisbehaved,
    ProxyTLSError,
    TunnelError,
    TunnelRefused,
)

if TYPE_CHECKING:
    import ssl

    from connect_tunnel._async.tunnel import AsyncTunnel
    from connect_tunnel._sync.tunnel import Tunnel

# Of httpcore or of httpcore2: neither's types are the other's.
Library: TypeAlias = Any
Request: TypeAlias = Any
Response: TypeAlias = Any

Table: TypeAlias = "tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]"

# What of ours becomes what of theirs: the first row that fits. A proxy that cannot be reached is
# a ConnectError, which is what `retries` tries again; what a proxy says or does is not. A target
# that cannot be is a ConnectError as well, as it is without a proxy.
OPENING: Final[Table] = (
    (TimeoutError, "ConnectTimeout"),
    ((InvalidProxy, ProxyMisbehaved, ProxyTLSError, TunnelRefused), "ProxyError"),
    (TunnelError, "ConnectError"),
)
READING: Final[Table] = ((TimeoutError, "ReadTimeout"), (TunnelError, "ReadError"))
WRITING: Final[Table] = ((TimeoutError, "WriteTimeout"), (TunnelError, "WriteError"))

S = TypeVar("S")

_AT_ONCE: Final = 1e-9  # seconds; httpcore takes 0 for "do not wait", and we take it for a mistake


def translated(library: Library, table: Table, error: Exception) -> Exception:
    """The error of a library that says the same, to be raised from ours.

    The pools of httpcore raise every error `from None` on its way out, so ours is then found as
    the `__context__` only.
    """
    name = next(name for kind, name in table if isinstance(error, kind))
    kind: type[Exception] = getattr(library, name)
    return kind(str(error))


def limit(timeout: float | None) -> float | None:
    """A timeout of httpcore's as one of ours."""
    return timeout if timeout is None or timeout > 0 else _AT_ONCE


class Stream(Generic[S]):
    """A tunnel as a network stream."""

    _library: Library

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel: Final = tunnel

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read some bytes; none at the end.

        Raises:
            ReadTimeout, ReadError: Of the library.
        """
        try:
            return self._tunnel.read(max_bytes, limit(timeout))
        except TunnelError as error:
            raise translated(self._library, READING, error) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of the bytes.

        Raises:
            WriteTimeout, WriteError: Of the library.
        """
        if not buffer:
            return
        try:
            self._tunnel.write(buffer, limit(timeout))
        except TunnelError as error:
            raise translated(self._library, WRITING, error) from error

    def close(self) -> None:
        """Close the tunnel."""
        self._tunnel.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> S:
        """Speak TLS with the target; if that fails the tunnel is closed.

        An end without a close_notify counts as an end, as it does in httpcore.

        Raises:
            ConnectTimeout, ConnectError: Of the library.
        """
        try:
            tls = self._tunnel.start_tls(
                ssl_context, server_hostname, timeout=limit(timeout), require_close_notify=False
            )
        except BaseException as error:
            self._tunnel.close()
            if isinstance(error, TunnelError):
                raise translated(self._library, OPENING, error) from error
            raise
        stream: Any = type(self)(tls)
        return cast("S", stream)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - each has its own type
        """One fact by name, as httpcore has them, or "proxy_response"; None if there is none."""
        return _fact(self._tunnel, info)


class AsyncStream(Generic[S]):
    """A tunnel as an async network stream."""

    _library: Library

    def __init__(self, tunnel: AsyncTunnel) -> None:
        self._tunnel: Final = tunnel

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read some bytes; none at the end.

        Raises:
            ReadTimeout, ReadError: Of the library.
        """
        try:
            with anyio.fail_after(timeout):
                return await self._tunnel.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except TimeoutError:
            late = TimeoutError(f"no data came through the tunnel to {self._tunnel.target} in time")
            raise translated(self._library, READING, late) from late
        except TunnelError as error:
            raise translated(self._library, READING, error) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of the bytes.

        Raises:
            WriteTimeout, WriteError: Of the library.
        """
        if not buffer:
            return
        try:
            with anyio.fail_after(timeout):
                await self._tunnel.send(buffer)
        except TimeoutError:
            late = TimeoutError(f"not all went through the tunnel to {self._tunnel.target} in time")
            raise translated(self._library, WRITING, late) from late
        except TunnelError as error:
            raise translated(self._library, WRITING, error) from error

    async def aclose(self) -> None:
        """Close the tunnel."""
        await self._tunnel.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> S:
        """Speak TLS with the target; if that fails the tunnel is closed.

        An end without a close_notify counts as an end, as it does in httpcore.

        Raises:
            ConnectTimeout, ConnectError: Of the library.
        """
        try:
            tls = await self._tunnel.start_tls(
                ssl_context, server_hostname, timeout=limit(timeout), require_close_notify=False
            )
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await self._tunnel.aclose()
            if isinstance(error, TunnelError):
                raise translated(self._library, OPENING, error) from error
            raise
        stream: Any = type(self)(tls)
        return cast("S", stream)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - each has its own type
        """One fact by name, as httpcore has them, or "proxy_response"; None if there is none."""
        return _fact(self._tunnel, info)


def _fact(tunnel: Tunnel | AsyncTunnel, info: str) -> Any:  # noqa: ANN401 - each has its own type
    if info != "proxy_response":
        return tunnel.get_extra_info(info)
    try:
        return tunnel.response
    except LookupError:  # it is direct
        return None
