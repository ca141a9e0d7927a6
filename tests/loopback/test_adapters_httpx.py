"""The transports for httpx and httpx2: through tunnels, to origins of HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import gzip
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import (
    InvalidProxy,
    InvalidTarget,
    Proxy,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyTLSError,
    ProxyUnreachable,
    TargetTLSError,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel.routing import Decision, Environment, Router
from connect_tunnel.testing import Close, LoopbackProxy, Receive, ScriptedProxy, Send

from .http_faces import FACES, TRUSTING_NOBODY, Face
from .http_origin import Answer, Origin
from .raw import OK
from .shells import nothing_left, refusing, took, wait_until

if TYPE_CHECKING:
    import ssl

    from connect_tunnel import Target
    from connect_tunnel._steps import Program
    from connect_tunnel.testing import Step

    from .http_faces import Request
    from .http_origin import Asked

each_face = pytest.mark.parametrize("face", FACES, ids=str)
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=here"}
NO = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nAsk Bob."


# --- what comes back ---


@each_face
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_each_response_has_the_answer_to_connect(
    face: Face, version: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Also those for which the tunnel was kept alive."""
    http2 = version == "HTTP/2"
    server_context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        requests: list[Request] = [
            ("GET", origin.url()),
            ("POST", origin.url(), {"content": b"x" * 9}),
        ]
        got = face.talk(proxy.url, *requests, verify=client_context, http2=http2)
    assert len(proxy.requests) == 1
    assert [response.content for response in got] == [b"hello", b"x" * 9]
    for response in got:
        assert response.http_version == version
        assert response.extensions["proxy_response"].reason == "Connection established"


@each_face
def test_a_direct_way_has_no_answer_to_connect(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with Origin(server_context) as origin:
        [got] = face.talk(Environment({}), ("GET", origin.url()), verify=client_context)
    assert got.content == b"hello"
    assert "proxy_response" not in got.extensions


# --- what goes wrong ---

GOES_WRONG: dict[str, tuple[list[Step], str, type[Exception]]] = {
    "refused": ([Receive(), Send(NO), Close()], "ProxyError", TunnelRefused),
    "garbled": ([Receive(), Send(b"nonsense\r\n\r\n")], "ProxyError", ProxyMisbehaved),
    "hung up": ([Receive(), Close()], "ProxyError", ProxyHungUp),
    "silent": ([Receive()], "ConnectTimeout", TunnelTimeout),
    "silent TLS": ([Receive(), Send(OK)], "ConnectTimeout", TunnelTimeout),
    "no TLS": ([Receive(), Send(OK + b"SSH-2.0-x\r\n")], "ConnectError", TargetTLSError),
    "ended TLS": ([Receive(), Send(OK), Receive(b"\x03"), Close()], "ConnectError", TargetTLSError),
}


@each_face
@pytest.mark.parametrize("name", GOES_WRONG)
def test_an_opening_that_fails(face: Face, name: str) -> None:
    """The library's error, ours behind it, and the only place in the pool free again."""
    script, kind, cause = GOES_WRONG[name]
    limits = face.httpx.Limits(max_connections=1)
    timeout = face.httpx.Timeout(5, connect=0.2 if "silent" in name else 5, pool=5)
    with nothing_left(), ScriptedProxy(*script) as proxy:
        asked = ("GET", "https://a.test/", {"timeout": timeout})
        got = face.talk(proxy.url, asked, asked, limits=limits)
        wait_until(lambda: proxy.connections == 2)
    for error in got:
        assert type(error) is getattr(face.httpx, kind)
        assert type(error.__cause__) is cause
        assert str(error) == str(error.__cause__)
        assert error.request.url.host == "a.test"


@each_face
def test_a_proxy_that_is_not_there(face: Face) -> None:
    with refusing() as (_, port):
        [error] = face.talk(f"http://127.0.0.1:{port}", ("GET", "https://a.test/"))
    assert type(error) is face.httpx.ConnectError
    assert type(error.__cause__) is ProxyUnreachable


@each_face
def test_a_proxy_whose_certificate_is_bad(face: Face, server_context: ssl.SSLContext) -> None:
    with LoopbackProxy(ssl_context=server_context) as proxy:
        [error] = face.talk(proxy.url, ("GET", "https://a.test/"))
        assert proxy.requests == []
    assert type(error) is face.httpx.ProxyError
    assert type(error.__cause__) is ProxyTLSError


@each_face
@pytest.mark.parametrize("url", ["https://a.test:123456/", "http://a.test:123456/"])
def test_a_target_that_cannot_be(face: Face, url: str) -> None:
    [error] = face.talk("http://127.0.0.1:1", ("GET", url))
    assert type(error) in {face.httpx.ConnectError, face.httpx.InvalidURL}
    if type(error) is face.httpx.ConnectError:
        assert type(error.__cause__) is InvalidTarget


@each_face
def test_the_proxy_s_own_words(face: Face) -> None:
    with ScriptedProxy(Receive(), Send(NO), Close()) as proxy:
        [error] = face.talk(proxy.url, ("GET", "https://a.test/"))
    assert error.__cause__.response.status == 403
    assert error.__cause__.response.body == b"Ask Bob."
    assert "Ask Bob." in str(error)


# --- time ---


@each_face
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_reading_has_its_own_time(
    face: Face, version: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    def late(asked: Asked) -> Answer:
        origin.stopping.wait(2 if asked.target == "/late" else 0)
        return Answer()

    http2 = version == "HTTP/2"
    server_context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context, late) as origin:
        soon = {"timeout": face.httpx.Timeout(5, read=0.1)}
        requests: list[Request] = [("GET", origin.url("/late"), soon), ("GET", origin.url())]
        error, got = face.talk(proxy.url, *requests, verify=client_context, http2=http2)
        origin.stopping.set()
    assert type(error) is face.httpx.ReadTimeout
    assert "localhost" in str(error)
    assert got.status_code == 200


# httpx leaves the generator of the body that it did not send for the collector to find.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@each_face
def test_writing_has_its_own_time(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    server_context.set_alpn_protocols(["http/1.1"])
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        options = {"content": bytes(1 << 25), "timeout": face.httpx.Timeout(5, write=0.2)}
        requests: list[Request] = [("POST", origin.url("/unread"), options), ("GET", origin.url())]
        error, got = face.talk(proxy.url, *requests, verify=client_context)
    assert type(error) is face.httpx.WriteTimeout
    assert "localhost" in str(error)
    assert got.status_code == 200


@each_face
def test_the_pool_has_its_own_time(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """While a response is open, its tunnel is in use."""
    server_context.set_alpn_protocols(["http/1.1"])
    limits = face.httpx.Limits(max_connections=1)
    soon = {"timeout": face.httpx.Timeout(5, pool=0.1)}
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        transport = face.transport(proxy.url, verify=client_context, limits=limits)
        request = ("GET", origin.url(), soon)
        [error] = face.while_open(transport, origin.url(), lambda _: None, request)
    assert type(error) is face.httpx.PoolTimeout


@each_face
def test_no_time_at_all(face: Face) -> None:
    """It is not ours to complain of a 0, which httpx takes."""
    with ScriptedProxy(Receive()) as proxy:
        nothing = {"timeout": face.httpx.Timeout(0)}
        [error] = face.talk(proxy.url, ("GET", "https://a.test/", nothing))
    assert isinstance(error, face.httpx.TimeoutException)


@each_face
def test_the_time_to_connect_is_one_for_the_whole_opening(face: Face) -> None:
    """A proxy that sends an octet now and then gets no more of it."""
    drip = Send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99, size=1, delay=0.1)
    with nothing_left(), ScriptedProxy(Receive(), drip) as proxy, took(0.5, 2.5):
        timeout = {"timeout": face.httpx.Timeout(5, connect=0.5)}
        [error] = face.talk(proxy.url, ("GET", "https://a.test/", timeout))
    assert type(error) is face.httpx.ConnectTimeout


# --- trying again ---


class Counting(Router):
    """Leads to one proxy, and counts how often it was asked."""

    def __init__(self, via: str) -> None:
        self.decision = Decision([[Proxy(via)]], "as always")
        self.asked = 0

    def route(self, target: Target) -> Program[Decision]:
        yield from ()
        self.asked += 1
        return self.decision


@each_face
def test_retries_are_for_what_cannot_be_reached(face: Face) -> None:
    with refusing() as (_, port):
        router = Counting(f"http://127.0.0.1:{port}")
        [error] = face.talk(router, ("GET", "https://a.test/"), retries=1)
    assert type(error) is face.httpx.ConnectError
    assert router.asked == 2


@each_face
def test_a_refusal_is_final(face: Face) -> None:
    with ScriptedProxy(Receive(), Send(NO), Close()) as proxy:
        router = Counting(proxy.url)
        [error] = face.talk(router, ("GET", "https://a.test/"), retries=3)
    assert type(error) is face.httpx.ProxyError
    assert router.asked == 1


# --- what a transport is told ---


@each_face
def test_where_to_dial_from(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    settings = {
        "local_address": "127.0.0.9",
        "socket_options": [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)],
        "verify": client_context,
    }
    server_context.set_alpn_protocols(["http/1.1"])
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        transport = face.transport(proxy.url, **settings)

        def look(response: Any) -> None:
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("client_addr")[0] == "127.0.0.9"
            assert stream.get_extra_info("server_addr") == (proxy.host, proxy.port)
            sock = stream.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0

        face.while_open(transport, origin.url(), look)


@each_face
@pytest.mark.parametrize("via", ["http://u:s3cret@[", "s3cret", ["http://p:1", "ftp://u:s3cret@q"]])
def test_a_way_that_cannot_be_shows_no_password(face: Face, via: Any) -> None:
    with pytest.raises(InvalidProxy) as caught:
        face.transport(via)
    # With the locals of every frame but the two of this test.
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames.stack = traceback.StackSummary.from_list(list(frames.stack)[2:])
    assert "s3cret" not in "".join(frames.format())


@each_face
def test_it_is_one_of_theirs(face: Face) -> None:
    """What is built on their transport, or patches it, takes ours."""
    kind = face.httpx.HTTPTransport if face.shell == "sync" else face.httpx.AsyncHTTPTransport
    assert isinstance(face.transport("http://p:1"), kind)


@each_face
def test_a_client_that_is_closed_opens_nothing(face: Face) -> None:
    transport = face.transport("http://p.test:1")
    face.use({"transport": transport}, [])
    [error] = face.use({"transport": transport}, [("GET", "https://a.test/")])
    assert "the dialer is closed" in str(error)


# --- what is theirs stays as it is ---


def lead_on(asked: Asked) -> Answer:
    match asked.target:
        case "/moved":
            return Answer(302, (("Location", "/"), ("Set-Cookie", "seen=1")))
        case "/none":
            return Answer(204, (), b"")
        case "/gzip":
            return Answer(200, (("Content-Encoding", "gzip"),), gzip.compress(b"packed"))
        case "/closing":
            return Answer(200, (("Connection", "close"),))
        case _:
            return Answer(body=asked.body or b"hello")


# Each is asked of a direct client and of ours, and has to come to the same.
AS_THEIRS: dict[str, Request] = {
    "a query": ("GET", "/?a=b&c=%20"),
    "no body": ("HEAD", "/"),
    "no content": ("GET", "/none"),
    "a redirect": ("GET", "/moved", {"follow_redirects": True}),
    "none followed": ("GET", "/moved", {"follow_redirects": False}),
    "a form": ("POST", "/", {"data": {"a": "b"}}),
    "files": ("POST", "/", {"files": {"f": b"x"}, "headers": BOUNDARY}),
    "JSON": ("PUT", "/", {"json": {"a": 1}}),
    "a login": ("GET", "/", {"auth": ("user", "word")}),
    "a coding": ("GET", "/gzip"),
    "an end": ("GET", "/closing"),
    "after the end": ("GET", "/"),
    "a name of its own": ("GET", "/", {"extensions": {"sni_hostname": "target.test"}}),
    "a host of its own": ("GET", "/", {"headers": {"Host": "other.test"}}),
}


@each_face
@pytest.mark.parametrize("http2", [False, True])
def test_all_else_is_as_without_a_proxy(
    face: Face, http2: bool, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    kind = face.httpx.HTTPTransport if face.shell == "sync" else face.httpx.AsyncHTTPTransport
    server_context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    settings = {"verify": client_context, "http2": http2}
    with LoopbackProxy() as proxy, Origin(server_context, lead_on) as origin:
        requests = [(method, origin.url(path), *more) for method, path, *more in AS_THEIRS.values()]
        if http2:  # where it may not be said
            requests = [request for request in requests if "/closing" not in request[1]]
        ours = face.use({"transport": face.transport(proxy.url, **settings)}, requests)
        asked_ours = origin.asked[:]
        origin.asked.clear()
        theirs = face.use({"transport": kind(**settings)}, requests)
        assert asked_ours == origin.asked
        assert len(proxy.requests) == (1 if http2 else 2)
    for our, their in zip(ours, theirs, strict=True):
        assert (our.status_code, our.content, our.http_version) == (
            their.status_code,
            their.content,
            their.http_version,
        )
        assert our.headers.keys() == their.headers.keys()
        assert our.cookies == their.cookies
        assert our.extensions.keys() - {"proxy_response"} == their.extensions.keys()


# --- from the environment ---


@each_face
def test_mounts_from_the_environment(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    name = "mounts_from_environment" + ("" if face.shell == "sync" else "_async")
    server_context.set_alpn_protocols(["http/1.1"])
    with nothing_left(), ScriptedProxy(Receive(), Send(NO), Close()) as proxy:
        environ = {"HTTPS_PROXY": proxy.url, "NO_PROXY": "[::1], 127.0.0.0/8, bücher.example"}
        mounts = getattr(face.adapter, name)(environ, verify=client_context)
        options = {"mounts": mounts, "trust_env": False, "verify": TRUSTING_NOBODY}
        with Origin(server_context) as origin, Origin() as plain:
            urls = ["https://a.test/", origin.url(host="127.0.0.1"), plain.url(host="127.0.0.1")]
            requests: list[Request] = [("GET", url) for url in urls]
            error, *got = face.use(options, requests)
        assert [head.split()[1] for head in proxy.heads] == [b"a.test:443"]
    assert isinstance(error.__cause__, TunnelRefused)
    assert [response.content for response in got] == [b"hello"] * 2


@each_face
def test_mounts_go_before_those_of_the_library(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    name = "mounts_from_environment" + ("" if face.shell == "sync" else "_async")
    with ScriptedProxy(Receive(), Send(NO), Close()) as proxy:
        mounts = getattr(face.adapter, name)({"HTTPS_PROXY": proxy.url}, verify=TRUSTING_NOBODY)
        options = {"mounts": mounts, "verify": TRUSTING_NOBODY}
        [error] = face.use(options, [("GET", "https://a.test/")])
    assert isinstance(error.__cause__, TunnelRefused)
