"""urllib3 through tunnels: what it does by itself, and what it is told when there is no tunnel."""

from __future__ import annotations

import hashlib
import io
import pickle
import socket
import ssl
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    InsecureRequestWarning,
    LocationValueError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from connect_tunnel import (
    InvalidProxy,
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyTLSError,
    ProxyUnreachable,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel.adapters.urllib3 import TunnelPoolManager, TunnelProxyError, proxy_response
from connect_tunnel.routing import Decision, Direct, Router
from connect_tunnel.testing import Close, LoopbackProxy, Receive, ScriptedProxy, Send, Wait

from .shells import nothing_left, refusing, took
from .web_origin import BLOCK, WebOrigin, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    import trustme

    from connect_tunnel import Target
    from connect_tunnel._steps import Program

REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nSet-Cookie: who=proxy\r\nContent-Type: text/html\r\n"
    b"Content-Length: 15\r\n\r\n<p>Ask Bob.</p>"
)
TARGET = "https://a.test/"


@pytest.fixture
def pool(through: Proxy, cafile: str) -> Iterator[TunnelPoolManager]:
    with TunnelPoolManager(through, ca_certs=cafile, retries=False, timeout=10) as manager:
        yield manager


# --- what works as it does without a proxy ---


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_get(
    pool: TunnelPoolManager, guarded: LoopbackProxy, origin: WebOrigin, scheme: str
) -> None:
    url = origin.at("/echo/hello", scheme)
    response = pool.request("GET", url)
    assert (response.status, response.data) == (200, b"hello")
    answer = proxy_response(response)
    assert answer is not None
    assert (answer.status, answer.reason) == (200, "Connection established")
    authority = url.split("/")[2]
    assert [asked for asked, _ in guarded.requests] == [authority]
    [(method, path, fields)] = origin.requests
    assert (method, path, fields["Host"]) == ("GET", "/echo/hello", authority)


def test_a_connection_is_used_again(
    pool: TunnelPoolManager, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    for tag in range(5):
        response = pool.request("GET", origin.at(f"/echo/{tag}"))
        assert response.data == b"%d" % tag
        assert proxy_response(response) is not None
    assert len(guarded.requests) == len(set(origin.peers)) == 1


def test_a_pool_that_was_cleared_can_be_used_again(
    pool: TunnelPoolManager, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    for _ in range(2):
        assert pool.request("GET", origin.at("/echo/x")).data == b"x"
        pool.clear()
        assert guarded.wait_closed(10)
        pool.clear()
    assert len(guarded.requests) == 2


def test_a_connection_that_the_origin_has_ended_is_replaced(
    pool: TunnelPoolManager, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    for _ in range(2):
        fields = {"Connection": "close"}
        assert pool.request("GET", origin.at("/echo/x"), headers=fields).data == b"x"
    assert len(guarded.requests) == 2


def test_streams(pool: TunnelPoolManager, origin: WebOrigin) -> None:
    size = 3_000_000
    response = pool.request("GET", origin.at(f"/bytes/{size}"), preload_content=False)
    digest = hashlib.sha256()
    for data in response.stream(65536):
        digest.update(data)
    response.release_conn()
    assert digest.hexdigest() == digest_of(size)
    body = io.BytesIO(BLOCK * 40)
    response = pool.request("POST", origin.at("/digest"), body=body)
    assert response.data.decode() == digest_of(40 * len(BLOCK))


def test_t23_fifty_at_once_none_crossed(
    pool: TunnelPoolManager, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    def echoed(tag: int) -> bool:
        return pool.request("GET", origin.at(f"/echo/{tag}")).data == b"%d" % tag

    with ThreadPoolExecutor(50) as threads:
        assert all(threads.map(echoed, range(150)))


def test_no_more_than_the_pool_may_hold(through: Proxy, cafile: str, origin: WebOrigin) -> None:
    with TunnelPoolManager(through, ca_certs=cafile, maxsize=3, block=True) as pool:

        def get(tag: int) -> int:
            return pool.request("GET", origin.at(f"/echo/{tag}")).status

        with ThreadPoolExecutor(10) as threads:
            assert set(threads.map(get, range(40))) == {200}
    assert len(set(origin.peers)) <= 3


def test_t1_the_login_for_the_proxy_stays_with_it(
    pool: TunnelPoolManager, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    """Over two redirects to other hosts and schemes."""
    last = origin.at("/echo/there", "http", "127.0.0.1")
    middle = origin.at(f"/to?url={last}", "https", "127.0.0.1")
    url = origin.at(f"/to?url={middle}", "http")
    response = pool.request("GET", url, retries=3)
    assert response.data == b"there"
    assert len(origin.requests) == len(guarded.requests) == 3
    assert all("proxy-authorization" in head.decode().lower() for _, head in guarded.requests)
    assert "proxy-authorization" not in str(origin.requests).lower()


def test_t3_what_is_for_the_origin_is_not_told_to_the_proxy(
    pool: TunnelPoolManager, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    fields = {"Authorization": "Bearer t0k3n", "Cookie": "who=me", "X-Mine": "1"}
    assert pool.request("GET", origin.at("/echo/x"), headers=fields).status == 200
    [(_, _, seen)] = origin.requests
    assert fields.items() <= seen.items()
    [(_, head)] = guarded.requests
    assert not {b"t0k3n", b"Cookie", b"X-Mine"} & set(head.replace(b":", b" ").split())


# --- TLS with the origin, by urllib3's options ---


@contextmanager
def origin_named(ca: trustme.CA, *names: str) -> Generator[WebOrigin]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    with WebOrigin(context) as origin:
        yield origin


def test_t6_the_name_is_the_origins(pool: TunnelPoolManager, ca: trustme.CA) -> None:
    """And never the proxy's: its name, 127.0.0.1, does not count."""
    with origin_named(ca, "127.0.0.1", "elsewhere.test") as origin:
        with pytest.raises(SSLError, match="localhost"):
            pool.request("GET", origin.at())
        assert origin.requests == []


def test_t6_an_authority_that_is_not_trusted(through: Proxy, origin: WebOrigin) -> None:
    with (
        TunnelPoolManager(through, retries=False) as pool,
        pytest.raises(SSLError, match="certificate"),
    ):
        pool.request("GET", origin.at())
    assert origin.requests == []


@pytest.mark.parametrize("option", ["server_hostname", "assert_hostname"])
def test_another_name(through: Proxy, cafile: str, ca: trustme.CA, option: str) -> None:
    options: dict[str, Any] = {"ca_certs": cafile, "retries": False}
    right: dict[str, Any] = {**options, option: "elsewhere.test"}
    wrong: dict[str, Any] = {**options, option: "other.test"}
    with origin_named(ca, "elsewhere.test") as origin:
        with TunnelPoolManager(through, **right) as pool:
            assert pool.request("GET", origin.at("/echo/x")).data == b"x"
        with (
            TunnelPoolManager(through, **wrong) as pool,
            pytest.raises(SSLError, match=r"other\.test"),
        ):
            pool.request("GET", origin.at("/echo/x"))


def test_fingerprint(through: Proxy, pool: TunnelPoolManager, origin: WebOrigin) -> None:
    response = pool.request("GET", origin.at("/echo/x"), preload_content=False)
    connection: Any = response.connection
    found = hashlib.sha256(connection.sock.getpeercert(binary_form=True)).hexdigest()
    response.drain_conn()
    response.release_conn()
    with TunnelPoolManager(through, assert_fingerprint=found, cert_reqs="NONE") as pinned:
        assert pinned.request("GET", origin.at("/echo/x")).data == b"x"
    with (
        TunnelPoolManager(through, assert_fingerprint="00" * 32, retries=False) as pinned,
        pytest.raises(SSLError),
    ):
        pinned.request("GET", origin.at("/echo/x"))


def test_no_verification_is_warned_of(through: Proxy, origin: WebOrigin) -> None:
    with TunnelPoolManager(through, cert_reqs="NONE") as pool, pytest.warns(InsecureRequestWarning):
        assert pool.request("GET", origin.at("/echo/x")).data == b"x"


def test_context_and_versions(
    through: Proxy, cafile: str, client_context: ssl.SSLContext, ca: trustme.CA
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with WebOrigin(context) as origin:
        with TunnelPoolManager(through, ssl_context=client_context) as pool:
            assert pool.request("GET", origin.at("/echo/x")).data == b"x"
        newer: dict[str, Any] = {"ssl_minimum_version": ssl.TLSVersion.TLSv1_3}
        with (
            TunnelPoolManager(through, ca_certs=cafile, retries=False, **newer) as pool,
            pytest.raises(SSLError),
        ):
            pool.request("GET", origin.at("/echo/x"))


def test_client_certificate(through: Proxy, cafile: str, ca: trustme.CA, tmp_path: Path) -> None:
    mine = ca.issue_cert("me@example.com")
    path = tmp_path / "mine.pem"
    mine.private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    ca.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    context.verify_mode = ssl.CERT_REQUIRED
    with WebOrigin(context) as origin:
        with TunnelPoolManager(through, ca_certs=cafile, cert_file=str(path)) as pool:
            assert pool.request("GET", origin.at("/echo/x")).data == b"x"
        with (
            TunnelPoolManager(through, ca_certs=cafile, retries=False) as pool,
            pytest.raises(urllib3.exceptions.HTTPError),
        ):
            pool.request("GET", origin.at("/echo/x"))


# --- refusals ---


def test_t4_a_refusal_is_not_the_origins_answer() -> None:
    with ScriptedProxy(Receive(), Send(REFUSAL)) as proxy, TunnelPoolManager(proxy.url) as pool:
        with pytest.raises(MaxRetryError) as caught:
            pool.request("GET", TARGET)
        assert proxy.wait_closed(10)
        # Nothing followed the CONNECT, and it was asked once: that answer will not change.
        assert proxy.received == proxy.heads
        assert proxy.connections == 1
    reason = caught.value.reason
    assert isinstance(reason, ProxyError)
    assert isinstance(reason, TunnelProxyError)
    assert isinstance(reason.original_error, TunnelRefused)
    assert reason.__cause__ is reason.original_error
    answer = proxy_response(caught.value)
    assert answer is not None
    assert answer is reason.original_error.response
    assert (answer.status, answer.body) == (403, b"<p>Ask Bob.</p>")
    assert str(reason) in {str(reason.original_error), reason.args[0]}
    assert str(caught.value).count("Ask Bob.") == 1
    assert f"proxy {proxy.url} refused the tunnel to a.test:443 (403 Forbidden)" in str(reason)


def test_t4_a_refusal_without_retries() -> None:
    with (
        ScriptedProxy(Receive(), Send(REFUSAL)) as proxy,
        TunnelPoolManager(proxy.url, retries=False) as pool,
        pytest.raises(ProxyError) as caught,
    ):
        pool.request("GET", TARGET)
    assert proxy_response(caught.value) is not None


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_t5_a_refusal_that_points_elsewhere_is_not_followed(scheme: str, origin: WebOrigin) -> None:
    moved = (
        f"HTTP/1.1 302 Found\r\nLocation: {origin.at('/echo/x', 'http')}\r\n"
        "Refresh: 0\r\nContent-Length: 0\r\n\r\n"
    )
    with (
        ScriptedProxy(Receive(), Send(moved.encode())) as proxy,
        TunnelPoolManager(proxy.url) as pool,
        pytest.raises(MaxRetryError) as caught,
    ):
        pool.request("GET", f"{scheme}://a.test/")
    answer = proxy_response(caught.value)
    assert answer is not None
    assert answer.status == 302
    assert origin.requests == []


@pytest.mark.parametrize(("status", "times"), [(403, 1), (407, 1), (503, 3), (429, 3)])
def test_what_may_change_is_asked_for_again(status: int, times: int) -> None:
    no = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    with ScriptedProxy(Receive(), Send(no)) as proxy, TunnelPoolManager(proxy.url) as pool:
        # Of connections it may try again for ever; a refusal is something else.
        retries = urllib3.Retry(total=None, connect=None, other=2)
        with pytest.raises(MaxRetryError) as caught:
            pool.request("GET", TARGET, retries=retries)
        assert proxy.connections == times
    assert isinstance(caught.value.reason, ProxyError)


def test_t13_a_refusal_leaves_nothing_behind() -> None:
    with nothing_left(), LoopbackProxy(refuse=lambda _: REFUSAL) as proxy:
        with TunnelPoolManager(proxy.url, maxsize=1, block=True) as pool:
            for _ in range(300):
                with pytest.raises(MaxRetryError):
                    pool.request("GET", TARGET, pool_timeout=5)
        assert proxy.wait_closed(10)


@pytest.mark.usefixtures("nothing_is_left")
def test_t13_a_tunnel_without_tls_leaves_nothing_behind(
    through: Proxy, guarded: LoopbackProxy, ca: trustme.CA, cafile: str
) -> None:
    with (
        origin_named(ca, "elsewhere.test") as origin,
        TunnelPoolManager(through, ca_certs=cafile, retries=False) as pool,
    ):
        for _ in range(20):
            with pytest.raises(SSLError):
                pool.request("GET", origin.at())
        assert guarded.wait_closed(10)


# --- what else goes wrong ---


def wrong(url: str, via: Any, **options: Any) -> urllib3.exceptions.HTTPError:
    with (
        TunnelPoolManager(via, retries=False, **options) as pool,
        pytest.raises(urllib3.exceptions.HTTPError) as caught,
    ):
        pool.request("GET", url)
    return caught.value


def test_a_proxy_that_is_not_there() -> None:
    with refusing() as (host, port):
        error = wrong(TARGET, f"http://{host}:{port}")
    assert isinstance(error, TunnelProxyError)
    assert type(error.original_error) is NewConnectionError
    assert isinstance(error.__cause__, ProxyUnreachable)
    assert error.original_error.__cause__ is error.__cause__
    assert proxy_response(error) is None


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.usefixtures("unknown")
def test_a_proxy_that_has_no_address() -> None:
    error = wrong(TARGET, "http://proxy.test:1")
    assert isinstance(error, ProxyError)
    assert isinstance(error.original_error, NameResolutionError)
    assert "proxy.test" in str(error.original_error)
    assert isinstance(error.__cause__, ProxyUnreachable)


@pytest.mark.usefixtures("unknown")
def test_a_direct_target_that_has_no_address() -> None:
    error = wrong(TARGET, Direct())
    assert isinstance(error, NameResolutionError)
    assert "a.test" in str(error)


def test_a_direct_target_that_is_not_there() -> None:
    with refusing() as (host, port):
        error = wrong(f"http://{host}:{port}/", Direct())
    assert type(error) is NewConnectionError


def test_a_direct_target(cafile: str, origin: WebOrigin) -> None:
    with TunnelPoolManager(Direct(), ca_certs=cafile) as pool:
        response = pool.request("GET", origin.at("/echo/x"))
    assert response.data == b"x"
    assert proxy_response(response) is None


def test_a_proxy_that_hangs_up() -> None:
    with ScriptedProxy(Receive(), Close()) as proxy:
        error = wrong(TARGET, proxy.url)
    assert isinstance(error, ProxyError)
    assert isinstance(error.original_error, ProxyHungUp)
    assert isinstance(error, TunnelProxyError)
    assert error.retryable


def test_a_proxy_that_is_not_trusted(server_context: ssl.SSLContext) -> None:
    with ScriptedProxy(ssl_context=server_context) as proxy:
        error = wrong(TARGET, proxy.url)
        assert proxy.heads == []
    assert isinstance(error, ProxyError)
    assert isinstance(error.original_error, ProxyTLSError)


def test_a_target_that_cannot_be_named() -> None:
    with ScriptedProxy() as proxy:
        error = wrong("https://[fe80::1%25eth0]/", proxy.url)
        assert proxy.connections == 0
    assert isinstance(error, LocationValueError)
    assert isinstance(error.__cause__, InvalidTarget)


class Lost(Router):
    def __init__(self) -> None:
        self.asked = 0

    def route(self, target: Target) -> Program[Decision]:
        self.asked += 1
        yield from ()
        raise InvalidProxy("there is no way")


def test_a_router_that_gives_nonsense() -> None:
    router = Lost()
    with TunnelPoolManager(router) as pool, pytest.raises(MaxRetryError, match="no way"):
        pool.request("GET", TARGET)
    assert router.asked == 1


# --- time ---


@pytest.mark.parametrize("timeout", [0.3, urllib3.Timeout(connect=0.3), urllib3.Timeout(total=0.3)])
def test_a_silent_proxy(timeout: Any) -> None:
    with ScriptedProxy(Receive(), Wait(30)) as proxy, took(0.2, 5):
        error = wrong(TARGET, proxy.url, timeout=timeout)
    assert isinstance(error, ConnectTimeoutError)
    assert not isinstance(error, NewConnectionError)
    assert isinstance(error.__cause__, TunnelTimeout)
    assert error.__cause__.phase == "connect"
    assert proxy.url in str(error)


def test_a_dripping_proxy_cannot_stretch_the_time() -> None:
    drip = Send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, size=1, delay=0.05)
    with ScriptedProxy(Receive(), drip) as proxy, took(0.2, 5):
        error = wrong(TARGET, proxy.url, timeout=0.4)
    assert isinstance(error, ConnectTimeoutError)


def test_a_silent_proxy_and_no_timeout_of_the_request() -> None:
    with ScriptedProxy(Receive(), Wait(30)) as proxy, took(0.2, 5):
        error = wrong(TARGET, proxy.url, tunnel_timeout=0.3)
    assert isinstance(error, ConnectTimeoutError)


def test_a_silent_origin_in_tls() -> None:
    ok = Send(b"HTTP/1.1 200 OK\r\n\r\n")
    with ScriptedProxy(Receive(), ok, Wait(30)) as proxy, took(0.2, 5):
        error = wrong(TARGET, proxy.url, timeout=0.3)
    assert isinstance(error, urllib3.exceptions.TimeoutError)


def test_an_origin_that_takes_its_time(pool: TunnelPoolManager, origin: WebOrigin) -> None:
    with took(0.2, 8), pytest.raises(ReadTimeoutError):
        pool.request("GET", origin.at("/slow"), timeout=urllib3.Timeout(connect=5, read=0.3))
    assert pool.request("GET", origin.at("/echo/x")).data == b"x"


def test_a_timeout_is_tried_again() -> None:
    with ScriptedProxy(Receive(), Wait(30)) as proxy:
        with (
            TunnelPoolManager(proxy.url, timeout=0.1) as pool,
            pytest.raises(MaxRetryError) as caught,
        ):
            pool.request("GET", TARGET, retries=urllib3.Retry(total=5, connect=1))
        assert proxy.connections == 2
    assert isinstance(caught.value.reason, ConnectTimeoutError)


# --- the connection to the proxy ---


def test_where_from_and_with_what(origin: WebOrigin) -> None:
    options: dict[str, Any] = {
        "source_address": ("127.0.0.2", 0),
        "socket_options": [(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)],
    }
    with LoopbackProxy() as proxy, TunnelPoolManager(proxy.url, **options) as pool:
        response = pool.request("GET", origin.at("/echo/x", "http"), preload_content=False)
        connection: Any = response.connection
        assert connection.sock.getsockname()[0] == "127.0.0.2"
        assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 65536
        response.drain_conn()


@pytest.mark.parametrize(
    "option", [{"source_address": ("127.0.0.3", 0)}, {"socket_options": [(6, 1, 0)]}]
)
def test_one_way_for_all_pools(option: dict[str, Any]) -> None:
    with (
        TunnelPoolManager("http://127.0.0.1:1") as pool,
        pytest.raises(ValueError, match="holds for all pools"),
    ):
        pool.connection_from_host("a.test", pool_kwargs=option)


def test_a_pool_made_by_hand(origin: WebOrigin) -> None:
    with LoopbackProxy() as proxy, TunnelPoolManager(proxy.url) as manager:
        pool = manager._new_pool("http", "127.0.0.1", origin.http)
        assert pool.request("GET", "/echo/x").data == b"x"
        pool.close()


def test_two_threads_after_a_clear_share_a_way(
    through: Proxy, cafile: str, origin: WebOrigin
) -> None:
    ready = threading.Barrier(8)
    with TunnelPoolManager(through, ca_certs=cafile) as pool:
        pool.clear()

        def get(tag: int) -> bytes:
            ready.wait(5)
            return pool.request("GET", origin.at(f"/echo/{tag}")).data

        with ThreadPoolExecutor(8) as threads:
            assert sorted(threads.map(get, range(8))) == [b"%d" % tag for tag in range(8)]


# --- secrets and pickles ---


def wrong_password(secret: str) -> Any:
    with LoopbackProxy(auth=("alice", "another")) as proxy:
        url = proxy.url.replace("://", f"://alice:{secret}@")
        with TunnelPoolManager(url) as pool:
            pool.request("GET", TARGET)


def bad_url(secret: str) -> Any:
    TunnelPoolManager(f"http://alice:{secret}@proxy:port")


@pytest.mark.parametrize("act", [wrong_password, bad_url])
def test_no_error_shows_a_password(act: Callable[[str], Any]) -> None:
    with pytest.raises((InvalidProxy, MaxRetryError)) as caught:
        act("0p3n-sesame")
    # From where we come in: what the test itself holds is no matter.
    frames = traceback.walk_tb(caught.value.__traceback__)
    ours = [frame for frame, _ in frames if "connect_tunnel" in frame.f_code.co_filename]
    assert ours
    assert "0p3n-sesame" not in "".join(repr(frame.f_locals) for frame in ours)
    assert "0p3n-sesame" not in f"{caught.value} {caught.value!r}"
    if isinstance(caught.value, MaxRetryError):
        assert isinstance(caught.value.reason, TunnelProxyError)
        assert isinstance(caught.value.reason.__cause__, ProxyAuthenticationRequired)


def test_errors_survive_a_pickle() -> None:
    with (
        ScriptedProxy(Receive(), Send(REFUSAL)) as proxy,
        TunnelPoolManager(proxy.url) as pool,
        pytest.raises(MaxRetryError) as caught,
    ):
        pool.request("GET", TARGET)
    again = pickle.loads(pickle.dumps(caught.value))
    answer = proxy_response(again)
    assert answer is not None
    assert answer.body == b"<p>Ask Bob.</p>"
    assert isinstance(again.reason, TunnelProxyError)
    assert isinstance(again.reason.original_error, TunnelError)
    assert again.reason.retryable is False


def test_what_no_proxy_answered() -> None:
    assert proxy_response(ValueError("nothing to do with it")) is None
