"""What listeners understand and say, without a socket: places, clients, requests, answers."""

from __future__ import annotations

import errno
import pickle
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import (
    InvalidProxy,
    InvalidTarget,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyResponse,
    ProxyTLSError,
    ProxyUnreachable,
    Target,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel._forward.answer import granted, refused
from connect_tunnel._forward.clients import Clients
from connect_tunnel._forward.place import Place
from connect_tunnel._forward.request import (
    looks_like_http,
    malformed,
    read_request,
    too_large,
    too_late,
)
from connect_tunnel.protocols.h1 import parse_head

if TYPE_CHECKING:
    from connect_tunnel._forward.clients import ClientAuth


class TestPlaces:
    @pytest.mark.parametrize(
        ("listen", "shown"),
        [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.8.9.10:5432", "127.8.9.10:5432"),
            ("localhost:5432", "127.0.0.1:5432"),
            ("[::1]:5432", "[::1]:5432"),
            (("::1", 65535), "[::1]:65535"),
            (("localhost", 0), "127.0.0.1:0"),
            ("unix:/run/a b", "unix:/run/a b"),
        ],
    )
    def test_on_this_machine(self, listen: Any, shown: str) -> None:
        place = Place.parse(listen)
        assert str(place) == shown
        assert repr(place) == f"<Place {shown}>"
        assert place.is_local

    @pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", ("::", 0)])
    def test_elsewhere_only_if_it_is_wanted(self, listen: Any) -> None:
        with pytest.raises(ValueError, match="can be reached from other machines"):
            Place.parse(listen)
        assert not Place.parse(listen, allow_remote=True).is_local

    @pytest.mark.parametrize(
        "listen",
        [
            "", "5432", ":5432", "127.0.0.1", "127.0.0.1:", "::1:5432", "[::1]", "127.0.0.1:x",
            "127.0.0.1:+1", "http://127.0.0.1:80", "127.0.0.1:80/", "127.0.0.1:80\n", 5432, None,
            ("127.0.0.1",), ("127.0.0.1", "80"), ("127.0.0.1", True), ("127.0.0.1", 1, 2),
        ],
    )  # fmt: skip
    def test_that_cannot_be_read(self, listen: Any) -> None:
        with pytest.raises(ValueError, match=r"for example, '127\.0\.0\.1:5432'"):
            Place.parse(listen)

    def test_that_are_a_url_with_a_password(self) -> None:
        with pytest.raises(ValueError, match="not this") as caught:
            Place.parse("http://alice:s3cret@proxy:3128")
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize("listen", ["127.0.0.1:65536", ("127.0.0.1", -1)])
    def test_no_such_port(self, listen: Any) -> None:
        with pytest.raises(ValueError, match="from 0 to 65535"):
            Place.parse(listen)

    @pytest.mark.parametrize("listen", ["example.com:80", "1.2.3:80", ("", 80), "[1:2]:80"])
    def test_names_are_not_looked_up(self, listen: Any) -> None:
        with pytest.raises(ValueError, match="neither an IP address nor localhost"):
            Place.parse(listen)

    @pytest.mark.parametrize("listen", ["unix:", "unix:db", "unix:/a\0b"])
    def test_paths_are_absolute(self, listen: str) -> None:
        with pytest.raises(ValueError, match="is absolute"):
            Place.parse(listen)


def clients(auth: ClientAuth) -> Clients:
    made = Clients.parse(auth)
    assert isinstance(made, Clients)
    return made


LOCAL, REMOTE = Place.parse("[::1]:80"), Place.parse("0.0.0.0:80", allow_remote=True)


class TestClients:
    def test_a_password_is_made_up_for_each_run(self) -> None:
        one, other = (clients("random").proxy_url(LOCAL) for _ in range(2))
        assert one != other
        assert re.fullmatch(r"http://tunnel:[\w-]{22}@\[::1\]:80", one)

    def test_a_password_of_ones_own(self) -> None:
        own = clients(("al/ice", "p@ss:w#rd"))
        assert own.proxy_url(LOCAL) == "http://al%2Fice:p%40ss%3Aw%23rd@[::1]:80"
        assert own.proxy_url(Place.parse("unix:/a b")).endswith("@/a%20b")
        assert own.at(REMOTE) is own

    def test_no_password(self) -> None:
        anybody = clients(None)
        assert anybody.proxy_url(LOCAL) == "http://[::1]:80"
        assert anybody.proxy_url(Place.parse("unix:/a")) == "unix:///a"
        assert anybody.at(LOCAL) is anybody
        with pytest.raises(ValueError, match="it lends out your credentials"):
            anybody.at(REMOTE)

    @pytest.mark.parametrize(
        "auth", ["secret", "ab", ("a",), ("a", "b", "c"), (b"a", "b"), 1, ("a:b", "c"), ("a", "\n")]
    )
    def test_what_is_no_password(self, auth: Any) -> None:
        assert isinstance(Clients.parse(auth), ValueError)

    def test_what_is_shown(self) -> None:
        assert repr(clients(("alice", "s3cret"))) == "<Clients ***>"
        assert repr(clients(None)) == "<Clients anybody>"
        with pytest.raises(TypeError, match="secret"):
            pickle.dumps(clients(("alice", "s3cret")))


TOKEN = b64encode(b"alice:s3cret")
ALICE = clients(("alice", "s3cret")).credentials
HOST = b"Host: a.test:1\r\n"


def said(answer: Target | bytes) -> bytes:
    assert isinstance(answer, bytes)
    return answer


def status(answer: Target | bytes) -> int:
    answer = said(answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    response = parse_head(head + b"\r\n\r\n")
    assert response.headers["connection"] == "close"
    assert int(response.headers["content-length"]) == len(body)
    return response.status


class TestRequests:
    @pytest.mark.parametrize(
        "head",
        [
            b"CONNECT a.test:1 HTTP/1.1\r\n" + HOST,
            b"CONNECT a.test:1 HTTP/1.0\r\n",
            b"CONNECT A.TEST:1 HTTP/1.1\r\nHost: other.test\r\nUser-Agent:\r\n",
            b"CONNECT a.test:1 HTTP/1.1\nHost: a.test\n",
            b"CONNECT a.test:1 HTTP/1.1\r\nX: \xff\r\nProxy-Authorization: Basic bm8=\r\n",
        ],
    )
    def test_for_a_tunnel(self, head: bytes) -> None:
        assert read_request(head + b"\r\n", None) == Target("a.test", 1)

    def test_for_an_address(self) -> None:
        target = read_request(b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n", None)
        assert target == Target("::1", 443)

    @pytest.mark.parametrize(
        "head",
        [
            b"CONNECT a.test:1\r\n",
            b"CONNECT  a.test:1 HTTP/1.1\r\n",
            b"CONNECT a.test:1 HTTP/2.0\r\n",
            b"CONNECT a.test:1 http/1.1\r\n",
            b"CONNECT a.test:1 HTTP/1.1 \r\n",
            b"CONNECT a\x00.test:1 HTTP/1.1\r\n",
            b"CONNECT \xff.test:1 HTTP/1.1\r\n",
            b"CONNECT a.test:1 HTTP/1.1\r\nHost : a.test\r\n",
            b"CONNECT a.test:1 HTTP/1.1\r\n folded\r\n",
            b"CONNECT a.test:1 HTTP/1.1\r\nX: a\rb\r\n",
            b"CONNECT a.test:1 HTTP/1.1\r\n" + b"X: a\r\n" * 257,
            b"CONNECT a.test:1 HTTP/1.1\r\n" + HOST * 2,
            b"CONNECT a.test HTTP/1.1\r\n",
            b"CONNECT a.test:0 HTTP/1.1\r\n",
            b"CONNECT u:p@a.test:1 HTTP/1.1\r\n",
            b"CONNECT http://a.test:1/ HTTP/1.1\r\n",
        ],
    )
    def test_that_cannot_be_read(self, head: bytes) -> None:
        assert status(read_request(head + b"\r\n", None)) == 400

    @pytest.mark.parametrize(
        "line", [b"GET http://a.test/", b"POST /", b"connect a.test:1", b"OPTIONS *"]
    )
    def test_for_something_else(self, line: bytes) -> None:
        """What a page in a browser can send: it is not even told that there is a login."""
        answer = said(read_request(line + b" HTTP/1.1\r\n" + HOST + b"\r\n", ALICE))
        assert status(answer) == 405
        assert b"\r\nAllow: CONNECT\r\n" in answer
        assert b"Authenticate" not in answer

    @pytest.mark.parametrize(
        "login",
        [b"Basic " + TOKEN, b"basic " + TOKEN, b"BASIC   " + TOKEN + b"  "],
    )
    def test_of_somebody_known(self, login: bytes) -> None:
        head = b"CONNECT a.test:1 HTTP/1.1\r\nproxy-authorization: %b\r\n\r\n" % login
        assert read_request(head, ALICE) == Target("a.test", 1)

    @pytest.mark.parametrize(
        "fields",
        [
            b"",
            b"Authorization: Basic " + TOKEN + b"\r\n",
            b"Proxy-Authorization: Basic " + TOKEN[:-2] + b"\r\n",
            b"Proxy-Authorization: Bearer " + TOKEN + b"\r\n",
            b"Proxy-Authorization: " + TOKEN + b"\r\n",
            b"Proxy-Authorization: \r\n",
            (b"Proxy-Authorization: Basic " + TOKEN + b"\r\n") * 2,
        ],
    )
    def test_of_a_stranger(self, fields: bytes) -> None:
        answer = said(read_request(b"CONNECT a.test:1 HTTP/1.1\r\n" + fields + b"\r\n", ALICE))
        assert status(answer) == 407
        assert b'\r\nProxy-Authenticate: Basic realm="connect_tunnel"' in answer

    def test_that_do_not_come_to_an_end(self) -> None:
        assert [status(answer()) for answer in (malformed, too_large, too_late)] == [400, 431, 408]

    @pytest.mark.parametrize("start", [b"C", b"CONNECT", b"CONNECT a", b"get http://" + b"x" * 99])
    def test_that_may_become_one(self, start: bytes) -> None:
        assert looks_like_http(start)

    @pytest.mark.parametrize(
        "start",
        [
            b"\x16\x03\x01\x02\x00",
            b"\x05\x01\x00",
            b"\x04\x01",
            b"PRI * HTTP/2.0\r\n",
            b"\r\n",
            b" C",
        ],
    )
    def test_that_will_not(self, start: bytes) -> None:
        assert not looks_like_http(start)


def response(code: int, fields: bytes = b"", body: bytes = b"") -> ProxyResponse:
    return ProxyResponse(code, "No", "1.1", fields, body=body)


class TestAnswers:
    def test_a_tunnel(self) -> None:
        fields = b"Via: 1.1 a\r\nX-Exit-IP: 192.0.2.1\r\nContent-Length: 3\r\nConnection: x-hop\r\n"
        answer = granted(response(200, fields + b"X-Hop: 1\r\nTransfer-Encoding: odd\r\n").headers)
        assert answer == (
            b"HTTP/1.1 200 Connection established\r\nVia: 1.1 a\r\nX-Exit-IP: 192.0.2.1\r\n\r\n"
        )

    def test_the_no_of_the_proxy_is_passed_on(self) -> None:
        fields = (
            b"Via: 1.1 a\r\nProxy-Status: a; error=http_request_denied\r\nRetry-After: 5\r\n"
            b"Transfer-Encoding: chunked\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n"
            b"Proxy-Authentication-Info: nextnonce=secret\r\nWWW-Authenticate: Basic\r\n"
        )
        answer = refused(TunnelRefused("no", response=response(403, fields, b"Ask Bob.")))
        assert answer == (
            b"HTTP/1.1 403 No\r\nVia: 1.1 a\r\nProxy-Status: a; error=http_request_denied\r\n"
            b"Retry-After: 5\r\nProxy-Status: connect_tunnel; received-status=403\r\n"
            b"Content-Length: 8\r\nConnection: close\r\n\r\nAsk Bob."
        )

    @pytest.mark.parametrize("code", [401, 407])
    def test_what_the_proxy_wants_is_not_for_the_client_to_give(self, code: int) -> None:
        challenge = b'Proxy-Authenticate: Digest nonce="secret"\r\n'
        error = ProxyAuthenticationRequired(
            "wants 'all'\n\"\\", response=response(code, challenge), proxy_url="http://p:1"
        )
        answer = refused(error)
        assert status(answer) == 502
        assert b"secret" not in answer
        details = b'details="proxy http://p:1 wants \'all\'?\\"\\\\"\r\n'
        assert b"Proxy-Status: connect_tunnel; error=http_request_denied; " + details in answer

    @pytest.mark.parametrize(
        ("error", "code", "kind"),
        [
            (InvalidTarget("no"), 400, "http_request_error"),
            (TunnelTimeout("no"), 504, "connection_timeout"),
            (ProxyUnreachable("no", phase="resolve"), 502, "dns_error"),
            (ProxyUnreachable("no", errno=errno.ECONNREFUSED), 502, "connection_refused"),
            (ProxyUnreachable("no", errno=errno.ENETUNREACH), 502, "destination_unavailable"),
            (ProxyTLSError("no"), 502, "tls_protocol_error"),
            (ProxyHungUp("no"), 502, "connection_terminated"),
            (ProxyMisbehaved("no"), 502, "http_protocol_error"),
            (InvalidProxy("no"), 502, "proxy_configuration_error"),
            (ImportError("no"), 500, "proxy_configuration_error"),
            (
                TunnelRefused("no", response=ProxyResponse(5, "refused", "SOCKS5")),
                502,
                "http_request_denied",
            ),
        ],
    )
    def test_what_went_wrong(self, error: Exception, code: int, kind: str) -> None:
        answer = refused(error)
        assert status(answer) == code
        assert answer.endswith(b"\r\n\r\nno\n")
        assert f'Proxy-Status: connect_tunnel; error={kind}; details="no"\r\n'.encode() in answer

    def test_what_nobody_foresaw_is_not_told(self) -> None:
        answer = refused(RuntimeError("s3cret"))
        assert status(answer) == 500
        assert b"s3cret" not in answer
        assert b"error=proxy_internal_error" in answer
