"""NTLM and Negotiate against pyspnego's acceptor, which checks every token for real.

There is no Kerberos here (the real ring has a KDC), so what Negotiate carries is NTLM in SPNEGO.
"""

from __future__ import annotations

import hashlib
import logging
import re
import ssl
import threading
import traceback
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import pytest
import spnego
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from connect_tunnel import (
    Dialer,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    TunnelTimeout,
)
from connect_tunnel.auth import NTLM, Negotiate, Password, Strongest
from connect_tunnel.testing import (
    Close,
    HalfClose,
    NextRequest,
    Receive,
    Reply,
    ScriptedProxy,
    Send,
    Wait,
)

from .raw import OK
from .shells import SHELLS, converse, failure, nothing_left, took

if TYPE_CHECKING:
    from pathlib import Path

    from connect_tunnel.testing import Step

Kind: TypeAlias = type[NTLM] | type[Negotiate]

USER = "CORP\\alice"
PASSWORD = "w0nderl4nd"
OTHER_USER, OTHER_PASSWORD = "CORP\\bob", "bu1lder"
WRONG = "w0nderw0rld"
KINDS: list[Kind] = [NTLM, Negotiate]

_FIELD = re.compile(rb"\r\nProxy-Authorization: (\w+) ([^\r]+)\r\n")
HI = Send(b"hi"), HalfClose()


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who the acceptor knows; and a Kerberos that knows nobody, and asks nobody on the net."""
    known = "".join(
        f"{user}:{password}\n".replace("\\", ":")
        for user, password in ((USER, PASSWORD), (OTHER_USER, OTHER_PASSWORD))
    )
    (tmp_path / "users").write_text(known)
    (tmp_path / "krb5.conf").write_text(
        "[libdefaults]\ndefault_realm = NOWHERE.TEST\n"
        "dns_lookup_kdc = false\ndns_lookup_realm = false\n"
    )
    monkeypatch.setenv("NTLM_USER_FILE", str(tmp_path / "users"))
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'none'}")
    monkeypatch.setenv("KRB5_KTNAME", f"FILE:{tmp_path / 'none'}")


class Acceptor:
    """The side of a proxy: what it answers to a CONNECT, and whom it let in.

    Args:
        kind: The scheme that it wants.
        bound_to: The channel binding that it insists on.
    """

    def __init__(self, kind: Kind, bound_to: bytes | None = None) -> None:
        self._scheme = kind.scheme
        self._protocol = kind.protocol
        self._bound_to = bound_to
        self._context: spnego.ContextProxy | None = None
        self.users: list[str | None] = []
        self.complaints: list[str] = []

    def __call__(self, head: bytes) -> bytes:
        found = _FIELD.search(head)
        if found is None:
            return self._no()
        assert found[1].decode() == self._scheme
        token = b64decode(found[2], validate=True)
        if token.startswith((b"NTLMSSP\0\x01", b"\x60")):  # the first word of a handshake
            self._context = self._new_context()
        assert self._context is not None, "a handshake begins with its second word"
        try:
            said = self._context.step(token)
        except SpnegoError as error:
            self.complaints.append(type(error).__name__)
            return self._no()
        if not self._context.complete:
            return self._no(said)
        self.users.append(self._context.client_principal)
        return self._yes(said)

    def _new_context(self) -> spnego.ContextProxy:
        data = self._bound_to
        bindings = None if data is None else GssChannelBindings(application_data=data)
        return spnego.server(
            protocol=self._protocol,
            hostname="127.0.0.1",
            service="HTTP",
            channel_bindings=bindings,
        )

    def _no(self, token: bytes | None = None) -> bytes:
        # Squid's 407 has a page each time, and it must be read before the next leg.
        field = self._field(token, otherwise=f"Proxy-Authenticate: {self._scheme}\r\n".encode())
        return b"HTTP/1.1 407 Who\r\n" + field + b"Content-Length: 4\r\n\r\npage"

    def _yes(self, token: bytes | None) -> bytes:
        return b"HTTP/1.1 200 OK\r\n" + self._field(token) + b"\r\n"

    def _field(self, token: bytes | None, otherwise: bytes = b"") -> bytes:
        if not token:
            return otherwise
        return f"Proxy-Authenticate: {self._scheme} {b64encode(token).decode()}\r\n".encode()


def legs(acceptor: Acceptor, count: int = 3) -> list[Step]:
    """So many requests on one connection."""
    return [Receive(), Reply(acceptor)] * count


def credentials(proxy: ScriptedProxy) -> list[str]:
    """What each request carried: the scheme, and where it is NTLM the number of the message."""
    told: list[str] = []
    for head in proxy.heads:
        found = _FIELD.search(head)
        if found is None:
            told.append("-")
            continue
        message = b64decode(found[2]).partition(b"NTLMSSP\0")[2]
        told.append(f"{found[1].decode()} {message[0] if message else '?'}")
    return told


def printed(error: BaseException) -> str:
    """All that somebody prints who prints a lot."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    return "".join([*told, repr(vars(error))])


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_handshake(kind: Kind, shell: str, caplog: pytest.LogCaptureFixture) -> None:
    """AU-20, AU-24: three requests on one connection, and no token of ours in a log."""
    caplog.set_level(logging.DEBUG)
    acceptor = Acceptor(kind)
    with nothing_left(), ScriptedProxy(*legs(acceptor), *HI) as proxy:
        via = Proxy(proxy.url, auth=kind(USER, PASSWORD))
        assert converse(shell, via=via, timeout=5) == b"hi"
        assert proxy.wait_closed()
        assert proxy.connections == 1
        assert credentials(proxy) == ["-", f"{kind.scheme} 1", f"{kind.scheme} 3"]
    assert acceptor.users == [USER]
    for head in proxy.heads[1:]:
        token = _FIELD.search(head)
        assert token is not None
        logged = [r for r in caplog.records if token[2].decode() in r.getMessage()]
        # The acceptor says what it heard; it is not ours to be silenced.
        assert {record.getMessage().split(": ")[0] for record in logged} == {
            f"{'NTLM' if kind is NTLM else 'SPNEGO'} step input"
        }


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_password(kind: Kind, shell: str) -> None:
    """AU-20, AU-24: the message has the user, and nothing that is printed has the password."""
    acceptor = Acceptor(kind)
    with nothing_left(), ScriptedProxy(*legs(acceptor)) as proxy:
        via = Proxy(proxy.url, auth=kind(USER, WRONG))
        error = failure(shell, via=via, timeout=5)
        assert proxy.wait_closed()
        assert isinstance(error, ProxyAuthenticationRequired)
        assert error.response.status == 407
        assert error.response.body == b"page"
        assert error.tried == (kind.scheme,)
        assert "CORP\\\\alice" in str(error)
        assert WRONG not in printed(error)
        assert credentials(proxy) == ["-", f"{kind.scheme} 1", f"{kind.scheme} 3"]
    assert acceptor.users == []
    assert acceptor.complaints == ["InvalidTokenError"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_next_scheme_after_a_handshake_that_failed(shell: str) -> None:
    """AU-01, AU-20: it is asked for on the same connection, which is bound to nobody."""
    acceptor = Acceptor(NTLM)

    def offer_basic(head: bytes) -> bytes:
        return acceptor(head).replace(b"NTLM\r\n", b"NTLM, Basic realm=x\r\n")

    script = *legs(acceptor, 2), Receive(), Reply(offer_basic), Receive(), Send(OK), *HI
    with nothing_left(), ScriptedProxy(*script) as proxy:
        auth = Strongest(NTLM(USER, WRONG), Password(USER, PASSWORD, preemptive=False))
        assert converse(shell, via=Proxy(proxy.url, auth=auth), timeout=5) == b"hi"
        assert proxy.connections == 1
        assert credentials(proxy) == ["-", "NTLM 1", "NTLM 3", "Basic ?"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_proof_that_was_tampered_with(shell: str) -> None:
    """AU-20: SPNEGO's last token signs what was said before it (RFC 4178, 5)."""
    acceptor = Acceptor(Negotiate)

    def tamper(head: bytes) -> bytes:
        answer = acceptor(head)
        start, _, token = answer.rstrip().rpartition(b" ")
        octets = bytearray(b64decode(token))
        octets[-9] ^= 1  # in its MIC
        return start + b" " + b64encode(octets) + b"\r\n\r\n"

    with nothing_left(), ScriptedProxy(*legs(acceptor, 2), Receive(), Reply(tamper)) as proxy:
        error = failure(shell, via=Proxy(proxy.url, auth=Negotiate(USER, PASSWORD)), timeout=5)
        assert proxy.wait_closed()
    assert acceptor.users == [USER]
    assert isinstance(error, ProxyMisbehaved)
    assert error.phase == "auth"
    assert "its last Negotiate token does not prove who it is" in str(error)
    assert error.__cause__ is None
    assert PASSWORD not in printed(error)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_kdc_that_does_not_answer(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AU-20: the deadline covers what the library waits for, which is left to itself."""
    answers = threading.Event()

    def new_context(whose: object, host: str) -> NoReturn:
        answers.wait(5)
        raise LookupError

    monkeypatch.setattr("connect_tunnel.auth._negotiate.new_context", new_context)
    with nothing_left():
        with ScriptedProxy(*legs(Acceptor(Negotiate), 1)) as proxy, took(0.15, 2):
            via = Proxy(proxy.url, auth=Negotiate(USER, PASSWORD))
            error = failure(shell, via=via, timeout=0.2)
        answers.set()
    assert isinstance(error, TunnelTimeout)
    assert error.phase == "auth"
    assert PASSWORD not in printed(error)


# --- one connection, one identity ---


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("ends", [[Close()], [Wait(0.05), Close()], [HalfClose()]], ids=str)
def test_a_proxy_that_closes_between_legs(ends: list[Step], shell: str) -> None:
    """AU-20: said in clear words, and not tried on another connection."""
    acceptor = Acceptor(NTLM)
    with nothing_left(), ScriptedProxy(*legs(acceptor, 2), *ends) as proxy:
        error = failure(shell, via=Proxy(proxy.url, auth=NTLM(USER, PASSWORD)), timeout=5)
        assert proxy.connections == 1
    assert isinstance(error, ProxyHungUp)
    assert error.phase == "auth"
    assert "ended the connection in the middle of a handshake that is bound to it" in str(error)
    assert "the proxy has to keep it after a 407" in str(error)
    assert PASSWORD not in printed(error)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_closes_before_the_first_leg(kind: Kind, shell: str) -> None:
    """AU-20: both legs are on the second connection."""
    acceptor = Acceptor(kind)
    leg: list[Step] = [NextRequest(), Reply(acceptor)]
    with nothing_left(), ScriptedProxy(*leg, Close(), *leg, *leg, *HI) as proxy:
        via = Proxy(proxy.url, auth=kind(USER, PASSWORD))
        assert converse(shell, via=via, timeout=5) == b"hi"
        assert proxy.wait_closed()
        assert proxy.connections == 2
        first, second = (sent.count(b"CONNECT") for sent in proxy.received)
        assert (first, second) == (1, 2)
    assert acceptor.users == [USER]


def test_each_connection_has_a_handshake_of_its_own() -> None:
    """AU-05, AU-20: the next tunnel of a dialer begins with a token, and shares nothing."""
    acceptor = Acceptor(NTLM)
    script = Receive(), Reply(acceptor), Receive(), Reply(acceptor)
    with nothing_left(), ScriptedProxy(*legs(acceptor, 1), *script) as proxy:
        with Dialer(Proxy(proxy.url, auth=NTLM(USER, PASSWORD)), timeout=5) as dialer:
            first = dialer.open_tunnel("a.test:1")
            assert proxy.connections == 1
            with dialer.open_tunnel("b.test:1") as second:
                assert proxy.connections == 2
                assert second.response.status == 200
            first.close()
        assert proxy.wait_closed()
        assert credentials(proxy) == ["-", "NTLM 1", "NTLM 3", "NTLM 1", "NTLM 3"]
    assert acceptor.users == [USER, USER]


def test_each_identity_has_connections_of_its_own() -> None:
    """T9: who comes as somebody else never comes on a connection that was let in before."""
    acceptor = Acceptor(NTLM)
    with nothing_left(), ScriptedProxy(*legs(acceptor)) as proxy:
        for user, password in ((USER, PASSWORD), (OTHER_USER, OTHER_PASSWORD)) * 2:
            via = Proxy(proxy.url, auth=NTLM(user, password))
            with Dialer(via, timeout=5) as dialer, dialer.open_tunnel("a.test:1"):
                pass
        assert proxy.wait_closed()
        assert proxy.connections == 4
    assert acceptor.users == [USER, OTHER_USER] * 2


# --- channel bindings ---


@pytest.fixture(scope="module")
def binding(server_context: ssl.SSLContext) -> bytes:
    """The binding to the certificate of `server_context`, which SHA-256 is signed with."""
    with ScriptedProxy(ssl_context=server_context) as server:
        shown = ssl.get_server_certificate((server.host, server.port))
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).digest()
    return b"tls-server-end-point:" + digest


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_bound_to_the_certificate(
    kind: Kind,
    shell: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    binding: bytes,
) -> None:
    """AU-21: a proxy that insists on it finds its own certificate."""
    acceptor = Acceptor(kind, binding)
    with nothing_left(), ScriptedProxy(*legs(acceptor), *HI, ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, auth=kind(USER, PASSWORD), ssl_context=client_context)
        assert converse(shell, via=via, timeout=5) == b"hi"
    assert acceptor.users == [USER]


@pytest.mark.parametrize("kind", KINDS)
def test_bound_to_another_certificate(
    kind: Kind, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """AU-21: what somebody relays to a proxy with another certificate is worth nothing there."""
    acceptor = Acceptor(kind, b"tls-server-end-point:" + bytes(32))
    with ScriptedProxy(*legs(acceptor), ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, auth=kind(USER, PASSWORD), ssl_context=client_context)
        assert isinstance(failure("sync", via=via, timeout=5), ProxyAuthenticationRequired)
    assert acceptor.users == []
    assert acceptor.complaints == ["BadBindingsError"]


def test_bound_to_nothing_without_tls() -> None:
    """AU-21: there is no certificate to name."""
    acceptor = Acceptor(NTLM, b"tls-server-end-point:" + bytes(32))
    with ScriptedProxy(*legs(acceptor)) as proxy:
        via = Proxy(proxy.url, auth=NTLM(USER, PASSWORD))
        assert isinstance(failure("sync", via=via, timeout=5), ProxyAuthenticationRequired)
    assert acceptor.complaints == ["BadBindingsError"]
