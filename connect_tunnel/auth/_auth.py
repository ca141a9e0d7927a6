"""What answers a proxy's challenge, and what an answer is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connect_tunnel._challenge import Challenge
    from connect_tunnel._secret import Secret
    from connect_tunnel._steps import Program


class Auth:
    """Answers a proxy's challenges; a program, like every piece of logic here.

    The opening program asks `answer` before the first request, with no challenges, and
    again after each 407, with what the proxy offered and what it was sent. None means that
    there is nothing (more) to say, and the 407 stands.
    """

    __slots__ = ()

    def answer(
        self, challenges: Sequence[Challenge] | None, sent: Secret[bytes] | None
    ) -> Program[Secret[bytes] | None]:
        """Give the value of Proxy-Authorization for the next request.

        Args:
            challenges: What the 407 offered; None before the first request.
            sent: What the rejected request carried.
        """
        raise NotImplementedError

    def complaint(self, scheme: str) -> str | None:
        """Say why these credentials must not go to a proxy of that scheme, if so."""
        del scheme
        return None
