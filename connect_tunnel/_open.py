"""The program that opens a tunnel: route -> dial -> TLS -> ask each hop -> done.

A way that is given is walked (`_walk.py`). Where a router decides, the ways that it names are
tried in its order, each only if the ones before it could not be reached: what a proxy answers
is an answer, and another proxy is not asked for a better one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from ._errors import ProxyUnreachable, TunnelTimeout
from ._explain import refusal, socks_refusal
from ._route import Routed
from ._secret import without
from ._steps import Dial, Enter, HangUp, Resolve
from ._walk import Refused, Walk
from .protocols.h1_body import MAX_BODY_SECONDS, read_body

if TYPE_CHECKING:
    from ._errors import TunnelError
    from ._response import ProxyResponse
    from ._route import Hops
    from ._steps import Program
    from ._target import Target

# For dialling one proxy when there is another to be tried: a proxy that is there answers a SYN
# within a round trip, and one that is not must not use up the time of the others.
PATIENCE = 5.0


class Opened:
    """A tunnel is open: through which hops, and what each of them answered."""

    __slots__ = __match_args__ = ("hops", "responses")

    def __init__(self, hops: Hops, responses: tuple[ProxyResponse, ...]) -> None:
        self.hops: Final = hops
        self.responses: Final = responses


def request_tunnel(way: Hops | Routed, target: Target) -> Program[Opened | Refused]:
    """Ask for a tunnel to the target, and take no for an answer.

    Raises:
        TunnelError: Something went wrong other than a refusal.
    """
    if isinstance(way, Routed):
        return (yield from _request_by_router(way, target))
    walk = Walk(way)
    return (yield from walk.to(target)) or Opened(way, tuple(walk.answers.values()))


def _request_by_router(way: Routed, target: Target) -> Program[Opened | Refused]:
    from .routing._health import is_unreached  # noqa: PLC0415 - for those who have a router

    decision = yield from way.router.route(target)
    unreached: list[TunnelError] = []
    for number, proxies in enumerate(decision.ways, 1):
        hops = way.hops(proxies)
        walk = Walk(hops, PATIENCE if number < len(decision.ways) else None)
        no: Refused | None = None
        try:
            if hops:
                no = yield from walk.to(target)
            else:
                yield from _dial_directly(target)
        except (ProxyUnreachable, TunnelTimeout) as error:
            if not is_unreached(error):
                raise
            way.router.report(proxies, error)
            unreached.append(error)
            continue
        way.router.report(proxies, None)
        return no or Opened(hops, tuple(walk.answers.values()))
    if len(unreached) == 1:
        raise unreached[0]
    yield from Enter("tcp", None)  # it is no single proxy's failure
    raise _none_reached(unreached)


def _dial_directly(target: Target) -> Program[None]:
    """Connect to the target itself, as a router may decide."""
    addresses = [(target.host, target.port)]
    if target.kind == "name":
        yield from Enter("resolve", None)
        addresses = yield from Resolve(target.host, target.port)
    yield from Enter("tcp", None)
    yield from Dial(addresses)


def _none_reached(unreached: list[TunnelError]) -> ProxyUnreachable:
    tried = "; ".join(str(error) for error in unreached)
    return ProxyUnreachable(
        f"can be reached by none of {len(unreached)} ways: {tried}",
        attempts=tuple(one for error in unreached for one in getattr(error, "attempts", ())),
        errno=unreached[-1].errno,
    )


def raise_refusal(no: Refused) -> Program[NoReturn]:
    """Make an error of a refusal, with all that the proxy said.

    Raises:
        TunnelRefused: Always.
    """
    response = yield from read_refusal(no)
    yield from HangUp()
    request = no.request
    sent = request.credentials is not None
    if no.hop.proxy.scheme.startswith("socks"):
        raise socks_refusal(response, request.goal, no.hop.proxy)
    raise refusal(response, request.goal, sent=sent, exchange=request.exchange)


def read_refusal(no: Refused) -> Program[ProxyResponse]:
    """The refusal with its body, as far as it comes in time.

    Some proxies show the request on their page; credentials do not come back that way.
    """
    yield from Enter("connect", no.hop, MAX_BODY_SECONDS, soft=True)
    content = without((yield from read_body(no.body)), no.request.credentials)
    return no.response.with_body(content, complete=no.body.complete, trailers=no.body.trailers)
