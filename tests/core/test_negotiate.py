"""Negotiate and NTLM: which token goes when and where, and who gets to see what of them.

pyspnego is played by `Spoken`, a context that says what a test gave it; what pyspnego itself has
to say to a proxy is in `tests/loopback/test_ntlm.py`.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import pickle
import subprocess
import sys
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import spnego
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

import connect_tunnel
from connect_tunnel import (
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    Target,
    TunnelError,
    TunnelRefused,
)
from connect_tunnel._open import raise_refusal, request_tunnel
from connect_tunnel._route import Hop
from connect_tunnel._steps import Certificate, HangUp, Send
from connect_tunnel._walk import Opened
from connect_tunnel.auth import NTLM, Basic, Negotiate, Password, Strongest, _negotiate, _prompt
from connect_tunnel.auth._binding import bindings, end_point
from connect_tunnel.auth._negotiate import Handshake, explain
from connect_tunnel.testing import NextConnection, Replay, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from connect_tunnel._steps import Program, Step
    from connect_tunnel.auth._negotiate import Bound

    Give: TypeAlias = "Callable[..., list[tuple[Bound, str]]]"

Incoming: TypeAlias = "bytes | Exception | NextConnection"

URL = "http://192.0.2.1:3128"
PACKAGE = str(Path(connect_tunnel.__file__).parent)
TARGET = Target("imap.example.com", 993)
PASSWORD = "s3cr3t"
OK = b"HTTP/1.1 200 OK\r\n\r\n"


# ---- telling stories ----


class Spoken:
    """A security context that says what it was given, and tells what it heard.

    It is complete when it has said it all.
    """

    def __init__(self, *says: bytes | Exception | None) -> None:
        self._says = list(says)
        self.heard: list[bytes | None] = []
        self.bindings: list[bytes | None] = []

    @property
    def complete(self) -> bool:
        return not self._says

    def step(self, token: bytes | None, *, channel_bindings: Any) -> bytes | None:
        password = PASSWORD  # as in many a frame of pyspnego
        self.heard.append(token)
        self.bindings.append(channel_bindings and channel_bindings.application_data)
        said = self._says.pop(0)
        if isinstance(said, Exception):
            raise said
        assert password
        return said


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Give:
    """Give these contexts to those who make one, or fail; tells who made one, and for whom."""

    def play(*contexts: Spoken | Exception) -> list[tuple[Bound, str]]:
        left = list(contexts)
        made: list[tuple[Bound, str]] = []

        def new_context(whose: Bound, host: str) -> Spoken:
            made.append((whose, host))
            context = left.pop(0)
            if isinstance(context, Exception):
                raise context
            return context

        monkeypatch.setattr(_negotiate, "new_context", new_context)
        return made

    return play


def answer(status: int, *offers: str, closes: bool = False) -> bytes:
    """An answer with challenges. What is said in angle brackets is a token."""
    fields = [f"Proxy-Authenticate: {encoded(offer)}" for offer in offers]
    fields += ["Connection: close"] if closes else []
    fields += [] if status == 200 else ["Content-Length: 0"]
    return "\r\n".join([f"HTTP/1.1 {status} So", *fields, "", ""]).encode()


def encoded(offer: str) -> str:
    scheme, _, token = offer.partition(" <")
    return f"{scheme} {b64encode(token[:-1].encode()).decode()}" if token else scheme


NO = answer(407, "Negotiate")


def attempt(hop: Hop) -> Program[Opened | TunnelError]:
    """What a dialer does, with errors for values."""
    try:
        outcome = yield from request_tunnel((hop,), TARGET)
        return outcome if isinstance(outcome, Opened) else (yield from raise_refusal(outcome))
    except TunnelError as error:
        return error


def run(
    hop: Hop | Proxy, *incoming: Incoming, certificate: bytes | None = None
) -> Replay[Opened | TunnelError]:
    hop = Hop(hop) if isinstance(hop, Proxy) else hop
    return replay(attempt(hop), *incoming, results={Certificate: certificate})


def story(done: Replay[Any]) -> list[str]:
    """The credentials of each request, and where we hung up."""
    return [told for step in done.steps if (told := _told(step))]


def _told(step: Step[Any]) -> str | None:
    match step:
        case HangUp():
            return "hang up"
        case Send(data):
            _, found, rest = data.decode().partition("Proxy-Authorization: ")
            if not found:
                return "-"
            scheme, _, token = rest.partition("\r\n")[0].partition(" ")
            return f"{scheme} <{b64decode(token, validate=True).decode()}>"
        case _:
            return None


def failure(done: Replay[Opened | TunnelError], kind: type[TunnelError]) -> Any:
    assert type(done.value) is kind, repr(done.value)
    return done.value


# ---- legs ----


@pytest.mark.parametrize(
    ("says", "answers", "told", "heard"),
    [
        pytest.param(
            [b"A", None],
            [NO, OK],
            ["-", "Negotiate <A>"],
            [None],
            id="one leg, and a proxy that does not prove itself",
        ),
        pytest.param(
            [b"A", None],
            [NO, answer(200, "Negotiate <a>")],
            ["-", "Negotiate <A>"],
            [None, b"a"],
            id="one leg, and one that does",
        ),
        pytest.param(
            [b"A"],
            [NO, answer(200, "Negotiate <a>")],
            ["-", "Negotiate <A>"],
            [None],
            id="one leg, and a proof after all was said",
        ),
        pytest.param(
            [b"A", None],
            [NO, answer(200, "Negotiate", "Basic <a>")],
            ["-", "Negotiate <A>"],
            [None],
            id="one leg, and a 2xx with challenges",
        ),
        pytest.param(
            [b"A", b"B"],
            [NO, answer(407, "Basic realm=x", "Negotiate <a>"), OK],
            ["-", "Negotiate <A>", "Negotiate <B>"],
            [None, b"a"],
            id="two legs",
        ),
        pytest.param(
            [b"A", b"B", b"C", b""],
            [
                NO,
                answer(407, "negotiate <a>"),
                answer(407, "Negotiate <b>"),
                answer(200, "NEGOTIATE <c>"),
            ],
            ["-", "Negotiate <A>", "Negotiate <B>", "Negotiate <C>"],
            [None, b"a", b"b", b"c"],
            id="three legs, and a proxy that proves itself",
        ),
    ],
)
def test_au_20_legs(
    says: list[bytes | None],
    answers: list[bytes],
    told: list[str],
    heard: list[bytes | None],
    give: Give,
) -> None:
    """AU-20: tokens go both ways on one connection, the last before the tunnel is used."""
    context = Spoken(*says)
    made = give(context)
    done = run(Proxy(URL, auth=Negotiate()), *answers)
    assert isinstance(done.value, Opened)
    assert story(done) == told
    assert context.heard == heard
    assert made == [(Negotiate(), "192.0.2.1")]


def test_au_20_ntlm(give: Give) -> None:
    """AU-20: the same under another name, where the names of schemes are minded."""
    give(Spoken(b"1", b"3"))
    offers = answer(407, "Negotiate", "NTLM"), answer(407, "Negotiate <x>", "NTLM <2>")
    done = run(Proxy(URL, auth=NTLM("alice", PASSWORD)), *offers, OK)
    assert isinstance(done.value, Opened)
    assert story(done) == ["-", "NTLM <1>", "NTLM <3>"]


@pytest.mark.parametrize(
    ("says", "answers", "told", "tried"),
    [
        pytest.param(
            [b"A", b"B"], [NO, NO], ["-", "Negotiate <A>"], "Negotiate", id="after the first leg"
        ),
        pytest.param(
            [b"A", b"B", b"C"],
            [NO, answer(407, "Negotiate <a>"), NO],
            ["-", "Negotiate <A>", "Negotiate <B>"],
            "Negotiate",
            id="after the second",
        ),
        pytest.param(
            [b"A", b"B"],
            [NO, answer(407, "Digest realm=x, nonce=n")],
            ["-", "Negotiate <A>"],
            "Negotiate",
            id="by a proxy that offers something else",
        ),
        pytest.param(
            [b"A", b"B"],
            [NO, answer(407, "Negotiate <a>").replace(b"YQ==", b"Y~Q==")],
            ["-", "Negotiate <A>"],
            "Negotiate (the proxy's token is no good)",
            id="by a token that is not Base64",
        ),
        pytest.param(
            [b"A", ValueError(PASSWORD)],
            [NO, answer(407, "Negotiate <a>")],
            ["-", "Negotiate <A>"],
            "Negotiate (the proxy's token is no good)",
            id="by a token that means nothing",
        ),
        pytest.param(
            [b"A", None, b"B"],
            [NO, answer(407, "Negotiate <a>")],
            ["-", "Negotiate <A>"],
            "Negotiate",
            id="by a token to which there is nothing to say",
        ),
        pytest.param(
            [b"A"],
            [NO, answer(407, "Negotiate <a>")],
            ["-", "Negotiate <A>"],
            "Negotiate",
            id="by a token after all was said",
        ),
        pytest.param(
            [b"A", b"B", b"C", b"D", b"E"],
            [NO, *[answer(407, "Negotiate <a>")] * 4],
            ["-", "Negotiate <A>", "Negotiate <B>", "Negotiate <C>", "Negotiate <D>"],
            "Negotiate",
            id="by one token after the other",
        ),
    ],
)
def test_au_20_rejected(
    says: list[bytes | Exception | None],
    answers: list[bytes],
    told: list[str],
    tried: str,
    give: Give,
) -> None:
    """AU-01, AU-20: a 407 that does not go on means no, and so does one too many."""
    give(Spoken(*says))
    done = run(Proxy(URL, auth=Negotiate("alice", PASSWORD)), *answers)
    error = failure(done, ProxyAuthenticationRequired)
    assert story(done) == [*told, "hang up"]
    assert error.tried == (tried,)
    assert "'alice'" in str(error)
    assert PASSWORD not in seen(error)


def test_au_20_not_asked_for(give: Give) -> None:
    """AU-01: no context is made for a scheme that the proxy does not offer."""
    made = give()
    done = run(Proxy(URL, auth=Negotiate()), answer(407, "NTLM"))
    assert failure(done, ProxyAuthenticationRequired).tried == ()
    assert made == []


@pytest.mark.parametrize(
    ("proof", "error"),
    [
        pytest.param("Negotiate <a>", ValueError(PASSWORD), id="no good"),
        pytest.param("Negotiate YQ=", None, id="not Base64"),
    ],
)
def test_au_20_a_proxy_that_proves_to_be_another(
    proof: str, error: Exception | None, give: Give
) -> None:
    """AU-20: a last token that is wrong is found before the tunnel is used."""
    give(Spoken(b"A", error, None))
    hop = Hop(Proxy(URL, auth=Negotiate("alice", PASSWORD)))
    done = run(hop, NO, answer(200, proof))
    found = failure(done, ProxyMisbehaved)
    assert found.phase == "auth"
    assert "its last Negotiate token does not prove who it is" in str(found)
    assert found.__context__ is found.__cause__ is None
    assert PASSWORD not in seen(found)
    give(Spoken(b"B"))
    assert story(run(hop, NO, OK)) == ["-", "Negotiate <B>"]  # nothing was learnt from it


def test_au_20_a_refusal_proves_nothing(give: Give) -> None:
    """AU-20: there is no tunnel to be used, and its page is not thrown away."""
    context = Spoken(b"A", ValueError())
    give(context)
    done = run(Proxy(URL, auth=Negotiate()), NO, answer(403, "Negotiate <a>"))
    assert failure(done, TunnelRefused).response.status == 403
    assert context.heard == [None]


# ---- one connection ----


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param([answer(407, "Negotiate <a>", closes=True)], id="as it said it would"),
        pytest.param([answer(407, "Negotiate <a>"), b""], id="without a word"),
        pytest.param([answer(407, "Negotiate <a>"), ProxyHungUp("reset it")], id="by a reset"),
    ],
)
def test_au_20_a_connection_that_ends_between_legs(ends: list[Incoming], give: Give) -> None:
    """AU-20: its tokens are good on no other, which is said rather than tried."""
    give(Spoken(b"A", b"B", None))
    error = failure(run(Proxy(URL, auth=Negotiate()), NO, *ends), ProxyHungUp)
    assert error.phase == "auth"
    assert "in the middle of a handshake that is bound to it" in str(error)
    assert "the proxy has to keep it after a 407" in str(error)


def test_au_20_a_connection_that_ends_before_the_first_leg(give: Give) -> None:
    """AU-20: the first token is good on any; what the proxy asks, it may ask on another."""
    context = Spoken(b"A", b"B")
    give(context)
    first = answer(407, "Negotiate", closes=True), NextConnection()
    done = run(Proxy(URL, auth=Negotiate()), *first, answer(407, "Negotiate <a>"), OK)
    assert isinstance(done.value, Opened)
    assert story(done) == ["-", "hang up", "Negotiate <A>", "Negotiate <B>"]
    assert context.heard == [None, b"a"]


@pytest.mark.parametrize("auth", [Negotiate(), NTLM("alice", PASSWORD)], ids=repr)
def test_au_05_what_worked_begins_at_once(auth: Bound, give: Give) -> None:
    """AU-05, AU-20: the next tunnel needs no question, but a handshake of its own."""
    name = auth.scheme
    hop = Hop(Proxy(URL, auth=auth))
    made = give(*(Spoken(b"A", b"B") for _ in range(3)))
    legs = answer(407, f"{name} <a>"), OK
    assert story(run(hop, answer(407, name), *legs)) == ["-", f"{name} <A>", f"{name} <B>"]
    assert story(run(hop, *legs)) == [f"{name} <A>", f"{name} <B>"]
    assert len(made) == 2
    assert hop.memory is not None
    assert list(hop.memory._known.values()) == [auth]  # and nothing of a context
    rejected = run(hop, answer(407, name))
    assert story(rejected) == [f"{name} <A>", "hang up"]
    give(Spoken(b"A"))
    assert story(run(hop, answer(407, name), OK)) == ["-", f"{name} <A>"]


def test_au_05_what_worked_and_cannot_begin(give: Give) -> None:
    """AU-05: where the ticket has expired since, the proxy is asked for what else would do."""
    hop = Hop(Proxy(URL, auth=Strongest(Negotiate(), Basic("u", "p", preemptive=False))))
    give(Spoken(b"A"), LookupError())
    run(hop, NO, OK)
    done = run(hop, answer(407, "Negotiate", "Basic"), OK)
    assert story(done) == ["-", "Basic <u:p>"]


@pytest.mark.parametrize("error", [LookupError(PASSWORD), OSError(PASSWORD)], ids=repr)
@pytest.mark.parametrize("step", [True, False])
def test_au_20_nothing_to_begin_with(error: Exception, step: bool, give: Give) -> None:
    """AU-20, AU-24: why is said without a secret, and no exception of the library gets out."""
    give(Spoken(error) if step else error)
    found = failure(
        run(Proxy(URL, auth=Negotiate("alice", PASSWORD)), NO), ProxyAuthenticationRequired
    )
    assert found.tried == (f"Negotiate (pyspnego raised {type(error).__name__})",)
    assert found.__context__ is found.__cause__ is None
    assert PASSWORD not in seen(found)


def test_au_03_the_next_best_where_there_is_no_ticket(give: Give) -> None:
    """AU-03: Negotiate is the strongest; without a ticket the password has to do."""
    give(named("NoCredentialError"))
    password = Password("alice", PASSWORD, preemptive=False)
    hop = Hop(Proxy(URL, auth=Strongest(password, Negotiate())))
    done = run(hop, answer(407, "Basic realm=x", "Negotiate"), OK)
    assert isinstance(done.value, Opened)
    assert story(done) == ["-", f"Basic <alice:{PASSWORD}>"]


# ---- channel bindings ----


def certificate_of(key: Any, algorithm: Any) -> bytes:
    name = x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def certificate() -> bytes:
    """Signed with ECDSA and SHA-384."""
    return certificate_of(ec.generate_private_key(ec.SECP256R1()), hashes.SHA384())


@pytest.mark.parametrize("url", ["https://192.0.2.1", "http://192.0.2.1"])
def test_au_21_bound_to_the_proxy_s_certificate(url: str, certificate: bytes, give: Give) -> None:
    """AU-21: every token is, where there is TLS; it may be another certificate by then."""
    context = Spoken(b"A", b"B", None)
    give(context)
    done = run(
        Proxy(url, auth=Negotiate()),
        *(NO, answer(407, "Negotiate <a>"), answer(200, "Negotiate <b>")),
        certificate=certificate,
    )
    assert isinstance(done.value, Opened)
    digest = b"tls-server-end-point:" + hashlib.sha384(certificate).digest()
    asked = [step for step in done.steps if isinstance(step, Certificate)]
    assert context.heard == [None, b"a", b"b"]
    assert context.bindings == ([digest] * 3 if url.startswith("https") else [None] * 3)
    assert len(asked) == (3 if url.startswith("https") else 0)


def test_au_21_no_certificate_no_binding(give: Give) -> None:
    context = Spoken(b"A")
    give(context)
    run(Proxy("https://192.0.2.1", auth=Negotiate()), NO, OK)
    assert context.bindings == [None]


# The last octet of what names "sha...WithRSAEncryption" (RFC 8017, A.2.4).
@pytest.mark.parametrize(
    ("named", "name"),
    [
        pytest.param(4, "sha256", id="MD5, which is broken"),
        pytest.param(5, "sha256", id="SHA-1, which is broken"),
        pytest.param(11, "sha256", id="SHA-256"),
        pytest.param(12, "sha384", id="SHA-384"),
        pytest.param(13, "sha512", id="SHA-512"),
        pytest.param(99, None, id="what nobody knows"),
    ],
)
def test_au_21_the_hash_of_the_signature(named: int, name: str | None, signed: bytes) -> None:
    """AU-21: RFC 5929, 4.1."""
    rsa_with = bytes.fromhex("2a864886f70d0101")
    assert signed.count(rsa_with + b"\x0b") == 2
    data = signed.replace(rsa_with + b"\x0b", rsa_with + bytes([named]))
    expected = None if name is None else hashlib.new(name, data).digest()
    assert end_point(data) == (expected and b"tls-server-end-point:" + expected)


@pytest.fixture(scope="module")
def signed() -> bytes:
    return certificate_of(rsa.generate_private_key(65537, 2048), hashes.SHA256())


def test_au_21_no_hash_no_binding() -> None:
    """AU-21: RFC 5929 defines none for these, and what cannot be read has none."""
    assert end_point(certificate_of(ed25519.Ed25519PrivateKey.generate(), None)) is None
    assert end_point(b"no certificate") is None
    assert bindings(b"no certificate") is None


# ---- what pyspnego is asked for ----


@pytest.mark.parametrize(
    ("auth", "asked"),
    [
        pytest.param(Negotiate(), {"protocol": "negotiate"}, id="a ticket"),
        pytest.param(
            Negotiate("alice"), {"protocol": "negotiate", "username": "alice"}, id="of a user"
        ),
        pytest.param(
            Negotiate("alice", PASSWORD),
            {"protocol": "negotiate", "username": spnego.Password("alice", PASSWORD)},
            id="to be got with a password",
        ),
        pytest.param(
            Negotiate(service="proxy", hostname="p.corp.test", delegate=True),
            {
                "protocol": "negotiate",
                "service": "proxy",
                "hostname": "p.corp.test",
                "context_req": spnego.ContextReq.default | spnego.ContextReq.delegate,
            },
            id="by another name, to be passed on",
        ),
        pytest.param(
            NTLM("CORP\\alice", ""),
            {"protocol": "ntlm", "username": spnego.Password("CORP\\alice", "")},
            id="NTLM, without a password",
        ),
        pytest.param(
            NTLM("alice", f"{'0' * 32}:{'1' * 32}", service="proxy", hostname="p.corp.test"),
            {
                "protocol": "ntlm",
                "username": spnego.Password("alice", f"{'0' * 32}:{'1' * 32}"),
                "service": "proxy",
                "hostname": "p.corp.test",
            },
            id="NTLM, with a password that looks like a hash",
        ),
    ],
)
def test_au_20_what_is_asked_of_pyspnego(
    auth: Bound, asked: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """AU-20: the service is HTTP@ and the proxy's name, unless it goes by another."""
    calls: list[dict[str, object]] = []

    def client(username: object = None, **options: object) -> Spoken:
        calls.append({"username": username, **options})
        return Spoken(b"A")

    monkeypatch.setattr(spnego, "client", client)
    done = run(Proxy("http://Proxy.test.:3128", auth=auth), answer(407, auth.scheme), OK)
    assert isinstance(done.value, Opened)
    default = {
        "username": None,
        "service": "HTTP",
        "hostname": "proxy.test",
        "context_req": spnego.ContextReq.default,
    }
    assert calls == [{**default, **asked}]


class Reported(Exception):
    """As pyspnego, gssapi and krb5 report what has happened."""

    def __init__(self, base_error: Exception | None = None, **codes: int) -> None:
        super().__init__(PASSWORD)
        self.base_error = base_error
        self.__dict__.update(codes)


def named(name: str, base_error: Exception | None = None, **codes: int) -> Exception:
    kind: type[Reported] = type(name, (Reported,), {})
    return kind(base_error, **codes)


UNSIGNED = 1 << 32


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (named("NoCredentialError"), "no Kerberos ticket"),
        (named("CredentialsExpiredError"), "the Kerberos ticket has expired"),
        (named("OperationNotAvailableError"), "no Kerberos ticket"),
        (named("BadMechanismError"), None),
        (named("BadMechanismError", named("NoCredentialError")), "no Kerberos ticket"),
        (named("NoCredentialError", named("GSSError", min_code=5)), "no Kerberos ticket"),
        (
            named("SpnegoError", named("ExpiredCredentialsError", maj_code=720896)),
            "the Kerberos ticket has expired",
        ),
        (
            named("SpnegoError", named("GSSError", min_code=UNSIGNED - 1765328377)),
            "the proxy is unknown to Kerberos",
        ),
        (
            named("SpnegoError", named("GSSError", min_code=UNSIGNED - 1765328347)),
            "the clock is wrong for Kerberos",
        ),
        (named("Krb5Error", err_code=-1765328228), "no KDC answers"),
        (named("Krb5Error", err_code=-1765328230), "no KDC is known"),
        (
            named("SpnegoError", named("MissingCredentialsError", min_code=UNSIGNED - 1765328243)),
            "no Kerberos ticket",
        ),
        (ValueError(PASSWORD), None),
    ],
)
def test_au_20_why_there_is_no_token(
    error: Exception, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AU-20, AU-24: in words of ours, since theirs may hold anything."""
    installed(monkeypatch, "gssapi", "krb5")
    assert explain(error) == words
    installed(monkeypatch, "gssapi")
    missing = "gssapi and krb5 are not installed"
    assert explain(error) == (missing if words == "no Kerberos ticket" else words)


def installed(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    def find_spec(name: str) -> str | None:
        return name if name in modules else None

    monkeypatch.setattr(_negotiate, "find_spec", find_spec)
    monkeypatch.setattr(_prompt, "find_spec", find_spec)


# ---- what they are ----


@pytest.mark.parametrize(
    ("user", "password"), [("", None), ("", PASSWORD), ("a\n", PASSWORD), ("a", f"{PASSWORD}\r\n")]
)
@pytest.mark.parametrize("kind", [Negotiate, NTLM])
def test_au_08_what_is_no_user_and_password(
    kind: Any, user: str | None, password: str | None
) -> None:
    with pytest.raises(
        ValueError, match=r"a user has a name|control characters|are text"
    ) as caught:
        kind(user, password)
    assert PASSWORD not in seen(caught.value)


def test_au_08_a_password_of_nobody() -> None:
    with pytest.raises(ValueError, match="a user has a name, and a password a user") as caught:
        Negotiate(password=PASSWORD)
    assert PASSWORD not in seen(caught.value)


@pytest.mark.parametrize("kind", [Negotiate, NTLM])
def test_without_the_extra(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "gssapi", "krb5")
    with pytest.raises(ImportError, match=r'pip install "connect_tunnel\[negotiate\]"') as caught:
        kind("alice", PASSWORD)
    assert kind.__name__ in str(caught.value)
    assert PASSWORD not in seen(caught.value)


ONE_EACH: list[Bound] = [
    Negotiate(),
    Negotiate("alice"),
    Negotiate("alice", "p"),
    Negotiate("alice", "q"),
    Negotiate("bob", "p"),
    Negotiate(service="http"),
    Negotiate(hostname="p.test"),
    Negotiate(delegate=True),
    NTLM("alice", "p"),
    NTLM("alice", "q"),
    NTLM("alice", "p", service="http"),
    NTLM("alice", "p", hostname="p.test"),
]


def test_au_06_identities() -> None:
    """AU-06: two are equal if they stand for the same credentials."""
    for i, one in enumerate(ONE_EACH):
        assert one != one.user
        for j, other in enumerate(ONE_EACH):
            assert (one == other) is (i == j)
    assert len(set(ONE_EACH)) == len(ONE_EACH)
    assert Negotiate("alice", "p") == Negotiate("alice", "p")
    assert hash(NTLM("alice", "p")) == hash(NTLM("alice", "p"))


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        (Negotiate(), "Negotiate()"),
        (Negotiate("alice"), "Negotiate('alice')"),
        (Negotiate("alice", PASSWORD), "Negotiate('alice', ***)"),
        (NTLM("CORP\\alice", PASSWORD), "NTLM('CORP\\\\alice', ***)"),
        (NTLM("alice", ""), "NTLM('alice', ***)"),
    ],
    ids=str,
)
def test_au_24_not_shown(auth: Bound, shown: str) -> None:
    """AU-24: neither in a repr nor in a pickle; what holds no secret may be pickled."""
    assert repr(auth) == shown
    assert copy.deepcopy(auth) is auth
    if "***" not in shown:
        assert pickle.loads(pickle.dumps(auth)) == auth
        return
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps(auth)


@pytest.mark.parametrize("name", ["user", "preemptive", "delegate", "_password"])
def test_t12_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Negotiate("alice", PASSWORD), name, "x")


def test_au_03_their_ranks() -> None:
    """AU-03."""
    assert Negotiate.rank > NTLM.rank > Basic.rank
    assert not Negotiate.preemptive
    assert not NTLM.preemptive


# ---- what is seen of them ----


def seen(error: BaseException) -> str:
    """What of an error, those behind it and the frames of ours that it came through is printed."""
    shown = [f"{error!r} {error} {vars(error)}"]
    shown += [repr(frame) for frame in frames(error.__traceback__)]
    behind = (error.__cause__, error.__context__)
    return "\n".join([*shown, *(seen(cause) for cause in behind if cause is not None)])


def frames(traceback: TracebackType | None) -> Iterator[dict[str, object]]:
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename.startswith(PACKAGE):
            yield traceback.tb_frame.f_locals
        traceback = traceback.tb_next


def test_au_24_tokens_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """AU-24: pyspnego logs each at DEBUG, and goes on to do so for everybody else."""
    caplog.set_level(logging.DEBUG)
    ours = Handshake(NTLM("alice", PASSWORD), "p.test").advance(None, None)
    assert not isinstance(ours, str)
    assert ours is not None
    assert ours.reveal().startswith(b"NTLM TlRMTVNTUAAB")
    assert caplog.records == []
    spnego.client("alice", PASSWORD, protocol="ntlm").step()
    assert "step output: TlRMTVNTUAAB" in caplog.text


def test_au_20_why_kerberos_failed_is_logged(caplog: pytest.LogCaptureFixture, give: Give) -> None:
    """It is good to know, and pyspnego tells nobody else of it."""
    _negotiate.new_context(NTLM("alice", PASSWORD), "p.test")

    class Failing(Spoken):
        def step(self, token: bytes | None, *, channel_bindings: Any) -> bytes | None:
            log = logging.getLogger("spnego._negotiate")
            log.debug("Failed to create context for SPNEGO protocol %s: %s", "kerberos", "skew")
            log.debug("SPNEGO step output: %s", PASSWORD)
            return super().step(token, channel_bindings=channel_bindings)

    caplog.set_level(logging.DEBUG)
    give(Failing(b"A"))
    Handshake(Negotiate(), "p.test").advance(None, None)
    assert [record.getMessage()[-14:] for record in caplog.records] == ["kerberos: skew"]


def test_what_is_loaded_when() -> None:
    """AU-20: a library, and one of 100 ms, only when there is a token to be made."""
    code = (
        "import sys, connect_tunnel.auth as a; a.Negotiate(); a.NTLM('alice', 'p');"
        "print({'spnego', 'cryptography', 'gssapi', 'logging'} & set(sys.modules) or 'nothing')"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True)
    assert done.stdout.split() == [b"nothing"]
