"""An open tunnel, for threads."""

from __future__ import annotations

import contextlib
import errno
import socket
import warnings
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from connect_tunnel._errors import TunnelTimeout
from connect_tunnel._net.extra import extra_info
from connect_tunnel._net.sock import MAX_READ, SocketLayer
from connect_tunnel._net.stream import Stream
from connect_tunnel._net.waits import READ, WRITE, Deadline, Expired
from connect_tunnel._route import Route
from connect_tunnel._target import Target
from connect_tunnel._timeout import seconds

from .wait import CAN_BLOCK, blocking_receive, run, wake, watch

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator
    from types import TracebackType
    from typing import Self

    from connect_tunnel._errors import Phase
    from connect_tunnel._net.waits import Operation
    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._route import Hops

    from .wait import Receive, Watch

T = TypeVar("T")


class Tunnel:
    """A stream to the target, with nothing on it but the target's bytes.

    One thread may read while another writes; a second reader or writer at the same time is
    a RuntimeError. Close it, or use it in a `with` statement.

    Attributes:
        target: Where it leads.
    """

    __slots__ = (
        "__weakref__", "_drained", "_hops", "_may_block", "_readable", "_receive", "_responses",
        "_stream", "target",
    )  # fmt: skip

    def __init__(
        self, stream: Stream, target: Target, hops: Hops, responses: tuple[ProxyResponse, ...]
    ) -> None:
        self.target: Final = target
        self._stream: Stream = stream
        self._drained = False
        # On a plain hop a read without a limit of time waits in `recv`: one call, and no poll.
        self._may_block: Final = CAN_BLOCK and isinstance(stream.layer, SocketLayer)
        self._receive: Receive | None = None  # made by the first such read,
        self._readable: Watch | None = None  # and this by the first other one that waits
        self._hops: Final = hops
        self._responses: Final = responses

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

    def read(self, max_bytes: int = MAX_READ, timeout: float | None = None) -> bytes:
        """Read what has arrived, waiting until something has.

        Args:
            max_bytes: No more than this, and no more than 64 KiB.
            timeout: In seconds; None for no limit.

        Returns:
            Some bytes, or none at the end of the stream.

        Raises:
            TunnelTimeout: Nothing came in time. Nothing is lost, and reading may go on.
            TunnelBroken: It was reset or truncated.
            TunnelClosed: It is closed, or was closed meanwhile.
        """
        if max_bytes < 1:
            raise ValueError("max_bytes is at least 1")
        if timeout is not None:
            timeout = seconds(timeout)
        stream, data = self._stream, None
        try:
            if timeout is None and self._may_block:
                data = stream.receive_alone(self._receive or self._block, max_bytes)
                if data is not None:
                    return data
            elif not self._drained:
                data = stream.receive_alone(stream.layer.receive_now, max_bytes)
        except BlockingIOError:
            raise _busy("reading from") from None
        if data is None:
            data = self._wait_to_read(max_bytes, timeout)
        # After less than was asked for there is nothing left in the kernel, and to try
        # again at once is to try in vain; unless the layer holds something back.
        self._drained = len(data) < max_bytes and not stream.layer.holds_back()
        return data

    def write(self, data: bytes | bytearray | memoryview, timeout: float | None = None) -> None:
        """Send all of the data.

        Args:
            data: What to send.
            timeout: In seconds; None for no limit.

        Raises:
            TunnelTimeout: It could not be sent in time. If some of it was, the tunnel can
                send no more, since the target would not know of the gap.
            TunnelBroken: The connection broke, or an earlier write was cut short.
            TunnelClosed: It is closed, or was closed meanwhile.
        """
        stream = self._stream
        if timeout is not None:
            timeout = seconds(timeout)
        if not stream.take_turn(WRITE):
            raise _busy("writing to")
        try:
            rest = stream.send(memoryview(data).cast("B"))
            if rest is not None:
                self._wait_for(rest, timeout, "it was not all sent")
        finally:
            stream.end_turn(WRITE)

    def send_eof(self, timeout: float | None = None) -> None:
        """End the sending side: nothing more will be written, reading goes on.

        Use it only where the protocol inside demands it. Of 17 HTTP/1 proxies that we know
        11 close the other direction too when they see the end of one, and the target's
        answer is lost: squid, tinyproxy, envoy, nghttpx, privoxy and mitmproxy among them.
        """
        timeout = seconds(timeout)
        stream = self._stream
        with _turn(stream, WRITE):
            self._wait_for(stream.end(), timeout, "the end was not sent")

    def start_tls(
        self,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        *,
        timeout: float | None = None,
        require_close_notify: bool = True,
    ) -> Tunnel:
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
        timeout = seconds(timeout)
        name = self.target.server_hostname
        if server_hostname is not None:
            name = Target(server_hostname, self.target.port).server_hostname
        with _turn(stream, READ | WRITE):
            tls = self._wait_for(
                stream.start_tls(ssl_context, name, require_close_notify=require_close_notify),
                timeout, "the TLS handshake did not finish", phase="target_tls",
            )  # fmt: skip
        return Tunnel(Stream(tls, stream.target), self.target, self._hops, self._responses)

    def socket(self) -> socket.socket:
        """Hand over a real, blocking socket; the tunnel is empty afterwards.

        On a plain hop it is the socket that was dialled, and nothing of the target's has
        been read from it. Where TLS lies between, it is one end of a bridge: a pair of
        connected loopback sockets, served by one daemon thread until both sides have ended.
        """
        stream = self._stream
        with _turn(stream, READ | WRITE):
            stream.check_sendable()
            if isinstance(stream.layer, SocketLayer):
                sock = stream.sock
            else:
                from .bridge import bridge  # noqa: PLC0415 - rarely needed

                sock = bridge(Stream(stream.layer, stream.target))
            stream.hand_over()
        sock.settimeout(socket.getdefaulttimeout())
        return sock

    def close(self) -> None:
        """Close it, waking whoever waits on it. Never waits; may be called again."""
        stream = self._stream
        if not stream.close_now():
            # Somebody is in the middle of a wait, and lets go when this has woken them.
            wake(stream.layer)

    def get_extra_info(self, name: str) -> Any:  # noqa: ANN401 - each name has its own type
        """One fact of the connection by name; None if there is none.

        Args:
            name: "ssl_object", "socket" (unless it is shared with other tunnels), "client_addr",
                "server_addr" (the address that was dialled, a proxy's), or "is_readable".
        """
        return extra_info(self._stream, name)

    def _block(self, max_bytes: int) -> bytes:
        # In the turn of a reader, so that the socket is open, or at least nobody else's.
        self._receive = receive = blocking_receive(self._stream.sock)
        return receive(max_bytes)

    def _wait_to_read(self, max_bytes: int, timeout: float | None) -> bytes:
        stream = self._stream
        at = None if timeout is None else monotonic() + timeout
        if not stream.take_turn(READ):
            raise _busy("reading from")
        try:
            if self._readable is None:
                self._readable = watch(stream.layer, READ)
            while self._readable(at):
                if stream.closed:
                    stream.check_open()
                if (data := stream.receive_now(max_bytes)) is not None:
                    return data
        finally:
            stream.end_turn(READ)
        raise self._late("no data came", timeout, "tunnel")

    def _wait_for(
        self, operation: Operation[T], timeout: float | None, late: str, phase: Phase = "tunnel"
    ) -> T:
        try:
            return run(operation, Deadline(timeout))
        except Expired:
            pass
        raise self._late(late, timeout, phase)

    def _late(self, what: str, timeout: float | None, phase: Phase) -> TunnelTimeout:
        return TunnelTimeout(
            f"{what} through the tunnel to {self.target} within {timeout} s",
            target=str(self.target), phase=phase, errno=errno.ETIMEDOUT,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # No goodbye: a finalizer does no I/O and takes no lock.
        if not self._stream.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self._stream.layer.abandon()

    def __repr__(self) -> str:
        state = " closed" if self._stream.closed else ""
        way = f"through {self._hops[-1].proxy.url}" if self._hops else "directly"
        return f"<Tunnel to {self.target} {way}{state}>"


def _busy(doing: str) -> RuntimeError:
    return RuntimeError(f"another thread is {doing} this tunnel")


@contextlib.contextmanager
def _turn(stream: Stream, directions: int) -> Generator[None]:
    """The turn of a reader or writer, of whom there is one at a time."""
    if not stream.take_turn(directions):
        raise _busy("writing to" if directions == WRITE else "using")
    try:
        yield
    finally:
        stream.end_turn(directions)
