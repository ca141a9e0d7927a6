"""Plays a case with a client, and says everything that is wrong with what came of it."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from connect_tunnel import (
    Proxy,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyTLSError,
    ProxyUnreachable,
    TunnelBroken,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
    auth,
)
from connect_tunnel.testing import ScriptedProxy, ScriptError

from .case import RequestFacts, octets
from .clients import Opened

if TYPE_CHECKING:
    import ssl

    from connect_tunnel import ProxyResponse

    from .case import AuthFacts, Case, DigestFacts, Outcome, ResponseFacts, TunnelFacts
    from .clients import Clients, Stream

ECHOED: Final = b"ping \0\x01\r\n\r\nHTTP/1.1 407 not-http \x80\xfe pong"
FAREWELL: Final = b"bye"
PATIENCE: Final = 2.0  # for what should come at once, on a machine that is busy
GRACE: Final = 1.0  # past the client's own deadline, likewise

_REQUEST_LINE = re.compile(r"CONNECT (\S+) HTTP/1\.1")
_DIGEST_PARAMETER = re.compile(r'([a-z]+)=(?:"((?:\\.|[^"\\])*)"|([^" ,]+))')
_FIELD_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


@dataclass(frozen=True, slots=True)
class Contexts:
    """TLS contexts: the client's, and those of a server it trusts and of one it does not."""

    client: ssl.SSLContext
    server: ssl.SSLContext
    untrusted: ssl.SSLContext

    def of_server(self, case: Case) -> ssl.SSLContext | None:
        if case.server_tls == "none" or case.proxy.get("scheme") != "https":
            return None
        return self.untrusted if case.server_tls == "untrusted" else self.server


def play(
    case: Case, client: str, clients: Clients, contexts: Contexts, *, bytewise: bool
) -> list[str]:
    """Play a case. Everything that is wrong with what came of it."""
    script = case.steps(bytewise=bytewise)
    try:
        with ScriptedProxy(*script, ssl_context=contexts.of_server(case)) as proxy:
            started = time.monotonic()
            result = _open(case, client, clients, proxy, contexts)
            late = time.monotonic() - started - case.timeout
            wrong = [] if late < GRACE else [f"took {late:.1f} s more than it had"]
            spoken = bytearray()
            wrong += _judge(case, result, spoken)
            if isinstance(result, Opened):
                result.stream.close()
            closed = proxy.wait_closed(PATIENCE)
            if not (closed or case.may_stay_open):
                wrong.append("left its connection open")
            return wrong + _judge_requests(case, result, proxy, bytes(spoken))
    except ScriptError as exc:
        return [str(exc)]


def _open(
    case: Case, client: str, clients: Clients, proxy: ScriptedProxy, contexts: Contexts
) -> Opened | Exception:
    try:
        via = _proxy(case, proxy, contexts.client)
        return clients.open(client, case.target, via, case.timeout)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is judged
        return exc


def _proxy(case: Case, proxy: ScriptedProxy, context: ssl.SSLContext) -> Proxy:
    facts = case.proxy
    scheme = facts.get("scheme", "http")
    userinfo = f"{facts['userinfo']}@" if "userinfo" in facts else ""
    return Proxy(
        f"{scheme}://{userinfo}{proxy.host}:{proxy.port}",
        auth=_auth(facts["auth"]) if "auth" in facts else None,
        headers=facts.get("headers"),
        ssl_context=context if scheme == "https" else None,
    )


def _auth(facts: AuthFacts) -> auth.Auth:
    user, password = facts.get("username", ""), facts.get("password", "")
    match facts["type"]:
        case "basic":
            return auth.Basic(user, password, preemptive=facts.get("preemptive", True))
        case "digest":
            return auth.Digest(user, password)
        case "any":
            return auth.Password(user, password, preemptive=False)
        case "scripted":
            return _Scripted(facts)


class _Scripted(auth.Auth):
    """A flow that says what a table has it say."""

    def __init__(self, facts: AuthFacts) -> None:
        self._replies = dict(facts.get("replies", []))
        self._bound = facts.get("connection_bound", False)

    def flow(self, exchange: auth.Exchange) -> auth.Flow:
        replies = dict(self._replies)
        response: ProxyResponse = yield replies.pop("", None)
        while response.status == 407:
            offered = response.headers.get_list("proxy-authenticate")
            known = next((challenge for challenge in offered if challenge in replies), None)
            if known is None:
                return
            exchange.bound = self._bound and " " in known  # in answer to a token
            response = yield replies.pop(known)


# --- what came of it ---


def _judge(case: Case, result: Opened | Exception, spoken: bytearray) -> list[str]:
    verdicts = [_compare(outcome, result, spoken) for outcome in case.expect]
    wrong = verdicts[0] if all(verdicts) else []
    secret = case.proxy.get("auth", {}).get("password", "")
    if len(secret) > 3 and isinstance(result, Exception) and secret in f"{result} {result!r}":
        wrong.append("the password is in the error")
    return wrong


def _compare(outcome: Outcome, result: Opened | Exception, spoken: bytearray) -> list[str]:
    match outcome, result:
        case {"tunnel": facts}, Opened(response, stream):
            return [*_compare_response(facts, response), *_speak(stream, facts, spoken)]
        case {"response": facts}, TunnelRefused(response=response):
            return _compare_response(facts, response)
        case {"error": kinds}, Exception() if (kind := kind_of(result)) is not None:
            return [] if kind in kinds else [f"{kind}, not {kinds}: {result!r}"]
        case _:
            return [f"wanted {outcome}, got {result!r}"]


def _compare_response(facts: ResponseFacts, response: ProxyResponse) -> list[str]:
    has: list[tuple[str, object, object]] = [
        ("status", response.status, facts.get("status")),
        ("reason", response.reason, facts.get("reason")),
        ("complete", response.complete, facts.get("complete")),
        ("body", response.body, octets(facts["body"]) if "body" in facts else None),
    ]
    wrong = [
        f"{name} {value!r}, not {wanted!r}"
        for name, value, wanted in has
        if wanted is not None and value != wanted
    ]
    fields = [(name.lower(), value) for name, value in response.headers.raw]
    for name, value in facts.get("headers", []):
        if (octets(name.lower()), octets(value)) not in fields:
            wrong.append(f"no {name}: {value} in {fields}")
    return wrong


def kind_of(error: Exception) -> str | None:
    """What the tables call an error; None for a refusal, which is an answer."""
    match error:
        case TunnelRefused():
            return None
        case ProxyHungUp(reset=reset):
            return "proxy_reset" if reset else "proxy_closed"
        case ProxyMisbehaved(kind=kind):
            return "malformed" if kind == "malformed" else "too_large"
        case _:
            kinds = (kind for error_type, kind in _KINDS if isinstance(error, error_type))
            return next(kinds, "other" if isinstance(error, TunnelError) else repr(error))


_KINDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (TunnelTimeout, "timeout"),
    (ProxyTLSError, "tls"),
    (ProxyUnreachable, "unreachable"),
    (TunnelBroken, "proxy_reset"),
    (ValueError, "config"),  # InvalidTarget and InvalidProxy are, and so is what an Auth refuses
)


# --- what goes through the tunnel ---


def _speak(stream: Stream, facts: TunnelFacts, spoken: bytearray) -> list[str]:
    try:
        return _converse(stream, facts, spoken)
    except (OSError, TimeoutError) as exc:
        return [f"in the tunnel: {exc!r}"]


def _converse(stream: Stream, facts: TunnelFacts, spoken: bytearray) -> list[str]:
    def send(data: bytes) -> None:
        stream.send(data)
        spoken.extend(data)

    wrong = _hear(stream, octets(facts.get("early", "")))
    if "say" in facts:
        send(octets(facts["say"]))
    wrong += _hear(stream, octets(facts.get("hear", "")))
    if facts.get("echo"):
        send(ECHOED)
        wrong += _hear(stream, ECHOED)
    if facts.get("end") and (more := stream.receive(100, PATIENCE)):
        wrong.append(f"{more!r} instead of the end")
    if facts.get("speak_on"):
        send(FAREWELL)
    return wrong


def _hear(stream: Stream, wanted: bytes) -> list[str]:
    heard = bytearray()
    end = time.monotonic() + PATIENCE
    while len(heard) < len(wanted) and (left := end - time.monotonic()) > 0:
        data = stream.receive(len(wanted) - len(heard), left)
        if not data:
            break
        heard += data
    return [] if bytes(heard) == wanted else [f"heard {bytes(heard[:99])!r}, not {wanted[:99]!r}"]


# --- what the proxy was asked ---


def _judge_requests(
    case: Case, result: Opened | Exception, proxy: ScriptedProxy, spoken: bytes
) -> list[str]:
    if isinstance(result, ValueError):
        return ["connected, and the caller was to blame"] if proxy.connections else []
    if case.any_request or not case.script:
        return []
    wrong: list[str] = []
    most, least = case.count("request", "retry"), case.count("request")
    if case.optional_tail:
        least = 1
    elif not case.count("retry"):
        least = most
    if not least <= len(proxy.heads) <= most:
        wrong.append(f"{len(proxy.heads)} requests, not {least} to {most}")
    most = 1 + case.count("reconnect", "retry")
    least = 1 if case.optional_tail else 1 + case.count("reconnect")
    if not least <= proxy.connections <= most:
        wrong.append(f"{proxy.connections} connections, not {least} to {most}")
    sent, asked = b"".join(proxy.received), b"".join(proxy.heads)
    if sent != asked + spoken and not case.count("close", "reset", "flood"):
        wrong.append(f"sent {sent[len(asked) :]!r} besides its requests, and meant {spoken!r}")
    for number, head in enumerate(proxy.heads):
        facts = case.requests[number : number + 1] or [RequestFacts()]
        wrong += _judge_request(case, head, facts[0])
    return wrong


def _judge_request(case: Case, head: bytes, facts: RequestFacts) -> list[str]:
    line, *lines = head.removesuffix(b"\r\n\r\n").decode("latin-1").split("\r\n")
    found = [_FIELD_LINE.fullmatch(each) for each in lines]
    fields = [(each[1].lower(), each[2]) for each in found if each]
    wrong: list[str] = []

    def check(truth: object, complaint: str) -> None:
        if not truth:
            wrong.append(f"{complaint}: {head!r}")

    asked = _REQUEST_LINE.fullmatch(line)
    check(asked and asked[1].lower() == case.authority.lower(), "the request line is wrong")
    check(all(found) and not re.search(r"[\r\n\0]", "".join(lines)), "a field is malformed")
    names = Counter(name for name, _ in fields)
    check(names["host"] == 1 and fields[0][0] == "host", "Host is not the first field, once")
    own_host = any(name.lower() == "host" for name, _ in case.proxy.get("headers", []))
    check(own_host or (asked and ("host", asked[1]) in fields), "Host is not the authority")
    for name in ("content-length", "transfer-encoding", "proxy-connection"):
        check(not names[name], f"{name} in a CONNECT request")
    for name in ("proxy-authorization", "user-agent"):
        check(names[name] <= 1, f"more than one {name}")
    check(facts.get("line", line) == line, f"the line is not {facts.get('line')!r}")
    for name, value in facts.get("fields", []):
        has = [each for each_name, each in fields if each_name == name.lower()]
        check(has == [value], f"not {name}: {value}")
    check(all(names[name.lower()] for name in facts.get("present", [])), "a field is missing")
    check(not any(names[name.lower()] for name in facts.get("absent", [])), "a field too many")
    if digest := facts.get("digest"):
        given = [value for name, value in fields if name == "proxy-authorization"]
        check(is_digest(given, digest), f"not a Digest of {digest}")
    return wrong


def is_digest(given: list[str], facts: DigestFacts) -> bool:
    """Whether it is made of this, by a computation of our own (RFC 7616, 3.4.1)."""
    if len(given) != 1 or not given[0].startswith("Digest "):
        return False
    found: list[tuple[str, str, str]] = re.findall(_DIGEST_PARAMETER, given[0])
    has = {name: re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in found}
    wanted = {name: value for name, value in facts.items() if name != "password"}
    if any(has.get(name) != value for name, value in wanted.items()):
        return False

    def hashed(*parts: str) -> str:
        name = {"MD5": "md5", "SHA-256": "sha256"}[has.get("algorithm", "MD5")]
        return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    uses = [has["nc"], has["cnonce"], has["qop"]] if "qop" in has else []
    who = hashed(facts["username"], facts["realm"], facts["password"])
    return has["response"] == hashed(who, has["nonce"], *uses, hashed("CONNECT", has["uri"]))
