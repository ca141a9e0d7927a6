"""Opening a tunnel: which ways are tried, as stories (see `stories.py`), and how a no is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import (
    InvalidProxy,
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyTLSError,
    ProxyUnreachable,
    Target,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel._ask import Refused
from connect_tunnel._open import read_refusal, request_tunnel
from connect_tunnel._route import Routed
from connect_tunnel._steps import HangUp, Part, Resolve, Take
from connect_tunnel._walk import PATIENCE
from connect_tunnel.auth import Basic
from connect_tunnel.protocols.h1_body import MAX_BODY_SECONDS
from connect_tunnel.routing import Call, Decision, Direct, Offload, Router
from connect_tunnel.testing import every_split, replay
from tests.core.stories import (
    ADDRESSES,
    ASK,
    ASKED,
    NO,
    OK,
    REACHED,
    RESET,
    TAIL,
    TARGET,
    WANTS_BASIC,
    lazy,
    opened,
    run,
    story,
    way,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connect_tunnel import ProxyResponse
    from connect_tunnel._steps import Program
    from tests.core.stories import Incoming

# ---- routers ----


class Names(Router):
    """Names the same ways each time, and notes what it is told of them."""

    def __init__(self, *ways: Iterable[Proxy | str]) -> None:
        self.decision = Decision([[Proxy.parse(proxy) for proxy in one] for one in ways], "named")
        self.reports: list[tuple[str, TunnelError | None]] = []

    def route(self, target: Target) -> Program[Decision]:
        yield from ()
        return self.decision

    def report(self, way: tuple[Proxy, ...], error: TunnelError | None) -> None:
        self.reports.append((" -> ".join(proxy.url for proxy in way) or "direct", error))


A, B, C = "http://a.test:1", "http://b.test:2", "http://c.test:3"
DIALLED_A, DIALLED_B, DIALLED_C = (
    ["look up a.test:1", "dial"], ["look up b.test:2", "dial"], ["look up c.test:3", "dial"],
)  # fmt: skip


def placed(error: TunnelError, phase: Any) -> TunnelError:
    """As the driver throws it into a program."""
    error.phase = phase
    return error


def refused_by(url: str) -> ProxyUnreachable:
    return ProxyUnreachable("cannot be reached (refused)", phase="tcp", proxy_url=url)


UNKNOWN = ProxyUnreachable("has a name that cannot be looked up", phase="resolve")
SLOW_LOOKUP = TunnelTimeout("could not be looked up within 5.0 s", phase="resolve")
SLOW_DIAL = TunnelTimeout("did not accept a connection within 5.0 s", phase="tcp")


def test_a_router_that_names_one_way() -> None:
    """As if it had been given."""
    router = Names([A, "https://two.test:2"])
    for split in every_split(OK + TAIL):
        done = run(Routed(router), OK, *split)
        assert [hop.proxy.url for hop in opened(done).hops] == [A, "https://two.test:2"]
        assert story(done) == [*DIALLED_A, "ask for two.test:2", "TLS with two.test", ASKED]
        assert done.left == TAIL
    assert set(router.reports) == {(f"{A} -> https://two.test:2", None)}


# What happens to the first way; and the story.
LEADS_ON: dict[str, tuple[dict[str, object], list[str]]] = {
    "no such name": ({"Resolve": [UNKNOWN, ADDRESSES]}, ["look up a.test:1", *DIALLED_B, ASKED]),
    "a slow lookup": (
        {"Resolve": [SLOW_LOOKUP, ADDRESSES]}, ["look up a.test:1", *DIALLED_B, ASKED],
    ),
    "refused": ({"Dial": [refused_by(A), None]}, [*DIALLED_A, *DIALLED_B, ASKED]),
    "silence": ({"Dial": [SLOW_DIAL, None]}, [*DIALLED_A, *DIALLED_B, ASKED]),
}  # fmt: skip


def results_of(results: dict[str, Any]) -> dict[str, Any]:
    return {step: iter(each) for step, each in results.items()}


@pytest.mark.parametrize(("results", "told"), LEADS_ON.values(), ids=LEADS_ON)
def test_en_14_one_that_cannot_be_reached_leads_to_the_next(
    results: dict[str, list[object]], told: list[str]
) -> None:
    router = Names([A], [B], [C])
    done = run(Routed(router), OK + TAIL, **results_of(results))
    assert [hop.proxy.url for hop in opened(done).hops] == [B]
    assert story(done) == told
    assert done.left == TAIL
    error = next(iter(results.values()))[0]
    assert router.reports == [(A, error), (B, None)]


NO_HTTP = b"SSH-2.0-x\r\n"
PAGE = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

# What the first proxy answers; what its steps fail with; and what comes of it.
FINAL: dict[str, tuple[list[Incoming], dict[str, object], type[TunnelError]]] = {
    "a refusal": ([PAGE], {}, TunnelRefused),
    "a refusal that may not last": ([BUSY], {}, TunnelRefused),
    "a challenge": ([ASK], {}, ProxyAuthenticationRequired),
    "no HTTP": ([NO_HTTP], {}, ProxyMisbehaved),
    "a hang-up": ([b""], {}, ProxyHungUp),
    "a reset": ([RESET], {}, ProxyHungUp),
    "silence": ([placed(TunnelTimeout("late"), "connect")], {}, TunnelTimeout),
    "a slow TLS": ([], {"StartTLS": placed(TunnelTimeout("late"), "proxy_tls")}, TunnelTimeout),
    "TLS that is not trusted": ([], {"StartTLS": ProxyTLSError("not trusted")}, ProxyTLSError),
    "another protocol": ([], {"StartTLS": "h2"}, InvalidProxy),
}


@pytest.mark.parametrize(("coming", "results", "kind"), FINAL.values(), ids=FINAL)
def test_en_14_whatever_comes_of_one_that_was_reached_is_final(
    coming: list[Incoming], results: dict[str, Any], kind: type[TunnelError]
) -> None:
    """The next proxy is no way round a no; and who answers is there."""
    router = Names(["https://a.test:1"], [B], [])
    done = run(Routed(router), *coming, **results)
    assert type(done.value) is kind
    assert story(done)[:3] == [*DIALLED_A, "TLS with a.test"]
    assert not {"look up b.test:2", f"look up {TARGET}"} & set(story(done))
    assert router.reports == [("https://a.test:1", None)]


def test_en_14_a_refusal_of_the_second_hop_is_final_too() -> None:
    """Also where it refuses because it cannot reach the hop behind it."""
    router = Names([A, B], [C])
    done = run(Routed(router), BUSY)
    assert isinstance(done.value, TunnelRefused)
    assert story(done) == [*DIALLED_A, "ask for b.test:2", "hang up"]
    assert router.reports == [(f"{A} -> {B}", None)]


def test_en_14_a_proxy_that_goes_away_after_its_challenge() -> None:
    """It answered; that it does not take the second connection is no reason to ask another."""
    proxy = Proxy(A, auth=Basic("u", "p", preemptive=False))
    router = Names([proxy], [B])
    done = run(
        Routed(router), WANTS_BASIC + b"\r\nno", **results_of({"Dial": [None, refused_by(A)]})
    )
    assert isinstance(done.value, ProxyUnreachable)
    assert story(done) == [*DIALLED_A, ASKED, "hang up", *DIALLED_A]
    assert router.reports == [(A, None)]


@pytest.mark.parametrize("error", [refused_by("http://nested.test:1"), SLOW_DIAL], ids=type)
def test_en_14_what_a_callable_could_not_reach_is_not_the_proxy(error: TunnelError) -> None:
    """It may open tunnels of its own, for a token."""

    def fields(_: Target) -> dict[str, str]:
        raise error

    router = Names([Proxy(A, headers=fields)], [B])
    done = run(Routed(router))
    assert done.value is error
    assert story(done) == DIALLED_A
    assert router.reports == [(A, None)]


@pytest.mark.parametrize("error", [SLOW_LOOKUP, UNKNOWN], ids=type)
@pytest.mark.parametrize("url", ["socks5://a.test:1", A])
def test_en_14_a_target_that_cannot_be_looked_up_here(url: str, error: TunnelError) -> None:
    """LL-07: the proxy was reached, and the target would be no better known on the next way."""
    proxy = Proxy(url, resolve="local")
    router = Names([proxy], [B])
    done = run(Routed(router), **results_of({"Resolve": [ADDRESSES, error]}))
    assert isinstance(done.value, InvalidTarget if error is UNKNOWN else TunnelTimeout)
    assert story(done) == [*DIALLED_A, f"look up {TARGET}"]
    assert router.reports == [(proxy.url, None)]


def test_one_failure_is_raised_as_it_is() -> None:
    error = refused_by(A)
    router = Names([A])
    done = run(Routed(router), Dial=error)
    assert done.value is error
    assert router.reports == [(A, error)]


def test_several_failures_are_told_as_one() -> None:
    """With every attempt, in order; and none is left out because another is of another kind."""
    first = ProxyUnreachable(
        "cannot be reached (192.0.2.1:1: refused)", phase="tcp", proxy_url=A,
        attempts=(("192.0.2.1:1", "refused"), ("[::1]:1", "no route")), errno=111,
    )  # fmt: skip
    second = TunnelTimeout("did not accept a connection within 5.0 s", phase="tcp", proxy_url=B)
    third = ProxyUnreachable(
        "cannot be reached (192.0.2.3:3: no route)", phase="tcp", proxy_url=C,
        attempts=(("192.0.2.3:3", "no route"),), errno=113,
    )  # fmt: skip
    router = Names([A], [B], [C])
    done = run(Routed(router), **results_of({"Dial": [first, second, third]}))
    error = done.value
    assert type(error) is ProxyUnreachable
    assert error.attempts == (*first.attempts, *third.attempts)
    assert error.errno == 113
    assert str(error) == f"can be reached by none of 3 ways: {first}; {second}; {third}"
    assert router.reports == [(A, first), (B, second), (C, third)]
    # What the driver labels it with: it happened at no proxy.
    last = [step for step in done.steps if isinstance(step, Part)][-1]
    assert (last.phase, last.hop) == ("tcp", None)


@pytest.mark.parametrize(
    ("ways", "limits"), [(1, [(None, 1)]), (3, [(PATIENCE, 3), (PATIENCE, 2), (None, 1)])]
)
def test_patience(ways: int, limits: list[tuple[float | None, int]]) -> None:
    """There is some only if there is another way to be tried, and no more than its share."""
    router = Names(*[[A], [B], [C]][:ways])
    done = run(Routed(router), Dial=SLOW_DIAL)
    entered = [step for step in done.steps if isinstance(step, Part) and step.hop is not None]
    for phase in ("resolve", "tcp"):
        assert [(s.seconds, s.attempts) for s in entered if s.phase == phase] == limits
    assert PATIENCE == 5.0


# ---- without a proxy ----

LOOKED_UP = f"look up {TARGET}"


@pytest.mark.parametrize(
    ("target", "told", "phases"),
    [
        (TARGET, [LOOKED_UP, "dial"], ["resolve", "tcp"]),
        (Target("192.0.2.7", 993), ["dial [('192.0.2.7', 993)]"], ["tcp"]),
        (Target("2001:db8::7", 993), ["dial [('2001:db8::7', 993)]"], ["tcp"]),
        (Target("localhost", 993), ["dial [('127.0.0.1', 993), ('::1', 993)]"], ["tcp"]),
    ],
    ids=["a name", "IPv4", "IPv6", "this machine"],
)
def test_a_direct_way(target: Target, told: list[str], phases: list[str]) -> None:
    """The target is dialled, at no hop, and not a byte is sent."""
    done = run(Routed(Direct()), TAIL, target=target)
    assert (opened(done).hops, opened(done).responses) == ((), ())
    assert story(done) == told
    assert done.left == TAIL
    entered = [(step.phase, step.hop) for step in done.steps if isinstance(step, Part)]
    assert entered == [(phase, None) for phase in phases]


@pytest.mark.parametrize("step", ["Resolve", "Dial"])
def test_a_direct_way_that_fails(step: str) -> None:
    results: dict[str, Any] = {step: ProxyUnreachable("refused", phase="tcp")}
    assert run(Routed(Direct()), **results).value is results[step]


def test_en_14_direct_is_a_way_like_others() -> None:
    """In its turn, and only where the router names it."""
    router = Names([A], [], [B])
    done = run(Routed(router), **results_of({"Dial": [refused_by(A), None]}))
    assert opened(done).hops == ()
    assert story(done) == [*DIALLED_A, LOOKED_UP, "dial"]
    assert [way for way, _ in router.reports] == [A, "direct"]

    router = Names([A], [B])
    done = run(Routed(router), Dial=refused_by(A))
    assert story(done) == [*DIALLED_A, *DIALLED_B]


def test_a_direct_way_that_fails_leads_on() -> None:
    router = Names([], [A])
    error = placed(ProxyUnreachable("no route"), "tcp")
    done = run(Routed(router), OK, **results_of({"Dial": [error, None]}))
    assert [hop.proxy.url for hop in opened(done).hops] == [A]
    assert router.reports == [("direct", error), (A, None)]


# ---- what routers do besides ----


class Asks(Router):
    """Yields work, as a router may."""

    def route(self, target: Target) -> Program[Decision]:
        host = yield from Call(self.look_up, target)
        port = yield from Offload(int, "3128")
        return Decision([[Proxy(f"http://{host}:{port}")]], "looked up")

    @staticmethod
    async def look_up(target: Target) -> str:
        return f"for-{target.host}"


def test_a_router_may_ask_others() -> None:
    done = run(Routed(Asks()), OK)
    opened(done)
    assert story(done) == ["look up for-imap.example.com:3128", "dial", ASKED]


def test_what_a_router_raises_ends_it() -> None:
    class Fails(Router):
        def route(self, target: Target) -> Program[Decision]:
            yield from ()
            raise LookupError("no way today")

    with pytest.raises(LookupError, match="no way today"):
        run(Routed(Fails()))
    with pytest.raises(NotImplementedError):
        run(Routed(Router()))


def test_a_router_need_not_hear_what_came_of_it() -> None:
    class Deaf(Router):
        def route(self, target: Target) -> Program[Decision]:
            yield from ()
            return Decision([[Proxy(A)], [Proxy(B)]], "two")

    opened(run(Routed(Deaf()), OK, **results_of({"Dial": [refused_by(A), None]})))


def test_a_way_that_is_none() -> None:
    """It is known when the router has named it, and before anything is dialled."""
    router = Names([A, "unix:///run/proxy.sock"])
    done = run(Routed(router))
    assert isinstance(done.value, InvalidProxy)
    assert story(done) == []


# ---- what proxies teach stays with their way ----


def asks(url: str, user: str) -> Proxy:
    return Proxy(url, auth=Basic(user, "p", preemptive=False))


AS_U = f"{ASKED} as Basic dTpw"
AS_V = f"{ASKED} as Basic djpw"


def test_t10_what_was_learnt_is_kept_for_its_way() -> None:
    """AU-05, H1-46: from one opening to the next; but nothing of it goes to another proxy."""
    one, other = asks(A, "u"), asks(B, "v")
    way = Routed(Names([one], [other]))
    assert story(run(way, ASK, OK)) == [*DIALLED_A, ASKED, AS_U]
    assert story(run(way, OK)) == [*DIALLED_A, AS_U]

    def failing_over() -> dict[str, Any]:
        return results_of({"Dial": [refused_by(A), None]})

    assert story(run(way, ASK, OK, **failing_over())) == [*DIALLED_A, *DIALLED_B, ASKED, AS_V]
    assert story(run(way, OK, **failing_over())) == [*DIALLED_A, *DIALLED_B, AS_V]
    assert story(run(way, OK)) == [*DIALLED_A, AS_U]


def test_t10_no_credentials_go_to_a_proxy_that_has_none() -> None:
    """What the first one knew of them, or had learnt, is not the second one's."""
    way = Routed(Names([Proxy(A, auth=("u", "p"))], [B]))
    assert story(run(way, OK)) == [*DIALLED_A, AS_U]
    done = run(way, ASK, **results_of({"Dial": [refused_by(A), None]}))
    assert isinstance(done.value, ProxyAuthenticationRequired)
    assert "no credentials were given" in str(done.value)
    assert story(done) == [*DIALLED_A, *DIALLED_B, ASKED, "hang up"]


def test_t10_the_same_proxy_at_the_end_of_two_ways() -> None:
    """A way is the whole of it: what was learnt behind one hop is not used behind another."""
    last = asks(C, "u")
    one, other = Names([A, last]), Names([B, last])
    way = Routed(one)
    assert story(run(way, OK, ASK, OK)) == [*DIALLED_A, "ask for c.test:3", ASKED, AS_U]
    one.decision = other.decision
    assert story(run(way, OK, ASK, OK)) == [*DIALLED_B, "ask for c.test:3", ASKED, AS_U]


def test_t10_nor_does_it_outlive_the_credentials() -> None:
    router = Names([asks(A, "u")])
    way = Routed(router)
    assert story(run(way, ASK, OK)) == [*DIALLED_A, ASKED, AS_U]
    router.decision = Decision([[asks(A, "v")]], "changed")
    assert story(run(way, ASK, OK)) == [*DIALLED_A, ASKED, AS_V]
    router.decision = Decision([[Proxy(A)]], "cleared")
    assert story(run(way, OK)) == [*DIALLED_A, ASKED]


# ---- refusals ----


def refused(no: bytes, *incoming: Incoming) -> Refused:
    program = request_tunnel(way("http://proxy.test:3128"), TARGET)
    done = replay(program, no, *incoming, results={Resolve: ADDRESSES})
    assert isinstance(done.value, Refused)
    assert type(done.steps[-1]) is Take  # the connection is there for the body to be read
    return done.value


PORTAL = (
    b"HTTP/1.1 302 Found\r\nLocation: http://login.test/\r\nSet-Cookie: a=b\r\nRefresh: 0\r\n"
    b"Alt-Svc: h2=:1\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 9\r\n\r\n<b>Hi</b>"
)
BLOCKED = (
    b"HTTP/1.1 403 Forbidden\r\nSet-Cookie: a=b\r\nContent-Type: text/html\r\n"
    b"Connection: keep-alive\r\nContent-Length: 9\r\n\r\n<b>No</b>"
)


@pytest.mark.parametrize("no", [PORTAL, BLOCKED], ids=["T5 portal", "T4 blocked"])
def test_a_refusal_is_an_error_and_nothing_else(no: bytes) -> None:
    """H1-21, H1-22, T4, T5: whole, the proxy's, and not followed; no stream comes of it."""
    for split in every_split(no):
        done = run(lazy(), *split)
        error = done.value
        assert type(error) is TunnelRefused
        assert error.response.body == no[-9:]
        assert error.response.headers["set-cookie"] == "a=b"
        assert error.response.complete
        assert story(done) == [*REACHED, ASKED, "hang up"], split


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (300, TunnelRefused, False),
        (304, TunnelRefused, False),
        (403, TunnelRefused, False),
        (404, TunnelRefused, False),
        (401, ProxyAuthenticationRequired, False),
        (407, ProxyAuthenticationRequired, False),
        (421, TunnelRefused, True),
        (425, TunnelRefused, True),
        (471, TunnelRefused, False),
        (502, TunnelRefused, True),
        (503, TunnelRefused, True),
        (600, TunnelRefused, False),
        (999, TunnelRefused, False),
    ],
)
def test_no_other_status_opens_a_tunnel(
    status: int, kind: type[TunnelError], *, retryable: bool
) -> None:
    """H1-20, H1-21, H1-45."""
    no = b"HTTP/1.1 %d x\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n" % status
    error = run(way("http://proxy.test:3128"), no).value
    assert type(error) is kind
    assert isinstance(error, TunnelRefused)
    assert error.retryable is retryable
    assert error.response.retry_after == 7


def test_a_refusal_as_a_value() -> None:
    """H1-21: before its body is read, which is up to the caller."""
    no = refused(b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n")
    assert no.response.status == 403
    assert no.request.goal == TARGET
    assert no.hop.proxy.url == "http://proxy.test:3128"
    assert replay(no.body.next_part(), b"sorry").value == b"sorry"


@pytest.mark.parametrize(
    ("fields", "coming", "body", "complete"),
    [
        (b"Content-Length: 5\r\n", [b"sorry"], b"sorry", True),
        (b"", [b"sorry", b""], b"sorry", True),
        (b"", [b"sorry", TunnelTimeout("too slow")], b"sorry", False),
        (b"Content-Length: 9\r\n", [b"sorry", TunnelTimeout("too slow")], b"sorry", False),
        (b"Content-Length: 9\r\n", [b"sorry", ProxyHungUp("reset", reset=True)], b"sorry", False),
        (b"Content-Length: 9\r\n", [TunnelTimeout("too slow")], b"", False),
        (b"Content-Length: 9\r\nContent-Length: 5\r\n", [b"sorry", b""], b"sorry", False),
        (b"Transfer-Encoding: chunked\r\n", [b"zz\r\n"], b"", False),
        (b"Content-Length: 99999\r\n", [b"x" * 70_000], b"x" * 65536, False),
    ],
    ids=["whole", "to the end", "H1-38 hangs", "H1-38 late", "H1-37 reset", "H1-38 nothing",
         "H1-35 two lengths", "H1-36 no chunks", "H1-38 too long"],
)  # fmt: skip
def test_a_body_never_costs_the_refusal(
    fields: bytes, coming: list[Incoming], body: bytes, *, complete: bool
) -> None:
    """Whatever becomes of the body, the status is known, and says why there is no tunnel."""
    done = run(way("http://proxy.test:3128"), b"HTTP/1.1 503 No\r\n" + fields + b"\r\n", *coming)
    assert isinstance(done.value, TunnelRefused)
    response: ProxyResponse = done.value.response
    assert (response.status, response.body, response.complete) == (503, body, complete)
    assert type(done.steps[-1]) is HangUp
    last = [step for step in done.steps if isinstance(step, Part)][-1]
    assert (last.phase, last.seconds, last.soft) == ("connect", MAX_BODY_SECONDS, True)


def test_trailers_belong_to_the_response() -> None:
    """H1-36."""
    no = refused(b"HTTP/1.1 502 No\r\nTransfer-Encoding: chunked\r\n\r\n")
    done = replay(read_refusal(no), b"2\r\nno\r\n0\r\nProxy-Status: p; error=dns_error\r\n\r\n")
    assert done.value.body == b"no"
    assert done.value.proxy_status == "p; error=dns_error"


@pytest.mark.parametrize(
    ("url", "answers", "kind", "said"),
    [
        ("socks5h://h", b"\x05\x00\x05\x05", TunnelRefused, "(SOCKS5 reply 5: connection refused)"),
        ("socks4a://h", b"\x00\x5b", TunnelRefused, "(SOCKS4 reply 91: rejected or failed)"),
        ("socks5h://h", b"\x05\xff", ProxyAuthenticationRequired, "wants authentication"),
        (
            "socks5h://u:s3cr3t@h", b"\x05\x02\x01\x01", ProxyAuthenticationRequired,
            "rejected the credentials of 'u'",
        ),
    ],
    ids=["SOCKS5", "SOCKS4", "no method", "no login"],
)  # fmt: skip
def test_a_refusal_by_socks(url: str, answers: bytes, kind: type[TunnelError], said: str) -> None:
    """LL-04 to LL-06: its codes are not those of HTTP, and there is no body to wait for."""
    for split in every_split(answers):
        done = run(way(url), *split)
        error = done.value
        assert type(error) is kind
        assert isinstance(error, TunnelRefused)
        assert said in str(error)
        assert "s3cr3t" not in str(error)
        assert (error.response.body, error.response.complete) == (b"", True)
        assert story(done)[-1] == "hang up"


def test_a_refusal_by_socks_as_a_value() -> None:
    program = request_tunnel(way("socks5h://h"), TARGET)
    no = replay(program, b"\x05\x00\x05\x02", results={Resolve: ADDRESSES}).value
    assert isinstance(no, Refused)
    assert (no.response.http_version, no.response.status) == ("SOCKS5", 2)
    assert replay(no.body.next_part()).value == b""
    response = replay(read_refusal(no)).value
    assert (response.body, response.complete) == (b"", True)


def test_no_answer_is_remembered() -> None:
    """H1-46: a refusal is the answer to one request, and the next one is made all the same."""
    hops = lazy()
    for _ in range(2):
        done = run(hops, NO)
        assert isinstance(done.value, TunnelRefused)
        assert story(done) == [*REACHED, ASKED, "hang up"]
    opened(run(hops, OK))
