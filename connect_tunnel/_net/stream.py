"""An open tunnel, as both shells see it.

The rules of a stream live here, once: one reader and one writer at a time, a send that was
cut short is the last one, closing wakes whoever waits. The shells add how to wait.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import TunnelBroken, TunnelClosed

from .sock import MAX_READ
from .tls import TLSLayer, default_context
from .tls_words import target_tls_error
from .waits import READ, WRITE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
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
        turns: The directions in which nobody is at work.
    """

    __slots__ = (
        "_broken", "_handed_over", "_unsendable", "closed", "layer", "target", "turns",
    )  # fmt: skip

    # The classes of errors; an event loop has its own.
    broken_kind: type[TunnelError] = TunnelBroken
    closed_kind: type[TunnelError] = TunnelClosed

    def __init__(self, layer: Layer, target: object) -> None:
        self.layer: Final = layer
        self.target: Final = target
        self.closed: bool = False
        # To take one out of a list is atomic, at a third of the price of a lock. Nobody waits for
        # one, and so a signal handler may close what its own thread is in the middle of using.
        self.turns: Final = [READ, WRITE]
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
        if directions & READ and not self._take(READ):
            taken = 0
        elif directions & WRITE and not self._take(WRITE):
            taken = directions & READ
        else:
            taken = directions
        if taken == directions and not self.closed:
            return True
        self.end_turn(taken)
        self.check_open()
        return False

    def _take(self, direction: int) -> bool:
        try:
            self.turns.remove(direction)
        except ValueError:
            return False
        return True

    def end_turn(self, directions: int) -> None:
        """Be done with reading, writing, or both, and leave nothing behind."""
        if directions & READ:
            self.turns.append(READ)
        if directions & WRITE:
            self.turns.append(WRITE)
        if self.closed:
            self._let_go()

    def receive_alone(self, receive: Callable[[int], bytes | None], max_bytes: int) -> bytes | None:
        """Take some bytes in a turn of its own, however they are received.

        Raises:
            TunnelClosed: It is closed, or was closed meanwhile.
            BlockingIOError: Somebody else is reading.
        """
        # All of `take_turn` and `receive_now` at once: this is on the way of every byte.
        size = max_bytes if max_bytes < MAX_READ else MAX_READ  # noqa: FURB136 - quicker
        try:
            self.turns.remove(READ)
        except ValueError:
            self.check_open()
            raise BlockingIOError from None
        try:
            data = None if self.closed else receive(size)
        except BlockingIOError:
            data = None  # as one that waits is told after the caller's own SO_RCVTIMEO
        except OSError as error:
            self._fail(error)
        finally:
            self.turns.append(READ)
            if self.closed:
                self._let_go()
        if not data:
            self._check_end(data)
        return data

    def receive_now(self, max_bytes: int) -> bytes | None:
        """Take some bytes: empty at the end, None if there are none yet."""
        try:
            data = self.layer.receive_now(min(max_bytes, MAX_READ))
        except OSError as error:
            self._fail(error)
        if not data:
            self._check_end(data)
        return data

    def _check_end(self, data: bytes | None) -> None:
        """Raise if no data means something else than that it has ended, or that none is there."""
        if self.closed:
            self.check_open()
        if data is not None and self._broken is not None:
            # The kernel tells of a reset once, and a write has heard of it.
            raise self._broke(self._broken)

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
        """Say goodbye and close, without waiting; False if somebody must be woken for that."""
        if not self.closed:
            self.closed = True
            # A write that goes on now will have a gap, and after a gap no clean end may come.
            cleanly = self._unsendable != _GAP and WRITE in self.turns
            self.layer.close_now(cleanly=cleanly)
        return self._let_go()

    def drop(self, *, reset: bool = False) -> None:
        """Close without a goodbye: the peer must not take this for an end."""
        self.closed = True
        self._let_go(reset=reset)

    def _let_go(self, *, reset: bool = False) -> bool:
        """Let go of what is closed, unless somebody is at work, who does so on leaving.

        The number of a descriptor may be another connection's as soon as it is closed. Whoever
        has got both turns keeps them, so that nobody is at work any more, and lets go once.
        """
        while not self._handed_over and self._take(READ):
            if self._take(WRITE):
                self.layer.drop(reset=reset)
                return True
            self.turns.append(READ)
            if WRITE not in self.turns:
                return False
            # Who was writing has left, and may have found us with the turn of a reader.
        return self._handed_over

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
