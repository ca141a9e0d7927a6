"""What a flow is told, and what is remembered from one flow to the next."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connect_tunnel import Proxy, ProxyResponse
from connect_tunnel._secret import Secret
from connect_tunnel.auth import Basic, Exchange
from connect_tunnel.auth._exchange import Memory

PROXY = Proxy("http://alice:s3cr3t@proxy.test:3128")
ALICE = Basic("alice", "a")


def remembering(*pairs: tuple[object, object]) -> Memory:
    memory = Memory()
    for whose, what in pairs:
        memory.keep(whose, what)
    return memory


@pytest.mark.parametrize(
    ("pairs", "kind", "recalled"),
    [
        pytest.param([], str, None, id="nothing"),
        pytest.param([(ALICE, "a")], str, "a", id="AU-05 what was learnt"),
        pytest.param([(ALICE, "a")], object, "a", id="AU-05 of any kind"),
        pytest.param([(ALICE, "a")], bytes, None, id="AU-05 not of another kind"),
        pytest.param([(ALICE, "a"), (ALICE, "b")], str, "b", id="AU-05 the last"),
        pytest.param([(ALICE, "a"), (ALICE, b"b")], str, None, id="AU-05 of another kind since"),
        pytest.param([(Basic("alice", "a"), "a")], str, "a", id="AU-06 by whoever is equal"),
        pytest.param([(Basic("alice", "b"), "a")], str, None, id="AU-06 not by another"),
        pytest.param([((ALICE,), "a")], str, None, id="AU-06 nor by several"),
    ],
)
def test_what_is_recalled(pairs: list[tuple[object, object]], kind: type, recalled: object) -> None:
    assert remembering(*pairs).recall(ALICE, kind) == recalled


def test_what_is_forgotten() -> None:
    memory = remembering((ALICE, "a"), ("bob", "b"))
    memory.forget(ALICE)
    memory.forget("nobody")
    assert (memory.recall(ALICE, str), memory.recall("bob", str)) == (None, "b")


def test_it_is_bounded() -> None:
    """What was kept last is known, where credentials change with each opening."""
    memory = Memory()
    for number in range(100):
        memory.keep("often", "o")
        memory.keep(number, "x")
    known = [number for number in range(100) if memory.recall(number, str)]
    assert known == list(range(85, 100))
    assert memory.recall("often", str) == "o"
    assert repr(memory) == "<Memory of 16>"


def test_au_06_two_know_nothing_of_each_other() -> None:
    one, other = remembering((ALICE, "a")), Memory()
    assert other.recall(ALICE, str) is None
    other.forget(ALICE)
    assert one.recall(ALICE, str) == "a"


def test_it_is_safe_between_threads() -> None:
    memory = Memory()

    def use(number: int) -> None:
        for turn in range(300):
            memory.keep((number, turn % 20), turn)
            memory.recall((number, 0), int)
            memory.forget((number, turn % 7))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(8))) == [None] * 8
    for number in range(40):
        memory.keep(number, number)
    assert repr(memory) == "<Memory of 16>"


def test_au_13_after_a_fork_the_child_knows_nothing() -> None:
    """It would count the uses of a nonce from where its parent does, too."""
    memory = remembering((ALICE, "a"))
    child = os.fork()
    if child == 0:  # pragma: no cover - the child, whose coverage nobody reads
        known = memory.recall(ALICE, str)
        memory.keep(ALICE, "b")
        os._exit(0 if (known, memory.recall(ALICE, str)) == (None, "b") else 1)
    assert os.waitpid(child, 0) == (child, 0)
    assert memory.recall(ALICE, str) == "a"


def test_au_13_nor_what_its_child_is_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = remembering((ALICE, "a"))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert memory.recall(ALICE, str) is None
    memory.keep(ALICE, "b")
    assert memory.recall(ALICE, str) == "b"


# ---- an exchange ----


def test_what_a_flow_is_told_at_first() -> None:
    exchange = Exchange(PROXY, "a.test:1")
    assert (exchange.proxy, exchange.authority) == (PROXY, "a.test:1")
    assert (exchange.response, exchange.challenges) == (None, ())
    assert (exchange.bound, exchange.user, exchange.tried) == (False, None, [])
    assert not exchange.rejected
    assert repr(exchange.memory) == "<Memory of 0>"


def test_its_memory_may_be_one_that_there_is() -> None:
    memory = Memory()
    assert Exchange(PROXY, "a.test:1", memory).memory is memory


@pytest.mark.parametrize(
    ("status", "rejected"),
    [
        (200, False),
        (299, False),
        (400, False),
        (401, True),
        (403, False),
        (407, True),
        (502, False),
    ],
)
def test_what_is_a_rejection(status: int, rejected: bool) -> None:
    """AU-23: 401 is one, though it is not answered."""
    exchange = Exchange(PROXY, "a.test:1")
    exchange.response = ProxyResponse(status)
    assert exchange.rejected is rejected


def test_au_24_nothing_of_it_is_shown() -> None:
    memory = remembering((ALICE, Secret("s3cr3t")), ("nonce", "s3cr3t"))
    exchange: Any = Exchange(PROXY, "a.test:1", memory)
    assert repr(exchange) == "<Exchange with http://proxy.test:3128 about a.test:1>"
    assert repr(memory) == "<Memory of 2>"
