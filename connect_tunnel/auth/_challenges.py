"""Reading Proxy-Authenticate (RFC 9110, 11.6.1): what a proxy would accept.

    Proxy-Authenticate = #challenge
    challenge          = scheme [ 1*SP ( token68 / #auth-param ) ]

Commas stand between challenges *and* between the parameters of one, so the list is read
item by item: an item that opens with a scheme begins a challenge, one that is `name=value`
belongs to the challenge before it. What cannot be read takes its challenge with it and
nothing else: a proxy's mistake must not hide what else it offers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connect_tunnel._challenge import Challenge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, 5.6.2
# Possessive throughout: what a proxy sends must not make the reader try again and again.
_QUOTED = r'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_ITEM = re.compile(
    rf"(?:(?P<scheme>{_TOKEN})(?:[ \t]++|(?=,|$)))?"
    rf"(?:(?P<name>{_TOKEN})[ \t]*+=[ \t]*+(?P<value>{_TOKEN}|{_QUOTED})"
    r"|(?P<token68>[A-Za-z0-9._~+/-]++=*+))?"
    r"[ \t]*+(?=,|$)"
)
# What cannot be read may still be seen to open a challenge of its own.
_OPENING = re.compile(rf"{_TOKEN}[ \t]+[^ \t=]")
_UNQUOTE = re.compile(r"\\(.)", re.DOTALL)
_UNREADABLE = re.compile(rf"(?:{_QUOTED}|\"[\s\S]*+|[^,\"])*+")


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Read the values of any number of Proxy-Authenticate fields.

    Never raises on what a proxy sent. A challenge that is malformed, or that names a
    parameter twice, is left out.

    Args:
        values: The field values, in order.

    Returns:
        The challenges in the order they were offered, which is the order of the proxy's
        preference where a scheme occurs more than once (RFC 7616, 3.7).
    """
    drafts: list[_Draft] = []
    for value in values:
        for item in _items(value):
            if isinstance(item, str):
                if _OPENING.match(item):
                    drafts.append(_Draft(""))
                if drafts:
                    drafts[-1].valid = False
                continue
            if not item["scheme"] and not drafts:
                continue
            if item["scheme"]:
                drafts.append(_Draft(item["scheme"]))
            if item["name"]:
                drafts[-1].add(item["name"].lower(), item["value"])
            elif item["token68"]:
                drafts[-1].set_token(item["token68"], alone=bool(item["scheme"]))
    return [Challenge(d.scheme, d.token68, d.params) for d in drafts if d.valid]


class _Draft:
    """A challenge of which more may follow."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.token68: str | None = None
        self.params: dict[str, str] = {}
        self.valid = True

    def add(self, name: str, value: str) -> None:
        self.valid &= name not in self.params and self.token68 is None
        self.params[name] = _UNQUOTE.sub(r"\1", value[1:-1]) if value.startswith('"') else value

    def set_token(self, token68: str, *, alone: bool) -> None:
        self.valid &= alone
        self.token68 = token68


def _items(value: str) -> Iterator[re.Match[str] | str]:
    """The items of a list (RFC 9110, 5.6.1), as text where one cannot be read."""
    at = 0
    while at < len(value):
        if value[at] in ", \t":
            at += 1
            continue
        item = _ITEM.match(value, at)
        if item is None or item.end() == at:
            unreadable = _UNREADABLE.match(value, at)
            assert unreadable is not None  # it matches the empty string
            at = unreadable.end()
            yield unreadable[0]
            continue
        at = item.end()
        yield item
