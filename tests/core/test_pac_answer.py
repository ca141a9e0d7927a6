"""The list that a PAC file answers with: EN-05 and EN-13."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_tunnel import InvalidProxy, Proxy
from connect_tunnel.routing._pac_answer import DIRECT, read_list

READ: list[tuple[str, str | None, list[str | None]]] = [
    # What there is.
    ("EN-13 direct", "DIRECT", [DIRECT]),
    ("EN-13 a proxy", "PROXY a.test:3128", ["http://a.test:3128"]),
    ("EN-13 without a port", "PROXY a.test", ["http://a.test:80"]),
    ("EN-13 as Firefox calls it", "HTTP a.test", ["http://a.test:80"]),
    ("EN-13 over TLS", "HTTPS a.test", ["https://a.test:443"]),
    ("EN-13 over TLS with a port", "HTTPS a.test:8443", ["https://a.test:8443"]),
    ("EN-05 SOCKS is version 4", "SOCKS a.test", ["socks4://a.test:1080"]),
    ("EN-05 SOCKS with a port", "SOCKS a.test:9050", ["socks4://a.test:9050"]),
    ("EN-05 SOCKS4", "SOCKS4 a.test", ["socks4://a.test:1080"]),
    ("EN-05 SOCKS5 looks names up itself", "SOCKS5 a.test", ["socks5h://a.test:1080"]),
    ("EN-13 IPv4", "PROXY 192.0.2.1:3128", ["http://192.0.2.1:3128"]),
    ("EN-13 IPv6", "PROXY [2001:db8::1]:3128", ["http://[2001:db8::1]:3128"]),
    ("EN-13 IPv6 without a port", "HTTPS [2001:db8::1]", ["https://[2001:db8::1]:443"]),
    # How it is written.
    ("EN-13 in lower case", "proxy a.test", ["http://a.test:80"]),
    ("EN-13 in any case", "pRoXy a.test;dIrEcT", ["http://a.test:80", DIRECT]),
    ("EN-13 blanks about", "  PROXY \t a.test:1 ; \n DIRECT ", ["http://a.test:1", DIRECT]),
    ("EN-13 semicolons about", ";;PROXY a.test:1;;DIRECT;", ["http://a.test:1", DIRECT]),
    ("EN-13 zeros in front of a port", "PROXY a.test:00080", ["http://a.test:80"]),
    (
        "EN-13 four of them in order",
        "PROXY a:1; HTTPS b; SOCKS5 c:3; DIRECT",
        ["http://a:1", "https://b:443", "socks5h://c:3", DIRECT],
    ),
    ("EN-13 direct first", "DIRECT; PROXY a:1", [DIRECT, "http://a:1"]),
    ("EN-13 the same twice", "PROXY a:1; DIRECT; PROXY a:1; DIRECT", ["http://a:1", DIRECT]),
    # Nothing at all.
    ("EN-13 null", None, [DIRECT]),
    ("EN-13 empty", "", [DIRECT]),
    ("EN-13 blank", " \t\n", [DIRECT]),
    ("EN-13 semicolons alone", " ; ;", [DIRECT]),
    # What is skipped, and does not make it direct.
    ("EN-13 an unknown type", "QUIC a.test:443", []),
    ("EN-13 an unknown type among others", "MASQUE a; PROXY b; FOO", ["http://b:80"]),
    ("EN-13 no host", "PROXY", []),
    ("EN-13 no host but a port", "PROXY :3128", []),
    ("EN-13 no port behind the colon", "PROXY a.test:", []),
    ("EN-13 a port that is none", "PROXY a.test:http", []),
    ("EN-13 a port with a sign", "PROXY a.test:+80", []),
    ("EN-13 a port of six digits", "PROXY a.test:000080", []),
    ("EN-13 two ports", "PROXY a.test:80:81", []),
    ("EN-13 IPv6 without brackets", "PROXY 2001:db8::1:3128", []),
    ("EN-13 half a bracket", "PROXY [2001:db8::1", []),
    ("EN-13 a zone", "PROXY [fe80::1%eth0]:3128", []),
    ("EN-13 two hosts", "PROXY a.test b.test", []),
    ("EN-13 direct with something behind", "DIRECT a.test", []),
    ("EN-13 commas instead of semicolons", "PROXY a.test:1, DIRECT", []),
    ("EN-13 a URL", "PROXY http://a.test:3128", []),
    ("EN-13 a URL alone", "http://a.test:3128", []),
    ("EN-13 a path", "PROXY a.test/pac", []),
    ("EN-13 credentials", "PROXY alice:s3cret@a.test:3128", []),
    ("EN-13 a user", "HTTPS alice@a.test", []),
    ("EN-13 no type", "a.test:3128", []),
]


@pytest.mark.parametrize(("answer", "urls"), [pytest.param(*row[1:], id=row[0]) for row in READ])
def test_reading(answer: str | None, urls: list[str | None]) -> None:
    assert read_list(answer) == urls


ITEMS = st.one_of(
    st.text(),
    st.builds(
        "{} {}{}{}".format,
        st.sampled_from(["PROXY", "https", "SOCKS", "DIRECT", "x", ""]),
        st.sampled_from(["a.test", "[::1]", "1.2.3.4", "u:p@h", "é.test", "..", "-"]) | st.text(),
        st.sampled_from(["", ":", ":1", ":99999", ":0"]),
        st.sampled_from(["", " ", "\0", "#x", "?x", "/x", "\\x"]),
    ),
)


@given(st.lists(ITEMS).map(";".join))
def test_en_13_nothing_that_is_said_makes_it_fail(answer: str) -> None:
    """EN-13: and no proxy comes of it that has credentials, or is not a proxy at all."""
    for url in read_list(answer):
        if url is None:
            assert "direct" in answer.lower() or not answer.strip(" \t\r\n\f\v;")
            continue
        assert "@" not in url
        try:
            proxy = Proxy(url)
        except InvalidProxy:
            continue  # a host that is none, or a port: it is skipped further up
        assert proxy.auth is None
        assert url.startswith(proxy.scheme + "://")
