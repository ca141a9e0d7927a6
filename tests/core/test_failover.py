"""The first way that can be reached: in which order ways are named, and what changes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import InvalidProxy, Proxy, ProxyTLSError, ProxyUnreachable, Target
from connect_tunnel.routing import Direct, FirstWorking
from connect_tunnel.testing import replay

if TYPE_CHECKING:
    from connect_tunnel import TunnelError
    from connect_tunnel.routing import Decision

A, B, C = "http://a.test:1", "http://b.test:2", "https://c.test:3"
TARGET = Target("db.example.com", 5432)
DEAD = ProxyUnreachable("cannot be reached")


def decide(router: FirstWorking) -> Decision:
    done = replay(router.route(TARGET))
    assert done.steps == ()
    return done.value


def order(router: FirstWorking) -> list[str]:
    return [" ".join(proxy.url for proxy in way) or "direct" for way in decide(router).ways]


def report(router: FirstWorking, url: str, error: TunnelError | None) -> None:
    router.report((Proxy(url),), error)


def test_the_order_is_the_callers() -> None:
    assert order(FirstWorking([A, Proxy(B), [A, C], Direct()])) == [A, B, f"{A} {C}", "direct"]
    assert order(FirstWorking(way for way in (A, B))) == [A, B]
    assert "the first that can be reached of 2" in decide(FirstWorking([A, B])).rule


def test_who_could_not_be_reached_is_tried_last() -> None:
    """EN-14: for a while; and at once again when it was reached."""
    router = FirstWorking([A, B, C])
    report(router, A, DEAD)
    assert order(router) == [B, C, A]
    report(router, B, DEAD)
    assert order(router) == [C, A, B]
    report(router, A, None)
    assert order(router) == [A, C, B]


def test_what_answers_is_there() -> None:
    """EN-14: a failure behind the dialling is no reason to leave a proxy."""
    router = FirstWorking([A, B])
    report(router, A, ProxyTLSError("not trusted"))
    assert order(router) == [A, B]


@pytest.mark.parametrize(("seconds", "wanted"), [(1e-9, [A, B]), (None, [B, A])])
def test_how_long_one_rests(seconds: Any, wanted: list[str]) -> None:
    router = FirstWorking([A, B], cool_down=seconds)
    report(router, A, DEAD)
    assert order(router) == wanted


def test_each_opening_begins_with_the_next_one() -> None:
    router = FirstWorking([A, B, C], rotate=True)
    assert [order(router)[0] for _ in range(6)] == [A, B, C, A, B, C]
    report(router, A, DEAD)
    assert [order(router) for _ in range(3)] == [[B, C, A], [B, C, A], [C, B, A]]


def test_threads_take_turns() -> None:
    router = FirstWorking([A, B, C], rotate=True)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(order, router) for _ in range(300)]
        firsts = [found.result()[0] for found in asked]
    assert {url: firsts.count(url) for url in (A, B, C)} == {A: 100, B: 100, C: 100}


NO_WAYS: list[tuple[Any, str]] = [
    ([], "no ways at all"),
    ([[]], "a way of no proxies at all"),
    (A, "ways are a list"),
    (Proxy(A), "ways are a list"),
    ([("proxy.corp", 3128)], "not tuple"),
    ([None], "not NoneType"),
    (["ftp://h"], "unknown scheme"),
    ([A, "http://user:s3cr3t@h:x"], "cannot be read"),
    ([[A, "http://user:s3cr3t@h:x"]], "cannot be read"),
]


@pytest.mark.parametrize(
    ("ways", "words"),
    NO_WAYS,
    ids=["none", "an empty chain", "a URL", "a proxy", "a pair", "nothing", "a scheme",
         "AU-07 a bad URL", "AU-07 in a chain"],
)  # fmt: skip
def test_what_are_no_ways(ways: Any, words: str) -> None:
    with pytest.raises(InvalidProxy, match=words) as caught:
        FirstWorking(ways)
    shown = "".join(repr(entry.locals) for entry in caught.traceback[1:])
    assert "s3cr3t" not in f"{caught.value} {caught.value!r} {shown}"


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), True, "1"])
def test_what_is_no_time_to_rest(seconds: Any) -> None:
    with pytest.raises(ValueError, match="a positive number of seconds"):
        FirstWorking([A], cool_down=seconds)


def test_it_shows_no_password() -> None:
    router = FirstWorking(["http://alice:s3cr3t@a.test:1", [A, C], Direct()])
    assert repr(router) == f"<FirstWorking: {A}, {A} -> {C}, direct>"
    anything: Any = router
    with pytest.raises(AttributeError):
        anything.rotate = True
