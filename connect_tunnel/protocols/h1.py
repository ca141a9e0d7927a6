"""CONNECT over HTTP/1.1.

The head of an answer is read by a parser of our own: one pattern over a complete head. It
is strict where leniency has opened tunnels that nobody granted (versions, status codes,
an end inside the head), and blind where RFC 9110, 9.3.6 says to be: the Content-Length and
Transfer-Encoding of a 2xx are never so much as looked at. What it takes leniently is what
proxies send: no reason phrase, bare LF, folded fields, octets outside ASCII.
"""

from __future__ import annotations

import re
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import ProxyHungUp, ProxyMisbehaved
from connect_tunnel._response import ProxyResponse
from connect_tunnel._steps import Ask, Peek, Take

if TYPE_CHECKING:
    from connect_tunnel._fields import RequestFields
    from connect_tunnel._route import Hop
    from connect_tunnel._secret import Secret
    from connect_tunnel._steps import Program

MAX_HEAD = 65536  # curl stops at 300 KiB in all, aiohttp at 8 KiB a line
MAX_FIELDS = 256  # Apache allows 100 of a request; nobody sends that many with a 2xx
MAX_INTERIM = 8  # 1xx before the answer: some proxies send one; endless ones are an attack

_HEAD = re.compile(
    rb"HTTP/(?P<version>1\.[0-9]) (?P<status>[1-9][0-9]{2})"
    rb"(?: (?P<reason>[\t\x20-\x7e\x80-\xff]*+))?\r?\n"
    rb"(?P<fields>(?:"
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\0\r\n]*+\r?\n"
    rb"(?:[ \t][^\0\r\n]*+\r?\n)*+"  # obsolete line folding (RFC 9112, 5.2)
    rb"){0,256})"  # MAX_FIELDS
    rb"\r?\n"
)
_LINE = 128  # no status line of those we know is half as long
_END = re.compile(rb"\n\r?\n")
_START = b"HTTP/1."


def request(
    hop: Hop, authority: bytes, fields: RequestFields, credentials: Secret[bytes] | None
) -> Ask:
    """A CONNECT request, to be sent in one write.

    Nagle's algorithm and proxies that read a request from one segment both want it whole.
    Nothing follows it before the answer has come (RFC 9931, 8).
    """
    # The wire image is nobody's local variable: it may hold credentials.
    return Ask(_render(authority, fields, credentials or fields.credentials), hop)


def _render(authority: bytes, fields: RequestFields, credentials: Secret[bytes] | None) -> bytes:
    # Host comes first and equals the request-target (RFC 9112, 3.2), unless the caller
    # knows better. There is no framing: the request has no content (RFC 9110, 9.3.6).
    return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (
        authority,
        fields.host or authority,
        fields.wire,
        b"Proxy-Authorization: %b\r\n" % credentials.reveal() if credentials else b"",
    )


def read_answer() -> Program[tuple[ProxyResponse, bool]]:
    """Read the head of the answer, past any interim ones (RFC 9110, 15.2).

    Of a 2xx nothing is taken beyond the empty line: what follows is the target's.

    Returns:
        The answer, without a body, and whether anything was seen to follow its head.

    Raises:
        ProxyMisbehaved: It is not the head of an HTTP/1 response, or too much of one.
        ProxyHungUp: The connection ended before the head did.
    """
    head: bytes | bytearray = b""
    interim, received = 0, b""
    while True:
        try:
            seen = yield from Peek()
            if not seen:
                raise ProxyHungUp("closed the connection")
        except ProxyHungUp as gone:
            raise _told(gone, bytes(head) or received) from gone.__cause__
        before = len(head)
        if before:
            head = bytearray(head) if isinstance(head, bytes) else head
            head += seen
        else:
            head = seen  # nearly always all of it: not worth a copy
        if before < len(_START) and not (head.startswith(_START) or _START.startswith(head)):
            # Recognised by its first octets, so that a server of another kind, which
            # waits for us to speak, is told apart at once and not by a timeout.
            raise _not_http(bytes(head))
        # The end is sought in the new bytes and the last few: searching from the start
        # each time would cost 28 s of CPU for 64 KiB that come one by one.
        found = _END.search(head, before - 2 if before > 2 else 0)
        end = found.end() if found else len(head)
        # All of an unfinished head is the proxy's, so it is taken as it comes.
        yield from Take(end - before)
        if end > MAX_HEAD:
            raise ProxyMisbehaved(
                f"sent more than {MAX_HEAD // 1024} KiB of head",
                kind="too_large", received=escape(bytes(head[:64])),
            )  # fmt: skip
        if found:
            response = parse_head(bytes(head[:end]))
            if response.status >= 200:
                return response, len(head) > end
            interim += 1
            _check_interim(response, interim)
            received, head = bytes(head[:end]), b""


def parse_head(head: bytes) -> ProxyResponse:
    """Parse a complete head, its empty line included.

    Raises:
        ProxyMisbehaved: It is not the head of an HTTP/1 response.
    """
    return _parse_again(head) if len(head) < _LINE and head.count(b"\n") == 2 else _parse(head)


@lru_cache(maxsize=64)
def _parse_again(head: bytes) -> ProxyResponse:
    """A status line alone: each proxy has its own, and says it with every tunnel."""
    return _parse(head)


def _parse(head: bytes) -> ProxyResponse:
    found = _HEAD.fullmatch(head)
    if found is None:
        if len(_END.sub(b"", head).splitlines()) > MAX_FIELDS + 1:
            raise ProxyMisbehaved(
                f"sent a head of more than {MAX_FIELDS} fields",
                kind="too_many", received=escape(head),
            )  # fmt: skip
        raise ProxyMisbehaved(f"sent a malformed head: {_worst_line(head)}", received=escape(head))
    version, status, reason, fields = found.groups(b"")
    # A process with thousands of tunnels need not hold as many copies of "OK".
    return ProxyResponse(
        int(status), intern(reason.decode("latin-1")), intern(version.decode()), fields
    )


def _check_interim(response: ProxyResponse, interim: int) -> None:
    if response.status == 101:
        # Nothing was asked to be switched to (RFC 9110, 15.2.2).
        raise ProxyMisbehaved("answered CONNECT with 101 Switching Protocols")
    if interim > MAX_INTERIM:
        raise ProxyMisbehaved(
            f"sent more than {MAX_INTERIM} interim responses and no answer", kind="too_many"
        )


def _told(gone: ProxyHungUp, received: bytes) -> ProxyHungUp:
    """The end of a connection, told by how far the answer had come."""
    where = "in the middle of its answer" if received else "without answering"
    hint = None if received else _SILENCE
    return ProxyHungUp(
        f"{gone.args[0]} {where}",
        reset=gone.reset, errno=gone.errno, received=escape(received), hint=hint,
    )  # fmt: skip


_SILENCE = (
    "it may speak TLS on this port (https://) or SOCKS, accept only some clients, or have "
    "failed to reach the target"
)


# What other servers greet with, or answer to a request in the clear.
_GREETINGS: Final = (
    (re.compile(rb"[\x14-\x17]\x03[\x00-\x04]"), "it speaks TLS: use an https:// URL"),
    (re.compile(rb"SSH-"), "it is an SSH server"),
    (re.compile(rb"(?:220|554)[ -]"), "it is a mail or FTP server"),
    (re.compile(rb"\* (?:OK|BYE|PREAUTH)"), "it is an IMAP server"),
    (re.compile(rb"\+OK"), "it is a POP3 server"),
    (re.compile(rb"\x00[\x5a-\x5d]|\x05[\x00-\x09\xff]"), "it may be a SOCKS proxy"),
    (re.compile(rb"\x00[\s\S]{2}\x04"), "it speaks HTTP/2 without being asked to"),
    (re.compile(rb"HTTP/[023]"), "it answers in another version of HTTP"),
)  # fmt: skip


def _not_http(head: bytes) -> ProxyMisbehaved:
    hint = next((say for pattern, say in _GREETINGS if pattern.match(head)), None)
    return ProxyMisbehaved(
        f'answered CONNECT with something that is not HTTP/1: "{escape(head)}"',
        received=escape(head),
        hint=hint,
    )


def _worst_line(head: bytes) -> str:
    """The first line that is at fault, fit for a message."""
    for line in head.splitlines(keepends=True)[1:-1]:
        if not _HEAD.fullmatch(b"HTTP/1.1 200 \r\n" + line + b"\r\n") and line[:1] not in b" \t":
            return f'"{escape(line.rstrip())}"'
    return f'"{escape(head)}"'


def escape(data: bytes) -> str:
    """The first of some octets, in printable ASCII."""
    shown = ascii(data[:64].decode("latin-1"))[1:-1]
    return shown if len(data) <= 64 else shown + "..."
