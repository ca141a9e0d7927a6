"""imaplib, smtplib and poplib through tunnels, against servers of a few lines each."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import socket
import socketserver
import ssl
import threading
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

import connect_tunnel.adapters.mail
from connect_tunnel import (
    Dialer,
    InvalidProxy,
    Proxy,
    TargetTLSError,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel.adapters.mail import IMAP4, IMAP4_SSL, POP3, POP3_SSL, SMTP, SMTP_SSL
from connect_tunnel.testing import LoopbackProxy, Receive, ScriptedProxy, Send, TLSPeer

from .raw import OK
from .shells import nothing_left, took

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Client = Any  # one of the six, which have no class in common
PASSWORD: Final = "s3cret-p4ss"
NO: Final = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"


def imap(line: bytes) -> bytes:
    tag, _, rest = line.partition(b" ")
    match rest.split(b" ")[0].upper():
        case b"CAPABILITY":
            return b"* CAPABILITY IMAP4rev1 STARTTLS\r\n" + tag + b" OK done\r\n"
        case b"LOGOUT":
            return b"* BYE\r\n" + tag + b" OK done\r\n"
        case _:
            return tag + b" OK done\r\n"


def smtp(line: bytes) -> bytes:
    match line.split(b" ")[0].upper():
        case b"EHLO":
            return b"250-here\r\n250 STARTTLS\r\n"
        case b"QUIT":
            return b"221 Bye\r\n"
        case _:
            return b"220 Go on\r\n"


def pop3(line: bytes) -> bytes:
    return b"+OK\r\nSTLS\r\n.\r\n" if line.upper() == b"CAPA" else b"+OK\r\n"


GREETINGS: Final[dict[Callable[[bytes], bytes], bytes]] = {
    imap: b"* OK ready\r\n",
    smtp: b"220 ready\r\n",
    pop3: b"+OK ready\r\n",
}


@contextmanager
def serving(
    answer: Callable[[bytes], bytes], context: ssl.SSLContext, *, tls: bool = False
) -> Generator[int]:
    """The port of a server, which may be asked for TLS or begins with it."""

    class Serve(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                self._talk(TLSPeer(self.request, context) if tls else self.request)
            except OSError:
                pass  # the client left, or did not like the certificate

        def _talk(self, peer: Any) -> None:
            peer.sendall(GREETINGS[answer])
            rest = b""
            while data := peer.recv(4096):
                *lines, rest = (rest + data).split(b"\r\n")
                for line in lines:
                    peer.sendall(answer(line))
                    if line.upper().endswith((b"STARTTLS", b"STLS")):
                        peer = TLSPeer(self.request, context)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Serve) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


PLAIN: Final = [(IMAP4, imap), (SMTP, smtp), (POP3, pop3)]
TLS: Final = [(IMAP4_SSL, imap), (SMTP_SSL, smtp), (POP3_SSL, pop3)]
ALL: Final = PLAIN + TLS


def context_of(kind: Client, context: ssl.SSLContext) -> dict[str, Any]:
    if kind in {IMAP4, SMTP, POP3}:
        return {}
    return {"ssl_context" if kind is IMAP4_SSL else "context": context}


def start_tls(client: Client, *context: ssl.SSLContext) -> None:
    match client:
        case imaplib.IMAP4():
            client.starttls(*context)
        case smtplib.SMTP():
            client.starttls(context=context[0] if context else None)
        case _:
            client.stls(*context)


def ask(client: Client) -> bool:
    """Whether the server answers."""
    return bool(client.noop())


def leave(client: Client) -> None:
    client.logout() if isinstance(client, imaplib.IMAP4) else client.quit()


def drop(client: Client) -> None:
    client.shutdown() if isinstance(client, imaplib.IMAP4) else client.close()


@pytest.fixture(params=["plain", "TLS"])
def hop(request: pytest.FixtureRequest, server_context: ssl.SSLContext) -> ssl.SSLContext | None:
    return server_context if request.param == "TLS" else None


def way(proxy: ScriptedProxy | LoopbackProxy, client: ssl.SSLContext, **facts: Any) -> Proxy:
    context = client if proxy.url.startswith("https") else None
    return Proxy(proxy.url, ssl_context=context, **facts)


@pytest.fixture
def trusting(client_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default for targets trusts the servers here."""
    monkeypatch.setattr(connect_tunnel.adapters.mail, "default_context", lambda: client_context)


@pytest.mark.parametrize(("kind", "answer"), PLAIN)
def test_in_the_clear_and_then_by_tls(
    kind: Client,
    answer: Any,
    hop: ssl.SSLContext | None,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    with (
        nothing_left(),
        serving(answer, server_context) as port,
        LoopbackProxy(ssl_context=hop) as proxy,
        every_name_leads_here(),
    ):
        client = kind("localhost.", port, timeout=5, via=way(proxy, client_context))
        assert client.sock.gettimeout() == 5
        assert ask(client)
        start_tls(client, client_context)
        assert isinstance(client.sock, ssl.SSLSocket)
        assert ask(client)
        leave(client)
        assert proxy.requests[0][0] == f"localhost.:{port}"


@pytest.mark.parametrize(("kind", "answer"), TLS)
def test_by_tls_from_the_start(
    kind: Client,
    answer: Any,
    hop: ssl.SSLContext | None,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    with (
        nothing_left(),
        serving(answer, server_context, tls=True) as port,
        LoopbackProxy(ssl_context=hop) as proxy,
    ):
        options = context_of(kind, client_context)
        client = kind("localhost", port, timeout=5, via=way(proxy, client_context), **options)
        assert client.sock.getpeercert()["subjectAltName"]
        assert ask(client)
        leave(client)


@contextmanager
def every_name_leads_here() -> Generator[None]:
    dial: Any = socket.create_connection

    def dial_here(address: tuple[str, int], *rest: Any) -> socket.socket:
        sock: socket.socket = dial(("127.0.0.1", address[1]), *rest)
        return sock

    with pytest.MonkeyPatch.context() as patch:
        where = "connect_tunnel.testing._loopback.socket.create_connection"
        patch.setattr(where, dial_here)
        yield


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(("kind", "answer"), ALL)
def test_the_default_is_what_the_process_trusts(
    kind: Client, answer: Any, server_context: ssl.SSLContext
) -> None:
    with (
        nothing_left(),
        serving(answer, server_context, tls=(kind, answer) in TLS) as port,
        LoopbackProxy() as proxy,
    ):
        client = kind("localhost", port, timeout=5, via=proxy.url)
        if (kind, answer) in PLAIN:
            start_tls(client)
        assert client.sock.context.check_hostname
        leave(client)


@pytest.mark.parametrize(("kind", "answer"), ALL)
@pytest.mark.parametrize("given", [True, False])
def test_t6_the_name_of_the_server_is_verified(
    kind: Client,
    answer: Any,
    given: bool,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """And trusted by default are those alone whom the system trusts."""
    host = "other.test" if given else "localhost"
    contexts = [client_context] if given else []

    def speak_tls() -> None:
        options = context_of(kind, client_context) if given else {}
        client = kind(host, port, timeout=5, via=proxy.url, **options)
        if isinstance(client, poplib.POP3):
            start_tls(client, *contexts)
        else:
            with client:  # whose end has nothing to add
                start_tls(client, *contexts)

    with (
        nothing_left(),
        serving(answer, server_context, tls=(kind, answer) in TLS) as port,
        LoopbackProxy() as proxy,
        every_name_leads_here(),
    ):
        with pytest.raises(TargetTLSError, match=f"{host} has a certificate that") as caught:
            speak_tls()
        assert caught.value.target == f"{host}:{port}"
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


def test_smtp_that_connects_later(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """And verifies whom it has connected to, which smtplib forgets."""
    with (
        serving(smtp, server_context) as port,
        LoopbackProxy() as proxy,
        SMTP(timeout=5, via=proxy.url) as client,
    ):
        assert client.connect(f"localhost:{port}")[0] == 220
        client.starttls(context=client_context)
        assert ask(client)
    with (
        serving(smtp, server_context, tls=True) as port,
        LoopbackProxy() as proxy,
        SMTP_SSL(timeout=5, via=proxy.url, context=client_context) as client,
    ):
        client.connect("localhost", port)
        assert ask(client)


def test_smtp_without_a_connection() -> None:
    with pytest.raises(smtplib.SMTPServerDisconnected):
        SMTP(via="http://proxy.test").starttls()


def test_files_of_a_key_belong_in_a_context() -> None:
    client = SMTP(via="http://proxy.test")
    with pytest.raises(TypeError, match="belong in a context"):
        client.starttls(keyfile="key.pem")
    with pytest.raises(TypeError, match="belong in a context"):
        client.starttls(certfile="cert.pem")


@pytest.mark.parametrize(("kind", "answer"), ALL)
def test_a_server_of_something_else(
    kind: Client, answer: Any, hop: ssl.SSLContext | None, client_context: ssl.SSLContext
) -> None:
    with (
        nothing_left(),
        ScriptedProxy(Receive(), Send(OK + b"SSH-2.0-nonsense\r\n"), ssl_context=hop) as proxy,
        pytest.raises((OSError, imaplib.IMAP4.error, poplib.error_proto)),
    ):
        kind("a.test", 1, timeout=0.5, via=way(proxy, client_context))


@pytest.mark.parametrize(("kind", "answer"), ALL)
def test_t4_t13_a_refusal_leaves_nothing(kind: Client, answer: Any) -> None:
    """T4, T13: it is an error, each time."""
    with nothing_left(), LoopbackProxy(refuse=lambda _: NO) as proxy:
        for _ in range(20):
            with pytest.raises(TunnelRefused):
                kind("a.test", 1, via=proxy.url)


@pytest.mark.parametrize(("kind", "answer"), ALL)
def test_the_timeout_is_of_the_opening_too(kind: Client, answer: Any) -> None:
    with (
        nothing_left(),
        ScriptedProxy(Receive()) as proxy,
        took(0.1, 3),
        pytest.raises(TunnelTimeout),
    ):
        kind("a.test", 1, timeout=0.2, via=proxy.url)


@pytest.mark.parametrize(("kind", "answer"), PLAIN[:1])
def test_silence_is_no_end(
    kind: Client,
    answer: Any,
    hop: ssl.SSLContext | None,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """Longer than the tunnel may take to be opened."""
    with (
        serving(answer, server_context) as port,
        LoopbackProxy(ssl_context=hop) as proxy,
    ):
        dialer = Dialer(way(proxy, client_context), timeout=2)
        client = kind("localhost", port, via=dialer)
        assert client.sock.gettimeout() is None
        reader = threading.Timer(2.5, client.sock.sendall, [b"1 NOOP\r\n"])
        reader.start()
        assert client.file is None or client.file.readline()
        reader.join()
        drop(client)


@pytest.mark.parametrize(("kind", "answer"), ALL)
def test_what_is_no_way(kind: Client, answer: Any) -> None:
    with pytest.raises(InvalidProxy):
        kind("a.test", 1, via="proxy.test")
    with pytest.raises(ValueError, match="positive number"):
        kind("a.test", 1, timeout=0, via="http://proxy.test")


@pytest.mark.parametrize(("kind", "answer"), ALL)
@pytest.mark.parametrize("scheme", ["http", "gopher"])
def test_no_traceback_shows_a_password(kind: Client, answer: Any, scheme: str) -> None:
    with ScriptedProxy(Receive(), Send(NO)) as proxy:
        via = f"{scheme}://alice:{PASSWORD}@{proxy.host}:{proxy.port}"
        with pytest.raises(TunnelError) as caught:
            kind("a.test", 1, via=via)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(told.format())
    assert PASSWORD in text
    assert PASSWORD not in text[text.index("connect_tunnel/adapters") :]
