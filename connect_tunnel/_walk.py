"""Walking a way: to each hop in turn, and asking it for the next, or for the target.

`_reach` makes a connection to one hop, which for all but the first means to reach the hop
before it and ask that one; `_ask` asks a hop, and answers its challenges. Each calls the other,
and so the way is walked anew when a proxy closes the connection that it rejected us on. Where a
hop speaks HTTP/2 there may be a connection that others have made, and the way begins there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._ask import (
    Refused,
    Request,
    ask_caller,
    ask_socks,
    exchange,
    exchange_again,
    look_up,
    without_zone,
)  # fmt: skip
from ._errors import InvalidProxy, ProxyHungUp
from ._login import Login
from ._response import ProxyResponse
from ._steps import (
    Dial,
    Ends,
    Enter,
    HangUp,
    Join,
    ReadHead,
    Resolve,
    Send,
    Share,
    StartTLS,
)  # fmt: skip
from ._target import Target
from .protocols import h2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._route import Hop, Hops
    from ._steps import Endpoint, Program
    from .protocols.h2_stream import Loss

# Answers to the challenges of one hop: a scheme of three legs that fails, then Digest with a
# nonce that is stale at once, then Basic; and some for flows of the caller's.
MAX_ROUNDS = 8

# For dialling one proxy when there is another to be tried: a proxy that is there answers a SYN
# within a round trip, and one that is not must not use up the time of the others.
PATIENCE = 5.0


class Opened:
    """A tunnel is open: through which hops, and what each of them answered."""

    __slots__ = __match_args__ = ("hops", "responses")

    def __init__(self, hops: Hops, responses: tuple[ProxyResponse, ...]) -> None:
        self.hops: Final = hops
        self.responses: Final = responses


class Walk:
    """One attempt at a way.

    Args:
        hops: The way, of one hop at least.
        attempts: How many ways there are to be tried, with this one.

    Attributes:
        dialled: Whether the first hop was reached.
    """

    __slots__ = ("_answers", "_attempts", "_hops", "_joined", "_shared", "dialled")

    def __init__(self, hops: Hops, attempts: int = 1) -> None:
        self._hops: Final = hops
        self._attempts: Final = attempts
        self._shared: Final[set[Hop]] = set()  # those we ask on a shared connection (HTTP/2)
        self._joined = False  # whether the last of these was there before us
        self._answers: Final[dict[Hop, ProxyResponse]] = {}
        self.dialled: bool = False

    def to(self, target: Target) -> Program[Opened | Refused]:
        """Walk to the target; a refusal ends it, wherever that is.

        Raises:
            TunnelError: Something went wrong other than a refusal.
        """
        last = len(self._hops) - 1
        no = yield from self._reach(last)
        if no is None:
            no = yield from self._ask(last, target)
        return no or Opened(self._hops, tuple(self._answers.values()))

    def to_last(self) -> Program[Opened | Refused]:
        """Walk to the last hop and no further, to speak HTTP with it.

        Raises:
            TunnelError: As `to` does.
        """
        no = yield from self._reach(len(self._hops) - 1)
        return no or Opened(self._hops, tuple(self._answers.values()))

    def _reach(self, index: int) -> Program[Refused | None]:
        """Have a connection to a hop, up to where it can be asked for something."""
        multiplexes = self._hops[index].multiplexes
        return self._join(index) if multiplexes else self._connect(index, promised=False)

    def _join(self, index: int) -> Program[Refused | None]:
        """Take part in a connection of others, or make one for them."""
        hop = self._hops[index]
        yield from Enter("tcp", hop)
        if (yield from Join(hop)) == "joined":
            self._shared.add(hop)
            self._joined = self.dialled = True
            return None
        return (yield from self._connect(index, promised=True))

    def _connect(self, index: int, *, promised: bool) -> Program[Refused | None]:
        """Make a connection to a hop, for others to join in HTTP/2 if that was promised them."""
        hop = self._hops[index]
        if index == 0:
            yield from self._dial(hop)
        else:
            no = yield from self._reach(index - 1)
            if no is None:
                no = yield from self._ask(index - 1, hop.proxy.endpoint)
            if no is not None:
                return no
        agreed = hop.multiplexes  # without TLS, by prior knowledge (RFC 9113, 3.3)
        if hop.proxy.scheme == "https":
            agreed = yield from self._start_tls(hop)
        if promised:
            # Also where it cannot be joined: they wait to know.
            yield from Share(hop, joinable=agreed)
        self._joined = False
        if agreed:
            self._shared.add(hop)
        else:
            self._shared.discard(hop)
        return None

    def _start_tls(self, hop: Hop) -> Program[bool]:
        """Speak TLS with a hop, and say whether it agreed to HTTP/2."""
        proxy, protocols = hop.proxy, hop.protocols
        # The proxy proves who it is before it gets one octet of HTTP (RFC 9110, 4.3.4).
        chosen = yield from StartTLS(
            hop.ssl_context,
            proxy.endpoint.server_hostname,
            hop,
            protocols=protocols,
            require_close_notify=proxy.require_close_notify,
        )
        agreed = chosen == "h2"
        if agreed and "h2" in protocols:
            return True
        if agreed or chosen not in (None, "http/1.1"):
            hint = "leave it out of set_alpn_protocols"
            if agreed and proxy.http2 is not None:
                hint = _NO_WAY_BACK
            raise InvalidProxy(
                f"agreed to speak {chosen!r}, which its ssl_context offers and we cannot", hint=hint
            )
        if not proxy.http1:
            raise InvalidProxy(
                "does not agree to HTTP/2, and http1=False leaves nothing else",
                hint=None if proxy.ssl_context is None else _OFFER,
            )
        if hop.multiplexes:
            hop.forgo_http2()
        return False

    def _dial(self, hop: Hop) -> Program[None]:
        proxy, attempts = hop.proxy, self._attempts
        patience = PATIENCE if attempts > 1 else None
        addresses: Sequence[Endpoint] = proxy.addresses
        if not addresses:
            addresses = yield from Resolve(proxy.host, proxy.port, hop, patience, attempts)
        yield from Dial(addresses, hop, patience, attempts)
        self.dialled = True
        if proxy.proxy_protocol is not None:
            from .protocols.proxy_protocol import header  # noqa: PLC0415 - for who needs it

            yield from Send(header(proxy.proxy_protocol, (yield from Ends())), more=True)

    def _ask(self, index: int, goal: Target) -> Program[Refused | None]:
        """Ask a hop for a tunnel to the goal, and answer its challenges."""
        hop = self._hops[index]
        proxy = hop.proxy
        if proxy.scheme.startswith("socks"):
            outcome = yield from ask_socks(hop, goal)
        else:
            if proxy.resolve == "local" and goal.kind == "name":
                addresses = yield from look_up(goal)
                goal = Target(without_zone(addresses, goal), goal.port)
            fields = proxy.fields
            if proxy.fields_for is not None:
                fields = yield from ask_caller(proxy.fields_for, goal)
                if proxy.http2 is not None and (complaint := fields.complaint_in_http2()):
                    raise InvalidProxy(complaint)
            request = Request(goal, fields)
            if proxy.auth is None or fields.credentials is not None:
                outcome = yield from self._exchange(index, request)
            else:
                outcome = yield from self._log_in(index, request, Login(proxy.auth, hop, goal))
        if isinstance(outcome, Refused):
            return outcome
        self._answers[hop] = outcome
        return None

    def _log_in(
        self, index: int, request: Request, login: Login
    ) -> Program[ProxyResponse | Refused]:
        """Ask with credentials, and with others as long as the proxy asks for them."""
        hop = self._hops[index]
        request.exchange = login.exchange
        yield from Enter("auth", hop)
        request.credentials = yield from login.begin()
        outcome = yield from self._exchange(index, request)
        for _ in range(MAX_ROUNDS):
            if not isinstance(outcome, Refused) or outcome.response.status != 407:
                break
            yield from Enter("auth", hop)
            more = yield from login.answer(outcome.response)
            if more is None:
                return outcome
            request.credentials = more
            if hop in self._shared and login.exchange.bound:
                return (yield from self._log_in_alone(index, request))
            again = yield from self._exchange_again(index, request, outcome)
            if again is None:
                if login.exchange.bound:
                    raise ProxyHungUp(_BETWEEN_LEGS, phase="auth", hint=_BOUND)
                yield from HangUp()
                no = yield from self._reach(index)
                if no is not None:
                    return no
                again = yield from self._exchange(index, request)
            outcome = again
        yield from login.conclude(outcome.response if isinstance(outcome, Refused) else outcome)
        return outcome

    def _log_in_alone(self, index: int, request: Request) -> Program[ProxyResponse | Refused]:
        """Begin anew in HTTP/1.1: what is authenticated here is a connection."""
        hop = self._hops[index]
        auth = hop.proxy.auth
        assert auth is not None
        if not hop.proxy.http1:
            raise ProxyHungUp(_SHARED, phase="auth", hint=_ALONE)
        hop.forgo_http2()
        yield from HangUp()
        no = yield from self._reach(index)
        if no is not None:
            return no
        return (yield from self._log_in(index, request, Login(auth, hop, request.goal)))

    def _exchange(self, index: int, request: Request) -> Program[ProxyResponse | Refused]:
        """One request and its answer: a 2xx, or a refusal."""
        hop = self._hops[index]
        shared = hop in self._shared
        return self._exchange_shared(index, request) if shared else exchange(request, hop)

    def _exchange_again(
        self, index: int, request: Request, no: Refused
    ) -> Program[ProxyResponse | Refused | None]:
        """The same after a refusal; None if another connection is needed for that."""
        if self._hops[index] in self._shared:
            return (yield from self._exchange_shared(index, request))
        return (yield from exchange_again(request, no))

    def _exchange_shared(self, index: int, request: Request) -> Program[ProxyResponse | Refused]:
        """The same in HTTP/2, on whichever connection gives an answer."""
        hop = self._hops[index]
        authority = request.goal.authority.encode()
        losses = 0
        while hop in self._shared:
            yield from h2.request(hop, authority, request.fields, request.credentials)
            answer = yield from ReadHead(h2.SILENCE)
            no = None
            while answer is None:
                where = yield from Join(hop, elsewhere=True)
                if where == "stay":
                    answer = yield from ReadHead(h2.SILENCE)
                    continue
                self._joined = where == "joined"
                if where == "dial":
                    no = yield from self._connect(index, promised=True)
                break
            if isinstance(answer, ProxyResponse):
                if 200 <= answer.status < 300:
                    return answer
                return Refused(answer, h2.body_of(answer), hop, request)
            if answer is not None:
                losses += 1
                no = yield from self._recover(index, answer, again=losses <= _MAX_LOSSES)
            if no is not None:
                return no
        return (yield from exchange(request, hop))

    def _recover(self, index: int, loss: Loss, *, again: bool) -> Program[Refused | None]:
        """Have another connection, if asking again is safe and of use.

        It is where nothing was done about the request (RFC 9113, 8.7), and where a connection
        that was idle turns out to have ended.
        """
        hop = self._hops[index]
        if loss.cause == "version" and hop.proxy.http1:
            hop.forgo_http2()
        elif not (
            again and (loss.cause == "unprocessed" or (loss.cause == "ended" and self._joined))
        ):
            h2.raise_lost(loss)
        yield from HangUp()
        return (yield from self._reach(index))


# A connection that has ended, one that ends meanwhile, and REFUSED_STREAM once more.
_MAX_LOSSES = 2

_NO_WAY_BACK = (
    "it cannot CONNECT in HTTP/2: leave http2 out, or give HTTP2 a fallback_context without it"
)
_OFFER = 'offer it: ssl_context.set_alpn_protocols(["h2", "http/1.1"])'
_SHARED = "authenticates connections, and one in HTTP/2 is shared"
_ALONE = "http1=True lets it have one of its own"

_BETWEEN_LEGS = "ended the connection in the middle of a handshake that is bound to it"
_BOUND = "NTLM and the like authenticate a connection: the proxy has to keep it after a 407"
