"""The driver: what each step does to a real connection, and what it fails with."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import (
    Dialer,
    Proxy,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyUnreachable,
    Target,
    Timeout,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
    _steps,
    open_tunnel,
)
from connect_tunnel._net.driver import _PERFORM, Driver
from connect_tunnel._route import Hop
from connect_tunnel._steps import (
    Call,
    Certificate,
    Deed,
    Dial,
    Ends,
    Enter,
    HangUp,
    Offload,
    Part,
    Peek,
    Program,
    Send,
    StartTLS,
    Step,
    Take,
)
from connect_tunnel._sync.bell import SocketBell
from connect_tunnel.auth import Basic
from connect_tunnel.testing import (
    Close,
    HalfClose,
    NextConnection,
    NextRequest,
    Receive,
    Reset,
    ScriptedProxy,
    Wait,
)
from connect_tunnel.testing import (
    Send as Say,
)
from connect_tunnel.testing import Step as ScriptStep

from .fronts import behind_unix_socket
from .raw import OK
from .shells import (
    SHELLS,
    blackhole,
    converse,
    failure,
    nothing_left,
    perform,
    refusing,
    took,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from connect_tunnel import Challenge
    from connect_tunnel._steps import Endpoint
    from connect_tunnel.auth import Exchange, Flow

MANY = 1 << 24
HOP = Hop(Proxy("http://p.test:3128"))


def drive(shell: str, program: Program[Any], timeout: float | Timeout | None = 5) -> Any:
    """Run a program on a driver of its own, which must let go of everything."""
    driver = Driver(Target("a.test", 1), Timeout.parse(timeout), new_bell=SocketBell)
    try:
        return perform(shell, driver.run(program), driver.deadline)
    finally:
        driver.abort()


def test_every_step_is_performed() -> None:
    known = {name for name, kind in vars(_steps).items() if is_step(kind)}
    assert known == {kind.__name__ for kind in _PERFORM}


def is_step(kind: object) -> bool:
    bases = Step, Deed, Part
    return isinstance(kind, type) and issubclass(kind, Step) and kind not in bases


@contextmanager
def sink(size: int = MANY) -> Generator[tuple[str, int]]:
    """A server that begins to read what it is sent only when nothing more can be sent."""
    with ScriptedProxy(Wait(0.1), Receive(b"\n"), Say(b"all of it")) as server:
        yield server.host, server.port


@pytest.mark.parametrize("shell", SHELLS)
def test_what_does_not_fit_is_sent_as_it_does(shell: str) -> None:
    def program() -> Program[bytes]:
        yield from Dial([address])
        yield from Send(b"x" * MANY + b"\n")
        return (yield from Peek())

    with nothing_left(), sink() as address:
        assert drive(shell, program()) == b"all of it"


@pytest.mark.parametrize("shell", SHELLS)
def test_over_tls_too(
    shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    def program() -> Program[bytes]:
        yield from Dial([(server.host, server.port)])
        assert (yield from StartTLS(client_context, "127.0.0.1")) is None
        yield from Send(b"x" * MANY + b"\n")
        seen = yield from Peek()
        assert (yield from Peek()) == seen
        yield from Take(4)
        seen = yield from Peek()
        yield from HangUp()
        yield from HangUp()  # nothing is left to be hung up on
        return seen

    script = Wait(0.1), Receive(b"\n"), Say(b"all of it")
    with nothing_left(), ScriptedProxy(*script, ssl_context=server_context) as server:
        assert drive(shell, program()) == b"of it"


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_encrypted_and_does_not_fit(
    shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    def program() -> Program[bytes]:
        yield from Dial([(server.host, server.port)])
        yield from StartTLS(client_context, "127.0.0.1")
        for _ in range(MANY >> 16):
            yield from Send(b"x" * 65536)
        yield from Send(b"\n")
        return (yield from Peek())

    script = Wait(0.1), Receive(b"\n"), Say(b"all of it")
    with nothing_left(), ScriptedProxy(*script, ssl_context=server_context) as server:
        assert drive(shell, program()) == b"all of it"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("over_tls", [False, True])
def test_a_send_ends_in_time(
    over_tls: bool,
    shell: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    def program() -> Program[None]:
        yield from Dial([(server.host, server.port)], HOP)
        if over_tls:
            yield from StartTLS(client_context, "127.0.0.1")
        yield from Enter("connect", HOP)
        yield from Send(b"x" * MANY)

    context = server_context if over_tls else None
    with ScriptedProxy(Wait(5), ssl_context=context) as server:
        for timeout in (0.15, Timeout(5, answer=0.15)):
            with took(0.1, 1), pytest.raises(TunnelTimeout) as caught:
                drive(shell, program(), timeout)
            assert caught.value.phase == "connect"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("over_tls", [False, True])
def test_a_send_that_is_answered_by_a_reset(
    over_tls: bool,
    shell: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    def program() -> Program[None]:
        yield from Dial([(server.host, server.port)])
        if over_tls:
            yield from StartTLS(client_context, "127.0.0.1")
        yield from Send(b"x" * MANY)

    context = server_context if over_tls else None
    with nothing_left(), ScriptedProxy(Wait(0.1), Reset(), ssl_context=context) as server:
        with pytest.raises(ProxyHungUp) as caught:
            drive(shell, program())
        assert caught.value.reset


def test_a_part_that_is_over_is_the_program_s_to_judge() -> None:
    """A TunnelTimeout is thrown in, and what follows has its own time."""

    def program() -> Program[str]:
        yield from Dial([(server.host, server.port)])
        yield from Enter("connect", HOP, 0.1)
        try:
            yield from Peek()
        except TunnelTimeout:
            yield from Enter("connect", HOP)
            return (yield from Peek()).decode()
        return "too early"

    with ScriptedProxy(Wait(0.3), Say(b"late")) as server:
        assert drive("sync", program()) == "late"


def test_the_total_never_enters_a_program() -> None:
    entered: list[BaseException] = []

    def program() -> Program[None]:
        yield from Dial([(server.host, server.port)], HOP)
        try:
            yield from Peek()
        except GeneratorExit:
            raise
        except BaseException as error:
            entered.append(error)
            raise

    with nothing_left(), ScriptedProxy(Wait(1)) as server, pytest.raises(TunnelTimeout):
        drive("sync", program(), 0.1)
    assert entered == []


def test_what_is_thrown_into_a_program_is_placed() -> None:
    """It says where and when it happened, for who judges it there; and once only."""
    thrown: list[TunnelError] = []

    def program() -> Program[None]:
        try:
            yield from Dial([bad], HOP)
        except ProxyUnreachable as error:
            thrown.append(error)
        yield from Dial([(server.host, server.port)])
        yield from Enter("connect", Hop(HOP.proxy, 2, 3), 0.05)
        try:
            yield from Peek()
        except TunnelTimeout as error:
            thrown.append(error)
            yield from Enter("tcp", None)
            raise

    with (
        nothing_left(),
        refusing() as bad,
        ScriptedProxy(Wait(1)) as server,
        pytest.raises(TunnelTimeout) as caught,
    ):
        drive("sync", program())
    assert caught.value is thrown[1]
    assert [(e.phase, e.proxy_url, e.hop, e.direct, e.target) for e in thrown] == [
        ("tcp", "http://p.test:3128", None, False, "a.test:1"),
        ("connect", "http://p.test:3128", "2 of 3", False, "a.test:1"),
    ]
    assert thrown[0].elapsed is not None
    assert thrown[1].elapsed is not None
    assert thrown[0].elapsed < 0.05 <= thrown[1].elapsed


@pytest.mark.parametrize("shell", SHELLS)
def test_what_fails_at_no_hop_is_the_target_s(shell: str) -> None:
    def program() -> Program[None]:
        yield from Enter("tcp", HOP)
        yield from Dial([hole], None, 0.05)

    with nothing_left(), blackhole() as hole, pytest.raises(TunnelTimeout) as caught:
        drive(shell, program())
    error = caught.value
    assert (error.phase, error.proxy_url, error.hop, error.direct) == ("tcp", None, None, True)
    assert str(error) == "target a.test:1 did not accept a connection within 0.05 s"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("part", [0.1, 5.0], ids=["the part ends first", "the total ends first"])
def test_in_a_soft_part_no_end_is_the_end_of_the_program(part: float, shell: str) -> None:
    """What is known by then is not lost; but nothing else is begun when all time is up."""
    seen: list[str] = []

    def program() -> Program[str]:
        yield from Dial([(server.host, server.port)], HOP)
        yield from Enter("connect", HOP, part, soft=True)
        for _ in range(2):  # and for each step that follows in it
            try:
                yield from Peek()
            except TunnelTimeout as error:
                seen.append(error.phase or "")
        yield from HangUp()
        if part < 1:
            return "known"
        yield from Dial([(server.host, server.port)], HOP)
        raise AssertionError("went on")

    with nothing_left(), ScriptedProxy(Wait(2)) as server, took(0.05, 1):
        if part < 1:
            assert drive(shell, program(), 5) == "known"
        else:
            with pytest.raises(TunnelTimeout, match=r"within 0\.1 s"):
                drive(shell, program(), 0.1)
    assert seen == ["connect", "connect"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_ends_of_a_connection(shell: str) -> None:
    """By TCP; a Unix socket has none, and neither has what was not dialled."""

    def program(endpoint: Endpoint) -> Program[Any]:
        yield from Dial([endpoint])
        return (yield from Ends())

    def early() -> Program[Any]:
        return (yield from Ends())

    with nothing_left(), ScriptedProxy() as server:
        ours, its = drive(shell, program((server.host, server.port)))
        assert its == (server.host, server.port)
        assert ours[0] == server.host
        assert ours[1] != server.port
        with behind_unix_socket(server.port) as path:
            assert drive(shell, program(path)) is None
    with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)) as listener:
        port = listener.getsockname()[1]
        ours, its = drive(shell, program(("::1", port)))
        assert (ours[0], its) == ("::1", ("::1", port))
    with pytest.raises(AssertionError, match="dials before it does anything"):
        drive(shell, early())


@pytest.mark.parametrize("shell", SHELLS)
def test_the_ends_of_a_connection_that_was_reset(shell: str) -> None:
    """As a load balancer does with clients that it does not like."""

    def program() -> Program[Any]:
        yield from Dial([(server.host, server.port)])
        yield from Offload(time.sleep, 0.2)
        return (yield from Ends())

    with (
        nothing_left(),
        ScriptedProxy(Wait(0.05), Reset()) as server,
        pytest.raises(ProxyHungUp, match="reset") as caught,
    ):
        drive(shell, program())
    assert caught.value.reset


def test_what_is_only_the_beginning_of_a_message_asks_for_nothing() -> None:
    """What comes before the rest was sent came unasked, but is no answer gone astray."""

    def program() -> Program[bytes]:
        yield from Dial([(server.host, server.port)])
        yield from Send(b"PROXY", more=True)
        yield from Offload(time.sleep, 0.1)
        yield from Send(b".\n")
        return (yield from Peek())

    with nothing_left(), ScriptedProxy(Say(b"banner"), Receive(b"\n")) as server:
        assert drive("sync", program()) == b"banner"
        assert server.wait_closed()
        assert server.received == [b"PROXY.\n"]


def test_a_program_must_dial_first() -> None:
    def speaks() -> Program[None]:
        yield from Send(b"hello?")

    with pytest.raises(AssertionError, match="dials before it does anything"):
        drive("sync", speaks())

    def does_nothing() -> Program[None]:
        yield from HangUp()

    driver = Driver(Target("a.test", 1), Timeout(), new_bell=SocketBell)
    perform("sync", driver.run(does_nothing()), driver.deadline)
    assert not driver.holds
    with pytest.raises(AssertionError, match="dials before it does anything"):
        driver.release()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_certificate_of_the_tls_begun_last(
    shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """AU-21: what credentials are bound to; there is none before TLS, or without it."""

    def program() -> Program[bytes | None]:
        assert (yield from Certificate()) is None
        yield from Dial([(server.host, server.port)])
        assert (yield from Certificate()) is None
        yield from StartTLS(client_context, "127.0.0.1")
        return (yield from Certificate())

    with nothing_left(), ScriptedProxy(ssl_context=server_context) as server:
        shown = drive(shell, program())
        fetched = ssl.get_server_certificate((server.host, server.port))
    assert shown == ssl.PEM_cert_to_DER_cert(fetched)


# --- what a program asks of others ---


def blocking(value: int) -> int:
    if value < 0:
        raise LookupError("blocked")
    return value


@pytest.mark.parametrize("shell", SHELLS)
def test_offload(shell: str) -> None:
    def program(value: int) -> Program[int]:
        return (yield from Offload(blocking, value))

    with nothing_left():
        assert drive(shell, program(5)) == 5
        with pytest.raises(LookupError, match="blocked"):
            drive(shell, program(-5))


@pytest.mark.parametrize("shell", SHELLS)
def test_call(shell: str) -> None:
    async def awaited() -> str:
        return "awaited"

    def program(function: Any) -> Program[Any]:
        try:
            return (yield from Call(function))
        except LookupError:
            return "caught in the program"

    def fails() -> None:
        raise LookupError

    assert drive(shell, program(lambda: "called")) == "called"
    assert drive(shell, program(fails)) == "caught in the program"
    if shell == "sync":
        with pytest.raises(TypeError, match="returned an awaitable"):
            drive(shell, program(awaited))
    else:
        assert drive(shell, program(awaited)) == "awaited"


def test_an_error_of_the_caller_s_is_not_ours_to_change() -> None:
    """A callable of the caller's fails: its error comes out as it is, and nothing is left."""

    def headers(_: object) -> dict[str, str]:
        raise KeyError("mine")

    with nothing_left(), ScriptedProxy() as proxy, pytest.raises(KeyError, match="mine"):
        open_tunnel("a.test:1", via=Proxy(proxy.url, headers=headers))


# --- what ends before there is an answer ---


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("script", "reset"),
    [
        ([Receive(), Close()], False),
        ([Receive(), Reset()], True),
        ([Receive(), Say(b"HTTP/1.1 200"), Close()], False),
        ([Receive(), Say(b"HTTP/1.1 200"), Wait(0.05), Reset()], True),
        ([Receive(), HalfClose()], False),
        ([Close()], None),
    ],
)
def test_a_proxy_that_hangs_up(script: list[ScriptStep], reset: bool | None, shell: str) -> None:
    with nothing_left(), ScriptedProxy(*script) as proxy:
        error = failure(shell, via=proxy.url, timeout=5)
        assert isinstance(error, ProxyHungUp)
        assert isinstance(error, ConnectionError)
        assert error.phase == "connect"
        assert error.proxy_url == proxy.url
        if reset is not None:
            assert error.reset is reset


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ([Receive(), Close()], "ended TLS without saying so"),
        ([Receive(), HalfClose()], "closed the connection without answering"),
    ],
)
def test_a_tls_proxy_that_hangs_up(
    script: list[ScriptStep],
    said: str,
    shell: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    with nothing_left(), ScriptedProxy(*script, ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, ssl_context=client_context)
        error = failure(shell, via=via, timeout=5)
        assert isinstance(error, ProxyHungUp)
        assert said in str(error)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_proxy_that_breaks_tls(
    shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Something that is no record comes where the answer should."""
    with (
        nothing_left(),
        closing(socket.create_server(("127.0.0.1", 0))) as listener,
        GarblingTLS(listener, server_context),
    ):
        via = Proxy(f"https://127.0.0.1:{listener.getsockname()[1]}", ssl_context=client_context)
        error = failure(shell, via=via, timeout=5)
    assert isinstance(error, ProxyHungUp)
    assert "broke TLS (" in str(error)
    assert isinstance(error.__cause__, ssl.SSLError)
    assert not isinstance(error, ssl.SSLError)


class GarblingTLS:
    """Shakes hands with one client, and then speaks something else."""

    def __init__(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        from threading import Thread  # noqa: PLC0415

        self._listener, self._context = listener, context
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(5)

    def _serve(self) -> None:
        accepted, _ = self._listener.accept()
        with (
            closing(accepted.dup()) as below,
            self._context.wrap_socket(accepted, server_side=True) as tls,
        ):
            tls.recv(65536)
            below.sendall(b"this is no record, whatever else it may be\r\n")
            below.settimeout(5)
            while below.recv(65536):
                pass


# --- a second request on one connection ---

AGAIN = b"HTTP/1.1 407 Again\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
LATER = Basic("user", "word", preemptive=False)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("between", "connections"),
    [
        ([NextRequest()], 1),
        ([Close(), NextConnection(), Receive()], 2),
        ([Reset(), NextConnection(), Receive()], 2),
        ([HalfClose(), NextConnection(), Receive()], 2),
    ],
)
def test_the_connection_of_a_407(between: list[ScriptStep], connections: int, shell: str) -> None:
    """It is used again if it is in order; what came unasked is no answer (H1-44)."""
    script = NextRequest(), Say(AGAIN), *between, Say(OK + b"hi"), HalfClose()
    with nothing_left(), ScriptedProxy(*script) as proxy:
        assert converse(shell, via=Proxy(proxy.url, auth=LATER), timeout=5) == b"hi"
        assert proxy.connections == connections
        assert b"Proxy-Authorization" not in proxy.heads[0]
        assert b"Proxy-Authorization" in proxy.heads[1]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_spoken_unasked_is_no_answer(shell: str) -> None:
    """A 200 right behind the 407 is not an answer to the request that follows (H1-44)."""
    script = (
        NextRequest(),
        Say(AGAIN + OK),
        NextConnection(),
        Receive(),
        Say(OK + b"hi"),
        HalfClose(),
    )
    with nothing_left(), ScriptedProxy(*script) as proxy:
        assert converse(shell, via=Proxy(proxy.url, auth=LATER), timeout=5) == b"hi"
        assert proxy.connections == 2


class Slow(Basic):
    """Takes its time between the 407 and the next request."""

    def converse(self, exchange: Exchange, challenge: Challenge | None) -> Flow:
        yield from Offload(time.sleep, 0.1)
        yield from super().converse(exchange, challenge)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("unasked", [[Say(OK)], [Close()], [Reset()]])
def test_what_happens_between_two_requests(unasked: list[ScriptStep], shell: str) -> None:
    """Found before the next request goes out, so that it goes out on a new connection."""
    again = NextConnection(), Receive(), Say(OK + b"hi"), HalfClose()
    script = Receive(), Say(AGAIN), Wait(0.03), *unasked, *again
    with nothing_left(), ScriptedProxy(*script) as proxy:
        via = Proxy(proxy.url, auth=Slow("user", "word", preemptive=False))
        assert converse(shell, via=via, timeout=5) == b"hi"
        assert proxy.connections == 2


def test_a_refusal_keeps_what_is_known() -> None:
    with ScriptedProxy(Receive(), Say(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")) as proxy:
        with Dialer([proxy.url], timeout=5) as dialer, pytest.raises(TunnelRefused) as caught:
            dialer.open_tunnel("a.test:1")
        assert caught.value.response.body == b"no"
        assert caught.value.elapsed is not None
        assert caught.value.phase == "connect"
        assert not isinstance(caught.value, ProxyMisbehaved)
        assert proxy.wait_closed()
