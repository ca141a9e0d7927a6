"""requests through tunnels: what a session does by itself, and what it is told."""

from __future__ import annotations

import hashlib
import pickle
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from requests.exceptions import ConnectTimeout, InvalidURL, ProxyError, ReadTimeout, SSLError
from urllib3.exceptions import MaxRetryError

from connect_tunnel import (
    InvalidProxy,
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyUnreachable,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel.adapters.requests import TunnelAdapter, proxy_response
from connect_tunnel.routing import Direct
from connect_tunnel.testing import Close, LoopbackProxy, Receive, ScriptedProxy, Send, Wait

from .shells import nothing_left, refusing, took
from .web_origin import BLOCK, WebOrigin, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import trustme

REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nSet-Cookie: who=proxy\r\nContent-Type: text/html\r\n"
    b"Content-Length: 15\r\n\r\n<p>Ask Bob.</p>"
)
TARGET = "https://a.test/"


def tunnelled(via: Any, cafile: str | None = None, **options: Any) -> requests.Session:
    session = requests.Session()
    session.verify = cafile or True
    adapter = TunnelAdapter(via, **options)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in it has a say, unless a test is about that."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def session(through: Proxy, cafile: str) -> Iterator[requests.Session]:
    with tunnelled(through, cafile) as session:
        yield session


# --- what works as it does without a proxy ---


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_get(
    session: requests.Session, guarded: LoopbackProxy, origin: WebOrigin, scheme: str
) -> None:
    response = session.get(origin.at("/echo/hello?a=b", scheme), timeout=10)
    assert (response.status_code, response.text) == (200, "hello")
    answer = proxy_response(response)
    assert answer is not None
    assert (answer.status, answer.reason) == (200, "Connection established")
    assert len(guarded.requests) == 1
    assert [path for _, path, _ in origin.requests] == ["/echo/hello"]


def test_a_connection_is_used_again(
    session: requests.Session, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    for tag in range(5):
        assert session.get(origin.at(f"/echo/{tag}"), timeout=10).text == str(tag)
    assert len(guarded.requests) == len(set(origin.peers)) == 1


def test_a_session_that_was_closed_can_be_used_again(
    session: requests.Session, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    for _ in range(2):
        assert session.get(origin.at("/echo/x"), timeout=10).text == "x"
        session.close()
        assert guarded.wait_closed(10)


def test_streams(session: requests.Session, origin: WebOrigin) -> None:
    size = 3_000_000
    digest = hashlib.sha256()
    with session.get(origin.at(f"/bytes/{size}"), stream=True, timeout=10) as response:
        for data in response.iter_content(65536):
            digest.update(data)
    assert digest.hexdigest() == digest_of(size)
    blocks = (BLOCK for _ in range(40))
    response = session.post(origin.at("/digest"), data=blocks, timeout=10)
    assert response.text == digest_of(40 * len(BLOCK))


def test_t23_fifty_at_once_none_crossed(session: requests.Session, origin: WebOrigin) -> None:
    def echoed(tag: int) -> bool:
        return session.get(origin.at(f"/echo/{tag}"), timeout=20).text == str(tag)

    with ThreadPoolExecutor(50) as threads:
        assert all(threads.map(echoed, range(150)))


def test_no_more_than_the_pool_may_hold(through: Proxy, cafile: str, origin: WebOrigin) -> None:
    with tunnelled(through, cafile, pool_maxsize=3, pool_block=True) as session:

        def get(tag: int) -> int:
            return session.get(origin.at(f"/echo/{tag}"), timeout=20).status_code

        with ThreadPoolExecutor(10) as threads:
            assert set(threads.map(get, range(40))) == {200}
    assert len(set(origin.peers)) <= 3


def test_a_direct_target(cafile: str, origin: WebOrigin) -> None:
    with tunnelled(Direct(), cafile) as session:
        response = session.get(origin.at("/echo/x"), timeout=10)
    assert response.text == "x"
    assert proxy_response(response) is None


# --- TLS with the origin ---


def test_t6_the_name_is_the_origins(session: requests.Session, ca: trustme.CA) -> None:
    """And never the proxy's: its name, 127.0.0.1, does not count."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert("127.0.0.1", "elsewhere.test")
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    with WebOrigin(context) as origin, pytest.raises(SSLError, match="localhost") as caught:
        session.get(origin.at(), timeout=10)
    assert origin.requests == []
    assert proxy_response(caught.value) is None


def test_t6_an_authority_that_is_not_trusted(through: Proxy, origin: WebOrigin) -> None:
    with tunnelled(through) as session, pytest.raises(SSLError, match="certificate"):
        session.get(origin.at(), timeout=10)
    assert origin.requests == []


def test_no_verification_is_warned_of(session: requests.Session, origin: WebOrigin) -> None:
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        response = session.get(origin.at("/echo/x"), verify=False, timeout=10)
    assert response.text == "x"


def test_client_certificate(
    session: requests.Session, ca: trustme.CA, tmp_path: Path, client_context: ssl.SSLContext
) -> None:
    path = tmp_path / "mine.pem"
    mine = ca.issue_cert("me@example.com")
    mine.private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    ca.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    context.verify_mode = ssl.CERT_REQUIRED
    with WebOrigin(context) as origin:
        response = session.get(origin.at("/echo/x"), cert=str(path), timeout=10)
        assert response.text == "x"
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(origin.at("/echo/x"), timeout=10)


# --- other proxies than the adapter's ---


def test_the_adapter_decides(
    session: requests.Session,
    guarded: LoopbackProxy,
    origin: WebOrigin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with refusing() as (host, port):
        other = f"http://alice:0p3n-sesame@{host}:{port}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other)
        proxies = {"http": other, "https": other}
        for scheme in ("http", "https"):
            for given in (None, proxies):
                url = origin.at("/echo/x", scheme)
                assert session.get(url, proxies=given, timeout=10).text == "x"
    assert len(guarded.requests) == 2


@pytest.mark.parametrize("by", ["environment", "proxies"])
def test_t1_no_login_for_a_proxy_reaches_an_origin(
    session: requests.Session,
    guarded: LoopbackProxy,
    origin: WebOrigin,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    """Over two redirects to other hosts; at a redirect requests makes one up from the others."""
    other = "http://alice:0p3n-sesame@127.0.0.1:1"
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY" if by == "environment" else "UNUSED", other)
    last = origin.at("/echo/there", "http", "127.0.0.1")
    middle = origin.at(f"/to?url={last}", "http", "localhost")
    url = origin.at(f"/to?url={middle}", "https", "127.0.0.1")
    proxies = {"http": other} if by == "proxies" else None
    response = session.get(url, proxies=proxies, timeout=10)
    assert response.text == "there"
    assert len(response.history) == 2
    assert all(proxy_response(each) for each in (*response.history, response))
    assert len(origin.requests) == len(guarded.requests) == 3
    assert "proxy-authorization" not in str(origin.requests).lower()
    assert all(head.lower().count(b"proxy-authorization") == 1 for _, head in guarded.requests)


def test_t1_what_a_caller_says_to_an_origin_is_left_alone(
    session: requests.Session, origin: WebOrigin
) -> None:
    fields = {"Proxy-Authorization": "Basic bWluZQ=="}
    proxies = {"http": "http://alice:0p3n-sesame@127.0.0.1:1"}
    url = origin.at("/echo/x", "http")
    assert session.get(url, headers=fields, proxies=proxies, timeout=10).text == "x"
    [(_, _, seen)] = origin.requests
    assert seen["Proxy-Authorization"] == "Basic bWluZQ=="


def test_t3_what_is_for_the_origin_is_not_told_to_the_proxy(
    session: requests.Session, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    session.cookies.set("who", "me")
    response = session.get(origin.at("/echo/x"), auth=("bob", "t0k3n"), timeout=10)
    assert response.status_code == 200
    [(_, _, seen)] = origin.requests
    assert seen["Cookie"] == "who=me"
    [(_, head)] = guarded.requests
    told = head.decode().lower()
    assert "cookie" not in told
    assert seen["Authorization"].lower() not in told


# --- refusals ---


def test_t4_a_refusal_is_not_the_origins_answer() -> None:
    with ScriptedProxy(Receive(), Send(REFUSAL)) as proxy, tunnelled(proxy.url) as session:
        with pytest.raises(ProxyError) as caught:
            session.get(TARGET, timeout=10)
        assert proxy.wait_closed(10)
        assert proxy.received == proxy.heads
        assert len(session.cookies) == 0
    error = caught.value
    assert error.response is None
    assert error.request is not None
    assert error.request.url == TARGET
    assert isinstance(error.__cause__, TunnelRefused)
    assert error.__cause__.target == "a.test:443"
    answer = proxy_response(error)
    assert answer is not None
    assert answer is error.__cause__.response
    assert (answer.status, answer.body) == (403, b"<p>Ask Bob.</p>")
    assert isinstance(error.args[0], MaxRetryError)
    assert str(error).count("Ask Bob.") == 1


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_t5_a_refusal_that_points_elsewhere_is_not_followed(scheme: str, origin: WebOrigin) -> None:
    moved = (
        f"HTTP/1.1 302 Found\r\nLocation: {origin.at('/echo/x', 'http')}\r\n"
        "Set-Cookie: who=proxy\r\nRefresh: 0\r\nContent-Length: 0\r\n\r\n"
    )
    with (
        ScriptedProxy(Receive(), Send(moved.encode())) as proxy,
        tunnelled(proxy.url) as session,
        pytest.raises(ProxyError) as caught,
    ):
        session.get(f"{scheme}://a.test/", timeout=10)
    answer = proxy_response(caught.value)
    assert answer is not None
    assert answer.status == 302
    assert origin.requests == []
    assert len(session.cookies) == 0


@pytest.mark.parametrize(("status", "times"), [(403, 1), (407, 1), (503, 3)])
def test_what_may_change_is_asked_for_again(status: int, times: int) -> None:
    no = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    with ScriptedProxy(Receive(), Send(no)) as proxy:
        with tunnelled(proxy.url, max_retries=2) as session, pytest.raises(ProxyError):
            session.get(TARGET, timeout=10)
        assert proxy.connections == times


def test_t13_a_refusal_leaves_nothing_behind() -> None:
    with nothing_left(), LoopbackProxy(refuse=lambda _: REFUSAL) as proxy:
        with tunnelled(proxy.url, pool_maxsize=1, pool_block=True) as session:
            for _ in range(300):
                with pytest.raises(ProxyError):
                    session.get(TARGET, timeout=10)
        assert proxy.wait_closed(10)


# --- what else goes wrong ---


def wrong(via: Any, url: str = TARGET, timeout: Any = 10, **options: Any) -> Any:
    with (
        tunnelled(via, **options) as session,
        pytest.raises(requests.exceptions.RequestException) as caught,
    ):
        session.get(url, timeout=timeout)
    return caught.value


def test_a_proxy_that_is_not_there() -> None:
    with refusing() as (host, port):
        error = wrong(f"http://{host}:{port}")
    assert isinstance(error, ProxyError)
    assert isinstance(error.__cause__, ProxyUnreachable)
    assert proxy_response(error) is None


def test_a_proxy_that_hangs_up() -> None:
    with ScriptedProxy(Receive(), Close()) as proxy:
        error = wrong(proxy.url)
    assert isinstance(error, ProxyError)
    assert isinstance(error.__cause__, ProxyHungUp)


def test_a_target_that_cannot_be_named() -> None:
    with ScriptedProxy() as proxy:
        error = wrong(proxy.url, "https://[fe80::1%25eth0]/")
        assert proxy.connections == 0
    assert isinstance(error, InvalidURL)
    assert isinstance(error.__cause__, InvalidTarget)


def test_a_way_that_cannot_be() -> None:
    with pytest.raises(InvalidProxy):
        TunnelAdapter("proxy.corp:3128")


@pytest.mark.parametrize("timeout", [0.3, (0.3, 20), urllib3.Timeout(connect=0.3)])
def test_a_silent_proxy(timeout: Any) -> None:
    with ScriptedProxy(Receive(), Wait(30)) as proxy, took(0.2, 5):
        error = wrong(proxy.url, timeout=timeout)
    assert isinstance(error, ConnectTimeout)
    assert isinstance(error.__cause__, TunnelTimeout)
    assert error.__cause__.phase == "connect"


def test_a_silent_proxy_and_no_timeout_of_the_request() -> None:
    with ScriptedProxy(Receive(), Wait(30)) as proxy, took(0.2, 5):
        error = wrong(proxy.url, timeout=None, tunnel_timeout=0.3)
    assert isinstance(error, ConnectTimeout)


def test_an_origin_that_takes_its_time(session: requests.Session, origin: WebOrigin) -> None:
    with took(0.2, 8), pytest.raises(ReadTimeout):
        session.get(origin.at("/slow"), timeout=(5, 0.3))
    assert session.get(origin.at("/echo/x"), timeout=10).text == "x"


# --- secrets and pickles ---


def test_no_error_shows_a_password() -> None:
    with LoopbackProxy(auth=("alice", "another")) as proxy:
        error = wrong(proxy.url.replace("://", "://alice:0p3n-sesame@"))
    assert isinstance(error.__cause__, ProxyAuthenticationRequired)
    assert "0p3n-sesame" not in f"{error} {error!r} {error.args} {error.__cause__}"


def test_an_adapter_survives_a_pickle(cafile: str, origin: WebOrigin) -> None:
    with LoopbackProxy() as proxy:
        with tunnelled(proxy.url, cafile, tunnel_timeout=7, pool_maxsize=3) as session:
            again = pickle.loads(pickle.dumps(session))
        with again:
            response = again.get(origin.at("/echo/x"), timeout=10)
        assert response.text == "x"
        assert proxy_response(response) is not None
    adapter = again.get_adapter(TARGET)
    assert isinstance(adapter, TunnelAdapter)
    assert (adapter._tunnel_timeout, adapter._pool_maxsize) == (7, 3)


def test_an_adapter_with_a_password_does_not(session: requests.Session) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(session)


def test_errors_survive_a_pickle() -> None:
    with ScriptedProxy(Receive(), Send(REFUSAL)) as proxy:
        again = pickle.loads(pickle.dumps(wrong(proxy.url)))
    answer = proxy_response(again)
    assert answer is not None
    assert answer.body == b"<p>Ask Bob.</p>"


def test_an_error_that_is_being_handled_is_not_the_cause(
    session: requests.Session, origin: WebOrigin
) -> None:
    """What a caller does about one failure may fail for another reason."""
    try:
        raise TunnelError("of before")
    except TunnelError:
        with pytest.raises(ReadTimeout) as caught:
            session.get(origin.at("/slow"), timeout=(5, 0.3))
    assert not isinstance(caught.value.__cause__, TunnelError)
