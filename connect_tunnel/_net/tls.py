"""TLS over any layer, by two MemoryBIOs: one text for both shells and for any depth.

`ssl.SSLSocket` needs a kernel socket below it and is not safe for a reader and a writer in
two threads; asyncio's own TLS keeps 256 KiB a layer. This keeps 17 to 31 KiB. A lock guards
the SSLObject, which reader and writer share; it is never held across a wait, and an inner
layer takes its own before that of the layer below, so they cannot block each other.

What has been encrypted is kept until the layer below has all of it: records cannot be taken
back, and one lost record ends the connection.
"""

from __future__ import annotations

import ssl
from _thread import RLock  # what threading.RLock() calls for, at the price of one more call
from threading import Lock
from typing import TYPE_CHECKING, Final

from .sock import MAX_READ, SocketLayer
from .waits import READ, WRITE

if TYPE_CHECKING:
    import socket

    from .sock import Layer
    from .waits import Nested, Operation, Ready

_MAX_PLAINTEXT = 65536  # encrypted at once: what is kept when the peer does not read
_PEEK = 4096


class TLSLayer:
    """TLS over another layer.

    Args:
        below: The layer that carries it.
        context: Used as it is.
        server_hostname: Whose certificate the peer must have.
        require_close_notify: Whether an end without close_notify is a truncation.
    """

    __slots__ = (
        "_below", "_bye", "_ended", "_holds", "_incoming", "_lock", "_outbox", "_outgoing", "_seen",
        "greeting", "object", "require_close_notify", "sock",
    )  # fmt: skip

    def __init__(
        self,
        below: Layer,
        context: ssl.SSLContext,
        server_hostname: str,
        *,
        require_close_notify: bool,
    ) -> None:
        self.sock: Final[socket.socket] = below.sock
        self.require_close_notify: Final = require_close_notify
        self._below: Final = below
        self._incoming: Final = ssl.MemoryBIO()
        self._outgoing: Final = ssl.MemoryBIO()
        self._lock: Final = RLock()  # a signal handler may close what its own thread is using
        self._outbox: bytes | memoryview = b""
        self._holds = False  # whether there may be something to decrypt, or to be taken
        self._seen = b""  # decrypted, and not taken yet
        self._ended = False
        self._bye = False
        self.greeting = b""  # what the peer began with: evidence, if it is not TLS
        # As bytes: a str would be put through IDNA2003, which has another opinion of it.
        self.object: Final = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname.encode("ascii")
        )

    @property
    def shared(self) -> bool:
        """Whether the layer below is."""
        return self._below.shared

    def handshake(self, *, to_the_end: bool = True) -> Operation[None]:
        """Shake hands.

        Args:
            to_the_end: Whether to send our last word of it. Where something else is sent
                at once, both go in one segment; and whoever reads sends it, too.

        Raises:
            ssl.SSLError: The peer cannot or may not be spoken to.
            OSError: The layer below broke.
        """
        # Nobody else uses the layer yet, so there is nothing to be locked.
        while True:
            try:
                self.object.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                self._drain()  # the alert that tells the peer why
                raise
            while not self._drain():
                yield self.ready(WRITE)
            if isinstance(self._below, SocketLayer):
                # An answer takes at least a round trip: to try at once is to try in vain.
                yield self.ready(READ)
            while not self._fill():
                yield self.ready(READ)
        self._holds = self._incoming.pending > 0  # whether more followed at once
        while to_the_end and not self._drain():
            yield self.ready(WRITE)

    def ready(self, direction: int) -> Ready | Nested:
        """Wait for the layer below."""
        return self._below.ready(direction)

    def receive_now(self, max_bytes: int) -> bytes | None:
        """Take some bytes: empty at the end of the stream, None if there are none yet."""
        with self._lock:
            if self._seen:
                data, self._seen = self._seen[:max_bytes], self._seen[max_bytes:]
                return data
            return self._decrypt(max_bytes)

    def peek_now(self) -> bytes | None:
        """Look at the next bytes; what is not taken is kept for `receive_now`."""
        with self._lock:
            if not self._seen:
                data = self._decrypt(_PEEK)
                if not data:
                    return data
                self._seen = data
            return self._seen

    def take_now(self, count: int) -> None:
        """Take bytes that `peek_now` showed."""
        with self._lock:
            self._seen = self._seen[count:]

    def holds_back(self) -> bool:
        """Whether something may be left to decrypt, or to be taken."""
        return bool(self._holds or self._seen or self._ended) or self._below.holds_back()

    def _decrypt(self, max_bytes: int) -> bytes | None:
        """Read up to so many bytes; a record holds 16 KiB at most, so several at a time."""
        parts: list[bytes] = []
        room = max_bytes
        while room and not self._ended:
            # Not tried in vain, which costs an exception: most reads begin with nothing here.
            if self._holds or self._incoming.eof:
                part = self._read_record(room)
                if part:
                    parts.append(part)
                    room -= len(part)
                    self._holds = self._incoming.pending > 0 or self.object.pending() > 0
                    if self._holds:
                        continue
                    break
                if part is not None:
                    self._ended = True
                    break
                self._holds = False
            if self._outgoing.pending or self._outbox:
                self._drain()  # what it has to say by itself: an alert, a new key
            if parts or not self._fill():
                break
        if len(parts) == 1:
            return parts[0]
        return b"".join(parts) if parts or self._ended else None

    def _read_record(self, room: int) -> bytes | None:
        """Some of one record: empty at the end, None if more has to arrive."""
        try:
            part = self.object.read(room)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            return b""  # how a clean end is told once we have sent our own close_notify
        except ssl.SSLEOFError:
            part = b""
        # Releases of Python 3.10 and 3.11 tell OpenSSL not to mind a missing close_notify.
        # The peer's, if there was one, has been read before the end of what is below it.
        if not part and self._incoming.eof and self.require_close_notify:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the stream ended without a close_notify")
        return part

    def _fill(self) -> bool:
        """Feed what has arrived; False if nothing has."""
        data = self._below.receive_now(MAX_READ)
        if data is None:
            return False
        self.greeting = self.greeting or data[:48]
        if data:
            self._holds = True
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return True

    def send_now(self, data: bytes | memoryview) -> int:
        """Encrypt some of the data, once what was encrypted before is gone."""
        with self._lock:
            if self._outbox and not self._drain():
                return 0
            count = self.object.write(data[:_MAX_PLAINTEXT])
            self._drain()
            return count

    def flush_now(self) -> bool:
        """Say whether the kernel has all that was encrypted."""
        if not self._outbox and not self._outgoing.pending:
            return self._below.flush_now()
        with self._lock:
            return self._drain()

    def _drain(self) -> bool:
        if self._outgoing.pending:
            data = self._outgoing.read()
            self._outbox = b"".join((self._outbox, data)) if self._outbox else data
        while outbox := self._outbox:
            count = self._below.send_now(outbox)
            if not count:
                return False
            # Not an empty view: of those with nothing to send there may be thousands.
            self._outbox = b"" if count == len(outbox) else memoryview(outbox)[count:]
        return self._below.flush_now()

    def end_now(self) -> None:
        """Send close_notify, and go on reading (RFC 8446, 6.1)."""
        with self._lock:
            if self._bye or self._incoming.eof:
                return  # said before, or nobody is left to hear it
            self._bye = True
            # OpenSSL looks for the peer's close_notify at once, and takes data that comes
            # before it for an error: so what has arrived is put out of its sight.
            arrived = b""
            if self._holds:
                while self.object.pending():
                    self._seen += self.object.read(_PEEK)
                arrived = self._incoming.read()
            try:
                self.object.unwrap()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._incoming.write(arrived)
            self._drain()

    def close_now(self, *, cleanly: bool) -> None:
        """Send close_notify unless something that belongs before it is missing."""
        if cleanly:
            try:
                self.end_now()
            except (ssl.SSLError, OSError):
                cleanly = False
        self._below.close_now(cleanly=cleanly and not self._outbox)

    def drop(self, *, reset: bool = False) -> None:
        """Let go of the layer below."""
        self._below.drop(reset=reset)

    def abandon(self) -> None:
        """Let go of the layer below."""
        self._below.abandon()

    def wake_now(self) -> bool:
        """Wake whoever waits for the layer below."""
        return self._below.wake_now()


_contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
_making: Final = Lock()


def default_context(protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
    """The context that offers these protocols, or for a target, made once per process.

    Making one reads the system's certificates: 18 to 40 ms of CPU, many times what opening
    a tunnel costs. Those for proxies and for targets differ, so that no session ticket, certificate
    or setting crosses from one to the other.

    Args:
        protocols: What to offer to a proxy by ALPN (RFC 7301); nothing to a target.
    """
    with _making:
        if protocols not in _contexts:
            context = ssl.create_default_context()
            context.hostname_checks_common_name = False  # RFC 9110, 4.3.4
            context.options |= ssl.OP_NO_RENEGOTIATION  # RFC 9113, 9.2.1, and sound anyway
            if protocols:
                context.set_alpn_protocols(protocols)
            _contexts[protocols] = context
        return _contexts[protocols]
