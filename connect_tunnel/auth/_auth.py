"""What answers a proxy's challenges: the class to subclass, and what a flow is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast

from connect_tunnel._steps import Step

if TYPE_CHECKING:
    from abc import ABCMeta

    from connect_tunnel._secret import Secret

    from ._exchange import Exchange

G = TypeVar("G")
T = TypeVar("T")

Credentials: TypeAlias = "Secret[bytes] | str | None"
"""The value of Proxy-Authorization for one request; None to ask without."""

Flow: TypeAlias = Generator[Step[Any] | Credentials, Any, None]
"""Yields credentials and is sent what the proxy answered to them; see `Auth.flow`."""


class Auth:
    """How to authenticate to a proxy; subclass it for a scheme of your own.

    A *flow* tells it as a story, in the manner of httpx: each `yield` of credentials is one
    CONNECT that carries them, and gives the `ProxyResponse` that came back. ::

        class Ticket(Auth):
            def flow(self, exchange):
                response = yield f"Ticket {self.ticket}"
                if response.status == 407:
                    fresh = yield from Call(self.fetch, exchange.proxy.url)
                    yield f"Ticket {fresh}"

    A flow that returns after a 407 has nothing more to say, and the 407 stands. After any
    other answer the opening is decided, by a 401 too, which is no proxy's challenge; the flow
    is told of it and may look at it, to check that the proxy proved itself, say, and may fail
    it by raising. A flow is resumed with nothing but the answer to its own credentials: never
    with what the target says.

    Work to be waited for is yielded as a step: `Call` runs a callable of yours, and awaits
    what it returns where the caller is a task; `Offload` runs one that blocks, in a thread.
    Between openings a flow remembers in `exchange.memory`. The object itself is part of the
    identity of a `Proxy`: two that are equal must stand for the same credentials.

    Source: RFC 9110, 11.
    """

    __slots__ = ()

    def flow(self, exchange: Exchange) -> Flow:
        """Authenticate for one opening, of which `exchange` tells.

        Args:
            exchange: The proxy, what it is asked for, and what it answered last.
        """
        raise NotImplementedError

    def complaint(self, scheme: str) -> str | None:
        """Say why these credentials must not go to a proxy of that scheme, if so."""
        del scheme
        return None


class Later(Generic[G, T]):
    """What a callable of the user's will give, and what is made of it before a frame sees it.

    Args:
        given: To be awaited.
        read: Makes something of its result.
    """

    __slots__ = ("_given", "_read")

    def __init__(self, given: Awaitable[G], read: Callable[[G], T]) -> None:
        self._given = given
        self._read = read

    def __await__(self) -> Generator[Any, Any, T]:
        return self._read((yield from self._given.__await__()))

    def close(self) -> None:
        """Do without it; or its coroutine would complain that it was never awaited."""
        close: Callable[[], None] | None = getattr(self._given, "close", None)
        if close is not None:
            close()


# Who cannot await what a callable gave closes it, if it is a coroutine.
cast("ABCMeta", Coroutine).register(Later)


class Unable(Exception):
    """A flow has nothing to answer with: no ticket, no entry, no library. Says which."""
