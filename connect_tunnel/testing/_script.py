r"""The steps of a scripted proxy: what it does with a connection, in order.

A script reads as the proxy's side of the conversation::

    [Receive(), Send(b"HTTP/1.1 200 OK\r\n\r\n220 ready\r\n"), Echo()]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Receive:
    """Receive up to and including `until`. What ends with an empty line counts as a head."""

    until: bytes = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class NextRequest:
    """Receive the next head, on this connection or on a new one, as the client chooses."""


@dataclass(frozen=True, slots=True)
class NextConnection:
    """Wait for the client's next connection and go on there. The one before stays open."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send data: at once, or in segments of `size` bytes with `delay` seconds after each."""

    data: bytes
    size: int = 0
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """Send what a callable makes of the last head that was received, empty before the first.

    For answers that hang on what was asked, as those of a handshake do. What it raises is raised
    where the `with` block ends.
    """

    answer: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Flood:
    """Send the same data again and again until the client leaves, or for some seconds."""

    data: bytes
    delay: float = 0.0
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing, and read nothing, for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Echo:
    """Send back whatever comes, until the client ends its side."""


@dataclass(frozen=True, slots=True)
class HalfClose:
    """End the sending side: a FIN, or close_notify where the client came by TLS."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; on TLS without close_notify, which is a truncation."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Close the connection with a TCP reset."""


Step: TypeAlias = (
    Receive
    | NextRequest
    | NextConnection
    | Send
    | Reply
    | Flood
    | Wait
    | Echo
    | HalfClose
    | Close
    | Reset
)
