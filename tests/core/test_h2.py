"""CONNECT over HTTP/2: what is asked, the body of a refusal, and what a loss is for the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import Proxy, ProxyHungUp, ProxyMisbehaved, ProxyResponse, Target
from connect_tunnel._fields import USER_AGENT, RequestFields
from connect_tunnel._route import Hop
from connect_tunnel._secret import Secret
from connect_tunnel.protocols import h2
from connect_tunnel.protocols.h1_body import read_body
from connect_tunnel.protocols.h2_connection import H2Connection
from connect_tunnel.protocols.h2_stream import Loss
from connect_tunnel.testing import every_split, replay
from tests.core.frames import CODES, frames_of, settings

if TYPE_CHECKING:
    from connect_tunnel._steps import SendHead

HOP = Hop(Proxy("https://proxy.test"))
AGENT = (b"user-agent", USER_AGENT)


def request(
    authority: str = "h.test:443", fields: Any = (), credentials: bytes | None = None
) -> SendHead:
    secret = None if credentials is None else Secret(credentials)
    return h2.request(HOP, authority.encode(), RequestFields(fields), secret)


@pytest.mark.parametrize(
    ("target", "authority"),
    [(("h.test", 443), b"h.test:443"), (("192.0.2.1", 80), b"192.0.2.1:80"),
     (("2001:db8::1", 443), b"[2001:db8::1]:443")],
    ids=["a name", "IPv4", "IPv6"],
)  # fmt: skip
def test_a_request_is_a_method_and_an_authority(target: tuple[str, int], authority: bytes) -> None:
    """H2-01: first, once, and with no scheme and no path; IPv6 is in brackets."""
    fields = request(Target(*target).authority).fields
    assert list(fields) == [(b":method", b"CONNECT"), (b":authority", authority), AGENT]


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ((), [AGENT]),
        ({"User-Agent": None}, []),
        ({"Host": "other.test"}, [AGENT]),
        ({"User-Agent": "x/1", "X-One": "a: b", "x-two": b"\xe9", "X": ""},
         [(b"user-agent", b"x/1"), (b"x-one", b"a: b"), (b"x-two", b"\xe9"), (b"x", b"")]),
        ([("A", "1"), ("a", "2")], [AGENT, (b"a", b"1"), (b"a", b"2")]),
    ],
    ids=["none", "no agent", "Host", "some", "one name twice"],
)  # fmt: skip
def test_the_fields_of_a_request(fields: Any, more: list[tuple[bytes, bytes]]) -> None:
    """H2-02: in lower case, without a Host that may say something else."""
    assert sorted(list(request(fields=fields).fields)[2:]) == sorted(more)


def test_credentials_are_in_no_table() -> None:
    """H2-19: of ours, or of anybody on the way (RFC 7541, 6.2.3); our word before the caller's."""
    ours, theirs = request(credentials=b"Basic dTpw"), {"Proxy-Authorization": "Bearer t"}
    for step, value in [(ours, b"Basic dTpw"), (request(fields=theirs), b"Bearer t")]:
        last = list(step.fields)[-1]
        assert last == (b"proxy-authorization", value)
        connection = H2Connection(window=65_535)
        connection.receive(settings())
        for _ in range(2):
            connection.outbox.clear()
            connection.open(step.fields)
            [frame] = frames_of(b"".join(connection.outbox))
            # A literal that is never indexed, and the 49th name of the static table.
            assert b"\x1f\x22" in frame.payload
    assert list(request(fields=theirs, credentials=b"x").fields)[-1][1] == b"x"


def test_a_step_does_not_show_what_it_says() -> None:
    assert repr(request(credentials=b"s3cr3t")) == "SendHead(<4 fields>)"


@pytest.mark.parametrize(
    ("fields", "content", "complete"),
    [
        (b"", b"no, sir", True),
        (b"", b"", True),
        (b"content-length: 7\r\n", b"no, sir", True),
        (b"content-length: 8\r\n", b"no, sir", False),
        (b"content-length: x\r\n", b"no, sir", False),
    ],
    ids=["until the end", "nothing", "of some length", "cut short", "malformed length"],
)
def test_the_body_of_a_refusal(fields: bytes, content: bytes, complete: bool) -> None:
    """H2-08: DATA until the end of the stream, checked against its length."""
    for split in every_split(content):
        body = h2.body_of(ProxyResponse(403, "", "2", fields))
        assert replay(read_body(body), *split, b"").value == content
        assert body.complete is complete


LOST: list[tuple[Loss, type[Exception], bool, str, str | None]] = [
    (Loss("sent nonsense", "malformed", 1), ProxyMisbehaved, False, "sent nonsense", None),
    (Loss("reset the stream (X)", "reset", 2), ProxyHungUp, True,
     "reset the stream (X) without answering", None),
    (Loss("reset it", "reset", CODES["CONNECT_ERROR"]), ProxyHungUp, True,
     "reset it without answering", "it could not connect to the target"),
    (Loss("reset it", "reset", CODES["CALM"]), ProxyHungUp, True,
     "reset it without answering", "wait before asking again"),
    (Loss("reset it", "version", CODES["PROTOCOL_ERROR"]), ProxyHungUp, False,
     "reset it without answering", "may not know CONNECT in HTTP/2"),
    (Loss("reset it", "version", CODES["HTTP_1_1_REQUIRED"]), ProxyHungUp, False,
     "reset it without answering", "http1=True lets it have HTTP/1.1"),
    (Loss("takes no more", "unprocessed"), ProxyHungUp, False,
     "takes no more without answering", None),
    (Loss("closed the connection", "ended"), ProxyHungUp, False,
     "closed the connection without answering", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "kind", "reset", "said", "hint"), LOST, ids=[f"{c.cause} {c.code}" for c, *_ in LOST]
)
def test_a_loss_as_an_error(
    loss: Loss, kind: type[Exception], reset: bool, said: str, hint: str | None
) -> None:
    """H2-13, H2-14."""
    with pytest.raises(kind) as caught:
        h2.raise_lost(loss)
    error: Any = caught.value
    assert said in str(error)
    assert getattr(error, "reset", False) is reset
    assert (error.hint is None) if hint is None else (hint in error.hint)
