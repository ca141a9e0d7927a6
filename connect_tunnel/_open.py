"""The program that opens a tunnel: route -> dial -> TLS -> ask each hop -> done.

A way that is given is walked (`_walk.py`). Where a router decides, the ways that it names are
tried in its order, each only if the ones before it could not be reached: what a proxy answers
is an answer, and another proxy is not asked for a better one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ._errors import ProxyUnreachable, TunnelError
from ._explain import refusal, socks_refusal
from ._route import Routed
from ._secret import without
from ._steps import Dial, Enter, HangUp, Resolve
from ._target import known_addresses
from ._walk import Opened, Walk
from .protocols.h1_body import MAX_BODY_SECONDS, read_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._ask import Refused
    from ._response import ProxyResponse
    from ._route import Hops
    from ._steps import Address, Program
    from ._target import Target


def request_tunnel(way: Hops | Routed, target: Target) -> Program[Opened | Refused]:
    """Ask for a tunnel to the target, and take no for an answer.

    Raises:
        TunnelError: Something went wrong other than a refusal.
    """
    return _request_by_router(way, target) if isinstance(way, Routed) else Walk(way).to(target)


def _request_by_router(way: Routed, target: Target) -> Program[Opened | Refused]:
    from .routing._health import is_unreached  # noqa: PLC0415 - for those who have a router

    decision = yield from way.router.route(target)
    failed: list[TunnelError] = []
    for number, proxies in enumerate(decision.ways):
        hops = way.hops(proxies)
        walk = Walk(hops, attempts=len(decision.ways) - number)
        try:
            if hops:
                outcome = yield from walk.to(target)
            else:
                outcome = yield from _dial_directly(target)
        except TunnelError as error:
            # Behind the dialling such an error is of something else: a name that was looked up
            # for the proxy, or what a callable of the user's did.
            unreached = is_unreached(error) and not walk.dialled
            way.router.report(proxies, error if unreached else None)
            if not unreached:
                raise
            failed.append(error)
            continue
        way.router.report(proxies, None)
        return outcome
    if len(failed) == 1:
        raise failed[0]
    yield from Enter("tcp", None)  # it is no single proxy's failure
    raise _none_reached(failed)


def _dial_directly(target: Target) -> Program[Opened]:
    """Connect to the target itself, as a router may decide."""
    addresses: Sequence[Address] = known_addresses(target.host, target.port, target.kind)
    if not addresses:
        addresses = yield from Resolve(target.host, target.port)
    yield from Dial(addresses)
    return Opened((), ())


def _none_reached(failed: list[TunnelError]) -> ProxyUnreachable:
    tried = "; ".join(str(error) for error in failed)
    return ProxyUnreachable(
        f"can be reached by none of {len(failed)} ways: {tried}",
        attempts=tuple(one for error in failed for one in getattr(error, "attempts", ())),
        errno=failed[-1].errno,
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
