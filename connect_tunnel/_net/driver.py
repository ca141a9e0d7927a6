"""The driver: performs the steps of a program on one connection.

It owns the descriptor and the clock. What a step fails with is thrown into the program,
which may go on; the end of the total deadline, a cancellation and whatever is not an
Exception end the program instead, and then the connection is dropped there and then,
without a goodbye and without waiting.
"""

from __future__ import annotations

import errno
import inspect
import ssl
from time import monotonic
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, assert_never, cast

from connect_tunnel._errors import (
    ProxyHungUp,
    ProxyTLSError,
    ProxyUnreachable,
    TunnelError,
    TunnelTimeout,
)
from connect_tunnel._steps import (
    Call,
    Dial,
    Enter,
    HangUp,
    Offload,
    Peek,
    Resolve,
    Send,
    StartTLS,
    Take,
)

from .dial import dial
from .lookup import offload, resolve
from .sock import SocketLayer
from .tls import TLSLayer, default_context
from .tls_words import explain_tls
from .waits import READ, WRITE, Deadline, Expired, Ready, Settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connect_tunnel._errors import Phase
    from connect_tunnel._route import Hop
    from connect_tunnel._steps import Address, Program, Step
    from connect_tunnel._timeout import Timeout

    from .sock import Layer, SocketOption
    from .waits import Operation

    _Known: TypeAlias = (
        Enter | Peek | Take | Send | Resolve | Dial | StartTLS | HangUp | Call[Any] | Offload[Any]
    )

T = TypeVar("T")

_LATE: dict[Phase, str] = {
    "resolve": "could not be looked up",
    "tcp": "did not accept a connection",
    "proxy_tls": "did not finish the TLS handshake",
    "connect": "did not answer CONNECT",
    "auth": "did not finish its answer to CONNECT",
}
_LATE_HINTS: dict[Phase, str] = {
    "proxy_tls": "a proxy that speaks plain HTTP may wait for ever: is its scheme http:// ?",
    "connect": "it may be waiting for the target",
}


class Driver:
    """Performs programs on one connection, and holds it until it is released.

    Args:
        target: What errors call the target.
        timeout: For each run.
        local_address: Where to dial from.
        socket_options: Set on each socket before it connects.
    """

    __slots__ = (
        "_asked", "_hop", "_layer", "_local_address", "_part_ends", "_phase",
        "_socket_options", "_started", "_target", "_timeout", "_total_ends", "deadline",
    )  # fmt: skip

    def __init__(
        self,
        target: str,
        timeout: Timeout,
        *,
        local_address: tuple[str, int] | None = None,
        socket_options: Sequence[SocketOption] = (),
    ) -> None:
        self.deadline: Final = Deadline()
        self._target: Final = target
        self._timeout: Final = timeout
        self._local_address: Final = local_address
        self._socket_options: Final = socket_options
        self._asked = False
        self._layer: Layer | None = None
        self._hop: Hop | None = None
        self._phase: Phase = "resolve"
        self._started = 0.0
        self._total_ends: float | None = None
        self._part_ends: float | None = None

    def run(self, program: Program[T]) -> Operation[T]:
        """Perform a program; the deadline of what waits for it is `self.deadline`."""
        self._started = monotonic()
        total = self._timeout.total
        self._total_ends = self.deadline.at = None if total is None else self._started + total
        try:
            step = next(program)
            while True:
                try:
                    result = self._perform(step)
                    if isinstance(result, GeneratorType):
                        result = yield from result
                except Expired:
                    step = program.throw(self._part_is_over())
                except Exception as error:  # noqa: BLE001 - the program decides what it means
                    step = program.throw(error)
                else:
                    step = program.send(result)
        except StopIteration as stop:
            done: T = stop.value
            return done
        except BaseException as error:
            program.close()
            self.abort()
            if isinstance(error, TunnelError):
                self._place(error)
            raise

    def release(self) -> Layer:
        """Let go of the connection, which is the caller's from here on."""
        layer, self._layer = self._layer, None
        assert layer is not None, "a program must dial before it is done"
        return layer

    @property
    def holds(self) -> bool:
        """Whether there is a connection to be released or aborted."""
        return self._layer is not None

    def abort(self) -> None:
        """Drop the connection, without a goodbye."""
        if self._layer is not None:
            self._layer.sock.close()
            self._layer = None

    def _perform(self, step: Step[Any]) -> Any | Operation[Any]:  # noqa: C901, PLR0911, PLR0912 - a table
        # pyright and mypy cannot know that a Step[Any] is one of these; the last line can.
        match cast("_Known", step):
            case Enter(phase, hop, seconds):
                return self._enter(phase, hop, seconds)
            case Peek():
                return self._peek()
            case Take(count):
                return self._open.take_now(count)
            case Send(data):
                return self._send(memoryview(data))
            case Resolve(host, port):
                return self._resolve(host, port)
            case Dial(addresses):
                return self._dial(addresses)
            case StartTLS():
                return self._start_tls(step)
            case HangUp():
                return self._hang_up()
            case Call(function):
                return _call(function)
            case Offload(function):
                return offload(function)
            case never:
                assert_never(never)

    @property
    def _open(self) -> Layer:
        assert self._layer is not None, "a program must dial before it speaks"
        return self._layer

    def _enter(self, phase: Phase, hop: Hop, seconds: float | None) -> None:
        self._phase, self._hop = phase, hop
        self._part_ends = None
        self.deadline.at = total_ends = self._total_ends
        own = self._timeout.of(phase) if self._timeout.has_parts else None
        limit = own if seconds is None else seconds if own is None else min(own, seconds)
        if limit is not None:
            ends = monotonic() + limit
            self._part_ends = ends if total_ends is None else min(ends, total_ends)
            self.deadline.at = self._part_ends

    def _part_is_over(self) -> TunnelTimeout:
        """The failure of a step that took too long; raised at once if all time is up."""
        limit = self._timeout.total if self._part_ends is None else self._timeout.of(self._phase)
        late = TunnelTimeout(
            f"{_LATE[self._phase]} within {limit} s",
            hint=_LATE_HINTS.get(self._phase),
            errno=errno.ETIMEDOUT,
        )
        if self._part_ends is None:
            raise late from None
        return late

    def _place(self, error: TunnelError) -> None:
        """Tell an error where and when it happened, unless it knows better."""
        error.phase = error.phase or self._phase
        error.target = error.target or self._target
        error.elapsed = monotonic() - self._started if error.elapsed is None else error.elapsed
        if self._hop is not None and error.proxy_url is None:
            error.proxy_url, error.hop = self._hop.proxy.url, self._hop.place

    def _resolve(self, host: str, port: int) -> Operation[list[Address]]:
        try:
            return (yield from resolve(host, port))
        except OSError as error:
            raise ProxyUnreachable(
                f"has a name that cannot be looked up: {error.strerror}",
                hint="check the host of its URL, and this machine's resolver",
                errno=error.errno,
                attempts=((host, str(error.strerror)),),
            ) from error

    def _dial(self, addresses: list[Address]) -> Operation[None]:
        sock = yield from dial(addresses, self._local_address, self._socket_options)
        self._layer = SocketLayer(sock)

    def _peek(self) -> Operation[bytes]:
        if self.deadline.left() == 0:
            raise Expired  # a peer that never lets us wait has no more time than others
        try:
            if self._asked:
                # An answer takes at least a round trip: to try at once is to try in vain.
                self._asked = False
                yield Ready(self._open.sock, READ)
            while (seen := self._open.peek_now()) is None:
                yield Ready(self._open.sock, READ)
        except OSError as error:
            raise _hung_up(error) from error
        return seen

    def _send(self, data: memoryview) -> Operation[None]:
        layer = self._open
        try:
            while data := data[layer.send_now(data) :]:
                yield Ready(layer.sock, WRITE)
            while not layer.flush_now():
                yield Ready(layer.sock, WRITE)
            self._asked = True
        except OSError as error:
            raise _hung_up(error) from error

    def _start_tls(self, step: StartTLS) -> Operation[str | None]:
        tls = TLSLayer(
            self._open,
            step.context or default_context("proxy"),
            step.server_hostname,
            require_close_notify=step.require_close_notify,
        )
        try:
            yield from tls.handshake()
        except OSError as error:
            complaint, hint = explain_tls(error, tls.greeting, plain_scheme="http://")
            raise ProxyTLSError(complaint, hint=hint, errno=error.errno) from error
        self._layer = tls
        return tls.object.selected_alpn_protocol()

    def _hang_up(self) -> None:
        if self._layer is not None:
            self._layer.close_now(cleanly=True)
        self.abort()


def _call(function: Callable[[], Any]) -> Operation[Any]:
    result = function()
    return (yield Settled(result)) if inspect.isawaitable(result) else result


def _hung_up(error: OSError) -> ProxyHungUp:
    if isinstance(error, ssl.SSLError):
        if isinstance(error, ssl.SSLEOFError):
            return ProxyHungUp("ended TLS without saying so, before it had answered")
        return ProxyHungUp(f"broke TLS before it had answered: {getattr(error, 'reason', None) or error}")
    return ProxyHungUp("reset the connection before it had answered", reset=True, errno=error.errno)
