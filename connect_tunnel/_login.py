"""Being let in: runs the flow of a proxy's `Auth` for one opening at one hop.

The one engine for every version of HTTP. It knows nothing of connections: whoever asks the
proxy brings what it answered, and is given the credentials for asking again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from ._errors import InvalidProxy
from ._explain import challenges_of
from ._fields import field_value
from ._secret import Secret
from ._steps import Step
from .auth._exchange import Exchange

if TYPE_CHECKING:
    from ._response import ProxyResponse
    from ._route import Hop
    from ._steps import Program
    from ._target import Target
    from .auth._auth import Auth, Flow


class Login:
    """A flow, and how far it has come.

    Attributes:
        exchange: What the flow is told, and tells.
    """

    __slots__ = ("_flow", "exchange")

    def __init__(self, auth: Auth, hop: Hop, goal: Target) -> None:
        self.exchange: Final = Exchange(hop.proxy, goal.authority, hop.memory)
        self._flow: Flow | None = auth.flow(self.exchange)

    def begin(self) -> Program[Secret[bytes] | None]:
        """The credentials for the first request, if any."""
        return (yield from self._advance(None))

    def answer(self, response: ProxyResponse) -> Program[Secret[bytes] | None]:
        """The credentials that answer a 407; None if there is nothing more to say."""
        return (yield from self._advance(response))

    def conclude(self, response: ProxyResponse) -> Program[None]:
        """Tell the flow how it ended, for it to learn from and to check."""
        yield from self._advance(response)
        if self._flow is not None:
            self._flow.close()

    def _advance(self, response: ProxyResponse | None) -> Program[Secret[bytes] | None]:
        exchange, flow = self.exchange, self._flow
        if flow is None:
            return None
        if response is not None:
            exchange.response = response
            exchange.challenges = challenges_of(response) if response.status == 407 else ()
        exchange.bound = False
        try:
            said = _read(flow.send(response))
            while isinstance(said, Step):
                try:
                    # Hidden at once: it may be a token, and tracebacks print locals.
                    result: Secret[Any] = Secret((yield said))
                except Exception as error:  # noqa: BLE001 - the flow decides what it means
                    said = _read(flow.throw(error))
                else:
                    said = _read(flow.send(result.reveal()))
        except StopIteration:
            self._flow = None
            return None
        if isinstance(said, InvalidProxy):
            raise said
        return said


def _read(said: object) -> Step[Any] | Secret[bytes] | InvalidProxy | None:
    """What a flow yielded; a complaint is returned, for this frame saw the credentials."""
    match said:
        case None | Step() | Secret():
            return cast("Step[Any] | Secret[bytes] | None", said)
        case str() | bytes() if octets := field_value(said):
            return Secret(octets)
        case _:
            return InvalidProxy(
                "cannot be sent the credentials that its auth gave: "
                "they are no value of a field (RFC 9110, 5.5)"
            )
