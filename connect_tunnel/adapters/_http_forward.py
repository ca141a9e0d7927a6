"""What becomes of a request for http://, which needs no tunnel: programs for both shells.

A proxy takes such a request itself, in absolute form (RFC 9112, 3.2.2), and most will open no
tunnel to port 80. So a request is sent to the last proxy of its way, and a tunnel is only made
where there is no such proxy (the way is direct, or ends in SOCKS), or where the caller wants one.

Of what the caller has for the proxy, only credentials go with a request: Basic, Bearer or a field
of the caller's own. Whatever else were sent would reach the target too, which has no business
with it; and an answer to a challenge is good for CONNECT alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from connect_tunnel._ask import ask_caller
from connect_tunnel._errors import ProxyAuthenticationRequired
from connect_tunnel._explain import challenges_of, excerpt
from connect_tunnel._login import Login
from connect_tunnel._open import _dial_directly
from connect_tunnel._response import ProxyResponse
from connect_tunnel._route import Hop, Routed
from connect_tunnel._secret import without
from connect_tunnel._walk import Walk

if TYPE_CHECKING:
    from connect_tunnel._ask import Refused
    from connect_tunnel._route import Hops
    from connect_tunnel._secret import Secret
    from connect_tunnel._steps import Program
    from connect_tunnel._target import Target
    from connect_tunnel._walk import Opened

    from ._http_stream import Library, Request, Response


class Way(NamedTuple):
    """A way that requests take, and what is at its end.

    Attributes:
        hops: The proxies to pass.
        forwarded: Whether the last of them is sent the request, or else asked for a tunnel.
        attempts: How many ways there are to be tried.
    """

    hops: Hops
    forwarded: bool
    attempts: int

    def reach(self, target: Target) -> Program[Opened | Refused]:
        """Make a connection for requests to this target.

        Raises:
            TunnelError: As `Walk.to` does.
        """
        if not self.hops:
            return _dial_directly(target)
        if not self.forwarded:
            return Walk(self.hops, self.attempts).to(target)
        *before, last = self.hops
        return Walk((*before, _alone(last)), self.attempts).to_last()


def _alone(hop: Hop) -> Hop:
    """The hop as it is sent requests: on a connection that carries nothing else, in HTTP/1.1."""
    if not hop.multiplexes:
        return hop
    alone = Hop(hop.proxy, hop.number, hop.of)
    alone.forgo_http2()
    return alone


def ways_to(target: Target, way: Hops | Routed, *, forward: bool) -> Program[list[Way]]:
    """The ways that an http:// request to this target may take, in order."""
    ways = (yield from _decide(target, way)) if isinstance(way, Routed) else [way]
    return [Way(hops, forward and forwards(hops), len(ways)) for hops in ways]


def _decide(target: Target, way: Routed) -> Program[list[Hops]]:
    from connect_tunnel.routing import Environment  # noqa: PLC0415 - for those who have a router

    router = way.router
    if isinstance(router, Environment):
        decision = router.decide(target, scheme="http")
    else:
        decision = yield from router.route(target)
    return [way.hops(proxies) for proxies in decision.ways]


def forwards(hops: Hops) -> bool:
    """Whether there is a proxy at the end of the way that takes requests."""
    return bool(hops) and hops[-1].proxy.scheme in ("http", "https") and hops[-1].proxy.http1


def credentials(way: Way, target: Target) -> Program[Secret[bytes] | None]:
    """What tells the proxy who is asking, if that can be said before it asks."""
    if not way.forwarded:
        return None
    proxy = way.hops[-1].proxy
    fields = proxy.fields
    if proxy.fields_for is not None:
        fields = yield from ask_caller(proxy.fields_for, target)
    if fields.credentials is not None or proxy.auth is None:
        return fields.credentials
    # A hop of its own: what others have learnt of the proxy is good for CONNECT.
    return (yield from Login(proxy.auth, Hop(proxy), target).begin())


def absolute(
    library: Library, request: Request, target: Target, secret: Secret[bytes] | None
) -> Request:
    """A request as it is sent to a proxy."""
    url = request.url
    headers = list(request.headers)
    if secret is not None and not any(name.lower() == _CREDENTIALS for name, _ in headers):
        headers.append((_CREDENTIALS.title(), secret.reveal()))
    return library.Request(
        request.method,
        library.URL(
            scheme=url.scheme, host=url.host, port=url.port,
            target=_absolute(url.target, target),
        ),
        headers=headers,
        content=request.stream,
        extensions={name: value for name, value in request.extensions.items() if name != "target"},
    )  # fmt: skip


_CREDENTIALS = b"proxy-authorization"


def _absolute(path: bytes, target: Target) -> bytes:
    if not path.startswith((b"/", b"*")):
        return path  # the caller's own, and absolute already
    authority = target.authority.removesuffix(":80").encode()
    # "*" is the proxy itself, unless it is said without a path (RFC 9112, 3.2.4).
    return b"http://%b%b" % (authority, path.removeprefix(b"*"))


class Page:
    """The body of a 407, as much of it as is read of any refusal.

    Attributes:
        complete: Whether that is all of it.
    """

    def __init__(self, response: Response) -> None:
        self.response: Final = response
        self.complete: bool = True
        self._body = bytearray()

    def is_full_with(self, part: bytes) -> bool:
        """Take some more of it, if there is room."""
        if len(self._body) + len(part) > _LONGEST_PAGE:
            self.complete = False
        self._body += part[: _LONGEST_PAGE - len(self._body)]
        return not self.complete

    def answer(self, secret: Secret[bytes] | None) -> ProxyResponse:
        """The whole response, without the credentials that it may have told again."""
        known = self.response.extensions
        return ProxyResponse(
            self.response.status,
            known.get("reason_phrase", b"").decode("latin-1"),
            known.get("http_version", b"HTTP/1.1").decode("ascii").removeprefix("HTTP/"),
            b"".join(b"%b: %b\r\n" % field for field in self.response.headers),
            body=without(bytes(self._body), secret),
            complete=self.complete,
        )


_LONGEST_PAGE = 65536


def rejection(
    way: Way, target: Target, page: Page, secret: Secret[bytes] | None
) -> ProxyAuthenticationRequired:
    """The error for a 407, which is always a proxy's (RFC 9110, 15.5.8).

    Args:
        way: The way.
        target: What was to be reached.
        page: What came back.
        secret: What had been sent.
    """
    answer = page.answer(secret)
    challenges = challenges_of(answer)
    offers = ", ".join(challenge.scheme for challenge in challenges[:4]) or "no scheme at all"
    done = "wants authentication for" if secret is None else "rejected the credentials for"
    said = f'; proxy said "{words}"' if (words := excerpt(answer)) else ""
    hop = way.hops[-1]
    return ProxyAuthenticationRequired(
        f"{done} a request to {target}: it offers {ascii(offers)[1:-1]}{said}",
        response=answer, challenges=challenges, phase="auth", target=str(target),
        proxy_url=hop.proxy.url, hop=hop.place,
        hint=_advice(sent=secret is not None, given=hop.proxy.auth is not None),
    )  # fmt: skip


def _advice(*, sent: bool, given: bool) -> str:
    if sent:
        return "check the user and the password"
    if given:
        return "a challenge is answered for a tunnel only: tunnel_http=True makes one"
    return "no credentials were given; pass auth=(user, password) to Proxy"
