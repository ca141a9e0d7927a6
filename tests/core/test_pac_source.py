"""Where a PAC file comes from, and how long it is good (EN-13)."""

from __future__ import annotations

import codecs
import re
import threading
import time
from http.client import IncompleteRead
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import OpenerDirector

import pytest

from connect_tunnel import InvalidProxy
from connect_tunnel.routing._script import source as module
from connect_tunnel.routing._script.source import (
    File,
    Kept,
    Source,
    Text,
    Unreadable,
    Web,
    at,
    decode,
)

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 1 << 20


def soon() -> float:
    return time.monotonic() + 5


# ---- texts ----


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        pytest.param(b"var x", None, "var x", id="ASCII"),
        pytest.param("é".encode(), None, "é", id="UTF-8"),
        pytest.param(b"\xe9", None, "é", id="neither: as browsers read it"),
        pytest.param(b"\xe9", "utf-8", "é", id="the server is wrong"),
        pytest.param(b"\xe9", "iso-8859-1", "é", id="the server is right"),
        pytest.param(b"\xa4", "iso-8859-15", "€", id="only the server knows"),
        pytest.param("é".encode(), "no-such", "é", id="the server knows what nobody knows"),
        pytest.param("é".encode(), "hex", "é", id="the server knows what is no charset"),
        pytest.param(b"xn--\xff", "idna", "xn--ÿ", id="the server knows what does not fit"),
        pytest.param(codecs.BOM_UTF8 + b"x", None, "x", id="marked UTF-8"),
        pytest.param(codecs.BOM_UTF8 + b"x\xff", None, "x\ufffd", id="marked UTF-8, wrongly"),
        pytest.param(codecs.BOM_UTF16_LE + b"x\0", "utf-8", "x", id="marked UTF-16"),
        pytest.param(codecs.BOM_UTF16_BE + b"\0x", None, "x", id="marked UTF-16, the other way"),
        pytest.param(b"", None, "", id="nothing"),
    ],
)
def test_decoding(data: bytes, charset: str | None, text: str) -> None:
    assert decode(data, charset) == text


def test_a_text() -> None:
    text = Text("var x")
    assert text.read(soon()) == "var x"
    assert text.words == "the PAC text"
    assert len(Text("é" * LARGEST).read(soon())) == LARGEST
    with pytest.raises(Unreadable, match=r"^is larger than 1 MiB$"):
        Text("x" * LARGEST + "x").read(soon())


def test_an_abstract_source() -> None:
    with pytest.raises(NotImplementedError):
        Source().read(soon())


# ---- files ----


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pac"
    path.write_bytes(b"var x")
    file = File(str(path))
    assert file.read(soon()) == "var x"
    path.write_bytes(b"x" * LARGEST)
    assert len(file.read(soon())) == LARGEST
    assert file.words == f"the PAC file '{path}'"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/nonexistent/x.pac", "^cannot be read: No such file or directory$"),
        ("/", "^cannot be read: Is a directory$"),
        ("/dev/zero", "^is larger than 1 MiB$"),
        ("a\0b", "^cannot be read: embedded null byte$"),
    ],
)
def test_a_file_that_cannot_be_read(path: str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        File(path).read(soon())


# ---- URLs ----


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("http://wpad/wpad.dat", Web, "the PAC file at 'http://wpad/wpad.dat'"),
        ("HTTPS://h.test:8443", Web, "the PAC file at 'https://h.test:8443'"),
        ("http://[::1]:80/x", Web, "the PAC file at 'http://[::1]:80/x'"),
        ("http://h.test/x?key=s3cret#s3cret", Web, "the PAC file at 'http://h.test/x'"),
        ("file:///etc/x.pac", File, "the PAC file '/etc/x.pac'"),
        ("file://localhost/etc/x%20y.pac", File, "the PAC file '/etc/x y.pac'"),
        ("file:/etc/x.pac", File, "the PAC file '/etc/x.pac'"),
    ],
)
def test_urls(url: str, kind: type[Source], words: str) -> None:
    source = at(url)
    assert isinstance(source, kind)
    assert source.words == words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "cannot be read; it is 'http"),
        ("s3cret", "cannot be read"),
        ("/etc/s3cret.pac", "cannot be read"),
        ("http:///s3cret", "cannot be read"),
        ("http:s3cret", "cannot be read"),
        ("ftp://h.test/s3cret", "cannot be read"),
        ("data:,s3cret", "cannot be read"),
        ("file://server/s3cret", "cannot be read"),
        ("http://[::1/s3cret", "cannot be read"),
        ("function FindProxyForURL(url, host) { return 's3cret' }", "cannot be read"),
        ("http://alice:s3cret@h.test/", "has userinfo, and no credentials are sent there"),
        ("http://s3cret@h.test/", "has userinfo"),
        ("https://:s3cret@h.test/", "has userinfo"),
        ("file://s3cret@localhost/x", "has userinfo"),
    ],
)
def test_urls_that_are_none(url: str, words: str) -> None:
    error = at(url)
    assert isinstance(error, InvalidProxy)
    assert re.search(words, str(error))
    assert "s3cret" not in str(error)
    assert error.__context__ is None


class Response:
    """What a server sends, in parts."""

    def __init__(self, *parts: bytes, length: int | None = 0) -> None:
        self._parts = [*parts, b""]
        self.length = length
        self.headers = self

    def get_content_charset(self) -> str | None:
        return None

    def read1(self, size: int) -> bytes:
        return self._parts.pop(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What comes of a request, by URL."""
    answers: dict[str, Any] = {}

    def open_(self: OpenerDirector, request: Any, timeout: float) -> Any:
        assert 0 < timeout <= 5
        answer = answers[request.full_url]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(OpenerDirector, "open", open_)
    return answers


HERE = "http://h.test/x.pac"


def test_fetching(server: dict[str, Any]) -> None:
    server[HERE] = Response(b"var ", b"x")
    assert Web(HERE).read(soon()) == "var x"
    server[HERE] = Response(b"x" * LARGEST, length=None)
    assert len(Web(HERE).read(soon())) == LARGEST


def http_error(code: int) -> HTTPError:
    return HTTPError(HERE, code, "s3cret", {}, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http_error(404), "^cannot be fetched: the server answers 404$"),
        (URLError(ConnectionRefusedError(111, "Refused")), "^cannot be fetched: Refused$"),
        (URLError("unknown url type"), "^cannot be fetched: unknown url type$"),
        (TimeoutError("timed out"), "^cannot be fetched: timed out$"),
        (TimeoutError(), "^cannot be fetched: TimeoutError$"),
        (IncompleteRead(b"x", 5), r"^cannot be fetched: IncompleteRead\(1 bytes read, 5 more"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "é"), r"^cannot be fetched: \\xe9$"),
        (Response(b"x" * LARGEST, b"x"), "^is larger than 1 MiB$"),
        (Response(b"x", length=5), "^comes in part only$"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_what_cannot_be_fetched(answer: object, words: str, server: dict[str, Any]) -> None:
    server[HERE] = answer
    with pytest.raises(Unreadable, match=words) as caught:
        Web(HERE).read(soon())
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_what_comes_too_slowly(server: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 104.0, 106.0])
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))
    server[HERE] = Response(b"x", b"x", b"x")
    with pytest.raises(Unreadable, match=r"^comes too slowly$"):
        Web(HERE).read(105)


def test_no_proxy_no_file_and_no_ftp() -> None:
    """What it is redirected to is http or https; a proxy is what it is to name."""
    names = {type(handler).__name__ for handler in module._opener().handlers}  # type: ignore[attr-defined]
    assert names == {
        "HTTPHandler", "HTTPSHandler", "HTTPErrorProcessor", "HTTPDefaultErrorHandler",
        "HTTPRedirectHandler",
    }  # fmt: skip


# ---- what is kept ----


class Changing(Source):
    """A source that is another every time."""

    words = "the changing one"
    fails = False
    delay = 0.0

    def __init__(self) -> None:
        self.reads = 0

    def read(self, deadline: float) -> str:
        self.reads += 1
        time.sleep(self.delay)
        if self.fails:
            raise Unreadable(f"fails the {self.reads}. time")
        return f"read {self.reads}"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


def test_it_is_read_again_when_it_is_old(clock: Clock) -> None:
    kept = Kept(Changing(), 3600)
    assert kept.text(clock.now + 5) == "read 1"
    clock.now += 3599
    assert kept.text(clock.now + 5) == "read 1"
    clock.now += 1
    assert kept.text(clock.now + 5) == "read 2"


def test_it_is_never_read_again(clock: Clock) -> None:
    kept = Kept(Changing(), float("inf"))
    assert kept.text(clock.now + 5) == "read 1"
    clock.now += 10**9
    assert kept.text(clock.now + 5) == "read 1"


def test_the_old_one_is_good_if_there_is_no_other(clock: Clock) -> None:
    source = Changing()
    kept = Kept(source, 3600)
    assert kept.text(clock.now + 5) == "read 1"
    source.fails = True
    clock.now += 3600
    assert kept.text(clock.now + 5) == "read 1"
    clock.now += 9
    assert kept.text(clock.now + 5) == "read 1"
    assert source.reads == 2  # it is left alone for a while
    source.fails = False
    clock.now += 1
    assert kept.text(clock.now + 5) == "read 3"


def test_what_cannot_be_read_is_tried_again(clock: Clock) -> None:
    source = Changing()
    source.fails = True
    kept = Kept(source, 3600)
    for _ in range(2):  # once for both
        with pytest.raises(Unreadable, match=r"^fails the 1\. time$"):
            kept.text(clock.now + 5)
    clock.now += 10
    source.fails = False
    assert kept.text(clock.now + 5) == "read 2"


def test_threads_read_it_once() -> None:
    source = Changing()
    source.delay = 0.05
    kept = Kept(source, 3600)
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(kept.text(soon()))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["read 1"] * 5


def test_who_has_no_time_to_wait() -> None:
    """Goes on with the old one, if there is one."""
    source = Changing()
    source.delay = 0.3
    kept = Kept(source, 0.2)
    first = threading.Thread(target=kept.text, args=[soon()])
    first.start()
    time.sleep(0.1)
    with pytest.raises(Unreadable, match=r"^is still being read$"):
        kept.text(time.monotonic())
    first.join()
    time.sleep(0.25)
    second = threading.Thread(target=kept.text, args=[soon()])
    second.start()
    time.sleep(0.1)
    assert kept.text(soon()) == "read 1"
    second.join()
    assert kept.text(soon()) == "read 2"
