"""The hops of a way, and what an open tunnel knows of them."""

from __future__ import annotations

import pytest

from connect_tunnel import Proxy, ProxyResponse, Route
from connect_tunnel._route import Hop

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


def test_a_route() -> None:
    answers = (ProxyResponse(200), ProxyResponse(204))
    route = Route(("http://a:1", "https://b:2"), answers)
    assert route.proxies == ("http://a:1", "https://b:2")
    assert route.responses is answers
    assert repr(route) == "<Route http://a:1 -> https://b:2>"
    match route:
        case Route(proxies, responses):
            assert (proxies, responses) == (route.proxies, answers)
