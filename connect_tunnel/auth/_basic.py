"""Basic credentials (RFC 7617)."""

from __future__ import annotations

import re
import sys
from binascii import b2a_base64
from functools import lru_cache
from typing import TYPE_CHECKING

from connect_tunnel._frozen import Frozen
from connect_tunnel._secret import Secret

from ._scheme import Scheme

if TYPE_CHECKING:
    from connect_tunnel._challenge import Challenge
    from connect_tunnel._proxy import Proxy

    from ._auth import Flow
    from ._exchange import Exchange

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Basic(Frozen, Scheme):
    """User and password, sent in UTF-8 and Base64, and in the clear on a plain hop.

    Args:
        user: The user; a colon would end it, so it may have none (RFC 7617, 2).
        password: The password; may be empty.
        preemptive: Whether to send them at once rather than when they are asked for.

    Raises:
        ValueError: The user has a colon, or either has control characters.
    """

    # Narrower than in a Scheme, which is safe where nobody sets it.
    __slots__ = ("_credentials", "_normalized", "preemptive", "user")  # pyright: ignore[reportIncompatibleVariableOverride]

    scheme = "Basic"
    rank = 1

    _credentials: Secret[bytes]
    _normalized: Secret[bytes]
    preemptive: bool
    user: str

    def __init__(self, user: str, password: str, *, preemptive: bool = True) -> None:
        complaint = complain(user, password) or (":" in user and _COLON) or None
        credentials = Secret(b"") if complaint else _credentials(user, password)
        normalized = credentials
        if not complaint and not f"{user}{password}".isascii():
            normalized = _credentials(normalize(user), normalize(password))
        del password  # before anything can fail in sight of it
        if complaint is not None:
            raise ValueError(complaint)
        self._set(
            _credentials=credentials, _normalized=normalized, preemptive=preemptive, user=user
        )

    def converse(self, exchange: Exchange, challenge: Challenge | None) -> Flow:
        """Give the credentials, once; and once more if the proxy wants them spelt its way."""
        _warn_of_cleartext(exchange.proxy)
        if challenge is not None and _wants_utf8(challenge):
            yield self._normalized
            return
        yield self._credentials
        again = self.choose(exchange.challenges)
        if again is not None and _wants_utf8(again) and self._normalized != self._credentials:
            yield self._normalized

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Basic)
            and self._credentials == other._credentials
            and self.preemptive == other.preemptive
        )

    def __hash__(self) -> int:
        return hash((Basic, self._credentials, self.preemptive))

    def _shown(self) -> str:
        return f"Basic({self.user!r}, ***)"


def _warn_of_cleartext(proxy: Proxy) -> None:
    """Say to the log that the password goes to a proxy in the clear.

    It is what most proxies want, and so it is done; RFC 7617, 4 says what it costs.
    """
    here = proxy.host in ("localhost", "::1") or (
        proxy.endpoint.kind == "ipv4" and proxy.host.startswith("127.")
    )
    # Who has not loaded it does not listen, and loading it would cost a third of our import.
    if proxy.scheme == "http" and not here and "logging" in sys.modules:
        warn_of_cleartext(proxy.url)


@lru_cache(maxsize=256)
def warn_of_cleartext(url: str) -> None:
    """Say it once for each proxy."""
    import logging  # noqa: PLC0415 - see above

    say = logging.getLogger("connect_tunnel").warning
    say("a password goes in the clear to the proxy %s, for all on the way to read", url)


def _wants_utf8(challenge: Challenge) -> bool:
    """Whether it asks for Unicode in normal form C (RFC 7617, 2.1)."""
    return challenge.params.get("charset", "").lower() == "utf-8"


def normalize(text: str) -> str:
    """Unicode in normal form C: one spelling for what looks the same."""
    from unicodedata import normalize  # noqa: PLC0415 - for what is not ASCII only

    return normalize("NFC", text)


def _credentials(user: str, password: str) -> Secret[bytes]:
    # Canonical case: there are proxies that compare "Basic" octet by octet.
    return Secret(b"Basic " + b2a_base64(f"{user}:{password}".encode(), newline=False))


_COLON = "a user name may not have a colon in it (RFC 7617, 2)"


def complain(user: object, password: object) -> str | None:
    """What is wrong with a user and a password, whatever they are for."""
    if not isinstance(user, str) or not isinstance(password, str):
        return "user and password are text"
    if _CONTROL.search(user) or _CONTROL.search(password):
        return "user and password may not have control characters in them (RFC 7617, 2)"
    try:
        f"{user}{password}".encode()
    except UnicodeEncodeError:
        return "user and password must be text that UTF-8 can encode"
    return None
