"""Basic credentials (RFC 7617)."""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import TYPE_CHECKING

from connect_tunnel._frozen import Frozen
from connect_tunnel._secret import Secret

from ._auth import Auth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connect_tunnel._challenge import Challenge
    from connect_tunnel._steps import Program

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Basic(Frozen, Auth):
    """User and password, sent in UTF-8 and Base64, and in the clear on a plain hop.

    Args:
        user: The user; a colon would end it, so it may have none (RFC 7617, 2).
        password: The password; may be empty.
        preemptive: Whether to send them at once rather than when they are asked for.

    Raises:
        ValueError: The user has a colon, or either has control characters.
    """

    __slots__ = ("_credentials", "preemptive", "user")

    _credentials: Secret[bytes]
    preemptive: bool
    user: str

    def __init__(self, user: str, password: str, *, preemptive: bool = True) -> None:
        complaint = _complaint(user, password)
        credentials = Secret(b"") if complaint else _credentials(user, password)
        del password  # before anything can fail in sight of it
        if complaint is not None:
            raise ValueError(complaint)
        self._set(_credentials=credentials, preemptive=preemptive, user=user)

    def answer(
        self, challenges: Sequence[Challenge] | None, sent: Secret[bytes] | None
    ) -> Program[Secret[bytes] | None]:
        """Give the credentials, once."""
        yield from ()
        if challenges is None:
            return self._credentials if self.preemptive else None
        asked = any(challenge.scheme.lower() == "basic" for challenge in challenges)
        return self._credentials if asked and sent is None else None

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, Basic)
            and self._credentials == other._credentials
            and self.preemptive == other.preemptive
        )

    def __hash__(self) -> int:
        return hash((type(self), self._credentials, self.preemptive))

    def _shown(self) -> str:
        return f"{type(self).__name__}({self.user!r}, ***)"


class Password(Basic):
    """A user and a password, for whichever scheme the proxy wants of those that use them.

    It is what a pair or the userinfo of a URL becomes. Basic is sent at once.
    """

    __slots__ = ()


def _credentials(user: str, password: str) -> Secret[bytes]:
    # Canonical case: there are proxies that compare "Basic" octet by octet.
    return Secret(b"Basic " + b2a_base64(f"{user}:{password}".encode(), newline=False))


def _complaint(user: object, password: object) -> str | None:
    if not isinstance(user, str) or not isinstance(password, str):
        return "user and password are text"
    if ":" in user:
        return "a user name may not have a colon in it (RFC 7617, 2)"
    if _CONTROL.search(user) or _CONTROL.search(password):
        return "user and password may not have control characters in them (RFC 7617, 2)"
    try:
        f"{user}{password}".encode()
    except UnicodeEncodeError:
        return "user and password must be text that UTF-8 can encode"
    return None
