"""NO_PROXY: what an entry covers, in our grammar and in those of others.

`no_proxy.jsonl` holds facts from the test suites of curl, Go, CPython, requests, httpx, Chromium,
undici, Node, hyper-util and proxy-from-env, with what curl 7.88, Go 1.19 and requests 2.34 made of
each when they were run. A row is contested where those seven that were run did not agree.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import InvalidTarget
from connect_tunnel.routing import Environment
from connect_tunnel.routing._dialect import DIALECTS, DialectName
from connect_tunnel.routing._no_proxy import NoProxy

ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for line in Path(__file__).with_name("no_proxy.jsonl").read_text("ascii").splitlines()
]
ROW_IDS = [f"{row['source']}: {row['no_proxy'][:30]!a} {row['target']}" for row in ROWS]


def goes(no_proxy: str, target: Any, dialect: DialectName = "connect_tunnel") -> str:
    """How a target goes where there is a proxy: "direct" or "proxied"."""
    environ = {"no_proxy": no_proxy, "https_proxy": "http://proxy.test:3128"}
    return "proxied" if Environment(environ, dialect=dialect).decide(target).proxies else "direct"


def rows(table: list[Any]) -> list[Any]:
    return [pytest.param(*row[1:], id=row[0]) for row in table]


# --- our grammar ---

DIRECT = [  # id, NO_PROXY, target
    ("EN-07 a name", "foo.test", "foo.test:443"),
    ("EN-07 a name below it", "foo.test", "bar.foo.test:443"),
    ("EN-07 far below it", "foo.test", "a.b.c.foo.test:443"),
    ("EN-07 in another case", "FOO.Test", "foo.tEST:443"),
    ("EN-07 the last of a list", "a.test,b.test,c.test", "c.test:1"),
    ("EN-07 blanks round commas", " a.test ,\tb.test\n,c.test ", "b.test:1"),
    ("EN-07 commas for nothing", ",,a.test,,b.test,,", "b.test:1"),
    ("EN-08 a name after a dot", ".foo.test", "bar.foo.test:1"),
    ("EN-08 the apex after a dot", ".foo.test", "foo.test:1"),
    ("EN-08 a name after a star", "*.foo.test", "bar.foo.test:1"),
    ("EN-08 far below a star", "*.foo.test", "a.bar.foo.test:1"),
    ("EN-08 a port", "foo.test:8080", "foo.test:8080"),
    ("EN-08 a port, of a name below", "foo.test:8080", "bar.foo.test:8080"),
    ("EN-08 a port after a dot", ".foo.test:8080", "bar.foo.test:8080"),
    ("EN-08 a port after a star", "*.foo.test:8080", "bar.foo.test:8080"),
    ("EN-08 a port with a zero in front", "foo.test:0443", "foo.test:443"),
    ("EN-08 the star", "*", "anything.test:1"),
    ("EN-08 the star, for addresses", "*", "[2001:db8::1]:1"),
    ("EN-08 the star in a list", "a.test, *", "b.test:1"),
    ("EN-08 blanks for commas", "a.test b.test\tc.test", "b.test:1"),
    ("EN-08 a blank that is not ASCII", "a.test\u00a0b.test", "b.test:1"),
    ("EN-09 a network of IPv4", "10.0.0.0/8", "10.1.2.3:1"),
    ("EN-09 its first address", "10.0.0.0/8", "10.0.0.0:1"),
    ("EN-09 its last address", "10.0.0.0/8", "10.255.255.255:1"),
    ("EN-09 a network with bits to spare", "10.9.9.9/8", "10.1.2.3:1"),
    ("EN-09 a network of one", "10.0.0.1/32", "10.0.0.1:1"),
    ("EN-09 all of IPv4", "0.0.0.0/0", "192.0.2.1:1"),
    ("EN-09 a network of IPv6", "2001:db8::/32", "[2001:db8::5]:1"),
    ("EN-09 a network of IPv6, not at a byte", "2001:db8::/33", "[2001:db8:7fff::1]:1"),
    ("EN-09 a network in brackets", "[2001:db8::]/32", "[2001:db8::5]:1"),
    ("EN-09 all of IPv6", "::/0", "[2001:db8::1]:1"),
    ("EN-10 IPv6", "2001:db8::1", "[2001:db8::1]:1"),
    ("EN-10 IPv6 in brackets", "[2001:db8::1]", "[2001:db8::1]:1"),
    ("EN-10 IPv6 in another form", "2001:DB8:0:0::0001", "[2001:db8::1]:1"),
    ("EN-10 IPv6 and a port", "[2001:db8::1]:8443", "[2001:db8::1]:8443"),
    ("EN-10 IPv6 that ends as if in a port", "2001:db8::1:443", "[2001:db8::1:443]:1"),
    ("EN-10 IPv4 and a port", "192.0.2.1:81", "192.0.2.1:81"),
    ("EN-12 not ASCII", "bücher.test", "xn--bcher-kva.test:1"),
    ("EN-12 A-labels", "xn--bcher-kva.test", ("bücher.test", 1)),
    ("EN-12 both not ASCII", "BÜCHER.test", ("bücher.test", 1)),
    ("EN-12 a dot at the end", "foo.test.", "foo.test:1"),
    ("EN-12 a dot at the end of the target", "foo.test", "foo.test.:1"),
    ("EN-12 a dot at the end, and a port", "foo.test.:443", "foo.test:443"),
    ("T22 UTS 46, not IDNA2003", "faß.test", "xn--fa-hia.test:1"),
    ("T22 an ideographic full stop", "foo\u3002test", "foo.test:1"),
    ("T22 one in front", "\uff0efoo.test", "bar.foo.test:1"),
    ("T22 one behind a star", "*\uff61foo.test", "bar.foo.test:1"),
    ("T22 one at the end", "foo.test\u3002", "foo.test:1"),
    ("T22 fullwidth digits", "\uff11\uff19\uff12.0.2.1", "192.0.2.1:1"),
]

PROXIED = [  # id, NO_PROXY, target
    ("EN-07 nothing", "", "foo.test:1"),
    ("EN-07 not on the border of a label", "foo.test", "barfoo.test:1"),
    ("EN-07 a name above it", "bar.foo.test", "foo.test:1"),
    ("EN-07 a name beside it", "bar.foo.test", "baz.foo.test:1"),
    ("EN-07 a name that goes on", "foo.test", "foo.test.evil.example:1"),
    ("EN-08 the apex after a star", "*.foo.test", "foo.test:1"),
    ("EN-08 another port", "foo.test:8080", "foo.test:80"),
    ("EN-08 another port, after a dot", ".foo.test:8080", "bar.foo.test:80"),
    ("EN-08 a star that is no label", "*foo.test", "barfoo.test:1"),
    ("EN-08 a star in an address", "192.168.*", "192.168.0.1:1"),
    ("EN-08 a semicolon is no comma", "a.test;b.test", "b.test:1"),
    ("EN-09 beside a network", "10.0.0.0/8", "11.0.0.1:1"),
    ("EN-09 beside a network of IPv6", "2001:db8::/33", "[2001:db8:8000::1]:1"),
    ("EN-09 a name is in no network", "0.0.0.0/0,::/0", "foo.test:1"),
    ("EN-09 IPv6 is in none of IPv4", "0.0.0.0/0", "[2001:db8::1]:1"),
    ("EN-09 IPv4 is in none of IPv6", "::/0", "192.0.2.1:1"),
    ("EN-09 a blank in a network", "192.168.0.0/ 16", "192.168.0.1:1"),
    ("EN-10 another port of IPv6", "[2001:db8::1]:8443", "[2001:db8::1]:443"),
    ("EN-10 another port of IPv4", "192.0.2.1:81", "192.0.2.1:80"),
    ("EN-10 a zone", "fe80::1%eth0", "[fe80::1]:1"),
    ("EN-12 another name after mapping", "faß.test", "fass.test:1"),
]


@pytest.mark.parametrize(("no_proxy", "target"), rows(DIRECT))
def test_what_goes_direct(no_proxy: str, target: Any) -> None:
    assert goes(no_proxy, target) == "direct"


@pytest.mark.parametrize(("no_proxy", "target"), rows(PROXIED))
def test_what_does_not(no_proxy: str, target: Any) -> None:
    assert goes(no_proxy, target) == "proxied"


# Where one spelling of a host would dodge the entry for another, or borrow it (CVE-2025-62718,
# CVE-2026-44492, CVE-2025-22870). Two thirds are the same host, and a third is not.
T16: list[tuple[str, str, str]] = [  # what is listed, the target's host, how it goes
    ("metadata.test", "metadata.test", "direct"),
    ("metadata.test", "metadata.test.", "direct"),
    ("metadata.test", "METADATA.TEST", "direct"),
    ("metadata.test", "Metadata.Test.", "direct"),
    ("metadata.test.", "metadata.test", "direct"),
    ("metadata.test.", "metadata.test.", "direct"),
    ("METADATA.TEST.", "metadata.test", "direct"),
    ("metadata.test", "\uff4detadata.test", "direct"),
    ("metadata.test", "metadata\u3002test", "direct"),
    ("metadata.test", "metadata\uff0etest\uff61", "direct"),
    ("\uff4detadata.test", "metadata.test", "direct"),
    (".metadata.test", "a.metadata.test.", "direct"),
    ("*.metadata.test", "A.METADATA.TEST.", "direct"),
    ("bücher.test", "xn--bcher-kva.test", "direct"),
    ("bücher.test", "XN--BCHER-KVA.test.", "direct"),
    ("xn--bcher-kva.test", "BÜCHER.test", "direct"),
    ("xn--bcher-kva.test", "bu\u0308cher.test", "direct"),
    ("faß.test", "xn--fa-hia.test", "direct"),
    ("169.254.169.254", "169.254.169.254", "direct"),
    ("169.254.169.254", "169.254.169.254.", "direct"),
    ("169.254.169.254", "::ffff:169.254.169.254", "direct"),
    ("169.254.169.254", "[::ffff:a9fe:a9fe]", "direct"),
    ("169.254.169.254", "0:0:0:0:0:FFFF:A9FE:A9FE", "direct"),
    ("169.254.169.254", "\uff11\uff16\uff19.254.169.254", "direct"),
    ("169.254.169.254", "169\u3002254\uff0e169\uff61254", "direct"),
    ("169.254.169.254.", "169.254.169.254", "direct"),
    ("::ffff:169.254.169.254", "169.254.169.254", "direct"),
    ("[::ffff:a9fe:a9fe]", "169.254.169.254", "direct"),
    ("[::ffff:a9fe:a9fe]:443", "169.254.169.254", "direct"),
    ("169.254.0.0/16", "::ffff:169.254.169.254", "direct"),
    ("::ffff:169.254.0.0/112", "169.254.169.254", "direct"),
    ("::ffff:0:0/96", "169.254.169.254", "direct"),
    ("2001:db8::1", "2001:DB8::1", "direct"),
    ("2001:db8::1", "2001:db8:0:0:0:0:0:1", "direct"),
    ("[2001:db8::1]", "2001:0db8::0001", "direct"),
    ("2001:db8:0::1", "[2001:db8::1]", "direct"),
    ("2001:db8::192.0.2.1", "2001:db8::c000:201", "direct"),
    ("127.1", "127.1", "direct"),  # as names, which are the same
    ("0x7f.1", "0X7F.1", "direct"),
    ("example.com", "127.1", "proxied"),
    ("127.0.0.1", "127.1", "proxied"),
    ("127.0.0.1", "0x7f.1", "proxied"),
    ("127.0.0.1", "0177.0.0.1", "proxied"),
    ("127.0.0.1", "2130706433", "proxied"),
    ("127.0.0.0/8", "127.1", "proxied"),
    ("127.0.0.0/8", "127.0.0.1.evil.test", "proxied"),
    ("192.0.2.1", "192.0.2.1.evil.test", "proxied"),
    ("192.0.2.1", "a.192.0.2.1", "proxied"),
    ("2.1", "192.0.2.1", "proxied"),
    (".2.1", "192.0.2.1", "proxied"),
    ("*.2.1", "192.0.2.1", "proxied"),
    (".192.0.2.1", "192.0.2.1", "proxied"),
    ("169.254.169.254", "::169.254.169.254", "proxied"),  # compatible (RFC 4291), not mapped
    ("169.254.169.254", "64:ff9b::a9fe:a9fe", "proxied"),  # of a translator, not this machine
    ("::ffff:0:0/96", "2001:db8::1", "proxied"),
    ("::/0", "::ffff:192.0.2.1", "proxied"),  # which is 192.0.2.1, and that is of IPv4
    ("faß.test", "fass.test", "proxied"),
    ("metadata.test", "metadata.test.evil.example", "proxied"),
    ("metadata.test", "metadata-test", "proxied"),
    ("127.0.0.1", "localhost.evil.test", "proxied"),
]  # fmt: skip


@pytest.mark.parametrize(("listed", "host", "expected"), T16, ids=ascii)
def test_t16_another_spelling_is_no_other_host(listed: str, host: str, expected: str) -> None:
    assert goes(listed, (host, 443)) == expected


def test_t16_has_sixty_pairs() -> None:
    assert len(T16) == len(set(T16)) == 60


@pytest.mark.parametrize(
    "host", ["::1%25.example.com", "1000::%25.example.com", "::1%.example.com"]
)
@pytest.mark.parametrize("no_proxy", ["example.com", "*.example.com", ".example.com", "*"])
def test_t15_a_zone_matches_no_name(no_proxy: str, host: str) -> None:
    """CVE-2025-22870: such a target goes nowhere, least of all direct."""
    with pytest.raises(InvalidTarget):
        goes(no_proxy, (host, 123))
    with pytest.raises(InvalidTarget):
        goes(no_proxy, f"[{host}]:123")


@pytest.mark.parametrize("host", ["a" * 256, "a." * 128 + "test", "ü" * 256], ids=ascii)
def test_t14_a_long_name_is_refused_and_covered_by_nothing(host: str) -> None:
    with pytest.raises(InvalidTarget):
        goes("*", (host, 443))
    assert goes(host, "a.test:443") == "proxied"


# --- loopback ---


@pytest.mark.parametrize("dialect", get_args(DialectName))
@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "LOCALHOST"]
)
def test_en_11_loopback(host: str, dialect: DialectName) -> None:
    environ = {"https_proxy": "http://proxy.test:3128"}
    expected = "direct" if dialect in ("connect_tunnel", "go") else "proxied"
    assert goes("", (host, 443), dialect) == expected
    for choice in (True, False):
        environment = Environment(environ, dialect=dialect, loopback_direct=choice)
        assert bool(environment.decide((host, 443)).proxies) is not choice


@pytest.mark.parametrize(
    "host", ["localhost.", "127.0.0.1.", "\uff11\uff12\uff17.0.0.1", "[::ffff:7f00:1]"]
)
def test_en_11_t16_loopback_in_other_spellings(host: str) -> None:
    assert goes("", (host, 443)) == "direct"


@pytest.mark.parametrize(
    "host",
    ["local.localhost", "localhost.test", "127.1", "0x7f.1", "128.0.0.1", "::", "::127.0.0.1"],
)
def test_en_11_what_is_not_loopback(host: str) -> None:
    assert goes("", (host, 443)) == "proxied"


# --- what cannot be read ---

UNREADABLE = [  # entry, why
    ("192.168.*", "'*' stands alone, or in '*.' before a name"),
    ("*foo.test", "'*' stands alone, or in '*.' before a name"),
    ("**", "'*' stands alone"),
    ("*.*.test", "'*' stands alone"),
    ("*:443", "'*' stands alone"),
    ("http://foo.test", "an entry is a host, and not a URL"),
    ("https://foo.test:443/x", "an entry is a host, and not a URL"),
    ("fe80::1%eth0", "zones and percent-encoding are of no host that goes on the wire"),
    ("[fe80::1%25eth0]:443", "zones and percent-encoding"),
    ("ex%41mple.test", "zones and percent-encoding"),
    ("foo.test/8", "a network is an address, '/' and a number of bits"),
    ("10.0.0.0/255.0.0.0", "a network is an address, '/' and a number of bits"),
    ("10/8", "a network is an address, '/' and a number of bits"),
    ("10.0.0.0/8:80", "a network is an address, '/' and a number of bits"),
    ("10.0.0.0/", "a network is an address, '/' and a number of bits"),
    ("10.0.0.0/-1", "a network is an address, '/' and a number of bits"),
    ("10.0.0.0/33", "there are no networks of so many bits"),
    ("::1/129", "there are no networks of so many bits"),
    ("::ffff:10.0.0.0/95", "there are no networks of so many bits"),
    (".10.0.0.1", "there are no names below an address"),
    ("*.10.0.0.1", "there are no names below an address"),
    ("*.[::1]", "there are no names below an address"),
    (":80", "it is no name, address or network"),
    (".", "it is no name, address or network"),
    ("*.", "'*' stands alone"),
    ("..foo.test", "it is no name, address or network"),
    ("foo..test", "it is no name, address or network"),
    ("foo.test:", "it is no name, address or network"),
    ("foo.test:0", "it is no name, address or network"),
    ("foo.test:65536", "it is no name, address or network"),
    ("foo.test:http", "it is no name, address or network"),
    ("foo.test:4٤3", "it is no name, address or network"),
    ("[::1", "it is no name, address or network"),
    ("[10.0.0.1]", "it is no name, address or network"),
    ("::1-::100", "it is no name, address or network"),
    ("<local>", "it is no name, address or network"),
    ("a;b", "it is no name, address or network"),
    ("a\u202eb.test", "it is no name, address or network"),
    ("\ud800", "it is no name, address or network"),
]


@pytest.mark.parametrize(("entry", "why"), UNREADABLE, ids=ascii)
def test_what_cannot_be_read_is_skipped_and_said(entry: str, why: str) -> None:
    environment = Environment({"NO_PROXY": f"a.test,{entry},b.test", "all_proxy": "http://p:1"})
    (warning,) = environment.warnings
    assert warning.startswith(f"NO_PROXY: entry 2, '{ascii(entry)[1:-1]}', is skipped: {why}")
    assert_fit_to_be_shown(warning)
    decided = [environment.decide((host, 443)) for host in ("a.test", "b.test", "foo.test")]
    assert [bool(decision.proxies) for decision in decided] == [False, False, True]
    assert decided[1].rule == "entry 3 of NO_PROXY, 'b.test', exempts it"


@pytest.mark.parametrize(
    "no_proxy",
    [
        "http://alice:s3cr3t@proxy.test:3128",
        "http://alice:s3cr3t word@proxy.test:3128",
        "http://alice:pass,s3cr3t@proxy.test:3128",
        "a.test,alice:s3cr3t,bob@",
    ],
)
def test_au_07_what_may_hold_a_password_is_not_shown(no_proxy: str) -> None:
    environment = Environment({"NO_PROXY": no_proxy, "ALL_PROXY": "http://p:1"})
    assert environment.warnings
    rules = [environment.decide((host, 443)).rule for host in ("a.test", "s3cr3t")]
    assert "s3cr3t" not in " ".join([*environment.warnings, *rules, repr(environment)])


def test_long_entries_make_no_long_words() -> None:
    name = "a." * 100 + "test"
    environment = Environment({"NO_PROXY": f"{name} {'%' * 5000}", "ALL_PROXY": "http://p:1"})
    rule = environment.decide((name, 443)).rule
    assert rule == f"entry 1 of NO_PROXY, '{name[:60]}...', exempts it"
    assert max(map(len, environment.warnings)) < 200


def test_its_repr() -> None:
    no_proxy = NoProxy("a.test,%,b.test", "NO_PROXY", DIALECTS["connect_tunnel"])
    assert repr(no_proxy) == "<NoProxy of 2 entries>"


# --- the dialects ---


@pytest.mark.parametrize("row", ROWS, ids=ROW_IDS)
def test_facts_from_other_suites(row: dict[str, Any]) -> None:
    assert goes(row["no_proxy"], row["target"]) == row["ours"]
    differs: dict[str, str] = row.get("differs", {})
    for dialect in ("curl", "go", "requests"):
        agree = goes(row["no_proxy"], row["target"], dialect) == row[dialect]
        assert agree is (dialect not in differs), dialect
        if not row["contested"] and dialect not in differs:
            assert row[dialect] == row["ours"]


def test_the_facts_are_many() -> None:
    contested = [row for row in ROWS if row["contested"]]
    assert (len(ROWS), len(contested)) == (138, 59)
    assert sum("differs" in row for row in ROWS) <= 10


# What was measured with curl 7.88 and requests 2.34, and read in the source of Go; one row for
# each difference that is known.
DIFFERENCES = [  # NO_PROXY, target, and how it goes: ours, curl, go, requests
    (".foo.test", "foo.test:1", "d d p d"),
    ("*.foo.test", "bar.foo.test:1", "d p d p"),
    ("foo.test:8080", "foo.test:8080", "d p d d"),
    ("foo.test.", "foo.test:1", "d d p p"),
    ("foo.test", "foo.test.:1", "d d p p"),
    ("foo.test.", "foo.test.:1", "d d d d"),
    ("a.test,*", "b.test:1", "d p d p"),
    ("*", "b.test:1", "d d d d"),
    ("foo.test bar.test", "bar.test:1", "d d p p"),
    ("192.0.2.0/ 24", "192.0.2.1:1", "p p p d"),
    ("10.0.0.0/8", "10.1.2.3:1", "d d d d"),
    ("10.0.0.1:81", "10.0.0.1:81", "d p d p"),
    ("2001:db8::5", "[2001:db8::5]:1", "d d d d"),
    ("[2001:db8::5]", "[2001:db8::5]:1", "d p p p"),
    ("[2001:db8::5]:80", "[2001:db8::5]:80", "d p d p"),
    ("2001:db8:0::5", "[2001:db8::5]:1", "d d d p"),
    ("2001:db8::/32", "[2001:db8::5]:1", "d d d p"),
    ("0.0.0.0/0", "1.2.3.4:1", "d p d p"),
    ("192.0.2.1", "[::ffff:192.0.2.1]:1", "d p d p"),
    ("::ffff:192.0.2.1", "[::ffff:192.0.2.1]:1", "d d d d"),
    ("bücher.test", "xn--bcher-kva.test:1", "d p d p"),
    ("xn--bcher-kva.test", "xn--bcher-kva.test:1", "d d d d"),
    ("http://foo.test", "foo.test:1", "p p p p"),
    ("192.168.*", "192.168.0.1:1", "p p p p"),
]


@pytest.mark.parametrize(("no_proxy", "target", "expected"), DIFFERENCES)
def test_en_08_where_the_dialects_differ(no_proxy: str, target: str, expected: str) -> None:
    got = [goes(no_proxy, target, dialect)[0] for dialect in get_args(DialectName)]
    assert " ".join(got) == expected


def test_what_a_dialect_does_not_know_is_said() -> None:
    environ = {"NO_PROXY": "foo.test:80,*.x"}
    assert Environment(environ, dialect="curl").warnings == (
        "NO_PROXY: entry 1, 'foo.test:80', is skipped: the dialect curl does not know a port",
        "NO_PROXY: entry 2, '*.x', is skipped: the dialect curl does not know '*.' before a name",
    )
    assert Environment(environ, dialect="go").warnings == ()


def test_the_names_of_dialects() -> None:
    assert get_args(DialectName) == tuple(DIALECTS)
    assert [dialect.name for dialect in DIALECTS.values()] == list(DIALECTS)


# --- whatever is listed ---

properties = settings(deadline=None, database=None, derandomize=True, max_examples=200)
anything = st.text(st.characters(), max_size=60)  # lone surrogates, which os.environ may have, too
plausible = st.lists(
    st.from_regex(r"(\*?\.)?[a-z0-9üß.:\[\]/*%@。-]{0,12}(:[0-9]{1,3})?", fullmatch=True)
).map(",".join)
TARGETS = ["a.test:443", "localhost:1", "192.0.2.1:80", "[2001:db8::1]:443", "[::ffff:10.0.0.1]:1"]


def assert_fit_to_be_shown(words: str) -> None:
    assert words.isascii(), words
    assert words.isprintable(), words
    assert len(words) <= 500


@properties
@given(no_proxy=anything | plausible, dialect=st.sampled_from(get_args(DialectName)))
def test_no_list_makes_it_raise(no_proxy: str, dialect: DialectName) -> None:
    environment = Environment({"no_proxy": no_proxy, "all_proxy": "http://p:1"}, dialect=dialect)
    for target in TARGETS:
        assert_fit_to_be_shown(environment.decide(target).rule)
    for warning in environment.warnings:
        assert_fit_to_be_shown(warning)


# The spellings of one host, each list by itself.
SPELLINGS = [
    ["bücher.test", "BÜCHER.test", "xn--bcher-kva.test", "xn--bcher-kva.test.", "bücher\u3002test"],
    ["a.bücher.test", "A.BÜCHER.TEST.", "a.xn--bcher-kva.test", "a\uff0exn--bcher-kva.test"],
    ["faß.test", "FAß.test", "xn--fa-hia.test", "xn--fa-hia.test."],
    ["foo.test", "foo.test.", "FOO.Test", "\uff46oo.test"],
    [
        "10.1.2.3",
        "10.1.2.3.",
        "\uff110.1.2.3",
        "::ffff:10.1.2.3",
        "[::ffff:a01:203]",
        "::FFFF:a01:203",
    ],
    ["127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1.", "[::ffff:7f00:1]"],
    ["2001:db8::1", "[2001:db8::1]", "2001:DB8:0:0::1", "2001:db8::0.0.0.1"],
    ["localhost", "localhost.", "LOCALHOST", "loc\uff41lhost"],
    ["127.1", "127.1.", "\uff1127.1"],
]
NETWORKS = [
    "10.0.0.0/8",
    "::ffff:10.0.0.0/104",
    "127.0.0.0/8",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
]
listed = st.lists(
    st.one_of(
        st.sampled_from(NETWORKS),
        st.tuples(
            st.sampled_from(["", ".", "*."]),
            st.sampled_from([host for hosts in SPELLINGS for host in hosts]),
            st.sampled_from(["", ":443", ":444"]),
        ).map("".join),
        st.sampled_from(["test", ".test", "*.test", "1.2.3", "0.0.1", "*"]),
    ),
    max_size=6,
)


@properties
@given(hosts=st.sampled_from(SPELLINGS), entries=listed, loopback=st.booleans())
def test_all_spellings_of_a_host_go_the_same_way(
    hosts: list[str], entries: list[str], *, loopback: bool
) -> None:
    environ = {"NO_PROXY": " ".join(entries), "https_proxy": "http://p:1"}
    environment = Environment(environ, loopback_direct=loopback)
    assert len({environment.decide((host, 443)) for host in hosts}) == 1


@properties
@given(
    hosts=st.sampled_from(SPELLINGS),
    target=st.sampled_from([host for hosts in SPELLINGS for host in hosts] + ["b.foo.test"]),
    port=st.sampled_from(["", ":443", ":444"]),
)
def test_all_spellings_of_an_entry_cover_the_same(hosts: list[str], target: str, port: str) -> None:
    environ = {"https_proxy": "http://p:1"}
    ways = set[bool]()
    for host in hosts:
        bare = f"[{host}]" if ":" in host and not host.startswith("[") else host
        environment = Environment({**environ, "NO_PROXY": bare + port}, loopback_direct=False)
        ways.add(bool(environment.decide((target, 443)).proxies))
        if not port:  # brackets or none
            environment = Environment({**environ, "NO_PROXY": host}, loopback_direct=False)
            ways.add(bool(environment.decide((target, 443)).proxies))
    assert len(ways) == 1


def test_names_are_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket  # noqa: PLC0415 - to see that nobody uses it

    monkeypatch.delattr(socket, "getaddrinfo")
    monkeypatch.delattr(socket, "gethostbyname")
    assert goes("127.0.0.0/8,::1,10.0.0.0/8", "looks-like.internal:443") == "proxied"
