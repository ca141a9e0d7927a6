"""The words for a proxy's no: what it said, in its own words, and one thing to try next.

A message tells what happened, to which target, on what evidence; `TunnelError.__str__` puts
the proxy and the hop before it and the hint behind it. It never holds more of the caller's
credentials than the user name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ._errors import ProxyAuthenticationRequired, TunnelRefused

if TYPE_CHECKING:
    from ._challenge import Challenge
    from ._proxy import Proxy
    from ._response import ProxyResponse
    from ._target import Target
    from .auth._exchange import Exchange

_LONGEST_EXCERPT = 200

_UNSEEN = re.compile(r"(?is)<(script|style|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>")
_BLANKS = re.compile(r"\s+")
# RFC 9209, and what squid says instead; when to come back; and who it is that says no.
_DIAGNOSES = ("Proxy-Status", "X-Squid-Error", "Retry-After", "Server")
_MOST_OFFERS = 4

_HINTS = {
    403: "it is the proxy's decision, not the target's",
    404: "the proxy may not find the target, or be a web server that does not know CONNECT",
    405: "it may be a web server rather than a proxy",
    501: "it may be a web server rather than a proxy",
    426: "it asks for another version of HTTP",
}
_UNREACHED = "the proxy looks the target up and dials it itself, from where it stands"


def refusal(
    response: ProxyResponse, goal: Target, *, sent: bool = False, exchange: Exchange | None = None
) -> TunnelRefused:
    """The error for an answer other than a 2xx.

    Args:
        response: The answer.
        goal: What was asked for.
        sent: Whether credentials went with the request.
        exchange: What was tried to be let in, if the caller gave credentials.
    """
    if response.status in (401, 407):
        return _unauthenticated(response, goal, sent=sent, exchange=exchange)
    hint = _UNREACHED if response.status in (500, 502, 503, 504) else _HINTS.get(response.status)
    if response.status == 403 and goal.port != 443:
        hint = f"{hint}; many proxies allow only some ports, 443 above all"
    if 300 <= response.status < 400:
        place = _cut(response.headers.get("location", "elsewhere"))
        hint = f"it points to '{place}', which is not followed: a login page?"
    message = f"refused the tunnel to {goal} ({_status(response)}){_evidence(response)}"
    return TunnelRefused(message, response=response, hint=hint)


def _unauthenticated(
    response: ProxyResponse, goal: Target, *, sent: bool, exchange: Exchange | None
) -> ProxyAuthenticationRequired:
    challenges = challenges_of(response)
    tried = () if exchange is None else tuple(exchange.tried)
    user = None if exchange is None else exchange.user
    whose = "the credentials" if user is None else f"the credentials of '{_cut(user)}'"
    what = f"rejected {whose} for" if sent else "wants authentication for"
    offers = f"it offers {_offers(challenges)}"
    if response.status == 401:  # what it offers, it offers in the name of an origin
        offers = "it says so with 401, where a proxy has 407"
    done = f" (tried {_cut(', '.join(tried))})" if tried else ""
    return ProxyAuthenticationRequired(
        f"{what} the tunnel to {goal}{done}: {offers}{_evidence(response)}",
        response=response,
        challenges=challenges,
        tried=tried,
        hint=_advice(response, challenges, sent=sent, exchange=exchange),
    )


def socks_refusal(response: ProxyResponse, goal: Target, proxy: Proxy) -> TunnelRefused:
    """The error for the no of a SOCKS proxy, whose codes are not those of HTTP."""
    from .protocols.socks_words import explain, wants_login  # noqa: PLC0415 - for SOCKS only

    user: str | None = getattr(proxy.auth, "user", None)
    message, hint = explain(response, goal, scheme=proxy.scheme, user=user)
    kind = ProxyAuthenticationRequired if wants_login(response) else TunnelRefused
    return kind(message, response=response, hint=hint)


_EXTRA = 'pip install "connect_tunnel[negotiate]"'
# What answers a scheme, the strongest first.
_ADVICE = {
    "negotiate": f"pass auth.Negotiate() to Proxy; {_EXTRA}",
    "digest": "pass auth=(user, password) to Proxy",
    "ntlm": f"pass auth.NTLM(user, password) to Proxy; {_EXTRA}",
    "bearer": "pass auth.Bearer(token) to Proxy",
    "basic": "pass auth=(user, password) to Proxy",
}
_NO_SCHEME = "for a scheme that is not known here, subclass auth.Auth"


def _advice(
    response: ProxyResponse,
    challenges: tuple[Challenge, ...],
    *,
    sent: bool,
    exchange: Exchange | None,
) -> str | None:
    """What to try next: the strongest that would do, of what was not tried."""
    offered = {challenge.scheme.lower() for challenge in challenges}
    if exchange is None and not sent:
        # With nothing to go by: what most have, and most proxies take.
        simple = not offered or not offered.isdisjoint({"basic", "digest"})
        known = ["basic"] if simple else [scheme for scheme in _ADVICE if scheme in offered]
        return f"no credentials were given; {_ADVICE[known[0]] if known else _NO_SCHEME}"
    if response.status == 401 and not sent:
        return "401 is not answered; auth=(user, password) is sent without being asked for"
    # What a caller makes of a field is one of these.
    tried = {"basic", "bearer"}
    if exchange is not None:
        tried = {said.split()[0].lower() for said in exchange.tried}
    left = [challenge for challenge in challenges if challenge.scheme.lower() not in tried]
    if response.status == 407 and left:
        return _advice_for(left)
    user_known = sent and exchange is not None and exchange.user is not None
    return "check the user and the password" if user_known else None


def _advice_for(challenges: list[Challenge]) -> str:
    from .auth._nonce import supported  # noqa: PLC0415 - for refusals only

    odd = [c for c in challenges if c.scheme.lower() == "digest" and not supported(c)]
    schemes = {challenge.scheme.lower() for challenge in challenges if challenge not in odd}
    if known := [scheme for scheme in _ADVICE if scheme in schemes]:
        return _ADVICE[known[0]]
    if odd:
        algorithm = _cut(odd[0].params.get("algorithm", "MD5"))
        return f"its Digest (algorithm {algorithm}) cannot be answered here"
    return _NO_SCHEME


def challenges_of(response: ProxyResponse) -> tuple[Challenge, ...]:
    """What a 407 offers."""
    from .auth import parse_challenges  # noqa: PLC0415 - for refusals only

    return tuple(parse_challenges(response.headers.get_list("proxy-authenticate")))


def _offers(challenges: tuple[Challenge, ...]) -> str:
    if not challenges:
        return "no scheme at all"
    shown = [
        _cut(c.scheme) if c.realm is None else f"{_cut(c.scheme)} (realm '{_cut(c.realm)}')"
        for c in challenges[:_MOST_OFFERS]
    ]
    more = len(challenges) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _status(response: ProxyResponse) -> str:
    return f"{response.status} {_cut(response.reason)}".rstrip()


def _evidence(response: ProxyResponse) -> str:
    """What else the answer says: diagnostic fields, and the first text of its page."""
    found = [
        f"; {name}: {_cut(value)}"
        for name in _DIAGNOSES
        if (value := response.headers.get(name) or response.trailers.get(name))
    ]
    if page := excerpt(response):
        found.append(f'; proxy said "{page}"')
    return "".join(found)


def _cut(text: str) -> str:
    """Foreign text, fit for one line of printable ASCII."""
    shown = ascii(text)[1:-1]
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def excerpt(response: ProxyResponse) -> str:
    """The first visible text of the body: no markup, nothing unprintable, 200 characters."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return ""  # never decoded: a small page may be gigabytes
    text = _UNSEEN.sub(" ", response.body[:8192].decode("utf-8", "replace"))
    text = _BLANKS.sub(" ", text).strip()
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    if len(text) > _LONGEST_EXCERPT:
        text = text[: _LONGEST_EXCERPT - 3] + "..."
    return text
