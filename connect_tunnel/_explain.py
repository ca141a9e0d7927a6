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
    from ._response import ProxyResponse
    from ._target import Target

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
    401: "401 is no proxy's status; if credentials were sent, they were rejected",
    426: "it asks for another version of HTTP",
}
_UNREACHED = "the proxy looks the target up and dials it itself, from where it stands"


def refusal(
    response: ProxyResponse, goal: Target, *, sent: bool = False, user: str | None = None
) -> TunnelRefused:
    """The error for an answer other than a 2xx.

    Args:
        response: The answer.
        goal: What was asked for.
        sent: Whether credentials went with the request.
        user: The name that the caller's credentials are of, if they have one.
    """
    if response.status == 407:
        return _unauthenticated(response, goal, sent=sent, user=user)
    hint = _UNREACHED if response.status in (500, 502, 503, 504) else _HINTS.get(response.status)
    if response.status == 403 and goal.port != 443:
        hint = f"{hint}; many proxies allow only some ports, 443 above all"
    if 300 <= response.status < 400:
        place = _cut(response.headers.get("location", "elsewhere"))
        hint = f"it points to '{place}', which is not followed: a login page?"
    message = f"refused the tunnel to {goal} ({_status(response)}){_evidence(response)}"
    return TunnelRefused(message, response=response, hint=hint)


def _unauthenticated(
    response: ProxyResponse, goal: Target, *, sent: bool, user: str | None
) -> ProxyAuthenticationRequired:
    challenges = challenges_of(response)
    whose = "the credentials" if user is None else f"the credentials of '{_cut(user)}'"
    hint = None
    if sent:
        what = f"rejected {whose} for the tunnel to {goal}"
    else:
        what = f"wants authentication for the tunnel to {goal}"
        hint = "no credentials were given; pass auth=(user, password) to Proxy"
        if user is not None:
            hint = f"{whose} fit none of that"
    message = f"{what}: it offers {_offers(challenges)}{_evidence(response)}"
    return ProxyAuthenticationRequired(message, response=response, challenges=challenges, hint=hint)


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
