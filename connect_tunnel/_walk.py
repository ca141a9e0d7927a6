"""Walking a way: to each hop in turn, and asking it for the next, or for the target.

`_reach` makes a connection to one hop, which for all but the first means to reach the hop
before it and ask that one; `_ask` asks a hop, and answers its challenges. Each calls the other,
and so the way is walked anew when a proxy closes the connection that it rejected us on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ._errors import InvalidProxy, InvalidTarget, ProxyHungUp, ProxyUnreachable
from ._fields import RequestFields
from ._login import Login
from ._steps import Call, Dial, Ends, Enter, HangUp, Resolve, Send, StartTLS
from ._target import Target
from .auth._auth import Later
from .protocols import h1
from .protocols.h1_body import MAX_BODY_SECONDS, Body, read_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._fields import FieldPairs
    from ._response import ProxyResponse
    from ._route import Hop, Hops
    from ._secret import Secret
    from ._steps import Address, Program
    from .auth._exchange import Exchange

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


class Refused:
    """A hop said no; the connection is still there for its body to be read from."""

    __slots__ = __match_args__ = ("response", "body", "hop", "request")

    def __init__(self, response: ProxyResponse, body: Body, hop: Hop, request: Request) -> None:
        self.response: Final = response
        self.body: Final = body
        self.hop: Final = hop
        self.request: Final = request


class Walk:
    """One attempt at a way.

    Args:
        hops: The way, of one hop at least.
        attempts: How many ways there are to be tried, with this one.

    Attributes:
        dialled: Whether the first hop was reached.
    """

    __slots__ = ("_answers", "_attempts", "_hops", "dialled")

    def __init__(self, hops: Hops, attempts: int = 1) -> None:
        self._hops: Final = hops
        self._attempts: Final = attempts
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
        """Make a connection to a hop, up to where it can be asked for something."""
        hop = self._hops[index]
        proxy = hop.proxy
        if index == 0:
            yield from self._dial(hop)
        else:
            no = yield from self._reach(index - 1)
            if no is None:
                no = yield from self._ask(index - 1, proxy.endpoint)
            if no is not None:
                return no
        if proxy.scheme == "https":
            yield from Enter("proxy_tls", hop)
            # The proxy proves who it is before it gets one octet of HTTP (RFC 9110, 4.3.4).
            chosen = yield from StartTLS(
                proxy.ssl_context,
                proxy.endpoint.server_hostname,
                require_close_notify=proxy.require_close_notify,
            )
            if chosen not in (None, "http/1.1"):
                raise InvalidProxy(
                    f"agreed to speak {chosen!r}, which its ssl_context offers and we cannot",
                    hint="leave it out of set_alpn_protocols",
                )
        return None

    def _dial(self, hop: Hop) -> Program[None]:
        proxy, attempts = hop.proxy, self._attempts
        patience = PATIENCE if attempts > 1 else None
        if proxy.unix_path is not None:
            yield from Enter("tcp", hop, patience, attempts=attempts)
            yield from Dial([proxy.unix_path])
        else:
            addresses = [(proxy.host, proxy.port)]
            if proxy.endpoint.kind == "name":
                yield from Enter("resolve", hop, patience, attempts=attempts)
                addresses = yield from Resolve(proxy.host, proxy.port)
            yield from Enter("tcp", hop, patience, attempts=attempts)
            yield from Dial(addresses)
        self.dialled = True
        if proxy.proxy_protocol is not None:
            from .protocols.proxy_protocol import header  # noqa: PLC0415 - for who needs it

            yield from Send(header(proxy.proxy_protocol, (yield from Ends())), more=True)

    def _ask(self, index: int, goal: Target) -> Program[Refused | None]:
        """Ask a hop for a tunnel to the goal, and answer its challenges."""
        hop = self._hops[index]
        proxy = hop.proxy
        if proxy.scheme.startswith("socks"):
            outcome = yield from _ask_socks(hop, goal)
        else:
            if proxy.resolve == "local" and goal.kind == "name":
                addresses = yield from _look_up(goal)
                goal = Target(_without_zone(addresses, goal), goal.port)
            fields = proxy.fields
            if proxy.fields_for is not None:
                fields = yield from _ask_caller(proxy.fields_for, goal)
            request = Request(goal, fields)
            if proxy.auth is None or fields.credentials is not None:
                yield from Enter("connect", hop)
                outcome = yield from _exchange(request, hop)
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
        yield from Enter("connect", hop)
        outcome = yield from _exchange(request, hop)
        for _ in range(MAX_ROUNDS):
            if not isinstance(outcome, Refused) or outcome.response.status != 407:
                break
            yield from Enter("auth", hop)
            more = yield from login.answer(outcome.response)
            if more is None:
                return outcome
            request.credentials = more
            again = yield from _exchange_again(request, outcome)
            if again is None:
                if login.exchange.bound:
                    raise ProxyHungUp(_BETWEEN_LEGS, phase="auth", hint=_BOUND)
                yield from HangUp()
                no = yield from self._reach(index)
                if no is not None:
                    return no
                yield from Enter("connect", hop)
                again = yield from _exchange(request, hop)
            outcome = again
        yield from login.conclude(outcome.response if isinstance(outcome, Refused) else outcome)
        return outcome


_BETWEEN_LEGS = "ended the connection in the middle of a handshake that is bound to it"
_BOUND = "NTLM and the like authenticate a connection: the proxy has to keep it after a 407"


class Request:
    """What a hop is asked, with which credentials, and how these came about."""

    __slots__ = ("credentials", "exchange", "fields", "goal")

    def __init__(self, goal: Target, fields: RequestFields) -> None:
        self.goal: Final = goal
        self.fields: Final = fields
        self.credentials: Secret[bytes] | None = fields.credentials
        self.exchange: Exchange | None = None


def _exchange(request: Request, hop: Hop) -> Program[ProxyResponse | Refused]:
    """One request and its answer: a 2xx, or a refusal."""
    authority = request.goal.authority.encode()
    yield from h1.request(authority, request.fields, request.credentials)
    response, followed = yield from h1.read_answer()
    if 200 <= response.status < 300:
        return response
    return Refused(response, Body(response, followed=followed), hop, request)


def _exchange_again(request: Request, no: Refused) -> Program[ProxyResponse | Refused | None]:
    """The same on the connection of a refusal; None if that is not to be used again.

    Only a 407 comes this way. After any other refusal nghttpx answers 400, mitmproxy
    nothing, and envoy closes a second later.
    """
    if not no.body.persistent or request.fields.closes:
        return None
    yield from Enter("auth", no.hop, MAX_BODY_SECONDS, soft=True)
    yield from read_body(no.body)
    if not no.body.reusable:
        return None
    yield from Enter("connect", no.hop)
    try:
        answer = yield from _exchange(request, no.hop)
    except ProxyHungUp as gone:
        # RFC 9931, 8 tells proxies to close after every rejection, whatever they promised.
        # Nothing was answered, so nothing was done, and once more is safe.
        if gone.received:
            raise
        return None
    # nghttpx answers whatever comes after a rejection with 400, and who closes what is idle may
    # say 408 as a farewell (RFC 9110, 15.5.9): neither is an answer to the credentials.
    # They are one to a handshake, of which nothing can be asked again elsewhere.
    bound = request.exchange is not None and request.exchange.bound
    lost = isinstance(answer, Refused) and answer.response.status in (400, 408) and not bound
    return None if lost else answer


def _ask_caller(give: Callable[[Target], Any], goal: Target) -> Program[RequestFields]:
    # Read before it gets here: it may hold a token, and tracebacks print locals.
    fields: RequestFields | str = yield from Call(_given, give, goal)
    if isinstance(fields, str):
        raise InvalidProxy(f"cannot be sent what its headers callable gave: {fields}")
    return fields


def _given(give: Callable[[Target], Any], goal: Target) -> Any:  # noqa: ANN401 - or it to come
    pairs = give(goal)
    return Later(pairs, _read_fields) if hasattr(pairs, "__await__") else _read_fields(pairs)


def _read_fields(pairs: FieldPairs) -> RequestFields | str:
    try:
        return RequestFields(pairs)
    except ValueError as error:
        return str(error)


# ---- SOCKS, and names that are looked up here ----


def _ask_socks(hop: Hop, goal: Target) -> Program[ProxyResponse | Refused]:
    from .auth._socks import SocksLogin  # noqa: PLC0415 - for SOCKS only
    from .protocols import socks, socks_words  # noqa: PLC0415 - likewise

    proxy = hop.proxy
    socks_words.check(proxy.scheme, goal)
    address = None
    if socks_words.resolves_here(proxy.scheme, goal):
        addresses = yield from _look_up(goal)
        address = socks_words.choose(proxy.scheme, goal, addresses)
    login = proxy.auth.login if isinstance(proxy.auth, SocksLogin) else None
    yield from Enter("connect", hop)
    response = yield from socks.ask_socks(proxy.scheme, goal, address, login)
    if socks_words.granted(response):
        return response
    return Refused(response, Body(response, framing=0), hop, Request(goal, proxy.fields))


def _look_up(goal: Target) -> Program[list[Address]]:
    """The addresses of a goal, where it is for us to know them, and no proxy's doing."""
    yield from Enter("resolve", None)
    try:
        return (yield from Resolve(goal.host, goal.port))
    except ProxyUnreachable as error:
        # Whose name it is, is not known to who looks it up.
        cause = error.__cause__
        said = getattr(cause, "strerror", None)
    raise InvalidTarget(
        f"needs '{goal.host}' to be looked up on this machine, which fails: {said}",
        hint="a proxy that looks names up by itself may know it",
    ) from cause


def _without_zone(addresses: list[Address], goal: Target) -> str:
    """The first address that means something elsewhere, too (RFC 9844)."""
    for host, _ in addresses:
        if "%" not in host:
            return host
    raise InvalidTarget(f"target '{goal}' has no address that a proxy can be told")
