"""Ways that could not be reached: they go to the end of the list for a while (EN-14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connect_tunnel import (
    Proxy,
    ProxyMisbehaved,
    ProxyTLSError,
    ProxyUnreachable,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel.routing import _health
from connect_tunnel.routing._health import COOL_DOWN, Health, is_unreached

if TYPE_CHECKING:
    from connect_tunnel.routing._decision import Way

A: Way = (Proxy("http://a.test"),)
B: Way = (Proxy("http://b.test"),)
C: Way = (Proxy("http://c.test"), Proxy("http://d.test"))
DIRECT: Way = ()
GONE = ProxyUnreachable("is not there")


class Clock:
    """A clock that a test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("error", "unreached"),
    [
        pytest.param(GONE, True, id="EN-14 nobody is there"),
        pytest.param(
            TunnelTimeout(phase="resolve"), True, id="EN-14 its name is not found in time"
        ),
        pytest.param(TunnelTimeout(phase="tcp"), True, id="EN-14 nor itself"),
        pytest.param(TunnelTimeout(phase="proxy_tls"), False, id="EN-14 it is there, and slow"),
        pytest.param(TunnelTimeout(phase="connect"), False, id="EN-14 it does not answer"),
        pytest.param(TunnelTimeout(), False, id="EN-14 nobody knows where the time went"),
        pytest.param(TunnelRefused("403"), False, id="EN-14 it refuses"),
        pytest.param(ProxyTLSError("is another"), False, id="EN-14 it is another"),
        pytest.param(ProxyMisbehaved("says what is odd"), False, id="EN-14 it is no proxy"),
        pytest.param(TunnelError("something else"), False, id="EN-14 something else"),
    ],
)
def test_what_counts_as_not_reached(error: TunnelError, unreached: bool, clock: Clock) -> None:
    assert is_unreached(error) is unreached
    health = Health(clock=clock)
    health.report(A, error)
    assert health.rests(A) is unreached


@pytest.mark.parametrize(
    ("resting", "ways", "order"),
    [
        pytest.param([], [A, B, C], [A, B, C], id="EN-14 all are well"),
        pytest.param([A], [A, B, C], [B, C, A], id="EN-14 the first goes to the end"),
        pytest.param([A], [A, DIRECT], [DIRECT, A], id="EN-14 also behind the direct way"),
        pytest.param([B, A], [A, B, C], [C, A, B], id="EN-14 two of them keep their order"),
        pytest.param([A, B, C], [A, B, C], [A, B, C], id="EN-14 all of them rest"),
        pytest.param([DIRECT], [DIRECT, A], [DIRECT, A], id="EN-14 the direct way never rests"),
        pytest.param([C], [C[:1], C], [C[:1], C], id="EN-14 a chain is another way"),
        pytest.param([A], [(Proxy("http://a.test"),), B], [B, A], id="EN-14 an equal proxy rests"),
    ],
)
def test_the_order_of_ways(
    resting: list[Way], ways: list[Way], order: list[Way], clock: Clock
) -> None:
    health = Health(clock=clock)
    for way in resting:
        health.report(way, GONE)
    assert health.order(ways) == order


def test_en_14_for_how_long(clock: Clock) -> None:
    """EN-14: five minutes from the last failure, and no longer than until it is reached again."""
    health = Health(clock=clock)
    assert COOL_DOWN == 300
    health.report(A, GONE)
    clock.now += 299
    assert health.rests(A)
    health.report(A, GONE)
    clock.now += 299
    assert health.rests(A)
    clock.now += 1
    assert not health.rests(A)
    health.report(A, GONE)
    health.report(A, None)
    assert not health.rests(A)
    health.report(B, None)  # of which nothing is known


def test_another_cool_down(clock: Clock) -> None:
    health = Health(10, clock=clock)
    health.report(A, GONE)
    clock.now += 10
    assert not health.rests(A)


def test_its_own_clock() -> None:
    health = Health(3600)
    health.report(A, GONE)
    assert health.rests(A)


def test_it_does_not_grow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_health, "_MOST", 3)
    health = Health(100, clock=clock)
    ways: list[Way] = [(Proxy(f"http://{number}.test"),) for number in range(10)]
    for way in ways[:3]:
        health.report(way, GONE)
        clock.now += 40
    health.report(ways[3], GONE)  # the first rests no more
    assert [health.rests(way) for way in ways[:4]] == [False, True, True, True]
    health.report(ways[4], GONE)  # there is no room, and all are forgotten
    assert [health.rests(way) for way in ways[:5]] == [False, False, False, False, True]
    health.report(ways[4], GONE)
    assert len(health._until) == 1
