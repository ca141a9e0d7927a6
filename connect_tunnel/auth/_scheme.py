"""Authentication schemes by name, and the choice among them.

A scheme answers challenges that bear its name. Of all that a caller allows and a proxy
offers the strongest is tried first; one that fails is done with, and the next one is tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from connect_tunnel._frozen import Frozen

from ._auth import Auth, Flow, Unable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connect_tunnel._challenge import Challenge

    from ._exchange import Exchange


class Scheme(Auth):
    """One scheme of RFC 9110, 11.1, with a caller's credentials.

    Attributes:
        scheme: Its name in the canonical case; there are proxies that mind it.
        rank: Its strength among others. Negotiate 5, Digest 4, NTLM 3, Bearer 2, Basic 1.
        preemptive: Whether to begin before the proxy asks for it.
        user: Whose credentials they are, where that can be told.
    """

    __slots__ = ()

    scheme: ClassVar[str]
    rank: ClassVar[int]
    preemptive: bool
    user: str | None

    def choose(self, challenges: Sequence[Challenge]) -> Challenge | None:
        """The challenge to answer, of those that were offered."""
        return next((c for c in challenges if c.scheme.lower() == self.scheme.lower()), None)

    def ready(self, exchange: Exchange) -> bool:
        """Whether it can begin before the proxy asks, given that it did well before."""
        del exchange
        return True

    def converse(self, exchange: Exchange, challenge: Challenge | None) -> Flow:
        """Answer a challenge, or begin without one; return when there is no more to say.

        Raises:
            Unable: There is nothing to answer with.
        """
        raise NotImplementedError

    def flow(self, exchange: Exchange) -> Flow:
        """Answer, if the proxy asks for this scheme."""
        yield from strongest((self,), exchange, eager=self if self.preemptive else None)


def strongest(
    schemes: tuple[Scheme, ...], exchange: Exchange, *, eager: Scheme | None = None
) -> Flow:
    """Try the schemes, each once, as the proxy asks for them.

    Args:
        schemes: What the caller allows.
        exchange: Of this opening.
        eager: The one to begin with unasked.
    """
    left = list(schemes)
    scheme, challenge = _unprompted(schemes, exchange, eager), None
    while True:
        if scheme is not None:
            left.remove(scheme)
            yield from _try(scheme, challenge, exchange)
        if exchange.response is None:
            yield None  # asks for nothing, to see what is wanted
        if not exchange.rejected:
            if scheme is not None:
                exchange.memory.keep(schemes, scheme)
            return
        if scheme is not None:
            exchange.memory.forget(schemes)
        choice = _choose(left, exchange.challenges)
        if choice is None:
            return
        scheme, challenge = choice


def _try(scheme: Scheme, challenge: Challenge | None, exchange: Exchange) -> Flow:
    exchange.user = scheme.user or exchange.user
    exchange.tried.append(scheme.scheme)
    try:
        yield from scheme.converse(exchange, challenge)
    except Unable as why:
        exchange.tried[-1] += f" ({why})"


def _unprompted(
    schemes: tuple[Scheme, ...], exchange: Exchange, eager: Scheme | None
) -> Scheme | None:
    """The one to begin with before anything is asked: what worked before, if it can."""
    if exchange.response is not None:
        return None  # a part of another flow, which has begun
    worked = exchange.memory.recall(schemes, Scheme)
    if worked is not None and worked.ready(exchange):
        return worked
    return eager


def _choose(
    schemes: Sequence[Scheme], challenges: Sequence[Challenge]
) -> tuple[Scheme, Challenge] | None:
    found = [(s, challenge) for s in schemes if (challenge := s.choose(challenges))]
    return max(found, key=lambda choice: choice[0].rank, default=None)


class Strongest(Frozen, Auth):
    """Several ways to authenticate, of which the strongest that the proxy offers is tried first.

    `Strongest(Negotiate(), Password("alice", "s3cret"))` answers with a Kerberos ticket; where
    there is none, or the proxy does not ask for it, with Digest; and with Basic if there is
    nothing better. Nothing is sent before the proxy has said what it takes, except to one that
    took it in an earlier opening of the same `Dialer`. What is not to be tried is not to be
    named: `Digest` instead of `Password` never sends a password.

    Args:
        *auths: Of the schemes of this module. The order decides only between equals.

    Raises:
        TypeError: One is not a scheme; a flow of your own decides for itself.
    """

    __slots__ = ("schemes",)

    schemes: tuple[Scheme, ...]

    def __init__(self, *auths: Auth) -> None:
        schemes: list[Scheme] = []
        for auth in auths:
            match auth:
                case Scheme():
                    schemes.append(auth)
                case Strongest():
                    schemes += auth.schemes
                case _:
                    raise TypeError(f"{type(auth).__name__} is not one of the schemes")
        self._set(schemes=tuple(schemes))

    def flow(self, exchange: Exchange) -> Flow:
        """Try each, as the proxy asks for them."""
        yield from strongest(self.schemes, exchange)

    def complaint(self, scheme: str) -> str | None:
        """What the first has to say that has something to say."""
        return next((said for s in self.schemes if (said := s.complaint(scheme))), None)

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, Strongest)
            and self.schemes == other.schemes
        )

    def __hash__(self) -> int:
        return hash((type(self), self.schemes))

    def _shown(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.schemes))})"
