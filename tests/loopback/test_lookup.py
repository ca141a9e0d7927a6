"""Names: who looks them up, and what becomes of a lookup that nobody waits for any more."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
import traceback
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import anyio
import pytest

from connect_tunnel import ProxyUnreachable, Timeout, TunnelTimeout, open_tunnel, open_tunnel_async
from connect_tunnel._net import lookup
from connect_tunnel._net.waits import Deadline, Expired, Ready
from connect_tunnel.testing import HalfClose, NextRequest, Receive, ScriptedProxy, Send

from .raw import OK
from .shells import BACKENDS, SHELLS, converse, failure, nothing_left, perform, took

if TYPE_CHECKING:
    from collections.abc import Generator

    from connect_tunnel._net.waits import Operation


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every host that is looked up; all of them are this one."""
    hosts: list[Any] = []

    def look_up(host: Any, port: int, **_: Any) -> list[tuple[Any, ...]]:
        hosts.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return hosts


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A resolver that says nothing until the test is over."""
    over = threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with nothing_left():
        yield
        over.set()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_numeric_host_is_never_looked_up(shell: str, asked: list[Any]) -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(OK + b"hi"), HalfClose()) as proxy:
        assert converse(shell, "192.0.2.1:1", via=proxy.url) == b"hi"
        failure(shell, via="http://[::1]:9", timeout=3)
    assert asked == []


@pytest.mark.parametrize("shell", SHELLS)
def test_names_of_targets_are_never_looked_up(shell: str, asked: list[Any]) -> None:
    """NM-10: nor are those of the further proxies of a chain, which the one before dials."""
    with ScriptedProxy(NextRequest(), Send(OK), NextRequest(), Send(OK)) as proxy:
        chain = [f"http://first.test:{proxy.port}", "http://second.test:3128"]
        if shell == "sync":
            open_tunnel("target.test:993", via=chain).close()
        else:

            async def use() -> None:
                async with await open_tunnel_async("target.test:993", via=chain):
                    pass

            anyio.run(use, backend=shell)
        assert [head.split(b" ")[1] for head in proxy.heads] == [
            b"second.test:3128",
            b"target.test:993",
        ]
    assert asked == [b"first.test"]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("faß.de", b"xn--fa-hia.de"),  # IDNA2003 would reach fass.de, another host
        ("BÜCHER.example", b"xn--bcher-kva.example"),
        ("my_proxy.", b"my_proxy."),
    ],
)
def test_the_resolver_gets_the_a_label(host: str, name: bytes, asked: list[Any]) -> None:
    """NM-11: as bytes, since getaddrinfo puts a str through IDNA2003."""
    with ScriptedProxy(Receive(), Send(OK)) as proxy:
        open_tunnel("a.test:1", via=f"http://{host}:{proxy.port}").close()
    assert asked == [name]


def test_a_name_is_tried_in_the_resolver_s_order() -> None:
    with ScriptedProxy(Receive(), Send(OK)) as proxy:
        open_tunnel("a.test:1", via=f"http://localhost:{proxy.port}", timeout=5).close()
        assert proxy.connections == 1


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (("192.0.2.1", 1), "192.0.2.1"),
        (("2001:db8::1", 1, 0, 0), "2001:db8::1"),
        (("fe80::1", 1, 0, 7), "fe80::1%7"),
        (("fe80::1%eth0", 1, 0, 7), "fe80::1%eth0"),
    ],
)
def test_a_link_local_address_keeps_its_zone(
    address: tuple[Any, ...], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NM-06: a name may stand for an address that means something on one link only."""
    answer = [(0, 0, 0, "", address)]
    monkeypatch.setattr(socket, "getaddrinfo", Mock(return_value=answer))
    assert perform("sync", lookup.resolve("p.test", 3128), Deadline()) == [(host, 3128)]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_name_that_cannot_be_looked_up(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with nothing_left():
        error = failure(shell, via="http://nowhere.test:3128")
    assert isinstance(error, ProxyUnreachable)
    assert error.phase == "resolve"
    assert error.errno == socket.EAI_NONAME
    assert error.attempts == (("nowhere.test", "Name or service not known"),)
    assert isinstance(error.__cause__, socket.gaierror)
    assert "proxy http://nowhere.test:3128 has a name that cannot be looked up" in str(error)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("timeout", [0.2, Timeout(5, resolve=0.2), Timeout(0.2, resolve=5)])
@pytest.mark.usefixtures("stuck")
def test_a_lookup_is_abandoned_at_the_deadline(shell: str, timeout: float | Timeout) -> None:
    """LL-10; and asyncio.run and trio.run return at once: nobody joins the thread."""
    with took(0.15, 1):
        error = failure(shell, via="http://stuck.test:3128", timeout=timeout)
    assert isinstance(error, TunnelTimeout)
    assert error.phase == "resolve"
    assert "could not be looked up within 0.2 s" in str(error)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.usefixtures("stuck")
def test_a_lookup_is_abandoned_when_cancelled(backend: str) -> None:
    async def use() -> None:
        with anyio.move_on_after(0.1) as scope:
            await open_tunnel_async("a.test:1", via="http://stuck.test:3128")
        assert scope.cancelled_caught

    with took(0.05, 1):
        anyio.run(use, backend=backend)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_lookup_does_not_hold_up_the_end_of_a_program(shell: str) -> None:
    script = textwrap.dedent(f"""
        import socket, sys, time
        import anyio
        import connect_tunnel
        socket.getaddrinfo = lambda *_, **__: time.sleep(20)
        way = dict(via="http://stuck.test:3128", timeout=0.2)
        try:
            if {shell!r} == "sync":
                connect_tunnel.open_tunnel("a.test:1", **way)
            else:
                async def use():
                    await connect_tunnel.open_tunnel_async("a.test:1", **way)
                anyio.run(use, backend={shell!r})
        except connect_tunnel.TunnelTimeout as error:
            print(error.phase)
    """)
    with took(0, 10):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, check=False, timeout=25
        )
    assert (done.stdout, done.stderr, done.returncode) == (b"resolve\n", b"", 0)


def test_a_late_answer_bothers_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        began.set()
        go_on.wait(5)
        ended.set()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with nothing_left():
        failure("sync", via="http://late.test:3128", timeout=0.1)
        assert began.is_set()
        assert not ended.is_set()
        go_on.set()
        assert ended.wait(5)


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    operation: Operation[int] = lookup.offload(lambda: 1)
    with nothing_left(), pytest.raises((RuntimeError, OSError)):
        perform("sync", operation, Deadline())


def test_au_24_what_came_too_late_is_not_shown() -> None:
    """AU-24: what was called may have read a secret by the time that nobody waits for it."""
    operation = lookup.offload(lambda: "t0k3n-" + "s3cr3t")
    wait = next(operation)
    assert isinstance(wait, Ready)
    wait.sock.setblocking(True)
    assert wait.sock.recv(1) == b""  # the end of the call
    with pytest.raises(Expired) as caught:
        operation.throw(Expired())
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = {frame.name: repr(frame.locals) for frame in told.stack}
    assert "outcome" in shown["offload"]
    assert "t0k3n-s3cr3t" not in shown["offload"]
