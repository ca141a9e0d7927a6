"""Openings told as stories: what a program did that the world could see.

A story is a list of lookups, connections, TLS, requests (with the credentials they carried), and
hanging up; and, where a hop speaks HTTP/2, of connections that are joined, left and shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from connect_tunnel import Proxy, ProxyHungUp, Target, TunnelError, TunnelTimeout
from connect_tunnel._open import raise_refusal, request_tunnel
from connect_tunnel._route import hops_of
from connect_tunnel._steps import (
    Call,
    Dial,
    Ends,
    Enter,
    HangUp,
    Join,
    Offload,
    Peek,
    ReadHead,
    Resolve,
    Send,
    SendHead,
    Share,
    StartTLS,
    Take,
)
from connect_tunnel._walk import Opened
from connect_tunnel.auth import Basic
from connect_tunnel.testing import NextConnection, Replay, replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connect_tunnel._route import Hops, Routed
    from connect_tunnel._steps import Address, Program

Incoming: TypeAlias = "bytes | Exception | NextConnection"

ADDRESSES: list[Address] = [("192.0.2.1", 3128)]
TARGET = Target("imap.example.com", 993)
TAIL = b"* OK ready\r\n"  # what the target may say first
RESET = ProxyHungUp("reset the connection", reset=True)
LATE = TunnelTimeout("too slow")

OK = b"HTTP/1.1 200 OK\r\n\r\n"
WANTS_BASIC = b'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="x"\r\n'
ASK = WANTS_BASIC + b"Content-Length: 2\r\n\r\nno"  # on a connection that lasts
NO = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"

ASKED = "ask for imap.example.com:993"
ANSWERED = f"{ASKED} as Basic dTpw"
REACHED = ["look up proxy.test:3128", "dial"]


def way(*proxies: Proxy | str) -> Hops:
    return hops_of([Proxy.parse(proxy) for proxy in proxies])


def attempt(way: Hops | Routed, target: Target = TARGET) -> Program[Opened | TunnelError]:
    """What a dialer does, with errors for values."""
    try:
        outcome = yield from request_tunnel(way, target)
        return outcome if isinstance(outcome, Opened) else (yield from raise_refusal(outcome))
    except TunnelError as error:
        return error


def run(
    way: Hops | Routed, *incoming: Incoming, target: Target = TARGET, **results: Any
) -> Replay[Opened | TunnelError]:
    """Attempt it. Results are given by the names of steps; TLS chooses no protocol."""
    named: dict[type[Any], object] = {Resolve: ADDRESSES, Join: "dial"}
    steps = (Resolve, Dial, Ends, StartTLS, Send, Join, ReadHead)
    known = {step.__name__: step for step in steps}
    named |= {known[name]: result for name, result in results.items()}
    return replay(attempt(way, target), *incoming, results=named)


def story(done: Replay[Any]) -> list[str]:
    told: list[str] = []
    for step in done.steps:
        match step:
            case Resolve(host, port):
                told.append(f"look up {host}:{port}")
            case Dial(addresses):
                told.append("dial" if addresses is ADDRESSES else f"dial {[*addresses]}")
            case StartTLS(_, name):
                told.append(f"TLS with {name}")
            case Send(data):
                told.append(requested(data) if data[:7] == b"CONNECT" else sending(data))
            case HangUp():
                told.append("hang up")
            case Join(hop):
                told.append(f"{'leave' if step.elsewhere else 'join'} {hop.proxy.endpoint}")
            case Share(_, joinable):
                told.append("share" if joinable else "share nothing")
            case SendHead(fields):
                told.append(asked(fields))
            case _:
                assert isinstance(step, Enter | Ends | Peek | ReadHead | Take | Call | Offload)
    return told


def requested(head: bytes) -> str:
    """A request in short: whom it asks for, and the credentials it carries."""
    line, *fields, empty, end = head.decode().split("\r\n")
    assert (empty, end) == ("", "")
    method, authority, version = line.split(" ")
    assert (method, version) == ("CONNECT", "HTTP/1.1")
    assert fields[0] == f"Host: {authority}"
    given = [field.partition(": ")[2] for field in fields if field.startswith("Proxy-Auth")]
    return " ".join([f"ask for {authority}", *(f"as {credentials}" for credentials in given)])


def asked(fields: Sequence[tuple[bytes, bytes]]) -> str:
    """The same of a request in HTTP/2."""
    (method, connect), (name, authority), *rest = fields
    assert (method, connect, name) == (b":method", b"CONNECT", b":authority")
    given = [value.decode() for name, value in rest if name == b"proxy-authorization"]
    said = f"ask in HTTP/2 for {authority.decode()}"
    return " ".join([said, *(f"as {credentials}" for credentials in given)])


def sending(data: bytes) -> str:
    """What is sent that is no request in HTTP."""
    return f"send {data!r}"


def opened(done: Replay[Opened | TunnelError]) -> Opened:
    assert isinstance(done.value, Opened), repr(done.value)
    return done.value


def lazy(**given: Any) -> Hops:
    """A way through a proxy whose credentials are sent when it asks for them."""
    auth = Basic("u", "p", preemptive=False)
    return way(Proxy("http://proxy.test:3128", auth=auth, **given))
