"""Proxies: what a URL says, what is refused, and what makes two of them the same."""

from __future__ import annotations

import copy
import pickle
import ssl
from pathlib import PurePosixPath
from traceback import TracebackException
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import HTTP2, InvalidProxy, Proxy, Target
from connect_tunnel._fields import RequestFields
from connect_tunnel._secret import Secret
from connect_tunnel.auth import Auth, Basic, Bearer, Digest, Password, Prompt
from connect_tunnel.auth._socks import SocksLogin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connect_tunnel import Challenge

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.mark.parametrize(
    ("said", "url", "scheme", "host", "port"),
    [
        pytest.param("http://h", "http://h:80", "http", "h", 80, id="the port of http"),
        pytest.param("https://h", "https://h:443", "https", "h", 443, id="the port of https"),
        pytest.param("http://h:3128", "http://h:3128", "http", "h", 3128, id="a port"),
        pytest.param("http://h:00080", "http://h:80", "http", "h", 80, id="leading zeros"),
        pytest.param("http://h:65535", "http://h:65535", "http", "h", 65535, id="the last port"),
        pytest.param("http://h/", "http://h:80", "http", "h", 80, id="a last slash"),
        pytest.param("http://h:1/", "http://h:1", "http", "h", 1, id="a port and a last slash"),
        pytest.param("HTTP://H.Test:1", "http://h.test:1", "http", "h.test", 1, id="NM-07 case"),
        pytest.param("http://@h", "http://h:80", "http", "h", 80, id="empty userinfo"),
        pytest.param("http://h.:1", "http://h.:1", "http", "h.", 1, id="NM-07 a last dot"),
        pytest.param("http://1.2.3.4:1", "http://1.2.3.4:1", "http", "1.2.3.4", 1, id="IPv4"),
        pytest.param("http://[::1]:1", "http://[::1]:1", "http", "::1", 1, id="H1-03 IPv6"),
        pytest.param("https://[::1]", "https://[::1]:443", "https", "::1", 443, id="IPv6, no port"),
        pytest.param(
            "http://[2001:DB8::0:1]:1",
            "http://[2001:db8::1]:1",
            "http",
            "2001:db8::1",
            1,
            id="NM-07 canonical IPv6",
        ),
        pytest.param(
            "http://[FE80::1%eth0]:3128",
            "http://[fe80::1%eth0]:3128",
            "http",
            "fe80::1%eth0",
            3128,
            id="NM-06 a zone, which is dialled",
        ),
        pytest.param(
            "http://bücher.example:1",
            "http://xn--bcher-kva.example:1",
            "http",
            "xn--bcher-kva.example",
            1,
            id="NM-02 not ASCII",
        ),
        pytest.param("http://my_proxy:1", "http://my_proxy:1", "http", "my_proxy", 1, id="NM-04"),
        pytest.param("socks4://h", "socks4://h:1080", "socks4", "h", 1080, id="SOCKS4"),
        pytest.param("socks4a://h:1/", "socks4a://h:1", "socks4a", "h", 1, id="SOCKS4a"),
        pytest.param("SOCKS5://H", "socks5://h:1080", "socks5", "h", 1080, id="SOCKS5"),
        pytest.param("socks5h://@h", "socks5h://h:1080", "socks5h", "h", 1080, id="SOCKS5, names"),
        pytest.param(
            "unix:///run/p.sock", "unix:///run/p.sock", "http", "localhost", 80, id="a Unix socket"
        ),
    ],
)
def test_what_a_url_says(said: str, url: str, scheme: str, host: str, port: int) -> None:
    proxy = Proxy(said)
    assert (proxy.url, proxy.scheme, proxy.host, proxy.port) == (url, scheme, host, port)
    assert proxy.auth is None
    assert repr(proxy) == f"Proxy({url!r})"
    assert Proxy(proxy.url) == proxy


@pytest.mark.parametrize(
    ("url", "endpoint", "name"),
    [
        pytest.param("https://h.test.", "h.test.:443", "h.test", id="NM-07 a last dot"),
        pytest.param("https://[fe80::1%eth0]", "[fe80::1]:443", "fe80::1", id="NM-06 a zone"),
        pytest.param("https://faß.de", "xn--fa-hia.de:443", "xn--fa-hia.de", id="NM-11 A-labels"),
    ],
)
def test_what_other_proxies_and_certificates_call_it(url: str, endpoint: str, name: str) -> None:
    proxy = Proxy(url)
    assert proxy.endpoint == Target.parse(endpoint)
    assert proxy.endpoint.server_hostname == name


REFUSED: list[tuple[str, Any, str]] = [  # id, the URL, what is said of it
    ("no scheme", "h:3128", "has no scheme; write 'http://host:port', or 'https://host:port'"),
    ("no scheme, userinfo", "u:s3cr3t@h:3128", "has no scheme"),
    ("no scheme, two slashes", "//u:s3cr3t@h", "has no scheme"),
    ("nothing", "", "has no scheme"),
    ("a scheme alone", "http://", "the host of the proxy is not a name or an address"),
    ("an unknown scheme", "s3cr3t://h", "unknown scheme; http, https, socks4, socks4a, socks5, so"),
    ("an empty scheme", "://u:s3cr3t@h", "cannot be read"),
    ("a scheme off the grammar", "1http://u:s3cr3t@h", "cannot be read"),
    ("some SOCKS", "socks://u:s3cr3t@h", "does not say which version; it is socks5h:// in most"),
    ("LL-05 no password", "socks5h://u@h", "1 to 255 octets each in SOCKS5"),
    ("LL-05 no user", "socks5://:s3cr3t@h", "1 to 255 octets each in SOCKS5"),
    ("LL-05 a long user", f"socks5://{'u' * 256}:s3cr3t@h", "1 to 255 octets each in SOCKS5"),
    ("LL-05 a long password", f"socks5h://u:{'s3cr3t' * 43}@h", "1 to 255 octets each in SOCKS5"),
    ("LL-05 long in UTF-8", f"socks5h://u:s3cr3t{'%C3%A9' * 125}@h", "1 to 255 octets each"),
    ("LL-07 a password for SOCKS4", "socks4://u:s3cr3t@h", "SOCKS4 knows no passwords"),
    ("LL-07 a password for SOCKS4a", "socks4a://:s3cr3t@h", "SOCKS4 knows no passwords"),
    ("LL-07 a NUL for SOCKS4", "socks4://s3cr3t%00@h", "no NUL, which ends it"),
    ("T14 a long user id", f"socks4a://{'s3cr3t' * 43}@h", "at most 255 octets"),
    ("a surrogate for SOCKS", "socks5h://u:s3cr3t\ud800@h", "UTF-8 can encode"),
    ("a host of a Unix socket", "unix://h", "it is unix:///path/of/the/socket"),
    ("a Unix socket on a host", "unix://u:s3cr3t@h/run/p.sock", "it is unix:///path/of/the/socket"),
    ("half of a character of a path", "unix:///s3cr3t\udcff", "cannot be read"),
    ("a path", "http://u:s3cr3t@h/x", "cannot be read (it is not shown, as it may hold"),
    ("a query", "http://h?s3cr3t", "cannot be read"),
    ("a fragment", "http://h#s3cr3t", "cannot be read"),
    ("a blank", " http://u:s3cr3t@h", "cannot be read"),
    ("a blank in the host", "http://a s3cr3t", "cannot be read"),
    ("a last line feed", "http://u:s3cr3t@h\n", "cannot be read"),
    ("H1-05 CR LF in the host", "http://h\r\ns3cr3t", "cannot be read"),
    ("H1-05 NUL in the host", "http://h\0s3cr3t", "the host of the proxy is not a name"),
    ("a solidus in the password", "http://u:s3/cr3t@h", "give odd passwords as auth=(user, pass"),
    ("an at in the password", "http://u:s3@cr3t@h", "or percent-encode them"),
    ("a question mark in the password", "http://u:s3?cr3t@h", "cannot be read"),
    ("a number sign in the password", "http://u:s3#cr3t@h", "cannot be read"),
    ("a blank in the password", "http://u:s3 cr3t@h", "cannot be read"),
    ("a bracket in the host", "http://h]s3cr3t", "cannot be read"),
    ("a backslash in the host", "http://u\\s3cr3t", "the host of the proxy is not a name"),
    ("H1-02 an empty port", "http://u:s3cr3t@h:", "not a number from 1 to 65535"),
    ("H1-02 port 0", "http://h:0", "the port of the proxy is not a number from 1 to 65535"),
    ("H1-02 port 65536", "http://h:65536", "the port of the proxy is not a number"),
    ("H1-02 a long port", "http://h:000080", "the port of the proxy is not a number"),
    ("H1-02 a very long port", "http://h:" + "1" * 9999, "the port of the proxy is not a number"),
    ("H1-02 half a password for a port", "http://u:s3cr3t", "cannot be read"),
    ("H1-02 digits that are not ASCII", "http://h:\u0661", "cannot be read"),
    ("NM-08 no host", "http://:80", "the host of the proxy is not a name or an address"),
    ("NM-08 no host, userinfo", "http://u:s3cr3t@:80", "the host of the proxy is not a name"),
    ("NM-08 IPvFuture", "http://[v1.x]:1", "the host of the proxy is not a name"),
    ("NM-08 empty brackets", "http://[]:1", "the host of the proxy is not a name"),
    ("NM-04 an empty label", "http://s3cr3t..h", "the host of the proxy is not a name"),
    ("NM-09 percent-encoding", "http://s3cr3t%41", "the host of the proxy is not a name"),
    ("NM-06 a zone of a name", "http://[h%eth0]", "the host of the proxy is not a name"),
    ("NM-06 a zone of IPv4", "http://[1.2.3.4%eth0]", "the host of the proxy is not a name"),
    ("NM-06 a zone without brackets", "http://fe80::1%eth0", "cannot be read"),
    ("NM-06 an empty zone", "http://[fe80::1%]", "the host of the proxy is not a name"),
    ("NM-06 a zone off the grammar", "http://[fe80::1%s3\x00cr3t]", "is not a name"),
    ("IPv6 without brackets", "http://2001:db8::1", "cannot be read"),
    ("AU-07 a '%' that escapes nothing", "http://u:s3%cr3t@h", "a '%' that escapes nothing; give"),
    ("AU-07 a last '%'", "http://u:s3cr3t%@h", "a '%' that escapes nothing"),
    ("AU-07 half an escape", "http://u:s3cr3t%4@h", "a '%' that escapes nothing"),
    ("AU-07 octets that are not UTF-8", "http://u:s3cr3t%ff@h", "is not percent-encoded UTF-8"),
    ("AU-08 an escaped colon in the user", "http://a%3Ab:s3cr3t@h", "may not have a colon"),
    ("AU-08 an escaped line feed", "http://u:s3cr3t%0A@h", "control characters"),
    ("AU-08 an escaped NUL", "http://u%00:s3cr3t@h", "control characters"),
    ("AU-08 a control as it is", "http://u:s3\x01cr3t@h", "control characters"),
    ("AU-09 a surrogate", "http://u:s3cr3t\ud800@h", "UTF-8 can encode"),
    ("bytes", b"http://u:s3cr3t@h", "the URL of a proxy is a str, not bytes"),
    ("None", None, "the URL of a proxy is a str, not NoneType"),
    ("a pair", ("h", 3128), "the URL of a proxy is a str, not tuple"),
    ("a Proxy", Proxy("http://h"), "the URL of a proxy is a str, not Proxy"),
]


@pytest.mark.parametrize(("url", "words"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_what_is_no_proxy(url: Any, words: str) -> None:
    with pytest.raises(InvalidProxy) as caught:
        Proxy(url)
    assert words in str(caught.value)
    assert_fit_to_be_shown(caught.value)
    assert caught.value.proxy_url is None
    said: Any = [url] if isinstance(url, Proxy) else url
    with pytest.raises(InvalidProxy) as again:
        Proxy.parse(said)
    assert_fit_to_be_shown(again.value)


class Octets:
    def __fspath__(self) -> bytes:
        return b"/run/p.sock"


REFUSED_OPTIONS: list[tuple[str, str, dict[str, Any], str]] = [
    ("AU-08 a colon in the user", "http://h", {"auth": ("a:s3", "s3cr3t")}, "may not have a colon"),
    ("AU-08 a control", "http://h", {"auth": ("a", "s3cr3t\n")}, "control characters"),
    ("one of a pair", "http://h", {"auth": ("s3cr3t",)}, "auth is a pair of user and password"),
    ("a pair in octets", "http://h", {"auth": (b"u", b"s3cr3t")}, "auth is a pair"),
    ("a pair and no password", "http://h", {"auth": ("s3cr3t", None)}, "auth is a pair"),
    ("text for a pair", "http://h", {"auth": "u:s3cr3t"}, "auth is a pair"),
    ("a class for an auth", "http://h", {"auth": Basic}, "auth is a pair"),
    (
        "twice",
        "http://u:s3cr3t@h",
        {"auth": ("u", "s3cr3t")},
        "given twice, in the URL and as auth",
    ),
    (
        "twice, in a field",
        "http://h",
        {"auth": ("u", "s3cr3t"), "headers": {"Proxy-Authorization": "s3cr3t"}},
        "given twice, as auth and among the headers",
    ),
    (
        "twice, in a field and the URL",
        "http://u:s3cr3t@h",
        {"headers": {"proxy-authorization": b"s3cr3t"}},
        "given twice",
    ),
    ("AU-22 a token in the clear", "http://h", {"auth": Bearer("s3cr3t")}, "in the clear"),
    (
        "AU-22 a token in the clear, fields made later",
        "http://h",
        {"auth": Bearer("s3cr3t"), "headers": dict},
        "in the clear",
    ),
    (
        "H1-05 a field",
        "http://h",
        {"headers": {"X": "s3cr3t\r\n"}},
        "the value of X is not a field",
    ),
    ("H1-06 a framing field", "http://h", {"headers": {"TE": "s3cr3t"}}, "has no place in CONNECT"),
    ("a number for fields", "http://u:s3cr3t@h", {"headers": 5}, "headers are"),
    ("octets for fields", "http://u:s3cr3t@h", {"headers": b"X: s3cr3t"}, "headers are"),
    ("text for fields", "http://u:s3cr3t@h", {"headers": "X: s3cr3t"}, "headers are"),
    ("False for fields", "http://u:s3cr3t@h", {"headers": False}, "headers are"),
    ("a triple for a field", "http://h", {"headers": [("X", "s3cr3t", "")]}, "headers are pairs"),
    ("LL-05 an Auth for SOCKS", "socks5h://h", {"auth": Basic("u", "s3cr3t")}, "takes a pair of"),
    ("an Auth for SOCKS4", "socks4://h", {"auth": Auth()}, "takes a pair of user and password"),
    ("a callable for SOCKS", "socks5h://h", {"auth": dict}, "takes a pair of user and password"),
    ("text for SOCKS", "socks5h://h", {"auth": "u:s3cr3t"}, "takes a pair of user and password"),
    ("a pair in octets for SOCKS", "socks5h://h", {"auth": (b"u", b"s3cr3t")}, "takes a pair of"),
    ("LL-05 an empty password", "socks5h://h", {"auth": ("s3cr3t", "")}, "1 to 255 octets each"),
    ("LL-05 a long pair", "socks5://h", {"auth": ("u", "s3cr3t" * 43)}, "1 to 255 octets each"),
    ("a password for SOCKS4", "socks4a://h", {"auth": ("u", "s3cr3t")}, "knows no passwords"),
    ("twice, for SOCKS", "socks5h://u:s3cr3t@h", {"auth": ("u", "s3cr3t")}, "given twice"),
    ("fields for SOCKS", "socks5h://h", {"headers": {"X": "s3cr3t"}}, "is told no headers"),
    ("no fields for SOCKS", "socks4://h", {"headers": {}}, "is told no headers"),
    ("made fields for SOCKS", "socks5h://u:s3cr3t@h", {"headers": dict}, "is told no headers"),
    (
        "a context for SOCKS",
        "socks5h://u:s3cr3t@h",
        {"ssl_context": CONTEXT},
        "proxy socks5h://h:1080 is reached without TLS",
    ),
    ("a context for a socket", "unix:///s", {"ssl_context": CONTEXT}, "is reached without TLS"),
    (
        "two sockets",
        "unix://u:s3cr3t@/run/p.sock",
        {"unix_path": "/run/p.sock"},
        "given twice, in the URL and as unix_path",
    ),
    ("an empty path", "http://u:s3cr3t@h", {"unix_path": ""}, "is the path of a Unix socket"),
    ("a path in octets", "http://h", {"unix_path": b"/s3cr3t"}, "is the path of a Unix socket"),
    ("a path of octets", "http://h", {"unix_path": Octets()}, "is the path of a Unix socket"),
    ("no path", "http://h", {"unix_path": 5}, "is the path of a Unix socket"),
    ("NUL in a path", "http://h", {"unix_path": "/run\0s3cr3t"}, "is the path of a Unix socket"),
    ("NUL in a name", "http://h", {"unix_path": "\0a\0s3cr3t"}, "is the path of a Unix socket"),
    ("half a character", "http://h", {"unix_path": "/s3cr3t\ud800"}, "is the path of a Unix"),
    ("a third version", "http://u:s3cr3t@h", {"proxy_protocol": 3}, "is 1 or 2, or None"),
    ("a version in text", "http://h", {"proxy_protocol": "v1"}, "is 1 or 2, or None"),
    ("whoever resolves", "http://u:s3cr3t@h", {"resolve": "remote"}, 'resolve is "proxy" or "lo'),
    ("LL-07 at odds", "socks5h://u:s3cr3t@h", {"resolve": "local"}, "names up itself, by its sch"),
    ("LL-07 at odds, 4a", "socks4a://h", {"resolve": "local"}, "names up itself, by its scheme"),
    (
        "a context without TLS",
        "http://u:s3cr3t@h",
        {"ssl_context": CONTEXT},
        "proxy http://h:80 is reached without TLS, so its ssl_context would have no use; https:",
    ),
    ("no HTTP at all", "https://u:s3cr3t@h", {"http1": False}, "is left without a version of HT"),
    ("HTTP/2 without TLS", "http://u:s3cr3t@h", {"http2": True}, "without TLS; http1=False says"),
    ("HTTP/2 by SOCKS", "socks5h://u:s3cr3t@h", {"http2": True}, "SOCKS, which has no HTTP/2"),
    (
        "H2-02: a field of HTTP/1",
        "https://h",
        {"http2": True, "headers": {"User-Agent": "x", "Connection": "close"}},
        "proxy https://h:443 cannot be sent Connection in HTTP/2, where connections are shared",
    ),
]


@pytest.mark.parametrize(
    ("url", "options", "words"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED_OPTIONS]
)
def test_what_a_proxy_cannot_be_told(url: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidProxy) as caught:
        Proxy(url, **options)
    assert words in str(caught.value)
    assert_fit_to_be_shown(caught.value)


@pytest.mark.parametrize(
    ("said", "user", "password"),
    [
        pytest.param("http://u:p@h", "u", "p", id="user and password"),
        pytest.param("http://u@h", "u", "", id="a user alone"),
        pytest.param("http://u:@h", "u", "", id="AU-08 an empty password"),
        pytest.param("http://:p@h", "", "p", id="an empty user"),
        pytest.param("http://u:p%3As@h", "u", "p:s", id="AU-07 an escaped colon"),
        pytest.param("http://u:p:s@h", "u", "p:s", id="AU-08 a colon in the password"),
        pytest.param("http://a%40b:%2F%3F%23%25@h", "a@b", "/?#%", id="AU-07 escapes"),
        pytest.param("http://%c3%BC:p%20+@h", "ü", "p +", id="AU-07 UTF-8; a plus is a plus"),
        pytest.param("http://ü:€@h", "ü", "€", id="AU-09 text as it is"),
        pytest.param("http://u:[x]@h", "u", "[x]", id="brackets"),
    ],
)
def test_au_07_userinfo_is_credentials_and_nothing_else(
    said: str, user: str, password: str
) -> None:
    proxy = Proxy(said)
    assert proxy == Proxy("http://h", auth=(user, password))
    assert proxy == Proxy("http://h", auth=Password(user, password))
    assert proxy.url == "http://h:80"
    assert repr(proxy) == f"Proxy('http://h:80', auth=Password({user!r}, ***))"


@pytest.mark.parametrize("password", ["p@ss:w#rd", "/?#@", " ", "%zz", "\\", "ü" * 99, ""])
def test_au_07_odd_passwords_are_given_as_a_pair(password: str) -> None:
    assert Proxy("http://h", auth=("u", password)).auth == Password("u", password)


@pytest.mark.parametrize(
    ("url", "auth"),
    [
        pytest.param("https://h", Bearer("t"), id="AU-22 a token over TLS"),
        pytest.param("http://h", Bearer("t", allow_cleartext=True), id="AU-22 if it must be"),
        pytest.param("http://h", Basic("u", "p"), id="Basic alone"),
        pytest.param("http://h", Auth(), id="one's own"),
        pytest.param("http://h", None, id="none"),
    ],
)
def test_an_auth_is_taken_as_it_is(url: str, auth: Auth | None) -> None:
    assert Proxy(url, auth=auth).auth is auth


def ask(proxy: Proxy, challenges: Sequence[Challenge]) -> tuple[str, str]:
    return "alice", "s3cr3t"


async def ask_later(proxy: Proxy, challenges: Sequence[Challenge]) -> None:
    return None


@pytest.mark.parametrize("given", [ask, ask_later])
def test_an_auth_may_be_a_callable(given: Any) -> None:
    proxy = Proxy("http://h", auth=given)
    assert proxy.auth == Prompt(given)
    assert repr(proxy) == "Proxy('http://h:80', auth=Prompt(...))"


def test_its_fields() -> None:
    proxy = Proxy("http://h", headers={"X": "1"})
    assert (proxy.fields, proxy.fields_for) == (RequestFields({"X": "1"}), None)
    proxy = Proxy("http://h", headers=[("X", "1"), ("Proxy-Authorization", "s3cr3t")])
    assert proxy.fields.credentials == Secret(b"s3cr3t")
    assert "s3cr3t" not in repr(proxy)
    assert Proxy("http://h", headers=()).fields == Proxy("http://h").fields == RequestFields()


def test_fields_that_are_made_for_each_target() -> None:
    def fields(target: Target) -> dict[str, str]:
        return {"X-Target": str(target)}

    proxy = Proxy("http://h", headers=fields)
    assert proxy.fields_for is fields
    assert proxy.fields == RequestFields()


def one(target: Target) -> dict[str, str]:
    return {}


def two(target: Target) -> dict[str, str]:
    return {}


IDENTITY: list[tuple[str, dict[str, Any]]] = [
    ("the scheme", {"url": "http://h:443"}),
    ("the host", {"url": "https://i"}),
    ("the port", {"url": "https://h:444"}),
    ("a zone", {"url": "https://[fe80::1%a]"}),
    ("another zone", {"url": "https://[fe80::1%b]"}),
    ("no zone", {"url": "https://[fe80::1]"}),
    ("a user", {"auth": ("u", "p")}),
    ("another password", {"auth": ("u", "q")}),
    ("Basic alone", {"auth": Basic("u", "p")}),
    ("Digest alone", {"auth": Digest("u", "p")}),
    ("whom to ask", {"auth": ask}),
    ("whom to ask else", {"auth": ask_later}),
    ("a token", {"auth": Bearer("t")}),
    ("a field", {"headers": {"X": "1"}}),
    ("another value", {"headers": {"X": "2"}}),
    ("a Host", {"headers": {"Host": "x"}}),
    ("credentials in a field", {"headers": {"Proxy-Authorization": "x"}}),
    ("a callable", {"headers": one}),
    ("another callable", {"headers": two}),
    ("a context", {"ssl_context": CONTEXT}),
    ("another context", {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}),
    ("an end without close_notify", {"require_close_notify": False}),
    ("a Unix socket", {"unix_path": "/run/p.sock"}),
    ("another Unix socket", {"unix_path": "/run/q.sock"}),
    ("a Unix socket by URL", {"url": "unix:///run/p.sock"}),
    ("the PROXY protocol", {"proxy_protocol": 1}),
    ("another version of it", {"proxy_protocol": 2}),
    ("names that are looked up here", {"resolve": "local"}),
    ("SOCKS", {"url": "socks5h://h"}),
    ("SOCKS with names looked up here", {"url": "socks5://h"}),
    ("SOCKS with a user", {"url": "socks5h://h", "auth": ("u", "p")}),
    ("SOCKS with another password", {"url": "socks5h://h", "auth": ("u", "q")}),
    ("SOCKS4 with a user", {"url": "socks4://u@h"}),
    ("nothing", {}),
]


def made_of(facts: dict[str, Any]) -> Proxy:
    said: dict[str, Any] = {"url": "https://h", **facts}
    return Proxy(**said)


@pytest.mark.parametrize(
    ("other", "facts"), [pytest.param(o, f, id=f"AU-06 T9 {o}") for o, f in IDENTITY]
)
def test_its_identity(other: str, facts: dict[str, Any]) -> None:
    proxy = made_of(facts)
    for name, differently in IDENTITY:
        another = made_of(differently)
        assert (proxy == another) is (name == other)
        assert (hash(proxy) == hash(another)) is (name == other)


def test_one_socket_said_in_two_ways() -> None:
    """As text, as a path, and percent-encoded or not."""
    said = [
        Proxy("unix:///run/a%20b"),
        Proxy("UNIX:/run/%61%20b"),
        Proxy("unix:///run/a%20b", proxy_protocol=None, resolve="proxy"),
    ]
    assert {(proxy.unix_path, proxy.url) for proxy in said} == {("/run/a b", "unix:///run/a%20b")}
    assert len(set(said)) == 1
    path = Proxy("http://h", unix_path=PurePosixPath("/run/p.sock"))
    assert path == Proxy("http://h", unix_path="/run/p.sock")
    assert path.unix_path == "/run/p.sock"


@pytest.mark.parametrize(
    "path", ["relative.sock", "\0abstract", "/a b", "/ü", "/\udcff", "/#?%zz", "/a\nb"], ids=ascii
)
def test_a_path_is_taken_as_it_is(path: str) -> None:
    """A name that begins with NUL is one without a file, on Linux."""
    proxy = Proxy("https://proxy.test", unix_path=path)
    assert proxy.unix_path == path
    assert (proxy.scheme, proxy.url) == ("https", "https://proxy.test:443")
    assert proxy.endpoint.server_hostname == "proxy.test"
    assert repr(proxy) == "Proxy('https://proxy.test:443')"


@pytest.mark.parametrize(
    ("url", "options", "user", "password"),
    [
        ("socks5h://u:p@h", {}, "u", "p"),
        ("socks5://u%40x:%2F%3A@h", {}, "u@x", "/:"),
        ("socks5h://h", {"auth": ("u", "p")}, "u", "p"),
        ("socks5h://h", {"auth": ("u:v", "\x00\n")}, "u:v", "\x00\n"),
        ("socks5h://h", {"auth": ["u" * 255, "p" * 255]}, "u" * 255, "p" * 255),
        ("socks5h://u:p%C3%A9@h", {}, "u", "pé"),
        ("socks4://u@h", {}, "u", ""),
        ("socks4a://h", {"auth": ("u", "")}, "u", ""),
    ],
    ids=["userinfo", "escapes", "a pair", "octets like others", "LL-05 the longest", "UTF-8",
         "a user id", "a pair for SOCKS4"],
)  # fmt: skip
def test_who_asks_a_socks_proxy(
    url: str, options: dict[str, Any], user: str, password: str
) -> None:
    """LL-05: AU-07, AU-24 as for any other."""
    proxy = Proxy(url, **options)
    assert isinstance(proxy.auth, SocksLogin)
    assert proxy.auth.login == Secret((user, password))
    assert proxy.auth == SocksLogin(Secret((user, password)))
    assert proxy.auth != Password("u", "p")
    assert (proxy.auth.user, repr(proxy.auth)) == (user, f"SocksLogin({user!r}, ***)")
    assert proxy.url == f"{proxy.scheme}://h:1080"
    with pytest.raises(AttributeError):
        proxy.auth.user = "x"


def test_nobody_need_ask_a_socks_proxy() -> None:
    assert Proxy("socks5h://h").auth is None
    assert repr(Proxy("socks4://h")) == "Proxy('socks4://h:1080')"


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_resolve_local_and_a_scheme_that_says_the_same(scheme: Any) -> None:
    assert Proxy(f"{scheme}://h", resolve="local").resolve == "local"


@pytest.mark.parametrize("say", [Proxy, Proxy.parse])
@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
def test_socks_without_its_extra(
    say: Callable[[str], Proxy], scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said when the proxy is made, and not when it is needed; and AU-24 holds."""
    monkeypatch.setattr("connect_tunnel.auth._prompt.find_spec", dict[str, None]().get)
    with pytest.raises(
        ImportError, match=r'SOCKS needs socksio: pip install ".*\[socks\]"'
    ) as caught:
        say(f"{scheme}://s3cr3t@h")
    # The first frame is our own, where the URL is a local.
    assert caught.tb.tb_next is not None
    shown = TracebackException(ImportError, caught.value, caught.tb.tb_next, capture_locals=True)
    assert "s3cr3t" not in "".join(shown.format())


def test_a_proxy_is_nothing_else() -> None:
    assert Proxy("http://h") != "http://h:80"


def test_what_a_caller_may_say() -> None:
    proxy = Proxy("http://h")
    assert Proxy.parse(proxy) is proxy
    assert Proxy.parse("http://h") == proxy


@pytest.mark.parametrize("said", [None, b"http://h", ("h", 80), 5, ["http://h"]])
def test_what_nobody_can_read(said: Any) -> None:
    with pytest.raises(InvalidProxy, match="a proxy is a URL or a Proxy, not") as caught:
        Proxy.parse(said)
    assert str(caught.value).endswith("; write 'http://host:port'")


@pytest.mark.parametrize(
    "proxy",
    [
        Proxy("http://h"),
        Proxy("https://[fe80::1%eth0]", headers={"X": "1", "Host": "x"}),
        Proxy("https://h", headers=one, require_close_notify=False),
        Proxy("https://h", auth=ask),
        Proxy("unix:///run/p.sock", proxy_protocol=2, resolve="local"),
        Proxy("socks5h://h"),
    ],
    ids=[
        "plain",
        "fields",
        "a function that can be found",
        "another, which is asked",
        "a socket",
        "SOCKS",
    ],
)
def test_one_without_secrets_pickles(proxy: Proxy) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        same = pickle.loads(pickle.dumps(proxy, protocol))
        assert same == proxy
        assert (same.host, same.port, same.endpoint) == (proxy.host, proxy.port, proxy.endpoint)


@pytest.mark.parametrize(
    "proxy",
    [
        Proxy("http://u:p@h"),
        Proxy("http://u@h"),
        Proxy("http://h", auth=("u", "p")),
        Proxy("https://h", auth=Bearer("t")),
        Proxy("http://h", auth=Digest("u", "p")),
        Proxy("http://h", headers={"Proxy-Authorization": "x"}),
        Proxy("https://h", ssl_context=CONTEXT),
        Proxy("socks5h://u:p@h"),
        Proxy("socks4://u@h"),
    ],
    ids=[
        "userinfo",
        "a user",
        "a pair",
        "a token",
        "a digest",
        "a field",
        "a context",
        "SOCKS5",
        "SOCKS4",
    ],
)
def test_au_24_one_that_holds_a_secret_does_not_leave_the_process(proxy: Proxy) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(proxy)
    assert copy.copy(proxy) == copy.deepcopy(proxy) == proxy


@pytest.mark.parametrize("name", [*Proxy.__slots__, "other"])
def test_t12_it_cannot_be_changed_once_it_is_checked(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Proxy("http://h"), name, "x\r\n")


# --- whatever is said ---

CONTROLS = "".join(map(chr, [*range(0x20), 0x7F]))
properties = settings(deadline=None, database=None, derandomize=True, max_examples=200)
text = st.text(max_size=12)


def assert_fit_to_be_shown(error: InvalidProxy) -> None:
    shown = str(error)
    assert shown.isascii(), shown
    assert shown.isprintable(), shown
    assert len(shown) <= 400
    assert "s3cr3t" not in shown + repr(error)


@properties
@given(before=text, bad=st.sampled_from(CONTROLS + " "), after=text)
def test_t11_a_url_with_a_control(before: str, bad: str, after: str) -> None:
    for url in (
        f"http://u:s3cr3t@h{before}{bad}{after}",
        f"http://s3cr3t{before}{bad}{after}@h",
        f"http://u:s3cr3t{before}{bad}{after}@h",
        f"http://u:s3cr3t@h:1{before}{bad}{after}",
        f"http{before}{bad}{after}://u:s3cr3t@h",
        f"unix:///s3cr3t{before}{bad}{after}",
        f"socks5h://u:s3cr3t@h{before}{bad}{after}",
    ):
        with pytest.raises(InvalidProxy) as caught:
            Proxy(url)
        assert_fit_to_be_shown(caught.value)


@properties
@given(before=text, bad=st.sampled_from(CONTROLS), after=text)
def test_t11_credentials_with_a_control(before: str, bad: str, after: str) -> None:
    password = f"s3cr3t{before}{bad}{after}"
    attempts: list[Callable[[], Proxy]] = [
        lambda: Proxy("http://h", auth=("u", password)),
        lambda: Proxy("http://h", auth=(password, "p")),
        lambda: Proxy(f"http://u:s3cr3t%{ord(bad):02x}@h"),
        lambda: Proxy(f"http://s3cr3t%{ord(bad):02X}@h"),
        lambda: Proxy("http://h", headers={"X": f"s3cr3t{bad}s3cr3t\n"}),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidProxy) as caught:
            attempt()
        assert_fit_to_be_shown(caught.value)


@properties
@given(st.text(max_size=30), text, text)
def test_t11_whatever_is_said(url: str, user: str, password: str) -> None:
    for said in (
        url, f"http://{url}", f"http://{user}:{password}@{url}", f"http://{url}:1",
        f"unix://{url}", f"unix:///{url}", f"socks5h://{user}:{password}@{url}",
    ):  # fmt: skip
        try:
            proxy = Proxy(said)
        except InvalidProxy as error:
            assert_fit_to_be_shown(error)
        else:
            assert proxy.url.isascii()
            assert proxy.url.isprintable()
            assert Proxy(proxy.url).url == proxy.url


@properties
@given(st.lists(st.integers(1, 255), min_size=1, max_size=9))
def test_t12_octets_are_never_cut_out_of_characters(octets: list[int]) -> None:
    # As latin-1 with its errors ignored, U+010D U+010A would be CR LF.
    odd = "".join(chr(0x100 + octet) for octet in octets)
    try:
        assert Proxy(f"http://h{odd}").url.isascii()
    except InvalidProxy as error:
        assert_fit_to_be_shown(error)
    with pytest.raises(InvalidProxy, match="not ASCII; give it as bytes"):
        Proxy("http://h", headers={"X": odd})
    assert Proxy(f"http://u:{odd}@h") == Proxy("http://h", auth=("u", odd))


@pytest.mark.parametrize(
    ("given", "found"),
    [(False, None), (True, HTTP2()), (HTTP2(window=99_999), HTTP2(window=99_999))],
)
def test_how_it_is_asked_in_http2(given: bool | HTTP2, found: HTTP2 | None) -> None:
    assert Proxy("https://h", http2=given).http2 == found


def test_what_it_speaks_is_part_of_what_it_is() -> None:
    proxies = [
        Proxy("https://h"),
        Proxy("https://h", http2=True),
        Proxy("https://h", http1=False, http2=True),
        Proxy("https://h", http2=HTTP2(max_connections=1)),
    ]
    assert len(set(proxies)) == 4
    assert Proxy("https://h", http2=True) == Proxy("https://h", http2=HTTP2())


def test_http2_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(_: str) -> None:
        return None

    monkeypatch.setattr("connect_tunnel.auth._prompt.find_spec", find_nothing)
    with pytest.raises(
        ImportError, match=r'HTTP/2 needs hpack: pip install "connect_tunnel\[http2\]'
    ):
        Proxy("https://h", http2=True)
