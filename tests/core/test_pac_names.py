"""Names that a PAC file has looked up (EN-13): what the resolver is asked, and what comes of it."""

from __future__ import annotations

import socket
from typing import Any, Self

import pytest

from connect_tunnel.routing._script.names import addresses_of

STREAM = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
FOUND: dict[str, list[tuple[Any, ...]]] = {
    "a.test": [
        (socket.AF_INET6, *STREAM, ("2001:db8::1", 0, 0, 0)),
        (socket.AF_INET, *STREAM, ("192.0.2.1", 0)),
        (socket.AF_INET, *STREAM, ("192.0.2.1", 0)),
    ],
    "local.test": [(socket.AF_INET6, *STREAM, ("fe80::1%eth0", 0, 0, 2))],
    "xn--bcher-kva.test": [(socket.AF_INET, *STREAM, ("192.0.2.2", 0))],
    "under_score.test.": [(socket.AF_INET, *STREAM, ("192.0.2.3", 0))],
}


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that the resolver was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: bytes, port: None, *, type: int) -> list[tuple[Any, ...]]:  # noqa: A002
        assert isinstance(host, bytes)  # a str would go through IDNA2003
        asked.append(host.decode())
        if asked[-1] not in FOUND:
            raise socket.gaierror(-2, "Name or service not known")
        return FOUND[asked[-1]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    ("host", "addresses", "name"),
    [
        ("a.test", ["2001:db8::1", "192.0.2.1"], "a.test"),
        ("A.Test", ["2001:db8::1", "192.0.2.1"], "a.test"),
        ("local.test", ["fe80::1"], "local.test"),
        ("bücher.test", ["192.0.2.2"], "xn--bcher-kva.test"),
        ("under_score.test.", ["192.0.2.3"], "under_score.test."),
        ("none.test", [], "none.test"),
        # What is none of the resolver's business.
        ("192.0.2.9", ["192.0.2.9"], None),
        ("2001:DB8::9", ["2001:db8::9"], None),
        ("[2001:db8::9]", ["2001:db8::9"], None),
        ("localhost", ["127.0.0.1", "::1"], None),
        ("x.LOCALHOST", ["127.0.0.1", "::1"], None),
        ("a b", [], None),
        ("a.test:80", [], None),
        ("fe80::1%eth0", [], None),
        ("http://a.test/", [], None),
        ("a\0b", [], None),
        ("\ud800", [], None),
        ("x" * 300, [], None),
    ],
    ids=ascii,
)
def test_names(host: str, addresses: list[str], name: str | None, asked: list[str]) -> None:
    assert addresses_of(host) == addresses
    assert asked == ([] if name is None else [name])


class Probe:
    """A datagram socket in a machine of which the routes are known."""

    routes: dict[str, str]

    def __init__(self, family: int, kind: int) -> None:
        assert kind == socket.SOCK_DGRAM
        self.own = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def connect(self, address: tuple[str, int]) -> None:
        if address[0] not in self.routes:
            raise OSError(101, "Network is unreachable")
        self.own = self.routes[address[0]]

    def getsockname(self) -> tuple[Any, ...]:
        return self.own, 40000


@pytest.mark.parametrize(
    ("routes", "addresses"),
    [
        ({"192.0.2.1": "198.51.100.5"}, ["198.51.100.5"]),
        (
            {"192.0.2.1": "198.51.100.5", "2001:db8::1": "2001:db8::5", "10.0.0.1": "10.1.1.1"},
            ["198.51.100.5", "2001:db8::5", "10.1.1.1"],
        ),
        ({"192.0.2.1": "10.0.0.9", "10.0.0.1": "10.0.0.9"}, ["10.0.0.9"]),
        ({"fd00::1": "fe80::5%eth0"}, ["fe80::5"]),
        ({}, []),
    ],
)
def test_this_machine(
    routes: dict[str, str], addresses: list[str], monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    monkeypatch.setattr(Probe, "routes", routes, raising=False)
    monkeypatch.setattr(socket, "socket", Probe)
    assert addresses_of("") == addresses
    assert asked == []


def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(family: int, kind: int) -> Probe:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    assert addresses_of("") == []
