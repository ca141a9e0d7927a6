"""CONNECT over HTTP/2 (RFC 9113, 8.5), on a connection that others use, too.

The frames are the connection's business (`h2_connection.py`). What is here is what one opening
says and makes of what it hears; the same openings are asked in HTTP/1.1 by `h1.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from connect_tunnel._errors import ProxyHungUp, ProxyMisbehaved
from connect_tunnel._steps import SendHead

from . import h2_frames as wire
from .h1_body import Body, framing_of

if TYPE_CHECKING:
    from connect_tunnel._fields import RequestFields
    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._route import Hop
    from connect_tunnel._secret import Secret

    from .h2_stream import Loss

# Without an answer for so long where others have theirs, we ask on another connection: apache
# leaves tunnels beyond the sixth of a connection waiting, nghttpx those beyond the eighth, and
# neither says a word. A proxy that is waiting for the target itself loses nothing by it.
SILENCE: Final = 2.0

_HINTS: Final = {
    wire.CONNECT_ERROR: "it could not connect to the target, or lost it",
    wire.ENHANCE_YOUR_CALM: "it is asked for too much: wait before asking again",
    wire.PROTOCOL_ERROR: "it may not know CONNECT in HTTP/2: http1=True lets it have HTTP/1.1",
    wire.HTTP_1_1_REQUIRED: "http1=True lets it have HTTP/1.1",
}


def request(
    hop: Hop, authority: bytes, fields: RequestFields, credentials: Secret[bytes] | None
) -> SendHead:
    """A CONNECT request: the method and the authority, and no scheme and no path."""
    # The fields are nobody's local variable: they may hold credentials.
    return SendHead(_fields(authority, fields, credentials or fields.credentials), hop)


def _fields(
    authority: bytes, fields: RequestFields, credentials: Secret[bytes] | None
) -> list[tuple[bytes, bytes]]:
    # A Host of the caller's is for HTTP/1: here it may only repeat the authority (RFC 9113, 8.3.1).
    head = [(b":method", b"CONNECT"), (b":authority", authority), *fields.pairs]
    if credentials is not None:
        head.append((b"proxy-authorization", credentials.reveal()))
    return head


def body_of(response: ProxyResponse) -> Body:
    """The body of a refusal: the DATA of its stream, whose length the head may tell."""
    return Body(response, framing=framing_of(response))


def raise_lost(loss: Loss) -> NoReturn:
    """Make an error of a stream that was lost before it was answered.

    Raises:
        ProxyMisbehaved: The proxy broke the protocol.
        ProxyHungUp: It ended the stream or the connection.
    """
    if loss.cause == "malformed":
        raise ProxyMisbehaved(loss.said)
    hint = None if loss.code is None else _HINTS.get(loss.code)
    raise ProxyHungUp(f"{loss.said} without answering", reset=loss.cause == "reset", hint=hint)
