"""The vocabulary of programs: what a step holds, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from connect_tunnel import Proxy
from connect_tunnel._route import Hop
from connect_tunnel._steps import (
    Ask,
    Call,
    Certificate,
    Deed,
    Dial,
    Ends,
    Enter,
    HangUp,
    Join,
    Offload,
    Part,
    Peek,
    ReadHead,
    Resolve,
    Send,
    SendHead,
    Share,
    StartTLS,
    Step,
    Take,
)
from connect_tunnel.testing import replay

if TYPE_CHECKING:
    from connect_tunnel._steps import Address, Program

HOP = Hop(Proxy("http://proxy.test:3128"))
ADDRESSES: list[Address] = [("192.0.2.1", 3128)]
FIELDS = [(b":method", b"CONNECT")]

# Every verb there is, and the facts that it carries in the order a `match` sees them.
VERBS: list[tuple[Step[Any], tuple[object, ...]]] = [
    (Enter("connect", HOP), ("connect", HOP, None)),
    (Enter("auth", HOP, 2.0), ("auth", HOP, 2.0)),
    (Enter("tcp", None), ("tcp", None, None)),
    (Enter("connect", HOP, 2.0, soft=True), ("connect", HOP, 2.0)),
    (Resolve("proxy.test", 3128), ("proxy.test", 3128)),
    (Dial(ADDRESSES), (ADDRESSES,)),
    (Dial(["/run/proxy.sock"]), (["/run/proxy.sock"],)),
    (Ends(), ()),
    (StartTLS(None, "proxy.test"), (None, "proxy.test", True)),
    (StartTLS(None, "proxy.test", require_close_notify=False), (None, "proxy.test", False)),
    (Certificate(), ()),
    (Join(HOP), (HOP,)),
    (Share(HOP, joinable=True), (HOP, True)),
    (SendHead(FIELDS, HOP), (FIELDS,)),
    (ReadHead(), (None,)),
    (ReadHead(2.0), (2.0,)),
    (Send(b"data"), (b"data",)),
    (Send(b"data", more=True), (b"data",)),
    (Ask(b"data", HOP), (b"data",)),
    (Peek(), ()),
    (Take(7), (7,)),
    (HangUp(), ()),
]


PARTS: list[Part[Any]] = [
    Enter("auth", HOP, 2.0, soft=True),
    Resolve("proxy.test", 3128, HOP, 2.0, 3),
    Dial(ADDRESSES, HOP, 2.0, 3),
    StartTLS(None, "proxy.test", HOP),
    Ask(b"data", HOP),
    SendHead(FIELDS, HOP),
]


def name_of(step: object) -> str:
    return type(step).__name__


@pytest.mark.parametrize(("step", "facts"), VERBS, ids=name_of)
def test_a_step_holds_its_facts_and_nothing_else(
    step: Step[Any], facts: tuple[object, ...]
) -> None:
    names: tuple[str, ...] = cast("Any", step).__match_args__
    assert tuple(getattr(step, name) for name in names) == facts
    assert not hasattr(step, "__dict__")


@pytest.mark.parametrize("step", [step for step, _ in VERBS], ids=name_of)
def test_a_step_yields_itself_and_gives_what_is_sent(step: Step[Any]) -> None:
    def program() -> Program[object]:
        return (yield from step)

    waiting = program()
    assert next(waiting) is step
    result = None if isinstance(step, Deed) else "the result"
    with pytest.raises(StopIteration) as done:
        waiting.send(result)
    assert done.value.value == result
    failing = program()
    assert next(failing) is step
    with pytest.raises(OSError, match="gone"):
        failing.throw(OSError("gone"))


def test_there_is_no_other_verb() -> None:
    """H1-42: none that ends the sending side, so no program can half-close a connection."""
    verbs = {type(step) for step, _ in VERBS} | {Call, Offload}
    found: list[type[Any]] = [Step]
    for kind in found:
        below: list[type[Any]] = kind.__subclasses__()
        found.extend(verb for verb in below if verb.__module__ == Step.__module__)
    assert set(found) - {Step, Deed, Part} == verbs


def test_a_part_begins_with_what_it_is_called_after() -> None:
    assert [(part.phase, part.hop, part.seconds, part.attempts, part.soft) for part in PARTS] == [
        ("auth", HOP, 2.0, 1, True),
        ("resolve", HOP, 2.0, 3, False),
        ("tcp", HOP, 2.0, 3, False),
        ("proxy_tls", HOP, None, 1, False),
        ("connect", HOP, None, 1, False),
        ("connect", HOP, None, 1, False),
    ]


@pytest.mark.parametrize("verb", [Call, Offload])
def test_a_callable_is_bound_to_what_it_is_given(verb: type[Any]) -> None:
    def join(*parts: str, by: str) -> str:
        return by.join(parts)

    step = verb(join, "a", "b", by="-")
    assert step.__match_args__ == ("function",)
    assert step.function() == "a-b"


def test_what_is_not_matched_by_its_place() -> None:
    assert [Enter("connect", HOP).soft, Enter("connect", HOP, soft=True).soft] == [False, True]
    assert [Send(b"").more, Send(b"", more=True).more] == [False, True]
    assert [Join(HOP).elsewhere, Join(HOP, elsewhere=True).elsewhere] == [False, True]
    assert StartTLS(None, "proxy.test", protocols=("h2",)).protocols == ("h2",)


def test_a_step_fails_where_it_is_asked_for() -> None:
    def program() -> Program[str]:
        try:
            yield from Peek()
        except OSError as error:
            return str(error)
        return ""

    assert replay(program(), OSError("gone")).value == "gone"


def test_fields_that_are_sent_are_not_shown() -> None:
    secret = [(b"proxy-authorization", b"Basic dTpw")]
    assert repr(SendHead(secret, HOP)) == "SendHead(<1 fields>)"
    assert repr(Send(b"secret")) == "Send(<6 bytes>)"
    assert repr(Ask(b"secret", HOP)) == "Ask(<6 bytes>)"


def test_what_is_sent_is_not_shown() -> None:
    """AU-24: a traceback prints its locals, and this one may hold credentials."""
    assert repr(Send(b"Proxy-Authorization: Basic dTpw")) == "Send(<31 bytes>)"
