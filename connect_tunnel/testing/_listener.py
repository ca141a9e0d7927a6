"""A listening loopback socket, the threads that serve it, and nothing of either once it stops.

Threads and blocking sockets, because a test's proxy must not share the event loop of the
client that it tests. To stop is to shut every connection down, which wakes whoever waits
on one, and then to join every thread.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._peer import Peer

P = ParamSpec("P")

HOST: Final = "127.0.0.1"
_NO_LINGER = struct.pack("ii", 1, 0)


def reset(peer: Peer) -> None:
    """End a connection by a TCP reset: to linger for no time at all discards what is unsent."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    peer.close()


class Listener:
    """Accepts connections and runs threads until it is stopped.

    Attributes:
        errors: What went wrong in the threads and is not a client's doing.
        hangups: What clients did that ended the serving of them: resets, failed TLS.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server((HOST, 0), backlog=1024)
        self._bell, self._ringer = socket.socketpair()
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self.stopping: Final = threading.Event()
        self.errors: Final[list[Exception]] = []
        self.hangups: Final[list[OSError]] = []
        self.port: Final[int] = self._socket.getsockname()[1]

    def accept(self, *, unless_readable: socket.socket | None = None) -> socket.socket | None:
        """The next connection; None when stopping, or if `unless_readable` is readable first."""
        waited = [self._bell, self._socket]
        if unless_readable is not None:
            waited.append(unless_readable)
        with selectors.DefaultSelector() as selector:
            for sock in waited:
                selector.register(sock, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select()]
        if self._socket not in ready or self._bell in ready:
            return None
        with self._changed:  # at no moment is it neither in the backlog nor open
            accepted, _ = self._socket.accept()
            self.adopt(accepted)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return accepted

    def adopt(self, sock: socket.socket) -> None:
        """From now on, stopping wakes whoever waits on this socket, and closes it."""
        with self._changed:
            self._open.add(sock)
            self._changed.notify_all()
            if self.stopping.is_set():
                _wake(sock)

    def release(self, sock: socket.socket) -> None:
        """Close an adopted socket."""
        with self._changed:
            self._open.discard(sock)
            sock.close()
            self._changed.notify_all()

    def wait_idle(self, timeout: float) -> bool:
        """Whether all connections are over, or are so within a time."""

        def idle() -> bool:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                return not (self._open or selector.select(0))

        with self._changed:
            return self._changed.wait_for(idle, timeout)

    def run(self, serve: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Run something and keep what it raises, unless that comes of being stopped.

        Returns:
            Whether it ended by itself.
        """
        try:
            serve(*args, **kwargs)
        except OSError as exc:
            if not self.stopping.is_set():
                self.hangups.append(exc)
        except Exception as exc:  # noqa: BLE001 - raised again where the listener is stopped
            if not self.stopping.is_set():
                self.errors.append(exc)
        else:
            return True
        return False

    def spawn(self, serve: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run something in a thread of its own, which `stop` joins."""

        def run_and_leave() -> None:
            self.run(serve, *args, **kwargs)
            with self._changed:
                self._threads.discard(thread)

        name = f"connect_tunnel.testing:{self.port}"
        thread = threading.Thread(target=run_and_leave, name=name, daemon=True)
        with self._changed:
            self._threads.add(thread)
            thread.start()

    def stop(self) -> None:
        """Wake and join every thread, and close every descriptor."""
        self.stopping.set()
        self._ringer.send(b"\0")
        with self._changed:
            for sock in self._open:
                _wake(sock)
        while threads := self._take_threads():
            for thread in threads:
                thread.join()
        for sock in (*self._open, self._socket, self._bell, self._ringer):
            sock.close()
        self._open.clear()

    def _take_threads(self) -> list[threading.Thread]:
        with self._changed:
            return list(self._threads)


def _wake(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # whoever waits may have closed it, or the peer left
        sock.shutdown(socket.SHUT_RDWR)
