"""Walking a way: chains, challenges, and what each hop is told, as stories (see `stories.py`)."""

from __future__ import annotations

import ssl
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import (
    InvalidProxy,
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyResponse,
    ProxyTLSError,
    ProxyUnreachable,
    Target,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel._ask import Refused
from connect_tunnel._steps import (
    Dial,
    Enter,
    HangUp,
    Join,
    Part,
    Peek,
    ReadHead,
    Resolve,
    Send,
    SendHead,
    StartTLS,
    Take,
)
from connect_tunnel._walk import MAX_ROUNDS, PATIENCE, Opened, Walk
from connect_tunnel.auth import Auth, Basic, Bearer, Digest
from connect_tunnel.protocols.h1_body import MAX_BODY_SECONDS
from connect_tunnel.protocols.h2 import SILENCE
from connect_tunnel.protocols.h2_stream import Loss
from connect_tunnel.testing import NextConnection, every_split, replay
from tests.core.stories import (
    ADDRESSES,
    ANSWERED,
    ASK,
    ASKED,
    LATE,
    NO,
    OK,
    REACHED,
    RESET,
    TAIL,
    TARGET,
    WANTS_BASIC,
    attempt,
    lazy,
    opened,
    requested,
    run,
    sending,
    story,
    way,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from connect_tunnel._route import Hops
    from connect_tunnel._steps import Address, Program
    from connect_tunnel.auth import Exchange, Flow
    from connect_tunnel.testing import Replay
    from tests.core.stories import Incoming

T = TypeVar("T")

# ---- one hop ----


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        ("http://proxy.test", ["look up proxy.test:80", "dial"]),
        ("http://proxy.test:3128", ["look up proxy.test:3128", "dial"]),
        ("http://[2001:db8::1]:3128", ["dial [('2001:db8::1', 3128)]"]),
        ("http://[fe80::1%eth0]:3128", ["dial [('fe80::1%eth0', 3128)]"]),
        ("https://proxy.test", ["look up proxy.test:443", "dial", "TLS with proxy.test"]),
        ("https://proxy.test.", ["look up proxy.test.:443", "dial", "TLS with proxy.test"]),
        ("https://[fe80::1%eth0]", ["dial [('fe80::1%eth0', 443)]", "TLS with fe80::1"]),
        ("https://192.0.2.1", ["dial [('192.0.2.1', 443)]", "TLS with 192.0.2.1"]),
        ("http://localhost", ["dial [('127.0.0.1', 80), ('::1', 80)]"]),
        ("https://a.localhost",
         ["dial [('127.0.0.1', 443), ('::1', 443)]", "TLS with a.localhost"]),
        ("http://localhost.test", ["look up localhost.test:80", "dial"]),
    ],
)  # fmt: skip
def test_one_hop(proxy: str, told: list[str]) -> None:
    """H1-13, H1-16, NM-06, NM-10: one request, then not a byte but of the answer's head.

    The target is not looked up, and a zone goes nowhere but to the dialling of the proxy.
    """
    for split in every_split(OK + TAIL):
        done = run(way(proxy), *split)
        assert [response.status for response in opened(done).responses] == [200]
        assert story(done) == [*told, "ask for imap.example.com:993"]
        assert done.left == TAIL, split


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 Connection established\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nProxy-Connection: close\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 299 x\r\n\r\n",
    ],
    ids=["H1-34 1.0", "H1-14 204", "H1-15 length", "H1-15 lengths", "H1-15 chunked",
         "H1-33 close", "H1-18 interim"],
)  # fmt: skip
def test_any_2xx_opens_the_tunnel(head: bytes) -> None:
    for split in every_split(head + TAIL):
        done = run(way("http://proxy.test:3128"), *split)
        opened(done)
        assert done.left == TAIL, split


def test_the_parts_of_an_opening() -> None:
    """What errors are labelled with, and whose clocks run."""
    hops = way("http://one.test:1", "https://two.test:2")
    done = run(hops, OK, OK)
    entered = [
        (step.phase, step.hop, step.seconds) for step in done.steps if isinstance(step, Part)
    ]
    assert entered == [
        ("resolve", hops[0], None),
        ("tcp", hops[0], None),
        ("connect", hops[0], None),
        ("proxy_tls", hops[1], None),
        ("connect", hops[1], None),
    ]


def test_the_parts_of_a_challenge() -> None:
    """H1-38: its body is given little time, and what follows has its own clock."""
    hops = lazy()
    done = run(hops, ASK, b"", NextConnection(), OK)
    entered = [(step.phase, step.seconds) for step in done.steps if isinstance(step, Part)]
    dialled = [("resolve", None), ("tcp", None)]
    asked = [("auth", None), ("connect", None)]
    asked_again = [("auth", None), ("auth", MAX_BODY_SECONDS), ("connect", None)]
    assert entered == [*dialled, *asked, *asked_again, *dialled, ("connect", None)]


def test_patience_is_for_dialling_the_first_hop() -> None:
    """EN-14: what comes behind that has the time of any opening."""
    hops = way("http://one.test:1", "http://two.test:2")
    done = replay(Walk(hops, attempts=3).to(TARGET), OK, OK, results={Resolve: ADDRESSES})
    entered = [(s.phase, s.seconds, s.attempts) for s in done.steps if isinstance(s, Part)]
    dialling = [("resolve", PATIENCE, 3), ("tcp", PATIENCE, 3)]
    assert entered == [*dialling, ("connect", None, 1), ("connect", None, 1)]


@pytest.mark.parametrize(
    ("results", "dialled"),
    [
        ({Resolve: ProxyUnreachable("no such name")}, False),
        ({Dial: ProxyUnreachable("refused")}, False),
        ({StartTLS: ProxyTLSError("not trusted")}, True),
        ({Send: RESET}, True),
    ],
    ids=["unknown", "refused", "TLS", "reset"],
)
def test_a_walk_knows_whether_its_first_hop_was_reached(
    results: dict[type[Any], object], *, dialled: bool
) -> None:
    walk = Walk(way("https://one.test:1"))
    with pytest.raises(TunnelError):
        replay(walk.to(TARGET), results={Resolve: ADDRESSES, **results})
    assert walk.dialled is dialled


def test_tls_is_as_the_proxy_says() -> None:
    """TL-01, TL-04: the context that was given, as it is; and the name of the proxy."""
    context = ssl.create_default_context()
    proxy = Proxy("https://proxy.test", ssl_context=context, require_close_notify=False)
    steps = [step for step in run(way(proxy), OK).steps if type(step) is StartTLS]
    assert [(s.context, s.server_hostname, s.require_close_notify) for s in steps] == [
        (context, "proxy.test", False)
    ]


@pytest.mark.parametrize("chosen", ["h2", "http/1.0", ""])
def test_a_protocol_that_is_not_spoken_here(chosen: str) -> None:
    """TL-04: a context of the caller's may offer what it likes; we cannot speak it."""
    done = run(way("https://proxy.test"), StartTLS=chosen)
    assert isinstance(done.value, InvalidProxy)
    assert repr(chosen) in str(done.value)
    assert "set_alpn_protocols" in str(done.value.hint)
    assert done.sent == b""


def test_http_1_1_may_be_chosen() -> None:
    opened(run(way("https://proxy.test"), OK, StartTLS="http/1.1"))


@pytest.mark.parametrize(
    ("step", "error", "told"),
    [
        ("Resolve", ProxyUnreachable("no such name"), 1),
        ("Dial", ProxyUnreachable("refused"), 2),
        ("Dial", TunnelTimeout("too slow"), 2),
        ("StartTLS", ProxyTLSError("not trusted"), 3),
        ("Send", ProxyHungUp("reset", reset=True), 4),
    ],
)
def test_what_a_step_fails_with_ends_it(step: str, error: TunnelError, told: int) -> None:
    """TL-01, T7: and nothing is sent to a proxy that is not what it should be."""
    results: dict[str, Any] = {step: error}
    done = run(way("https://proxy.test"), **results)
    assert done.value is error
    assert len(story(done)) == told


# ---- through a Unix socket, and behind a load balancer ----

PATH = "/run/proxy.sock"
ENDS = ("192.0.2.9", 50000), ("192.0.2.1", 3128)
TOLD_1 = sending(b"PROXY TCP4 192.0.2.9 192.0.2.1 50000 3128\r\n")
UNKNOWN_1 = sending(b"PROXY UNKNOWN\r\n")
UNKNOWN_2 = sending(b"\r\n\r\n\x00\r\nQUIT\n \0\0\0")
FIRST: dict[str, tuple[Proxy, object, list[str]]] = {
    "a Unix socket": (Proxy(f"unix://{PATH}"), None, [f"dial ['{PATH}']"]),
    "a Unix socket, and TLS": (
        Proxy("https://proxy.test", unix_path=PATH), None,
        [f"dial ['{PATH}']", "TLS with proxy.test"],
    ),
    "version 1": (Proxy("http://proxy.test:3128", proxy_protocol=1), ENDS, [*REACHED, TOLD_1]),
    "version 1, and TLS": (
        Proxy("https://proxy.test:3128", proxy_protocol=1), ENDS,
        [*REACHED, TOLD_1, "TLS with proxy.test"],
    ),
    "version 1 on a Unix socket": (
        Proxy(f"unix://{PATH}", proxy_protocol=1), None, [f"dial ['{PATH}']", UNKNOWN_1],
    ),
    "version 2 on a Unix socket": (
        Proxy(f"unix://{PATH}", proxy_protocol=2), None, [f"dial ['{PATH}']", UNKNOWN_2],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("proxy", "ends", "told"), FIRST.values(), ids=FIRST)
def test_the_first_hop_may_be_dialled_in_other_ways(
    proxy: Proxy, ends: object, told: list[str]
) -> None:
    """LL-09: a socket has no name to be looked up; and the load balancer is spoken to first."""
    for split in every_split(OK + TAIL):
        done = run(way(proxy), *split, Ends=ends)
        opened(done)
        assert story(done) == [*told, ASKED]
        assert done.left == TAIL


@pytest.mark.parametrize("version", [1, 2])
def test_no_answer_to_the_proxy_protocol_is_waited_for(version: Any) -> None:
    done = run(way(Proxy("http://proxy.test:3128", proxy_protocol=version)), OK, Ends=ENDS)
    assert [step.more for step in done.steps if isinstance(step, Send)] == [True, False]


def test_a_new_connection_begins_like_the_first() -> None:
    """H1-39: when the way is walked again."""
    proxy = Proxy(
        "http://proxy.test:3128", proxy_protocol=1, auth=Basic("u", "p", preemptive=False)
    )
    done = run(way(proxy), WANTS_BASIC + b"\r\n", NextConnection(), OK, Ends=ENDS)
    reached = [*REACHED, TOLD_1]
    assert story(done) == [*reached, ASKED, "hang up", *reached, ANSWERED]


def test_the_parts_of_a_first_hop_without_a_name() -> None:
    hops = way(f"unix://{PATH}")
    entered = [(step.phase, step.hop) for step in run(hops, OK).steps if isinstance(step, Part)]
    assert entered == [("tcp", hops[0]), ("connect", hops[0])]


# ---- SOCKS ----

CHOSEN = b"\x05\x00"
GRANTED = b"\x05\x00\x00\x01\0\0\0\0\0\0"
GRANTED_4 = b"\x00\x5a\0\0\0\0\0\0"
SOCKS_REACHED = ["look up proxy.test:1080", "dial"]
GREETING = sending(b"\x05\x01\x00")


def by_name(host: str, port: int) -> str:
    """What SOCKS5 is asked for."""
    name = bytes([len(host)]) + host.encode()
    return sending(b"\x05\x01\x00\x03" + name + port.to_bytes(2, "big"))


BY_NAME = by_name("imap.example.com", 993)
BY_ADDRESS = sending(b"\x05\x01\x00\x01\xc0\x00\x02\x01\x03\xe1")
LOOKED_UP = f"look up {TARGET}"

# The URL of a proxy, what it answers, and the story.
SOCKS: dict[str, tuple[str, bytes, list[str]]] = {
    "socks5h": ("socks5h://proxy.test", CHOSEN + GRANTED, [GREETING, BY_NAME]),
    "socks5": ("socks5://proxy.test", CHOSEN + GRANTED, [LOOKED_UP, GREETING, BY_ADDRESS]),
    "socks5h with a login": (
        "socks5h://u:p@proxy.test", b"\x05\x02\x01\x00" + GRANTED,
        [sending(b"\x05\x02\x00\x02"), sending(b"\x01\x01u\x01p"), BY_NAME],
    ),
    "socks4a": (
        "socks4a://proxy.test", GRANTED_4,
        [sending(b"\x04\x01\x03\xe1\x00\x00\x00\xff\x00imap.example.com\x00")],
    ),
    "socks4": (
        "socks4://u@proxy.test", GRANTED_4,
        [LOOKED_UP, sending(b"\x04\x01\x03\xe1\xc0\x00\x02\x01u\x00")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("url", "answers", "told"), SOCKS.values(), ids=SOCKS)
def test_socks(url: str, answers: bytes, told: list[str]) -> None:
    """LL-06, LL-07, NM-10, T14: the scheme says who looks the name up, and nothing changes it."""
    for split in every_split(answers + TAIL):
        done = run(way(url), *split)
        assert [response.http_version[:5] for response in opened(done).responses] == ["SOCKS"]
        assert story(done) == [*SOCKS_REACHED, *told], split
        assert done.left == TAIL


def test_the_parts_of_socks() -> None:
    hops = way("socks5://proxy.test")
    steps = run(hops, CHOSEN + GRANTED).steps
    entered = [(step.phase, step.hop) for step in steps if isinstance(step, Part)]
    hop = hops[0]
    # The target's name is no matter of the proxy's.
    assert entered == [("resolve", hop), ("tcp", hop), ("resolve", None), ("connect", hop)]


@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
def test_a_target_that_socks4_cannot_name(scheme: str) -> None:
    """LL-07: it is told so, and asked for nothing."""
    done = run(way(f"{scheme}://proxy.test"), target=Target("2001:db8::1", 993))
    assert isinstance(done.value, InvalidTarget)
    assert done.sent == b""


UNKNOWN_HERE = OSError(-2, "Name or service not known")


def unknown_here() -> ProxyUnreachable:
    """As the driver says it, of whatever it was to look up."""
    error = ProxyUnreachable("has a name that cannot be looked up: Name or service not known")
    error.__cause__ = UNKNOWN_HERE
    return error


LOCAL = Proxy("http://proxy.test:3128", resolve="local")


@pytest.mark.parametrize(
    "via", ["socks5://proxy.test", "socks4://proxy.test", LOCAL], ids=["socks5", "socks4", "local"]
)
def test_a_name_that_is_not_known_here(via: Proxy | str) -> None:
    """LL-07, T14: it is the target's, not the proxy's; and the proxy is not asked for it."""
    done = run(way(via), Resolve=iter([ADDRESSES, unknown_here()]))
    assert isinstance(done.value, InvalidTarget)
    said = "needs 'imap.example.com' to be looked up on this machine, which fails: Name or service"
    assert said in str(done.value)
    assert done.value.__cause__ is UNKNOWN_HERE
    assert done.sent == b""


@pytest.mark.parametrize("step", ["Resolve", "Dial"])
def test_a_socks_proxy_that_is_not_there(step: str) -> None:
    results: dict[str, Any] = {step: ProxyUnreachable("not there")}
    done = run(way("socks5h://proxy.test"), **results)
    assert done.value is results[step]
    assert done.sent == b""


# ---- names that are looked up here, as it was asked ----

V4, V6 = ("192.0.2.7", 993), ("2001:db8::7", 993)
LINK_LOCAL = ("fe80::7%eth0", 993)


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        ([V4, V6], "ask for 192.0.2.7:993"),
        ([V6, V4], "ask for [2001:db8::7]:993"),
        ([LINK_LOCAL, V4], "ask for 192.0.2.7:993"),
    ],
    ids=["the first", "of either family", "NM-06 that means something there"],
)
def test_resolve_local(found: list[Address], asked: str) -> None:
    """NM-10: the proxy is asked for an address, in the order of the resolver (LL-02)."""
    done = run(way(LOCAL), OK + TAIL, Resolve=iter([ADDRESSES, found]))
    opened(done)
    assert story(done) == [*REACHED, f"look up {TARGET}", asked]
    assert done.left == TAIL


def test_resolve_local_and_no_address_that_can_be_told() -> None:
    """NM-06: a zone means nothing elsewhere."""
    done = run(way(LOCAL), Resolve=iter([ADDRESSES, [LINK_LOCAL]]))
    assert isinstance(done.value, InvalidTarget)
    assert "no address that a proxy can be told" in str(done.value)
    assert done.sent == b""


@pytest.mark.parametrize("target", [Target("192.0.2.7", 993), Target("2001:db8::7", 993)], ids=str)
def test_resolve_local_of_an_address(target: Target) -> None:
    done = run(way(LOCAL), OK, target=target)
    assert story(done) == [*REACHED, f"ask for {target}"]


def test_resolve_local_of_this_machine() -> None:
    """RFC 6761, 6.3: no resolver is asked for it."""
    done = run(way(LOCAL), OK, target=Target("localhost", 993))
    assert story(done) == [*REACHED, "ask for 127.0.0.1:993"]


def test_resolve_local_in_a_chain() -> None:
    """The next proxy is asked for by address, and proves the name that it was given with."""
    second = Proxy("https://two.test:2")
    done = run(way(LOCAL, second), OK, OK, Resolve=iter([ADDRESSES, [("192.0.2.2", 2)]]))
    assert story(done) == [
        *REACHED, "look up two.test:2", "ask for 192.0.2.2:2", "TLS with two.test", ASKED,
    ]  # fmt: skip


def test_what_is_made_for_a_target_is_made_for_what_the_proxy_is_asked() -> None:
    seen: list[str] = []

    def make(target: Target) -> dict[str, str]:
        seen.append(str(target))
        return {}

    proxy = Proxy("http://proxy.test:3128", resolve="local", headers=make)
    opened(run(way(proxy), OK, Resolve=iter([ADDRESSES, [V4]])))
    assert seen == ["192.0.2.7:993"]


# ---- chains ----

CHAINS: dict[str, tuple[list[Proxy | str], list[str]]] = {
    "two": (
        ["http://one.test:1", "http://two.test:2"],
        ["look up one.test:1", "dial", "ask for two.test:2", "ask for imap.example.com:993"],
    ),
    "two, default ports": (
        ["http://one.test", "http://two.test"],
        ["look up one.test:80", "dial", "ask for two.test:80", "ask for imap.example.com:993"],
    ),
    "TLS in TLS": (
        ["https://one.test", "https://two.test"],
        [
            "look up one.test:443", "dial", "TLS with one.test", "ask for two.test:443",
            "TLS with two.test", "ask for imap.example.com:993",
        ],
    ),
    "three, TLS in the middle": (
        ["http://one.test:1", "https://two.test:2", "http://[2001:db8::3]:3"],
        [
            "look up one.test:1", "dial", "ask for two.test:2",
            "TLS with two.test", "ask for [2001:db8::3]:3", "ask for imap.example.com:993",
        ],
    ),
    "three, each with credentials": (
        ["http://a:1@one.test:1", "http://two.test:2", "https://c:3@three.test:3"],
        [
            "look up one.test:1", "dial", "ask for two.test:2 as Basic YTox",
            "ask for three.test:3",
            "TLS with three.test", "ask for imap.example.com:993 as Basic Yzoz",
        ],
    ),
    "SOCKS, TLS, plain": (
        ["socks5h://one.test", "https://two.test:2", "http://three.test:3"],
        [
            "look up one.test:1080", "dial", GREETING, by_name("two.test", 2),
            "TLS with two.test", "ask for three.test:3", "ask for imap.example.com:993",
        ],
    ),
    "plain, SOCKS by address": (
        ["http://one.test:1", "socks5://two.test:2"],
        [
            "look up one.test:1", "dial", "ask for two.test:2",
            LOOKED_UP, GREETING, BY_ADDRESS,
        ],
    ),
    "the same one twice": (
        ["http://one.test:1", "http://one.test:1"],
        ["look up one.test:1", "dial", "ask for one.test:1", "ask for imap.example.com:993"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("proxies", "told"), CHAINS.values(), ids=CHAINS)
def test_chains(proxies: list[Proxy | str], told: list[str]) -> None:
    """LL-08, AU-06: each hop is asked for the next one alone, with its own credentials."""
    answers = [
        CHOSEN + GRANTED if str(proxy).startswith("socks") else b"HTTP/1.1 20%d OK\r\n\r\n" % number
        for number, proxy in enumerate(proxies)
    ]
    for split in every_split(answers[-1] + TAIL):
        done = run(way(*proxies), *answers[:-1], *split)
        assert story(done) == told
        assert done.left == TAIL
        statuses = [response.status for response in opened(done).responses]
        assert statuses == [
            0 if str(proxy).startswith("socks") else 200 + number
            for number, proxy in enumerate(proxies)
        ]


def test_bytes_behind_the_head_of_an_earlier_hop_are_the_next_hops() -> None:
    """H1-16: whoever is asked through it is its target, and early bytes are not lost there."""
    done = run(way("http://one.test:1", "http://two.test:2"), OK + OK + TAIL)
    opened(done)
    assert done.left == TAIL


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_hop_that_refuses(at: int) -> None:
    """LL-08: the way ends there; the answer is that hop's, on what *it* was asked for."""
    hops = way("http://one.test:1", "https://two.test:2", "http://three.test:3")
    goals = ["two.test:2", "three.test:3", "imap.example.com:993"]
    no = b"HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nsorry!"
    done = run(hops, *[OK] * at, no)
    error = done.value
    assert isinstance(error, TunnelRefused)
    assert error.response.body == b"sorry!"
    assert f"the tunnel to {goals[at]} (403 No)" in str(error)
    assert story(done)[-2:] == [f"ask for {goals[at]}", "hang up"]
    labels = [step.hop for step in done.steps if isinstance(step, Part)]
    assert labels[-1] is hops[at]


def test_a_socks_hop_that_refuses() -> None:
    """LL-06, LL-08: with a code of its own, and nothing behind it that would be waited for."""
    hops = way("http://one.test:1", "socks5h://two.test:2", "http://three.test:3")
    done = run(hops, OK, CHOSEN + b"\x05\x05")
    error = done.value
    assert isinstance(error, TunnelRefused)
    assert "the tunnel to three.test:3 (SOCKS5 reply 5: connection refused)" in str(error)
    assert story(done)[-2:] == [by_name("three.test", 3), "hang up"]
    labels = [step.hop for step in done.steps if isinstance(step, Part)]
    assert labels[-1] is hops[1]


@pytest.mark.parametrize(
    ("answers", "kind", "told"),
    [
        ([OK, b""], ProxyHungUp, 4),
        ([OK, RESET], ProxyHungUp, 4),
        ([OK, b"SSH-2.0-x\r\n"], ProxyMisbehaved, 4),
        ([b""], ProxyHungUp, 3),
    ],
    ids=["second closes", "second resets", "second is no proxy", "first closes"],
)
def test_a_hop_that_is_no_use(answers: list[Incoming], kind: type[TunnelError], told: int) -> None:
    """H1-44: nothing is asked again, as it cannot be known what became of it."""
    done = run(way("http://one.test:1", "http://two.test:2"), *answers)
    assert type(done.value) is kind
    assert len(story(done)) == told


# ---- challenges: where they are answered ----

SAME = [*REACHED, ASKED, ANSWERED]
ANEW = [*REACHED, ASKED, "hang up", *REACHED, ANSWERED]
BOTH = [*REACHED, ASKED, ANSWERED, "hang up", *REACHED, ANSWERED]  # tried, and then anew


# A 407 with its body, after which the connection lasts.
LASTING = {
    "H1-39 length": ASK,
    "H1-39 no body": WANTS_BASIC + b"Content-Length: 0\r\n\r\n",
    "H1-39 chunked": WANTS_BASIC
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nA: b\r\n\r\n",
    "H1-34 1.0 that keeps": b"HTTP/1.0 407 No\r\nProxy-Authenticate: basic\r\n"
    b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\nno",
}


@pytest.mark.parametrize("no", LASTING.values(), ids=LASTING)
def test_a_challenge_is_answered_on_its_connection(no: bytes) -> None:
    """H1-39: once its body is read, under every split of it."""
    for split in every_split(no):
        done = run(lazy(), *split, OK + TAIL)
        assert story(done) == SAME, split
        assert [response.status for response in opened(done).responses] == [200]
        assert done.left == TAIL


# A 407 after which the connection is not to be used, or turns out to be of no use.
ENDING: dict[str, tuple[list[Incoming], list[str]]] = {
    "H1-39 close": ([WANTS_BASIC + b"Connection: close\r\nContent-Length: 2\r\n\r\nno"], ANEW),
    "H1-39 close, old name": (
        [WANTS_BASIC + b"Proxy-Connection: close\r\nContent-Length: 2\r\n\r\nno"], ANEW,
    ),
    "H1-34 1.0": (
        [b"HTTP/1.0 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno"], ANEW,
    ),
    "H1-39 no length": ([WANTS_BASIC + b"\r\nno"], ANEW),
    "H1-39 no length and the end": ([WANTS_BASIC + b"\r\nno", b""], ANEW),
    "H1-35 two lengths": (
        [WANTS_BASIC + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nno"], ANEW,
    ),
    "H1-35 chunked and length": (
        [WANTS_BASIC + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], ANEW,
    ),
    "H1-37 cut short": ([WANTS_BASIC + b"Content-Length: 9\r\n\r\nno", b""], ANEW),
    "H1-37 chunked, cut short": (
        [WANTS_BASIC + b"Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n", b""], ANEW,
    ),
    "H1-37 reset in the body": ([WANTS_BASIC + b"Content-Length: 9\r\n\r\nno", RESET], ANEW),
    "H1-38 too slow": ([WANTS_BASIC + b"Content-Length: 9\r\n\r\nno", LATE], ANEW),
    "H1-38 too long": (
        [WANTS_BASIC + b"Content-Length: 99999\r\n\r\n" + b"x" * 70000], ANEW,
    ),
    "H1-41 an answer nobody asked for": ([ASK + OK], ANEW),
    "H1-41 one more byte": ([ASK + b"\n"], ANEW),
    "H1-41 after no body": ([WANTS_BASIC + b"Content-Length: 0\r\n\r\n" + OK], ANEW),
    "H1-41 after chunks": (
        [WANTS_BASIC + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + OK], ANEW,
    ),
    "H1-40 closes in silence": ([ASK, b""], BOTH),
    "H1-40 closes with its answer": ([WANTS_BASIC + b"Content-Length: 0\r\n\r\n", b""], BOTH),
    "H1-40 resets": ([ASK, RESET], BOTH),
    "H1-40 calls the next request bad, as nghttpx does": (
        [ASK, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"], BOTH,
    ),
    "H1-40 says farewell to who was silent": (
        [ASK, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"], BOTH,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("coming", "told"), ENDING.values(), ids=ENDING)
def test_a_challenge_is_answered_on_a_new_connection(
    coming: list[Incoming], told: list[str]
) -> None:
    done = run(lazy(), *coming, NextConnection(), OK + TAIL)
    assert story(done) == told
    assert [response.status for response in opened(done).responses] == [200]
    assert done.left == TAIL


def test_a_retry_that_cannot_be_sent() -> None:
    """H1-40: EPIPE or a reset where the second request goes out."""
    results = iter([None, RESET, None])
    done = run(lazy(), ASK, NextConnection(), OK, Send=results)
    assert story(done) == BOTH
    opened(done)


@pytest.mark.parametrize("fields", [{"Connection": "close"}, {"connection": "x, Close"}])
def test_who_says_close_asks_no_more_there(fields: dict[str, str]) -> None:
    """H1-09: nor waits for the rest of the answer."""
    done = run(lazy(headers=fields), ASK[:-2], NextConnection(), OK)
    assert story(done) == ANEW


# What comes of the second request, where that is the end of it.
FINAL: dict[str, tuple[list[Incoming], list[str], type[TunnelError], int | None]] = {
    "rejected": ([ASK, ASK], SAME, ProxyAuthenticationRequired, 407),
    "refused": (
        [ASK, b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"], SAME, TunnelRefused, 403,
    ),
    "H1-44 dies in its answer": ([ASK, b"HTTP/1.1 2", b""], SAME, ProxyHungUp, None),
    "H1-44 resets in its answer": (
        [ASK, b"HTTP/1.1 2", ProxyHungUp("reset", reset=True)], SAME, ProxyHungUp, None,
    ),
    "H1-44 dies after an interim answer": (
        [ASK, b"HTTP/1.1 103 Early Hints\r\n\r\n", b""], SAME, ProxyHungUp, None,
    ),
    "is no answer": ([ASK, b"hello\r\n\r\n"], SAME, ProxyMisbehaved, None),
    "is late": ([ASK, TunnelTimeout("too slow")], SAME, TunnelTimeout, None),
    "H1-44 closes twice": ([ASK, b"", NextConnection(), b""], BOTH, ProxyHungUp, None),
    "closes and rejects": ([ASK, b"", NextConnection(), ASK], BOTH,
                           ProxyAuthenticationRequired, 407),
    "is bad on a new connection, too": (
        [ASK, b"", NextConnection(), b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"],
        BOTH, TunnelRefused, 400,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("coming", "told", "kind", "status"), FINAL.values(), ids=FINAL)
def test_a_retry_that_fails(
    coming: list[Incoming], told: list[str], kind: type[TunnelError], status: int | None
) -> None:
    """H1-44, AU-18: never a retry of a retry, nor the same credentials twice."""
    done = run(lazy(), *coming)
    error = done.value
    assert type(error) is kind
    assert story(done) == (told if status is None else [*told, "hang up"])
    if isinstance(error, TunnelRefused):
        assert error.response.status == status


def test_a_first_request_that_fails_is_not_sent_again() -> None:
    """H1-44: before a challenge there is no reason to think that nothing was done."""
    for end in (b"", RESET):
        done = run(lazy(), end)
        assert isinstance(done.value, ProxyHungUp)
        assert story(done) == [*REACHED, ASKED]


# ---- challenges: which are answered ----


class Guessing(Auth):
    """One that has another answer to every challenge, and notes what comes of each."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def flow(self, exchange: Exchange) -> Flow:
        for number in count(1):
            response: ProxyResponse = yield f"Guess {number}"
            assert response is exchange.response
            self.told.append(response.status)


def guessing() -> tuple[Guessing, Hops]:
    auth = Guessing()
    return auth, way(Proxy("http://proxy.test:3128", auth=auth))


def test_rounds_are_bounded() -> None:
    """AU-01, AU-18: an endless 407 ends, with what it offered last."""
    auth, hops = guessing()
    done = run(hops, *[ASK] * 50)
    assert isinstance(done.value, ProxyAuthenticationRequired)
    assert [challenge.realm for challenge in done.value.challenges] == ["x"]
    guesses = [f"{ASKED} as Guess {number}" for number in range(1, MAX_ROUNDS + 2)]
    assert story(done) == [*REACHED, *guesses, "hang up"]
    assert auth.told == [407] * (MAX_ROUNDS + 1)  # it is told each time that it was rejected


WANTS_NOTHING = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
WANTS_OTHERS = (
    b"HTTP/1.1 407 No\r\nProxy-Authenticate: Digest realm=x, nonce=y\r\n"
    b"Proxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"
)


@pytest.mark.parametrize(
    ("auth", "no", "offers", "rejected"),
    [
        (None, ASK, ["Basic"], False),
        (("u", "p"), ASK, ["Basic"], True),
        (Basic("u", "p"), ASK, ["Basic"], True),
        (Bearer("t", allow_cleartext=True), ASK, ["Basic"], True),
        (Basic("u", "p", preemptive=False), WANTS_OTHERS, ["Digest", "Negotiate"], False),
        (Basic("u", "p", preemptive=False), WANTS_NOTHING, [], False),
    ],
    ids=["none", "a pair", "Basic", "Bearer", "not Basic", "AU-01 nothing offered"],
)
def test_a_challenge_that_cannot_be_answered(
    auth: Auth | tuple[str, str] | None, no: bytes, offers: list[str], *, rejected: bool
) -> None:
    """AU-18: is the end of it, after one request; and what was not sent was not rejected."""
    done = run(way(Proxy("http://proxy.test:3128", auth=auth)), no)
    assert isinstance(done.value, ProxyAuthenticationRequired)
    assert [challenge.scheme for challenge in done.value.challenges] == offers
    assert ("rejected" in str(done.value)) is rejected
    assert len(story(done)) == len([*REACHED, ASKED, "hang up"])


def test_an_auth_of_the_callers_may_keep_state() -> None:
    class Counting(Auth):
        def __init__(self) -> None:
            self.count = 0

        def flow(self, exchange: Exchange) -> Flow:
            while not exchange.response or exchange.rejected:
                self.count += 1
                yield f"Count {self.count}"

    hops = way(Proxy("http://proxy.test:3128", auth=Counting()))
    done = run(hops, ASK, OK)
    assert story(done) == [*REACHED, f"{ASKED} as Count 1", f"{ASKED} as Count 2"]
    assert story(run(hops, OK)) == [*REACHED, f"{ASKED} as Count 3"]


@pytest.mark.parametrize("field", [b"Proxy-Authenticate", b"WWW-Authenticate"])
@pytest.mark.parametrize("asked", [0, 1], ids=["at first", "as an answer to credentials"])
def test_401_is_no_challenge(field: bytes, asked: int) -> None:
    """AU-23: not answered with a proxy's credentials, but told as failed authentication."""
    no = b"HTTP/1.1 401 No\r\n%b: Basic realm=x\r\nContent-Length: 0\r\n\r\n" % field
    auth, hops = guessing()
    done = run(hops, *[ASK] * asked, no)
    assert isinstance(done.value, ProxyAuthenticationRequired)
    assert done.value.response.status == 401
    assert auth.told == [*[407] * asked, 401]
    assert story(done) == [
        *REACHED,
        *[f"{ASKED} as Guess {n}" for n in (1, 2)][: asked + 1],
        "hang up",
    ]


def test_401_does_not_bring_credentials_about() -> None:
    """AU-23: those that wait to be asked wait on."""
    no = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
    done = run(lazy(), no)
    assert isinstance(done.value, ProxyAuthenticationRequired)
    assert story(done) == [*REACHED, ASKED, "hang up"]


def test_a_407_inside_the_tunnel_is_the_targets() -> None:
    """T2: it follows a 2xx, and so it is neither read nor answered."""
    inside = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
    for split in every_split(OK + inside):
        auth, hops = guessing()
        done = run(hops, *split)
        opened(done)
        assert done.left == inside, split
        assert auth.told == [200]


def test_au_05_a_second_tunnel_begins_with_what_worked() -> None:
    """By the same way; a new one knows nothing."""
    hops = lazy()
    assert story(run(hops, ASK, OK)) == SAME
    assert story(run(hops, OK)) == [*REACHED, ANSWERED]
    # Until it is rejected, and then the way begins anew.
    assert story(run(hops, ASK)) == [*REACHED, ANSWERED, "hang up"]
    assert story(run(hops, ASK, OK)) == SAME
    assert story(run(lazy(), ASK, OK)) == SAME


def test_what_a_flow_raises_ends_it() -> None:
    """Also when it is told of the 2xx, and the tunnel is one that nobody may use."""

    class Wary(Auth):
        def flow(self, exchange: Exchange) -> Flow:
            response: ProxyResponse = yield "Wary"
            raise ProxyMisbehaved(f"said {response.status} and proved nothing")

    hops = way(Proxy("http://proxy.test:3128", auth=Wary()))
    for said, status in ((OK, 200), (ASK, 407), (ASK.replace(b"407", b"403"), 403)):
        done = run(hops, said)
        assert isinstance(done.value, ProxyMisbehaved)
        assert str(done.value) == f"said {status} and proved nothing"
        assert story(done) == [*REACHED, f"{ASKED} as Wary"]


class Bound(Auth):
    """A handshake of two legs, of which the second is good on the connection of the first."""

    def flow(self, exchange: Exchange) -> Flow:
        yield "Bound 1"
        exchange.bound = True
        yield "Bound 2"


BOUND = [f"{ASKED} as Bound {leg}" for leg in (1, 2)]


def test_au_20_credentials_that_are_bound_to_a_connection() -> None:
    done = run(way(Proxy("http://proxy.test:3128", auth=Bound())), ASK, OK)
    opened(done)
    assert story(done) == [*REACHED, *BOUND]


@pytest.mark.parametrize(
    ("coming", "legs"),
    [
        ([WANTS_BASIC + b"Connection: close\r\n\r\n"], 1),
        ([WANTS_BASIC + b"\r\nno"], 1),
        ([ASK, b""], 2),
        ([ASK, RESET], 2),
    ],
    ids=["close", "no length", "H1-40 silence", "H1-40 a reset"],
)
def test_au_20_and_lose_it(coming: list[Incoming], legs: int) -> None:
    """There is no way to go on, and the error says why."""
    done = run(way(Proxy("http://proxy.test:3128", auth=Bound())), *coming)
    assert type(done.value) is ProxyHungUp
    assert done.value.phase == "auth"
    assert "in the middle of a handshake" in str(done.value)
    assert "has to keep it" in str(done.value)
    assert story(done) == [*REACHED, *BOUND[:legs]]


def test_au_20_and_are_called_bad() -> None:
    """That is an answer to them, where nothing can be asked again elsewhere."""
    bad = b"HTTP/1.1 400 Bad Token\r\nContent-Length: 0\r\n\r\n"
    done = run(way(Proxy("http://proxy.test:3128", auth=Bound())), ASK, bad)
    assert isinstance(done.value, TunnelRefused)
    assert done.value.response.reason == "Bad Token"
    assert story(done) == [*REACHED, *BOUND, "hang up"]


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (b"You sent Basic dTpwYXNzd29yZA==!", b"You sent Basic ***!"),
        (b"You sent <b>dTpwYXNzd29yZA==</b>", b"You sent <b>***</b>"),
        (b"You sent nothing", b"You sent nothing"),
    ],
)
@pytest.mark.parametrize("status", [403, 407])
def test_au_24_a_page_that_shows_the_request_shows_no_credentials(
    page: bytes, shown: bytes, status: int
) -> None:
    no = b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%b" % (status, len(page), page)
    done = run(way(Proxy("http://proxy.test:3128", auth=("u", "password"))), no)
    assert isinstance(done.value, TunnelRefused)
    assert done.value.response.body == shown
    assert "dTpw" not in str(done.value)


def test_a_caller_may_bring_credentials() -> None:
    """AU-23, H1-40: sent as they are, and nothing is said when they are rejected."""
    proxy = Proxy("http://proxy.test:3128", headers={"Proxy-Authorization": "X y"})
    done = run(way(proxy), ASK)
    assert isinstance(done.value, ProxyAuthenticationRequired)
    assert story(done) == [*REACHED, f"{ASKED} as X y", "hang up"]


# ---- challenges in a chain ----

ONE = Proxy("http://one.test:1", auth=("a", "1"))
TWO = Proxy("https://two.test:2", auth=Basic("b", "2", preemptive=False))
TO_TWO = ["look up one.test:1", "dial", "ask for two.test:2 as Basic YTox", "TLS with two.test"]
AS_TWO = "ask for imap.example.com:993 as Basic Yjoy"


def test_a_challenge_of_the_second_hop_on_the_same_way() -> None:
    done = run(way(ONE, TWO), OK, ASK, OK + TAIL)
    assert story(done) == [*TO_TWO, ASKED, AS_TWO]
    opened(done)
    assert done.left == TAIL


@pytest.mark.parametrize(
    "coming",
    [[WANTS_BASIC + b"Connection: close\r\n\r\n"], [WANTS_BASIC + b"\r\nno"]],
    ids=["close", "no length"],
)
def test_a_challenge_of_the_second_hop_and_the_whole_way_again(coming: list[Incoming]) -> None:
    """H1-39, LL-08: no credentials stray, and each hop's answer is that of the way that led."""
    again = b"HTTP/1.1 299 Again\r\n\r\n"
    done = run(way(ONE, TWO), OK, *coming, NextConnection(), again, OK + TAIL)
    assert story(done) == [*TO_TWO, ASKED, "hang up", *TO_TWO, AS_TWO]
    assert [response.status for response in opened(done).responses] == [299, 200]
    assert done.left == TAIL


def test_a_silent_close_of_the_second_hop_and_the_whole_way_again() -> None:
    """H1-40."""
    done = run(way(ONE, TWO), OK, ASK, b"", NextConnection(), OK, OK)
    assert story(done) == [*TO_TWO, ASKED, AS_TWO, "hang up", *TO_TWO, AS_TWO]
    opened(done)


def test_the_first_hop_refuses_the_second_time() -> None:
    no = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    done = run(way(ONE, TWO), OK, WANTS_BASIC + b"\r\n", NextConnection(), no)
    assert isinstance(done.value, TunnelRefused)
    assert "the tunnel to two.test:2 (503 Busy)" in str(done.value)
    assert story(done) == [*TO_TWO, ASKED, "hang up", *TO_TWO[:3], "hang up"]


def test_both_hops_challenge() -> None:
    """AU-05: but the first is not made to do so again when the way is walked again."""
    one = Proxy("http://one.test:1", auth=Basic("a", "1", preemptive=False))
    to_two = [*TO_TWO[:2], "ask for two.test:2", "ask for two.test:2 as Basic YTox", TO_TWO[3]]
    ending = WANTS_BASIC + b"\r\n"
    done = run(way(one, TWO), ASK, OK, ending, NextConnection(), OK, OK)
    assert story(done) == [*to_two, ASKED, "hang up", *TO_TWO, AS_TWO]


# ---- fields made for a target ----


def test_fields_are_made_for_what_each_hop_is_asked() -> None:
    """For a chain that is the next hop; and made once, however often the request is sent."""
    seen: list[str] = []

    def one(target: Target) -> dict[str, str]:
        seen.append(f"one: {target}")
        return {"User-Agent": "one"}

    async def two(target: Target) -> list[tuple[str, str]]:
        seen.append(f"two: {target}")
        return [("X", "1"), ("X", "2")]

    auth = Basic("u", "p", preemptive=False)
    hops = way(
        Proxy("http://one.test:1", headers=one), Proxy("http://two.test:2", headers=two, auth=auth)
    )
    done = run(hops, OK, ASK, OK)
    assert seen == ["one: two.test:2", "two: imap.example.com:993"]
    opened(done)
    first, second, third = [step.data for step in done.steps if isinstance(step, Send)]
    assert b"User-Agent: one\r\n" in first
    assert b"X: " not in first
    for request in (second, third):
        assert b"X: 1\r\nX: 2\r\n" in request


def test_credentials_among_made_fields() -> None:
    def make(target: Target) -> dict[str, str]:
        return {"Proxy-Authorization": f"For {target.host}", "Connection": "close"}

    done = run(way(Proxy("http://proxy.test:3128", headers=make)), OK)
    assert story(done) == [*REACHED, f"{ASKED} as For imap.example.com"]


SECRET = {"Proxy-Authorization": "s3cret"}


@pytest.mark.parametrize(
    "made",
    [{**SECRET, "A B": "s3cret"}, {**SECRET, "X": "s3cret\n"}, {**SECRET, "X": "s3cr\u00e9t"},
     {**SECRET, "X": 3}, {**SECRET, "Content-Length": "1"}, {**SECRET, "Host": ""},
     None, 7, ["s3cret"], [("X",)]],
    ids=ascii,
)  # fmt: skip
def test_fields_that_cannot_be_sent(made: Any) -> None:
    """H1-05, H1-06: nothing is sent, and no value shown, nor kept where a traceback shows it."""
    done = run(way(Proxy("http://proxy.test:3128", headers=lambda _: made)))
    error = done.value
    assert isinstance(error, InvalidProxy)
    assert done.sent == b""
    assert "headers" in str(error)
    assert "s3cret" not in str(error)
    assert "s3cret" not in shown_by(error.__traceback__)
    assert error.__context__ is None


def shown_by(traceback: TracebackType | None) -> str:
    """The locals of our own frames that a traceback would print."""
    shown: list[str] = []
    while traceback is not None:
        if "/connect_tunnel/" in traceback.tb_frame.f_code.co_filename:
            shown.append(repr(traceback.tb_frame.f_locals))
        traceback = traceback.tb_next
    return "\n".join(shown)


def test_a_callable_that_fails_fails_the_opening() -> None:
    def fail(_: Target) -> dict[str, str]:
        raise LookupError("no token today")

    with pytest.raises(LookupError, match="no token today"):
        run(way(Proxy("http://proxy.test:3128", headers=fail)))


# ---- HTTP/2 ----

H2 = Proxy("https://proxy.test:3128", http2=True)
ALONE = Proxy("https://proxy.test:3128", http1=False, http2=True)  # in nothing but HTTP/2
KNOWN = Proxy("http://proxy.test:3128", http1=False, http2=True)  # by prior knowledge
GRANTED_2 = ProxyResponse(200, "", "2")
NO_2 = ProxyResponse(403, "", "2")
ASK_2 = ProxyResponse(407, "", "2", b'proxy-authenticate: Basic realm="x"\r\n')
DIGEST_2 = ProxyResponse(407, "", "2", b'proxy-authenticate: Digest realm="x", nonce="n"\r\n')

UNPROCESSED = Loss("takes no more tunnels", "unprocessed")
ENDED = Loss("closed the connection", "ended")
VERSION = Loss("reset the stream (HTTP_1_1_REQUIRED)", "version", 13)
MALFORMED = Loss("sent DATA before an answer", "malformed")
ABORTED = Loss("reset the stream (CONNECT_ERROR)", "reset", 10)
CALM = Loss("reset the stream (ENHANCE_YOUR_CALM)", "reset", 11)

JOIN, LEAVE = "join proxy.test:3128", "leave proxy.test:3128"
DIALLED = [*REACHED, "TLS with proxy.test"]
SHARED = [*DIALLED, "share"]
UNSHARED = [*DIALLED, "share nothing"]
ASKED_2 = "ask in HTTP/2 for imap.example.com:993"
ANSWERED_2 = f"{ASKED_2} as Basic dTpw"
ANOTHER = ["hang up", JOIN, *SHARED, ASKED_2]


def walk(
    via: Proxy | Hops, *heads: object, coming: Sequence[Incoming] = (), **results: Iterable[object]
) -> Replay[Opened | TunnelError]:
    """Attempt it: what is answered on streams, what comes besides, and the results of steps."""
    hops = via if isinstance(via, tuple) else way(via)
    given: dict[str, Any] = {name: iter(each) for name, each in results.items()}
    given.setdefault("StartTLS", "h2")
    return run(hops, *coming, ReadHead=iter(heads), **given)


@pytest.mark.parametrize(
    ("proxy", "joins", "told"),
    [
        (H2, "dial", [JOIN, *SHARED, ASKED_2]),
        (H2, "joined", [JOIN, ASKED_2]),
        (ALONE, "dial", [JOIN, *SHARED, ASKED_2]),
        (KNOWN, "dial", [JOIN, *REACHED, "share", ASKED_2]),
        (KNOWN, "joined", [JOIN, ASKED_2]),
    ],
    ids=["the first", "another", "HTTP/2 alone", "H2-03 by prior knowledge", "another of these"],
)
def test_one_hop_in_http_2(proxy: Proxy, joins: str, told: list[str]) -> None:
    """H2-06: who comes first makes a connection, and who comes later joins it."""
    walked = Walk(way(proxy))
    done = walk(proxy, GRANTED_2, Join=[joins])
    assert opened(done).responses == (GRANTED_2,)
    assert story(done) == told
    assert done.left == b""
    given: dict[Any, Any] = {Join: "joined", ReadHead: GRANTED_2}
    replay(walked.to(TARGET), results=given)
    assert walked.dialled


@pytest.mark.parametrize("chosen", [None, "http/1.1"])
def test_a_proxy_that_does_not_agree_to_http_2(chosen: str | None) -> None:
    """H2-03, TL-04: is asked in HTTP/1.1; who waits for our connection is told; and it is kept."""
    hops = way(H2)
    done = walk(hops, coming=[OK + TAIL], StartTLS=[chosen])
    opened(done)
    assert story(done) == [JOIN, *UNSHARED, ASKED]
    assert done.left == TAIL
    again = walk(hops, coming=[OK], StartTLS=[None])
    assert story(again) == [*DIALLED, ASKED]


@pytest.mark.parametrize(
    ("proxy", "offered"),
    [(H2, ("h2", "http/1.1")), (ALONE, ("h2",)), (Proxy("https://proxy.test"), ("http/1.1",))],
    ids=["either", "HTTP/2 alone", "HTTP/1.1 alone"],
)
def test_what_is_offered(proxy: Proxy, offered: tuple[str, ...]) -> None:
    """H2-03."""
    done = run(way(proxy), StartTLS=ProxyTLSError("not trusted"))
    assert [step.protocols for step in done.steps if type(step) is StartTLS] == [offered]


CONTEXT = ssl.create_default_context()


@pytest.mark.parametrize(
    ("options", "chosen", "said", "hint"),
    [
        ({}, "spdy/3", "agreed to speak 'spdy/3'", "leave it out of set_alpn_protocols"),
        ({"http1": False}, None, "does not agree to HTTP/2", None),
        ({"http1": False}, "http/1.1", "does not agree to HTTP/2", None),
        ({"http1": False, "ssl_context": CONTEXT}, None, "does not agree", "offer it: ssl_context"),
    ],
    ids=["another", "nothing", "HTTP/1.1", "nothing of a context"],
)  # fmt: skip
def test_a_proxy_that_agrees_to_what_is_not_to_be_spoken(
    options: Any, chosen: str | None, said: str, hint: str | None
) -> None:
    """H2-03: not a byte is sent, and http1=False means that."""
    hops = way(Proxy("https://proxy.test:3128", http2=True, **options))
    done = walk(hops, StartTLS=[chosen])
    assert isinstance(done.value, InvalidProxy)
    assert said in str(done.value)
    assert (done.value.hint is None) if hint is None else (hint in str(done.value.hint))
    assert story(done) == [JOIN, *DIALLED]
    assert hops[0].multiplexes


def test_http_2_where_it_was_of_no_use() -> None:
    """A context of the caller's may go on to offer it."""
    hops = way(H2)
    hops[0].forgo_http2()
    done = walk(hops)
    assert isinstance(done.value, InvalidProxy)
    assert "fallback_context" in str(done.value.hint)
    assert story(done) == DIALLED


def test_http_2_that_turns_out_to_be_of_no_use_meanwhile() -> None:
    """Another opening found out while we shook hands; what was agreed on then is spoken."""
    hops = way(H2)

    def agree() -> Iterator[str]:
        hops[0].forgo_http2()
        yield "h2"

    done = walk(hops, GRANTED_2, StartTLS=agree())
    opened(done)
    assert story(done) == [JOIN, *SHARED, ASKED_2]


def test_who_is_to_dial_says_what_came_of_it_whatever_others_found_out() -> None:
    hops = way(H2)

    def let_dial() -> Iterator[str]:
        hops[0].forgo_http2()
        yield "dial"

    done = walk(hops, coming=[OK], Join=let_dial(), StartTLS=[None])
    opened(done)
    assert story(done) == [JOIN, *UNSHARED, ASKED]
    assert [step.protocols for step in done.steps if type(step) is StartTLS] == [("http/1.1",)]


def test_the_parts_of_an_opening_in_http_2() -> None:
    hops = way(H2)
    done = walk(hops, GRANTED_2)
    entered = [step.phase for step in done.steps if isinstance(step, Part)]
    assert entered == ["tcp", "resolve", "tcp", "proxy_tls", "connect"]
    assert {step.hop for step in done.steps if isinstance(step, Part)} == {hops[0]}
    joined = walk(hops, GRANTED_2, Join=["joined"])
    assert [step.phase for step in joined.steps if isinstance(step, Part)] == ["tcp", "connect"]


def test_fields_and_a_page_in_http_2() -> None:
    """H2-08: a refusal is one, with the DATA of its stream for a body."""
    hops = way(Proxy("https://proxy.test:3128", http2=True, headers={"X-One": "1"}))
    done = walk(hops, NO_2, coming=[b"sor", b"ry", b""], Join=["joined"])
    assert isinstance(done.value, TunnelRefused)
    assert (done.value.response.status, done.value.response.body) == (403, b"sorry")
    assert done.value.response.complete
    assert story(done) == [JOIN, ASKED_2, "hang up"]
    [head] = [step.fields for step in done.steps if type(step) is SendHead]
    assert (b"x-one", b"1") in head


@pytest.mark.parametrize("proxy", [H2, KNOWN], ids=["TLS", "prior knowledge"])
def test_fields_made_for_a_target_that_http_2_does_not_have(proxy: Proxy) -> None:
    """H2-02: nothing is sent, whichever version the proxy would have agreed to."""
    made = Proxy(
        proxy.url, http1=proxy.http1, http2=True, headers=lambda _: {"Connection": "close"}
    )
    done = walk(made)
    assert isinstance(done.value, InvalidProxy)
    assert "cannot be sent Connection in HTTP/2, where connections are shared" in str(done.value)
    assert not [step for step in done.steps if isinstance(step, Send | SendHead)]


# What is answered, what comes of each Join and each TLS, and the story.
SILENT: dict[str, tuple[list[object], list[object], list[object], list[str]]] = {
    "there is no better": ([None, GRANTED_2], ["dial", "stay"], ["h2"],
        [JOIN, *SHARED, ASKED_2, LEAVE]),
    "nor later": ([None, None, GRANTED_2], ["dial", "stay", "stay"], ["h2"],
        [JOIN, *SHARED, ASKED_2, LEAVE, LEAVE]),
    "another one": ([None, GRANTED_2], ["joined", "joined"], [],
        [JOIN, ASKED_2, LEAVE, ASKED_2]),
    "another one, later": ([None, None, GRANTED_2], ["joined", "stay", "joined"], [],
        [JOIN, ASKED_2, LEAVE, LEAVE, ASKED_2]),
    "one of our own": ([None, GRANTED_2], ["joined", "dial"], ["h2"],
        [JOIN, ASKED_2, LEAVE, *SHARED, ASKED_2]),
    "another, and one of our own": ([None, None, GRANTED_2], ["joined", "joined", "dial"], ["h2"],
        [JOIN, ASKED_2, LEAVE, ASKED_2, LEAVE, *SHARED, ASKED_2]),
    "one in HTTP/1.1": ([None], ["joined", "dial"], [None],
        [JOIN, ASKED_2, LEAVE, *UNSHARED, ASKED]),
}  # fmt: skip


@pytest.mark.parametrize(("heads", "joins", "chosen", "told"), SILENT.values(), ids=SILENT)
def test_silence(
    heads: list[object], joins: list[object], chosen: list[object], told: list[str]
) -> None:
    """H2-06: the first answer is waited for, and then on a connection that gives answers."""
    done = walk(H2, *heads, coming=[OK], Join=joins, StartTLS=chosen)
    opened(done)
    assert story(done) == told
    assert {step.seconds for step in done.steps if type(step) is ReadHead} == {SILENCE}


NONE_AGAIN = [JOIN, *SHARED, ASKED_2]
LOST: dict[str, tuple[Proxy, list[object], list[object], list[str], str | None]] = {
    # id: the proxy, what is answered, what comes of each Join, the story, and the error
    "H2-13 refused once": (H2, [UNPROCESSED, GRANTED_2], ["dial"] * 2,
        [*NONE_AGAIN, *ANOTHER], None),
    "H2-13 refused twice": (H2, [UNPROCESSED, UNPROCESSED, GRANTED_2], ["dial"] * 3,
        [*NONE_AGAIN, *ANOTHER, *ANOTHER], None),
    "H2-13 refused again and again": (H2, [UNPROCESSED] * 3, ["dial"] * 3,
        [*NONE_AGAIN, *ANOTHER, *ANOTHER], "takes no more tunnels without answering"),
    "H2-19 an old one has ended": (H2, [ENDED, GRANTED_2], ["joined", "dial"],
        [JOIN, ASKED_2, *ANOTHER], None),
    "H2-19 two of them": (H2, [ENDED, ENDED, GRANTED_2], ["joined", "joined", "dial"],
        [JOIN, ASKED_2, "hang up", JOIN, ASKED_2, *ANOTHER], None),
    "H2-19 a new one ends": (H2, [ENDED], ["dial"], NONE_AGAIN,
        "closed the connection without answering"),
    "a new one ends behind an old one": (H2, [ENDED, ENDED], ["joined", "dial"],
        [JOIN, ASKED_2, *ANOTHER], "closed the connection without answering"),
    "one that was left for a new one": (H2, [None, ENDED], ["joined", "dial"],
        [JOIN, ASKED_2, LEAVE, *SHARED, ASKED_2], "closed the connection without answering"),
    "one that was left for an old one": (H2, [None, ENDED, GRANTED_2], ["dial", "joined", "dial"],
        [*NONE_AGAIN, LEAVE, ASKED_2, *ANOTHER], None),
    "H2-14 the target": (H2, [ABORTED], ["joined"], [JOIN, ASKED_2],
        "(CONNECT_ERROR) without answering"),
    "H2-13 calm": (H2, [CALM], ["joined"], [JOIN, ASKED_2], "wait before asking again"),
    "H2-10 malformed": (H2, [MALFORMED], ["joined"], [JOIN, ASKED_2], "DATA before an answer"),
    "no HTTP/1.1 to be had": (ALONE, [VERSION], ["joined"], [JOIN, ASKED_2],
        "http1=True lets it have HTTP/1.1"),
}  # fmt: skip


@pytest.mark.parametrize(("proxy", "heads", "joins", "told", "said"), LOST.values(), ids=LOST)
def test_losses(
    proxy: Proxy, heads: list[object], joins: list[object], told: list[str], said: str | None
) -> None:
    """H2-12, H2-13: asked again where that is safe and of use, and not for ever."""
    done = walk(proxy, *heads, Join=joins)
    assert story(done) == told
    if said is None:
        opened(done)
    else:
        error = done.value
        assert isinstance(error, ProxyHungUp | ProxyMisbehaved)
        assert said in str(error)
        assert type(error) is (ProxyMisbehaved if heads == [MALFORMED] else ProxyHungUp)


@pytest.mark.parametrize("joins", [["dial"], ["joined"]], ids=["dialled", "joined"])
def test_http_1_1_it_has_to_be(joins: list[object]) -> None:
    """H2-13: at once, and from then on."""
    hops = way(H2)
    done = walk(hops, VERSION, coming=[NextConnection(), OK + TAIL], Join=joins,
                StartTLS=["h2", None][joins == ["joined"]:])  # fmt: skip
    opened(done)
    assert story(done)[-5:] == ["hang up", *DIALLED, ASKED]
    assert done.left == TAIL
    assert not hops[0].multiplexes
    assert story(walk(hops, coming=[OK], StartTLS=["http/1.1"])) == [*DIALLED, ASKED]


def lazily(auth: Auth | None = None, **options: Any) -> Proxy:
    auth = auth or Basic("u", "p", preemptive=False)
    return Proxy("https://proxy.test:3128", auth=auth, http2=True, **options)


@pytest.mark.parametrize(
    ("proxy", "challenge", "schemes"),
    [
        (lazily(), ASK_2, [None, "Basic"]),
        (Proxy("https://u:p@proxy.test:3128", http2=True), ASK_2, ["Basic"]),
        (lazily(Digest("u", "p")), DIGEST_2, [None, "Digest"]),
    ],
    ids=["Basic", "Basic at once", "Digest"],
)
def test_a_challenge_in_http_2(
    proxy: Proxy, challenge: ProxyResponse, schemes: list[str | None]
) -> None:
    """H2-08: it is answered on a new stream of the same connection, by the same flow."""
    answers = [challenge] * (len(schemes) - 1)
    done = walk(proxy, *answers, GRANTED_2, Join=["joined"])
    opened(done)
    joined, *asked = story(done)
    assert joined == JOIN
    assert [said.partition(" as ")[2].split(" ")[0] or None for said in asked] == schemes
    asking = [step.phase for step in done.steps if isinstance(step, Part)]
    assert asking == ["tcp", *["auth", "connect"] * len(schemes)]


def test_credentials_that_are_rejected_in_http_2() -> None:
    done = walk(lazily(), ASK_2, ASK_2, coming=[b"no", b""], Join=["joined"])
    assert isinstance(done.value, ProxyAuthenticationRequired)
    assert done.value.response.body == b"no"
    assert story(done) == [JOIN, ASKED_2, ANSWERED_2, "hang up"]


def test_an_answer_to_a_challenge_that_is_lost() -> None:
    """H2-13: it goes with the request, wherever that goes."""
    done = walk(lazily(), ASK_2, UNPROCESSED, GRANTED_2, Join=["joined", "dial"])
    opened(done)
    again = ["hang up", JOIN, *SHARED, ANSWERED_2]
    assert story(done) == [JOIN, ASKED_2, ANSWERED_2, *again]


def test_an_answer_to_a_challenge_in_http_1_1() -> None:
    done = walk(lazily(), ASK_2, VERSION, coming=[NextConnection(), OK], StartTLS=["h2", None])
    opened(done)
    assert story(done)[-5:] == ["hang up", *DIALLED, ANSWERED]


BOUND_2 = f"{ASKED_2} as Bound 1"


def test_au_20_what_is_bound_to_a_connection_has_one_of_its_own() -> None:
    """In HTTP/1.1, where nobody joins it; and that is kept."""
    hops = way(lazily(Bound()))
    done = walk(hops, ASK_2, coming=[NextConnection(), ASK, OK + TAIL], StartTLS=["h2", None])
    opened(done)
    assert story(done) == [JOIN, *SHARED, BOUND_2, "hang up", *DIALLED, *BOUND]
    assert done.left == TAIL
    assert story(walk(hops, coming=[ASK, OK], StartTLS=[None])) == [*DIALLED, *BOUND]


def test_au_20_and_cannot_have_it() -> None:
    done = walk(lazily(Bound(), http1=False), ASK_2, Join=["joined"])
    assert type(done.value) is ProxyHungUp
    assert done.value.phase == "auth"
    assert "authenticates connections, and one in HTTP/2 is shared" in str(done.value)
    assert "http1=True" in str(done.value.hint)
    assert story(done) == [JOIN, BOUND_2]


# ---- HTTP/2 in a chain ----

PLAIN_1, H2_1 = Proxy("http://one.test:1"), Proxy("https://one.test:1", http2=True)
PLAIN_2, H2_2 = Proxy("http://two.test:2"), Proxy("https://two.test:2", http2=True)
FIRST_PLAIN = ["look up one.test:1", "dial", "ask for two.test:2"]
FIRST_DIALLED = ["look up one.test:1", "dial", "TLS with one.test", "share"]
FIRST_JOINED = ["join one.test:1", "ask in HTTP/2 for two.test:2"]
SECOND = ["TLS with two.test", "share", ASKED_2]
NO_1 = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

IN_CHAINS: dict[str, tuple[list[Proxy], list[Incoming], int, list[object], list[str]]] = {
    # id: the proxies, what they say in HTTP/1.1, how often in HTTP/2, of each Join, the story
    "the first": ([H2_1, PLAIN_2], [OK], 1, ["dial"],
        ["join one.test:1", *FIRST_DIALLED, FIRST_JOINED[1], ASKED]),
    "the first, joined": ([H2_1, PLAIN_2], [OK], 1, ["joined"], [*FIRST_JOINED, ASKED]),
    "the second": ([PLAIN_1, H2_2], [OK], 1, ["dial"],
        ["join two.test:2", *FIRST_PLAIN, *SECOND]),
    "the second, joined": ([PLAIN_1, H2_2], [], 1, ["joined"], ["join two.test:2", ASKED_2]),
    "both": ([H2_1, H2_2], [], 2, ["dial", "dial"],
        ["join two.test:2", "join one.test:1", *FIRST_DIALLED, FIRST_JOINED[1], *SECOND]),
    "both, the first joined": ([H2_1, H2_2], [], 2, ["dial", "joined"],
        ["join two.test:2", *FIRST_JOINED, *SECOND]),
    "both, the second joined": ([H2_1, H2_2], [], 1, ["joined"], ["join two.test:2", ASKED_2]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("proxies", "coming", "heads", "joins", "told"), IN_CHAINS.values(), ids=IN_CHAINS
)
def test_http_2_in_a_chain(
    proxies: list[Proxy], coming: list[Incoming], heads: int, joins: list[object], told: list[str]
) -> None:
    """H2-06: who shares a later hop shares the way there."""
    done = walk(way(*proxies), *[GRANTED_2] * heads, coming=coming, Join=joins)
    opened(done)
    assert story(done) == told


@pytest.mark.parametrize(
    ("heads", "joins", "coming", "told"),
    [
        ([UNPROCESSED], ["joined", "dial"], [NextConnection(), NO_1],
         ["hang up", "join two.test:2"]),
        ([None], ["joined", "dial"], [NO_1], ["leave two.test:2"]),
    ],
    ids=["after a loss", "in search of an answer"],
)  # fmt: skip
def test_an_earlier_hop_refuses_on_the_way_to_another_connection(
    heads: list[object], joins: list[object], coming: list[Incoming], told: list[str]
) -> None:
    """Its refusal is what there is to tell, and is labelled with it."""
    hops = way(PLAIN_1, H2_2)
    done = walk(hops, *heads, coming=coming, Join=joins)
    assert isinstance(done.value, TunnelRefused)
    assert "the tunnel to two.test:2 (503 Busy)" in str(done.value)
    assert story(done) == ["join two.test:2", ASKED_2, *told, *FIRST_PLAIN, "hang up"]
    assert [step.hop for step in done.steps if isinstance(step, Part)][-1] is hops[0]


def test_an_earlier_hop_refuses_on_the_way_to_a_connection_of_ones_own() -> None:
    """AU-20."""
    two = Proxy("https://two.test:2", auth=Bound(), http2=True)
    done = walk(way(PLAIN_1, two), ASK_2, coming=[NextConnection(), NO_1], Join=["joined"])
    assert isinstance(done.value, TunnelRefused)
    assert "the tunnel to two.test:2 (503 Busy)" in str(done.value)
    assert story(done) == ["join two.test:2", BOUND_2, "hang up", *FIRST_PLAIN, "hang up"]


def test_a_loss_at_the_first_hop_is_recovered_there() -> None:
    hops = way(H2_1, H2_2)
    done = walk(hops, UNPROCESSED, GRANTED_2, GRANTED_2, Join=["dial", "joined", "dial"])
    opened(done)
    first = [*FIRST_DIALLED, FIRST_JOINED[1]]
    assert story(done) == [
        "join two.test:2", *FIRST_JOINED, "hang up", "join one.test:1", *first, *SECOND,
    ]  # fmt: skip


# ---- whatever proxies do ----

SAYINGS: list[bytes | Exception] = [
    OK, OK + TAIL, ASK, ASK, WANTS_BASIC + b"Connection: close\r\n\r\n", WANTS_BASIC + b"\r\nno",
    WANTS_BASIC + b"Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n", b"0\r\n\r\n", ASK + OK, NO,
    b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 103 x\r\n\r\n", b"", b"",
    b"HTTP/1.1 2", b"hello", RESET, LATE,
]  # fmt: skip


class AnyProxy:
    """Performs steps, says one thing after the other, and is not asked for what makes no sense."""

    def __init__(self, sayings: list[bytes | Exception]) -> None:
        self.coming = iter(sayings)
        self.connected = False
        self.arrived = b""
        self.seen = 0
        self.told: list[str] = []

    def perform(self, step: object) -> object:
        match step:
            case Enter():
                return None
            case Resolve():
                return ADDRESSES
            case Dial():
                assert not self.connected
                self.connected, self.arrived, self.seen = True, b"", 0
            case _:
                assert self.connected
                return self._speak(step)
        return None

    def _speak(self, step: object) -> object:
        match step:
            case Send(data):
                self.told.append(requested(data))
            case Peek():
                if not self.arrived:
                    saying = next(self.coming, b"")
                    if isinstance(saying, Exception):
                        raise saying
                    self.arrived = saying
                self.seen = len(self.arrived)
                return self.arrived
            case Take(count):
                assert count <= self.seen
                self.arrived, self.seen = self.arrived[count:], 0
            case HangUp():
                self.connected = False
            case _:
                raise AssertionError(step)
        return None


def play(program: Program[T], proxy: AnyProxy) -> T:
    try:
        step = next(program)
        while True:
            try:
                result = proxy.perform(step)
            except TunnelError as error:
                step = program.throw(error)
            else:
                step = program.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


@settings(deadline=None)
@given(
    sayings=st.lists(st.sampled_from(SAYINGS), max_size=60),
    count=st.sampled_from([1, 2]),
    lazy=st.booleans(),
)
def test_whatever_proxies_do(sayings: list[bytes | Exception], count: int, *, lazy: bool) -> None:
    """It ends, in a tunnel or an error of ours; and credentials go to their own hop."""
    hops = way(*[
        Proxy(f"http://hop{number}.test:{number}", auth=Basic(str(number), "", preemptive=not lazy))
        for number in range(1, count + 1)
    ])  # fmt: skip
    proxy = AnyProxy(sayings)
    outcome = play(attempt(hops), proxy)
    if isinstance(outcome, Opened):
        assert len(outcome.responses) == count
        assert proxy.arrived in (b"", TAIL, OK, OK + TAIL)
    elif isinstance(outcome, TunnelRefused):
        assert not proxy.connected
    assert len(proxy.told) <= 9  # twice the way; and each hop at first, again, and anew
    own = {"hop2.test:2": "MTo=", "imap.example.com:993": "MTo=" if count == 1 else "Mjo="}
    for told in proxy.told:
        goal, _, credentials = told.removeprefix("ask for ").partition(" as Basic ")
        assert credentials == own[goal] or (lazy and not credentials)


# --- to the last hop only ---


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_to_the_last_hop(scheme: str) -> None:
    """Which is not asked for anything; those before it are, for a tunnel to it."""
    hops = way("http://one.test:1", f"{scheme}://two.test:2")
    done = replay(Walk(hops).to_last(), OK, results={Resolve: ADDRESSES, StartTLS: None})
    assert isinstance(done.value, Opened)
    assert [answer.status for answer in done.value.responses] == [200]
    assert done.sent.count(b"CONNECT ") == 1
    assert done.sent.startswith(b"CONNECT two.test:2 HTTP/1.1\r\n")


def test_to_the_only_hop() -> None:
    done = replay(Walk(way("http://one.test:1")).to_last(), results={Resolve: ADDRESSES})
    assert isinstance(done.value, Opened)
    assert done.value.responses == ()
    assert done.sent == b""


def test_to_the_last_hop_and_refused() -> None:
    hops = way("http://one.test:1", "http://two.test:2")
    done = replay(Walk(hops).to_last(), NO, results={Resolve: ADDRESSES})
    assert isinstance(done.value, Refused)
