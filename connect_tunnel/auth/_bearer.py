"""A bearer token (RFC 6750)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connect_tunnel._frozen import Frozen
from connect_tunnel._secret import Secret
from connect_tunnel._steps import Call

from ._auth import Later, Unable
from ._scheme import Scheme

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connect_tunnel._challenge import Challenge
    from connect_tunnel._steps import Program

    from ._auth import Flow
    from ._exchange import Exchange

TokenLike: TypeAlias = "str | Callable[[], str | Awaitable[str]]"

_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_NO_TOKEN = "a bearer token is letters, digits, -._~+/ and closing = signs"  # noqa: S105


class Bearer(Frozen, Scheme):
    """A token that whoever holds it may use, sent at once.

    Args:
        token: The token, or a callable that gives one and is asked for another when the proxy
            rejects it. A coroutine function will do in async code. A `Dialer` keeps what it
            gave for the next tunnel.
        allow_cleartext: Whether it may go to an http:// proxy, where everyone on the way
            can read and use it (RFC 6750, 5.3).

    Raises:
        ValueError: It is not a token.
    """

    __slots__ = ("_source", "allow_cleartext")

    scheme = "Bearer"
    rank = 2
    preemptive = True
    user: str | None = None

    _source: Secret[bytes] | Callable[[], str | Awaitable[str]]
    allow_cleartext: bool

    def __init__(self, token: TokenLike, *, allow_cleartext: bool = False) -> None:
        source = token if callable(token) else _read(token)
        del token  # before anything can fail in sight of it
        if source is None:
            raise ValueError(_NO_TOKEN)
        self._set(_source=source, allow_cleartext=allow_cleartext)

    def converse(self, exchange: Exchange, challenge: Challenge | None) -> Flow:
        """Give the token; and a fresh one, if there is, for one that was rejected."""
        del challenge
        if not callable(self._source):
            yield self._source
            return
        kept = cast("Secret[bytes] | None", exchange.memory.recall(self, Secret))
        token = kept or (yield from self._fetch())
        yield token
        if exchange.rejected:
            exchange.memory.forget(self)
            if self.choose(exchange.challenges) is None:
                return
            rejected, token = token, (yield from self._fetch())
            if token == rejected:
                return
            yield token
        if not exchange.rejected:
            exchange.memory.keep(self, token)

    def _fetch(self) -> Program[Secret[bytes]]:
        assert callable(self._source)
        # Read before it gets here: tracebacks print locals.
        token: Secret[bytes] | None = yield from Call(_ask, self._source)
        if token is None:
            raise Unable("its callable gave no token")
        return token

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
            and self._source == other._source
            and self.allow_cleartext == other.allow_cleartext
        )

    def __hash__(self) -> int:
        return hash((Bearer, self._source, self.allow_cleartext))

    def _shown(self) -> str:
        return "Bearer(***)"


def _read(token: object) -> Secret[bytes] | None:
    if isinstance(token, str) and _B64TOKEN.fullmatch(token):
        return Secret(b"Bearer " + token.encode())
    return None


def _ask(give: Callable[[], str | Awaitable[str]]) -> Any:  # noqa: ANN401 - or it to come
    token: Any = give()
    return Later(token, _read) if hasattr(token, "__await__") else _read(token)
