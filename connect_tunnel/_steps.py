"""What a program may ask of the outside world.

A *program* is the logic of this library: a generator that yields *steps*, is sent
their results, and returns what it was for. It never touches a socket, a clock, a lock
or an event loop. Reading one is easy once you know that ::

    seen = yield from Peek()

means "ask whoever runs me to look at the next bytes, and go on with what they saw".
`yield from` rather than `yield` because a step is iterable: its `__iter__` yields the
step itself and returns the result with its own type, so that a type checker follows a
`bytes` from the driver into the program, and so that a program and a single step are
composed by the same two words.

Who performs the steps? One driver (`_net/driver.py`) does, in terms of non-blocking
sockets, and where it would have to wait it yields in its turn to the thread or to the
event loop (`_net/waits.py` has the second half of this story). A test performs them from
a list of byte strings (`connect_tunnel.testing.replay`). The same text therefore serves
threads, asyncio, trio and a test that needs none of them.

What a program must not do:

* `yield` inside `finally`, `with`, or an `except` that catches GeneratorExit. A program
  that is cancelled is closed, and nobody answers it any more. There is nothing to clean
  up either: descriptors belong to the driver, which closes them without waiting.
* catch the end of the total deadline. It does not enter a program, save in a soft part;
  only what a step can fail with does, the timeout of a part (`Enter`) among it.
* forget the `yield from`. A step that nobody yields does nothing, and no type checker
  says so; a test reads the source for it.

Peek, then take. `Peek` looks at what has arrived and leaves it there; `Take` takes what
was seen to be ours. On a kernel socket that is MSG_PEEK, so the first bytes of the target
are never in our memory and the socket that is handed over is as good as new. A program
cannot over-read, because it has no verb for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    ParamSpec,
    TypeAlias,
    TypeVar,
    overload,
)

if TYPE_CHECKING:
    import ssl  # noqa: TID251 - the type of a context
    from collections.abc import Iterator, Sequence

    from ._errors import Phase
    from ._response import ProxyResponse
    from ._route import Hop
    from .protocols.h2_stream import Loss

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")

Address: TypeAlias = "tuple[str, int]"
"""A numeric host and a port; an IPv6 host without brackets, with its zone if it has one."""

Endpoint: TypeAlias = "Address | str"
"""Something to be dialled: an address, or the path of a Unix socket."""

Joined: TypeAlias = Literal["joined", "dial", "stay"]
"""What came of a Join: we are on a connection of others; we are to make one, which those who
come after us wait for; or we had better stay where we are."""

Answer: TypeAlias = "ProxyResponse | Loss | None"
"""What came of a request in HTTP/2: an answer, a loss, or nothing in the time that it had."""


class Step(Generic[R_co]):
    """Something to be done by the driver, and the type of what comes of it."""

    __slots__ = ()

    def __iter__(self) -> Generator[Step[Any], Any, R_co]:
        result: R_co = yield self
        return result


Program: TypeAlias = Generator[Step[Any], Any, T]


class Deed(Step[None]):
    """A step of which nothing comes."""

    __slots__ = ()

    if not TYPE_CHECKING:  # for which the one of any step will do

        def __iter__(self) -> Iterator[Step[Any]]:
            return iter((self,))  # a generator is twice the work, and returns nothing either


class Part(Step[R_co]):
    """A step with which a part of an opening begins; it lasts until another does.

    Each failure in it is labelled with its phase and its hop, which is None where the target
    itself is dialled. It has its own clock: the caller's `Timeout`, and `seconds` where the
    program has a limit of its own, which never exceeds what is left of the total, nor its share
    of that where it is one of several `attempts`. A part that takes too long is a TunnelTimeout
    thrown into the program. In a soft part so is the end of the total: what it is for is worth
    having, but not worth losing what is known already.
    """

    __slots__ = ()

    phase: Phase
    hop: Hop | None
    seconds: float | None = None
    attempts: int = 1
    soft: bool = False


class Enter(Deed, Part[None]):
    """Say which part begins, where the next step does not say so by itself."""

    __slots__ = ("hop", "phase", "seconds", "soft")
    __match_args__ = ("phase", "hop", "seconds")

    def __init__(
        self, phase: Phase, hop: Hop | None, seconds: float | None = None, *, soft: bool = False
    ) -> None:
        self.phase: Phase = phase
        self.hop: Hop | None = hop
        self.seconds: float | None = seconds
        self.soft: bool = soft


class Resolve(Part["list[Address]"]):
    """Look a name up, in the order of the system's resolver (RFC 6724)."""

    __slots__ = ("attempts", "hop", "host", "port", "seconds")
    __match_args__ = ("host", "port")
    phase: Phase = "resolve"

    def __init__(
        self,
        host: str,
        port: int,
        hop: Hop | None = None,
        seconds: float | None = None,
        attempts: int = 1,
    ) -> None:
        self.host: Final = host
        self.port: Final = port
        self.hop: Hop | None = hop
        self.seconds: float | None = seconds
        self.attempts: int = attempts


class Dial(Deed, Part[None]):
    """Connect to whichever of the addresses answers first (RFC 8305)."""

    __slots__ = ("addresses", "attempts", "hop", "seconds")
    __match_args__ = ("addresses",)
    phase: Phase = "tcp"

    def __init__(
        self,
        addresses: Sequence[Endpoint],
        hop: Hop | None = None,
        seconds: float | None = None,
        attempts: int = 1,
    ) -> None:
        self.addresses: Final = addresses
        self.hop: Hop | None = hop
        self.seconds: float | None = seconds
        self.attempts: int = attempts


class Ends(Step["tuple[Address, Address] | None"]):
    """The addresses of the connection, ours and the other; None where it has none."""

    __slots__ = __match_args__ = ()


class StartTLS(Part["str | None"]):
    """Begin TLS on what is open, verify the peer, and learn the protocol ALPN chose.

    Without a context, the process's own for proxies that are offered these protocols.
    """

    __slots__ = ("context", "hop", "protocols", "require_close_notify", "server_hostname")
    __match_args__ = ("context", "server_hostname", "require_close_notify")
    phase: Phase = "proxy_tls"

    def __init__(
        self,
        context: ssl.SSLContext | None,
        server_hostname: str,
        hop: Hop | None = None,
        *,
        protocols: tuple[str, ...] = ("http/1.1",),
        require_close_notify: bool = True,
    ) -> None:
        self.hop: Hop | None = hop
        self.protocols: Final = protocols
        self.context: Final = context
        self.server_hostname: Final = server_hostname
        self.require_close_notify: Final = require_close_notify


class Certificate(Step["bytes | None"]):
    """The certificate that the peer showed in the TLS begun last, DER; None where there is none."""

    __slots__ = __match_args__ = ()


class Join(Step[Joined]):
    """Take part in a connection to this hop that others have opened (HTTP/2).

    Args:
        hop: The hop. Only those who walk the same way share its connections.
        elsewhere: Whether the connection that we are on leaves us without an answer while
            others on it have theirs, so that another one is to be tried.
    """

    __slots__ = ("elsewhere", "hop")
    __match_args__ = ("hop",)

    def __init__(self, hop: Hop, *, elsewhere: bool = False) -> None:
        self.hop: Final = hop
        self.elsewhere: Final = elsewhere


class Share(Deed):
    """Let others join the connection that is open, or know that they cannot."""

    __slots__ = __match_args__ = ("hop", "joinable")

    def __init__(self, hop: Hop, *, joinable: bool) -> None:
        self.hop: Final = hop
        self.joinable: Final = joinable


class SendHead(Deed, Part[None]):
    """Ask for something on a new stream of a connection that is shared."""

    __slots__ = ("fields", "hop")
    __match_args__ = ("fields",)
    phase: Phase = "connect"

    def __init__(self, fields: Sequence[tuple[bytes, bytes]], hop: Hop) -> None:
        self.fields: Final = fields
        self.hop: Hop | None = hop

    def __repr__(self) -> str:
        # As in Send.
        return f"SendHead(<{len(self.fields)} fields>)"


class ReadHead(Step["Answer"]):
    """What is answered on that stream, how it was lost, or nothing in so many seconds.

    To ask again goes on waiting for the same answer.
    """

    __slots__ = __match_args__ = ("seconds",)

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds: Final = seconds


class Send(Deed):
    """Send all of the data, in as few segments as the kernel makes of one write.

    Something comes back for it, unless there is more to be said first.
    """

    __slots__ = ("data", "more")
    __match_args__ = ("data",)

    def __init__(self, data: bytes, *, more: bool = False) -> None:
        self.data: bytes = data
        self.more: bool = more

    def __repr__(self) -> str:
        # The data may hold credentials, and tracebacks print the locals they find.
        return f"{type(self).__name__}(<{len(self.data)} bytes>)"


class Ask(Send, Part[None]):
    """Send a request, which is answered in the part that begins with it."""

    __slots__ = ("hop",)
    phase: Phase = "connect"

    def __init__(self, data: bytes, hop: Hop) -> None:
        self.data: bytes = data
        self.more: bool = False
        self.hop: Hop | None = hop


class Peek(Step[bytes]):
    """Look at the next bytes without taking them; empty at the end of the stream."""

    __slots__ = __match_args__ = ()


class Take(Deed):
    """Take bytes that were seen; the count never exceeds what the last Peek showed."""

    __slots__ = __match_args__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count: Final = count


class HangUp(Deed):
    """Close the connection."""

    __slots__ = __match_args__ = ()


class Call(Step[T]):
    """Call something of the user's, and await what it returns where that is needed."""

    __slots__ = __match_args__ = ("function",)

    @overload
    def __init__(
        self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> None: ...
    @overload
    def __init__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None: ...
    def __init__(
        self, function: Callable[P, T | Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        self.function: Final[Callable[[], T | Awaitable[T]]] = lambda: function(*args, **kwargs)


class Offload(Step[T]):
    """Call something that blocks, in a thread that is abandoned when time runs out."""

    __slots__ = __match_args__ = ("function",)

    def __init__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        self.function: Final[Callable[[], T]] = lambda: function(*args, **kwargs)
