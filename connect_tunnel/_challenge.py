"""One challenge of a 407: a scheme, and what it says (RFC 9110, 11.3)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ._frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

# Parameters that say what kind of answer is wanted. Others may be good for answering: a nonce,
# an opaque, a token of who knows which scheme.
_HARMLESS = frozenset({"algorithm", "charset", "qop", "realm", "stale", "userhash"})


class Challenge(Frozen):
    """What a proxy would accept.

    A pickle of it holds what a message may tell of it, and no nonce or token.

    Attributes:
        scheme: The authentication scheme as the proxy wrote it, such as "Basic".
        token68: The token of schemes that have one, such as Negotiate; else None.
        params: The parameters, unquoted, under their names in lower case.
    """

    __slots__ = __match_args__ = ("scheme", "token68", "params")

    scheme: str
    token68: str | None
    params: Mapping[str, str]

    def __init__(
        self, scheme: str, token68: str | None = None, params: Mapping[str, str] | None = None
    ) -> None:
        self._set(scheme=scheme, token68=token68, params=MappingProxyType(dict(params or {})))

    @property
    def realm(self) -> str | None:
        """The realm, where the challenge names one."""
        return self.params.get("realm")

    def _facts(self) -> tuple[str, str | None, dict[str, str]]:
        return self.scheme, self.token68, dict(self.params)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Challenge) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash((self.scheme, self.token68, frozenset(self.params.items())))

    def __reduce__(self) -> tuple[object, ...]:
        # A pickle may end up in a file: what is as good as a secret stays behind.
        params = {name: value for name, value in self.params.items() if name in _HARMLESS}
        return Challenge, (self.scheme, None, params)

    def _shown(self) -> str:
        # Only what tells proxies apart: nonces and tokens do not belong in logs.
        realm = "" if self.realm is None else f" realm={self.realm!r}"
        return f"<Challenge {self.scheme}{realm}>"
