"""Errors: what they are, what they say, that they travel, and what they never show."""

from __future__ import annotations

import copy
import errno
import logging
import pickle
import ssl
import tomllib
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import connect_tunnel
from connect_tunnel import (
    Challenge,
    Dialer,
    InvalidProxy,
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyResponse,
    ProxyTLSError,
    ProxyUnreachable,
    TargetTLSError,
    Timeout,
    TunnelBroken,
    TunnelClosed,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
    open_tunnel,
    open_tunnel_async,
)
from connect_tunnel._async.errors import AsyncTunnelBroken, AsyncTunnelClosed
from connect_tunnel._via import read_via
from connect_tunnel.auth import Basic, Bearer

if TYPE_CHECKING:
    from collections.abc import Callable

WHERE: dict[str, Any] = {
    "phase": "connect",
    "proxy_url": "http://proxy:8080",
    "hop": "2 of 3",
    "target": "db.x:5432",
    "elapsed": 0.25,
    "hint": "try something else",
}
NO = ProxyResponse(403, "Forbidden", fields=b"Via: 1.1 p\r\n", body=b"policy", complete=False)

# Every class: what else it is, and the facts that only it has.
KINDS: list[tuple[type[TunnelError], tuple[type[BaseException], ...], dict[str, Any]]] = [
    (TunnelError, (OSError,), {}),
    (InvalidTarget, (TunnelError, ValueError), {}),
    (InvalidProxy, (TunnelError, ValueError), {}),
    (ProxyUnreachable, (TunnelError, ConnectionError), {"attempts": (("[::1]:1", "refused"),)}),
    (ProxyTLSError, (TunnelError,), {}),
    (ProxyMisbehaved, (TunnelError,), {"kind": "too_large", "received": "SSH-2.0"}),
    (ProxyHungUp, (ProxyMisbehaved, ConnectionError), {"reset": True}),
    (TunnelRefused, (TunnelError,), {"response": NO}),
    (
        ProxyAuthenticationRequired,
        (TunnelRefused,),
        {"response": NO, "challenges": (Challenge("Basic", None, {"realm": "x"}),)},
    ),
    (TargetTLSError, (TunnelError,), {}),
    (TunnelTimeout, (TunnelError, TimeoutError), {}),
    (TunnelBroken, (TunnelError, ConnectionError), {}),
    (TunnelClosed, (TunnelError,), {}),
    (AsyncTunnelBroken, (TunnelBroken,), {}),
    (AsyncTunnelClosed, (TunnelClosed,), {}),
]
kinds = pytest.mark.parametrize(
    ("kind", "bases", "facts"), KINDS, ids=[kind.__name__ for kind, _, _ in KINDS]
)


def facts_of(error: TunnelError) -> tuple[Any, ...]:
    return type(error), error.args, str(error), error.errno, error.__dict__


@kinds
def test_what_it_is(
    kind: type[TunnelError], bases: tuple[type[BaseException], ...], facts: dict[str, Any]
) -> None:
    for base in bases:
        assert issubclass(kind, base)
    assert issubclass(kind, OSError)
    assert not issubclass(kind, ssl.SSLError)
    assert issubclass(kind, ValueError) is (kind in (InvalidTarget, InvalidProxy))
    assert kind.__doc__


def test_none_is_missing_here() -> None:
    public = {value for value in vars(connect_tunnel).values() if isinstance(value, type)}
    errors = {kind for kind in public if issubclass(kind, TunnelError)}
    assert errors == {kind for kind, _, _ in KINDS if not kind.__name__.startswith("Async")}


@kinds
@pytest.mark.parametrize(
    "where",
    [{}, WHERE, {**WHERE, "errno": errno.ECONNREFUSED}, {"direct": True, "target": "db.x:5432"}],
    ids=["nothing", "a proxy", "and errno", "direct"],
)
@pytest.mark.parametrize("message", ["", "hung up"], ids=["no message", "message"])
def test_it_travels_with_its_facts(
    kind: type[TunnelError], bases: Any, facts: dict[str, Any], where: dict[str, Any], message: str
) -> None:
    error = kind(message, **where, **facts)
    for name, value in {**where, **facts}.items():
        assert getattr(error, name) == value
    error.add_note("noted")
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, 6)]
    for same in (*copies, copy.copy(error), copy.deepcopy(error)):
        assert facts_of(same) == facts_of(error)
        assert same.__notes__ == ["noted"]


@kinds
def test_every_fact_has_a_default(
    kind: type[TunnelError], bases: Any, facts: dict[str, Any]
) -> None:
    for error in (kind(), kind("hung up")):
        for name in (*WHERE, "direct", *(set(facts) - {"response"})):
            assert getattr(error, name) in (None, (), "", False, "malformed")
        assert error.errno is None


@pytest.mark.parametrize(
    ("message", "facts", "said"),
    [
        pytest.param("", {}, "", id="nothing"),
        pytest.param("it failed", {}, "it failed", id="a message"),
        pytest.param("it failed", {"hint": "do this"}, "it failed; do this", id="a hint"),
        pytest.param(
            "hung up", {"proxy_url": "http://p:1"}, "proxy http://p:1 hung up", id="a proxy"
        ),
        pytest.param(
            "hung up",
            {"proxy_url": "http://p:1", "hop": "2 of 3"},
            "proxy http://p:1 (hop 2 of 3) hung up",
            id="a hop of several",
        ),
        pytest.param("it failed", {"hop": "2 of 3"}, "it failed", id="a hop of no proxy"),
        pytest.param("it failed", {"target": "db.x:5432"}, "it failed", id="a target of no proxy"),
        pytest.param(
            "could not be looked up",
            {"direct": True, "target": "db.x:5432", "hint": "check it"},
            "target db.x:5432 could not be looked up; check it",
            id="the target itself",
        ),
        pytest.param(
            "refused the tunnel to db.x:5432 (403)",
            WHERE,
            "proxy http://proxy:8080 (hop 2 of 3) refused the tunnel to db.x:5432 (403); "
            "try something else",
            id="all of it",
        ),
    ],
)
def test_what_it_says(message: str, facts: dict[str, Any], said: str) -> None:
    assert str(TunnelError(message, **facts)) == said


def test_what_it_says_when_python_made_it() -> None:
    assert str(TunnelError.__new__(TunnelError)) == ""


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"hint": "h" * 200},
        {"proxy_url": "http://" + "p" * 253 + ":65535", "hop": "2 of 3"},
        {"proxy_url": "http://" + "p" * 253 + ":65535", "hop": "2 of 3", "hint": "h" * 90},
        {"direct": True, "target": "t" * 253 + ":65535", "hint": "h" * 200},
    ],
    ids=["alone", "hint", "proxy", "both", "direct"],
)
def test_it_says_no_more_than_is_read(facts: dict[str, Any]) -> None:
    said = str(TunnelError("m" * 5000, **facts))
    assert len(said) <= 400
    assert facts.get("proxy_url", "m")[:90] in said
    assert "m" * 90 in said
    assert facts.get("hint", "")[:90] in said


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (407, False),
        (408, True),
        (421, True),
        (425, True),
        (429, True),
        (500, False),
        (501, False),
        (502, True),
        (503, True),
        (504, True),
        (600, False),
    ],
)
def test_whether_to_try_again(status: int, retryable: bool) -> None:
    assert TunnelRefused(response=ProxyResponse(status)).retryable is retryable


@pytest.mark.parametrize(("protocol", "retryable"), [("SOCKS5", [3, 4, 5, 6]), ("SOCKS4", [])])
def test_whether_to_try_again_by_socks(protocol: str, retryable: list[int]) -> None:
    """By whose codes they are: what could not be reached may be there later."""
    refusals = {code: TunnelRefused(response=ProxyResponse(code, "", protocol)) for code in CODES}
    assert [code for code, error in refusals.items() if error.retryable] == retryable


CODES = (*range(1, 10), 91, 92, 93, 255, 407)


def test_a_handler_for_sockets_catches_it() -> None:
    with pytest.raises(OSError, match="hung up") as caught:
        raise ProxyUnreachable("hung up", errno=errno.ECONNREFUSED)
    assert caught.value.errno == errno.ECONNREFUSED


# --- what is never shown ---

PASSWORD = "s3cr3t-pw"
CREDENTIALS = "YWxpY2U6czNjcjN0LXB3"  # alice:s3cr3t-pw
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

BAD_URLS = {
    "no scheme": f"alice:{PASSWORD}@h:3128",
    "no scheme, slashes": f"//alice:{PASSWORD}@h:3128",
    "some SOCKS": f"socks://alice:{PASSWORD}@h",
    "a password for SOCKS4": f"socks4://alice:{PASSWORD}@h",
    "a user too long for SOCKS5": f"socks5h://{'alice' * 52}:{PASSWORD}@h",
    "a password too long for SOCKS5": f"socks5://alice:{PASSWORD * 29}@h",
    "a user id too long for SOCKS4": f"socks4a://{PASSWORD * 29}@h",
    "a host of a Unix socket": f"unix://alice:{PASSWORD}@h/run/p.sock",
    "no path of a Unix socket": f"unix://alice:{PASSWORD}@/",
    "a query of a Unix socket": f"unix://alice:{PASSWORD}@/run/p.sock?x",
    "a bad escape for a Unix socket": f"unix://alice:{PASSWORD}@/run/p%zz",
    "an unknown scheme": f"ftp://alice:{PASSWORD}@h",
    "a password for a scheme": f"{PASSWORD}://h",
    "a path": f"http://alice:{PASSWORD}@h/path",
    "a query": f"http://h?{PASSWORD}",
    "an at": f"http://alice:@{PASSWORD}@h",
    "a solidus": f"http://alice:/{PASSWORD}@h",
    "a blank": f"http://alice: {PASSWORD}@h",
    "no host": f"http://alice:{PASSWORD}@",
    "a bad host": f"http://alice:{PASSWORD}@a..b",
    "a password for a host": f"http://{PASSWORD}..x",
    "a host that is not ASCII": f"http://alice:{PASSWORD}@\u202eh",
    "a password in a host that is not ASCII": f"http://\u202e{PASSWORD}",
    "a bad port": f"http://alice:{PASSWORD}@h:0",
    "a password for a port": f"http://alice:{PASSWORD}",
    "a bad address": f"http://alice:{PASSWORD}@[::g]",
    "a bad zone": f"http://alice:{PASSWORD}@[h%eth0]",
    "a bad escape": f"http://alice:{PASSWORD}%zz@h",
    "escapes of no UTF-8": f"http://alice:{PASSWORD}%ff@h",
    "an escaped control": f"http://alice:{PASSWORD}%0a@h",
    "an escaped colon": f"http://al%3Aice:{PASSWORD}@h",
    "a control": f"http://alice:{PASSWORD}\x01@h",
    "a surrogate": f"http://alice:{PASSWORD}\udcff@h",
}
GOOD_URL = f"http://alice:{PASSWORD}@h"

BAD_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "a bad pair": ("http://h", {"auth": ("al:ice", PASSWORD)}),
    "a pair with a control": ("http://h", {"auth": ("alice", PASSWORD + "\n")}),
    "a pair with a surrogate": ("http://h", {"auth": ("alice", PASSWORD + "\ud800")}),
    "a pair of octets": ("http://h", {"auth": (b"alice", PASSWORD.encode())}),
    "a triple": ("http://h", {"auth": ("alice", PASSWORD, "")}),
    "text for a pair": ("http://h", {"auth": f"alice:{PASSWORD}"}),
    "twice": (GOOD_URL, {"auth": ("alice", PASSWORD)}),
    "twice, in a field": (GOOD_URL, {"headers": {"Proxy-Authorization": PASSWORD}}),
    "a bad scheme for a token": ("http://h", {"auth": Bearer(PASSWORD)}),
    "a bad field": ("http://h", {"headers": {"Proxy-Authorization": PASSWORD + "\n"}}),
    "a field that is not ASCII": ("http://h", {"headers": {"X-Token": PASSWORD + "\u010d"}}),
    "a bad name": ("http://h", {"headers": {PASSWORD + "\n": "x"}}),
    "a field beside": ("http://h", {"headers": {"X-Token": PASSWORD, "TE": "x"}}),
    "a bad pair of a field": ("http://h", {"headers": [("X", PASSWORD), ("Y",)]}),
    "a number for fields": (GOOD_URL, {"headers": 5}),
    "octets for fields": (GOOD_URL, {"headers": PASSWORD.encode()}),
    "a context without TLS": (GOOD_URL, {"ssl_context": CONTEXT}),
    "a token for SOCKS": ("socks5h://h", {"auth": Bearer(PASSWORD)}),
    "an auth for SOCKS": ("socks5h://h", {"auth": Basic("alice", PASSWORD)}),
    "fields for SOCKS": (
        f"socks5h://alice:{PASSWORD}@h", {"headers": {"Proxy-Authorization": PASSWORD}},
    ),
    "a socket, twice": (f"unix://alice:{PASSWORD}@/run/p.sock", {"unix_path": "/run/p.sock"}),
    "a socket that is none": (GOOD_URL, {"unix_path": 5}),
    "no version": (GOOD_URL, {"proxy_protocol": 3}),
    "no resolver": (GOOD_URL, {"resolve": "remote"}),
    "no protocol": (GOOD_URL, {"http1": False}),
    "a version without TLS": (GOOD_URL, {"http2": True}),
}  # fmt: skip

BAD_VIAS: dict[str, Any] = {
    **BAD_URLS,
    "a list of one": [BAD_URLS["a path"]],
    "the second of a list": [GOOD_URL, BAD_URLS["a path"]],
    "the first of a list": [BAD_URLS["a bad host"], GOOD_URL],
    "a tuple": (GOOD_URL,),
    "a pair": (PASSWORD, 3128),
    "a mapping": {"http": GOOD_URL},
    "a list of lists": [[GOOD_URL]],
    "a list and None": [GOOD_URL, None],
    "octets": GOOD_URL.encode(),
    "a set": {GOOD_URL},
}


def everything_shown(error: BaseException) -> str:
    """All that logs, consoles and process pools may come to see of an error."""
    # The first frames are the caller's own, where the URL stands in the source.
    ours = error.__traceback__
    while ours and ours.tb_frame.f_code.co_filename == __file__:
        ours = ours.tb_next
    text = traceback.TracebackException(type(error), error, ours, capture_locals=True)
    record = logging.LogRecord("", 0, "", 0, "%s %r", (error, error), (type(error), error, ours))
    shown = [*text.format(), logging.Formatter().format(record)]
    try:
        shown.append(pickle.dumps(error).decode("latin-1"))
    except TypeError as unpicklable:
        shown.append(str(unpicklable))
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
        shown.append(everything_shown(error))
    return "\n".join(shown)


def fails_without_showing_it(function: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InvalidProxy) as caught:
        function(*args, **kwargs)
    shown = everything_shown(caught.value)
    assert PASSWORD not in shown
    assert CREDENTIALS not in shown
    assert len(str(caught.value)) <= 400
    return shown


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_au_07_a_bad_url(url: str) -> None:
    fails_without_showing_it(Proxy, url)
    fails_without_showing_it(Proxy.parse, url)


@pytest.mark.parametrize(("url", "options"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_au_07_bad_options(url: str, options: dict[str, Any]) -> None:
    fails_without_showing_it(Proxy, url, **options)


@pytest.mark.parametrize("via", BAD_VIAS.values(), ids=BAD_VIAS)
def test_au_07_a_bad_via(via: Any) -> None:
    error = read_via(via)
    assert isinstance(error, InvalidProxy)
    assert PASSWORD not in everything_shown(error)
    fails_without_showing_it(open_tunnel, "h.test:1", via=via)
    fails_without_showing_it(Dialer, via)
    fails_without_showing_it(Dialer, via=via)
    fails_without_showing_it(connect_tunnel.AsyncDialer, via)
    # A coroutine that ends at its first step needs no loop.
    fails_without_showing_it(lambda: open_tunnel_async("h.test:1", via=via).send(None))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"target": "h.test"}, InvalidTarget),
        ({"target": None}, InvalidTarget),
        ({"target": "h.test:1", "timeout": 0}, ValueError),
        ({"target": "h.test:1", "timeout": "soon"}, ValueError),
    ],
    ids=["target", "no target", "timeout", "no timeout"],
)
@pytest.mark.parametrize("via", [GOOD_URL, [GOOD_URL, GOOD_URL], Proxy(GOOD_URL)], ids=type)
def test_au_07_a_good_via_and_something_else_that_is_bad(
    options: dict[str, Any], kind: type[Exception], via: Any
) -> None:
    def dial(target: Any, **others: Any) -> object:
        with Dialer(**others) as dialer:
            return dialer.open_tunnel(target)

    def request(target: Any, **others: Any) -> object:
        with Dialer(**others) as dialer:
            return dialer.request_tunnel(target)

    def asynchronously(**others: Any) -> None:
        open_tunnel_async(**others).send(None)

    for function in (open_tunnel, dial, request, asynchronously):
        with pytest.raises(kind) as caught:
            function(**options, via=via)
        shown = everything_shown(caught.value)
        assert PASSWORD not in shown
        assert CREDENTIALS not in shown


@pytest.mark.parametrize(
    ("make", "args"),
    [
        (Basic, ("al:ice", PASSWORD)),
        (Basic, ("alice", PASSWORD + "\n")),
        (Basic, (5, PASSWORD)),
        (Basic, ("alice", PASSWORD.encode())),
        (Bearer, (PASSWORD + "\n",)),
        (Bearer, (PASSWORD.encode(),)),
    ],
    ids=repr,
)
def test_au_24_bad_credentials(make: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        make(*args)
    assert PASSWORD not in everything_shown(caught.value)


def test_what_is_looked_at_here_would_show_it() -> None:
    with pytest.raises(ValueError, match="a timeout is") as caught:
        Timeout.parse(PASSWORD)  # type: ignore[arg-type]
    assert f"timeout = '{PASSWORD}'" in everything_shown(caught.value)


# --- what we stand on ---

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize(
    ("name", "floor"),
    [
        pytest.param("h11", (0, 16), id="T21 CVE-2025-43859, chunked framing"),
        pytest.param("idna", (3, 7), id="T21 CVE-2024-3651, quadratic time"),
        pytest.param("anyio", (4, 10), id="ByteStreamConnectable"),
    ],
)
def test_t21_dependency_floors(name: str, floor: tuple[int, ...]) -> None:
    needs = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["dependencies"]
    (need,) = [need for need in needs if need.partition(">=")[0] == name]
    assert tuple(map(int, need.partition(">=")[2].split("."))) >= floor
