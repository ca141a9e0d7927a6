"""IMAP, POP3 and SMTP through squid, by the classes of `adapters.mail`."""

from __future__ import annotations

import time
from email.message import EmailMessage
from typing import TYPE_CHECKING, Final

import pytest

from connect_tunnel import Dialer, TargetTLSError
from connect_tunnel.adapters.mail import IMAP4, IMAP4_SSL, POP3, POP3_SSL, SMTP

from .ring import PASSWORD, USER, Port, Ring, Service
from .targets import DOVECOT, ORIGINS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entrance import Entrance

each = pytest.mark.parametrize(
    "entrance", ["squid", "squid-basic", "squid-tls", "squid-tls-basic"], indirect=True
)

OPENING: Final = 3.0  # seconds
SILENCE: Final = 4.0  # which is longer than an opening may take


@pytest.fixture
def dovecot(start: Callable[[Service], None]) -> None:
    start(DOVECOT)


def login(client: IMAP4) -> None:
    assert client.login(USER, PASSWORD)[0] == "OK"
    assert client.select("INBOX")[0] == "OK"


@each
@pytest.mark.usefixtures("dovecot")
def test_imap_that_starts_tls(ring: Ring, entrance: Entrance) -> None:
    context = ring.target_authority.context
    with IMAP4("localhost", ring.port(Port.IMAP), timeout=10, via=entrance.via(ring)) as client:
        assert client.starttls(context)[0] == "OK"
        login(client)


@each
@pytest.mark.usefixtures("dovecot")
def test_imap_that_starts_tls_with_nobody_that_is_trusted(ring: Ring, entrance: Entrance) -> None:
    with (
        IMAP4("localhost", ring.port(Port.IMAP), timeout=10, via=entrance.via(ring)) as client,
        pytest.raises(TargetTLSError, match="cannot be trusted"),
    ):
        client.starttls()


@pytest.mark.parametrize("entrance", ["squid-basic", "squid-tls-basic"], indirect=True)
@pytest.mark.usefixtures("dovecot")
def test_imaps_and_the_silence_of_idle(ring: Ring, entrance: Entrance) -> None:
    dialer = Dialer(entrance.via(ring), timeout=OPENING)
    context = ring.target_authority.context
    with IMAP4_SSL("localhost", ring.port(Port.IMAPS), ssl_context=context, via=dialer) as client:
        login(client)
        client.send(b"x1 IDLE\r\n")
        assert client.readline().startswith(b"+ idling")
        time.sleep(SILENCE)
        client.send(b"DONE\r\n")
        # In between a server may say that it is still there (RFC 2177, 3).
        said = iter(client.readline, b"")
        assert next(line for line in said if not line.startswith(b"* OK")).startswith(b"x1 OK")


@each
@pytest.mark.usefixtures("dovecot")
def test_pop3(ring: Ring, entrance: Entrance) -> None:
    context = ring.target_authority.context
    via = entrance.via(ring)
    secure = POP3_SSL("localhost", ring.port(Port.POP3S), timeout=10, context=context, via=via)
    plain = POP3("localhost", ring.port(Port.POP3), timeout=10, via=via)
    assert plain.stls(context).startswith(b"+OK")
    for number, client in enumerate((secure, plain)):
        client.user(f"{USER}{number}")  # a mailbox is locked
        client.pass_(PASSWORD)
        assert client.stat()[0] == 0
        client.quit()


@each
def test_smtp_that_starts_tls(
    ring: Ring, entrance: Entrance, start: Callable[[Service], None]
) -> None:
    start(ORIGINS)
    message = EmailMessage()
    message["From"], message["To"] = "alice@example.com", "bob@example.com"
    message["Subject"] = f"by an adapter through {entrance.name}"
    message.set_content("Hello Bob,\n.\nthat was a line with a dot.\n")
    with SMTP("localhost", ring.port(Port.SMTP), timeout=10, via=entrance.via(ring)) as client:
        client.starttls(context=ring.target_authority.context)
        assert client.send_message(message) == {}
    delivered = [path.read_text() for path in (ring.folder / ORIGINS.name / "mail/new").iterdir()]
    [mine] = [text for text in delivered if f"Subject: {message['Subject']}\n" in text]
    assert "\n.\nthat was a line with a dot.\n" in mine
