"""Targets: what a caller may say, and what goes on the wire, into SNI and into messages of it."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import InvalidTarget, Target
from connect_tunnel._target import known_addresses

READ: list[tuple[str, object, str, str]] = [  # id, what is said, kind, what goes on the wire
    ("H1-01 a name and a port", "server.example.com:443", "name", "server.example.com:443"),
    ("H1-01 a pair", ("server.example.com", 443), "name", "server.example.com:443"),
    (
        "H1-01 a pair of two strings",
        ("server.example.com", "443"),
        "name",
        "server.example.com:443",
    ),
    ("H1-02 the lowest port", "h:1", "name", "h:1"),
    ("H1-02 the highest port", "h:65535", "name", "h:65535"),
    ("H1-02 the port of http, too", "h:80", "name", "h:80"),
    ("H1-02 leading zeros mean nothing", "h:00443", "name", "h:443"),
    ("H1-03 IPv6 without brackets", ("2001:db8::1", 443), "ipv6", "[2001:db8::1]:443"),
    ("H1-03 IPv6 in brackets", ("[2001:db8::1]", 443), "ipv6", "[2001:db8::1]:443"),
    ("H1-03 IPv6 in brackets, and a port", "[2001:db8::1]:443", "ipv6", "[2001:db8::1]:443"),
    ("NM-01 IPv4", "127.0.0.1:80", "ipv4", "127.0.0.1:80"),
    ("NM-01 the highest IPv4", "255.249.199.99:80", "ipv4", "255.249.199.99:80"),
    ("NM-01 hexadecimal goes verbatim", "0x7f.1:80", "name", "0x7f.1:80"),
    ("NM-01 three numbers go verbatim", "1.2.3:80", "name", "1.2.3:80"),
    ("NM-01 octal goes verbatim", "010.0.0.1:80", "name", "010.0.0.1:80"),
    ("NM-01 one number goes verbatim", "2130706433:80", "name", "2130706433:80"),
    ("NM-01 an octet too large goes verbatim", "1.2.3.256:80", "name", "1.2.3.256:80"),
    ("NM-02 not ASCII", "bücher.example:443", "name", "xn--bcher-kva.example:443"),
    (
        "NM-02 a pair that is not ASCII",
        ("bücher.example", 443),
        "name",
        "xn--bcher-kva.example:443",
    ),
    ("NM-03 IDNA2008, not 2003", "faß.de:443", "name", "xn--fa-hia.de:443"),
    ("NM-03 UTS 46 folds case", "BÜCHER.example:443", "name", "xn--bcher-kva.example:443"),
    ("NM-03 a joiner stays", "\u0915\u094d\u200d\u0937.test:1", "name", "xn--11b2ezcw70k.test:1"),
    ("NM-04 an underscore", "my_svc.internal:1", "name", "my_svc.internal:1"),
    ("NM-04 a leading hyphen", "-a.com:1", "name", "-a.com:1"),
    ("NM-04 what only looks like an A-label", "xn--a:1", "name", "xn--a:1"),
    ("NM-04 a label of 63", "a" * 63 + ".b:1", "name", "a" * 63 + ".b:1"),
    ("NM-04 a name of 253", ("a." * 126 + "b", 1), "name", "a." * 126 + "b:1"),
    ("NM-04 a name of 253 and a dot", ("a." * 126 + "b.", 1), "name", "a." * 126 + "b.:1"),
    (
        "NM-05 fullwidth digits",
        "\uff11\uff12\uff17.0.0.1:80",
        "ipv4",
        "127.0.0.1:80",
    ),
    ("NM-05 an ideographic full stop", "h\u3002test:80", "name", "h.test:80"),
    ("NM-07 lower case", "H.Test:443", "name", "h.test:443"),
    ("NM-07 the last dot goes on the wire", "H.TEST.:443", "name", "h.test.:443"),
    ("NM-07 canonical IPv6", "[2001:DB8:0:0::0001]:1", "ipv6", "[2001:db8::1]:1"),
    ("NM-07 the longest run of zeros", "[1:0:0:2:0:0:0:3]:1", "ipv6", "[1:0:0:2::3]:1"),
    ("NM-07 all zeros", "[::]:1", "ipv6", "[::]:1"),
    ("NM-07 mapped IPv4", "[::FFFF:127.0.0.1]:1", "ipv6", "[::ffff:127.0.0.1]:1"),
    ("NM-07 mapped IPv4 in hexadecimal", "[::ffff:7f00:1]:1", "ipv6", "[::ffff:127.0.0.1]:1"),
]

REFUSED: list[tuple[str, object, str]] = [  # id, what is said, what is said back
    ("H1-01 a URL", "https://h:443", "is a URL; a target is host:port, without a scheme"),
    ("H1-01 userinfo", "user@h:1", "target '...' has userinfo; a target is host:port"),
    ("H1-01 a path", "h:1/x", "port '1/x' is not a number from 1 to 65535"),
    ("H1-01 a path in the host", ("h/x", 1), "is not a host name"),
    ("H1-01 a query", ("h?x", 1), "is not a host name"),
    ("H1-01 a fragment", ("h#x", 1), "is not a host name"),
    ("H1-02 no port", "h", "target 'h' has no port; say which, as in 'h:443'"),
    ("H1-02 no port after IPv6", "[::1]", "has no port; say which, as in '[::1]:443'"),
    ("H1-02 an empty port", "h:", "port '' is not a number"),
    ("H1-02 port 0", "h:0", "port 0 is not a number from 1 to 65535"),
    ("H1-02 port 65536", ("h", 65536), "port 65536 is not"),
    ("H1-02 a port below 0", ("h", -1), "port -1 is not"),
    ("H1-02 a port and a blank", "h:443 ", "port '443 ' is not"),
    ("H1-02 a port with a sign", "h:+443", "port '+443' is not"),
    ("H1-02 a port with an underscore", "h:4_43", "port '4_43' is not"),
    ("H1-02 digits that are not ASCII", "h:٤٤٣", r"port '\u0664\u0664\u0663' is not"),
    ("H1-02 a port of many digits", "h:" + "0" * 9 + "1", "port '0000000001' is not"),
    ("H1-02 a very long port", "h:" + "1" * 99, "port '" + "1" * 59 + "... is not"),
    ("H1-02 a very large port", ("h", 10**5000), "is not a number from 1 to 65535"),
    ("H1-02 a bool is no port", ("h", True), "port True is not"),
    ("H1-02 a float is no port", ("h", 443.0), "port float is not"),
    ("H1-02 None is no port", ("h", None), "port NoneType is not"),
    ("H1-05 CR and LF", ("x\r\nX: 1", 1), "is not an IPv6 address"),
    ("H1-05 CR and LF, no colon", ("x\r\ny", 1), r"target 'x\r\ny' is not a host name"),
    ("H1-05 CR and LF, no port", "x\r\ny", r"as in 'x\r\ny:443'"),
    ("H1-05 a blank", ("a b", 1), "is not a host name"),
    ("H1-05 a NUL", ("a\0b", 1), r"target 'a\x00b' is not a host name"),
    ("H1-05 a last line feed", ("h\n", 1), r"target 'h\n' is not a host name"),
    ("H1-05 a backslash", ("a\\b", 1), "is not a host name"),
    ("H1-05 angle brackets", ("<h>", 1), "is not a host name"),
    ("NM-04 an empty label", "a..b:1", "is not a host name; letters, digits, hyphens"),
    ("NM-04 a leading dot", ".a:1", "is not a host name"),
    ("NM-04 a lone dot", ".:1", "is not a host name"),
    ("NM-04 a label of 64", "a" * 64 + ":1", "is not a host name"),
    ("NM-04 a name of 254", ("a." * 126 + "bc", 1), "is longer than 253 characters"),
    ("NM-05 fullwidth blank", ("a\u3000b", 1), "is not a"),
    ("NM-05 fullwidth solidus", ("a\uff0fb", 1), "is not a"),
    ("NM-05 fullwidth at", ("a\uff20b", 1), "is not a"),
    ("NM-02 a symbol", ("♥\ud800", 1), "is not a valid internationalized name"),
    ("NM-02 bidi controls", ("a\u202eb", 1), "is not a valid internationalized name"),
    ("NM-06 a zone", ("fe80::1%eth0", 1), "has a '%'; zone ids and percent-encoding never go"),
    ("NM-06 a zone in brackets", "[fe80::1%eth0]:1", "has a '%'"),
    ("NM-06 a zone as RFC 6874 had it", "[fe80::1%25eth0]:1", "has a '%'"),
    ("NM-08 an empty host", ":1", "the host is empty"),
    ("NM-08 an empty host in a pair", ("", 1), "the host is empty"),
    ("NM-08 empty brackets", "[]:1", "is not an IPv6 address"),
    ("NM-08 IPvFuture", "[v1.x]:1", "is of an address mechanism that is not supported"),
    ("NM-09 percent-encoding", "ex%41mple.test:1", "has a '%'"),
    (
        "IPv6 that could be read twice",
        "2001:db8::1:443",
        "is ambiguous; write '[2001:db8::1]:443' or '[2001:db8::1:443]:PORT'",
    ),
    (
        "IPv6 and a port, no brackets",
        "1:2:3:4:5:6:7:8:443",
        "is ambiguous; write '[1:2:3:4:5:6:7:8]:443'",
    ),
    ("IPv6 alone", "2001:db8::", "has no port; write '[2001:db8::]:PORT'"),
    ("two colons", "h:1:2", "has more than one colon; an IPv6 address goes in brackets"),
    ("a bracket never closed", "[::1:2", "has more than one colon"),
    ("a bracket never opened", "::1]:2", "has more than one colon"),
    ("IPv4 in brackets", "[127.0.0.1]:1", "is not an IPv6 address"),
    ("IPv6 in brackets twice", "[[::1]]:1", "is not an IPv6 address"),
    ("IPv6 with too many groups", ("1:2:3:4:5:6:7:8:9", 1), "is not an IPv6 address"),
    ("bytes", b"h:1", "a target is 'host:port', a pair of host and port, or a Target, not bytes"),
    ("a pair of bytes and port", (b"h", 1), "the host of a target is a str, not bytes"),
    ("one of a pair", ("h",), "not tuple"),
    ("None", None, "not NoneType"),
]


def rows(table: list[Any]) -> list[Any]:
    return [pytest.param(*row[1:], id=row[0]) for row in table]


@pytest.mark.parametrize(("said", "kind", "authority"), rows(READ))
def test_what_goes_on_the_wire(said: Any, kind: str, authority: str) -> None:
    target = Target.parse(said)
    assert (target.kind, target.authority, str(target)) == (kind, authority, authority)
    assert target.host == authority.rpartition(":")[0].strip("[]")
    assert target.port == int(authority.rpartition(":")[2])
    assert Target.parse(authority) == target  # what is shown can be said


@pytest.mark.parametrize(("said", "words"), rows(REFUSED))
def test_what_is_refused(said: Any, words: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        Target.parse(said)
    assert words in str(caught.value)
    assert_fit_to_be_shown(caught.value)


@pytest.mark.parametrize("host", [None, b"h", ["h"], 1], ids=lambda host: type(host).__name__)
def test_a_host_that_is_no_text(host: Any) -> None:
    with pytest.raises(InvalidTarget):
        Target(host, 1)
    with pytest.raises(InvalidTarget):
        Target.parse((host, 1))


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ("http://alice:s3cr3t-pw@h:1", "s3cr3t"),
        ("alice:s3cr3t-pw@h:1", "s3cr3t"),
        ("alice:s3cr3t-pw@h", "s3cr3t"),
        (("alice:s3cr3t-pw@h", 1), "s3cr3t"),
        (("älice:s3cr3t-pw@h", 1), "s3cr3t"),
        ("[alice:s3cr3t-pw@h]", "s3cr3t"),
    ],
)
def test_au_07_userinfo_is_not_shown(said: Any, hidden: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        Target.parse(said)
    assert hidden not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "[" + "a:" * 1000 + "]",
        "x" * 5000,
        "x" * 5000 + ":1",
        ("\U0001f600" * 5000 + "/", 1),
        ("\u202e" * 5000, 1),
        ("ü" * 5000, 1),
        "\x00" * 5000,
        "://" * 5000,
        "1:" * 5000 + "1",
        "@" * 5000,
    ],
    ids=lambda said: ascii(said)[:20],
)
def test_long_targets_make_no_long_messages(said: Any) -> None:
    with pytest.raises(InvalidTarget) as caught:
        Target.parse(said)
    assert_fit_to_be_shown(caught.value)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        pytest.param("H.TEST.:443", "h.test", id="NM-07 without the last dot"),
        pytest.param("[2001:db8::1]:443", "2001:db8::1", id="NM-07 without brackets"),
        pytest.param("faß.de:443", "xn--fa-hia.de", id="NM-11 the A-label of the request"),
        pytest.param("\uff11\uff12\uff17.0.0.1:443", "127.0.0.1", id="NM-05 the mapped form"),
    ],
)
def test_the_name_in_the_certificate(said: str, name: str) -> None:
    assert Target.parse(said).server_hostname == name


def test_nm_10_a_name_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket  # noqa: PLC0415 - to see that nobody uses it

    monkeypatch.delattr(socket, "getaddrinfo")
    monkeypatch.delattr(socket, "gethostbyname")
    assert Target("only-the-proxy-knows.internal", 1).kind == "name"


def test_it_is_a_value() -> None:
    target = Target("H.test", 443)
    assert target == Target.parse("h.test:443")
    assert hash(target) == hash(Target.parse("h.test:443"))
    assert target != Target("h.test", 444)
    assert target != Target("i.test", 443)
    assert target != "h.test:443"
    assert Target.parse(target) is target
    assert repr(target) == "Target('h.test', 443)"


@pytest.mark.parametrize("said", ["h:1", "[2001:db8::1]:443", "1.2.3.4:5"])
def test_it_pickles_and_copies(said: str) -> None:
    target = Target.parse(said)
    for same in (pickle.loads(pickle.dumps(target)), copy.copy(target), copy.deepcopy(target)):
        assert (same, same.kind) == (target, target.kind)


def test_it_matches() -> None:
    match Target("::1", 443):
        case Target(host, port, kind):
            assert (host, port, kind) == ("::1", 443, "ipv6")


@pytest.mark.parametrize("name", ["host", "port", "kind", "other"])
def test_t12_it_cannot_be_changed_once_it_is_checked(name: str) -> None:
    target = Target("h", 1)
    with pytest.raises(AttributeError):
        setattr(target, name, "x\r\nX: 1")
    assert target == Target("h", 1)


# --- whatever is said ---

FORBIDDEN = "".join(map(chr, range(0x21))) + '\x7f/@?#\\<>[]^`{|}"%&'
ON_THE_WIRE = re.compile(r"(?:[a-z0-9_-][a-z0-9._-]*|\[[0-9a-f:.]+\]):[1-9][0-9]*")
text = st.text(max_size=40)
names = st.from_regex(r"[a-zA-Z0-9.-]{0,20}", fullmatch=True)
properties = settings(deadline=None, database=None, derandomize=True, max_examples=200)


def assert_fit_to_be_shown(error: Exception) -> None:
    shown = str(error)
    assert shown.isascii(), shown
    assert shown.isprintable(), shown
    assert len(shown) <= 400


def assert_harmless(said: Any) -> None:
    """It is refused in fit words, or what goes on the wire is one token of plain ASCII."""
    try:
        target = Target.parse(said)
    except InvalidTarget as error:
        assert_fit_to_be_shown(error)
    else:
        assert ON_THE_WIRE.fullmatch(target.authority)


@properties
@given(text)
def test_t11_whatever_is_said(said: str) -> None:
    assert_harmless(said)
    assert_harmless(f"{said}:443")
    assert_harmless((said, 443))


@properties
@given(before=names, bad=st.sampled_from(FORBIDDEN), after=names)
def test_t11_a_host_with_what_no_host_has(before: str, bad: str, after: str) -> None:
    for host in (f"{before}{bad}{after}", f"ü{before}{bad}{after}", f"[{before}{bad}{after}]"):
        with pytest.raises(InvalidTarget) as caught:
            Target(host, 443)
        assert_fit_to_be_shown(caught.value)


@properties
@given(before=names, after=names)
def test_t11_a_host_with_a_colon(before: str, after: str) -> None:
    for host in (f"h{before}:{after}", f"[h{before}:{after}]"):
        with pytest.raises(InvalidTarget) as caught:
            Target(host, 443)
        assert_fit_to_be_shown(caught.value)


@properties
@given(before=st.text("0123456789", max_size=3), bad=st.characters(), after=names)
def test_t11_a_port_with_what_no_port_has(before: str, bad: str, after: str) -> None:
    port = f"{before}{bad}{after}"
    if not re.fullmatch(r"[0-9]{1,5}", port):
        pair: Any = ("h.test", port)
        for said in (f"h.test:{port}", pair):
            with pytest.raises(InvalidTarget) as caught:
                Target.parse(said)
            assert_fit_to_be_shown(caught.value)


@properties
@given(st.lists(st.integers(1, 255), min_size=1, max_size=10))
def test_t12_octets_are_never_cut_out_of_characters(octets: list[int]) -> None:
    # As latin-1 with its errors ignored, U+010D U+010A would be CR LF.
    assert_harmless(("h" + "".join(chr(0x100 + octet) for octet in octets), 443))


@pytest.mark.parametrize("host", ["x\u010d\u010aX: 1", "x\u010d\u010aX", "\uff0d\uff0a"])
def test_t12_cr_and_lf_in_disguise(host: str) -> None:
    assert_harmless((host, 443))


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("192.0.2.7", [("192.0.2.7", 993)]),
        ("[2001:db8::7]", [("2001:db8::7", 993)]),
        ("localhost", [("127.0.0.1", 993), ("::1", 993)]),
        ("A.LocalHost", [("127.0.0.1", 993), ("::1", 993)]),
        ("notlocalhost", []),
        ("localhost.test", []),
        ("localhost.", []),
        ("imap.example.com", []),
    ],
)
def test_addresses_that_no_resolver_is_asked_for(
    host: str, addresses: list[tuple[str, int]]
) -> None:
    """RFC 6761, 6.3: a name of this machine is nobody else's business."""
    target = Target(host, 993)
    assert [*known_addresses(target.host, target.port, target.kind)] == addresses
