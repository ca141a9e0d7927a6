"""CONNECT over HTTP/1.1: what is sent, and how each answer is read under every split of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connect_tunnel import (
    InvalidTarget,
    Proxy,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyResponse,
    Target,
)
from connect_tunnel._fields import RequestFields
from connect_tunnel._route import Hop
from connect_tunnel._secret import Secret
from connect_tunnel._steps import Ask, Peek, Take
from connect_tunnel.protocols import h1
from connect_tunnel.testing import every_split, replay

TAIL = b"SSH-2.0-x\r\n"  # what the target may say first

HOP = Hop(Proxy("http://proxy.test"))


# ---- the request ----


def request(
    authority: str = "server.example.com:443",
    fields: Any = (),
    credentials: bytes | None = None,
) -> bytes:
    """What goes on the wire, which is one step."""
    secret = None if credentials is None else Secret(credentials)
    step = h1.request(HOP, authority.encode(), RequestFields(fields), secret)
    assert isinstance(step, Ask)
    assert step.hop is HOP
    return step.data


def lines(head: bytes) -> list[bytes]:
    """The lines of a head, which ends where it should (H1-10)."""
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\n") == head.count(b"\r\n")
    return head[:-4].split(b"\r\n")


def names(head: bytes) -> list[bytes]:
    return [line.partition(b":")[0].lower() for line in lines(head)[1:]]


@pytest.mark.parametrize(
    ("target", "authority"),
    [
        (("server.example.com", 443), b"server.example.com:443"),
        (("server.example.com", 80), b"server.example.com:80"),  # H1-02: no port is a default
        (("H.TEST.", 65535), b"h.test.:65535"),
        (("192.0.2.1", 1), b"192.0.2.1:1"),
        (("2001:db8::1", 443), b"[2001:db8::1]:443"),  # H1-03
        (("[2001:DB8:0::1]", 443), b"[2001:db8::1]:443"),
        (("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", 443),
         b"xn--bcher-kva.example:443"),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)  # fmt: skip
def test_request_line_and_host_name_the_authority(
    target: tuple[str, int], authority: bytes
) -> None:
    """H1-01, H1-02, H1-03, H1-04: authority-form, and a Host that is equal to it, first."""
    first, second, *_ = lines(request(Target(*target).authority))
    assert first == b"CONNECT " + authority + b" HTTP/1.1"
    assert second == b"Host: " + authority


@pytest.mark.parametrize(
    "target",
    ["user@h.test:1", "h.test:1/x", "h.test:1?x", "h.test:1#x", "http://h.test:1", "h.test:",
     "h.test:0", "h.test:65536", "h.test:443 ", "h.test:+443", "h.test:\u0664\u0664\u0663",
     "h.test", "a b:1", "a\r\nX-Injected: 1:1", "a\0b:1"],
    ids=ascii,
)  # fmt: skip
def test_no_request_names_what_is_not_an_authority(target: str) -> None:
    """H1-01, H1-02, H1-05: there is no Target of it, and so no request."""
    with pytest.raises(InvalidTarget):
        Target.parse(target)


@pytest.mark.parametrize(
    ("name", "value"),
    [("X", "a\nb"), ("X", "a\r\nB: c"), ("X", "a\0b"), ("X", " a"), ("A B", "c"), ("", "c"),
     ("A:", "b"), ("A\r\nB", "c"), ("X", "\u010a"), ("X\u010d", "c")],
    ids=ascii,
)  # fmt: skip
def test_no_field_is_off_the_grammar(name: str, value: str) -> None:
    """H1-05, T12: neither a line of its own making nor one that appears in the encoding."""
    with pytest.raises(ValueError, match=r"RFC 9110|not ASCII"):
        request(fields={name: value})


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Expect", "Trailer"])
def test_no_field_frames_content(name: str) -> None:
    """H1-06."""
    with pytest.raises(ValueError, match="no content"):
        request(fields={name: "1"})
    assert name.lower().encode() not in names(request())


@pytest.mark.parametrize(
    ("fields", "wire"),
    [
        ((), [b"User-Agent: connect_tunnel/*"]),  # H1-07; and H1-08: nothing of connections
        ({"User-Agent": "x/1"}, [b"User-Agent: x/1"]),
        ({"user-agent": None}, []),
        ({"User-Agent": None, "Connection": "close"}, [b"Connection: close"]),  # H1-09
        ({"User-Agent": None, "Proxy-Connection": "keep-alive"}, [b"Proxy-Connection: keep-alive"]),
        ({"User-Agent": None, "ALPN": "h2, http%2F1.1"}, [b"ALPN: h2, http%2F1.1"]),  # H1-12
        ({"User-Agent": None, "X": b"caf\xe9"}, [b"X: caf\xe9"]),
    ],
    ids=ascii,
)
def test_other_fields(fields: Any, wire: list[bytes]) -> None:
    """H1-07 to H1-12: what the caller adds is what there is, but for our name."""
    sent = lines(request(fields=fields))[2:]
    assert [re.sub(rb"(connect_tunnel/)\S+", rb"\1*", line) for line in sent] == wire


NASTY = 'ab.-_09:[]@/?# \t\r\n\0\x7f%\\"\u00fc\u010a\uff11\u3002'
HEAD = re.compile(
    rb"CONNECT [a-z0-9._:\[\]-]+:[0-9]{1,5} HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n){1,4}\r\n"
)


@example("a", 1, "b", "c")
@settings(deadline=None)
@given(
    st.text(NASTY, max_size=8),
    st.integers(-1, 70000),
    st.text(NASTY, max_size=4),
    st.one_of(st.text(NASTY, max_size=6), st.binary(max_size=6)),
)  # fmt: skip
def test_whatever_is_given_a_request_is_a_request(
    host: str, port: int, name: str, value: str | bytes
) -> None:
    """H1-05, T11: there is no way to any other lines than those that belong there."""
    try:
        head = request(Target(host, port).authority, {name: value})
    except ValueError:
        return
    assert HEAD.fullmatch(head)
    assert len(lines(head)) == 4


def test_host_of_the_caller_replaces_ours() -> None:
    """H1-04: never two."""
    head = request(fields={"host": "x.test"})
    assert lines(head)[:2] == [b"CONNECT server.example.com:443 HTTP/1.1", b"Host: x.test"]
    assert names(head).count(b"host") == 1


def test_nothing_of_the_inner_request_is_sent() -> None:
    """H1-11: what is not given for CONNECT is not in it."""
    assert names(request()) == [b"host", b"user-agent"]


@pytest.mark.parametrize(
    ("fields", "credentials", "sent"),
    [
        ((), None, []),
        ((), b"Basic dTpw", [b"Proxy-Authorization: Basic dTpw"]),
        ({"Proxy-Authorization": "X y"}, None, [b"Proxy-Authorization: X y"]),
        ({"Proxy-Authorization": "X y"}, b"Basic dTpw", [b"Proxy-Authorization: Basic dTpw"]),
    ],
    ids=["none", "ours", "the caller's", "both"],
)
def test_credentials(fields: Any, credentials: bytes | None, sent: list[bytes]) -> None:
    head = request(fields=fields, credentials=credentials)
    assert [line for line in lines(head) if b"uthorization" in line] == sent
    assert lines(head)[-len(sent) :] == sent or not sent


# ---- answers that are heads of HTTP/1 ----

# The head as it comes; then status, reason, version and the fields of what is read.
HEADS: dict[str, tuple[bytes, tuple[int, str, str, list[tuple[bytes, bytes]]]]] = {
    "plain": (b"HTTP/1.1 200 OK\r\n\r\n", (200, "OK", "1.1", [])),
    "H1-14 201": (b"HTTP/1.1 201 Created\r\n\r\n", (201, "Created", "1.1", [])),
    "H1-14 204": (b"HTTP/1.1 204 No Content\r\n\r\n", (204, "No Content", "1.1", [])),
    "H1-14 206": (b"HTTP/1.1 206 x\r\n\r\n", (206, "x", "1.1", [])),
    "H1-14 299": (b"HTTP/1.1 299 x\r\n\r\n", (299, "x", "1.1", [])),
    "H1-15 length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        (200, "OK", "1.1", [(b"Content-Length", b"4")]),
    ),
    "H1-15 no length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        (200, "OK", "1.1", [(b"Content-Length", b"abc")]),
    ),
    "H1-15 two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        (200, "OK", "1.1", [(b"Content-Length", b"5"), (b"Content-Length", b"6")]),
    ),
    "H1-15 chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n\r\n",
        (200, "OK", "1.1", [(b"Transfer-Encoding", b"gzip, chunked"), (b"Content-Length", b"5")]),
    ),
    "H1-20 471": (b"HTTP/1.1 471 x\r\n\r\n", (471, "x", "1.1", [])),
    "H1-20 600": (b"HTTP/1.1 600 x\r\n\r\n", (600, "x", "1.1", [])),
    "H1-20 999": (b"HTTP/1.1 999 x\r\n\r\n", (999, "x", "1.1", [])),
    "H1-23 no reason": (b"HTTP/1.1 200\r\n\r\n", (200, "", "1.1", [])),
    "H1-23 empty reason": (b"HTTP/1.1 200 \r\n\r\n", (200, "", "1.1", [])),
    "H1-23 octets": (b"HTTP/1.1 200 caf\xe9\r\n\r\n", (200, "caf\xe9", "1.1", [])),
    "H1-23 blanks": (b"HTTP/1.1 200 \t a  b \r\n\r\n", (200, "\t a  b ", "1.1", [])),
    "H1-25 bare LF": (b"HTTP/1.1 200 OK\nA: b\n\n", (200, "OK", "1.1", [(b"A", b"b")])),
    "H1-25 mixed": (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", (200, "OK", "1.1", [(b"A", b"b")])),
    "H1-28 fold": (
        b'HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n realm="x"\r\n\r\n',
        (407, "x", "1.1", [(b"Proxy-Authenticate", b'Basic realm="x"')]),
    ),
    "H1-28 folds": (
        b"HTTP/1.1 200 x\r\nA:\r\n \tb\r\n\tc\r\n \r\nD: e\r\n\r\n",
        (200, "x", "1.1", [(b"A", b"b c"), (b"D", b"e")]),
    ),
    "H1-31 octets": (
        b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\n\r\n", (200, "OK", "1.1", [(b"X", b"\xff\xfe")]),
    ),
    "H1-33 close": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        (200, "OK", "1.1", [(b"Connection", b"close")]),
    ),
    "H1-34 1.0": (b"HTTP/1.0 200 OK\r\n\r\n", (200, "OK", "1.0", [])),
    "1.9": (b"HTTP/1.9 200 OK\r\n\r\n", (200, "OK", "1.9", [])),
    "no value": (b"HTTP/1.1 200 OK\r\nA:\r\nB: \t \r\n\r\n",
                 (200, "OK", "1.1", [(b"A", b""), (b"B", b"")])),
    "blanks": (b"HTTP/1.1 200 OK\r\nA:b\r\nC: \td e\t \r\n\r\n",
               (200, "OK", "1.1", [(b"A", b"b"), (b"C", b"d e")])),
    "odd names": (b"HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~9: x:y\r\n\r\n",
                  (200, "OK", "1.1", [(b"!#$%&'*+-.^_`|~9", b"x:y")])),
    "repeated": (b"HTTP/1.1 200 OK\r\nvia: a\r\nVIA: b\r\n\r\n",
                 (200, "OK", "1.1", [(b"via", b"a"), (b"VIA", b"b")])),
}  # fmt: skip


def facts(response: ProxyResponse) -> tuple[int, str, str, list[tuple[bytes, bytes]]]:
    assert response.body == b""
    return response.status, response.reason, response.http_version, list(response.headers.raw)


@pytest.mark.parametrize(("head", "read"), HEADS.values(), ids=HEADS)
def test_heads(head: bytes, read: tuple[int, str, str, list[tuple[bytes, bytes]]]) -> None:
    """H1-16, H1-17: under every split, up to the end of the head and not one byte beyond."""
    for split in every_split(head):
        done = replay(h1.read_answer(), *split)
        response, followed = done.value
        assert (facts(response), followed, done.left) == (read, False, b""), split
        assert done.sent == b""
    for split in every_split(head + TAIL):
        done = replay(h1.read_answer(), *split)
        response, followed = done.value
        assert (facts(response), done.left) == (read, TAIL), split
        assert followed == (head not in accumulated(split)), split


def accumulated(split: tuple[bytes, ...]) -> list[bytes]:
    """What had arrived after each segment of a split."""
    return [b"".join(split[:count]) for count in range(1, len(split) + 1)]


@pytest.mark.parametrize("tail", [b"\n", b"\r\n", b"\r\n\r\n", b"\0", b"HTTP/1.1 407 x\r\n\r\n"])
def test_bytes_that_look_like_more_are_the_targets(tail: bytes) -> None:
    """H1-16, T2: the head ends at the first empty line, and what follows is not an answer."""
    for split in every_split(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n" + tail):
        done = replay(h1.read_answer(), *split)
        assert done.value[0].status == 200
        assert done.left == tail, split


# ---- interim answers ----


@pytest.mark.parametrize("status", [100, 102, 103, 104, 199])
def test_interim_answers_are_passed_over(status: int) -> None:
    """H1-18."""
    interim = b"HTTP/1.1 %d x\r\nLink: </a>\r\n\r\n" % status
    for split in every_split(interim + b"HTTP/1.1 100\r\n\r\n" + b"HTTP/1.1 200 OK\r\n\r\n" + TAIL):
        done = replay(h1.read_answer(), *split)
        assert (facts(done.value[0]), done.left) == ((200, "OK", "1.1", []), TAIL), split


def test_as_many_interim_answers_as_anybody_sends() -> None:
    """H1-18, T19: and no more, for they need not end."""
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    done = replay(h1.read_answer(), interim * h1.MAX_INTERIM + b"HTTP/1.1 200 OK\r\n\r\n")
    assert done.value[0].status == 200
    with pytest.raises(ProxyMisbehaved, match="more than 8 interim") as caught:
        replay(h1.read_answer(), interim * 10_000)
    assert caught.value.kind == "too_many"


def test_101_switches_to_nothing() -> None:
    """H1-19."""
    for split in every_split(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"):
        with pytest.raises(ProxyMisbehaved, match="101") as caught:
            replay(h1.read_answer(), *split)
        assert caught.value.kind == "malformed"


def test_a_close_after_an_interim_answer_is_no_silence() -> None:
    """H1-30: it speaks HTTP, and it has the request."""
    with pytest.raises(ProxyHungUp) as caught:
        replay(h1.read_answer(), b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert caught.value.hint is None
    assert caught.value.received


# ---- what is not the head of HTTP/1 ----

MALFORMED = {
    "H1-20 four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "H1-20 two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "H1-20 leading zero": b"HTTP/1.1 099 x\r\n\r\n",
    "H1-20 no status": b"HTTP/1.1 OK\r\n\r\n",
    "H1-20 other digits": "HTTP/1.1 \u0662\u0660\u0660 OK\r\n\r\n".encode(),
    "H1-20 sign": b"HTTP/1.1 +20 OK\r\n\r\n",
    "H1-23 no blank": b"HTTP/1.1 200OK\r\n\r\n",
    "H1-23 tab": b"HTTP/1.1 200\tOK\r\n\r\n",
    "H1-23 two blanks": b"HTTP/1.1  200 OK\r\n\r\n",
    "H1-23 control": b"HTTP/1.1 200 O\x01K\r\n\r\n",
    "H1-24 case": b"http/1.1 200 OK\r\n\r\n",
    "H1-24 mixed case": b"Http/1.1 200 OK\r\n\r\n",
    "H1-24 2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "H1-24 0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "H1-24 1.10": b"HTTP/1.10 200 OK\r\n\r\n",
    "H1-24 no minor": b"HTTP/1. 200 OK\r\n\r\n",
    "H1-24 ICY": b"ICY 200 OK\r\n\r\n",
    "H1-24 blank first": b" HTTP/1.1 200 OK\r\n\r\n",
    "H1-24 empty line first": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "H1-24 no HTTP": b"hello\r\n\r\n",
    "H1-26 NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "H1-26 bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
    "H1-26 CR at the end": b"HTTP/1.1 200 OK\r\nX: a\r\r\n\r\n",
    "H1-26 CR in the reason": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "H1-26 CR for a line": b"HTTP/1.1 200 OK\rX: a\r\n\r\n",
    "H1-26 NUL in a fold": b"HTTP/1.1 200 OK\r\nX: a\r\n \0\r\n\r\n",
    "H1-27 blank before fields": b"HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
    "H1-27 blanks only": b"HTTP/1.1 200 OK\r\n \r\nX: y\r\n\r\n",
    "H1-29 blank before colon": b"HTTP/1.1 200 OK\r\nX-A : b\r\n\r\n",
    "H1-29 tab before colon": b"HTTP/1.1 200 OK\r\nX-A\t: b\r\n\r\n",
    "H1-29 no colon": b"HTTP/1.1 200 OK\r\ngarbage\r\n\r\n",
    "H1-29 no name": b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
    "H1-29 no token": b"HTTP/1.1 200 OK\r\nX(a): b\r\n\r\n",
    "H1-29 octets": b"HTTP/1.1 200 OK\r\nX\xe9: b\r\n\r\n",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
def test_malformed_heads(answer: bytes) -> None:
    """Under every split, also where the rest of what a proxy says never comes."""
    for split in every_split(answer + TAIL):
        with pytest.raises(ProxyMisbehaved) as caught:
            replay(h1.read_answer(), *split, b"")
        error = caught.value
        assert not isinstance(error, ProxyHungUp), split
        assert error.kind == "malformed"
        assert error.received.isascii()
        assert h1.escape(answer + TAIL).startswith(error.received[:8]), split


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (b"A: b\r\nX : y\r\nC: d\r\n", '"X : y"'),
        (b"A: b\r\nX: a\0b\r\n", r'"X: a\x00b"'),
        (b"A: b\r\ngarbage\r\n", '"garbage"'),
        (b"garbage\r\nA: b\r\n", '"garbage"'),
        (b"A: b\r\n" * 255 + b"garbage\r\n", '"garbage"'),
        (b"A: b\r\nX: a\rb\r\n", '"X: a"'),
        (b"X: a\r\n \0\r\n", r'"HTTP/1.1 200 OK\r\nX: a\r\n \x00\r\n\r\n"'),
        (b" X: y\r\n", r'"HTTP/1.1 200 OK\r\n X: y\r\n\r\n"'),
    ],
    ids=["blank", "NUL", "no colon", "the first", "the 256th", "CR", "in a fold", "fold first"],
)
def test_the_line_at_fault_is_shown(fields: bytes, line: str) -> None:
    with pytest.raises(ProxyMisbehaved) as caught:
        replay(h1.read_answer(), b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
    assert str(caught.value) == f"sent a malformed head: {line}"


# What other servers say first or answer in the clear, and what the hint must name.
GREETINGS = {
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", "https://"),
    "TLS alert of 1.3": (b"\x15\x03\x03\x00\x02\x02\x32", "https://"),
    "TLS handshake": (b"\x16\x03\x03\x00\x7a\x02\x00\x00", "https://"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
    "SMTP": (b"220 mail.test ESMTP\r\n", "mail"),
    "SMTP with more": (b"220-mail.test ESMTP\r\n220 x\r\n", "mail"),
    "SMTP no": (b"554 no\r\n", "mail"),
    "IMAP": (b"* OK IMAP4rev1\r\n", "IMAP"),
    "IMAP known": (b"* PREAUTH IMAP4rev1\r\n", "IMAP"),
    "IMAP no": (b"* BYE later\r\n", "IMAP"),
    "POP3": (b"+OK ready\r\n", "POP3"),
    "HTTP/2 settings": (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", "HTTP/2"),
    "HTTP/2 more settings": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03", "HTTP/2"),
    "SOCKS5 no": (b"\x05\xff", "SOCKS"),
    "SOCKS5 yes": (b"\x05\x00", "SOCKS"),
    "SOCKS4 no": (b"\x00\x5b\x00\x00\x00\x00\x00\x00", "SOCKS"),
    "HTTP/2 line": (b"HTTP/2 200\r\n\r\n", "another version of HTTP"),
    "HTTP/3 line": (b"HTTP/3 200\r\n\r\n", "another version of HTTP"),
    "unknown": (b"login: ", None),
}


@pytest.mark.parametrize(("greeting", "name"), GREETINGS.values(), ids=GREETINGS)
def test_servers_of_another_kind(greeting: bytes, name: str | None) -> None:
    """H1-24: told apart by the first octets, at once, and not when time has run out."""
    with pytest.raises(ProxyMisbehaved) as caught:
        replay(h1.read_answer(), greeting)  # and never a word more
    error = caught.value
    assert error.received == h1.escape(greeting)
    assert error.received in str(error)
    assert (name in error.hint) if name and error.hint else (name is error.hint)


# ---- ends and lengths ----


def test_the_end_in_every_place_of_a_head() -> None:
    """H1-30: never a success, whatever the status was to be; H1-24 where it is no HTTP."""
    head = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    for size in range(1, len(head)):
        for split in every_split(head[:size]):
            with pytest.raises(ProxyHungUp, match="in the middle of its answer") as caught:
                replay(h1.read_answer(), *split, b"")
            assert caught.value.received == h1.escape(head[:size])
            assert caught.value.hint is None
            assert not caught.value.reset


def test_the_end_before_an_answer() -> None:
    """H1-30: a legal refusal in the wild, and an error of its own with what may help."""
    with pytest.raises(ProxyHungUp, match="without answering") as caught:
        replay(h1.read_answer(), b"")
    assert caught.value.received == ""
    assert "https://" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("seen", "words", "received"),
    [
        ([], "without answering", ""),
        ([b"HTTP/1.1 2"], "in the middle of its answer", "HTTP/1.1 2"),
        ([b"HTTP/1.1 100\r\n\r\n"], "in the middle of its answer", r"HTTP/1.1 100\r\n\r\n"),
    ],
    ids=["nothing", "part of a head", "an interim answer"],
)
def test_a_reset_says_what_had_come(seen: list[bytes], words: str, received: str) -> None:
    """H1-30, H1-44: where it was cut off is what decides whether it may be asked again."""
    cause = ConnectionResetError(104, "Connection reset by peer")
    reset = ProxyHungUp("reset the connection", reset=True, errno=104)
    reset.__cause__ = cause
    with pytest.raises(ProxyHungUp) as caught:
        replay(h1.read_answer(), *seen, reset)
    error = caught.value
    assert error.args == (f"reset the connection {words}",)
    assert (error.reset, error.errno, error.received) == (True, 104, received)
    assert error.__cause__ is cause
    assert ("https://" in (error.hint or "")) is (not received)


def head_of(size: int) -> bytes:
    """A head of so many bytes, none of which begins a line that is too long."""
    field = b"X-Filler: " + b"x" * 8000 + b"\r\n"  # H1-32: lines of 8000 octets are to be taken
    start, end = b"HTTP/1.1 200 OK\r\n", b"\r\n"
    body = field * ((size - len(start) - len(end)) // len(field))
    rest = size - len(start) - len(end) - len(body)
    return start + body + b"Y: " + b"y" * (rest - 5) + b"\r\n" + end


def test_the_longest_head() -> None:
    """H1-32."""
    head = head_of(h1.MAX_HEAD)
    assert len(head) == 65536
    for split in ((head + TAIL,), (head, TAIL), (head[:-1], head[-1:] + TAIL)):
        done = replay(h1.read_answer(), *split)
        assert (done.value[0].status, done.left) == (200, TAIL)


@pytest.mark.parametrize(
    "head",
    [head_of(h1.MAX_HEAD + 1), b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000_000,
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000_000, b"HTTP/1.1 " + b"2" * 10_000_000],
    ids=["one more", "endless line", "endless fields", "endless status"],
)  # fmt: skip
def test_a_head_that_is_too_long(head: bytes) -> None:
    """H1-32, T19: the limit is on what is taken, however much more there is."""
    peer = iter([head[i : i + 4096] for i in range(0, len(head), 4096)])
    with pytest.raises(ProxyMisbehaved, match="more than 64 KiB of head") as caught:
        replay(h1.read_answer(), *peer)
    assert caught.value.kind == "too_large"
    assert len(caught.value.received) < 100


@pytest.mark.parametrize(("count", "fits"), [(255, True), (256, True), (257, False), (400, False)])
def test_how_many_fields_fit(count: int, *, fits: bool) -> None:
    """H1-32: 256, folded or not."""
    for field in (b"X: y\r\n", b"X: y\n", b"X:\r\n y\r\n" if fits else b"X: y\r\n"):
        head = b"HTTP/1.1 200 OK\r\n" + field * count + b"\r\n"
        if fits:
            assert len(replay(h1.read_answer(), head).value[0].headers.raw) == count
        else:
            with pytest.raises(ProxyMisbehaved, match="more than 256 fields") as caught:
                replay(h1.read_answer(), head)
            assert caught.value.kind == "too_many"


class Counting:
    """A pattern that knows how many bytes it was asked to search."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.pattern = pattern
        self.searched = 0

    def search(self, data: bytearray, start: int) -> re.Match[bytes] | None:
        self.searched += len(data) - start
        return self.pattern.search(data, start)


def test_the_search_for_the_end_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """H1-17: from the start each time it would be 28 s of CPU instead of 0.03."""
    counting = Counting(re.compile(h1._END.pattern))
    monkeypatch.setattr(h1, "_END", counting)
    head = head_of(h1.MAX_HEAD)
    done = replay(h1.read_answer(), *[head[i : i + 1] for i in range(len(head))])
    assert done.value[0].status == 200
    assert counting.searched <= 3 * len(head)
    # And every byte is looked at once: what is unfinished is taken as it comes.
    assert [type(step) for step in done.steps] == [Peek, Take] * len(head)


# ---- what is shown of it ----


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", ""),
        (b"plain", "plain"),
        (b"\r\n\t\0\x1b[31m", r"\r\n\t\x00\x1b[31m"),
        (b"caf\xc3\xa9", r"caf\xc3\xa9"),
        (b"x" * 64, "x" * 64),
        (b"x" * 65, "x" * 64 + "..."),
    ],
    ids=ascii,
)
def test_escape(data: bytes, shown: str) -> None:
    """H1-31: octets, in ASCII that no terminal obeys."""
    assert h1.escape(data) == shown
