"""What others had advisories for, through httpx and httpx2."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import Proxy, TargetTLSError, TunnelRefused
from connect_tunnel.testing import LoopbackProxy, Receive, ScriptedProxy, Send, Wait

from .http_faces import FACES, Face
from .http_origin import Answer, Origin
from .shells import nothing_left

if TYPE_CHECKING:
    import trustme

    from .http_origin import Asked

each_face = pytest.mark.parametrize("face", FACES, ids=str)
PASSWORD = "s3cret"  # in Base64 with its user: YWxpY2U6czNjcmV0
LOGIN = ("alice", PASSWORD)


def names(head: bytes) -> list[bytes]:
    return re.findall(rb"\r\n([^:\r]+):", head)


@each_face
def test_t1_no_credentials_for_the_proxy_reach_an_origin(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Nor do they on the way through two redirects to other origins (CVE-2023-32681)."""

    def lead_on(asked: Asked) -> Answer:
        places = {"/1": origin.url("/2", "127.0.0.1"), "/2": other.url("/3")}
        place = places.get(asked.target)
        return Answer(302, (("Location", place),)) if place else Answer()

    server_context.set_alpn_protocols(["http/1.1"])
    with nothing_left(), LoopbackProxy(auth=LOGIN) as proxy:
        with Origin(server_context, lead_on) as origin, Origin(server_context) as other:
            via = Proxy(proxy.url, auth=LOGIN, headers={"X-Team": "web"})
            follow = {"follow_redirects": True}
            [got] = face.talk(via, ("GET", origin.url("/1"), follow), verify=client_context)
        assert len(proxy.requests) == 3
    assert got.status_code == 200
    assert [len(server.asked) for server in (origin, other)] == [2, 1]
    for asked in origin.asked + other.asked:
        assert asked.fields.keys().isdisjoint({"proxy-authorization", "x-team"})


@each_face
def test_t1_what_a_caller_tells_the_origin_is_the_caller_s(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """It is neither taken away nor copied to the proxy."""
    server_context.set_alpn_protocols(["http/1.1"])
    with LoopbackProxy() as proxy, Origin(server_context) as origin:
        options = {"headers": {"Proxy-Authorization": "Basic of-the-caller"}}
        face.talk(proxy.url, ("GET", origin.url(), options), verify=client_context)
        [(_, head)] = proxy.requests
    assert origin.asked[0].fields["proxy-authorization"] == "Basic of-the-caller"
    assert b"of-the-caller" not in head


@each_face
def test_t3_connect_holds_nothing_of_the_request(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    server_context.set_alpn_protocols(["http/1.1"])
    with LoopbackProxy(auth=LOGIN) as proxy, Origin(server_context) as origin:
        options: dict[str, Any] = {
            "headers": {"Authorization": "Bearer of-the-origin", "X-Mine": "1"},
            "params": {"q": "private"},
        }
        client = {"cookies": {"session": "private"}}
        via = Proxy(proxy.url, auth=LOGIN)
        request = ("GET", origin.url("/private"), options)
        face.talk(via, request, client=client, verify=client_context)
        [(authority, head)] = proxy.requests
    assert head.startswith(b"CONNECT %b HTTP/1.1\r\n" % authority.encode())
    assert names(head) == [b"Host", b"User-Agent", b"Proxy-Authorization"]
    assert b"private" not in head
    assert origin.asked[0].fields["cookie"] == "session=private"


@each_face
@pytest.mark.parametrize(
    "status", [b"403 Forbidden", b"407 Who", b"401 Who", b"200", b"302 Found", b"502 Bad", b"600 ?"]
)
def test_t4_a_refusal_is_never_the_origin_s_response(face: Face, status: bytes) -> None:
    """And nothing is written after CONNECT (FalseCONNECT)."""
    page = b"<html><script>alert(document.domain)</script>"
    fields = b"Set-Cookie: a=b\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
    if status == b"200":  # and then the page, where the origin's TLS should be
        fields = b"\r\n"
    answer = b"HTTP/1.1 %b\r\n" % status + fields + page
    with nothing_left(), ScriptedProxy(Receive(), Send(answer), Wait(0.05)) as proxy:
        [error] = face.talk(proxy.url, ("GET", "https://victim.test/"))
        assert proxy.wait_closed()
        if status != b"200":
            assert proxy.received == proxy.heads
    assert isinstance(error, face.httpx.TransportError)
    if not status.startswith((b"200", b"600")):
        assert type(error) is face.httpx.ProxyError
        assert isinstance(error.__cause__, TunnelRefused)
        assert error.__cause__.response.body == page


@each_face
def test_t5_a_refusal_leads_nowhere_and_sets_nothing(face: Face) -> None:
    """Its Location is not followed, its cookie not kept, and no 401 in it is answered."""
    fields = (
        b"Location: https://login.test/\r\nSet-Cookie: a=b\r\nRefresh: 0; url=https://b.test/\r\n"
    )
    answer = b"HTTP/1.1 302 Found\r\n" + fields + b"Content-Length: 0\r\n\r\n"
    cookies = face.httpx.Cookies()
    with nothing_left(), ScriptedProxy(Receive(), Send(answer), Wait(0.05)) as proxy:
        client = {"follow_redirects": True, "cookies": cookies, "auth": LOGIN}
        errors = face.talk(proxy.url, *[("GET", "https://a.test/")] * 2, client=client)
        assert proxy.connections == 2
        heads = proxy.heads
    for error in errors:
        assert type(error) is face.httpx.ProxyError
        assert error.__cause__.response.headers["location"] == "https://login.test/"
    assert not cookies
    for head in heads:
        assert names(head) == [b"Host", b"User-Agent"]


@each_face
def test_t6_tls_in_the_tunnel_is_with_the_target(
    face: Face, ca: trustme.CA, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """A man in the middle has a good certificate, and it is not the target's."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert("127.0.0.1")
    certificate.configure_cert(theirs)  # pyright: ignore[reportUnknownMemberType]
    with LoopbackProxy(ssl_context=server_context) as proxy, Origin(theirs) as origin:
        via = Proxy(proxy.url, ssl_context=client_context)
        [error] = face.talk(via, ("GET", origin.url()), verify=client_context)
    assert type(error) is face.httpx.ConnectError
    assert isinstance(error.__cause__, TargetTLSError)
    assert "localhost" in str(error)
    assert origin.asked == []


@each_face
def test_t6_certificates_are_verified_unless_told_otherwise(
    face: Face, server_context: ssl.SSLContext
) -> None:
    with LoopbackProxy() as proxy, Origin(server_context) as origin:
        for verify, kind in ((True, face.httpx.ConnectError), (False, face.httpx.Response)):
            [got] = face.talk(proxy.url, ("GET", origin.url()), verify=verify)
            assert type(got) is kind


@each_face
def test_t23_each_gets_its_own_answer(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """CVE-2020-8231: fifty at once."""
    server_context.set_alpn_protocols(["http/1.1"])
    tags = [f"tag-{number}".encode() * 100 for number in range(50)]
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        requests = [("POST", origin.url(), {"content": tag}) for tag in tags]
        got = face.at_once(proxy.url, requests, verify=client_context)
    assert [response.content for response in got] == tags
