"""Reading `via`: what a caller may say, and the hops or the words that come of it."""

from __future__ import annotations

from typing import Any

import pytest

from connect_tunnel import InvalidProxy, Proxy, ProxyResponse, Target
from connect_tunnel._route import Routed
from connect_tunnel._via import read_via, shares, shown
from connect_tunnel.routing import Direct, Router

PROXY = Proxy("https://proxy.test")


@pytest.mark.parametrize(
    ("via", "hops"),
    [
        pytest.param("http://a", [("http://a:80", None)], id="a URL"),
        pytest.param(PROXY, [("https://proxy.test:443", None)], id="a proxy"),
        pytest.param(["http://a"], [("http://a:80", None)], id="a list of one"),
        pytest.param(
            ["http://a", PROXY, "http://b:3128"],
            [
                ("http://a:80", "1 of 3"),
                ("https://proxy.test:443", "2 of 3"),
                ("http://b:3128", "3 of 3"),
            ],
            id="a chain, the first hop first",
        ),
        pytest.param(
            ["http://a", "http://a"],
            [("http://a:80", "1 of 2"), ("http://a:80", "2 of 2")],
            id="one proxy twice",
        ),
    ],
)
def test_the_hops_of_a_way(via: Any, hops: list[tuple[str, str | None]]) -> None:
    read = read_via(via)
    assert isinstance(read, tuple)
    assert [(hop.proxy.url, hop.place) for hop in read] == hops


def test_a_proxy_is_taken_as_it_is() -> None:
    read = read_via([PROXY, PROXY])
    assert isinstance(read, tuple)
    assert all(hop.proxy is PROXY for hop in read)


def test_a_router_decides_later() -> None:
    """It is not asked before there is a target."""

    class Unasked(Router):
        pass

    router = Unasked()
    read = read_via(router)
    assert isinstance(read, Routed)
    assert read.router is router


@pytest.mark.parametrize(
    ("via", "words"),
    [
        ("http://u:s3cr3t@a", "http://a:80"),
        (["http://a", "socks5h://u:s3cr3t@b"], "http://a:80 -> socks5h://b:1080"),
        ("unix:///run/a%20b", "unix:///run/a%20b"),
        (Proxy("https://a", unix_path="/run/p.sock"), "https://a:443"),
        (Direct(), "Direct()"),
    ],
    ids=["a URL", "a chain", "a socket", "a named socket", "a router"],
)
def test_a_way_in_words(via: Any, words: str) -> None:
    """AU-07: fit for a repr."""
    read = read_via(via)
    assert not isinstance(read, InvalidProxy | ImportError)
    assert shown(read) == words


MULTIPLEXING = Proxy("https://proxy.test", http2=True)


@pytest.mark.parametrize(
    ("via", "shared"),
    [
        ("http://a", False),
        (["http://a", PROXY], False),
        (MULTIPLEXING, True),
        (["http://a", MULTIPLEXING], True),
        (Direct(), True),
    ],
    ids=["HTTP/1.1", "a chain of it", "H2-06 HTTP/2", "in a chain", "nobody knows yet"],
)
def test_whether_connections_may_be_shared(via: Any, shared: bool) -> None:
    read = read_via(via)
    assert not isinstance(read, InvalidProxy | ImportError)
    assert shares(read) is shared


@pytest.mark.parametrize(
    ("via", "words"),
    [
        pytest.param([], "a way of no proxies at all; name at least one", id="an empty list"),
        pytest.param(("proxy.test", 3128), "not tuple; write 'http://host:port'", id="a pair"),
        pytest.param((PROXY,), "not tuple", id="a tuple of proxies"),
        pytest.param((), "not tuple", id="an empty tuple"),
        pytest.param(None, "not NoneType", id="None is not a direct way"),
        pytest.param(b"http://a", "not bytes", id="bytes"),
        pytest.param({"http": "http://a"}, "not dict", id="a mapping"),
        pytest.param({"http://a"}, "not set", id="a set"),
        pytest.param(iter(["http://a"]), "not list_iterator", id="an iterator"),
        pytest.param(Target("h", 1), "not Target", id="a target"),
        pytest.param(ProxyResponse(200), "not ProxyResponse", id="a response"),
        pytest.param("proxy.test:3128", "no scheme; write 'http://host:port'", id="no scheme"),
        pytest.param("", "no scheme", id="an empty URL"),
        pytest.param(["http://a", "b:1"], "no scheme", id="no scheme in a chain"),
        pytest.param([None], "a proxy is a URL or a Proxy, not NoneType", id="a list of None"),
        pytest.param([("a", 1)], "not tuple; write 'http://host:port'", id="a list of pairs"),
        pytest.param([["http://a"]], "not list", id="a list of lists"),
        pytest.param([Direct()], "not Direct", id="a list of routers"),
        pytest.param(Direct, "not type", id="a class of routers"),
        pytest.param(
            ["http://a", "unix:///run/p.sock"], "it can only be the first", id="a socket behind"
        ),
    ],
)
def test_what_is_no_way(via: Any, words: str) -> None:
    error = read_via(via)
    assert isinstance(error, InvalidProxy)
    assert words in str(error)
    # What a traceback would print: frames that knew `via`.
    assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)
