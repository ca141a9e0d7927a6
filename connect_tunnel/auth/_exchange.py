"""What a flow is told, and what is remembered from one flow to the next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from connect_tunnel._challenge import Challenge
    from connect_tunnel._proxy import Proxy
    from connect_tunnel._response import ProxyResponse

T = TypeVar("T")

_MOST = 16  # things to be remembered: credentials that change with each opening pile up


class Memory:
    """What one proxy has taught us: nonces, tokens, and which scheme it took.

    It belongs to one hop of a way that is kept, a `Dialer`'s, and so to one proxy, one set
    of credentials and one set of settings; nothing of it can reach another. Each thing is
    filed under whoever learnt it, an `Auth`, which is equal to another only if it stands for
    the same credentials: who changes these starts anew.

    Safe between threads, as each verb is one operation of a dict. After a fork the child
    knows nothing: it would count the uses of a nonce from where its parent does, too.
    """

    __slots__ = ("_known", "_process")

    def __init__(self) -> None:
        self._known: dict[object, object] = {}
        self._process = os.getpid()

    def recall(self, whose: object, kind: type[T]) -> T | None:
        """What was learnt, if it is of that kind."""
        found = self._mine().get(whose)
        return found if isinstance(found, kind) else None

    def keep(self, whose: object, what: object) -> None:
        """Remember it, and if need be forget what is oldest."""
        known = self._mine()
        known.pop(whose, None)
        known[whose] = what
        if len(known) > _MOST:
            known.pop(next(iter(list(known))), None)

    def forget(self, whose: object) -> None:
        """Forget what was learnt."""
        self._mine().pop(whose, None)

    def _mine(self) -> dict[object, object]:
        if self._process != os.getpid():
            self._known, self._process = {}, os.getpid()
        return self._known

    def __repr__(self) -> str:
        return f"<Memory of {len(self._known)}>"


class Exchange:
    """One opening's talk with one proxy about who is asking.

    Attributes:
        proxy: Whom we talk to.
        authority: What it is asked for, which is the request-target: "host:port".
        response: What it answered last; None before the first request.
        challenges: What that offered, if it was a 407.
        memory: What the proxy taught us in earlier openings of the same `Dialer`.
        bound: To be set by a flow whose next credentials are good on this connection only.
        user: The name of whoever the last credentials were for, for messages.
        tried: What was tried, and what came of it where that is not the proxy's answer.
    """

    __slots__ = (
        "authority", "bound", "challenges", "memory", "proxy", "response", "tried", "user",
    )  # fmt: skip

    def __init__(self, proxy: Proxy, authority: str, memory: Memory | None = None) -> None:
        self.proxy: Final = proxy
        self.authority: Final = authority
        self.memory: Final = Memory() if memory is None else memory
        self.response: ProxyResponse | None = None
        self.challenges: tuple[Challenge, ...] = ()
        self.bound: bool = False
        self.user: str | None = None
        self.tried: Final[list[str]] = []

    @property
    def rejected(self) -> bool:
        """Whether the proxy asks for credentials, or for others than it got.

        Some say so with 401 (tinyproxy), which is not answered all the same.
        """
        return self.response is not None and self.response.status in (401, 407)

    def __repr__(self) -> str:
        return f"<Exchange with {self.proxy.url} about {self.authority}>"
