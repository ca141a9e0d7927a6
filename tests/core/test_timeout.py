"""Limits: what a caller may say, and the part that each phase of an opening belongs to."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import Timeout

if TYPE_CHECKING:
    from connect_tunnel._errors import Phase

PARTS = Timeout(10, resolve=1, tcp=2, tls=3, answer=4)


@pytest.mark.parametrize(
    ("said", "total"),
    [
        pytest.param(5, 5, id="int"),
        pytest.param(0.5, 0.5, id="float"),
        pytest.param(None, None, id="None: no limit"),
        pytest.param(float("inf"), None, id="infinity: no limit"),
        pytest.param(2_000_000, 2_000_000, id="23 days"),
        pytest.param(2_000_001, None, id="more days than a poll can count: no limit"),
        pytest.param(Timeout(7), 7, id="a Timeout"),
    ],
)
def test_what_a_caller_may_say(said: Any, total: float | None) -> None:
    assert Timeout.parse(said) == Timeout(total)
    assert Timeout.parse(said).total == total


@pytest.mark.parametrize("part", ["total", "resolve", "tcp", "tls", "answer"])
@pytest.mark.parametrize(
    "bad",
    [0, 0.0, -1, -0.1, float("nan"), float("-inf"), True, False, "5", b"5", Fraction(1, 2), (5,)],
    ids=repr,
)
def test_what_is_no_limit(part: str, bad: Any) -> None:
    with pytest.raises(ValueError, match="a timeout is a positive number of seconds or None, not"):
        Timeout(**{part: bad})


@pytest.mark.parametrize("bad", [0, -1, float("nan"), True, "5", [5]], ids=repr)
def test_what_is_no_timeout(bad: Any) -> None:
    with pytest.raises(ValueError, match="a timeout is"):
        Timeout.parse(bad)


@pytest.mark.parametrize(
    ("phase", "limit"),
    [
        ("resolve", 1),
        ("tcp", 2),
        ("proxy_tls", 3),
        ("connect", 4),
        ("auth", 4),
        ("target_tls", None),
        ("tunnel", None),
    ],
)
def test_the_limit_of_a_phase(phase: Phase, limit: float | None) -> None:
    assert PARTS.of(phase) == limit
    assert Timeout(10).of(phase) is None


def test_the_default_is_half_a_minute() -> None:
    assert Timeout() == Timeout(30.0)


@pytest.mark.parametrize("name", ["total", "resolve", "tcp", "tls", "answer"])
def test_its_parts_are_told_apart(name: str) -> None:
    facts: dict[str, Any] = {"total": 10, "resolve": 1, "tcp": 2, "tls": 3, "answer": 4, name: 9}
    assert Timeout(**facts) != PARTS
    assert getattr(Timeout(**facts), name) == 9


def test_it_is_a_value() -> None:
    same = Timeout(10, resolve=1, tcp=2, tls=3, answer=4)
    assert same == PARTS
    assert hash(same) == hash(PARTS)
    assert PARTS != 10
    assert pickle.loads(pickle.dumps(PARTS)) == PARTS
    assert copy.copy(PARTS) == copy.deepcopy(PARTS) == PARTS


@pytest.mark.parametrize("name", ["total", "resolve", "tcp", "tls", "answer"])
def test_it_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Timeout(), name, 0)


@pytest.mark.parametrize(
    ("timeout", "shown"),
    [
        (Timeout(), "Timeout(30.0)"),
        (Timeout(None), "Timeout(None)"),
        (PARTS, "Timeout(10, resolve=1, tcp=2, tls=3, answer=4)"),
        (Timeout(5, tls=2), "Timeout(5, tls=2)"),
    ],
)
def test_its_repr(timeout: Timeout, shown: str) -> None:
    assert repr(timeout) == shown


@pytest.mark.parametrize(
    ("timeout", "limit", "expected"),
    [
        (Timeout(10), None, Timeout(10)),
        (Timeout(10), 20, Timeout(10)),
        (Timeout(10), 5, Timeout(5)),
        (Timeout(None), 5, Timeout(5)),
        (PARTS, 5, Timeout(5, resolve=1, tcp=2, tls=3, answer=4)),
        (PARTS, 10, PARTS),
    ],
)
def test_within_a_limit(timeout: Timeout, limit: float | None, expected: Timeout) -> None:
    assert timeout.within(limit) == expected


@pytest.mark.parametrize("limit", [0, -1, True, float("nan")])
def test_within_no_limit(limit: float) -> None:
    with pytest.raises(ValueError, match="a positive number of seconds"):
        Timeout(10).within(limit)
