"""What a client asks a listening proxy for: read strictly, as it comes from anybody.

A page in a browser can make it send requests here (and by DNS rebinding read the answers), but
no CONNECT, which fetch() may not send. So whatever else is asked gets a 405, which tells
nothing, and one request is all that a connection is good for: what follows a request that is
refused is never read as another.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import InvalidTarget
from connect_tunnel._target import Target

from .answer import answer

if TYPE_CHECKING:
    from connect_tunnel._secret import Secret

MAX_HEAD: Final = 65536
# The end of a head; sought anew where more has come.
END: Final = re.compile(rb"\n\r?\n")

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_START = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: |$)")
_REQUEST: Final = re.compile(
    rb"(?P<method>" + _TOKEN + rb") (?P<target>[\x21-\x7e]++) HTTP/1\.[0-9]\r?\n"
    rb"(?P<fields>(?:" + _TOKEN + rb":[^\0\r\n]*+\r?\n){0,256})\r?\n"
)
_CHALLENGE: Final = (
    b"Proxy-Authenticate", b'Basic realm="connect_tunnel", charset="UTF-8"'
)  # fmt: skip
_CONNECT_ONLY: Final = (
    "This proxy opens tunnels, by CONNECT, and does nothing else. For http:// URLs use the proxy "
    "behind it, or ask for a tunnel to the target's port 80 (curl --proxytunnel)."
)


def looks_like_http(start: bytes | bytearray) -> bool:
    """Whether this may be the beginning of a request, and not TLS, SOCKS or HTTP/2."""
    return not start.startswith(b"PRI ") and _START.match(start[:64]) is not None


def read_request(head: bytes, credentials: Secret[bytes] | None) -> Target | bytes:
    """Where the tunnel is to lead, or the answer to a request that is refused.

    Args:
        head: A complete head.
        credentials: What Proxy-Authorization must say; None if anybody may ask.
    """
    found = _REQUEST.fullmatch(head)
    if found is None:
        return malformed()
    fields = _fields(found["fields"])
    if len(fields.get(b"host", ())) > 1:  # RFC 9112, 3.2
        return answer(400, "The request has more than one Host.")
    if found["method"] != b"CONNECT":
        return answer(405, _CONNECT_ONLY, (b"Allow", b"CONNECT"))
    if not _is_known(fields.get(b"proxy-authorization", []), credentials):
        return answer(407, "This proxy wants to know who you are.", _CHALLENGE)
    try:
        return Target.parse(found["target"].decode("ascii"))
    except InvalidTarget as error:
        return answer(400, str(error), proxy_error="http_request_error")


def malformed() -> bytes:
    """The answer to what is no request."""
    return answer(400, "That is not a request in HTTP/1.1.")


def too_large() -> bytes:
    """The answer to a head without an end."""
    return answer(431, f"The request has more than {MAX_HEAD // 1024} KiB of head.")


def too_late() -> bytes:
    """The answer to a head that does not come."""
    return answer(408, "The request did not come in time.")


def _fields(wire: bytes) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for line in wire.splitlines():
        name, _, value = line.partition(b":")
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return fields


def _is_known(sent: list[bytes], credentials: Secret[bytes] | None) -> bool:
    if credentials is None:
        return True
    if len(sent) != 1:
        return False
    # The name of a scheme may be in any case (RFC 9110, 11.1).
    scheme, _, token = sent[0].partition(b" ")
    right = hmac.compare_digest(token.strip(b" "), credentials.reveal().partition(b" ")[2])
    return right and scheme.lower() == b"basic"
