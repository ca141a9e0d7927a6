"""Negotiate (RFC 4559) and NTLM (MS-NLMP, MS-NTHT): who asks is settled in a handshake.

Tokens go back and forth, ours in CONNECT and the proxy's in its 407, until it knows who asks: by
Kerberos or by NTLM, which pyspnego speaks. RFC 4559 has origins in mind; proxies do the same.

What tokens prove is who is at the other end of *a connection*. From the second on they are good
on no other, and one that ends between two of them takes the handshake with it. So nothing of a
handshake outlives it: a security context is made in `converse` and dropped there. All that a
`Dialer` remembers is that the scheme did well, to begin its next tunnel with a token rather than
with the question whether one is wanted.

pyspnego runs in a thread, for it reads files and may wait for a KDC. No exception of its comes
out of there: the frames in its traceback hold the password.
"""

from __future__ import annotations

import binascii
import sys
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import ProxyMisbehaved
from connect_tunnel._frozen import Frozen
from connect_tunnel._secret import Secret
from connect_tunnel._steps import Certificate, Offload

from ._auth import Unable
from ._basic import complain
from ._binding import bindings
from ._challenges import parse_challenges
from ._prompt import need
from ._scheme import Scheme

if TYPE_CHECKING:
    from collections.abc import Sequence
    from logging import LogRecord
    from typing import ClassVar

    from spnego import ContextProxy

    from connect_tunnel._challenge import Challenge
    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._steps import Program

    from ._auth import Flow
    from ._exchange import Exchange

# NTLM takes two. SPNEGO takes one more for a mechanism that the proxy does not want, and one
# more for the proof that nobody changed the list of them (RFC 4178, 5).
_MOST_LEGS = 4


class Bound(Frozen, Scheme):
    """A scheme that says who is at the other end of a connection, in tokens of pyspnego."""

    __slots__ = ("_password", "delegate", "hostname", "service", "user")

    protocol: ClassVar[str]
    preemptive = False

    _password: Secret[str] | None
    delegate: bool
    hostname: str | None
    service: str
    user: str | None

    def _make(self, secret: Secret[str] | ValueError | None, **facts: str | bool | None) -> None:
        if isinstance(secret, ValueError):
            raise secret
        need("spnego", extra="negotiate", what=type(self).__name__)
        self._set(_password=secret, **facts)

    def converse(self, exchange: Exchange, challenge: Challenge | None) -> Flow:
        """Give a token for each of the proxy's; the first needs none, and so no challenge.

        Raises:
            Unable: There is no token to begin with, or none for what the proxy answered.
            ProxyMisbehaved: The proxy tried to prove who it is, and failed.
        """
        del challenge
        host = self.hostname or exchange.proxy.endpoint.server_hostname
        handshake = Handshake(self, host)
        offered: str | None = None
        for leg in range(_MOST_LEGS):
            token = yield from self._advance(handshake, offered, exchange)
            if isinstance(token, str):
                raise Unable(token)
            if token is None:
                return
            exchange.bound = leg > 0
            response: ProxyResponse = yield token
            if not exchange.rejected:
                yield from self._see_proof(handshake, response, exchange)
                return
            offered = self._token_of(exchange.challenges)
            if offered is None:  # no, where "go on" would have had one
                return

    def _advance(
        self, handshake: Handshake, offered: str | None, exchange: Exchange
    ) -> Program[Secret[bytes] | str | None]:
        certificate: bytes | None = None
        if exchange.proxy.scheme == "https":
            # Anew each time: the first token may have been rejected on another connection.
            certificate = yield from Certificate()
        return (yield from Offload(handshake.advance, offered, certificate))

    def _see_proof(
        self, handshake: Handshake, response: ProxyResponse, exchange: Exchange
    ) -> Program[None]:
        """Check what comes with a 2xx, of those who prove who they are; squid does not."""
        proof = self._token_of(parse_challenges(response.headers.get_list("proxy-authenticate")))
        if proof is None or not 200 <= response.status < 300:
            return
        said = yield from self._advance(handshake, proof, exchange)
        if isinstance(said, str):
            raise ProxyMisbehaved(
                f"granted the tunnel, but its last {self.scheme} token does not prove who it is "
                f"({said})",
                phase="auth",
                hint="it may be another proxy that answers in its place",
            )

    def _token_of(self, challenges: Sequence[Challenge]) -> str | None:
        challenge = self.choose(challenges)
        return None if challenge is None else challenge.token68

    def _facts(self) -> tuple[object, ...]:
        return self.user, self._password, self.service, self.hostname, self.delegate

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, Bound)
            and self._facts() == other._facts()
        )

    def __hash__(self) -> int:
        return hash((type(self), self._facts()))

    def _shown(self) -> str:
        shown = [] if self.user is None else [repr(self.user)]
        shown += [] if self._password is None else ["***"]
        return f"{type(self).__name__}({', '.join(shown)})"


class Negotiate(Bound):
    """The ticket that the user has logged in with (Kerberos). Extra: `connect_tunnel[negotiate]`.

    Args:
        user: Whose ticket, of several; whichever fits the proxy by default.
        password: Gets a ticket, if need be, and NTLM if there is none to be got.
        service: What the proxy is to Kerberos.
        hostname: The proxy's name in Kerberos, if it is not that of its URL.
        delegate: Whether the proxy may act in the user's name; only one that is trusted fully.

    Raises:
        ImportError: The extra is not installed.
        ValueError: There is a password and no user, or either is not usable.
    """

    __slots__ = ()

    scheme = "Negotiate"
    rank = 5
    protocol = "negotiate"

    def __init__(
        self,
        user: str | None = None,
        password: str | None = None,
        *,
        service: str = "HTTP",
        hostname: str | None = None,
        delegate: bool = False,
    ) -> None:
        secret = _read(user, password)
        del password  # before anything can fail in sight of it
        self._make(secret, user=user, service=service, hostname=hostname, delegate=delegate)


class NTLM(Bound):
    r"""User and password, of which only proofs are sent. Extra: `connect_tunnel[negotiate]`.

    Version 2 of them (MS-NLMP, 3.3.2). It needs no Kerberos: pyspnego by itself will do.

    Args:
        user: The user, or DOMAIN\\user.
        password: The password; may be empty.
        service: What the proxy is called among the domain's services.
        hostname: The proxy's name there, if it is not that of its URL.

    Raises:
        ImportError: The extra is not installed.
        ValueError: Either has control characters, or the user is empty.
    """

    __slots__ = ()

    scheme = "NTLM"
    rank = 3
    protocol = "ntlm"

    def __init__(
        self, user: str, password: str, *, service: str = "HTTP", hostname: str | None = None
    ) -> None:
        secret = _read(user, password)
        del password  # as above
        self._make(secret, user=user, service=service, hostname=hostname, delegate=False)


def _read(user: str | None, password: str | None) -> Secret[str] | ValueError | None:
    """The password, or what is wrong with it, to be raised where it is not to be seen."""
    if user is None and password is None:
        return None
    if not user:
        return ValueError("a user has a name, and a password a user")
    complaint = complain(user, "" if password is None else password)
    return ValueError(complaint) if complaint else None if password is None else Secret(password)


class Handshake:
    """A security context for one connection, and what there is to say in it.

    Args:
        whose: Who asks.
        host: The proxy's name.
    """

    __slots__ = ("_context", "_host", "_whose")

    def __init__(self, whose: Bound, host: str) -> None:
        self._whose: Final = whose
        self._host: Final = host
        self._context: ContextProxy | None = None

    def advance(self, offered: str | None, certificate: bytes | None) -> Secret[bytes] | str | None:
        """Take a token and make the next. It may wait, and it never raises.

        Args:
            offered: The proxy's token, in Base64.
            certificate: The proxy's certificate, DER.

        Returns:
            The credentials that go with the next request; None if there is nothing more to say;
            or why there are none, in words.
        """
        ours = _ours.set(True)
        try:
            return self._speak(offered, certificate)
        except Exception as error:  # noqa: BLE001 - its frames hold the password
            failed = f"pyspnego raised {type(error).__name__}"
            return explain(error) or ("the proxy's token is no good" if offered else failed)
        finally:
            _ours.reset(ours)

    def _speak(self, offered: str | None, certificate: bytes | None) -> Secret[bytes] | None:
        context = self._context
        if context is None:
            context = self._context = new_context(self._whose, self._host)
        if context.complete:  # has said it all; pyspnego's NTLM would begin again
            return None
        token = None if offered is None else binascii.a2b_base64(offered, strict_mode=True)
        said = context.step(token, channel_bindings=bindings(certificate))
        if not said:
            return None
        scheme = self._whose.scheme.encode()
        return Secret(b"%b %b" % (scheme, binascii.b2a_base64(said, newline=False)))


def new_context(whose: Bound, host: str) -> ContextProxy:
    """A security context, which is yet to say its first word."""
    import spnego  # noqa: PLC0415 - an extra, and 100 ms

    _hush()
    flags = spnego.ContextReq.default
    if whose.delegate:
        flags |= spnego.ContextReq.delegate
    return spnego.client(
        # As an object, since pyspnego takes a str for a hash if it looks like one.
        whose.user
        if whose.user is None or whose._password is None
        else spnego.Password(whose.user, whose._password.reveal()),
        hostname=host,
        service=whose.service,
        protocol=whose.protocol,
        context_req=flags,
    )


# Whether what pyspnego does at the moment it does for us.
_ours: ContextVar[bool] = ContextVar("connect_tunnel.negotiate", default=False)


def _hush() -> None:
    """Keep tokens out of logs: at DEBUG pyspnego writes down each one, in full."""
    import logging  # noqa: PLC0415 - pyspnego has loaded it

    for name in list(sys.modules):  # others may import meanwhile
        if name.startswith("spnego"):
            logging.getLogger(name).addFilter(_is_fit_for_logs)


def _is_fit_for_logs(record: LogRecord) -> bool:
    # What failed, and why, is said without tokens, and is good to know.
    return not _ours.get() or str(record.msg).startswith("Failed to ")


# Numbers of MIT's and Heimdal's krb5_err.h; the first of them are those of RFC 4120, 7.5.9.
_KRB5 = -1765328384
_NO_TICKET = "no Kerberos ticket"
_EXPIRED = "the Kerberos ticket has expired"
_BY_CODE = {
    _KRB5 + 7: "the proxy is unknown to Kerberos",
    _KRB5 + 32: _EXPIRED,
    _KRB5 + 37: "the clock is wrong for Kerberos",
    _KRB5 + 141: _NO_TICKET,
    _KRB5 + 154: "no KDC is known",
    _KRB5 + 156: "no KDC answers",
    _KRB5 + 195: _NO_TICKET,
    _KRB5 + 220: "no KDC is known",
}
# What pyspnego and gssapi call what has happened.
_BY_NAME = {
    "CredentialsExpiredError": _EXPIRED,
    "ExpiredCredentialsError": _EXPIRED,
    "MissingCredentialsError": _NO_TICKET,
    "NoCredentialError": _NO_TICKET,
    # NTLM's word for it, which hides what Kerberos had to say before.
    "OperationNotAvailableError": _NO_TICKET,
}


def explain(error: Exception) -> str | None:
    """What failed, in a few words that hold no secret, if they are known: those of the cause."""
    words: str | None = None
    cause: Exception | None = error
    while cause is not None:
        code: int = getattr(cause, "min_code", None) or getattr(cause, "err_code", None) or 0
        code -= 1 << 32 if code >= 1 << 31 else 0  # gssapi's are unsigned
        words = _BY_CODE.get(code) or _BY_NAME.get(type(cause).__name__) or words
        cause = getattr(cause, "base_error", None)
    if words != _NO_TICKET or sys.platform == "win32":
        return words
    known = None not in (find_spec("gssapi"), find_spec("krb5"))
    return words if known else "gssapi and krb5 are not installed"
