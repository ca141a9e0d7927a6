"""The URL of a proxy, read: what each part says, and what cannot be read and is not shown."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connect_tunnel import Target
from connect_tunnel._proxy_url import PORTS, ProxyURL, Unusable, read_url

UP = ("u", "p")


def at(
    scheme: str,
    host: str,
    port: int,
    userinfo: tuple[str, str] | None = None,
    *,
    endpoint: str | None = None,
) -> ProxyURL:
    return ProxyURL(scheme, userinfo, host, Target(endpoint or host, port))


def behind(path: str, userinfo: tuple[str, str] | None = None) -> ProxyURL:
    return ProxyURL("http", userinfo, "localhost", Target("localhost", 80), path)


READ: dict[str, ProxyURL] = {
    # A scheme, and the port that goes with it.
    "http://h": at("http", "h", 80),
    "https://h": at("https", "h", 443),
    "socks4://h": at("socks4", "h", 1080),
    "socks4a://h": at("socks4a", "h", 1080),
    "socks5://h": at("socks5", "h", 1080),
    "socks5h://h": at("socks5h", "h", 1080),
    "SOCKS5H://H.Test": at("socks5h", "h.test", 1080),
    # A port.
    "http://h:1": at("http", "h", 1),
    "http://h:00080": at("http", "h", 80),
    "socks5h://h:65535/": at("socks5h", "h", 65535),
    # A host.
    "http://b\u00fccher.example": at("http", "xn--bcher-kva.example", 80),
    "http://h.": at("http", "h.", 80),
    "http://192.0.2.1": at("http", "192.0.2.1", 80),
    "socks5://[2001:DB8::1]:1": at("socks5", "2001:db8::1", 1),
    "https://[fe80::1%eth0]": at("https", "fe80::1%eth0", 443, endpoint="fe80::1"),
    "socks4://[fe80::1%25]:1": at("socks4", "fe80::1%25", 1, endpoint="fe80::1"),
    # Userinfo.
    "http://u:p@h": at("http", "h", 80, UP),
    "socks5h://u:p@h": at("socks5h", "h", 1080, UP),
    "http://u@h": at("http", "h", 80, ("u", "")),
    "http://:p@h": at("http", "h", 80, ("", "p")),
    "http://@h": at("http", "h", 80),
    "http://u:p:q@h": at("http", "h", 80, ("u", "p:q")),
    "http://u%40x:%2f%3A%25@h": at("http", "h", 80, ("u@x", "/:%")),
    "socks5://%C3%BC:+@h": at("socks5", "h", 1080, ("\u00fc", "+")),
    # A Unix socket.
    "unix:///run/p.sock": behind("/run/p.sock"),
    "unix:/run/p.sock": behind("/run/p.sock"),
    "UNIX:///Run/P.sock": behind("/Run/P.sock"),
    "unix://u:p@/run/p.sock": behind("/run/p.sock", UP),
    "unix://@/run/p.sock": behind("/run/p.sock"),
    "unix:///p": behind("/p"),
    "unix:///run/": behind("/run/"),
    "unix:///run//p": behind("/run//p"),
    "unix:///run/../p": behind("/run/../p"),
    "unix:///a%20b%3f%23%25": behind("/a b?#%"),
    "unix:///a%2Fb": behind("/a/b"),
    "unix:///%c3%bc": behind("/\u00fc"),
    "unix:///\u00fc": behind("/\u00fc"),
    "unix:///a@b:c": behind("/a@b:c"),
    "unix:///%0a": behind("/\n"),
}


@pytest.mark.parametrize(("url", "read"), READ.items(), ids=map(ascii, READ))
def test_what_a_url_says(url: str, read: ProxyURL) -> None:
    assert read_url(url) == read


def test_all_schemes_are_read_here() -> None:
    assert {read.scheme for read in READ.values()} == set(PORTS)


UNREAD: dict[str, list[Any]] = {
    "is a str, not": [None, b"http://h", ("h", 80), 5, ["http://h"]],
    "no scheme; write 'http://host:port'": [
        "", "h", "h:1", "u:s3cr3t@h:1", "//h", "http:h", "http:/h", "socks5h:h",
    ],
    "unknown scheme; http, https, socks4, socks4a, socks5, socks5h and unix are known": [
        "s3cr3t://h", "ftp://u:s3cr3t@h", "http2://h", "socks6://h", "https+unix://h", "unixs://h",
    ],
    "does not say which version; it is socks5h:// in most cases": ["socks://h", "SOCKS://s3cr3t@h"],
    "the URL of a proxy cannot be read (it is not shown": [
        "http://h/x", "http://h?s3cr3t", "http://h#s3cr3t", " http://h", "http://h ", "http://h\n",
        "http://a@b@h", "http://u:s3/cr3t@h", "http://2001:db8::1", "http://h:s3cr3t", "http://h:-1",
        "http://[::1", "http://::1]", "http://[::1]x", "+http://h", "1http://h", "://h",
        "socks5h://h/x", "http://h//", "http://u:s3 cr3t@h", "http://h:\u0661",
    ],
    "the port of the proxy is not a number from 1 to 65535": [
        "http://h:", "http://h:0", "http://h:65536", "socks5h://h:000080", "http://h:" + "9" * 9999,
    ],
    "the host of the proxy is not a name or an address; give odd passwords as": [
        "http://", "http://:1", "http://u:s3cr3t@", "http://a..b", "http://h%41", "http://[s3cr3t]",
        "http://[::g]", "http://[1.2.3.4]", "http://[h%eth0]", "http://[1.2.3.4%eth0]",
        "http://[fe80::1%]", "http://[fe80::1%a b]".replace(" ", "\0"), "http://\u202es3cr3t",
        "socks4://[v1.x]", "http://" + "a" * 254,
    ],
    "the userinfo of the proxy has a '%' that escapes nothing; give odd passwords as": [
        "http://u:s3cr3t%@h", "http://%zz@h", "socks5h://u:s3%cr3t@h", "unix://u:%4@/run/p.sock",
    ],
    "the userinfo of the proxy is not percent-encoded UTF-8; give odd": [
        "http://u:s3cr3t%ff@h", "socks4://%80@h", "unix://%ff@/run/p.sock",
    ],
    "the URL of a Unix socket cannot be read; it is unix:///path/of/the/socket": [
        "unix:", "unix:/", "unix://", "unix:///", "unix:p.sock", "unix:./p.sock", "unix://h",
        "unix://h/run/p.sock", "unix://localhost/run/p.sock", "unix://u:s3cr3t@h/run/p.sock",
        "unix://u:s3cr3t@", "unix:////run/p.sock", "unix:///%2Frun/p.sock", "unix:///%2frun",
        "unix:///run/p.sock?s3cr3t", "unix:///run/p.sock#s3cr3t", "unix:///run/a b",
        "unix:///run/p.sock\n", "unix:///run/\0s3cr3t", "unix:///run/\x7f", "unix:///run/\ud800",
        "unix://:80", "unix://[::1]/run",
    ],
    "the path of a Unix socket may not have NUL in it": ["unix:///%00", "unix:///run/s3cr3t%00"],
    "the path of the proxy has a '%' that escapes nothing": ["unix:///run/%", "unix:///s3cr3t%zz"],
    "the path of the proxy is not percent-encoded UTF-8": ["unix:///%ff", "unix:///s3cr3t%e9"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param(url, words, id=ascii(url)[:60])
        for words, urls in UNREAD.items()
        for url in urls
    ],
)
def test_what_cannot_be_read(url: Any, words: str) -> None:
    """AU-07: nothing of it is shown, nor kept where a traceback would show it."""
    with pytest.raises(Unusable, match=re.escape(words.partition("; ")[0])) as caught:
        read_url(url)
    error = caught.value
    said = f"{error}; {error.hint}" if error.hint else str(error)
    assert words in said
    assert "s3cr3t" not in said
    assert (error.__cause__, error.__context__) == (None, None)


def assert_fit_to_be_shown(said: str) -> None:
    assert said.isascii()
    assert said.isprintable()


text = st.text(max_size=20)


@settings(deadline=None, database=None, derandomize=True, max_examples=300)
@given(
    before=st.sampled_from(["", "http://", "socks5://", "unix:", "unix://", "unix:///"]), url=text
)
@example(before="unix:///", url="\udcff")
def test_whatever_is_said(before: str, url: str) -> None:
    """It is read or it is not, and what is read can be used for what it is."""
    try:
        read = read_url(before + url)
    except Unusable as error:
        assert_fit_to_be_shown(str(error))
        return
    assert read.scheme in PORTS
    assert read.host.isascii()
    if read.path is not None:
        assert re.match("/[^/]", read.path, re.DOTALL)
        assert "\0" not in read.path
        assert read.path.encode()
