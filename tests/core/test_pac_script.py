"""A script that is read, run and told the names it wants, within its time (EN-13)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from connect_tunnel import InvalidProxy
from connect_tunnel.routing._script import script as module
from connect_tunnel.routing._script.script import Script
from connect_tunnel.routing._script.source import Source, Text, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

FOREVER = float("inf")


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were looked up."""
    asked: list[str] = []

    def addresses_of(name: str) -> list[str]:
        asked.append(name)
        if name.startswith("slow"):
            time.sleep(0.5)
        return [] if name.startswith("none") else [f"192.0.2.{len(asked)}"]

    monkeypatch.setattr(module, "addresses_of", addresses_of)
    return asked


def find(body: str, *, timeout: float = 5, host: str = "h.test") -> str | None:
    return script(body, timeout=timeout).evaluate("https://h.test/", host)


def script(body: str, *, timeout: float = 5) -> Script:
    text = f"function FindProxyForURL(url, host) {{ {body} }}"
    return Script(Text(text), refresh=FOREVER, timeout=timeout)


def test_an_answer() -> None:
    assert find("return 'PROXY ' + host") == "PROXY h.test"
    assert find("return null") is None


def test_names_are_looked_up_once(asked: list[str]) -> None:
    """For each answer, that is: who keeps names longer is the resolver."""
    pac = script(
        "for (var i = 0; i < 100; i++) isInNet('a.test', '10.0.0.0', '255.0.0.0');"
        "return isResolvable('none.test') + dnsResolve('a.test') + dnsResolve(host) + myIpAddress()"
    )
    assert pac.evaluate("", "h.test") == "false192.0.2.1192.0.2.3192.0.2.4"
    assert asked == ["a.test", "none.test", "h.test", ""]
    pac.evaluate("", "h.test")
    assert asked == ["a.test", "none.test", "h.test", ""] * 2


def test_not_too_many_of_them(asked: list[str]) -> None:
    body = "for (var i = 0; i < {}; i++) dnsResolve('a' + i); return 'x'"
    assert find(body.format(32)) == "x"
    asked.clear()
    with pytest.raises(InvalidProxy, match=r"looks up more than 32 names for one answer$"):
        find(body.format(33))
    assert len(asked) == 32


def test_names_that_are_others_every_time(asked: list[str]) -> None:
    with pytest.raises(InvalidProxy, match=r"looks up more than 32 names for one answer$"):
        find("return dnsResolve('a' + Math.random())")


def test_the_clock() -> None:
    assert find("var now = new Date(); return timeRange(now.getHours()) + ''") == "true"


# One call of a function of the engine's own, which nothing stops: for a second and more here, and
# for hours if the texts were longer.
NATIVE = "var a = 'x'.repeat(2 ** 16); return a.indexOf('x'.repeat(2 ** 15) + 'y') + ''"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        # Whichever clock is faster: that of the processor, or that on the wall.
        ("for (;;);", r"(runs for longer than it may, near line 1|takes longer than 0\.3 s.*)$"),
        (NATIVE, r"takes longer than 0\.3 s: it is run$"),
        ("return dnsResolve('slow.test')", r"takes longer than 0\.3 s: it looks up 'slow.test'$"),
        (
            "return dnsResolve('slow' + 'x'.repeat(99))",
            rf"takes longer than 0\.3 s: it looks up 'slow{'x' * 56}'$",
        ),
        ("throw 'boo'", "fails: boo$"),
    ],
)
def test_what_takes_too_long(body: str, words: str) -> None:
    start = time.monotonic()
    with pytest.raises(InvalidProxy, match=f"^the PAC text {words}") as caught:
        find(body, timeout=0.3)
    assert time.monotonic() - start < 1.2
    assert caught.value.phase == "resolve"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_name_that_takes_all_of_the_time(asked: list[str]) -> None:
    """Nothing is run any more for the sake of those who are gone."""
    body = "return dnsResolve('slow.test') + dnsResolve('other.test')"
    with pytest.raises(InvalidProxy, match=r"takes longer than 0\.52 s: it looks up 'slow.test'$"):
        find(body, timeout=0.52)
    time.sleep(0.1)
    assert asked == ["slow.test"]


def test_this_machine_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses_of(name: str) -> list[str]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(module, "addresses_of", addresses_of)
    with pytest.raises(InvalidProxy, match=r"takes longer than 0\.1 s: it looks for this machine$"):
        find("return myIpAddress()", timeout=0.1)


def test_others_do_not_wait_for_what_does_not_end() -> None:
    """A native call that goes on keeps one thread and nobody else: they hear of it in time."""
    pac = script(f"if (host == 'bad') {{ {NATIVE} }} return 'x'", timeout=0.3)
    with pytest.raises(InvalidProxy, match="takes longer than"):
        pac.evaluate("", "bad")
    start = time.monotonic()
    with pytest.raises(InvalidProxy, match=r"is busy with another target for 0\.3 s and more$"):
        pac.evaluate("", "good")
    assert time.monotonic() - start < 1.2
    assert find("return 'x'") == "x"  # of another file
    for _ in range(50):
        try:
            assert pac.evaluate("", "good") == "x"
        except InvalidProxy:
            continue
        break
    else:
        pytest.fail("it is not free again")


class Place(Source):
    """A file that somebody changes."""

    words = "the PAC file"

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    def read(self, deadline: float) -> str:
        assert deadline > time.monotonic()
        return self._read()


def test_a_file_that_is_changed() -> None:
    """It is run anew from where it was read anew, and only then."""
    texts = ["0", "0", "1", "1"]
    body = "var run = Math.random(); function FindProxyForURL() {{ return '{} ' + run }}"
    place = Place(lambda: body.format(texts.pop(0)))
    pac = Script(place, refresh=1e-9, timeout=5)
    answers = [(pac.evaluate("", "") or "").split() for _ in range(4)]
    assert [number for number, _ in answers] == ["0", "0", "1", "1"]
    runs = [run for _, run in answers]
    assert runs[0] == runs[1] != runs[2] == runs[3]


def test_a_file_that_is_not_there() -> None:
    def read() -> str:
        raise Unreadable("is not there")

    with pytest.raises(InvalidProxy, match=r"^the PAC file is not there$") as caught:
        Script(Place(read), refresh=FOREVER, timeout=5).evaluate("", "")
    assert caught.value.phase == "resolve"


def test_a_file_that_takes_too_long() -> None:
    def read() -> str:
        time.sleep(0.5)
        return ""

    with pytest.raises(InvalidProxy, match=r"^the PAC file takes longer than 0\.1 s: it is read$"):
        Script(Place(read), refresh=FOREVER, timeout=0.1).evaluate("", "")


def test_a_mistake_of_ours_is_told() -> None:
    def read() -> str:
        raise KeyError("boo")

    with pytest.raises(KeyError, match="boo"):
        Script(Place(read), refresh=FOREVER, timeout=5).evaluate("", "")


def test_many_threads() -> None:
    pac = script("return dnsResolve(host) ? host : null")
    hosts = [f"h{number}.test" for number in range(20)]
    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(partial(pac.evaluate, ""), hosts)) == hosts
