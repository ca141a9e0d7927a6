"""asyncio: `open_connection` and `create_connection` through a tunnel.

They are called as asyncio's own, with `via` besides, and give what those give. On a plain hop
that is the event loop's own transport, on the socket that was dialled. Where the hop is TLS or
is shared there is no such socket, and the transport is one of ours, which keeps the same
contract; only uvloop's `loop.start_tls` takes none but its own, so give `ssl` from the start.

What goes wrong is a `TunnelError` in either case; TLS with the target that fails, too.
"""

from __future__ import annotations

import asyncio
import errno
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from connect_tunnel import AsyncDialer, Target, Timeout, TunnelTimeout
from connect_tunnel._net.tls import default_context
from connect_tunnel._net.tls_words import target_tls_error
from connect_tunnel._net.waits import Deadline
from connect_tunnel._timeout import seconds

from ._asyncio_transport import TunnelTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel import AsyncTunnel
    from connect_tunnel._timeout import TimeoutLike
    from connect_tunnel._via import Via

__all__ = ["create_connection", "open_connection"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_LINE_LIMIT = 64 * 1024  # of asyncio.open_connection
_LATER = 1e6  # seconds; the limit is ours to keep, and the loop's would be 60
_SHORTEST = 1e-3  # seconds: what is left of a time that has run out


async def open_connection(  # noqa: PLR0913 - asyncio's, and more
    host: str,
    port: int,
    *,
    via: Via | AsyncDialer,
    limit: int = _LINE_LIMIT,
    ssl: SSLContext | bool | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    local_addr: tuple[str, int] | None = None,
    timeout: TimeoutLike = 30.0,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a tunnel as a pair of streams, as `asyncio.open_connection` opens a connection.

    Args:
        host: The target's name or address.
        port: Its port.
        via: The way there, or an AsyncDialer; this and what follows as of `create_connection`.
        limit: What the reader buffers, in bytes.
        ssl: True or a context for TLS with the target.
        server_hostname: Whose certificate it must be.
        ssl_handshake_timeout: For TLS with the target, in seconds.
        ssl_shutdown_timeout: For the end of TLS, in seconds.
        local_addr: Host and port to dial from.
        timeout: For all of the opening: seconds, None for no limit, or a Timeout with parts.

    Raises:
        TunnelError: As `create_connection` does.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    opening = create_connection(
        lambda: protocol,
        host,
        port,
        via=via,
        ssl=ssl,
        server_hostname=server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
        local_addr=local_addr,
        timeout=timeout,
    )
    del via  # a traceback would print it, and it may hold a password
    transport, _ = await opening
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def create_connection(  # noqa: PLR0913 - likewise
    protocol_factory: Callable[[], P],
    host: str,
    port: int,
    *,
    via: Via | AsyncDialer,
    ssl: SSLContext | bool | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    local_addr: tuple[str, int] | None = None,
    timeout: TimeoutLike = 30.0,
) -> tuple[asyncio.Transport, P]:
    """Open a tunnel as a transport, as the event loop's `create_connection` does.

    Args:
        protocol_factory: Called once the tunnel is open.
        host: The target's name or address; the proxy looks it up.
        port: Its port.
        via: The way there, or an AsyncDialer, which has its own timeout for the opening.
        ssl: True or a context for TLS with the target. True is the process's default, which
            verifies the certificate; a context is used as it is.
        server_hostname: Whose certificate it must be; the target's host by default.
        ssl_handshake_timeout: For TLS with the target, in seconds, within `timeout`.
        ssl_shutdown_timeout: What a loop's own transport waits for the end of TLS, in seconds.
        local_addr: Host and port to dial from.
        timeout: Seconds for all of the opening, TLS with the target included; None for no
            limit, or a Timeout with parts.

    Returns:
        The transport and the protocol, whose `connection_made` was called.

    Raises:
        ValueError: What was asked for makes no sense; nothing was sent. Also an
            InvalidTarget or an InvalidProxy.
        TunnelError: The tunnel could not be opened, as of `connect_tunnel.open_tunnel_async`.
        TargetTLSError: TLS with the target failed; `__cause__` is what the loop said.
        TunnelTimeout: Time ran out; `phase` says where it went.
    """
    try:
        target = Target(host, port)
        tls = _TLS.read(
            target,
            server_hostname,
            ssl=ssl,
            handshake=ssl_handshake_timeout,
            shutdown=ssl_shutdown_timeout,
        )
        total = Timeout.parse(timeout).total
        dialer = dialer_of(via, timeout, local_addr)
    finally:
        del via  # a traceback would print it, and it may hold a password
    deadline = Deadline(total)
    tunnel = await dialer.open_tunnel(target)
    try:
        protocol = protocol_factory()
        transport = await _connect(tunnel, protocol, tls, deadline)
    except BaseException:
        tunnel.abort()
        raise
    return transport, protocol


def dialer_of(
    via: Via | AsyncDialer, timeout: TimeoutLike, local_address: tuple[str, int] | None
) -> AsyncDialer:
    """A dialer for a way."""
    try:
        if not isinstance(via, AsyncDialer):
            return AsyncDialer(via, timeout=timeout, local_address=local_address)
        if local_address is not None:
            raise ValueError("a dialer has its own local address")
        return via
    finally:
        del via  # as above


class _TLS(NamedTuple):
    """TLS with the target, if there is to be any."""

    context: SSLContext | None
    name: str
    handshake: float | None
    shutdown: float | None

    @classmethod
    def read(
        cls,
        target: Target,
        server_hostname: str | None,
        *,
        ssl: SSLContext | bool | None,
        handshake: float | None,
        shutdown: float | None,
    ) -> _TLS:
        if not isinstance(ssl, SSLContext | bool | None):
            raise TypeError(f"ssl is an SSLContext, True or None, not {type(ssl).__name__}")
        asked = {
            "server_hostname": server_hostname,
            "ssl_handshake_timeout": seconds(handshake),
            "ssl_shutdown_timeout": seconds(shutdown),
        }
        if not ssl and (odd := [name for name, value in asked.items() if value is not None]):
            raise ValueError(f"{odd[0]} is only meaningful with ssl")
        if server_hostname is not None:
            target = Target(server_hostname, target.port)
        context = default_context() if ssl is True else ssl or None
        return cls(context, target.server_hostname, handshake, shutdown)

    def limit(self, deadline: Deadline) -> float | None:
        """Seconds for the handshake: what is left, or less if the caller says so."""
        limits = [limit for limit in (deadline.left(), self.handshake) if limit is not None]
        return max(min(limits), _SHORTEST) if limits else None


async def _connect(
    tunnel: AsyncTunnel, protocol: asyncio.BaseProtocol, tls: _TLS, deadline: Deadline
) -> asyncio.Transport:
    try:
        sock = tunnel.socket()
    except TypeError:  # the hop is TLS, or shared
        return await _over_tunnel(tunnel, protocol, tls, deadline)
    loop = asyncio.get_running_loop()
    if tls.context is None:
        plain, _ = await loop.create_connection(lambda: protocol, sock=sock)
        if plain.is_closing() and not isinstance(loop, asyncio.BaseEventLoop):
            # If `connection_made` closes it, uvloop closes the descriptor but forgets to tell
            # this socket, whose finalizer would close another's of that number.
            sock.detach()
        return plain
    limit = tls.limit(deadline)
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            transport, _ = await loop.create_connection(
                lambda: protocol,
                sock=sock,
                ssl=tls.context,
                server_hostname=tls.name,
                ssl_handshake_timeout=_LATER,
                ssl_shutdown_timeout=tls.shutdown,
            )
    except OSError as error:
        if scope.expired():
            raise TunnelTimeout(
                f"the TLS handshake did not finish through the tunnel to {tunnel.target} "
                f"within {limit:g} s",
                target=str(tunnel.target), phase="target_tls", errno=errno.ETIMEDOUT,
            ) from None  # fmt: skip
        raise target_tls_error(error, tunnel.target, tls.name) from error
    return transport


async def _over_tunnel(
    tunnel: AsyncTunnel, protocol: asyncio.BaseProtocol, tls: _TLS, deadline: Deadline
) -> asyncio.Transport:
    if tls.context is not None:
        # A loop's own TLS takes an end without close_notify for an end, and so do we here.
        tunnel = await tunnel.start_tls(
            tls.context, tls.name, timeout=tls.limit(deadline), require_close_notify=False
        )
    transport = TunnelTransport(
        asyncio.get_running_loop(),
        tunnel,
        protocol,
        _extra(tunnel, tls.context),
        can_write_eof=tls.context is None,
    )
    try:
        await asyncio.sleep(0)  # by when connection_made was called
    except BaseException:
        transport.abort()
        raise
    return transport


def _extra(tunnel: AsyncTunnel, context: SSLContext | None) -> dict[str, Any]:
    """What asyncio's transports know; TLS with a proxy is none of it."""
    extra = {
        "peername": tunnel.get_extra_info("server_addr"),
        "sockname": tunnel.get_extra_info("client_addr"),
        "socket": tunnel.get_extra_info("socket"),
    }
    if context is not None:
        tls = tunnel.get_extra_info("ssl_object")
        extra |= {
            "cipher": tls.cipher(),
            "compression": tls.compression(),
            "peercert": tls.getpeercert(),
            "ssl_object": tls,
            "sslcontext": context,
        }
    return extra
