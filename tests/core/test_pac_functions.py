"""What a PAC file may call (EN-13): each function by its rows, in the engine that runs it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel.routing._script.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {
    "a.test": ["192.0.2.7"],
    "both.test": ["2001:db8::7", "192.0.2.7", "192.0.2.8"],
    "six.test": ["2001:db8::7"],
    "none.test": [],
    "null": ["10.0.0.1"],
    "": ["198.51.100.5", "2001:db8::5"],
}
NOW = datetime(2026, 11, 27, 14, 30, 20, tzinfo=UTC)  # a Friday


def value(expression: str, known: dict[str, list[str]] | None = None, now: datetime = NOW) -> Any:
    """What an expression is in a PAC file: null for undefined, as JSON has it."""
    engine = Engine(
        f"function FindProxyForURL(url, host) {{ return JSON.stringify([{expression}]) }}"
    )
    outcome = engine.ask(
        "https://h.test/",
        "h.test",
        NAMES if known is None else known,
        now=now.timestamp(),
        deadline=time.monotonic() + 5,
    )
    assert outcome.kind == "answer"
    assert outcome.words is not None
    return json.loads(outcome.words)[0]


FUNCTIONS: list[tuple[str, Any]] = [
    ('isPlainHostName("www")', True),
    ('isPlainHostName("www.test")', False),
    ('isPlainHostName("::1")', False),
    ('isPlainHostName("")', True),
    ('dnsDomainIs("www.corp.test", ".corp.test")', True),
    ('dnsDomainIs("corp.test", ".corp.test")', False),
    ('dnsDomainIs("corp.test", "corp.test")', True),
    ('dnsDomainIs("mycorp.test", "corp.test")', True),  # a suffix, and no more
    ('dnsDomainIs("www.corp.test", ".CORP.test")', False),  # to the letter, as browsers have it
    ('dnsDomainIs("www", ".corp.test")', False),
    ('localHostOrDomainIs("www.corp.test", "www.corp.test")', True),
    ('localHostOrDomainIs("www", "www.corp.test")', True),
    ('localHostOrDomainIs("ww", "www.corp.test")', False),
    ('localHostOrDomainIs("www.other.test", "www.corp.test")', False),
    ('localHostOrDomainIs("home.corp.test", "www.corp.test")', False),
    ('dnsDomainLevels("www")', 0),
    ('dnsDomainLevels("www.corp.test")', 2),
    # Names.
    ('isResolvable("a.test")', True),
    ('isResolvable("both.test")', True),
    ('isResolvable("six.test")', False),
    ('isResolvable("none.test")', False),
    ('isResolvable("192.0.2.1")', True),
    ('isResolvableEx("six.test")', True),
    ('isResolvableEx("none.test")', False),
    ('isResolvableEx("::1")', True),
    ('dnsResolve("a.test")', "192.0.2.7"),
    ('dnsResolve("both.test")', "192.0.2.7"),
    ('dnsResolve("six.test")', None),
    ('dnsResolve("none.test")', None),
    ('dnsResolve("10.1.2.3")', "10.1.2.3"),
    ('dnsResolve("2001:db8::7")', None),
    ('dnsResolve("")', None),
    ("dnsResolve()", None),
    ("dnsResolve(null)", None),  # which is no name, even where there is one
    ('dnsResolve("x".repeat(256))', None),
    ('dnsResolveEx("both.test")', "2001:db8::7;192.0.2.7;192.0.2.8"),
    ('dnsResolveEx("none.test")', ""),
    ('dnsResolveEx("::1")', "::1"),
    ("myIpAddress()", "198.51.100.5"),
    ("myIpAddressEx()", "198.51.100.5;2001:db8::5"),
    # Networks.
    ('isInNet("192.0.2.7", "192.0.2.0", "255.255.255.0")', True),
    ('isInNet("192.0.3.7", "192.0.2.0", "255.255.255.0")', False),
    ('isInNet("192.0.3.7", "192.0.2.9", "255.255.254.0")', True),
    ('isInNet("10.9.9.9", "10.0.0.0", "255.0.0.0")', True),
    ('isInNet("200.1.2.3", "200.1.2.3", "255.255.255.255")', True),
    ('isInNet("200.1.2.3", "0.0.0.0", "0.0.0.0")', True),
    ('isInNet("10.1.2.3", "10.99.2.99", "255.0.255.0")', True),
    ('isInNet("a.test", "192.0.2.0", "255.255.255.0")', True),
    ('isInNet("both.test", "192.0.2.0", "255.255.255.0")', True),
    ('isInNet("six.test", "0.0.0.0", "0.0.0.0")', False),
    ('isInNet("none.test", "0.0.0.0", "0.0.0.0")', False),
    ('isInNet("::1", "0.0.0.0", "0.0.0.0")', False),
    ('isInNet(null, "0.0.0.0", "0.0.0.0")', False),
    ('isInNet(dnsResolve("none.test"), "10.0.0.0", "255.0.0.0")', False),
    ('isInNet("10.1.2.3", "10.0.0.0/8")', False),
    ('isInNet("10.1.2.3", "10.0.0", "255.0.0.0")', False),
    ('isInNet("10.1.2.3", "10.0.0.0", "255.0.0.256")', False),
    ('isInNetEx("192.0.2.7", "192.0.2.0/24")', True),
    ('isInNetEx("192.0.3.7", "192.0.2.0/24")', False),
    ('isInNetEx("192.0.3.7", "0.0.0.0/0")', True),
    ('isInNetEx("192.0.2.7", "192.0.2.7/32")', True),
    ('isInNetEx("192.0.2.7", "192.0.2.0/33")', False),
    ('isInNetEx("192.0.2.7", "192.0.2.0/-1")', False),
    ('isInNetEx("192.0.2.7", "192.0.2.0/x")', False),
    ('isInNetEx("192.0.2.7", "192.0.2.0")', False),
    ('isInNetEx("192.0.2.7", "192.0.2.0/24/24")', False),
    ('isInNetEx("192.0.2.7", "/24")', False),
    ('isInNetEx("2001:db8:1::7", "2001:db8::/32")', True),
    ('isInNetEx("2001:db9::7", "2001:db8::/32")', False),
    ('isInNetEx("2001:db9::7", "2001:db8::/31")', True),
    ('isInNetEx("2001:DB8::7", "2001:db8::7/128")', True),
    ('isInNetEx("::1", "0.0.0.0/0")', False),
    ('isInNetEx("127.0.0.1", "::/0")', False),
    ('isInNetEx("::ffff:10.0.0.1", "::ffff:10.0.0.0/104")', True),
    ('isInNetEx("::ffff:10.0.0.300", "::/0")', False),
    ('isInNetEx("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:0/112")', True),
    ('isInNetEx("1:2:3:4:5:6:7", "::/0")', False),
    ('isInNetEx("1:2:3:4:5:6:7:8:9", "::/0")', False),
    ('isInNetEx("1:2:3:4::5:6:7:8", "::/0")', False),
    ('isInNetEx("1::2::3", "::/0")', False),
    ('isInNetEx("12345::", "::/0")', False),
    ('isInNetEx("fe80::1%eth0", "::/0")', False),
    ('isInNetEx("a.test", "0.0.0.0/0")', False),
    ('isInNetEx(dnsResolveEx("both.test"), "10.0.0.0/8;192.0.2.0/24")', True),
    ('isInNetEx(myIpAddressEx(), "10.0.0.0/8; 2001:db8::/32")', True),
    ('isInNetEx("", "0.0.0.0/0")', False),
    ("isInNetEx()", False),
    ('convert_addr("104.16.41.2")', 1745889538),
    ('convert_addr("192.0.2.1")', -1073741311),
    ('convert_addr("1.2.3.4.5")', 16909060),
    ('convert_addr("")', 0),
    (
        'sortIpAddressList("10.2.3.9;2001:4898:28:3:201:2ff:feea:fc14;::1;127.0.0.1;::9")',
        "::1;::9;2001:4898:28:3:201:2ff:feea:fc14;10.2.3.9;127.0.0.1",
    ),
    ('sortIpAddressList(" 10.0.0.2 ;10.0.0.10;10.0.0.2")', "10.0.0.2;10.0.0.2;10.0.0.10"),
    ('sortIpAddressList("10.0.0.1;a.test")', False),
    ('sortIpAddressList("")', False),
    ("getClientVersion()", "1.0"),
    # Patterns.
    ('shExpMatch("www.corp.test", "*.corp.test")', True),
    ('shExpMatch("corp.test", "*.corp.test")', False),
    ('shExpMatch("www.corp.test", "*corp*")', True),
    ('shExpMatch("www.corp.test", "www.corp.test")', True),
    ('shExpMatch("www.corp.test", "www.corp")', False),
    ('shExpMatch("www.corp.test", "corp.test")', False),
    ('shExpMatch("wwwXcorp", "www.corp")', False),
    ('shExpMatch("WWW.corp", "www.corp")', False),
    ('shExpMatch("a1.test", "a?.test")', True),
    ('shExpMatch("a.test", "a?.test")', False),
    ('shExpMatch("abcd", "a*b*c*d*")', True),
    ('shExpMatch("abab", "*ab")', True),
    ('shExpMatch("", "")', True),
    ('shExpMatch("", "*")', True),
    ('shExpMatch("", "?")', False),
    ('shExpMatch("x", "")', False),
    ('shExpMatch("https://h.test/", "https:*")', True),
    ('shExpMatch("a.test", "(a|b).test")', True),  # as a RegExp, which browsers make of it
    ('shExpMatch("c.test", "(a|b).test")', False),
    ('shExpMatch("h1.test", "h[0-9].*")', True),
    ('shExpMatch("hx.test", "h[0-9].*")', False),
    ('shExpMatch("h12.test", "h[0-9]?.test")', True),
    ('shExpMatch("aXtest", "(a).test")', False),
    ('shExpMatch("a".repeat(5000), "*a".repeat(50) + "*b")', False),
    # What makes no sense, and is told.
    ("alert()", None),
    ('alert("x", 1, {})', None),
    ("typeof isPlainHostName", "function"),
]


@pytest.mark.parametrize(("expression", "result"), FUNCTIONS, ids=[row[0] for row in FUNCTIONS])
def test_functions(expression: str, result: Any) -> None:
    assert value(expression) == result


def test_en_13_this_machine_without_a_network() -> None:
    """EN-13: an address all the same, for those who compare it with something."""
    assert value("myIpAddress()", {"": []}) == "127.0.0.1"
    assert value("myIpAddress()", {"": ["2001:db8::5"]}) == "127.0.0.1"
    assert value("myIpAddressEx()", {"": []}) == ""


def test_a_pattern_that_is_no_expression_either() -> None:
    """A mistake of the script's, as in browsers."""
    failing = "(() => { try { shExpMatch('a', '(') } catch (e) { return e.name } })()"
    assert value(failing) == "SyntaxError"


@pytest.mark.parametrize("name", ["isInNet", "dnsDomainIs", "shExpMatch", "alert"])
def test_a_script_may_have_its_own(name: str) -> None:
    script = f"var {name} = () => 'mine'; function FindProxyForURL() {{ return {name}() }}"
    engine = Engine(script)
    outcome = engine.ask("", "", {}, now=0, deadline=time.monotonic() + 5)
    assert outcome.words == "mine"


ARGUMENTS = st.lists(
    st.one_of(st.text(), st.none(), st.floats(), st.sampled_from([*NAMES, "GMT", "MON", "JAN", 1])),
    max_size=7,
)


@settings(max_examples=60, deadline=None)
@given(ARGUMENTS)
def test_no_argument_makes_one_fail(arguments: list[Any]) -> None:
    """But for a pattern that is no expression: see above."""
    given = json.dumps(arguments).replace("NaN", "0/0").replace("Infinity", "1/0")
    names = [
        "isPlainHostName", "dnsDomainIs", "localHostOrDomainIs", "isInNet", "convert_addr",
        "dnsDomainLevels", "weekdayRange", "dateRange", "timeRange", "alert", "isInNetEx",
        "sortIpAddressList", "getClientVersion",
    ]  # fmt: skip
    calls = ", ".join(f"{name}(...{given})" for name in names)
    engine = Engine(f"function FindProxyForURL() {{ return `${{[{calls}]}}` }}")
    outcome = engine.ask("", "", NAMES, now=0, deadline=time.monotonic() + 5)
    assert outcome.kind in ("answer", "unknown")  # of a name that would be looked up


# ---- time ----


@pytest.fixture(params=["Europe/Berlin", "America/New_York", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


# At half past two in the afternoon, GMT, and 20 seconds; on Friday, the 27th of November, 2026.
RANGES: list[tuple[str, bool]] = [
    ('weekdayRange("FRI", "GMT")', True),
    ('weekdayRange("THU", "GMT")', False),
    ('weekdayRange("MON", "FRI", "GMT")', True),
    ('weekdayRange("FRI", "SAT", "GMT")', True),
    ('weekdayRange("MON", "THU", "GMT")', False),
    ('weekdayRange("FRI", "MON", "GMT")', True),  # round the end of the week
    ('weekdayRange("SAT", "MON", "GMT")', False),
    ('weekdayRange("SUN", "SAT", "GMT")', True),
    ('weekdayRange("FRI", "FRI", "GMT")', True),
    ('weekdayRange("SAT", "FRI", "GMT")', True),
    ('weekdayRange("GMT")', False),
    ("weekdayRange()", False),
    ('weekdayRange("Friday", "GMT")', False),
    ('weekdayRange("MON", "TUE", "FRI", "GMT")', False),
    ('dateRange(27, "GMT")', True),
    ('dateRange("27", "GMT")', True),
    ('dateRange(26, "GMT")', False),
    ('dateRange(20, 27, "GMT")', True),
    ('dateRange(27, 31, "GMT")', True),
    ('dateRange(1, 26, "GMT")', False),
    ('dateRange(25, 5, "GMT")', True),  # round the end of the month
    ('dateRange(28, 26, "GMT")', False),
    ('dateRange("NOV", "GMT")', True),
    ('dateRange("DEC", "GMT")', False),
    ('dateRange("JAN", "NOV", "GMT")', True),
    ('dateRange("JAN", "OCT", "GMT")', False),
    ('dateRange("OCT", "FEB", "GMT")', True),  # round the end of the year
    ('dateRange("DEC", "OCT", "GMT")', False),
    ('dateRange(2026, "GMT")', True),
    ('dateRange(2025, "GMT")', False),
    ('dateRange(2020, 2026, "GMT")', True),
    ('dateRange(2027, 2030, "GMT")', False),
    ('dateRange(27, "NOV", "GMT")', True),
    ('dateRange(28, "NOV", "GMT")', False),
    ('dateRange(27, "NOV", 2026, "GMT")', True),
    ('dateRange(27, "NOV", 2025, "GMT")', False),
    ('dateRange(1, "JUN", 27, "NOV", "GMT")', True),
    ('dateRange(28, "OCT", 1, "DEC", "GMT")', True),
    ('dateRange(1, "JUN", 26, "NOV", "GMT")', False),
    ('dateRange(15, "NOV", 15, "JAN", "GMT")', True),
    ('dateRange("OCT", 2026, "MAR", 2027, "GMT")', True),
    ('dateRange("NOV", 2025, "OCT", 2026, "GMT")', False),
    ('dateRange("OCT", 2025, "DEC", 2025, "GMT")', False),
    ('dateRange(1, "JAN", 2026, 27, "NOV", 2026, "GMT")', True),
    ('dateRange(1, "JAN", 2026, 26, "NOV", 2026, "GMT")', False),
    ('dateRange(28, "NOV", 2025, 1, "JAN", 2027, "GMT")', True),
    ('dateRange("GMT")', False),
    ("dateRange()", False),
    ('dateRange("Nov", "GMT")', False),
    ('dateRange(0, "GMT")', False),
    ('dateRange(27.5, "GMT")', False),
    ('dateRange(1, "DEC", 31, "GMT")', False),
    ('dateRange("OCT", 31, "GMT", "GMT")', False),
    ('dateRange(1, "OCT", "DEC", 31, "GMT")', True),  # in whatever order the parts are
    ('dateRange(1, 2, 3, "GMT")', False),
    ('dateRange(1, 2, 30, 31, "GMT")', False),
    ('dateRange(1, "OCT", 2026, 2027, "GMT")', False),
    ('timeRange(14, "GMT")', True),
    ('timeRange("14", "GMT")', True),
    ('timeRange(15, "GMT")', False),
    ('timeRange(9, 14, "GMT")', True),  # the whole of the last hour
    ('timeRange(14, 14, "GMT")', True),
    ('timeRange(9, 13, "GMT")', False),
    ('timeRange(8, 24, "GMT")', True),
    ('timeRange(22, 6, "GMT")', False),
    ('timeRange(14, 6, "GMT")', True),  # round midnight
    ('timeRange(9, 0, 14, 30, "GMT")', True),
    ('timeRange(9, 0, 14, 29, "GMT")', False),
    ('timeRange(14, 31, 15, 0, "GMT")', False),
    ('timeRange(14, 0, 15, 0, "GMT")', True),
    ('timeRange(9, 0, 0, 14, 30, 20, "GMT")', True),
    ('timeRange(9, 0, 0, 14, 30, 19, "GMT")', False),
    ('timeRange(14, 30, 21, 14, 30, 59, "GMT")', False),
    ('timeRange(14, 30, 19, 14, 30, 18, "GMT")', True),
    ('timeRange("GMT")', False),
    ("timeRange()", False),
    ('timeRange(9, 14, 15, "GMT")', False),
    ('timeRange(9, 0, 0, 14, 30, 20, 0, "GMT")', False),
    ('timeRange(0, 0, 0, 0, 23, 0, 0, 0, "GMT")', False),
    ('timeRange("nine", "GMT")', False),
    ('timeRange("nine", 17, "GMT")', False),
]


@pytest.mark.parametrize(("expression", "result"), RANGES, ids=[row[0] for row in RANGES])
def test_ranges_of_time(expression: str, result: bool) -> None:
    assert value(expression) is result


LOCAL = {
    # A quarter past eleven in the evening, GMT, of a Tuesday, the 31st of December, 2024.
    "Europe/Berlin": ["WED", 1, "JAN", 2025, 0, 15],
    "America/New_York": ["TUE", 31, "DEC", 2024, 18, 15],
    "UTC": ["TUE", 31, "DEC", 2024, 23, 15],
}


def test_the_clock_on_the_wall(zone: str) -> None:
    """Where no GMT is asked for, it is the machine's own time."""
    now = datetime(2024, 12, 31, 23, 15, tzinfo=UTC)
    weekday, day, month, year, hour, minute = LOCAL[zone]
    for call in (
        f'weekdayRange("{weekday}")',
        f'dateRange({day}, "{month}", {year})',
        f"timeRange({hour}, {minute}, {hour}, {minute})",
        'weekdayRange("TUE", "GMT")',
        'dateRange(31, "DEC", 2024, "GMT")',
        'timeRange(23, 15, 23, 15, "GMT")',
    ):
        assert value(call, now=now) is True, call
