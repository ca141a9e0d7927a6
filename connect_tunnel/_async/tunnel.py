"""An open tunnel, for event loops."""

from __future__ import annotations

import errno
import socket
import warnings
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from anyio.streams.tls import TLSAttribute

from connect_tunnel._errors import TunnelTimeout
from connect_tunnel._net.extra import extra_info
from connect_tunnel._net.sock import MAX_READ, SocketLayer
from connect_tunnel._net.stream import Stream
from connect_tunnel._net.tls import TLSLayer
from connect_tunnel._net.waits import READ, WRITE, Deadline, Expired
from connect_tunnel._route import Route
from connect_tunnel._target import Target
from connect_tunnel._timeout import seconds

from .errors import AsyncTunnelBroken, AsyncTunnelClosed
from .wait import run, until_ready, wake

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping

    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._route import Hops

    # The class has a method of that name.
    Socket: TypeAlias = socket.socket

T = TypeVar("T")

# A receive or send that succeeds at once gives nobody else a turn; after so many in a row
# it does, lest a busy tunnel starve the rest of the loop.
_LONGEST_STREAK = 16


class AsyncStream(Stream):
    """A stream whose errors are also anyio's."""

    __slots__ = ()

    broken_kind = AsyncTunnelBroken
    closed_kind = AsyncTunnelClosed


class AsyncTunnel(ByteStream):
    """A stream to the target, with nothing on it but the target's bytes.

    An `anyio.abc.ByteStream`: one task may receive while another sends, a second one of
    either is a BusyResourceError. Close it, or use it in an `async with` statement.

    Attributes:
        target: Where it leads.
    """

    __slots__ = ("_hops", "_responses", "_streak", "_stream", "target")

    def __init__(
        self, stream: Stream, target: Target, hops: Hops, responses: tuple[ProxyResponse, ...]
    ) -> None:
        self.target: Final = target
        self._stream: Final = stream
        self._hops: Final = hops
        self._responses: Final = responses
        self._streak = 0

    @property
    def response(self) -> ProxyResponse:
        """The 2xx that opened it, of the last hop.

        Raises:
            LookupError: There is none, as the target was dialled directly.
        """
        if not self._responses:
            raise LookupError("no proxy answered: the tunnel is direct")
        return self._responses[-1]

    @property
    def route(self) -> Route:
        """Each hop on the way, and what it answered."""
        return Route(tuple(hop.proxy.url for hop in self._hops), self._responses)

    async def receive(self, max_bytes: int = MAX_READ) -> bytes:
        """Receive what has arrived, waiting until something has.

        If it is cancelled nothing is lost, and receiving may go on.

        Args:
            max_bytes: No more than this, and no more than 64 KiB.

        Raises:
            anyio.EndOfStream: There is no more.
            TunnelBroken: It was reset or truncated; also an `anyio.BrokenResourceError`.
            TunnelClosed: It is closed, or was closed meanwhile; also an
                `anyio.ClosedResourceError`.
        """
        if max_bytes < 1:
            raise ValueError("max_bytes is at least 1")
        stream = self._stream
        if not stream.take_turn(READ):
            raise anyio.BusyResourceError("receiving from")
        try:
            await self._checkpoint()
            data = stream.receive_now(max_bytes)
            while data is None:
                self._streak = 0
                await until_ready(stream.layer.ready(READ))
                stream.check_open()
                data = stream.receive_now(max_bytes)
        finally:
            stream.end_turn(READ)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes | bytearray | memoryview) -> None:
        """Send all of the data.

        If it is cancelled after some of the data has gone, the tunnel can send no more,
        since the target would not know of the gap.

        Raises:
            TunnelBroken: The connection broke, or an earlier send was cut short; also an
                `anyio.BrokenResourceError`.
            TunnelClosed: It is closed, or was closed meanwhile; also an
                `anyio.ClosedResourceError`.
        """
        stream = self._stream
        with _turn(stream, WRITE):
            await self._checkpoint()
            rest = stream.send(memoryview(item).cast("B"))
            if rest is not None:
                self._streak = 0
                await run(rest, Deadline())

    async def send_eof(self) -> None:
        """End the sending side: nothing more will be sent, receiving goes on.

        Use it only where the protocol inside demands it. Of 17 HTTP/1 proxies that we know
        11 close the other direction too when they see the end of one, and the target's
        answer is lost: squid, tinyproxy, envoy, nghttpx, privoxy and mitmproxy among them.
        """
        stream = self._stream
        with _turn(stream, WRITE):
            await checkpoint_if_cancelled()
            await run(stream.end(), Deadline())

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        *,
        timeout: float | None = None,
        require_close_notify: bool = True,
    ) -> AsyncTunnel:
        """Speak TLS with the target, whatever the tunnel runs on.

        The tunnel this is called on is empty afterwards; the new one takes its place.

        Args:
            ssl_context: Used as it is and never changed; without one, the process's default
                for targets, which verifies the certificate.
            server_hostname: Whose certificate it must be; the target's host by default.
            timeout: For the handshake, in seconds; None for no limit.
            require_close_notify: Whether an end of TLS without its close_notify counts as
                a truncation rather than an end.

        Raises:
            InvalidTarget: The server_hostname is not one.
            TargetTLSError: The handshake failed, and the tunnel was closed.
            TunnelTimeout: It did not finish in time, and the tunnel was closed.
        """
        stream = self._stream
        name = self.target.server_hostname
        if server_hostname is not None:
            name = Target(server_hostname, self.target.port).server_hostname
        starting = stream.start_tls(ssl_context, name, require_close_notify=require_close_notify)
        deadline = Deadline(seconds(timeout))
        with _turn(stream, READ | WRITE):
            try:
                tls = await run(starting, deadline)
            except Expired:
                raise TunnelTimeout(
                    f"the TLS handshake did not finish through the tunnel to {self.target} "
                    f"within {timeout} s",
                    target=str(self.target), phase="target_tls", errno=errno.ETIMEDOUT,
                ) from None  # fmt: skip
        return AsyncTunnel(
            AsyncStream(tls, stream.target), self.target, self._hops, self._responses
        )

    def socket(self) -> Socket:
        """Hand over the socket that was dialled, non-blocking; the tunnel is empty afterwards.

        Nothing of the target's has been read from it.

        Raises:
            TypeError: TLS lies between, and there is no such socket: use `bridged`.
        """
        stream = self._stream
        with _turn(stream, READ | WRITE):
            stream.check_sendable()
            if not isinstance(stream.layer, SocketLayer):
                raise TypeError(
                    "this tunnel runs on TLS and has no socket of its own; use "
                    "'async with tunnel.bridged() as sock'"
                )
            stream.hand_over()
        return stream.sock

    @asynccontextmanager
    async def bridged(self) -> AsyncGenerator[Socket]:
        """A real socket in any case: the tunnel's own, or one end of a bridge.

        A bridge is a pair of connected loopback sockets, served by a task that ends with
        the context. The tunnel is empty afterwards. The socket is non-blocking, and whoever
        gets it closes it.
        """
        from .bridge import bridge  # noqa: PLC0415 - rarely needed

        stream = self._stream
        if isinstance(stream.layer, SocketLayer):
            yield self.socket()
            return
        with _turn(stream, READ | WRITE):
            stream.check_sendable()
            stream.hand_over()
        async with bridge(AsyncStream(stream.layer, stream.target)) as sock:
            yield sock

    async def aclose(self) -> None:
        """Close it, waking whoever waits on it. May be called again."""
        self._close()
        await checkpoint()

    def _close(self) -> None:
        stream = self._stream
        if not stream.close_now():
            # Somebody is in the middle of a wait, and lets go when this has woken them.
            wake(stream.layer)

    def close(self) -> None:
        """Close it as `aclose` does, from where nothing can be awaited: a loop's callback."""
        if not self._stream.close_now():
            self._wake()

    def abort(self) -> None:
        """Close it without a goodbye, so that the target does not take this for an end.

        Never waits, and may be called again; from a loop's callback, too.
        """
        if not self._stream.closed:
            self._stream.drop()
            self._wake()

    def _wake(self) -> None:
        """Wake whoever waits on what was closed, without help from the loop."""
        stream = self._stream
        if not stream.layer.wake_now():
            with suppress(OSError):  # nobody did, and so there is no descriptor any more
                stream.sock.shutdown(socket.SHUT_RDWR)

    def get_extra_info(self, name: str) -> Any:  # noqa: ANN401 - each name has its own type
        """One fact of the connection by name; None if there is none.

        Args:
            name: "ssl_object", "socket" (unless it is shared with other tunnels), "client_addr",
                "server_addr" (the address that was dialled, a proxy's), or "is_readable".
        """
        return extra_info(self._stream, name)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The typed attributes of anyio: of the socket and, where there is one, of TLS."""
        sock = self._stream.sock
        attributes: dict[Any, Callable[[], Any]] = {
            SocketAttribute.family: lambda: sock.family,
            SocketAttribute.local_address: sock.getsockname,
            SocketAttribute.local_port: lambda: sock.getsockname()[1],
            SocketAttribute.remote_address: sock.getpeername,
            SocketAttribute.remote_port: lambda: sock.getpeername()[1],
        }
        layer = self._stream.layer
        if not layer.shared:
            attributes[SocketAttribute.raw_socket] = lambda: sock
        if isinstance(layer, TLSLayer):
            attributes |= _tls_attributes(layer)
        return attributes

    async def _checkpoint(self) -> None:
        self._streak += 1
        if self._streak < _LONGEST_STREAK:
            await checkpoint_if_cancelled()
        else:
            self._streak = 0
            await checkpoint()

    def __del__(self) -> None:
        # No goodbye: a finalizer does no I/O and takes no lock.
        if not self._stream.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self._stream.layer.abandon()

    def __repr__(self) -> str:
        state = " closed" if self._stream.closed else ""
        way = f"through {self._hops[-1].proxy.url}" if self._hops else "directly"
        return f"<AsyncTunnel to {self.target} {way}{state}>"


def _tls_attributes(layer: TLSLayer) -> dict[Any, Callable[[], Any]]:
    tls = layer.object
    attributes: list[tuple[Any, Callable[[], Any]]] = [
        (TLSAttribute.alpn_protocol, tls.selected_alpn_protocol),
        (TLSAttribute.channel_binding_tls_unique, tls.get_channel_binding),
        (TLSAttribute.cipher, tls.cipher),
        (TLSAttribute.peer_certificate, lambda: tls.getpeercert(binary_form=False)),
        (TLSAttribute.peer_certificate_binary, lambda: tls.getpeercert(binary_form=True)),
        (TLSAttribute.server_side, lambda: False),
        (TLSAttribute.shared_ciphers, tls.shared_ciphers),
        (TLSAttribute.ssl_object, lambda: tls),
        (TLSAttribute.standard_compatible, lambda: layer.require_close_notify),
        (TLSAttribute.tls_version, tls.version),
    ]
    return dict(attributes)


@contextmanager
def _turn(stream: Stream, directions: int) -> Generator[None]:
    """The turn of a receiver or sender, of whom there is one at a time."""
    if not stream.take_turn(directions):
        raise anyio.BusyResourceError("sending to" if directions == WRITE else "using")
    try:
        yield
    finally:
        stream.end_turn(directions)
