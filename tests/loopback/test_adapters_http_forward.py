"""What becomes of http:// with the transports for httpx and httpx2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import (
    InvalidProxy,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyTLSError,
    ProxyUnreachable,
    TunnelTimeout,
)
from connect_tunnel.adapters import _http_pools
from connect_tunnel.auth import Basic, Bearer, Digest, Password
from connect_tunnel.routing import Decision, Direct, Environment, Offload, Router
from connect_tunnel.testing import (
    Close,
    LoopbackH2Proxy,
    LoopbackProxy,
    Receive,
    ScriptedProxy,
    Send,
)

from .fronts import behind_unix_socket
from .http_faces import FACES, Face
from .http_origin import Answer, Origin
from .shells import nothing_left, refusing, took

if TYPE_CHECKING:
    import ssl

    from connect_tunnel import Target, TunnelError
    from connect_tunnel._steps import Program


each_face = pytest.mark.parametrize("face", FACES, ids=str)
LOGIN = ("alice", "s3cret")
SAID = "Basic YWxpY2U6czNjcmV0"


def url(proxy: Origin) -> str:
    return proxy.url("", "127.0.0.1")


# --- the request as it is sent ---

TARGETS = {
    "http://a.test/path?query": "http://a.test/path?query",
    "http://a.test": "http://a.test/",
    "http://a.test:80/": "http://a.test/",
    "http://a.test:8080/": "http://a.test:8080/",
    "http://[2001:db8::1]/": "http://[2001:db8::1]/",
    "http://[2001:db8::1]:81/": "http://[2001:db8::1]:81/",
    "http://user:word@a.test/": "http://a.test/",
    "http://b\u00fccher.test/": "http://xn--bcher-kva.test/",
}


@each_face
def test_it_goes_to_the_proxy_in_absolute_form(face: Face) -> None:
    """RFC 9112, 3.2.2; and over one connection for each origin."""
    with nothing_left(), Origin() as proxy:
        got = face.talk(url(proxy), *[("GET", each) for each in TARGETS])
    assert [asked.target for asked in proxy.asked] == list(TARGETS.values())
    assert [asked.version for asked in proxy.asked] == ["HTTP/1.1"] * len(TARGETS)
    assert proxy.asked[0].fields["host"] == "a.test"
    for response in got:
        assert response.content == b"hello"
        assert "proxy_response" not in response.extensions


@each_face
@pytest.mark.parametrize(
    ("target", "sent"),
    [(b"*", "http://a.test"), (b"/x", "http://a.test/x"), (b"http://b.test/", "http://b.test/")],
)
def test_a_target_of_the_caller_s_own(face: Face, target: bytes, sent: str) -> None:
    """RFC 9112, 3.2.4: without a path "*" is the origin's, and not the proxy's."""
    with Origin() as proxy:
        face.talk(url(proxy), ("OPTIONS", "http://a.test/", {"extensions": {"target": target}}))
    assert [(asked.method, asked.target) for asked in proxy.asked] == [("OPTIONS", sent)]


@each_face
def test_bodies_go_both_ways(face: Face) -> None:
    def pieces() -> Any:
        yield from (b"one ", b"two")

    async def pieces_async() -> Any:
        for piece in pieces():
            yield piece

    body = pieces() if face.shell == "sync" else pieces_async()
    with Origin() as proxy:
        [got] = face.talk(url(proxy), ("POST", "http://a.test/", {"content": body}))
    assert got.content == b"one two"


# --- who is asking ---


def name_of(target: Target) -> dict[str, str]:
    return {"Proxy-Authorization": target.host}


CREDENTIALS: dict[str, tuple[Any, str | None]] = {
    "a password": ({"auth": LOGIN}, SAID),
    "Basic": ({"auth": Basic(*LOGIN)}, SAID),
    "Bearer": ({"auth": Bearer("t0ken", allow_cleartext=True)}, "Bearer t0ken"),
    "a field": ({"headers": {"Proxy-Authorization": "Own 1", "X-Team": "web"}}, "Own 1"),
    "a callable": ({"headers": name_of}, "a.test"),
    "only when asked": ({"auth": Password(*LOGIN, preemptive=False)}, None),
    "Digest": ({"auth": Digest(*LOGIN)}, None),
    "nothing": ({}, None),
}


@each_face
@pytest.mark.parametrize("name", CREDENTIALS)
def test_which_credentials_go_with_it(face: Face, name: str) -> None:
    """Those that need no challenge; and nothing else that is meant for the proxy."""
    options, sent = CREDENTIALS[name]
    with Origin() as proxy:
        [got] = face.talk(Proxy(url(proxy), **options), ("GET", "http://a.test/"))
    assert got.status_code == 200
    [asked] = proxy.asked
    assert asked.fields.get("proxy-authorization") == sent
    assert "x-team" not in asked.fields


@each_face
def test_t1_credentials_of_the_caller_s_go_before_ours(face: Face) -> None:
    with Origin() as proxy:
        options = {"headers": {"Proxy-Authorization": "Basic mine"}}
        face.talk(Proxy(url(proxy), auth=LOGIN), ("GET", "http://a.test/", options))
    assert proxy.asked[0].fields["proxy-authorization"] == "Basic mine"


@each_face
def test_t1_a_redirect_takes_no_credentials_with_it(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """From what is forwarded to what goes through a tunnel."""
    server_context.set_alpn_protocols(["http/1.1"])
    with nothing_left(), LoopbackProxy() as tunnels, Origin(server_context) as origin:
        location = (("Location", origin.url()),)
        with Origin(answer=lambda _: Answer(302, location)) as proxy:
            environ = {"http_proxy": f"http://alice:s3cret@127.0.0.1:{proxy.server_port}"}
            environ["https_proxy"] = tunnels.url
            router = Environment(environ, loopback_direct=False)
            follow = {"follow_redirects": True}
            [got] = face.talk(router, ("GET", "http://a.test/", follow), verify=client_context)
        [(_, head)] = tunnels.requests
    assert got.status_code == 200
    assert proxy.asked[0].fields["proxy-authorization"] == SAID
    assert "proxy-authorization" not in origin.asked[0].fields
    assert b"Proxy-Authorization" not in head


# --- what comes back ---


@each_face
@pytest.mark.parametrize("status", [401, 403, 502])
def test_a_response_is_a_response(face: Face, status: int) -> None:
    """Nobody can tell whose it is."""
    with Origin(answer=lambda _: Answer(status)) as proxy:
        [got] = face.talk(url(proxy), ("GET", "http://a.test/"))
    assert (got.status_code, got.content) == (status, b"hello")


WORDS = {
    None: ("wants authentication for", "no credentials were given"),
    Digest(*LOGIN): ("wants authentication for", "tunnel_http=True"),
    Password(*LOGIN): ("rejected the credentials for", "check the user and the password"),
}


@each_face
@pytest.mark.parametrize("auth", WORDS, ids=repr)
def test_t4_a_407_is_the_proxy_s(face: Face, auth: Any) -> None:
    offers = tuple(("Proxy-Authenticate", each) for each in ('Basic realm="x"', "Negotiate"))
    answer = Answer(407, (*offers, ("Set-Cookie", "a=b")), b"Ask %b." % SAID.encode())
    with nothing_left(), Origin(answer=lambda _: answer) as proxy:
        limits = face.httpx.Limits(max_connections=1)
        requests = [("GET", "http://a.test/"), ("GET", "http://b.test/")]
        errors = face.talk(Proxy(url(proxy), auth=auth), *requests, limits=limits)
    for error, host in zip(errors, ["a.test:80", "b.test:80"], strict=True):
        assert type(error) is face.httpx.ProxyError
        cause = error.__cause__
        assert type(cause) is ProxyAuthenticationRequired
        assert [challenge.scheme for challenge in cause.challenges] == ["Basic", "Negotiate"]
        assert (cause.response.status, cause.response.complete) == (407, True)
        assert (cause.proxy_url, cause.target) == (url(proxy), host)
        for words in WORDS[auth]:
            assert words in str(error)
        if auth == Password(*LOGIN):  # which the page told again
            assert b"YWxpY2U6" not in cause.response.body
            assert "YWxpY2U6" not in str(error)


@each_face
def test_a_407_without_end(face: Face) -> None:
    """T19: as much of it is read as of any refusal."""
    with nothing_left(), Origin(answer=lambda _: Answer(407, (), bytes(1 << 20))) as proxy:
        [error] = face.talk(url(proxy), ("GET", "http://a.test/"))
    response = error.__cause__.response
    assert (len(response.body), response.complete) == (65536, False)
    assert "no scheme at all" in str(error)


# --- the ways ---


@each_face
def test_to_a_proxy_in_tls(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    server_context.set_alpn_protocols(["http/1.1"])
    with nothing_left(), Origin(server_context) as proxy:
        via = Proxy(url(proxy), ssl_context=client_context, auth=LOGIN)
        [got] = face.talk(via, ("GET", "http://a.test/"))
    assert got.content == b"hello"
    assert proxy.asked[0].target == "http://a.test/"


@each_face
def test_to_a_proxy_that_is_asked_for_tunnels_in_http_2(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Requests have a connection of their own, in HTTP/1.1."""
    server_context.set_alpn_protocols(["http/1.1"])
    with nothing_left(), Origin(server_context) as proxy:
        via = Proxy(url(proxy), ssl_context=client_context, auth=LOGIN, http2=True)
        [got] = face.talk(via, ("GET", "http://a.test/"))
    assert got.content == b"hello"
    assert proxy.asked[0].target == "http://a.test/"


@each_face
def test_through_a_proxy_that_speaks_nothing_else(face: Face) -> None:
    """Nobody forwards for us in HTTP/2, so there is a tunnel."""
    with nothing_left(), Origin() as origin, LoopbackH2Proxy() as proxy:
        via = Proxy(proxy.url, http1=False, http2=True)
        [got] = face.talk(via, ("GET", f"{url(origin)}/"))
        assert [authority for authority, _ in proxy.requests] == [f"127.0.0.1:{origin.server_port}"]
    assert got.content == b"hello"


@each_face
def test_to_a_proxy_whose_certificate_is_bad(face: Face, server_context: ssl.SSLContext) -> None:
    """T7: nothing is sent, and the blame is the proxy's."""
    with Origin(server_context) as proxy:
        [error] = face.talk(Proxy(url(proxy), auth=LOGIN), ("GET", "http://a.test/"))
    assert type(error) is face.httpx.ProxyError
    assert type(error.__cause__) is ProxyTLSError
    assert proxy.asked == []


@each_face
def test_to_the_last_of_a_chain(face: Face) -> None:
    """Of which the ones before are asked for tunnels, with credentials of their own."""
    with nothing_left(), LoopbackProxy(auth=("one", "first")) as first, Origin() as last:
        chain = [Proxy(first.url, auth=("one", "first")), Proxy(url(last), auth=LOGIN)]
        [got] = face.talk(chain, ("GET", "http://a.test/"))
        assert [authority for authority, _ in first.requests] == [f"127.0.0.1:{last.server_port}"]
    assert last.asked[0].target == "http://a.test/"
    assert last.asked[0].fields["proxy-authorization"] == SAID
    assert got.extensions["proxy_response"].status == 200


@each_face
def test_a_chain_that_refuses(face: Face) -> None:
    no = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
    with ScriptedProxy(Receive(), Send(no), Close()) as first:
        [error] = face.talk([first.url, "http://last.test:1"], ("GET", "http://a.test/"))
    assert type(error) is face.httpx.ProxyError
    assert error.__cause__.response.body == b"no"


@each_face
def test_to_a_proxy_behind_a_unix_socket(face: Face) -> None:
    with Origin() as proxy, behind_unix_socket(proxy.server_port) as path:
        [got] = face.talk(f"unix://{path}", ("GET", "http://a.test/"))
    assert got.content == b"hello"
    assert proxy.asked[0].target == "http://a.test/"


@each_face
def test_through_a_tunnel_where_that_is_asked_for(face: Face) -> None:
    with nothing_left(), LoopbackProxy(auth=LOGIN) as proxy, Origin() as origin:
        via = Proxy(proxy.url, auth=LOGIN)
        [got] = face.talk(via, ("GET", origin.url()), tunnel_http=True)
        assert len(proxy.requests) == 1
    assert got.extensions["proxy_response"].status == 200
    assert origin.asked[0].target == "/"
    assert "proxy-authorization" not in origin.asked[0].fields


# --- routers ---


class Several(Router):
    """Decides for ways of its own, after some thought, and hears what came of each."""

    def __init__(self, *ways: list[Proxy]) -> None:
        self.ways = ways
        self.heard: list[TunnelError | None] = []

    def route(self, target: Target) -> Program[Decision]:
        yield from Offload(str, target)
        return Decision(self.ways, "several")

    def report(self, way: Any, error: TunnelError | None) -> None:
        self.heard.append(error)


@each_face
def test_the_first_that_can_be_reached(face: Face) -> None:
    """And each gets its own credentials only (T10)."""
    with nothing_left(), refusing() as (_, port), Origin() as second:
        first = Proxy(f"http://127.0.0.1:{port}", auth=("first", "secret"))
        router = Several([first], [Proxy(url(second), auth=LOGIN)], [])
        got = face.talk(router, *[("GET", "http://a.test/")] * 2)
    assert [response.status_code for response in got] == [200, 200]
    assert [asked.fields["proxy-authorization"] for asked in second.asked] == [SAID] * 2
    assert [type(error) for error in router.heard] == [ProxyUnreachable, type(None)] * 2


@each_face
def test_none_that_can_be_reached(face: Face) -> None:
    with refusing() as (_, port):
        router = Several(*[[Proxy(f"http://127.0.0.1:{port}")]] * 2)
        [error] = face.talk(router, ("GET", "http://a.test/"))
    assert type(error) is face.httpx.ConnectError
    assert [type(heard) for heard in router.heard] == [ProxyUnreachable] * 2


@each_face
def test_what_a_proxy_says_is_final(face: Face) -> None:
    with Origin(answer=lambda _: Answer(407)) as first, Origin() as second:
        router = Several([Proxy(url(first))], [Proxy(url(second))])
        [error] = face.talk(router, ("GET", "http://a.test/"))
    assert type(error.__cause__) is ProxyAuthenticationRequired
    assert second.asked == []
    assert router.heard == [None]


@each_face
def test_a_failure_that_is_no_unreached_proxy_is_final(face: Face) -> None:
    """It speaks no TLS, and so it is there."""
    with Origin() as first, Origin() as second:
        router = Several([Proxy(url(first).replace("http", "https"))], [Proxy(url(second))])
        [error] = face.talk(router, ("GET", "http://a.test/"))
    assert type(error.__cause__) is ProxyTLSError
    assert second.asked == []


@each_face
def test_directly(face: Face) -> None:
    with nothing_left(), Origin() as origin:
        [got] = face.talk(Direct(), ("GET", origin.url()))
    assert got.content == b"hello"
    assert origin.asked[0].target == "/"


@each_face
@pytest.mark.parametrize("tunnel_http", [False, True])
def test_the_environment_has_a_proxy_for_each_scheme(face: Face, tunnel_http: bool) -> None:
    with nothing_left(), Origin() as origin, LoopbackProxy() as tunnels, Origin() as forwards:
        http_proxy = tunnels.url if tunnel_http else url(forwards)
        environ = {"http_proxy": http_proxy, "https_proxy": "http://127.0.0.1:1"}
        router = Environment(environ, loopback_direct=False)
        [got] = face.talk(router, ("GET", origin.url()), tunnel_http=tunnel_http)
        assert len(tunnels.requests) == tunnel_http
    assert got.content == b"hello"
    assert len(forwards.asked) == (not tunnel_http)
    assert len(origin.asked) == tunnel_http


class Failing(Router):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def route(self, target: Target) -> Program[Decision]:
        yield from ()
        raise self.error


@each_face
def test_a_router_that_fails(face: Face) -> None:
    [error] = face.talk(Failing(InvalidProxy("no such tenant")), ("GET", "http://a.test/"))
    assert type(error) is face.httpx.ProxyError
    assert type(error.__cause__) is InvalidProxy


class Thinking(Router):
    """Takes longer to decide than anybody waits."""

    def route(self, target: Target) -> Program[Decision]:
        import time  # noqa: PLC0415

        yield from Offload(time.sleep, 1)
        return Decision([[]], "too late")


@each_face
def test_deciding_takes_time_to_connect(face: Face) -> None:
    with took(0.1, 0.9):
        timeout = {"timeout": face.httpx.Timeout(5, connect=0.1)}
        [error] = face.talk(Thinking(), ("GET", "http://a.test/", timeout))
    assert type(error) is face.httpx.ConnectTimeout
    assert type(error.__cause__) is TunnelTimeout


@each_face
def test_ways_without_end(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """A router that makes up a way for each request; no pool of it is kept for ever."""
    monkeypatch.setattr(_http_pools, "_MOST_POOLS", 3)

    class Sessions(Router):
        def route(self, target: Target) -> Program[Decision]:
            yield from ()
            name = target.host.partition(".")[0]
            return Decision([[Proxy(url(proxy), auth=(name, "x"))]], "a session each")

    with nothing_left(), Origin() as proxy:
        transport = face.transport(Sessions())
        requests = [("GET", f"http://s{number}.test/") for number in range(20)]
        seen: list[int] = []

        def look(_: Any) -> None:
            seen.append(len(transport._pool._pools))

        got = face.while_open(transport, "http://open.test/", look, *requests)
        assert len(transport._pool._pools) <= 4
    assert [response.status_code for response in got] == [200] * 20
    assert len({asked.fields["proxy-authorization"] for asked in proxy.asked}) == 21
