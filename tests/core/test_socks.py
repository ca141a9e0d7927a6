"""SOCKS: what is sent, and how each answer is read under every split of it."""

from __future__ import annotations

import itertools
import pickle
from traceback import TracebackException
from typing import TYPE_CHECKING, Any

import pytest
import socksio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connect_tunnel import InvalidTarget, ProxyHungUp, ProxyMisbehaved, ProxyResponse, Target
from connect_tunnel._secret import Secret
from connect_tunnel._steps import Peek, Send, Take
from connect_tunnel.protocols import h1, socks, socks_words
from connect_tunnel.protocols.socks_words import check, choose, complain, explain, resolves_here
from connect_tunnel.testing import Replay, every_split, replay

if TYPE_CHECKING:
    from connect_tunnel.protocols.socks_words import Login

TAIL = b"\x05\x00SSH-2.0-x\r\n"  # what the target may say first
NAME = Target("db.example", 5432)
IPV4 = Target("192.0.2.7", 443)
IPV6 = Target("2001:db8::7", 65535)


def who(user: Any, password: Any) -> Login:
    pair: tuple[str, str] = (user, password)
    return Secret(pair)


LOGIN = who("alice", "s3cret")

OK = b"\x05\x00\x00\x01\0\0\0\0\0\0"
CHOSEN = b"\x05\x00"
WANTED = b"\x05\x02"
LET_IN = b"\x01\x00"
OK_4 = b"\x00\x5a\0\0\0\0\0\0"


def ask(
    scheme: str,
    *incoming: Any,
    goal: Target = NAME,
    address: str | None = None,
    login: Login | None = None,
) -> Replay[ProxyResponse]:
    if address is None and resolves_here(scheme, goal):
        address = "192.0.2.1"
    return replay(socks.ask_socks(scheme, goal, address, login), *incoming)


def messages(done: Replay[ProxyResponse]) -> list[bytes]:
    return [step.data for step in done.steps if isinstance(step, Send)]


def facts(response: ProxyResponse) -> tuple[str, int, str]:
    assert (response.body, response.complete, len(response.headers)) == (b"", True, 0)
    return response.http_version, response.status, response.reason


# ---- what is sent ----

GREETING = b"\x05\x01\x00"
GREETING_WITH_LOGIN = b"\x05\x02\x00\x02"
BY_NAME = b"\x05\x01\x00\x03\x0adb.example\x15\x38"
BY_IPV4 = b"\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"
BY_IPV6 = b"\x05\x01\x00\x04\x20\x01\x0d\xb8" + b"\0" * 11 + b"\x07\xff\xff"
PASSWORD = b"\x01\x05alice\x06s3cret"

# scheme, goal, its address as it was looked up here, login; the answers; and what is sent.
SENT: dict[str, tuple[str, Target, str | None, Login | None, bytes, list[bytes]]] = {
    "name": ("socks5h", NAME, None, None, CHOSEN + OK, [GREETING, BY_NAME]),
    "IPv4": ("socks5h", IPV4, None, None, CHOSEN + OK, [GREETING, BY_IPV4]),
    "IPv6": ("socks5h", IPV6, None, None, CHOSEN + OK, [GREETING, BY_IPV6]),
    "looked up here": (
        "socks5", Target("db.example", 443), "192.0.2.7", None, CHOSEN + OK, [GREETING, BY_IPV4],
    ),
    "looked up here, IPv6": (
        "socks5", Target("db.example", 65535), "2001:db8::7", None,
        CHOSEN + OK, [GREETING, BY_IPV6],
    ),
    "IPv4 for socks5": ("socks5", IPV4, None, None, CHOSEN + OK, [GREETING, BY_IPV4]),
    "like an address": (
        "socks5h", Target("1.2.3", 256), None, None,
        CHOSEN + OK, [GREETING, b"\x05\x01\x00\x03\x051.2.3\x01\x00"],
    ),
    "IDN": (
        "socks5h", Target("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", 1), None, None,
        CHOSEN + OK, [GREETING, b"\x05\x01\x00\x03\x15xn--bcher-kva.example\x00\x01"],
    ),
    "longest": (
        "socks5h", Target("a." * 126 + "a.", 1), None, None,
        CHOSEN + OK, [GREETING, b"\x05\x01\x00\x03\xfe" + b"a." * 127 + b"\x00\x01"],
    ),
    "login, not wanted": (
        "socks5h", NAME, None, LOGIN, CHOSEN + OK, [GREETING_WITH_LOGIN, BY_NAME],
    ),
    "login": (
        "socks5h", NAME, None, LOGIN,
        WANTED + LET_IN + OK, [GREETING_WITH_LOGIN, PASSWORD, BY_NAME],
    ),
    "login, longest": (
        "socks5h", NAME, None, who("u" * 255, "\N{POUND SIGN}" * 127),
        WANTED + LET_IN + OK,
        [GREETING_WITH_LOGIN, b"\x01\xff" + b"u" * 255 + b"\xfe" + b"\xc2\xa3" * 127, BY_NAME],
    ),
    "4": ("socks4", IPV4, None, None, OK_4, [b"\x04\x01\x01\xbb\xc0\x00\x02\x07\x00"]),
    "4, looked up here": (
        "socks4", Target("db.example", 443), "192.0.2.7", who("alice", ""),
        OK_4, [b"\x04\x01\x01\xbb\xc0\x00\x02\x07alice\x00"],
    ),
    "4a": (
        "socks4a", NAME, None, who("alice", ""),
        OK_4, [b"\x04\x01\x15\x38\x00\x00\x00\xffalice\x00db.example\x00"],
    ),
    "4a, IPv4": ("socks4a", IPV4, None, None, OK_4, [b"\x04\x01\x01\xbb\xc0\x00\x02\x07\x00"]),
}  # fmt: skip


@pytest.mark.parametrize("row", SENT.values(), ids=SENT)
def test_requests(
    row: tuple[str, Target, str | None, Login | None, bytes, list[bytes]],
) -> None:
    """LL-04 to LL-07, T14: what is sent is settled at the start, however slow the answers are."""
    scheme, goal, address, login, answers, sent = row
    for split in every_split(answers + TAIL):
        done = ask(scheme, *split, goal=goal, address=address, login=login)
        assert messages(done) == sent, split
        assert socks_words.granted(done.value)
        assert done.left == TAIL, split


@pytest.mark.parametrize("row", SENT.values(), ids=SENT)
def test_each_message_waits_for_the_answer_to_the_one_before(
    row: tuple[str, Target, str | None, Login | None, bytes, list[bytes]],
) -> None:
    """And of the answer no more is taken than was asked for."""
    scheme, goal, address, login, answers, sent = row
    done = ask(scheme, answers, goal=goal, address=address, login=login)
    kinds = [type(step) for step in done.steps]
    assert kinds[: 3 * len(sent)] == [Send, Peek, Take] * len(sent)
    assert Send not in kinds[3 * len(sent) :]


@pytest.mark.parametrize(
    ("scheme", "goal", "address"),
    [("socks5", NAME, None), ("socks4", NAME, None), ("socks5h", NAME, "192.0.2.1"),
     ("socks4a", NAME, "192.0.2.1"), ("socks5", IPV4, "192.0.2.7"), ("socks4", IPV6, None),
     ("socks4", NAME, "::1")],
)  # fmt: skip
def test_no_name_is_looked_up_by_the_wrong_side(
    scheme: str, goal: Target, address: str | None
) -> None:
    """LL-07, T14: the scheme decides, and a caller that does not heed it has a bug."""
    with pytest.raises(AssertionError):
        replay(socks.ask_socks(scheme, goal, address, None))


def test_who_looks_a_name_up() -> None:
    """LL-07: as curl reads the schemes."""
    here = {(s, g.kind) for s in socks_words.SCHEMES for g in (NAME, IPV4) if resolves_here(s, g)}
    assert here == {("socks4", "name"), ("socks5", "name")}


# ---- what cannot be said ----


@pytest.mark.parametrize("size", [255, 256, 257, 300, 65536, 65536 + 10])
@pytest.mark.parametrize("character", ["a", "a.", "\N{LATIN SMALL LETTER U WITH DIAERESIS}"])
def test_no_target_is_too_long_for_its_length(size: int, character: str) -> None:
    """T14: an error, and never a name that is looked up here instead, or cut."""
    with pytest.raises(InvalidTarget):
        Target((character * size)[:size], 443)


GOOD = [
    ("socks5h", "u", "p"),
    ("socks5", "u" * 255, "p" * 255),
    ("socks5", "u:v", "\0\r\n"),  # octets like others
    ("socks5", "\N{POUND SIGN}" * 127, "\N{POUND SIGN}" * 127),
    ("socks4", "", ""),
    ("socks4a", "u" * 255, ""),
]
BAD = [
    ("socks5h", "", "s3cret", "1 to 255"),
    ("socks5h", "alice", "", "1 to 255"),
    ("socks5h", "", "", "1 to 255"),
    ("socks5", "u" * 256, "s3cret", "1 to 255"),
    ("socks5", "alice", "s3cret" * 43, "1 to 255"),
    ("socks5", "\N{POUND SIGN}" * 128, "s3cret", "1 to 255"),
    ("socks5", "alice", "s3cret\ud800", "UTF-8"),
    ("socks5", "alice\ud800", "s3cret", "UTF-8"),
    ("socks5", b"alice", "s3cret", "text"),
    ("socks5", "alice", None, "text"),
    ("socks4", "alice", "s3cret", "no passwords"),
    ("socks4a", "", "s3cret", "no passwords"),
    ("socks4", "s3cret\0", "", "NUL"),
    ("socks4", "s3cret" * 43, "", "255"),
    ("socks4a", "\N{POUND SIGN}" * 128, "", "255"),
]


@pytest.mark.parametrize(("scheme", "user", "password"), GOOD, ids=ascii)
def test_credentials_that_can_be_sent(scheme: str, user: str, password: str) -> None:
    """LL-05."""
    assert complain(scheme, who(user, password)) is None


@pytest.mark.parametrize(("scheme", "user", "password", "words"), BAD, ids=ascii)
def test_credentials_that_cannot_be_sent(scheme: str, user: Any, password: Any, words: str) -> None:
    """LL-05, T14: an error before anything is sent, and no secret in it."""
    said = complain(scheme, who(user, password))
    assert said
    assert words in said
    assert "s3cret" not in said


def test_no_credentials_are_good_credentials() -> None:
    assert [complain(scheme, None) for scheme in socks_words.SCHEMES] == [None] * 4


def test_what_is_missing_is_told_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, object] = {}
    monkeypatch.setattr("connect_tunnel.auth._prompt.find_spec", found.get)
    with pytest.raises(ImportError, match=r'SOCKS needs socksio: pip install ".*\[socks\]"'):
        complain("socks5h", None)


def test_targets_that_can_be_named() -> None:
    """LL-07: SOCKS4 knows IPv4 only."""
    for scheme in socks_words.SCHEMES:
        check(scheme, NAME)
        check(scheme, IPV4)
    for scheme in ("socks5", "socks5h"):
        check(scheme, IPV6)
    for scheme in ("socks4", "socks4a"):
        with pytest.raises(InvalidTarget, match="no way to name") as caught:
            check(scheme, IPV6)
        assert "socks5" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("scheme", "found", "chosen"),
    [
        ("socks5", ["192.0.2.1", "2001:db8::1"], "192.0.2.1"),
        ("socks5", ["2001:db8::1", "192.0.2.1"], "2001:db8::1"),  # in the order of the resolver
        ("socks5", ["fe80::1%eth0", "192.0.2.1"], "192.0.2.1"),
        ("socks4", ["2001:db8::1", "192.0.2.1", "192.0.2.2"], "192.0.2.1"),
        ("socks5", ["fe80::1%eth0"], None),
        ("socks4", ["2001:db8::1"], None),
        ("socks4", [], None),
    ],
)
def test_which_address_the_proxy_is_told(scheme: str, found: list[str], chosen: str | None) -> None:
    """LL-07."""
    addresses = [(host, 5432) for host in found]
    if chosen is not None:
        assert choose(scheme, NAME, addresses) == chosen
        return
    with pytest.raises(InvalidTarget, match="has no ") as caught:
        choose(scheme, NAME, addresses)
    assert {"socks5": "socks5h", "socks4": "socks4a"}[scheme] in (caught.value.hint or "")


# ---- grants ----

GRANTS = {
    "IPv4": b"\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34",
    "IPv6": b"\x05\x00\x00\x04" + b"\x20\x01" + b"\0" * 13 + b"\x01\x12\x34",
    "name": b"\x05\x00\x00\x03\x09localhost\x12\x34",
    "no name": b"\x05\x00\x00\x03\x00\x00\x00",
    "longest name": b"\x05\x00\x00\x03\xff" + b"\xff" * 255 + b"\x00\x00",
    "reserved": b"\x05\x00\x7f\x01\0\0\0\0\0\0",
}


@pytest.mark.parametrize("reply", GRANTS.values(), ids=GRANTS)
@pytest.mark.parametrize("tail", [b"", b"\0", TAIL, OK])
def test_grants(reply: bytes, tail: bytes) -> None:
    """LL-06: the address has the length of its type, and what follows is the target's."""
    for split in every_split(CHOSEN + reply + tail):
        done = ask("socks5h", *split)
        assert facts(done.value) == ("SOCKS5", 0, "succeeded")
        assert socks_words.granted(done.value)
        assert not socks_words.wants_login(done.value)
        assert done.left == tail, split


@pytest.mark.parametrize("tail", [b"", b"\0", TAIL, OK_4])
def test_grants_of_socks4(tail: bytes) -> None:
    """LL-07: eight octets, of which two mean something."""
    for reply in (OK_4, b"\x00\x5a\xff\xff\xff\xff\xff\xff"):
        for split in every_split(reply + tail):
            done = ask("socks4a", *split)
            assert facts(done.value) == ("SOCKS4", 90, "granted")
            assert socks_words.granted(done.value)
            assert done.left == tail, split


@pytest.mark.parametrize("kind", [0, 2, 5, 0x7F, 0xFF])
def test_a_grant_of_unknown_length(kind: int) -> None:
    """LL-06: nobody can tell where the target's bytes begin."""
    for split in every_split(CHOSEN + b"\x05\x00\x00" + bytes([kind]) + b"\0" * 6):
        with pytest.raises(ProxyMisbehaved, match=f"unknown type {kind} ") as caught:
            ask("socks5h", *split)
        assert not isinstance(caught.value, ProxyHungUp)
        assert caught.value.received.startswith(r"\x05\x00\x00")


# ---- refusals ----

REFUSALS = {
    1: "general failure",
    2: "not allowed by the ruleset",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
    9: "unassigned code",
    91: "unassigned code",
    255: "unassigned code",
}
ENDINGS = {
    "IPv4": b"\x00\x01\0\0\0\0\0\0",
    "the name that was asked for": b"\x00\x03\x0adb.example\x15\x38",  # dante
    "unknown": b"\x00\x00\0\0\0\0\0\0",
    "none": b"",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize(("code", "reason"), REFUSALS.items())
def test_refusals(code: int, reason: str, ending: bytes) -> None:
    """LL-06: the code is all there is to them, and whether more comes makes no difference."""
    for split in every_split(CHOSEN + bytes([5, code]) + ending):
        done = ask("socks5h", *split, b"")
        assert facts(done.value) == ("SOCKS5", code, reason), split
        assert not socks_words.granted(done.value)
        assert not socks_words.wants_login(done.value)


@pytest.mark.parametrize("code", [91, 92, 93])
def test_refusals_of_socks4(code: int) -> None:
    """LL-07."""
    for split in every_split(bytes([0, code]) + b"\0" * 6):
        for scheme in ("socks4", "socks4a"):
            done = ask(scheme, *split, b"")
            protocol, status, reason = facts(done.value)
            assert (protocol, status) == ("SOCKS4", code)
            assert reason
            assert not socks_words.granted(done.value)


@pytest.mark.parametrize("code", [0, 1, 5, 89, 94, 255])
def test_codes_that_socks4_does_not_have(code: int) -> None:
    """LL-07: there are four, and two octets are little to know a protocol by."""
    with pytest.raises(ProxyMisbehaved, match=f"the code {code}, which SOCKS4 does not have"):
        ask("socks4a", bytes([0, code]))


def test_no_acceptable_method() -> None:
    """LL-04: it is about who may use the proxy, and nothing more is sent."""
    for login in (None, LOGIN):
        for split in every_split(b"\x05\xff"):
            done = ask("socks5h", *split, login=login)
            assert facts(done.value) == ("SOCKS5", 407, "no acceptable method")
            assert len(messages(done)) == 1
            assert socks_words.wants_login(done.value)
            assert not socks_words.granted(done.value)


@pytest.mark.parametrize("status", [1, 2, 0x7F, 0xFF])
def test_a_wrong_password(status: int) -> None:
    """LL-05: any status but zero, and the target is not asked for."""
    for split in every_split(WANTED + bytes([1, status])):
        done = ask("socks5h", *split, b"", login=LOGIN)
        reason = f"user and password rejected with status {status}"
        assert facts(done.value) == ("SOCKS5", 407, reason)
        assert messages(done) == [GREETING_WITH_LOGIN, PASSWORD]
        assert socks_words.wants_login(done.value)
        assert done.left == b""


# ---- what is no answer ----


@pytest.mark.parametrize(("login", "method"), [
    (None, 1), (None, 2), (None, 3), (None, 0x80), (None, 0xFE), (LOGIN, 1), (LOGIN, 3),
])  # fmt: skip
def test_methods_that_were_not_offered(login: Login | None, method: int) -> None:
    """LL-04: nothing is sent for them, a password least of all."""
    for split in every_split(bytes([5, method])):
        with pytest.raises(ProxyMisbehaved, match=f"method {method}, .* not offered") as caught:
            ask("socks5h", *split, login=login)
        assert ("auth=" in (caught.value.hint or "")) is (method == 2)


# scheme, what is sent before it, what comes; what the message and the hint must name.
OTHERS = {
    "HTTP": ("socks5h", b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", "greeting", "http://"),
    "HTTP for 4": ("socks4a", b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", "request", "http://"),
    "TLS alert": ("socks5h", b"", b"\x15\x03\x01\x00\x02\x02\x46", "greeting", "https://"),
    "TLS alert for 4": ("socks4", b"", b"\x15\x03\x01\x00\x02\x02\x46", "request", "https://"),
    "TLS": ("socks5h", b"", b"\x16\x03\x03\x00\x7a\x02\x00\x00", "greeting", "https://"),
    "SSH": ("socks5", b"", b"SSH-2.0-OpenSSH_9.6\r\n", "greeting", "SSH"),
    "SMTP": ("socks5", b"", b"220 mail.test ESMTP\r\n", "greeting", "mail"),
    "SMTP no": ("socks5", b"", b"554 no\r\n", "greeting", "mail"),
    "IMAP": ("socks5", b"", b"* OK IMAP4rev1\r\n", "greeting", "IMAP"),
    "POP3": ("socks4", b"", b"+OK ready\r\n", "request", "POP3"),
    "SOCKS4": ("socks5h", b"", b"\x00\x5b\0\0\0\0\0\0", "greeting", "socks4a://"),
    "SOCKS5": ("socks4a", b"", b"\x05\xff", "request", "socks5h://"),
    "4": ("socks4a", b"", b"\x04\x5a\0\0\0\0\0\0", "request", None),  # its answers have a zero
    "1": ("socks5h", b"", b"\x01\x00", "greeting", None),
    "unknown": ("socks5h", b"", b"login: ", "greeting", None),
    "like HTTP": ("socks5h", b"", b"HELO", "greeting", None),
    "version of the login": ("socks5h", WANTED, b"\x05\x00", "user and password", None),
    "HTTP for the login": ("socks5h", WANTED, b"HTTP/1.1 400 x", "user and password", "http://"),
    "version of the reply": ("socks5h", CHOSEN, b"\x01\x00\x00\x01", "request", None),
    "HTTP for the reply": ("socks5h", CHOSEN, b"HTTP/1.1 400 x", "request", "http://"),
}


@pytest.mark.parametrize(("scheme", "before", "data", "what", "hint"), OTHERS.values(), ids=OTHERS)
def test_servers_of_another_kind(
    scheme: str, before: bytes, data: bytes, what: str, hint: str | None
) -> None:
    """LL-04: told apart by their first octets, at once, whether or not more of them comes."""
    login = LOGIN if scheme == "socks5h" else None
    for split in every_split(data):
        with pytest.raises(ProxyMisbehaved) as caught:
            ask(scheme, *filter(None, [before]), *split, login=login)
        error = caught.value
        assert not isinstance(error, ProxyHungUp)
        assert error.kind == "malformed"
        assert f"answered the {what} with something that is not SOCKS" in str(error)
        assert error.received
        assert h1.escape(data).startswith(error.received), split
        assert (hint in error.hint) if hint and error.hint else (hint is error.hint), split


@pytest.mark.parametrize("end", [b"", ProxyHungUp("reset the connection", reset=True)])
def test_a_name_that_does_not_come_whole(end: Any) -> None:
    """Of a server that ends in the middle of its own name no more is said than it said."""
    with pytest.raises(ProxyMisbehaved) as caught:
        ask("socks5h", b"HT", b"T", end)
    assert not isinstance(caught.value, ProxyHungUp)
    assert (caught.value.received, caught.value.hint) == ("HTT", None)


# ---- ends ----


def ends() -> list[tuple[str, Login | None, bytes, str, bytes]]:
    """An answer cut short: what had come before, in answer to what, and how much of that."""
    cut: list[tuple[str, Login | None, bytes, str, bytes]] = []
    before = b""
    parts = [("greeting", WANTED), ("user and password", LET_IN), ("request", GRANTS["name"])]
    for name, answer in parts:
        starts = [answer[:size] for size in range(len(answer))]
        cut += [("socks5h", LOGIN, before + start, name, start) for start in starts]
        before += answer
    starts = [OK_4[:size] for size in range(len(OK_4))]
    return cut + [("socks4a", None, start, "request", start) for start in starts]


@pytest.mark.parametrize(("scheme", "login", "data", "name", "came"), ends(), ids=ascii)
def test_the_end_in_every_place(
    scheme: str, login: Login | None, data: bytes, name: str, came: bytes
) -> None:
    """Never a success; and told by how far the proxy had come."""
    reset = ProxyHungUp("reset the connection", reset=True, errno=104)
    reset.__cause__ = cause = ConnectionResetError(104, "Connection reset by peer")
    for end, words in ((b"", "closed"), (reset, "reset")):
        for split in every_split(data):
            with pytest.raises(ProxyHungUp) as caught:
                ask(scheme, *split, end, login=login)
            error = caught.value
            where = "in the middle of its answer to" if came else "without answering"
            assert error.args == (f"{words} the connection {where} the {name}",), split
            assert error.received == h1.escape(came)
            assert bool(error.hint) is not bool(came)
            assert error.phase == ("auth" if name == "user and password" else None)
            if words == "reset":
                assert (error.reset, error.errno, error.__cause__) == (True, 104, cause)


# ---- whatever comes ----


def expected(scheme: str, data: bytes, *, login: bool) -> tuple[int, int] | None:
    """What the RFCs make of all that a proxy sends: a status, and how much belongs to it.

    Written anew from their texts, over what has come in one piece. None is an error.
    """
    if scheme.startswith("socks4"):
        if data[:1] != b"\0" or len(data) < 2 or not 90 <= data[1] <= 93:
            return None
        return None if data[1] == 90 and len(data) < 8 else (data[1], 8 if data[1] == 90 else 2)
    at = 2
    if data[:1] != b"\x05" or len(data) < at or data[1] not in ({0, 2, 255} if login else {0, 255}):
        return None
    if data[1] == 255:
        return 407, at
    if data[1] == 2:
        at = 4
        if data[2:3] != b"\x01" or len(data) < at:
            return None
        if data[3]:
            return 407, at
    reply = data[at:]
    if reply[:1] != b"\x05" or len(reply) < 2:
        return None
    if reply[1]:
        return reply[1], at + 2
    if len(reply) < 5 or reply[3] not in (1, 3, 4):
        return None
    size = {1: 10, 4: 22, 3: 7 + reply[4]}[reply[3]]
    return None if len(reply) < size else (0, at + size)


LIKELY = st.sampled_from(
    [CHOSEN, WANTED, LET_IN, OK, OK_4, *GRANTS.values(), b"\x05\xff", b"\x01\x01", b"\x05\x05",
     b"\x00\x5b", b"HTTP/1.1 ", b"\x05", b"\x00"]
)  # fmt: skip


@example("socks5h", [CHOSEN, OK], True, [2])
@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(sorted(socks_words.SCHEMES)),
    st.lists(st.one_of(LIKELY, st.binary(max_size=6)), max_size=5),
    st.booleans(),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_whatever_comes_ends_well(
    scheme: str, parts: list[bytes], known: bool, cuts: list[int]
) -> None:
    """LL-04 to LL-07: in an answer or an error of ours, and never with a byte of the target's."""
    data = b"".join(parts)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    split = [data[a:b] for a, b in itertools.pairwise(edges)]
    login = who("alice", "" if scheme.startswith("socks4") else "s3cret") if known else None
    wanted = expected(scheme, data, login=known)
    try:
        done = ask(scheme, *split, b"", login=login)
    except ProxyMisbehaved as error:
        complaint, got = str(error), None
    else:
        complaint, got = "", (done.value.status, len(data) - len(done.left))
    assert got == wanted
    assert complaint.isascii()


# ---- against socksio's own reading and writing ----

NAMES = st.from_regex(r"[a-z0-9_-]{1,20}(\.[a-z0-9_-]{1,20}){0,3}", fullmatch=True)
HOSTS = st.one_of(NAMES, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)


@settings(deadline=None)
@given(HOSTS, st.integers(1, 65535), st.none() | st.tuples(TEXTS, TEXTS), st.integers(0, 8))
def test_socks5_as_socksio_speaks_it(
    host: str, port: int, pair: tuple[str, str] | None, code: int
) -> None:
    """LL-04 to LL-06: the same octets, from an address whose type it finds out by itself."""
    goal = Target(host, port)
    theirs: Any = socksio.SOCKS5Connection()  # its annotations are not for pyright
    methods = [socksio.SOCKS5AuthMethod.NO_AUTH_REQUIRED]
    answers = [CHOSEN, b"\x05" + bytes([code]) + OK[2:]]
    if pair:
        methods.append(socksio.SOCKS5AuthMethod.USERNAME_PASSWORD)
        answers = [WANTED, LET_IN, answers[-1]]
    theirs.send(socksio.SOCKS5AuthMethodsRequest(methods))
    theirs.receive_data(answers[0])
    if pair:
        user, password = pair
        theirs.send(socksio.SOCKS5UsernamePasswordRequest(user.encode(), password.encode()))
        theirs.receive_data(answers[1])
    connect = socksio.SOCKS5Command.CONNECT
    theirs.send(socksio.SOCKS5CommandRequest.from_address(connect, (goal.host, port)))
    reply = theirs.receive_data(answers[-1])
    done = ask("socks5h", *answers, goal=goal, login=who(*pair) if pair else None)
    assert done.sent == theirs.data_to_send()
    assert isinstance(reply, socksio.SOCKS5Reply)
    assert bytes([done.value.status]) == reply.reply_code.value


@settings(deadline=None)
@given(
    st.one_of(NAMES, st.ip_addresses(v=4).map(str)), st.integers(1, 65535),
    TEXTS, st.integers(90, 93),
)  # fmt: skip
def test_socks4_as_socksio_speaks_it(host: str, port: int, user: str, code: int) -> None:
    """LL-07."""
    goal = Target(host, port)
    theirs = socksio.SOCKS4Connection(user.encode())
    kind = socksio.SOCKS4ARequest if goal.kind == "name" else socksio.SOCKS4Request
    theirs.send(kind.from_address(socksio.SOCKS4Command.CONNECT, (goal.host, port)))
    reply = theirs.receive_data(bytes([0, code]) + OK_4[2:])
    done = ask("socks4a", bytes([0, code]) + OK_4[2:], goal=goal, login=who(user, ""))
    assert done.sent == theirs.data_to_send()
    assert bytes([done.value.status]) == reply.reply_code.value


# ---- words ----

ALICE = "alice\x1b[31m"
EXPLAINED: dict[str, tuple[ProxyResponse, Target, str, str | None, str, str]] = {
    "refused": (
        ProxyResponse(5, "connection refused", "SOCKS5"), NAME, "socks5h", None,
        "refused the tunnel to db.example:5432 (SOCKS5 reply 5: connection refused)",
        "looked up by the proxy",
    ),
    "microsocks, no such name": (
        ProxyResponse(1, "general failure", "SOCKS5"), NAME, "socks5h", None,
        "refused the tunnel to db.example:5432 (SOCKS5 reply 1: general failure)",
        "looked up by the proxy",
    ),
    "looked up here": (
        ProxyResponse(4, "host unreachable", "SOCKS5"), NAME, "socks5", None,
        "refused the tunnel to db.example:5432 (SOCKS5 reply 4: host unreachable)",
        "on this machine; with socks5h:// the proxy does it",
    ),
    "an address": (
        ProxyResponse(3, "network unreachable", "SOCKS5"), IPV6, "socks5", None,
        "refused the tunnel to [2001:db8::7]:65535 (SOCKS5 reply 3: network unreachable)",
        "dials the target itself",
    ),
    "policy": (
        ProxyResponse(2, "not allowed by the ruleset", "SOCKS5"), NAME, "socks5", "alice",
        "refused the tunnel to db.example:5432 (SOCKS5 reply 2: not allowed by the ruleset)",
        "the proxy's decision",
    ),
    "command": (
        ProxyResponse(7, "command not supported", "SOCKS5"), IPV4, "socks5", None,
        "refused the tunnel to 192.0.2.7:443 (SOCKS5 reply 7: command not supported)",
        "no connections",
    ),
    "no names": (
        ProxyResponse(8, "address type not supported", "SOCKS5"), NAME, "socks5h", None,
        "refused the tunnel to db.example:5432 (SOCKS5 reply 8: address type not supported)",
        "may not look names up",
    ),
    "no IPv6": (
        ProxyResponse(8, "address type not supported", "SOCKS5"), NAME, "socks5", None,
        "refused the tunnel to db.example:5432 (SOCKS5 reply 8: address type not supported)",
        "may not know IPv6",
    ),
    "4": (
        ProxyResponse(91, "rejected or failed", "SOCKS4"), NAME, "socks4", None,
        "refused the tunnel to db.example:5432 (SOCKS4 reply 91: rejected or failed)",
        "with socks4a:// the proxy does it",
    ),
    "4a": (
        ProxyResponse(91, "rejected or failed", "SOCKS4"), NAME, "socks4a", None,
        "refused the tunnel to db.example:5432 (SOCKS4 reply 91: rejected or failed)",
        "looked up by the proxy",
    ),
    "identd": (
        ProxyResponse(93, "x", "SOCKS4"), IPV4, "socks4a", "alice",
        "refused the tunnel to 192.0.2.7:443 (SOCKS4 reply 93: x)",
        "identd",
    ),
    "no login": (
        socks_words.unauthenticated(socks_words.NO_METHOD), NAME, "socks5h", None,
        "wants authentication for the tunnel to db.example:5432 (SOCKS5: no acceptable method)",
        "no credentials were given; pass auth=",
    ),
    "no such login": (
        socks_words.unauthenticated(socks_words.NO_METHOD), IPV6, "socks5h", ALICE,
        "wants something else than a user and a password for the tunnel to [2001:db8::7]:65535",
        "GSSAPI",
    ),
    "wrong login": (
        socks_words.unauthenticated("user and password rejected with status 1"),
        IPV4, "socks5h", ALICE,
        r"rejected the credentials of 'alice\x1b[31m' for the tunnel to 192.0.2.7:443 (SOCKS5: ",
        "check the user and the password",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", EXPLAINED.values(), ids=EXPLAINED)
def test_explanations(
    row: tuple[ProxyResponse, Target, str, str | None, str, str],
) -> None:
    response, goal, scheme, user, message, hint = row
    said, advice = explain(response, goal, scheme=scheme, user=user)
    assert said.startswith(message)
    assert response.reason in said
    assert advice
    assert hint in advice
    assert len(advice) <= 150
    assert f"{said}{advice}".isascii()


# ---- secrets ----


@pytest.mark.parametrize(
    "answers",
    [(WANTED, b"HTTP/1.1 400 x"), (WANTED, b""), (WANTED, LET_IN, b""), (b"\x05\x01",),
     (WANTED, LET_IN, b"\x05\x00\x00\x02\x00\x00")],
    ids=["not SOCKS", "end", "end later", "method", "address"],
)  # fmt: skip
def test_nothing_that_shows_an_error_shows_the_password(answers: tuple[bytes, ...]) -> None:
    with pytest.raises(ProxyMisbehaved) as caught:
        ask("socks5h", *answers, login=LOGIN)
    error = caught.value
    trace = "".join(TracebackException.from_exception(error, capture_locals=True).format())
    shown = f"{error} {error!r} {vars(error)!r} {trace}"
    assert "in _ask_5" in shown
    assert "s3cret" not in shown
    assert b"s3cret" not in pickle.dumps(error)
