"""Decisions, the ways that they name, and the routers that make them."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import InvalidProxy, Proxy, Target
from connect_tunnel import routing as routing_module
from connect_tunnel._steps import Step
from connect_tunnel.routing import Call, Decision, Direct, Router

if TYPE_CHECKING:
    from collections.abc import Generator

    from connect_tunnel.routing import Program

A, B = Proxy("http://a:1"), Proxy("https://b:2")
TARGET = Target("db.test", 5432)


@pytest.mark.parametrize(
    ("ways", "proxies", "words"),
    [
        pytest.param([()], (), "direct", id="direct"),
        pytest.param([[A]], (A,), "through http://a:1", id="one proxy"),
        pytest.param([[A, B]], (A, B), "through http://a:1, then https://b:2", id="a chain"),
        pytest.param([[A], [B]], (A,), "through http://a:1, or through https://b:2", id="two ways"),
        pytest.param([[A], []], (A,), "through http://a:1, or direct", id="EN-14 direct is listed"),
        pytest.param(((A,), ()), (A,), "through http://a:1, or direct", id="tuples"),
    ],
)
def test_what_it_says(ways: Any, proxies: tuple[Proxy, ...], words: str) -> None:
    decision = Decision(ways, "a rule")
    assert decision.ways == tuple(tuple(way) for way in ways)
    assert (decision.proxies, decision.rule, str(decision)) == (proxies, "a rule", words)
    assert repr(decision) == f"<Decision: {words}; a rule>"


@pytest.mark.parametrize(
    "ways", [[], (), [["http://u:s3cr3t@h:1"]], [[A, None]], "http://u:s3cr3t@h:1", [[[A]]]]
)
def test_what_is_none(ways: Any) -> None:
    with pytest.raises(InvalidProxy, match=r"one way at least.*; write \[\[proxy\]\]") as caught:
        Decision(ways, "a rule")
    assert "s3cr3t" not in str(caught.value)
    frame = caught.traceback[-1].frame
    assert frame.code.name == "__init__"
    assert "s3cr3t" not in repr(frame.f_locals)


def test_it_is_a_value() -> None:
    decision = Decision([[A], [B]], "a rule")
    assert decision == Decision(((A,), (B,)), "a rule")
    assert hash(decision) == hash(Decision(((A,), (B,)), "a rule"))
    assert decision != Decision([[A]], "a rule")
    assert decision != Decision([[A], [B]], "another")
    assert decision != ((A,), (B,))
    assert copy.copy(decision) is decision
    assert pickle.loads(pickle.dumps(decision)) == decision
    with pytest.raises(AttributeError):
        decision.rule = "another"
    match decision:
        case Decision(ways, rule):
            assert (ways, rule) == (((A,), (B,)), "a rule")


def test_au_07_its_repr_shows_no_password() -> None:
    decision = Decision([[Proxy("http://alice:s3cr3t@a:1")]], "a rule")
    assert "s3cr3t" not in repr(decision) + str(decision)


def run(program: Program[Decision], *answers: object) -> Decision:
    """Run a program whose steps come to these answers."""
    given = iter(answers)
    steps: Generator[Step[Any], Any, Decision] = program
    try:
        step = next(steps)
        while True:
            assert isinstance(step, Step)
            step = steps.send(next(given))
    except StopIteration as end:
        assert list(given) == []
        decision: Decision = end.value
        return decision


class ByTenant(Router):
    """As in the docstring of `Router`."""

    def look_up(self, host: str) -> str:
        raise NotImplementedError

    def route(self, target: Target) -> Program[Decision]:
        if target.host.endswith(".corp.example"):
            return Decision([[]], "our own network")
        url = yield from Call(self.look_up, target.host)
        return Decision([[Proxy(url)]], "the tenant's proxy")


def test_a_router_of_ones_own() -> None:
    router = ByTenant()
    assert run(router.route(Target("a.corp.example", 1))).proxies == ()
    assert run(router.route(TARGET), "http://a:1").proxies == (A,)


def test_a_router_says_how_it_routes() -> None:
    with pytest.raises(NotImplementedError):
        Router().route(TARGET)


def test_direct() -> None:
    decision = run(Direct().route(TARGET))
    assert (decision.ways, decision.rule) == (((),), "direct, as it was asked for")
    assert Direct() == Direct()
    assert hash(Direct()) == hash(Direct())
    assert Direct() != Router()
    assert repr(Direct()) == "Direct()"
    assert pickle.loads(pickle.dumps(Direct())) == Direct()


def test_the_public_names() -> None:
    for name in routing_module.__all__:
        assert getattr(routing_module, name) is getattr(routing_module, name)
    assert set(routing_module.__all__) <= set(dir(routing_module))
    for public in (Decision, Direct, Router, routing_module.Environment):
        assert public.__module__ == "connect_tunnel.routing"
    with pytest.raises(AttributeError, match="has no attribute 'Wpad'"):
        routing_module.Wpad  # noqa: B018 - asking is the test
