"""The hops of a way, and what an open tunnel knows of them."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from connect_tunnel import HTTP2, InvalidProxy, Proxy, ProxyResponse, Route
from connect_tunnel._route import _MOST_WAYS, Hop, Routed, hops_of
from connect_tunnel.routing import Direct

PROXY = Proxy("http://alice:s3cr3t-pw@proxy.test:3128")


@pytest.mark.parametrize(
    ("hop", "place", "shown"),
    [
        (Hop(PROXY), None, "<Hop 1 of 1: http://proxy.test:3128>"),
        (Hop(PROXY, 1, 2), "1 of 2", "<Hop 1 of 2: http://proxy.test:3128>"),
        (Hop(PROXY, 2, 3), "2 of 3", "<Hop 2 of 3: http://proxy.test:3128>"),
    ],
    ids=["the only one", "the first of two", "the second of three"],
)
def test_a_hop(hop: Hop, place: str | None, shown: str) -> None:
    assert hop.place == place
    assert repr(hop) == shown
    match hop:
        case Hop(proxy, number, of):
            assert (proxy, number, of) == (PROXY, hop.number, hop.of)


def test_a_hop_remembers_for_those_who_have_credentials() -> None:
    """AU-05, AU-06: what one learnt is no other's, though the proxy is the same."""
    one, other = Hop(PROXY), Hop(PROXY)
    assert one.memory is not None
    assert one.memory is not other.memory
    assert Hop(Proxy("http://proxy.test:3128")).memory is None


@pytest.mark.parametrize(
    ("options", "forgone", "protocols"),
    [
        ({}, False, ("http/1.1",)),
        ({"http2": True}, False, ("h2", "http/1.1")),
        ({"http2": True, "http1": False}, False, ("h2",)),
        ({"http2": True}, True, ("http/1.1",)),
    ],
    ids=["HTTP/1.1", "either", "HTTP/2 alone", "what turned out"],
)
def test_what_a_hop_is_offered(
    options: dict[str, Any], forgone: bool, protocols: tuple[str, ...]
) -> None:
    """H2-03: never h2c, and never what is not to be spoken."""
    hop = Hop(Proxy("https://proxy.test", **options))
    if forgone:
        hop.forgo_http2()
    assert hop.protocols == protocols
    assert hop.multiplexes is ("h2" in protocols)


def test_the_context_of_a_hop() -> None:
    """TL-04: another where HTTP/2 is of no use, if there is one; none is ever changed."""
    offers, other = ssl.create_default_context(), ssl.create_default_context()
    given = Proxy("https://proxy.test", ssl_context=offers, http2=HTTP2(fallback_context=other))
    for proxy, later in [
        (given, other),
        (Proxy("https://proxy.test", ssl_context=offers, http2=True), offers),
        (Proxy("https://proxy.test", ssl_context=offers), offers),
    ]:
        hop = Hop(proxy)
        assert hop.ssl_context is offers
        hop.forgo_http2()
        assert hop.ssl_context is later


PLAIN = Proxy("http://plain.test")
UNIX = Proxy("unix:///run/p.sock")
NAMED = Proxy("https://proxy.test", unix_path="/run/p.sock")
TOLD = Proxy("http://proxy.test", proxy_protocol=1)


@pytest.mark.parametrize(
    "proxies",
    [[], [PLAIN], [PLAIN, PLAIN, PLAIN], [UNIX], [UNIX, PLAIN], [NAMED, PLAIN], [TOLD, PLAIN]],
    ids=len,
)
def test_hops(proxies: list[Proxy]) -> None:
    """LL-08, LL-09: in the order they are passed, and each knows its place."""
    hops = hops_of(proxies)
    assert [hop.proxy for hop in hops] == proxies
    places = [(number, len(proxies)) for number in range(1, len(proxies) + 1)]
    assert [(hop.number, hop.of) for hop in hops] == places


@pytest.mark.parametrize(
    ("proxies", "said"),
    [
        ([PLAIN, UNIX], "proxy unix:///run/p.sock is behind a Unix socket"),
        ([UNIX, UNIX], "proxy unix:///run/p.sock is behind a Unix socket"),
        ([PLAIN, PLAIN, NAMED], "proxy https://proxy.test:443 is behind a Unix socket"),
        ([PLAIN, TOLD], "proxy http://proxy.test:80 is told the PROXY protocol"),
    ],
    ids=["a socket", "two sockets", "the last", "the PROXY protocol"],
)
def test_what_can_only_be_dialled_comes_first(proxies: list[Proxy], said: str) -> None:
    """LL-08: no proxy could be asked for it."""
    with pytest.raises(InvalidProxy, match="so it can only be the first") as caught:
        hops_of(proxies)
    assert str(caught.value).startswith(said)


def test_t10_hops_are_kept_for_their_way_and_shared_with_no_other() -> None:
    """AU-05, AU-06: a way that is equal is the same; any other has hops of its own."""
    routed = Routed(Direct())
    way, longer, other = (PROXY,), (PROXY, PROXY), (Proxy("http://bob:x@proxy.test:3128"),)
    hops = routed.hops(way)
    assert routed.hops((Proxy("http://alice:s3cr3t-pw@proxy.test:3128"),)) is hops
    memories = [hop.memory for each in (way, longer, other) for hop in routed.hops(each)]
    assert None not in memories
    assert len({id(memory) for memory in memories}) == 4
    assert Routed(Direct()).hops(way)[0].memory is not hops[0].memory
    assert routed.hops(()) == ()


def test_t10_no_more_are_kept_than_anybody_needs() -> None:
    """A PAC file may make ways up without end; what is forgotten is learnt again."""
    routed = Routed(Direct())
    first = routed.hops((PROXY,))
    for number in range(1, _MOST_WAYS):
        routed.hops((Proxy(f"http://h{number}"),))
    assert routed.hops((PROXY,)) is first
    assert len(routed._hops) == _MOST_WAYS
    routed.hops((Proxy("http://one-more"),))
    assert len(routed._hops) == 1
    assert routed.hops((PROXY,)) is not first


def test_a_way_that_is_none_is_not_kept() -> None:
    routed = Routed(Direct())
    for _ in range(2):
        with pytest.raises(InvalidProxy):
            routed.hops((PLAIN, UNIX))
    assert routed._hops == {}


def test_a_router_is_shown_as_itself() -> None:
    assert repr(Routed(Direct())) == "Direct()"


def test_the_route_of_a_direct_tunnel() -> None:
    assert repr(Route((), ())) == "<Route direct>"


def test_a_route() -> None:
    answers = (ProxyResponse(200), ProxyResponse(204))
    route = Route(("http://a:1", "https://b:2"), answers)
    assert route.proxies == ("http://a:1", "https://b:2")
    assert route.responses is answers
    assert repr(route) == "<Route http://a:1 -> https://b:2>"
    match route:
        case Route(proxies, responses):
            assert (proxies, responses) == (route.proxies, answers)
