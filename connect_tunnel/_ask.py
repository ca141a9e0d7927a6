"""Asking one hop: a request, its answer, and whether there may be another on the connection.

In HTTP/1.1 and in SOCKS; in HTTP/2, where an answer may take another connection, it is a matter
of walking (`_walk.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ._errors import InvalidProxy, InvalidTarget, ProxyHungUp, ProxyUnreachable
from ._fields import RequestFields
from ._steps import Call, Enter, Resolve
from ._target import known_addresses
from .auth._auth import Later
from .protocols import h1
from .protocols.h1_body import MAX_BODY_SECONDS, Body, read_body

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._fields import FieldPairs
    from ._response import ProxyResponse
    from ._route import Hop
    from ._secret import Secret
    from ._steps import Address, Program
    from ._target import Target
    from .auth._exchange import Exchange


class Refused:
    """A hop said no; the connection is still there for its body to be read from."""

    __slots__ = __match_args__ = ("response", "body", "hop", "request")

    def __init__(self, response: ProxyResponse, body: Body, hop: Hop, request: Request) -> None:
        self.response: Final = response
        self.body: Final = body
        self.hop: Final = hop
        self.request: Final = request


class Request:
    """What a hop is asked, with which credentials, and how these came about."""

    __slots__ = ("credentials", "exchange", "fields", "goal")

    def __init__(self, goal: Target, fields: RequestFields) -> None:
        self.goal: Final = goal
        self.fields: Final = fields
        self.credentials: Secret[bytes] | None = fields.credentials
        self.exchange: Exchange | None = None


def exchange(request: Request, hop: Hop) -> Program[ProxyResponse | Refused]:
    """One request and its answer: a 2xx, or a refusal."""
    authority = request.goal.authority.encode()
    yield from h1.request(hop, authority, request.fields, request.credentials)
    response, followed = yield from h1.read_answer()
    if 200 <= response.status < 300:
        return response
    return Refused(response, Body(response, followed=followed), hop, request)


def exchange_again(request: Request, no: Refused) -> Program[ProxyResponse | Refused | None]:
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
    try:
        answer = yield from exchange(request, no.hop)
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


def ask_caller(give: Callable[[Target], Any], goal: Target) -> Program[RequestFields]:
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


def ask_socks(hop: Hop, goal: Target) -> Program[ProxyResponse | Refused]:
    from .auth._socks import SocksLogin  # noqa: PLC0415 - for SOCKS only
    from .protocols import socks, socks_words  # noqa: PLC0415 - likewise

    proxy = hop.proxy
    socks_words.check(proxy.scheme, goal)
    address = None
    if socks_words.resolves_here(proxy.scheme, goal):
        addresses = yield from look_up(goal)
        address = socks_words.choose(proxy.scheme, goal, addresses)
    login = proxy.auth.login if isinstance(proxy.auth, SocksLogin) else None
    yield from Enter("connect", hop)
    response = yield from socks.ask_socks(proxy.scheme, goal, address, login)
    if socks_words.granted(response):
        return response
    return Refused(response, Body(response, framing=0), hop, Request(goal, proxy.fields))


def look_up(goal: Target) -> Program[Sequence[Address]]:
    """The addresses of a goal, where it is for us to know them, and no proxy's doing."""
    if known := known_addresses(goal.host, goal.port, goal.kind):
        return known
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


def without_zone(addresses: Sequence[Address], goal: Target) -> str:
    """The first address that means something elsewhere, too (RFC 9844)."""
    for host, _ in addresses:
        if "%" not in host:
            return host
    raise InvalidTarget(f"target '{goal}' has no address that a proxy can be told")
