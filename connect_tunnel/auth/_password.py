"""A user and a password, for whichever scheme the proxy wants of those that use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._basic import Basic
from ._digest import Digest
from ._scheme import Strongest, strongest

if TYPE_CHECKING:
    from ._auth import Flow
    from ._exchange import Exchange


class Password(Strongest):
    """A user and a password: Basic at once, and Digest if that is what the proxy asks for.

    It is what a pair or the userinfo of a URL becomes.

    Args:
        user: The user, without a colon.
        password: The password; may be empty.
        preemptive: Whether to send Basic at once. Otherwise nothing is sent unasked, and the
            password itself only to a proxy that offers no Digest.

    Raises:
        ValueError: The user has a colon, or either has control characters.
    """

    __slots__ = ("preemptive", "user")

    preemptive: bool
    user: str

    def __init__(self, user: str, password: str, *, preemptive: bool = True) -> None:
        basic: Basic | str = _basic(user, password, preemptive=preemptive)
        digest = None if isinstance(basic, str) else Digest(user, password)
        del password  # before anything can fail in sight of it
        if isinstance(basic, str) or digest is None:
            raise ValueError(basic)
        super().__init__(digest, basic)
        self._set(preemptive=preemptive, user=user)

    def flow(self, exchange: Exchange) -> Flow:
        """Begin with Basic, unless it is to wait; Digest where the proxy asks for it."""
        eager = self.schemes[-1] if self.preemptive else None
        yield from strongest(self.schemes, exchange, eager=eager)

    def _shown(self) -> str:
        return f"Password({self.user!r}, ***)"


def _basic(user: str, password: str, *, preemptive: bool) -> Basic | str:
    try:
        return Basic(user, password, preemptive=preemptive)
    except ValueError as error:
        return str(error)
