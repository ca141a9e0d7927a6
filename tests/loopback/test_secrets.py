"""A search of all that failing openings show: messages, reprs, logs, tracebacks, pickles.

What is looked for is every password and token that was given, what Basic makes of them, every
nonce that a proxy sent, and whatever went over the wire in a Proxy-Authorization.
"""

from __future__ import annotations

import logging
import pickle
import re
import traceback
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from connect_tunnel import Proxy, TunnelError, TunnelRefused, open_tunnel, open_tunnel_async
from connect_tunnel.auth import (
    Auth,
    Basic,
    Bearer,
    Call,
    Digest,
    Netrc,
    Offload,
    Password,
    Strongest,
)
from connect_tunnel.auth._basic import warn_of_cleartext
from connect_tunnel.testing import NextRequest, Reply, Reset, ScriptedProxy, Send, Wait

from .shells import SHELLS, TARGET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from connect_tunnel.auth import Exchange, Flow
    from connect_tunnel.testing import Step

PASSWORD = "s3cr3t-pw/9731"
TOKEN = "t0k3n-s3cr3t-8264"
NONCE = "n0nce-5520-s3cr3t"
OPAQUE = "0paque-7719-s3cr3t"
BASIC = b64encode(f"alice:{PASSWORD}".encode()).decode()

# ---- what callers give ----


class Ticket(Auth):
    """A flow of the caller's, which ends in one way or another."""

    def __init__(self, step: Any = None, *, raises: bool = False, odd: bool = False) -> None:
        self._step = step
        self._raises = raises
        self._odd = odd

    def flow(self, exchange: Exchange) -> Flow:
        token: Any = TOKEN if self._step is None else (yield self._step())
        yield f"Ticket {token}\r\n" if self._odd else f"Ticket {token}"
        if self._raises:
            raise LookupError("there are no more tickets")


def write_netrc(folder: Path) -> Auth:
    path = folder / "netrc"
    path.write_text(f"machine 127.0.0.1 login alice password {PASSWORD}\n")
    return Netrc(path)


def write_bad_netrc(folder: Path) -> Auth:
    path = folder / "netrc"
    path.write_text(f"machine 127.0.0.1 login alice pass {PASSWORD}\n")
    return Netrc(path)


def giving(what: Any) -> Callable[..., Any]:
    """A callable of the caller's, whatever it is called with."""

    def give(*_: object) -> Any:
        return what

    return give


# By name: what makes the options of a Proxy, given a folder to write to.
CALLERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "a pair": lambda _: {"auth": ("alice", PASSWORD)},
    "Basic when asked": lambda _: {"auth": Basic("alice", PASSWORD, preemptive=False)},
    "Digest": lambda _: {"auth": Digest("alice", PASSWORD)},
    "the strongest": lambda _: {"auth": Strongest(Password("alice", PASSWORD))},
    "a token": lambda _: {"auth": Bearer(TOKEN, allow_cleartext=True)},
    "a token of a callable": lambda _: {"auth": Bearer(lambda: TOKEN, allow_cleartext=True)},
    "a bad token of a callable": lambda _: {
        "auth": Bearer(lambda: f"{TOKEN} x", allow_cleartext=True)
    },
    "a callable": lambda _: {"auth": giving(("alice", PASSWORD))},
    "a callable that gives nonsense": lambda _: {"auth": giving(["alice", PASSWORD, TOKEN])},
    "a callable that gives a control": lambda _: {"auth": giving(("alice", f"{PASSWORD}\n"))},
    "netrc": lambda folder: {"auth": write_netrc(folder)},
    "a malformed netrc": lambda folder: {"auth": write_bad_netrc(folder)},
    "a flow": lambda _: {"auth": Ticket()},
    "a flow with a Call": lambda _: {"auth": Ticket(lambda: Call(str, TOKEN))},
    "a flow with an Offload": lambda _: {"auth": Ticket(lambda: Offload(str, TOKEN))},
    "a flow that raises": lambda _: {"auth": Ticket(raises=True)},
    "a flow that yields a control": lambda _: {"auth": Ticket(odd=True)},
    "a field": lambda _: {"headers": {"Proxy-Authorization": f"Basic {BASIC}"}},
    "fields made later": lambda _: {
        "headers": giving([("Proxy-Authorization", f"Bearer {TOKEN}")])
    },
}

# ---- what proxies do ----

OFFERS = (
    'Proxy-Authenticate: Digest realm="corp", qop="auth", algorithm=SHA-256, '
    f'nonce="{NONCE}", opaque="{OPAQUE}"\r\n'
    'Proxy-Authenticate: Basic realm="corp"\r\nProxy-Authenticate: Bearer\r\n'
).encode()


def answering(
    status: bytes, fields: bytes = b"", page: Callable[[bytes], bytes] = lambda _: b""
) -> list[Step]:
    def answer(head: bytes) -> bytes:
        body = page(head)
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        return b"HTTP/1.1 " + status + b"\r\n" + fields + length + body

    return [NextRequest(), Reply(answer)] * 9


def as_text(head: bytes) -> bytes:
    return b"You sent:\n" + head


def as_html(head: bytes) -> bytes:
    shown = head.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b'"', b"&quot;")
    return b"<html><head><title>No</title></head><pre>" + shown + b"</pre></html>"


PROXIES: dict[str, list[Step]] = {
    "407": answering(b"407 Who", OFFERS),
    "407 and the request": answering(b"407 Who", OFFERS, as_text),
    "407 and the request, in HTML": answering(b"407 Who", OFFERS, as_html),
    "407, and again on each connection": answering(b"407 Who", OFFERS + b"Connection: close\r\n"),
    "407 and then 403": [*answering(b"407 Who", OFFERS)[:2], *answering(b"403 No", b"", as_text)],
    "401 and the request": answering(b"401 No", b"", as_text),
    "403 and the request": answering(b"403 No", b"Set-Cookie: a=b\r\n", as_text),
    "502 and the request, in HTML": answering(b"502 No", b"", as_html),
    "a reset": [NextRequest(), Reset()],
    "407 and then a reset": [*answering(b"407 Who", OFFERS)[:2], NextRequest(), Reset()],
    "nonsense": [NextRequest(), Send(b"SSH-2.0-x\r\n")],
    "half an answer": [NextRequest(), Send(b"HTTP/1.1 407 Who\r\n" + OFFERS), Wait(1)],
    "no answer": [NextRequest(), Wait(1)],
    "a proof that is none": [
        *answering(b"407 Who", OFFERS)[:2],
        *answering(b"200 OK", b'Proxy-Authentication-Info: rspauth="x", nextnonce="n"\r\n'),
    ],
}


TIMEOUTS = {"half an answer": 0.05, "no answer": 0.05}


@dataclass(frozen=True, slots=True)
class Failure:
    """What an opening failed with, and what must not be seen of it."""

    error: Exception
    secrets: frozenset[str]


def fail(shell: str, options: dict[str, Any], does: str) -> Failure | None:
    """Open a tunnel through a proxy that does this; None if that was granted."""
    timeout = TIMEOUTS.get(does, 5.0)
    with ScriptedProxy(*PROXIES[does]) as proxy:
        try:
            if shell == "sync":
                open_tunnel(TARGET, via=Proxy(proxy.url, **options), timeout=timeout).close()
            else:
                anyio.run(_open, Proxy(proxy.url, **options), timeout, backend=shell)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is searched
            return Failure(error, frozenset(secrets_of(proxy.heads)))
    return None


async def _open(via: Proxy, timeout: float) -> None:
    async with await open_tunnel_async(TARGET, via=via, timeout=timeout):
        pass


def secrets_of(heads: list[bytes]) -> Iterator[str]:
    """What was given, what the proxy sent, and all that went in a Proxy-Authorization."""
    yield from (PASSWORD, TOKEN, NONCE, OPAQUE, BASIC)
    for value in re.findall(rb"(?m)^Proxy-Authorization: (.*)\r$", b"".join(heads)):
        said = value.decode()
        yield said
        yield said.partition(" ")[2]
        yield from re.findall(r'(?:response|cnonce)="([^"]+)"', said)


# ---- what is shown of it ----


def shown(failure: Failure) -> Iterator[tuple[str, str]]:
    """All that is printed of it, and where."""
    error = failure.error
    yield "its message", str(error)
    yield "its repr", repr(error)
    yield "its facts", repr(vars(error))
    if isinstance(error, TunnelRefused):
        response = error.response
        for facts in (response, response.headers, response.trailers, response.body):
            yield "its response", repr(facts)
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    yield from shown_by(told)


def shown_by(told: traceback.TracebackException) -> Iterator[tuple[str, str]]:
    """The locals of our own frames in a traceback, and in those that led to it."""
    for frame in told.stack:
        if "/connect_tunnel/" in frame.filename:
            yield f"the locals of {frame.name}", repr(frame.locals)
    yield "its traceback", "".join(told.format_exception_only())
    for other in (told.__cause__, told.__context__):
        if other is not None:
            yield from shown_by(other)


def pickled(failure: Failure) -> Iterator[tuple[str, str]]:
    error = failure.error
    if isinstance(error, TunnelError):
        yield "its pickle", pickle.dumps(error).decode("latin-1")
        yield "its pickle, in text", pickle.dumps(error, 0).decode("latin-1")
    if isinstance(error, TunnelRefused):
        yield "the pickle of its response", pickle.dumps(error.response).decode("latin-1")


def found(failure: Failure, texts: Iterator[tuple[str, str]]) -> list[str]:
    """The secrets that are seen, and where."""
    places = list(texts)
    assert len(places) > 1
    return [
        f"{secret} in {place}: {text}"
        for place, text in places
        for secret in failure.secrets
        if secret in text
    ]


@pytest.fixture
def unwarned() -> Iterator[None]:
    warn_of_cleartext.cache_clear()
    yield
    warn_of_cleartext.cache_clear()


@pytest.mark.usefixtures("unwarned")
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("proxy", PROXIES)
def test_au_24_what_failures_show(
    proxy: str, shell: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """AU-24: in a message, a repr, a fact, a log, or the locals of a traceback."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    failures = 0
    for caller, make in CALLERS.items():
        failure = fail(shell, make(tmp_path), proxy)
        if failure is not None:
            failures += 1
            seen += [f"{caller}: {what}" for what in found(failure, shown(failure))]
            seen += [f"{caller}: {secret} in a log" for secret in failure.secrets
                     if secret in caplog.text]  # fmt: skip
    assert seen == []
    assert failures > 3


@pytest.mark.parametrize("proxy", PROXIES)
def test_au_24_what_their_pickles_hold(proxy: str, tmp_path: Path) -> None:
    """AU-24: those of errors and of responses, which end up in files."""
    seen: list[str] = []
    for caller, make in CALLERS.items():
        failure = fail("sync", make(tmp_path), proxy)
        if failure is not None and isinstance(failure.error, TunnelError):
            seen += [f"{caller}: {what}" for what in found(failure, pickled(failure))]
    assert seen == []


@pytest.mark.parametrize("caller", CALLERS)
def test_au_24_what_holds_a_secret_does_not_pickle(caller: str, tmp_path: Path) -> None:
    """AU-24: with a TypeError, as what cannot be pickled has it; or there is none in it."""
    proxy = Proxy("http://proxy.test", **CALLERS[caller](tmp_path))
    for holder in (proxy, proxy.auth, proxy.fields):
        try:
            data = pickle.dumps(holder)
        except (TypeError, AttributeError, pickle.PicklingError):
            continue  # the last two for lambdas, which nobody can find again
        assert not [secret for secret in (PASSWORD, TOKEN, BASIC) if secret.encode() in data]
