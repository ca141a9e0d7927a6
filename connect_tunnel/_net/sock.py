"""A kernel socket as the lowest layer of a connection."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from .waits import Ready

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connect_tunnel._steps import Address

    from .waits import Nested

SocketOption: TypeAlias = "tuple[int, int, int | bytes]"

# Larger reads fall into a trap of glibc: buffers past 128 KiB are unmapped when freed, and
# each read then pays for fresh pages; four times the CPU.
MAX_READ = 65536
_PEEK = 4096  # a head is shorter; a longer one is taken piece by piece


# Plain numbers: to compare and combine members of an Enum is several times the work.
IPV4, IPV6 = int(socket.AF_INET), int(socket.AF_INET6)
_STREAM, _TCP, _SOCKET = int(socket.SOCK_STREAM), int(socket.IPPROTO_TCP), int(socket.SOL_SOCKET)
_NODELAY, _KEEPALIVE = int(socket.TCP_NODELAY), int(socket.SO_KEEPALIVE)

# Linux may have the ACK that completes TCP's handshake wait for our first data and go with it: a
# segment less, and the proxy has a connection and a ClientHello at once. (A request in the clear
# is answered so fast that it is better to have the proxy awake by then.) Whatever comes later is
# acknowledged as soon as ever, for the kernel takes the option back once it is connected.
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)

# Where the system can make a socket that never blocks, that saves a call.
_NONBLOCK = int(getattr(socket, "SOCK_NONBLOCK", 0))

# To try and not to wait, even if the socket is one that waits.
_NOW: Final = getattr(socket, "MSG_DONTWAIT", 0)
_PEEK_NOW: Final = socket.MSG_PEEK | _NOW

# To linger for no time at all: closing discards what is unsent, and sends a reset.
_NO_LINGER = struct.pack("ii", 1, 0)


class Layer(Protocol):
    """A stream of bytes that never waits: TCP, a stream of HTTP/2, or TLS over another layer.

    `ready` is what to wait for when a verb says "not now".
    """

    @property
    def sock(self) -> socket.socket:
        """The kernel socket at the bottom, which others may be using, too."""
        ...

    @property
    def shared(self) -> bool:
        """Whether others may be using it."""
        ...

    def ready(self, direction: int) -> Ready | Nested:
        """What to wait for before trying again to read, or to write."""
        ...

    def receive_now(self, max_bytes: int) -> bytes | None:
        """Take some bytes: empty at the end of the stream, None if there are none yet."""
        ...

    def holds_back(self) -> bool:
        """Whether there may be bytes, or the end, that have left the kernel and were not taken.

        Otherwise the socket tells when there is something to be read.
        """
        ...

    def peek_now(self) -> bytes | None:
        """Look at the next bytes without taking them."""
        ...

    def take_now(self, count: int) -> None:
        """Take bytes that `peek_now` showed."""
        ...

    def send_now(self, data: bytes | memoryview) -> int:
        """Accept some of the data, and say how much."""
        ...

    def flush_now(self) -> bool:
        """Say whether the kernel has all that was accepted."""
        ...

    def end_now(self) -> None:
        """End the sending side, what was accepted going first."""
        ...

    def close_now(self, *, cleanly: bool) -> None:
        """Say goodbye as far as that can be done at once. The socket stays open."""
        ...

    def drop(self, *, reset: bool = False) -> None:
        """Let go of it, at once and without a goodbye; as a reset, if it shall be seen as one."""
        ...

    def abandon(self) -> None:
        """The same from a finalizer, which does no I/O and takes no lock."""
        ...

    def wake_now(self) -> bool:
        """Wake whoever waits for it; False if that is for the shell to do."""
        ...


class SocketLayer:
    """TCP.

    Args:
        sock: The socket.
        speaks_first: As it was made by `new_socket`.
    """

    __slots__ = ("_ack_waits", "sock")

    def __init__(self, sock: socket.socket, *, speaks_first: bool = False) -> None:
        self.sock: Final = sock
        self._ack_waits = speaks_first and _QUICKACK is not None

    @property
    def shared(self) -> bool:
        """It is ours alone."""
        return False

    def ready(self, direction: int) -> Ready:
        """Wait for the socket."""
        if self._ack_waits:
            self._ack_waits = False
            self._acknowledge()
        return Ready(self.sock, direction)

    def _acknowledge(self) -> None:
        # What we said has taken the ACK along, or could not: a firewall that answers SYN for the
        # proxy gives us no window, and waits for the ACK, which the kernel would hold for 0.2 s.
        assert _QUICKACK is not None
        if self.sock.family in (IPV4, IPV6):
            self.sock.setsockopt(_TCP, _QUICKACK, 1)

    def receive_now(self, max_bytes: int) -> bytes | None:
        """Take some bytes: empty at the end of the stream, None if there are none yet."""
        try:
            return self.sock.recv(max_bytes, _NOW)
        except BlockingIOError:
            return None

    def holds_back(self) -> bool:
        """The kernel has it all."""
        return False

    def peek_now(self) -> bytes | None:
        """Look at the next bytes; they stay in the kernel, the target's among them."""
        try:
            return self.sock.recv(_PEEK, _PEEK_NOW)
        except BlockingIOError:
            return None

    def take_now(self, count: int) -> None:
        """Take bytes that `peek_now` showed; the kernel has them, so this cannot fall short."""
        self.sock.recv(count)

    def send_now(self, data: bytes | memoryview) -> int:
        """Give the kernel what it takes."""
        try:
            return self.sock.send(data, _NOW)
        except BlockingIOError:
            return 0

    def flush_now(self) -> bool:
        """Nothing is ever kept back."""
        return True

    def end_now(self) -> None:
        """Send a FIN."""
        self.sock.shutdown(socket.SHUT_WR)

    def close_now(self, *, cleanly: bool) -> None:
        """TCP says goodbye when the socket is closed."""

    def drop(self, *, reset: bool = False) -> None:
        """Close the socket."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.sock.close()

    def abandon(self) -> None:
        """Close the socket."""
        self.sock.close()

    def wake_now(self) -> bool:
        """A thread and an event loop wait for sockets in different ways."""
        return False


def new_socket(
    family: int,
    local_address: tuple[str, int] | None,
    options: Iterable[SocketOption],
    *,
    speaks_first: bool = False,
) -> socket.socket:
    """A socket, non-blocking until a thread chooses to wait in the kernel.

    Args:
        family: Of the address that it is to connect to.
        local_address: Where it is to connect from.
        options: For `setsockopt`, after ours.
        speaks_first: Whether we say something as soon as it is connected.
    """
    over_ip = family in (IPV4, IPV6)
    # With proto=0 asyncio does not recognise it as TCP and leaves Nagle's algorithm on.
    sock = socket.socket(family, _STREAM | _NONBLOCK, _TCP if over_ip else 0)
    try:
        if not _NONBLOCK:
            sock.setblocking(False)
        if over_ip:
            # Before the first byte: CONNECT would wait for the ACK of the TLS Finished.
            sock.setsockopt(_TCP, _NODELAY, 1)
            sock.setsockopt(_SOCKET, _KEEPALIVE, 1)
            if speaks_first and _QUICKACK is not None:
                sock.setsockopt(_TCP, _QUICKACK, 0)
        for option in options:
            sock.setsockopt(*option)
        if local_address is not None:
            sock.bind(local_address)
    except BaseException:
        sock.close()
        raise
    return sock


def ends_of(sock: socket.socket) -> tuple[Address, Address] | None:
    """The addresses of a connection, ours and the other; None where it has none."""
    if sock.family not in (IPV4, IPV6):
        return None
    near, far = sock.getsockname(), sock.getpeername()
    return (near[0], near[1]), (far[0], far[1])
