"""Ways there: SOCKS, Unix sockets, the PROXY protocol, chains of all of these, and routers."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import anyio
import pytest

from connect_tunnel import (
    AsyncDialer,
    Dialer,
    InvalidProxy,
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyTLSError,
    ProxyUnreachable,
    Refusal,
    Timeout,
    TunnelRefused,
    TunnelTimeout,
    open_tunnel,
    open_tunnel_async,
)
from connect_tunnel.auth import Basic
from connect_tunnel.routing import Decision, Direct, FirstWorking, Router
from connect_tunnel.testing import (
    Close,
    Echo,
    HalfClose,
    LoopbackProxy,
    NextRequest,
    Receive,
    ScriptedProxy,
    Send,
    Wait,
)

from .fronts import behind_unix_socket, socks5
from .raw import OK
from .shells import SHELLS, blackhole, converse, failure, nothing_left, refusing, took

if TYPE_CHECKING:
    from collections.abc import Generator

    import trustme

    from connect_tunnel import Target
    from connect_tunnel._steps import Program
    from connect_tunnel.testing import Step

shells = pytest.mark.parametrize("shell", SHELLS)

NO = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
HI: tuple[Step, ...] = Send(b"hi"), HalfClose()
ACCEPTS: tuple[Step, ...] = Receive(), Send(OK), *HI


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every name that is looked up: those in .test are at this machine, others nowhere."""
    names: list[Any] = []
    real = socket.getaddrinfo

    def look_up(host: Any, port: int, *others: Any, **named: Any) -> list[tuple[Any, ...]]:
        if isinstance(host, str):  # said by a proxy of the test
            return real(host, port, *others, **named)
        names.append(host)
        if not host.endswith(b".test"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


# ---- a proxy behind a Unix socket ----


@shells
def test_a_proxy_behind_a_unix_socket(shell: str) -> None:
    """LL-09: by URL and by argument, and credentials go where they go."""
    with nothing_left(), ScriptedProxy(*ACCEPTS) as proxy, behind_unix_socket(proxy.port) as path:
        assert converse(shell, via=f"unix://{path}") == b"hi"
        assert converse(shell, via=f"unix://u:p@{path}") == b"hi"
        assert converse(shell, via=Proxy("http://proxy.test", unix_path=path)) == b"hi"
        assert [b"Proxy-Authorization: Basic dTpw" in head for head in proxy.heads] == [
            False, True, False,
        ]  # fmt: skip
        assert {head.split()[1] for head in proxy.heads} == {b"a.test:1"}


@shells
def test_an_https_proxy_behind_a_unix_socket(shell: str, ca: trustme.CA) -> None:
    """TL-01: the name that it is to prove is that of its URL."""
    server, client, names = for_one_name(ca, "proxy.test")
    with (
        nothing_left(),
        ScriptedProxy(*ACCEPTS, ssl_context=server) as proxy,
        behind_unix_socket(proxy.port) as path,
    ):
        good = Proxy("https://proxy.test", unix_path=path, ssl_context=client)
        assert converse(shell, via=good) == b"hi"
        other = Proxy("https://other.test", unix_path=path, ssl_context=client)
        assert isinstance(failure(shell, via=other), ProxyTLSError)
    assert names == ["proxy.test", "other.test"]


@shells
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/nowhere/proxy.sock", errno.ENOENT),
        ("/dev/null", errno.ECONNREFUSED),
        ("\0connect-tunnel-nobody", errno.ECONNREFUSED),
        ("/" + "x" * 200, None),
    ],
    ids=["no file", "no socket", "no such name", "too long"],
)
def test_a_unix_socket_that_is_not_there(path: str, code: int | None, shell: str) -> None:
    with nothing_left():
        error = failure(shell, via=Proxy("http://proxy.test", unix_path=path))
    assert isinstance(error, ProxyUnreachable)
    assert (error.phase, error.errno) == ("tcp", code)
    assert [place for place, _ in error.attempts] == [ascii(path)[1:-1]]


def test_options_reach_a_unix_socket_too() -> None:
    with nothing_left(), ScriptedProxy(*ACCEPTS) as proxy, behind_unix_socket(proxy.port) as path:
        options = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)]
        with (
            open_tunnel("a.test:1", via=f"unix://{path}", socket_options=options) as tunnel,
            tunnel.socket() as sock,
        ):
            assert sock.family == socket.AF_UNIX
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 8192


# ---- the PROXY protocol ----

V2 = bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c 7f000001 7f000001")
VERSION_1 = re.compile(rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 [0-9]+ ([0-9]+)\r\n")
VERSION_2 = re.compile(re.escape(V2) + rb"..(..)", re.DOTALL)


def port_told(version: Literal[1, 2], received: bytes) -> tuple[int, bytes]:
    """The port that a header names as ours, and what follows it."""
    found = (VERSION_1 if version == 1 else VERSION_2).match(received)
    assert found, received
    port = int(found[1]) if version == 1 else int.from_bytes(found[1], "big")
    return port, received[found.end() :]


@shells
@pytest.mark.parametrize("version", [1, 2])
def test_the_proxy_protocol_comes_first(version: Literal[1, 2], shell: str) -> None:
    """With the addresses of the connection itself, and CONNECT right behind it."""
    with nothing_left(), ScriptedProxy(Receive(b"CONNECT "), *ACCEPTS) as proxy:
        via = Proxy(f"http://127.0.0.1:{proxy.port}", proxy_protocol=version)
        assert converse(shell, via=via) == b"hi"
        assert proxy.wait_closed()
        port, rest = port_told(version, proxy.received[0])
        assert port == proxy.port
        assert rest.startswith(b"CONNECT a.test:1 HTTP/1.1\r\n")


@shells
@pytest.mark.parametrize("version", [1, 2])
def test_the_proxy_protocol_comes_before_tls(version: Literal[1, 2], shell: str) -> None:
    with nothing_left(), ScriptedProxy(Receive(b"\x16\x03\x01"), Close()) as proxy:
        via = Proxy(f"https://127.0.0.1:{proxy.port}", proxy_protocol=version)
        assert isinstance(failure(shell, via=via), ProxyTLSError)
        port, rest = port_told(version, proxy.received[0])
        assert port == proxy.port
        assert rest.startswith(b"\x16\x03\x01")


@shells
@pytest.mark.parametrize(
    ("version", "header"),
    [(1, b"PROXY UNKNOWN\r\n"), (2, V2[:12] + b"\x20\x00\x00\x00")],
)
def test_the_proxy_protocol_through_a_unix_socket(version: Any, header: bytes, shell: str) -> None:
    with (
        nothing_left(),
        ScriptedProxy(Receive(b"CONNECT "), *ACCEPTS) as proxy,
        behind_unix_socket(proxy.port) as path,
    ):
        assert converse(shell, via=Proxy(f"unix://{path}", proxy_protocol=version)) == b"hi"
        assert proxy.received[0].startswith(header + b"CONNECT ")


# ---- SOCKS ----

GREETING, CHOSEN = b"\x05\x01\x00", b"\x05\x00"
GREETING_WITH_LOGIN, WANTED = b"\x05\x02\x00\x02", b"\x05\x02"
LOGIN, LET_IN = b"\x01\x01u\x01p", b"\x01\x00"
BY_NAME = b"\x05\x01\x00\x03\x06a.test\x00\x01"
BY_ADDRESS = b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x01"
GRANTED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
GRANTED_BY_NAME = b"\x05\x00\x00\x03\x03abc\x00\x00"
BY_NAME_4 = b"\x04\x01\x00\x01\x00\x00\x00\xff\x00a.test\x00"
BY_ADDRESS_4 = b"\x04\x01\x00\x01\x7f\x00\x00\x01u\x00"
GRANTED_4 = b"\x00\x5a\x00\x00\x00\x00\x00\x00"

# What goes between scheme and address; what is said, each message and its answer; whether the
# target is looked up here.
SOCKS: dict[str, tuple[str, list[tuple[bytes, bytes]], bool]] = {
    "socks5h": ("socks5h://", [(GREETING, CHOSEN), (BY_NAME, GRANTED)], False),
    "socks5h, bound to a name": (
        "socks5h://", [(GREETING, CHOSEN), (BY_NAME, GRANTED_BY_NAME)], False,
    ),
    "socks5h with a login": (
        "socks5h://u:p@",
        [(GREETING_WITH_LOGIN, WANTED), (LOGIN, LET_IN), (BY_NAME, GRANTED)], False,
    ),
    "socks5": ("socks5://", [(GREETING, CHOSEN), (BY_ADDRESS, GRANTED)], True),
    "socks4a": ("socks4a://", [(BY_NAME_4, GRANTED_4)], False),
    "socks4": ("socks4://u@", [(BY_ADDRESS_4, GRANTED_4)], True),
}  # fmt: skip


def script_of(said: list[tuple[bytes, bytes]], early: bytes = b"", **how: Any) -> list[Step]:
    """A SOCKS proxy. What comes early comes in one segment with the last answer."""
    answers = [answer for _, answer in said]
    answers[-1] += early
    steps: list[Step] = []
    for (message, _), answer in zip(said, answers, strict=True):
        steps += Receive(message), Send(answer, **how)
    return steps


@shells
@pytest.mark.parametrize(("start", "said", "here"), SOCKS.values(), ids=SOCKS)
def test_socks(
    start: str, said: list[tuple[bytes, bytes]], here: bool, shell: str, asked: list[Any]
) -> None:
    """LL-06, LL-07, NM-10: to the octet, and what comes early is the target's."""
    with nothing_left(), ScriptedProxy(*script_of(said, b"hi"), HalfClose()) as proxy:
        assert converse(shell, via=f"{start}127.0.0.1:{proxy.port}") == b"hi"
        assert proxy.wait_closed()
        assert proxy.received == [b"".join(message for message, _ in said) + b"ping"]
    assert asked == ([b"a.test"] if here else [])


@shells
@pytest.mark.parametrize(("start", "said", "here"), SOCKS.values(), ids=SOCKS)
def test_t14_slow_answers_change_nothing(
    start: str, said: list[tuple[bytes, bytes]], here: bool, shell: str, asked: list[Any]
) -> None:
    """Who looks the name up is settled before, however the answers dribble in."""
    script = *script_of(said, size=1, delay=0.005), *HI
    with nothing_left(), ScriptedProxy(*script) as proxy:
        assert converse(shell, via=f"{start}127.0.0.1:{proxy.port}") == b"hi"
        assert proxy.wait_closed()
        assert proxy.received == [b"".join(message for message, _ in said) + b"ping"]
    assert asked == ([b"a.test"] if here else [])


@shells
def test_socks_behind_a_unix_socket(shell: str) -> None:
    script = *script_of([(GREETING, CHOSEN), (BY_NAME, GRANTED)]), *HI
    with nothing_left(), ScriptedProxy(*script) as proxy, behind_unix_socket(proxy.port) as path:
        assert converse(shell, via=Proxy("socks5h://proxy.test", unix_path=path)) == b"hi"


@shells
@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        (script_of([(GREETING, CHOSEN), (BY_NAME, b"\x05\x05")]), TunnelRefused, "reply 5: connec"),
        (
            script_of([(GREETING, b"\x05\xff")]),
            ProxyAuthenticationRequired,
            "auth=(user, password)",
        ),
        ([Receive(GREETING), Close()], ProxyHungUp, "without answering the greeting"),
        ([*script_of([(GREETING, CHOSEN)]), Receive(BY_NAME), Close()], ProxyHungUp, "the request"),
    ],
    ids=["refused", "LL-04 no method", "a hang-up", "a late hang-up"],
)
def test_socks_that_fails(script: list[Step], kind: type[Exception], said: str, shell: str) -> None:
    with nothing_left(), ScriptedProxy(*script) as proxy:
        error = failure(shell, via=f"socks5h://127.0.0.1:{proxy.port}")
        assert proxy.wait_closed()
    assert type(error) is kind
    assert said in str(error)
    assert str(error).startswith(f"proxy socks5h://127.0.0.1:{proxy.port} ")
    assert (error.phase, error.target, error.hop) == ("connect", "a.test:1", None)


def test_a_refusal_by_socks_as_a_value() -> None:
    script = script_of([(GREETING, CHOSEN), (BY_NAME, b"\x05\x02")])
    with (
        nothing_left(),
        ScriptedProxy(*script) as proxy,
        Dialer(f"socks5h://127.0.0.1:{proxy.port}") as dialer,
        dialer.request_tunnel("a.test:1") as refusal,
    ):
        assert isinstance(refusal, Refusal)
        assert (refusal.response.http_version, refusal.response.status) == ("SOCKS5", 2)


@shells
@pytest.mark.parametrize("scheme", ["socks4", "socks5", "http"])
def test_a_target_that_is_not_known_here(scheme: str, shell: str, asked: list[Any]) -> None:
    """LL-07, NM-10: the proxy is asked for nothing."""
    with nothing_left(), ScriptedProxy() as proxy:
        via = Proxy(f"{scheme}://127.0.0.1:{proxy.port}", resolve="local")
        error = failure(shell, "nowhere.invalid:1", via=via)
        assert proxy.wait_closed()
        assert proxy.received == [b""]
    assert isinstance(error, InvalidTarget)
    said = "needs 'nowhere.invalid' to be looked up on this machine, which fails: Name or service"
    assert f"target nowhere.invalid:1 {said}" in str(error)
    assert error.phase == "resolve"
    assert isinstance(error.__cause__, socket.gaierror)
    assert asked == [b"nowhere.invalid"]


# ---- names that are looked up here ----


@shells
def test_resolve_local(shell: str, asked: list[Any]) -> None:
    """NM-10: the proxy is asked for an address, and what the target is called stays."""
    with nothing_left(), ScriptedProxy(*ACCEPTS) as proxy:
        via = Proxy(f"http://p.test:{proxy.port}", resolve="local")
        assert converse(shell, via=via) == b"hi"
        assert [head.split()[1] for head in proxy.heads] == [b"127.0.0.1:1"]
    assert asked == [b"p.test", b"a.test"]


def for_one_name(ca: trustme.CA, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext, list[Any]]:
    """Contexts for a server that can prove one name, and for its clients; and what they ask for."""
    names: list[Any] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    server.sni_callback = lambda _socket, asked_for, _context: names.append(asked_for)
    client = ssl.create_default_context()
    ca.configure_trust(client)  # pyright: ignore[reportUnknownMemberType]
    return server, client, names


@shells
def test_the_name_that_is_proven_is_not_the_address_that_is_asked_for(
    shell: str, asked: list[Any], ca: trustme.CA
) -> None:
    """NM-10, NM-11: neither of the next proxy, nor of the target."""
    server, client, names = for_one_name(ca, "second.test")
    with (
        nothing_left(),
        LoopbackProxy() as first,
        ScriptedProxy(*ACCEPTS, ssl_context=server) as second,
    ):
        via = [
            Proxy(first.url, resolve="local"),
            Proxy(f"https://second.test:{second.port}", ssl_context=client),
        ]
        assert converse(shell, via=via) == b"hi"
        assert [authority for authority, _ in first.requests] == [f"127.0.0.1:{second.port}"]
        assert [head.split()[1] for head in second.heads] == [b"a.test:1"]
    assert asked == [b"second.test"]
    assert names == ["second.test"]


@pytest.mark.usefixtures("asked")
def test_nor_is_it_that_of_the_target(ca: trustme.CA) -> None:
    server, client, names = for_one_name(ca, "target.test")
    with (
        nothing_left(),
        LoopbackProxy() as proxy,
        ScriptedProxy(Echo(), HalfClose(), ssl_context=server) as target,
        open_tunnel(
            f"target.test:{target.port}", via=Proxy(proxy.url, resolve="local"), timeout=5
        ) as tunnel,
        tunnel.start_tls(client, timeout=5) as secure,
    ):
        secure.write(b"x")
        assert secure.read(timeout=5) == b"x"
    assert names == ["target.test"]


# ---- chains of different kinds ----


@shells
def test_a_chain_of_socks_and_tls_and_plain(
    shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """LL-08: SOCKS5, an HTTPS proxy, an HTTP proxy; each is asked for the next one alone."""
    asked: list[tuple[str, int]] = []
    with (
        nothing_left(),
        socks5(asked) as first,
        LoopbackProxy(ssl_context=server_context, auth=("u", "p")) as second,
        LoopbackProxy() as third,
        ScriptedProxy(Send(b"hi"), HalfClose()) as target,
    ):
        via = [
            f"socks5h://{first}",
            Proxy(second.url, ssl_context=client_context, auth=("u", "p")),
            third.url,
        ]
        assert converse(shell, ("127.0.0.1", target.port), via=via) == b"hi"
        assert asked == [("127.0.0.1", second.port)]
        assert [a for a, _ in second.requests] == [f"127.0.0.1:{third.port}"]
        assert [a for a, _ in third.requests] == [f"127.0.0.1:{target.port}"]
        assert b"Proxy-Authorization" not in third.requests[0][1]


@shells
def test_a_chain_through_a_unix_socket_to_socks(shell: str) -> None:
    """LL-08, LL-09."""
    asked: list[tuple[str, int]] = []
    with (
        nothing_left(),
        LoopbackProxy() as first,
        behind_unix_socket(first.port) as path,
        socks5(asked) as second,
        ScriptedProxy(Send(b"hi"), HalfClose()) as target,
    ):
        via = [f"unix://{path}", f"socks5h://{second}"]
        assert converse(shell, f"localhost:{target.port}", via=via) == b"hi"
        assert asked == [("localhost", target.port)]


def test_what_can_only_be_dialled_comes_first() -> None:
    for second in (Proxy("unix:///run/p.sock"), Proxy("http://h", proxy_protocol=1)):
        chain: list[Proxy | str] = ["http://h", second]
        for kind in (Dialer, AsyncDialer):
            with pytest.raises(InvalidProxy, match="it can only be the first"):
                kind(chain)


@shells
@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_error_says_which_hop_it_was(
    at: int, shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """LL-08: a SOCKS proxy, one by TLS, and a plain one, of which one says no."""
    with nothing_left(), ExitStack() as stack:
        if at == 1:
            script = script_of([(GREETING, CHOSEN), (b"\x05\x01\x00\x01\x7f\x00\x00\x01", b"\5\5")])
            refuser = stack.enter_context(ScriptedProxy(*script))
            first = f"127.0.0.1:{refuser.port}"
        else:
            first = stack.enter_context(socks5([]))

        def refuse(_: str) -> bytes:
            return NO

        second = stack.enter_context(
            LoopbackProxy(ssl_context=server_context, refuse=refuse if at == 2 else None)
        )
        third = stack.enter_context(LoopbackProxy(refuse=refuse if at == 3 else None))
        via = [
            f"socks5h://{first}",
            Proxy(second.url, ssl_context=client_context),
            third.url,
        ]
        error = failure(shell, via=via)
        urls = [f"socks5h://{first}", second.url, third.url]
    assert isinstance(error, TunnelRefused)
    assert (error.hop, error.proxy_url) == (f"{at} of 3", urls[at - 1])
    assert str(error).startswith(f"proxy {urls[at - 1]} (hop {at} of 3) refused the tunnel to ")


# ---- routers ----


class Named(Router):
    """Names the same ways each time."""

    def __init__(self, *ways: list[Proxy]) -> None:
        self._ways = ways
        self.reports: list[tuple[str, str | None]] = []

    def route(self, target: Target) -> Program[Decision]:
        yield from ()
        return Decision(self._ways, "named")

    def report(self, way: tuple[Proxy, ...], error: Exception | None) -> None:
        told = " -> ".join(proxy.url for proxy in way) or "direct"
        self.reports.append((told, type(error).__name__ if error else None))


@contextmanager
def dead(how: str) -> Generator[str]:
    """The URL of a proxy that cannot be reached."""
    if how == "a name that nobody knows":
        yield "http://nowhere.invalid:3128"
    elif how == "refused":
        with refusing() as (host, port):
            yield f"http://{host}:{port}"
    else:
        with blackhole() as (host, port):
            yield f"http://{host}:{port}"


DEAD = ("a name that nobody knows", "refused", "silent")


@shells
@pytest.mark.parametrize("how", DEAD)
@pytest.mark.usefixtures("asked")
def test_en_14_a_dead_proxy_is_passed_by(
    how: str, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no more time than one is given that does not answer."""
    monkeypatch.setattr("connect_tunnel._walk.PATIENCE", 0.2)
    with nothing_left(), dead(how) as url, ScriptedProxy(*ACCEPTS) as proxy, took(0, 2):
        router = Named([Proxy(url)], [Proxy(proxy.url)])
        assert converse(shell, via=router) == b"hi"
        reached = "TunnelTimeout" if how == "silent" else "ProxyUnreachable"
        assert router.reports == [(url, reached), (proxy.url, None)]
        assert len(proxy.heads) == 1


@shells
def test_en_14_a_lookup_that_takes_too_long(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within its patience, too; nobody waits for the thread."""
    import threading  # noqa: PLC0415

    over = threading.Event()

    def look_up(_: Any, port: int, **__: Any) -> list[Any]:
        over.wait(5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr("connect_tunnel._walk.PATIENCE", 0.1)
    with nothing_left(), ScriptedProxy(*ACCEPTS) as proxy:
        with took(0.05, 2):
            router = Named([Proxy("http://stuck.test")], [Proxy(proxy.url)])
            assert converse(shell, via=router) == b"hi"
        over.set()
    assert router.reports[0] == ("http://stuck.test:80", "TunnelTimeout")


@shells
def test_en_14_the_last_way_has_all_the_time(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connect_tunnel._walk.PATIENCE", 0.01)
    with nothing_left(), blackhole() as hole, took(0.15, 2):
        via = Named([Proxy(f"http://127.0.0.1:{hole[1]}")])
        error = failure(shell, via=via, timeout=0.2)
    assert isinstance(error, TunnelTimeout)
    assert error.proxy_url == f"http://127.0.0.1:{hole[1]}"


@shells
@pytest.mark.parametrize("answer", [NO, b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", b"?\r\n"])
def test_en_14_an_answer_is_final(answer: bytes, shell: str) -> None:
    """A 403, a 407 and whatever is none: the second proxy sees no connection."""
    with nothing_left(), ScriptedProxy(Receive(), Send(answer)) as first, ScriptedProxy() as second:
        router = Named([Proxy(first.url)], [Proxy(second.url)], [])
        error = failure(shell, via=router)
        assert error.proxy_url == first.url
        assert second.connections == 0
    assert router.reports == [(first.url, None)]


@shells
def test_en_14_a_router_of_the_librarys(shell: str) -> None:
    """Which remembers: the second time the dead one is not tried first."""
    with nothing_left(), refusing() as (_, port), ScriptedProxy(*ACCEPTS) as proxy:
        url = f"http://127.0.0.1:{port}"
        router = FirstWorking([url, proxy.url])
        for _ in range(2):
            assert converse(shell, via=router) == b"hi"
        assert repr(router) == f"<FirstWorking: {url}, {proxy.url}>"


@shells
def test_t10_nothing_travels_from_one_proxy_to_the_next(shell: str) -> None:
    """Not the credentials, and not what was learnt with them."""
    ask = b'HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
    with (
        nothing_left(),
        refusing() as (_, port),
        ScriptedProxy(NextRequest(), Send(ask)) as second,
    ):
        first = Proxy(f"http://127.0.0.1:{port}", auth=("user", "word"))
        error = failure(shell, via=Named([first], [Proxy(second.url)]))
        assert isinstance(error, ProxyAuthenticationRequired)
        assert len(second.heads) == 1
        assert b"Proxy-Authorization" not in second.heads[0]


@shells
def test_all_ways_that_failed_are_told(shell: str) -> None:
    with nothing_left(), refusing() as (_, one), refusing() as (_, other):
        urls = f"http://127.0.0.1:{one}", f"socks5h://127.0.0.1:{other}"
        error = failure(shell, via=Named(*([Proxy(url)] for url in urls)))
    assert type(error) is ProxyUnreachable
    assert [place for place, _ in error.attempts] == [f"127.0.0.1:{one}", f"127.0.0.1:{other}"]
    assert str(error).startswith("target a.test:1 can be reached by none of 2 ways: proxy http:")
    assert urls[1] in str(error)
    assert (error.phase, error.proxy_url, error.hop) == ("tcp", None, None)
    assert error.errno == errno.ECONNREFUSED


@shells
def test_one_way_that_failed_is_told_as_ever(shell: str) -> None:
    with nothing_left(), refusing() as (_, port):
        url = f"http://127.0.0.1:{port}"
        error, plain = failure(shell, via=Named([Proxy(url)])), failure(shell, via=url)
    assert (type(error), str(error), error.attempts) == (type(plain), str(plain), plain.attempts)  # type: ignore[attr-defined]
    assert (error.phase, error.proxy_url) == ("tcp", url)


# ---- without a proxy ----


@shells
def test_direct(shell: str, asked: list[Any]) -> None:
    """The target is looked up and dialled; what it says is all there is."""
    with nothing_left(), ScriptedProxy(*HI) as target:
        assert converse(shell, f"a.test:{target.port}", via=Direct()) == b"hi"
        assert converse(shell, ("127.0.0.1", target.port), via=Direct()) == b"hi"
        assert target.wait_closed()
        assert target.received == [b"ping"] * 2
    assert asked == [b"a.test"]


def test_a_direct_tunnel() -> None:
    with ScriptedProxy(Echo()) as target, Dialer(Direct()) as dialer:
        where = f"127.0.0.1:{target.port}"
        with dialer.open_tunnel(where) as tunnel:
            with pytest.raises(LookupError, match="no proxy answered: the tunnel is direct"):
                _ = tunnel.response
            assert (tunnel.route.proxies, tunnel.route.responses) == ((), ())
            assert repr(tunnel) == f"<Tunnel to {where} directly>"
        asked_for = dialer.request_tunnel(where)
        asked_for.close()
        assert repr(asked_for) == f"<Tunnel to {where} directly closed>"


@pytest.mark.parametrize("backend", SHELLS[1:])
def test_a_direct_tunnel_in_a_loop(backend: str) -> None:
    async def use() -> None:
        where = f"127.0.0.1:{target.port}"
        async with await open_tunnel_async(where, via=Direct()) as tunnel:
            with pytest.raises(LookupError, match="no proxy answered: the tunnel is direct"):
                _ = tunnel.response
            assert (tunnel.route.proxies, tunnel.route.responses) == ((), ())
            assert repr(tunnel) == f"<AsyncTunnel to {where} directly>"

    with nothing_left(), ScriptedProxy(Echo()) as target:
        anyio.run(use, backend=backend)


@shells
def test_a_direct_target_that_refuses(shell: str) -> None:
    """It is the target that is named, and no proxy."""
    with nothing_left(), refusing() as (host, port):
        error = failure(shell, (host, port), via=Direct())
    assert isinstance(error, ProxyUnreachable)
    assert str(error).startswith(f"target {host}:{port} cannot be reached ({host}:{port}: ")
    assert (error.direct, error.proxy_url, error.phase) == (True, None, "tcp")
    assert error.target == f"{host}:{port}"
    assert error.errno == errno.ECONNREFUSED


@shells
@pytest.mark.usefixtures("asked")
def test_a_direct_target_that_nobody_knows(shell: str) -> None:
    with nothing_left():
        error = failure(shell, "nowhere.invalid:1", via=Direct())
    assert isinstance(error, ProxyUnreachable)
    assert str(error).startswith("target nowhere.invalid:1 has a name that cannot be looked up: ")
    assert (error.direct, error.phase) == (True, "resolve")


@shells
@pytest.mark.parametrize("timeout", [0.15, Timeout(5, tcp=0.15)])
def test_a_direct_target_that_does_not_answer(timeout: float | Timeout, shell: str) -> None:
    with nothing_left(), blackhole() as hole, took(0.1, 1):
        error = failure(shell, hole, via=Direct(), timeout=timeout)
    assert isinstance(error, TunnelTimeout)
    said = f"target 127.0.0.1:{hole[1]} did not accept a connection within 0.15 s"
    assert str(error) == said


# ---- deadlines ----

SLOW: dict[str, tuple[str, list[Step]]] = {
    "socks5h, a greeting": ("socks5h", [Receive(GREETING), Wait(2)]),
    "socks5h, half a greeting": ("socks5h", [Receive(GREETING), Send(b"\x05"), Wait(2)]),
    "socks5h, a grant": ("socks5h", [*script_of([(GREETING, CHOSEN)]), Receive(BY_NAME), Wait(2)]),
    "socks5h, a dripping address": (
        "socks5h",
        [
            *script_of([(GREETING, CHOSEN)]), Receive(BY_NAME),
            Send(b"\x05\x00\x00\x03\xff", size=1, delay=0.05),
            Send(b"x" * 50, size=1, delay=0.05),
        ],
    ),
    "socks4a, a grant": ("socks4a", [Receive(BY_NAME_4), Wait(2)]),
    "the PROXY protocol": ("http", [Receive(), Wait(2)]),
}  # fmt: skip


@shells
@pytest.mark.parametrize("timeout", [0.2, Timeout(5, answer=0.2)])
@pytest.mark.parametrize("name", SLOW)
def test_a_proxy_that_takes_its_time(name: str, timeout: float | Timeout, shell: str) -> None:
    """LL-10: one deadline for all of it, or for its part."""
    scheme, script = SLOW[name]
    with nothing_left(), ScriptedProxy(*script) as proxy, took(0.15, 1):
        url = f"{scheme}://127.0.0.1:{proxy.port}"
        via = Proxy(url, proxy_protocol=1 if scheme == "http" else None)
        error = failure(shell, via=via, timeout=timeout)
    assert isinstance(error, TunnelTimeout)
    assert (error.phase, error.proxy_url) == ("connect", url)
    assert "within 0.2 s" in str(error)


@shells
def test_time_that_is_up_on_the_first_way_is_up(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LL-10: the total is that of all ways together."""
    monkeypatch.setattr("connect_tunnel._walk.PATIENCE", 0.15)
    with nothing_left(), blackhole() as hole, took(0.2, 1):
        url = f"http://127.0.0.1:{hole[1]}"
        ways = [[Proxy(url)], [Proxy(url, auth=Basic("u", "p"))], [Proxy(url)]]
        error = failure(shell, via=Named(*ways), timeout=0.25)
    assert isinstance(error, TunnelTimeout)
    assert "did not accept a connection within 0.25 s" in str(error)


@pytest.mark.parametrize("kind", [Dialer, AsyncDialer])
def test_a_dialer_shows_who_decides(kind: type[Dialer | AsyncDialer]) -> None:
    name = kind.__name__
    assert repr(kind(Direct())) == f"<{name} via Direct()>"
    router = FirstWorking(["http://u:s3cr3t@h", "socks5h://h"])
    assert repr(kind(router)) == f"<{name} via <FirstWorking: http://h:80, socks5h://h:1080>>"
    chain = ["unix:///run/p.sock", "socks5h://u:s3cr3t@h"]
    assert repr(kind(chain)) == f"<{name} via unix:///run/p.sock -> socks5h://h:1080>"
