"""What people put into tunnels: HTTPS, IMAP and SMTP, by the clients of the standard library."""

from __future__ import annotations

import imaplib
import smtplib
from email.message import EmailMessage
from typing import TYPE_CHECKING

import anyio.to_thread
import pytest

from connect_tunnel import open_tunnel, open_tunnel_async

from .proxies import ORIGIN_PAGE
from .ring import PASSWORD, USER, Port, Ring, Service
from .targets import DOVECOT, HTTPS, ORIGINS

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from .entrance import Entrance
    from .shells import Shell

CLIENT_SECONDS = 10.0


@pytest.mark.anyio
async def test_https(
    shell: Shell, ring: Ring, entrance: Entrance, start: Callable[[Service], None]
) -> None:
    start(HTTPS)
    target = f"localhost:{ring.port(Port.HTTPS)}"
    stream = await shell.open(target, entrance.via(ring))
    async with await stream.start_tls(ring.target_authority.context) as tls:
        await tls.send(
            f"GET /page HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n".encode()
        )
        reply = b""
        while more := await tls.receive():
            reply += more
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == ORIGIN_PAGE


class IMAP(imaplib.IMAP4):
    """imaplib's own recipe for another transport: override how the socket is made."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        self._given = context.wrap_socket(sock, server_hostname="localhost") if context else sock
        super().__init__("localhost")

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._given


class SMTP(smtplib.SMTP):
    def __init__(self, sock: socket.socket) -> None:
        self._given = sock
        super().__init__("localhost")

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._given


def login(client: imaplib.IMAP4) -> None:
    with client:
        assert client.login(USER, PASSWORD)[0] == "OK"
        status, boxes = client.list()
        assert (status, boxes) == ("OK", [b'(\\HasNoChildren) "." INBOX'])


def test_imap(ring: Ring, entrance: Entrance, start: Callable[[Service], None]) -> None:
    """By `socket()`: the dialled one, or one end of a bridge where the hop is TLS."""
    start(DOVECOT)
    target = f"127.0.0.1:{ring.port(Port.IMAP)}"
    tunnel = open_tunnel(target, via=entrance.via(ring), timeout=CLIENT_SECONDS)
    login(IMAP(tunnel.socket()))


def test_imaps(ring: Ring, entrance: Entrance, start: Callable[[Service], None]) -> None:
    """By `ssl.wrap_socket` over `socket()`."""
    start(DOVECOT)
    target = f"localhost:{ring.port(Port.IMAPS)}"
    tunnel = open_tunnel(target, via=entrance.via(ring), timeout=CLIENT_SECONDS)
    login(IMAP(tunnel.socket(), ring.target_authority.context))


def test_imaps_by_start_tls(
    ring: Ring, entrance: Entrance, start: Callable[[Service], None]
) -> None:
    """By our own TLS, bridged."""
    start(DOVECOT)
    target = f"localhost:{ring.port(Port.IMAPS)}"
    tunnel = open_tunnel(target, via=entrance.via(ring), timeout=CLIENT_SECONDS)
    login(IMAP(tunnel.start_tls(ring.target_authority.context).socket()))


@pytest.mark.anyio
@pytest.mark.parametrize("shell", ["asyncio", "trio"], indirect=True)
@pytest.mark.parametrize("entrance", ["squid", "squid-tls"], indirect=True)
async def test_imap_over_a_bridge(
    shell: Shell, ring: Ring, entrance: Entrance, start: Callable[[Service], None]
) -> None:
    start(DOVECOT)
    via = entrance.via(ring)
    async with (
        await open_tunnel_async(f"127.0.0.1:{ring.port(Port.IMAP)}", via=via) as tunnel,
        tunnel.bridged() as sock,
    ):
        sock.settimeout(CLIENT_SECONDS)
        await anyio.to_thread.run_sync(lambda: login(IMAP(sock)))


def test_smtp_starttls(ring: Ring, entrance: Entrance, start: Callable[[Service], None]) -> None:
    start(ORIGINS)
    message = EmailMessage()
    message["From"], message["To"] = "alice@example.com", "bob@example.com"
    message["Subject"] = f"through {entrance.name}"
    message.set_content("Hello Bob,\n.\nthat was a line with a dot.\n")
    target = f"localhost:{ring.port(Port.SMTP)}"
    tunnel = open_tunnel(target, via=entrance.via(ring), timeout=CLIENT_SECONDS)
    with SMTP(tunnel.socket()) as client:
        client.starttls(context=ring.target_authority.context)
        assert client.send_message(message) == {}
    delivered = [path.read_text() for path in (ring.folder / ORIGINS.name / "mail/new").iterdir()]
    [mine] = [text for text in delivered if f"Subject: through {entrance.name}\n" in text]
    assert "Hello Bob,\n.\nthat was a line with a dot.\n" in mine
