"""Running the flow of an `Auth`: what it may yield, what it is sent, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import InvalidProxy, ProxyResponse, TunnelTimeout
from connect_tunnel._login import Login
from connect_tunnel._route import Hop
from connect_tunnel._secret import Secret
from connect_tunnel._steps import Peek, Step
from connect_tunnel.auth import Auth, Call, Offload
from connect_tunnel.testing import replay
from tests.core.flows import FORBIDDEN, GRANTED, PROXY, TARGET, UNAUTHORIZED, talk, wants

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from connect_tunnel.auth import Exchange, Flow

BASIC = wants("Basic realm=x")


class Told(Auth):
    """A flow that is given as a function."""

    def __init__(self, flow: Callable[[Exchange], Flow]) -> None:
        self._flow = flow

    def flow(self, exchange: Exchange) -> Flow:
        return self._flow(exchange)


def saying(*said: Any) -> Auth:
    """A flow that yields one thing after the other."""

    def flow(exchange: Exchange) -> Flow:
        for each in said:  # noqa: UP028 - a tuple cannot be sent what comes of it
            yield each

    return Told(flow)


def begin(auth: Auth) -> Login:
    return Login(auth, Hop(PROXY), TARGET)


# ---- credentials ----


@pytest.mark.parametrize(
    ("said", "credentials"),
    [
        pytest.param("Ticket t", "Ticket t", id="text"),
        pytest.param(b"Ticket \xff", "Ticket \xff", id="octets"),
        pytest.param(Secret(b"Ticket t"), "Ticket t", id="a secret"),
        pytest.param(None, None, id="none"),
        pytest.param("t", "t", id="a token alone"),
    ],
)
def test_what_may_be_yielded(said: Any, credentials: str | None) -> None:
    assert talk(saying(said)).sent == [credentials]


@pytest.mark.parametrize(
    "said",
    [
        "s3cr3t\r\nA: b",
        "s3cr3t\n",
        "s3cr3t\0",
        " s3cr3t",
        "s3cr3t ",
        "s3cr3t\xe9",
        "s3cr3t\u010d\u010a",
        b"s3cr3t\r\nA: b",
        "",
        b"",
        5,
        ("alice", "s3cr3t"),
        bytearray(b"s3cr3t"),
        ["s3cr3t"],
    ],
    ids=ascii,
)
@pytest.mark.parametrize("rounds", [0, 1, 2], ids=["at first", "as an answer", "after a step"])
def test_what_may_not(said: Any, rounds: int) -> None:
    """H1-05, T11: nothing is sent, no value shown, nor kept where a traceback shows it."""

    def flow(exchange: Exchange) -> Flow:
        if rounds == 1:
            yield "Ticket t"
        if rounds == 2:
            yield from Call(int)
        yield said

    login = begin(Told(flow))
    if rounds == 1:
        replay(login.begin())
    with pytest.raises(InvalidProxy, match="are no value of a field") as caught:
        replay(login.answer(BASIC) if rounds == 1 else login.begin())
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__context__ is None
    assert_hidden(caught.value, "s3cr3t")


def assert_hidden(error: BaseException, secret: str) -> None:
    """A secret is in no local of our own frames, which tracebacks print."""
    traceback: TracebackType | None = error.__traceback__
    frames = 0
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if "/connect_tunnel/" in code.co_filename and "/testing/" not in code.co_filename:
            frames += 1
            assert secret not in repr(traceback.tb_frame.f_locals), code.co_name
        traceback = traceback.tb_next
    assert frames


# ---- what it is told ----


def test_what_a_flow_is_told() -> None:
    seen: list[tuple[Any, ...]] = []

    def flow(exchange: Exchange) -> Flow:
        def note(response: ProxyResponse | None) -> None:
            offered = [challenge.scheme for challenge in exchange.challenges]
            seen.append((response, exchange.response, offered, exchange.bound))

        assert (exchange.proxy, exchange.authority) == (PROXY, "server.example.com:443")
        note(None)
        exchange.bound = True
        note((yield "Ticket 1"))
        exchange.bound = True
        note((yield "Ticket 2"))

    assert talk(Told(flow), BASIC, GRANTED).sent == ["Ticket 1", "Ticket 2"]
    assert seen == [
        (None, None, [], False),
        (BASIC, BASIC, ["Basic"], False),
        (GRANTED, GRANTED, [], False),
    ]


@pytest.mark.parametrize("answer", [GRANTED, FORBIDDEN, UNAUTHORIZED, ProxyResponse(502)])
def test_a_flow_is_told_of_the_end(answer: ProxyResponse) -> None:
    """And whatever else it would send is not sent, but its steps are taken; then it is closed."""
    told: list[object] = []

    def flow(exchange: Exchange) -> Flow:
        try:
            told.append((yield "Ticket 1"))
            told.append((yield from Call(lambda: "remembered")))
            told.append((yield "Ticket 2"))
        except GeneratorExit:
            told.append("closed")

    login = begin(Told(flow))
    replay(login.begin())
    done = replay(login.conclude(answer))
    assert done.value is None
    assert [type(step) for step in done.steps] == [Call]
    assert told == [answer, "remembered", "closed"]


def test_a_challenge_in_an_answer_other_than_a_407_is_none() -> None:
    """AU-23: the flow is not tempted."""
    login = begin(saying("Ticket 1"))
    replay(login.begin())
    fields = b"Proxy-Authenticate: Basic realm=x\r\n"
    replay(login.conclude(ProxyResponse(401, fields=fields)))
    assert login.exchange.challenges == ()
    assert login.exchange.rejected


def test_a_flow_that_ended_says_nothing_more() -> None:
    login = begin(saying())
    assert replay(login.begin()).value is None
    assert replay(login.answer(BASIC)).value is None
    assert replay(login.conclude(GRANTED)).value is None


def test_a_flow_that_ends_with_the_407_lets_it_stand() -> None:
    login = begin(saying("Ticket 1"))
    replay(login.begin())
    assert replay(login.answer(BASIC)).value is None


def test_what_a_flow_raises_is_raised() -> None:
    def flow(exchange: Exchange) -> Flow:
        yield "Ticket 1"
        raise LookupError(f"after {exchange.response!r}")

    for answer in (GRANTED, BASIC):
        login = begin(Told(flow))
        replay(login.begin())
        program = login.conclude if answer is GRANTED else login.answer
        with pytest.raises(LookupError, match=f"after <ProxyResponse {answer.status} ''>"):
            replay(program(answer))


# ---- work to be waited for ----


async def later(value: str) -> str:
    return value


def now(value: str) -> str:
    return value


@pytest.mark.parametrize(
    "step",
    [Call(now, "t"), Call(later, "t"), Offload(now, "t"), Call(now, value="t")],
    ids=["a function", "a coroutine function", "a thread", "by its name"],
)
def test_a_step_gives_its_result(step: Step[str]) -> None:
    def flow(exchange: Exchange) -> Flow:
        first = yield from step
        second = yield step
        yield f"Ticket {first}{second}"

    login = begin(Told(flow))
    done = replay(login.begin())
    assert done.value == Secret(b"Ticket tt")
    assert done.steps == (step, step)


def fail() -> str:
    raise LookupError("no ticket today")


@pytest.mark.parametrize("step", [Call(fail), Offload(fail)], ids=["Call", "Offload"])
def test_what_a_step_fails_with_is_thrown_into_the_flow(step: Step[str]) -> None:
    def flow(exchange: Exchange) -> Flow:
        try:
            yield from step
        except LookupError as error:
            yield f"Ticket {error}"

    assert talk(Told(flow)).sent == ["Ticket no ticket today"]


def test_a_flow_may_go_on_with_another_step_or_end() -> None:
    def flow(exchange: Exchange) -> Flow:
        try:
            yield from Call(fail)
        except LookupError:
            ticket = yield from Call(now, "t")
            yield f"Ticket {ticket}"

    def end(exchange: Exchange) -> Flow:
        try:
            yield from Call(fail)
        except LookupError:
            return

    assert talk(Told(flow)).sent == ["Ticket t"]
    assert talk(Told(end)).sent == [None]


def test_what_it_does_not_catch_ends_the_opening() -> None:
    with pytest.raises(LookupError, match="no ticket today"):
        talk(saying(Call(fail)))


def test_time_that_runs_out_is_thrown_in_too() -> None:
    """That of a part: the end of all of it never enters a program."""

    def flow(exchange: Exchange) -> Flow:
        try:
            yield from Peek()
        except TunnelTimeout:
            yield "Ticket late"

    done = replay(begin(Told(flow)).begin(), TunnelTimeout("too slow"))
    assert done.value == Secret(b"Ticket late")


@pytest.mark.parametrize(
    "step", [Call(now, "s3cr3t"), Offload(now, "s3cr3t"), Call(later, "s3cr3t")]
)
def test_au_24_no_frame_of_ours_shows_what_a_step_gave(step: Step[str]) -> None:
    def flow(exchange: Exchange) -> Flow:
        token = yield from step
        raise LookupError(f"has no use for {len(token)} octets")

    with pytest.raises(LookupError, match="has no use for 6 octets") as caught:
        replay(begin(Told(flow)).begin())
    assert_hidden(caught.value, "s3cr3t")


def test_au_24_nor_what_a_flow_sent_before() -> None:
    def flow(exchange: Exchange) -> Flow:
        yield "Ticket s3cr3t"
        raise LookupError("no more")

    login = begin(Told(flow))
    replay(login.begin())
    with pytest.raises(LookupError, match="no more") as caught:
        replay(login.answer(BASIC))
    assert_hidden(caught.value, "s3cr3t")
