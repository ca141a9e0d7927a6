"""An open tunnel, as both shells see it.

The rules of a stream live here, once: one reader and one writer at a time, a send that was
cut short is the last one, closing wakes whoever waits. The shells add how to wait.
"""

from __future__ import annotations

import ssl
from _thread import RLock  # what threading.RLock() calls for, at the price of one more call
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import TunnelBroken, TunnelClosed

from .sock import MAX_READ
from .tls import TLSLayer, default_context
from .tls_words import target_tls_error
from .waits import READ, WRITE

if TYPE_CHECKING:
    import socket
    from typing import NoReturn

    from connect_tunnel._errors import TunnelError

    from .sock import Layer
    from .waits import Operation

_GAP = "an earlier write was cut short, so the stream has a gap"
_ENDED = "its sending side was ended"


class Stream:
    """A layer in use.

    Attributes:
        layer: The outermost layer.
        target: What errors call the target.
        closed: Whether it was closed or handed over.
    """

    __slots__ = (
        "_broken",
        "_busy",
        "_handed_over",
        "_monitor",
        "_unsendable",
        "closed",
        "layer",
        "target",
    )

    # The classes of errors; an event loop has its own.
    broken_kind: type[TunnelError] = TunnelBroken
    closed_kind: type[TunnelError] = TunnelClosed

    def __init__(self, layer: Layer, target: object) -> None:
        self.layer: Final = layer
        self.target: Final = target
        self.closed: bool = False
        # Reentrant: a signal handler may close what its own thread is in the middle of using.
        self._monitor: Final = RLock()
        self._busy = 0  # the directions in which somebody is at work
        self._handed_over = False
        self._unsendable: str | None = None
        self._broken: str | None = None

    @property
    def sock(self) -> socket.socket:
        """The kernel socket at the bottom."""
        return self.layer.sock

    def take_turn(self, directions: int) -> bool:
        """Begin to read, to write, or both; False if somebody else is at it.

        Raises:
            TunnelClosed: It is closed.
        """
        with self._monitor:
            if self.closed:
                self.check_open()
            if self._busy & directions:
                return False
            self._busy |= directions
            return True

    def end_turn(self, directions: int) -> None:
        """Be done with reading, writing, or both, and leave nothing behind."""
        with self._monitor:
            self._busy ^= directions
            last = self.closed and not self._busy and not self._handed_over
        if last:
            self.layer.drop()

    def receive_alone(self, max_bytes: int) -> bytes | None:
        """Take some bytes in a turn of its own, which ends before anything is waited for.

        Raises:
            TunnelClosed: It is closed.
            BlockingIOError: Somebody else is reading.
        """
        # Nothing waits under the monitor, and so the fast way needs no more than that.
        with self._monitor:
            if self.closed:
                self.check_open()
            if self._busy & READ:
                raise BlockingIOError
            return self.receive_now(max_bytes)

    def receive_now(self, max_bytes: int) -> bytes | None:
        """Take some bytes: empty at the end, None if there are none yet."""
        try:
            # Not min(): this is on the way of every byte.
            size = max_bytes if max_bytes < MAX_READ else MAX_READ  # noqa: FURB136
            data = self.layer.receive_now(size)
        except OSError as error:
            self._fail(error)
        if not data and data is not None and self._broken is not None:
            # The kernel tells of a reset once, and a write has heard of it.
            raise self._broke(self._broken)
        return data

    def send(self, data: memoryview) -> Operation[None] | None:
        """Send all of the data: None if that is done, or what there is left to do.

        If it is cut short, nothing can be sent any more.

        Raises:
            TunnelBroken: The connection broke, or an earlier send was cut short.
        """
        if self.closed or self._unsendable is not None:
            self.check_sendable()
        # Until all of it is gone there is a gap, however this comes to an end.
        self._unsendable = _GAP
        count = self._give(data)
        if count == len(data) and self.flush_now():
            self._unsendable = None
            return None
        return self._send_rest(data[count:], begun=count > 0)

    def _send_rest(self, data: memoryview, *, begun: bool) -> Operation[None]:
        try:
            while data:
                yield from self._ready(WRITE)
                count = self._give(data)
                begun, data = begun or count > 0, data[count:]
            while not self.flush_now():
                yield from self._ready(WRITE)
        except BaseException:
            if not begun:
                self._unsendable = None
            raise
        self._unsendable = None

    def _give(self, data: memoryview) -> int:
        try:
            return self.layer.send_now(data)
        except OSError as error:
            self._fail(error)

    def send_now(self, data: memoryview) -> int:
        """Accept some of the data, and say how much; the caller sees to the rest."""
        self.check_sendable()
        return self._give(data)

    def flush_now(self) -> bool:
        """Say whether the kernel has all that was accepted."""
        try:
            return self.layer.flush_now()
        except OSError as error:
            self._fail(error)

    def end(self) -> Operation[None]:
        """End the sending side."""
        self.end_now()
        while not self.flush_now():
            yield from self._ready(WRITE)

    def end_now(self) -> None:
        """End the sending side, as far as that can be done at once."""
        self.check_sendable()
        self._unsendable = _ENDED
        try:
            self.layer.end_now()
        except OSError as error:
            self._fail(error)

    def check_sendable(self) -> None:
        """Raise what a write must raise before it begins."""
        self.check_open()
        if self._unsendable is not None:
            raise self.broken_kind(
                f"cannot send through the tunnel to {self.target}: {self._unsendable}",
                target=str(self.target), phase="tunnel",
            )  # fmt: skip

    def check_open(self) -> None:
        """Raise if the tunnel was closed."""
        if self.closed:
            raise self.closed_kind(
                f"the tunnel to {self.target} is closed", target=str(self.target), phase="tunnel"
            )

    def start_tls(
        self,
        context: ssl.SSLContext | None,
        server_hostname: str,
        *,
        require_close_notify: bool,
    ) -> Operation[TLSLayer]:
        """Speak TLS with the target; what came before it begins is its input.

        Raises:
            TargetTLSError: The handshake failed; the tunnel is of no use any more.
        """
        self.check_sendable()
        tls = TLSLayer(
            self.layer,
            context or default_context(),
            server_hostname,
            require_close_notify=require_close_notify,
        )
        try:
            yield from tls.handshake()
        except OSError as error:
            self.check_open()
            raise target_tls_error(error, self.target, server_hostname, tls.greeting) from error
        else:
            self.hand_over()
        finally:
            if not self.closed:
                self.drop()  # half a handshake is no use to anybody
        return tls

    def _ready(self, direction: int) -> Operation[None]:
        yield self.layer.ready(direction)
        self.check_open()

    def close_now(self) -> bool:
        """Say goodbye and close, without waiting; False if somebody must be woken for that.

        Whoever is in the middle of a wait lets go of the descriptor on leaving: its number
        may be another connection's as soon as it is closed.
        """
        with self._monitor:
            first, self.closed = not self.closed, True
            idle = not self._busy
            # A write that goes on now will have a gap, and after a gap no clean end may come.
            cleanly = self._unsendable != _GAP and not self._busy & WRITE
        if first:
            self.layer.close_now(cleanly=cleanly)
        if idle and not self._handed_over:
            self.layer.drop()
        return idle

    def drop(self, *, reset: bool = False) -> None:
        """Close without a goodbye: the peer must not take this for an end."""
        with self._monitor:
            self.closed = True
            idle = not self._busy
        if idle:
            self.layer.drop(reset=reset)

    def hand_over(self) -> None:
        """Count as closed, and leave the connection to whoever has it now."""
        self.closed = self._handed_over = True

    def _fail(self, error: OSError) -> NoReturn:
        self.check_open()  # what a closed descriptor says is of no interest
        if isinstance(error, ssl.SSLEOFError):
            said = "ended without a close_notify: what was received may be cut short"
        elif isinstance(error, ssl.SSLError):
            said = f"broke: {getattr(error, 'reason', None) or error}"
        else:
            said = f"broke: {error.strerror or error}"
        self._broken = said
        raise self._broke(said, error.errno) from error

    def _broke(self, said: str, code: int | None = None) -> TunnelError:
        return self.broken_kind(
            f"the tunnel to {self.target} {said}",
            target=str(self.target), phase="tunnel", errno=code,
        )  # fmt: skip
