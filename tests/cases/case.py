"""Cases of CONNECT over HTTP/1: what a proxy does, and what must come of it.

The tables are the `.jsonl` files beside this module, one case a line; octets are written as
latin-1, and long ones as lists of [text, times]. In a case:

* `target`, `proxy` and `timeout` are what the client is given, `authority` is what it must
  ask for;
* `script` is what the proxy does with it (see `Case.script`);
* `requests` says more of each request, in order: its line, fields with their values, fields
  that are there and fields that are not, and what its Digest is made of;
* `expect` holds what may come of it, the best first: a tunnel (and what goes through it), a
  response, or an error of one of some kinds (see `grade.kind_of`).

Flags: `optional_tail`, the client may stop asking before the script ends; `any_request`, the
requests are not looked at; `may_stay_open`, the client need not close what the proxy has
closed; `glued`, what is sent stays in one segment, since all depends on its being there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

from connect_tunnel.testing import (
    Close,
    Echo,
    Flood,
    HalfClose,
    NextConnection,
    NextRequest,
    Receive,
    Reset,
    Send,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connect_tunnel.testing import Step

Text = str | list[tuple[str, int]]

_SMALL = 4096  # what is longer is not sent octet by octet, but in as many segments as this has
_SEGMENTS = 512


class AuthFacts(TypedDict):
    """What `connect_tunnel.auth` is given.

    A "scripted" one answers each challenge with the reply that stands beside it, and sends that
    of the empty one unasked; `connection_bound` replies to a token are good on its connection.
    """

    type: Literal["any", "basic", "digest", "scripted"]
    username: NotRequired[str]
    password: NotRequired[str]
    preemptive: NotRequired[bool]
    replies: NotRequired[list[tuple[str, str]]]
    connection_bound: NotRequired[bool]


class ProxyFacts(TypedDict, total=False):
    """What `Proxy` is given."""

    scheme: str
    userinfo: str
    headers: list[tuple[str, str]]
    auth: AuthFacts


class DigestFacts(TypedDict):
    """What a Digest is to be made of: the parameters, and the password."""

    username: str
    password: str
    realm: str
    nonce: str
    uri: str
    algorithm: NotRequired[str]
    qop: NotRequired[str]
    nc: NotRequired[str]


class RequestFacts(TypedDict, total=False):
    """What is to be found in a request."""

    line: str
    fields: list[tuple[str, str]]
    present: list[str]
    absent: list[str]
    digest: DigestFacts


class ResponseFacts(TypedDict, total=False):
    """What is to be found in a response."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: Text
    complete: bool


class TunnelFacts(ResponseFacts, total=False):
    """What is to be found in a tunnel: on it already, after `say`, at its end, after that."""

    early: Text
    say: Text
    hear: Text
    echo: bool
    end: bool
    speak_on: bool


class Outcome(TypedDict, total=False):
    """One of these."""

    tunnel: TunnelFacts
    response: ResponseFacts
    error: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row of the tables."""

    id: str
    fact: str
    target: tuple[str, int]
    authority: str
    expect: list[Outcome]
    script: list[list[Any]]
    requests: list[RequestFacts] = field(default_factory=list[RequestFacts])
    proxy: ProxyFacts = field(default_factory=ProxyFacts)
    timeout: float = 2.0
    server_tls: str = ""
    optional_tail: bool = False
    any_request: bool = False
    may_stay_open: bool = False
    glued: bool = False
    stricter_than_rfc: bool = False

    def steps(self, *, bytewise: bool) -> Iterator[Step]:
        """The script, for `connect_tunnel.testing.ScriptedProxy`."""
        for verb, *args in self.script:
            match verb, args:
                case "send", [text]:
                    data = octets(text)
                    size = max(1, len(data) // _SEGMENTS if len(data) > _SMALL else 1)
                    yield Send(data, size=size if bytewise and not self.glued else 0)
                case "flood", [text, delay, seconds]:
                    yield Flood(octets(text), delay, seconds)
                case "receive", [text]:
                    yield Receive(octets(text))
                case _:
                    yield _STEPS[verb](*args)

    def count(self, *verbs: str) -> int:
        """How often something is in the script."""
        return sum(verb in verbs for verb, *_ in self.script)


_STEPS = {
    "request": Receive,
    "retry": NextRequest,  # on this connection or on a new one
    "reconnect": NextConnection,
    "wait": Wait,
    "half_close": HalfClose,
    "close": Close,
    "reset": Reset,
    "echo": Echo,
}


def octets(text: Text) -> bytes:
    """What a table says in latin-1."""
    if isinstance(text, str):
        return text.encode("latin-1")
    return b"".join(part.encode("latin-1") * times for part, times in text)


def load(name: str) -> list[Case]:
    """The cases of one table."""
    lines = (Path(__file__).parent / name).read_text("ascii").splitlines()
    return [Case(**json.loads(line)) for line in lines]
