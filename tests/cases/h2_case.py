"""Cases of CONNECT over HTTP/2: what a proxy does, and what must come of it.

The table is `h2.jsonl`, one case a line; octets are written as latin-1. In a case:

* `config` is what the client is given, `authority` what it must ask for;
* `settings` are the proxy's, by their numbers;
* `steps` is what the proxy does with its connection, in order (see `h2_peer`);
* `expect` is what comes of it: a tunnel and the `ops` done with it, in order (see `h2_grade`), a
  response, or an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

Step = dict[str, Any]
Op = dict[str, Any]


class Config(TypedDict):
    """What `Proxy` and `open_tunnel` are given."""

    host: str
    port: int
    proxy_scheme: str
    timeout: float
    auth: NotRequired[tuple[str, str]]
    headers: NotRequired[list[tuple[str, str]]]


class Response(TypedDict):
    status: int
    body: NotRequired[str]
    complete: NotRequired[bool]


class Expected(TypedDict, total=False):
    """One of these; `ops` with a tunnel."""

    tunnel: bool
    ops: list[Op]
    response: Response
    error: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class H2Case:
    """A row of the table."""

    id: str
    origin: str
    fact: str
    config: Config
    authority: str
    steps: list[Step]
    expect: Expected
    settings: dict[str, int] = field(default_factory=dict[str, int])


def load_h2() -> list[H2Case]:
    lines = Path(__file__).with_name("h2.jsonl").read_text("ascii").splitlines()
    return [H2Case(**json.loads(line)) for line in lines]
