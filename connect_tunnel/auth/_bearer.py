"""A bearer token (RFC 6750)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connect_tunnel._frozen import Frozen
from connect_tunnel._secret import Secret

from ._auth import Auth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connect_tunnel._challenge import Challenge
    from connect_tunnel._steps import Program

_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1


class Bearer(Frozen, Auth):
    """A token that whoever holds it may use, sent at once.

    Args:
        token: The token.
        allow_cleartext: Whether it may go to an http:// proxy, where everyone on the way
            can read and use it (RFC 6750, 5.3).

    Raises:
        ValueError: It is not a token.
    """

    __slots__ = ("_credentials", "allow_cleartext")

    _credentials: Secret[bytes]
    allow_cleartext: bool

    def __init__(self, token: str, *, allow_cleartext: bool = False) -> None:
        valid = isinstance(token, str) and _B64TOKEN.fullmatch(token) is not None
        credentials = Secret(b"Bearer " + token.encode() if valid else b"")
        del token  # before anything can fail in sight of it
        if not valid:
            raise ValueError("a bearer token is letters, digits, -._~+/ and closing = signs")
        self._set(_credentials=credentials, allow_cleartext=allow_cleartext)

    def answer(
        self, challenges: Sequence[Challenge] | None, sent: Secret[bytes] | None
    ) -> Program[Secret[bytes] | None]:
        """Give the token with the first request; it cannot be improved upon."""
        yield from ()
        return self._credentials if challenges is None and sent is None else None

    def complaint(self, scheme: str) -> str | None:
        """Refuse to go to a proxy in the clear."""
        if scheme == "https" or self.allow_cleartext:
            return None
        return (
            "a bearer token would go in the clear to an http:// proxy; allow_cleartext permits it"
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Bearer)
            and self._credentials == other._credentials
            and self.allow_cleartext == other.allow_cleartext
        )

    def __hash__(self) -> int:
        return hash((Bearer, self._credentials, self.allow_cleartext))

    def _shown(self) -> str:
        return "Bearer(***)"
