"""Digest access authentication (RFC 7616), as it applies to CONNECT.

The password never goes on the wire; what proves it is a hash over it, the proxy's nonce, the
request-target and a count of how often the nonce was used. `_nonce.py` computes; here is when
to answer, and what to remember.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_tunnel._errors import ProxyMisbehaved
from connect_tunnel._frozen import Frozen
from connect_tunnel._secret import Secret

from ._auth import Unable
from ._basic import complain
from ._nonce import Nonce, Owner, supported
from ._scheme import Scheme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connect_tunnel._challenge import Challenge
    from connect_tunnel._response import ProxyResponse

    from ._auth import Flow
    from ._exchange import Exchange, Memory


class Digest(Frozen, Scheme):
    """User and password, of which only proofs are sent, and only when asked for.

    MD5, SHA-256 and SHA-512-256, each with `-sess`; qop auth, auth-int and none. A `Dialer`
    keeps the proxy's nonce, so that its next tunnel needs no 407.

    Args:
        user: The user.
        password: The password; may be empty.
        md5: Whether MD5 will do. Most proxies know nothing else.

    Raises:
        ValueError: Either has control characters.
    """

    # Narrower than in a Scheme, which is safe where nobody sets it.
    __slots__ = ("_password", "md5", "user")  # pyright: ignore[reportIncompatibleVariableOverride]

    scheme = "Digest"
    rank = 4
    preemptive = False

    _password: Secret[str]
    md5: bool
    user: str

    def __init__(self, user: str, password: str, *, md5: bool = True) -> None:
        complaint = complain(user, password)
        secret = Secret(password)
        del password  # before anything can fail in sight of it
        if complaint is not None:
            raise ValueError(complaint)
        self._set(_password=secret, md5=md5, user=user)

    def choose(self, challenges: Sequence[Challenge]) -> Challenge | None:
        """The first that can be answered: they come in the proxy's order (RFC 7616, 3.7).

        But for SHA-512-256, which goes behind SHA-256: the RFC's own example of it holds only
        for another hash, and so do some implementations.
        """
        found = [c for c in challenges if supported(c, md5=self.md5)]
        clear = [c for c in found if c.params.get("algorithm", "").lower().startswith("sha-256")]
        doubtful = found and found[0].params.get("algorithm", "").lower().startswith("sha-512")
        return clear[0] if clear and doubtful else next(iter(found), None)

    def ready(self, exchange: Exchange) -> bool:
        """With a nonce of an earlier opening."""
        return exchange.memory.recall(self, Nonce) is not None

    def converse(self, exchange: Exchange, challenge: Challenge | None) -> Flow:
        """Answer a challenge, or with the nonce of an earlier one before it is made.

        A 407 to that means a wrong password, unless the nonce is told to be stale or was an
        old one (RFC 7616, 3.3): then there is another answer, and only one.
        """
        memory = exchange.memory
        nonce = memory.recall(self, Nonce) if challenge is None else self._nonce(challenge, memory)
        if nonce is None:
            raise Unable("its nonce was forgotten meanwhile")
        old, renewed = challenge is None, False
        while True:
            proof = nonce.prove(exchange.authority)
            response: ProxyResponse = yield proof.credentials
            if not exchange.rejected:
                self._keep(_proven(proof.check(response)), memory)
                return
            if memory.recall(self, Nonce) is nonce:
                memory.forget(self)
            again = self.choose(exchange.challenges)
            stale = again is not None and again.params.get("stale", "").lower() == "true"
            if again is None or not (old or (stale and not renewed)):
                return
            old, renewed = False, not old
            nonce = self._nonce(again, memory)

    def _nonce(self, challenge: Challenge, memory: Memory) -> Nonce:
        """The nonce of a challenge, kept at once, for others may be challenged with it, too."""
        nonce = Nonce(challenge, Owner(challenge, self.user, self._password))
        return self._keep(nonce, memory)

    def _keep(self, nonce: Nonce, memory: Memory) -> Nonce:
        """The same nonce as it is in use already, where it is, so that its uses are counted."""
        kept = memory.recall(self, Nonce)
        if kept is not None and kept.value == nonce.value:
            return kept
        memory.keep(self, nonce)
        return nonce

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and (self.user, self._password, self.md5) == (
            other.user,
            other._password,
            other.md5,
        )

    def __hash__(self) -> int:
        return hash((Digest, self.user, self._password, self.md5))

    def _shown(self) -> str:
        return f"Digest({self.user!r}, ***)"


def _proven(following: Nonce | None) -> Nonce:
    """The nonce for the next request.

    Raises:
        ProxyMisbehaved: The proxy tried to prove that it knows the password, and failed.
    """
    if following is None:
        raise ProxyMisbehaved(
            "granted the tunnel, but its rspauth is not that of one who knows the password",
            phase="auth",
            hint="it may be another proxy that answers in its place",
        )
    return following
