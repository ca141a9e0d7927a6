"""One challenge of a 407: a scheme, and what it says (RFC 9110, 11.3)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ._frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


class Challenge(Frozen):
    """What a proxy would accept.

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
        return Challenge, self._facts()

    def _shown(self) -> str:
        # Only what tells proxies apart: nonces and tokens do not belong in logs.
        realm = "" if self.realm is None else f" realm={self.realm!r}"
        return f"<Challenge {self.scheme}{realm}>"
