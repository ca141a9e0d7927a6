"""What chooses the way to a target: the class to subclass, and the router that takes no proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_tunnel._frozen import Frozen

from ._decision import Decision

if TYPE_CHECKING:
    from connect_tunnel._errors import TunnelError
    from connect_tunnel._steps import Program
    from connect_tunnel._target import Target

    from ._decision import Way


class Router:
    """Chooses the way to each target; subclass it for rules of your own.

    A rule is a *program*: a generator that returns its `Decision`, and on the way there may
    yield work to be waited for. `Call` runs a callable of yours, and awaits what it returns
    where the caller is a task; `Offload` runs one that blocks, in a thread. ::

        class ByTenant(Router):
            def route(self, target: Target) -> Program[Decision]:
                if target.host.endswith(".corp.example"):
                    return Decision([[]], "our own network")
                url = yield from Call(self.look_up, target.host)
                return Decision([[Proxy(url)]], "the tenant's proxy")

    It is asked anew for every opening, and whatever it raises fails the opening. A rule that
    waits for nothing says `yield from ()` to be a program all the same.
    """

    __slots__ = ()

    def route(self, target: Target) -> Program[Decision]:
        """Decide how to reach `target`.

        Args:
            target: Where the tunnel is to lead.
        """
        raise NotImplementedError

    def report(self, way: Way, error: TunnelError | None) -> None:
        """Be told what came of a way: an error if it could not be reached, else None.

        It is called once for each way that was tried, before the next one is; but not where
        the opening was cancelled meanwhile, or its time was up. What a proxy answered is no
        error here: one that says no was reached.
        """


class Direct(Router, Frozen):
    """No proxy: the target itself is dialled, and its name is resolved on this machine."""

    __slots__ = ()

    def route(self, target: Target) -> Program[Decision]:
        """Decide for the direct way."""
        del target
        yield from ()
        return _DIRECT

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Direct)

    def __hash__(self) -> int:
        return hash(Direct)

    def _shown(self) -> str:
        return "Direct()"


_DIRECT = Decision([[]], "direct, as it was asked for")
