"""The router that follows PAC files (EN-05, EN-13, EN-14, EN-15)."""

from __future__ import annotations

import base64
import os
import re
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_tunnel import InvalidProxy, Proxy, ProxyUnreachable, Target, TunnelRefused
from connect_tunnel._steps import Call, Offload
from connect_tunnel.routing import Decision, Pac, _pac
from connect_tunnel.routing._script.script import Script
from connect_tunnel.testing import replay

TARGET = Target("h.test", 443)


def route(pac: Pac, target: Target = TARGET) -> Decision:
    return replay(pac.route(target)).value


def saying(answer: str | None) -> Pac:
    return Pac(lambda url, host: answer)


# ---- what is asked ----


@pytest.mark.parametrize(
    ("target", "url", "host"),
    [
        pytest.param(("h.test", 443), "https://h.test/", "h.test", id="EN-15 the usual port"),
        pytest.param(("h.test", 8443), "https://h.test:8443/", "h.test", id="EN-15 another port"),
        pytest.param(("h.test", 80), "https://h.test:80/", "h.test", id="EN-15 a port of others"),
        pytest.param(("H.Test", 443), "https://h.test/", "h.test", id="EN-15 in lower case"),
        pytest.param(("192.0.2.1", 22), "https://192.0.2.1:22/", "192.0.2.1", id="EN-15 IPv4"),
        pytest.param(
            ("2001:DB8::1", 443), "https://[2001:db8::1]/", "2001:db8::1", id="EN-15 IPv6"
        ),
        pytest.param(("::1", 993), "https://[::1]:993/", "::1", id="EN-15 IPv6 and a port"),
        pytest.param(
            ("bücher.test", 443), "https://xn--bcher-kva.test/", "xn--bcher-kva.test",
            id="EN-15 A-labels",
        ),
        pytest.param(("h.test.", 443), "https://h.test./", "h.test.", id="EN-15 a final dot"),
    ],
)  # fmt: skip
def test_what_is_asked(target: tuple[str, int], url: str, host: str) -> None:
    asked: list[tuple[str, str]] = []

    def find(url: str, host: str) -> str:
        asked.append((url, host))
        return "DIRECT"

    route(Pac(find), Target(*target))
    script = "function FindProxyForURL(url, host) { return `PROXY ${btoa(url + ' ' + host)}` }"
    with pytest.raises(InvalidProxy, match="names no proxy") as caught:
        route(Pac(script.replace("PROXY", "")), Target(*target))
    assert asked == [(url, host)]
    said = re.search("'(.*)'", str(caught.value))
    assert said is not None
    assert base64.b64decode(said[1]).decode() == f"{url} {host}"


# ---- what is answered ----


def a(*urls: str | None) -> tuple[tuple[Proxy, ...], ...]:
    return tuple(() if url is None else (Proxy(url),) for url in urls)


ANSWERS: list[tuple[str, str | None, tuple[str | None, ...]]] = [
    ("EN-13 direct", "DIRECT", (None,)),
    ("EN-13 empty", "", (None,)),
    ("EN-13 null", None, (None,)),
    (
        "EN-13 a list",
        "PROXY a.test:1; HTTPS b.test; DIRECT",
        ("http://a.test:1", "https://b.test", None),
    ),
    ("EN-13 not direct unless it says so", "PROXY a.test", ("http://a.test",)),
    (
        "EN-13 what is malformed is skipped",
        "FOO x; PROXY a.test:0; PROXY b.test",
        ("http://b.test",),
    ),
    ("EN-13 credentials are none of it", "PROXY u:s3cret@a.test; PROXY b.test", ("http://b.test",)),
    ("EN-13 a host that is none", "PROXY a..test; PROXY b.test", ("http://b.test",)),
    ("EN-13 half a character", "PROXY \ud800; DIRECT", (None,)),
    (
        "EN-05 SOCKS4, and SOCKS5 with names",
        "SOCKS a.test; SOCKS5 b.test",
        ("socks4://a.test", "socks5h://b.test"),
    ),
]


@pytest.mark.parametrize(("answer", "urls"), [pytest.param(*row[1:], id=row[0]) for row in ANSWERS])
def test_what_is_answered(answer: str | None, urls: tuple[str | None, ...]) -> None:
    assert route(saying(answer)).ways == a(*urls)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param("FOO a.test", "names no proxy that could be used: 'FOO a.test'", id="EN-13 a"),
        pytest.param("PROXY", "names no proxy that could be used: 'PROXY'", id="EN-13 b"),
        pytest.param("x" * 200, f"that could be used: '{'x' * 100}'...", id="EN-13 c"),
        pytest.param("é\n", r"that could be used: '\xe9\n'", id="EN-13 d"),
        pytest.param(5, "gave no list of proxies but int; it is a string such as", id="EN-13 e"),
        pytest.param(b"DIRECT", "gave no list of proxies but bytes", id="EN-13 f"),
        pytest.param(False, "gave no list of proxies but bool", id="EN-13 g"),
    ],
)
def test_an_answer_that_is_of_no_use(answer: Any, words: str) -> None:
    """EN-13: it is never taken for direct."""
    with pytest.raises(InvalidProxy, match=f"^the PAC callable .*{re.escape(words)}") as caught:
        route(saying(answer))
    assert caught.value.phase == "resolve"


@given(st.text(st.characters(exclude_categories=())) | st.none())
def test_en_13_no_answer_makes_it_fail(answer: str | None) -> None:
    """EN-13: but for one that names nothing of use, and says so."""
    try:
        assert route(saying(answer)).ways
    except InvalidProxy as error:
        assert "names no proxy that could be used" in str(error)  # noqa: PT017 - or none is raised


def test_in_words() -> None:
    decision = route(saying("PROXY a.test:1; DIRECT"))
    assert str(decision) == "through http://a.test:1, or direct"
    assert decision.rule == "the PAC callable says 'PROXY a.test:1; DIRECT'"
    assert route(saying(None)).rule == "the PAC callable says None"
    assert repr(saying("")) == "<Pac: the PAC callable>"
    assert repr(Pac("")) == "<Pac: the PAC text>"


# ---- the proxies ----


def test_a_proxy_with_all_that_it_takes() -> None:
    context = ssl.create_default_context()

    def make(url: str) -> Proxy:
        made.append(url)
        return Proxy(url, auth=("alice", "s3cret"), ssl_context=context)

    made: list[str] = []
    pac = Pac(lambda url, host: "FOO x; HTTPS A.test; HTTPS b.test:8443", proxies=make)
    ways = route(pac).ways
    assert made == ["https://A.test:443", "https://b.test:8443"]
    assert [way[0].url for way in ways] == ["https://a.test:443", "https://b.test:8443"]
    assert ways[0][0].auth is not None
    assert "s3cret" not in repr(route(pac))
    # They are made once: what one has learnt is kept with it.
    assert all(way[0] is other[0] for way, other in zip(ways, route(pac).ways, strict=True))
    assert len(made) == 2


def test_a_proxy_that_cannot_be_made() -> None:
    def fail(url: str) -> Proxy:
        raise LookupError("who is that?")

    with pytest.raises(LookupError, match="who is that"):
        route(Pac(lambda url, host: "PROXY a.test", proxies=fail))
    wrong: Any = len
    with pytest.raises(InvalidProxy, match="a proxy is a URL or a Proxy"):
        route(Pac(lambda url, host: "PROXY a.test", proxies=wrong))


def test_not_all_of_them_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pac, "_MOST_KEPT", 3)
    pac = Pac(lambda url, host: f"PROXY {host}")
    for number in range(10):
        assert route(pac, Target(f"h{number}.test", 443)).ways == a(f"http://h{number}.test")
        assert len(pac._kept) <= 3


def test_en_14_what_was_not_reached_goes_to_the_end() -> None:
    """EN-14: for a while, and for as long as it was not reached."""
    pac = saying("PROXY a.test; PROXY b.test; DIRECT")
    one, other, direct = route(pac).ways
    pac.report(one, ProxyUnreachable("is not there"))
    assert route(pac).ways == (other, direct, one)
    pac.report(other, TunnelRefused("403"))  # that was reached
    assert route(pac).ways == (other, direct, one)
    pac.report(one, None)
    assert route(pac).ways == (one, other, direct)


def test_en_14_each_has_its_own_memory() -> None:
    """EN-14: what one router learns is none of another's."""
    pac, other = saying("PROXY a.test; DIRECT"), saying("PROXY a.test; DIRECT")
    pac.report(a("http://a.test")[0], ProxyUnreachable())
    assert route(pac).ways != route(other).ways


# ---- where it comes from ----

SCRIPT = "function FindProxyForURL(url, host) { return 'PROXY ' + host }"


def test_a_text() -> None:
    pac = Pac(SCRIPT)
    done = replay(pac.route(TARGET))
    assert done.value == Decision(a("http://h.test"), "the PAC text says 'PROXY h.test'")
    assert [type(step) for step in done.steps] == [Offload]


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pac"
    path.write_text(SCRIPT)
    for pac in (
        Pac.from_file(path), Pac.from_file(str(path)), Pac.from_url(path.as_uri()),
        Pac.from_file(path, refresh=None, timeout=10**10),
    ):  # fmt: skip
        decision = route(pac)
        assert decision.ways == a("http://h.test")
        assert decision.rule == f"the PAC file '{path}' says 'PROXY h.test'"


def test_a_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    pac = Pac.from_file(tmp_path / "x.pac", refresh=0.01)
    with pytest.raises(InvalidProxy, match="cannot be read: No such file or directory"):
        route(pac)
    (tmp_path / "x.pac").write_text(SCRIPT)
    time.sleep(0.02)
    assert route(pac).ways == a("http://h.test")
    (tmp_path / "x.pac").write_text(SCRIPT.replace("PROXY ", "HTTPS "))
    time.sleep(0.02)
    assert route(pac).ways == a("https://h.test")


def test_a_callable_is_asked_where_the_caller_is() -> None:
    done = replay(saying("DIRECT").route(TARGET))
    assert [type(step) for step in done.steps] == [Call]


def test_a_coroutine_function() -> None:
    async def find(url: str, host: str) -> str | None:
        return f"PROXY {host}:1"

    assert route(Pac(find)).ways == a("http://h.test:1")

    async def find_nothing(url: str, host: str) -> str | None:
        return None

    assert route(Pac(find_nothing)).ways == a(None)


def test_a_callable_that_fails_fails_the_opening() -> None:
    def find(url: str, host: str) -> str:
        raise LookupError("nobody knows")

    with pytest.raises(LookupError, match="nobody knows"):
        route(Pac(find))


class Engine:
    """Somebody else's, which is no function but can be called."""

    def __call__(self, url: str, host: str) -> str:
        return "DIRECT"


def test_an_object_that_can_be_called() -> None:
    assert route(Pac(Engine())).ways == a(None)


def test_a_script_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Script] = []
    init = Script.__init__

    def count(self: Script, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(Script, "__init__", count)
    pac = Pac("var run = `${Math.random()}`; function FindProxyForURL() { return 'HTTP h' + run }")
    assert route(pac) == route(pac)
    assert len(made) == 1


def test_after_a_fork_it_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What threads of the parent were in the middle of would never end in the child."""
    pac = Pac("var run = `${Math.random()}`; function FindProxyForURL() { return 'HTTP h' + run }")
    parents = route(pac)
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    assert route(pac) != parents
    monkeypatch.undo()
    assert route(pac) == parents


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("x = ;", r"^the PAC text fails: SyntaxError: .*, near line 1$"),
        ("http://wpad/wpad.dat", r"^the PAC text (fails|defines)"),
        ("var FindProxy", "^the PAC text defines no function FindProxyForURL$"),
        (SCRIPT.replace("return", "throw"), "^the PAC text fails: PROXY h.test$"),
    ],
)
def test_a_script_that_is_at_fault(script: str, words: str) -> None:
    with pytest.raises(InvalidProxy, match=words) as caught:
        route(Pac(script))
    assert caught.value.phase == "resolve"


def test_its_time() -> None:
    start = time.monotonic()
    with pytest.raises(InvalidProxy, match=r"(runs for|takes) longer than"):
        route(Pac("for (;;);", timeout=0.1))
    assert time.monotonic() - start < 2


# ---- what is none ----


@pytest.mark.parametrize("given", [None, 5, b"text", Path("/x.pac"), ["DIRECT"], {}])
def test_what_is_no_script(given: Any) -> None:
    words = f"a PAC script is a text or a callable, not {type(given).__name__}; Pac.from_file and"
    with pytest.raises(InvalidProxy, match=words):
        Pac(given)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), True, "5"])
def test_limits_that_are_none(limit: Any) -> None:
    words = "a timeout is a positive number"
    for script in (SCRIPT, Engine()):
        with pytest.raises(ValueError, match=words):
            Pac(script, timeout=limit)
    for make, place in ((Pac.from_file, "x.pac"), (Pac.from_url, "http://h.test")):
        with pytest.raises(ValueError, match=words):
            make(place, timeout=limit)
        with pytest.raises(ValueError, match=words):
            make(place, refresh=limit)


def test_a_url_that_is_none() -> None:
    with pytest.raises(InvalidProxy, match="has userinfo") as caught:
        Pac.from_url("http://alice:s3cret@h.test/")
    frame = caught.tb.tb_next
    while frame:
        assert "s3cret" not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next


def test_an_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "quickjs", raising=False)
    nothing: dict[str, None] = {}
    monkeypatch.setattr("connect_tunnel.auth._prompt.find_spec", nothing.get)
    message = r'^Pac needs quickjs: pip install "connect_tunnel\[pac\]"$'
    for make, place in ((Pac, SCRIPT), (Pac.from_file, "x"), (Pac.from_url, "http://h.test")):
        with pytest.raises(ImportError, match=message):
            make(place)
    assert route(saying("DIRECT")).ways == a(None)  # which needs none


@pytest.mark.parametrize(
    ("answer", "urls"),
    [
        ("PROXY a.test; SOCKS b.test; DIRECT", ("http://a.test", None)),
        ("DIRECT; SOCKS5 b.test", (None,)),
        ("SOCKS5 b.test; DIRECT", None),
        ("FOO x; PROXY a..test; SOCKS b.test; PROXY a.test", None),
    ],
)
def test_another_extra_that_is_missing(
    answer: str, urls: tuple[str | None, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is no reason to go direct, or to another proxy than the one that is preferred."""
    nothing: dict[str, None] = {}
    monkeypatch.setattr("connect_tunnel.auth._prompt.find_spec", nothing.get)
    if urls is not None:
        assert route(saying(answer)).ways == a(*urls)
        return
    words = r'could be used: .*; SOCKS needs socksio: pip install "connect_tunnel\[socks\]"$'
    with pytest.raises(InvalidProxy, match=words):
        route(saying(answer))


def test_it_does_not_change() -> None:
    with pytest.raises(AttributeError, match="Pac is immutable"):
        saying("")._asked = None  # type: ignore[assignment]
