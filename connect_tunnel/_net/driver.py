"""The driver: performs the steps of a program on one connection.

It owns the descriptor and the clock. What a step fails with is thrown into the program, which
may go on; the end of the total deadline, a cancellation and whatever is not an Exception end the
program instead, and then the connection is dropped at once, without a goodbye.
"""

from __future__ import annotations

from time import monotonic
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from connect_tunnel._errors import ProxyHungUp, ProxyTLSError, TunnelError, TunnelTimeout
from connect_tunnel._steps import (
    Ask,
    Call,
    Certificate,
    Dial,
    Ends,
    Enter,
    HangUp,
    Join,
    Offload,
    Part,
    Peek,
    ReadHead,
    Resolve,
    Send,
    SendHead,
    Share,
    StartTLS,
    Step,
    Take,
)  # fmt: skip

from .dial import dial
from .lookup import offload, resolve
from .sock import SocketLayer, ends_of
from .tls import TLSLayer, default_context
from .tls_words import explain_tls
from .waits import READ, WRITE, Deadline, Expired, Settled
from .words import hung_up, too_late, unknown_name

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from connect_tunnel._steps import Address, Answer, Joined, Program
    from connect_tunnel._target import Target
    from connect_tunnel._timeout import Timeout

    from .pool import Pool
    from .sharing import Sharing
    from .sock import Layer, SocketOption
    from .turn import Bell
    from .waits import Operation

T = TypeVar("T")

_NO_PART: Final = Enter("resolve", None)  # before a program has begun one
_UNDIALLED = "a program dials before it does anything else"
_UNSHARED = "a program joins before it shares or asks"


class Driver:
    """Performs programs on one connection, and holds it until it is released.

    Args:
        target: What errors call the target.
        timeout: For each run.
        local_address: Where to dial from.
        socket_options: Set on each socket before it connects.
        new_bell, pool: For connections that are shared, as `Sharing` has them.
    """

    __slots__ = (
        "_awaiting", "_exchanges", "_layer", "_limit", "_local_address", "_new_bell", "_part",
        "_part_ends", "_pool", "_sharing", "_socket_options", "_started", "_timeout",
        "_total_ends", "deadline", "target",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - all that openings can differ in
        self,
        target: Target,
        timeout: Timeout,
        *,
        local_address: tuple[str, int] | None = None,
        socket_options: Sequence[SocketOption] = (),
        new_bell: Callable[[socket.socket], Bell],
        pool: Pool | None = None,
    ) -> None:
        self.deadline: Final = Deadline()
        self.target: Final = target
        self._timeout: Final = timeout
        self._local_address, self._socket_options = local_address, socket_options
        self._awaiting = False  # whether an answer is due, and has not been waited for
        self._exchanges = 0
        self._new_bell, self._pool = new_bell, pool
        self._sharing: Sharing | None = None  # for those who do
        self._layer: Layer | None = None
        self._part: Part[Any] = _NO_PART
        self._part_ends: float | None = None

    def run(self, program: Program[T], *, anew: bool = True) -> Operation[T]:
        """Perform a program; the deadline of what waits for it is `self.deadline`.

        Args:
            program: The program.
            anew: Whether it has the whole time, and not what is left of that of the last one.
        """
        if anew:
            self._started, total = monotonic(), self._timeout.total
            self._total_ends = None if total is None else self._started + total
        self.deadline.at = self._total_ends
        try:
            step = next(program)
            while True:
                try:
                    result: Any = _PERFORM[type(step)](self, step)
                    if result.__class__ is GeneratorType:  # an operation, which may wait
                        operation: Operation[Any] = result
                        result = yield from operation
                except Expired:
                    late = self._part_is_over()
                    self._place(late)
                    step = program.throw(late)
                except Exception as error:  # noqa: BLE001 - the program decides what it means
                    self._break_promise()
                    if isinstance(error, TunnelError):
                        self._place(error)
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
        assert self._layer is not None, _UNDIALLED
        layer, self._layer = self._layer, None
        return layer

    @property
    def holds(self) -> bool:
        """Whether there is a connection to be released or aborted."""
        return self._layer is not None

    def abort(self) -> None:
        """Drop the connection, without a goodbye."""
        self._break_promise()
        if self._layer is not None:
            self._layer.drop()
            self._layer = None

    def _begin(self, step: Part[Any]) -> None:
        self._part, self._part_ends = step, None
        self.deadline.at = total_ends = self._total_ends
        if step.seconds is None and not self._timeout.has_parts:
            return
        now = monotonic()
        limits = [self._timeout.of(step.phase), step.seconds]
        if total_ends is not None and step.attempts > 1:
            limits.append(round((total_ends - now) / step.attempts, 2))
        self._limit = min((limit for limit in limits if limit is not None), default=None)
        if self._limit is None:
            return
        ends = now + self._limit
        if total_ends is None or ends < total_ends:
            self.deadline.at = self._part_ends = ends
        elif step.soft:
            self._part_ends = total_ends

    def _check_time(self) -> None:
        """Who never lets us wait has no more time than others."""
        if (at := self.deadline.at) is not None and monotonic() >= at:
            raise Expired

    def _part_is_over(self) -> TunnelTimeout:
        """The failure of a step that took too long; raised at once if all time is up."""
        limit = self._timeout.total if self._part_ends is None else self._limit
        at_hop = self._part.hop is not None
        late = too_late(self._part.phase, limit, at_hop=at_hop, direct=self._direct)
        if self._part_ends is None:
            raise late from None
        return late

    def _place(self, error: TunnelError) -> None:
        """Tell an error where and when it happened, unless it knows better."""
        hop = self._part.hop
        error.phase = error.phase or self._part.phase
        error.target = error.target or str(self.target)
        error.elapsed = monotonic() - self._started if error.elapsed is None else error.elapsed
        if hop is not None and error.proxy_url is None:
            error.proxy_url, error.hop = hop.proxy.url, hop.place
        elif self._direct and error.proxy_url is None:
            error.direct = True

    @property
    def _direct(self) -> bool:
        """Whether it is the target itself that is dialled."""
        return self._part.hop is None and self._part is not _NO_PART

    def _resolve(self, step: Resolve) -> Operation[list[Address]]:
        self._begin(step)
        try:
            return (yield from resolve(step.host, step.port))
        except OSError as error:
            raise unknown_name(error, step.host, direct=self._direct) from error

    def _dial(self, step: Dial) -> Operation[None]:
        self._begin(step)
        self._check_time()
        options = self._socket_options
        first = step.hop is not None and step.hop.proxy.scheme == "https"  # with ClientHello
        sock = yield from dial(step.addresses, self._local_address, options, speaks_first=first)
        self._layer, self._exchanges = SocketLayer(sock, speaks_first=first), 0

    def _join(self, step: Join) -> Operation[Joined]:
        self._check_time()
        if self._sharing is None:
            from .sharing import Sharing  # noqa: PLC0415 - for those who do

            self._sharing = Sharing(self._new_bell, self._pool)
        found, self._layer = yield from self._sharing.join(step, self._layer)
        return found

    def _share(self, step: Share) -> None:
        assert self._sharing is not None, _UNSHARED
        assert self._layer is not None, _UNDIALLED
        self._layer = self._sharing.share(step, self._layer)

    def _send_head(self, step: SendHead) -> None:
        assert self._sharing is not None, _UNSHARED
        self._begin(step)
        self._sharing.seat.ask(step.fields)

    def _read_head(self, step: ReadHead) -> Operation[Answer]:
        assert self._sharing is not None, _UNSHARED
        self._check_time()
        return self._sharing.answer(step)

    def _break_promise(self) -> None:
        if self._sharing is not None:
            self._sharing.break_promise()

    def _peek(self, _: Peek) -> Operation[bytes]:
        layer = self._layer
        assert layer is not None, _UNDIALLED
        try:
            if self._awaiting:
                # An answer takes at least a round trip: to try at once is to try in vain.
                self._awaiting = False
                yield layer.ready(READ)
            else:
                self._check_time()
            while (seen := layer.peek_now()) is None:
                yield layer.ready(READ)
        except OSError as error:
            raise hung_up(error) from error
        return seen

    def _take(self, step: Take) -> None:
        assert self._layer is not None, _UNDIALLED
        self._layer.take_now(step.count)

    def _send(self, step: Send) -> Operation[None] | None:
        if isinstance(step, Ask):
            self._begin(step)
        layer, data = self._layer, step.data
        assert layer is not None, _UNDIALLED
        self._check_time()
        try:
            if self._exchanges and layer.peek_now() is not None:
                # What comes unasked would be taken for the answer to what is asked next.
                raise ProxyHungUp("closed the connection or spoke unasked between two requests")
            if not step.more:
                self._awaiting, self._exchanges = True, self._exchanges + 1
            count = layer.send_now(data)
            if count == len(data) and layer.flush_now():
                return None
            return self._send_rest(layer, memoryview(data)[count:])
        except ProxyHungUp:
            raise
        except OSError as error:
            raise hung_up(error) from error

    def _send_rest(self, layer: Layer, data: memoryview) -> Operation[None]:
        try:
            while data:
                yield layer.ready(WRITE)
                data = data[layer.send_now(data) :]
            while not layer.flush_now():
                yield layer.ready(WRITE)
        except OSError as error:
            raise hung_up(error) from error

    def _start_tls(self, step: StartTLS) -> Operation[str | None]:
        assert self._layer is not None, _UNDIALLED
        self._begin(step)
        context, name = step.context or default_context(step.protocols), step.server_hostname
        tls = TLSLayer(self._layer, context, name, require_close_notify=step.require_close_notify)
        try:
            yield from tls.handshake(to_the_end=False)  # what is asked next follows at once
        except OSError as error:
            complaint, hint = explain_tls(error, tls.greeting, plain_scheme="http://")
            raise ProxyTLSError(complaint, hint=hint, errno=error.errno) from error
        self._layer = tls
        return tls.object.selected_alpn_protocol()

    def _ends(self, _: Ends) -> tuple[Address, Address] | None:
        assert self._layer is not None, _UNDIALLED
        try:
            return ends_of(self._layer.sock)
        except OSError as error:  # reset already
            raise hung_up(error) from error

    def _certificate(self, _: Certificate) -> bytes | None:
        layer = self._layer
        return layer.object.getpeercert(binary_form=True) if isinstance(layer, TLSLayer) else None

    def _call(self, step: Call[Any]) -> Operation[Any]:
        result = step.function()
        return (yield Settled(result)) if hasattr(result, "__await__") else result

    def _offload(self, step: Offload[Any]) -> Operation[Any]:
        return offload(step.function)

    def _hang_up(self, _: HangUp) -> None:
        if self._layer is not None:
            self._layer.close_now(cleanly=True)
        self.abort()


# What is done at once gives its result, and what may have to wait an Operation. A table, as
# it is in the way of every byte of an opening; a test sees that no step is missing.
_PERFORM: Final[dict[type[Step[Any]], Callable[[Driver, Any], Any]]] = {
    Ask: Driver._send, Call: Driver._call, Certificate: Driver._certificate, Dial: Driver._dial,
    Ends: Driver._ends, Enter: Driver._begin, HangUp: Driver._hang_up, Join: Driver._join,
    Offload: Driver._offload, Peek: Driver._peek, ReadHead: Driver._read_head,
    Resolve: Driver._resolve, Send: Driver._send, SendHead: Driver._send_head,
    Share: Driver._share, StartTLS: Driver._start_tls, Take: Driver._take,
}  # fmt: skip
