"""The program that opens a tunnel: route -> dial -> TLS -> ask each hop -> done.

`_reach` makes a connection to one hop of a way, which for all but the first means to reach the
hop before it and ask that one; `_ask` asks a hop for the next, or for the target, and answers
its challenges. Each calls the other, and so the way is walked anew when a proxy closes the
connection that it rejected us on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from ._errors import InvalidProxy, ProxyHungUp
from ._explain import challenges_of, refusal
from ._fields import RequestFields
from ._steps import Call, Dial, Enter, HangUp, Resolve, StartTLS
from .protocols import h1
from .protocols.h1_body import MAX_BODY_SECONDS, Body, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._fields import FieldPairs
    from ._response import ProxyResponse
    from ._route import Hop, Hops
    from ._secret import Secret
    from ._steps import Program
    from ._target import Target

MAX_ROUNDS = 4  # answers to the challenges of one hop: a scheme of three legs, and one more


class Opened:
    """A tunnel is open: what each hop answered."""

    __slots__ = __match_args__ = ("responses",)

    def __init__(self, responses: tuple[ProxyResponse, ...]) -> None:
        self.responses: Final = responses


class Refused:
    """A hop said no; the connection is still there for its body to be read from."""

    __slots__ = __match_args__ = ("response", "body", "hop", "request")

    def __init__(self, response: ProxyResponse, body: Body, hop: Hop, request: Request) -> None:
        self.response: Final = response
        self.body: Final = body
        self.hop: Final = hop
        self.request: Final = request


def request_tunnel(hops: Hops, target: Target) -> Program[Opened | Refused]:
    """Ask for a tunnel to the target through the hops, and take no for an answer.

    Raises:
        TunnelError: Something went wrong other than a refusal.
    """
    answers: dict[Hop, ProxyResponse] = {}
    last = len(hops) - 1
    no = yield from _reach(hops, last, answers)
    if no is None:
        no = yield from _ask(hops, last, target, answers)
    return no or Opened(tuple(answers.values()))


def raise_refusal(no: Refused) -> Program[NoReturn]:
    """Make an error of a refusal, with all that the proxy said.

    Raises:
        TunnelRefused: Always.
    """
    response = yield from read_refusal(no)
    yield from HangUp()
    raise refusal(
        response,
        no.request.goal,
        sent=no.request.credentials is not None,
        user=getattr(no.hop.proxy.auth, "user", None),
    )


def read_refusal(no: Refused) -> Program[ProxyResponse]:
    """The refusal with its body, as far as it comes in time."""
    yield from Enter("connect", no.hop, MAX_BODY_SECONDS)
    content = yield from read_body(no.body)
    return no.response.with_body(content, complete=no.body.complete, trailers=no.body.trailers)


def _reach(hops: Hops, index: int, answers: dict[Hop, ProxyResponse]) -> Program[Refused | None]:
    """Make a connection to a hop, up to where it can be asked for something."""
    hop = hops[index]
    proxy = hop.proxy
    if index == 0:
        addresses = [(proxy.host, proxy.port)]
        if proxy.endpoint.kind == "name":
            yield from Enter("resolve", hop)
            addresses = yield from Resolve(proxy.host, proxy.port)
        yield from Enter("tcp", hop)
        yield from Dial(addresses)
    else:
        no = yield from _reach(hops, index - 1, answers)
        if no is None:
            no = yield from _ask(hops, index - 1, proxy.endpoint, answers)
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


def _ask(
    hops: Hops, index: int, goal: Target, answers: dict[Hop, ProxyResponse]
) -> Program[Refused | None]:
    """Ask a hop for a tunnel to the goal, and answer its challenges."""
    hop = hops[index]
    auth = hop.proxy.auth
    fields = hop.proxy.fields
    if hop.proxy.fields_for is not None:
        fields = yield from _ask_caller(hop.proxy.fields_for, goal)
    request = Request(goal, fields)
    if auth is not None and request.credentials is None:
        request.credentials = yield from auth.answer(None, None)
    yield from Enter("connect", hop)
    outcome = yield from _exchange(request, hop)
    for _ in range(MAX_ROUNDS):
        if not isinstance(outcome, Refused) or outcome.response.status != 407 or auth is None:
            break
        yield from Enter("auth", hop)
        more = yield from auth.answer(challenges_of(outcome.response), request.credentials)
        if more is None:
            break
        request.credentials = more
        again = yield from _exchange_again(request, outcome)
        if again is None:
            yield from HangUp()
            no = yield from _reach(hops, index, answers)
            if no is not None:
                return no
            yield from Enter("connect", hop)
            again = yield from _exchange(request, hop)
        outcome = again
    if isinstance(outcome, Refused):
        return outcome
    answers[hop] = outcome
    return None


class Request:
    """What a hop is asked, and with which credentials."""

    __slots__ = ("credentials", "fields", "goal")

    def __init__(self, goal: Target, fields: RequestFields) -> None:
        self.goal: Final = goal
        self.fields: Final = fields
        self.credentials: Secret[bytes] | None = fields.credentials


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
    yield from Enter("auth", no.hop, MAX_BODY_SECONDS)
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
    # nghttpx answers whatever comes after a rejection with 400, which is no answer to the
    # credentials.
    lost = isinstance(answer, Refused) and answer.response.status == 400
    return None if lost else answer


def _ask_caller(give: Callable[[Target], Any], goal: Target) -> Program[RequestFields]:
    # Read before it gets here: it may hold a token, and tracebacks print locals.
    fields: RequestFields | str = yield from Call(_given, give, goal)
    if isinstance(fields, str):
        raise InvalidProxy(f"cannot be sent what its headers callable gave: {fields}")
    return fields


def _given(give: Callable[[Target], Any], goal: Target) -> Any:  # noqa: ANN401 - or it to come
    pairs = give(goal)
    return _given_later(pairs) if hasattr(pairs, "__await__") else _read_fields(pairs)


async def _given_later(pairs: Awaitable[FieldPairs]) -> RequestFields | str:
    return _read_fields(await pairs)


def _read_fields(pairs: FieldPairs) -> RequestFields | str:
    try:
        return RequestFields(pairs)
    except ValueError as error:
        return str(error)
