"""Listening on loopback for what cannot take a socket, for event loops.

One task for each direction of each connection. The shell for threads (`_sync/forward.py`) runs
this same text in a loop of its own: a thousand idle connections are two thousand sleeping
tasks there, and one thread.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from connect_tunnel._forward.clients import Clients
from connect_tunnel._forward.place import Place
from connect_tunnel._net.listen import accept, listen, stop
from connect_tunnel._net.waits import READ, Ready
from connect_tunnel._target import Target

from .dialer import AsyncDialer
from .entrance import AnyTarget, OneTarget
from .relay import relay, reset
from .wait import until_ready

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup

    from connect_tunnel._forward.clients import ClientAuth
    from connect_tunnel._target import TargetLike
    from connect_tunnel._timeout import TimeoutLike
    from connect_tunnel._via import Via

    from .entrance import Entrance

T = TypeVar("T")

_log = logging.getLogger("connect_tunnel")

_PAUSE: Final = 0.1  # seconds, after which there may be descriptors again


def forward_async(  # noqa: PLR0913 - each with a default
    listen: str | tuple[str, int],
    target: TargetLike,
    *,
    via: Via,
    timeout: TimeoutLike = 30.0,
    drain: float | None = 5.0,
    max_connections: int = 1000,
    allow_remote: bool = False,
    on_error: Callable[[Exception], object] | None = None,
) -> AsyncForwarder:
    """Listen on this machine, and lead whoever connects through a tunnel to the target.

    The same as `connect_tunnel.forward`, on asyncio or trio: its arguments mean the same, and
    it raises the same. Callables are called in the event loop, and may be async where a
    `Proxy` takes such ones.
    """
    dialer = dialer_for(via, timeout)
    del via
    entrance = OneTarget(Target.parse(target))
    return AsyncForwarder(
        Place.parse(listen, allow_remote=allow_remote), entrance, sound(dialer),
        drain=drain, max_connections=max_connections, on_error=on_error,
    )  # fmt: skip


def serve_proxy_async(  # noqa: PLR0913 - each with a default
    listen: str | tuple[str, int],
    *,
    via: Via,
    auth: ClientAuth = "random",
    timeout: TimeoutLike = 30.0,
    drain: float | None = 5.0,
    max_connections: int = 1000,
    allow_remote: bool = False,
    on_error: Callable[[Exception], object] | None = None,
) -> AsyncForwarder:
    """Be an HTTP proxy on this machine, which opens its tunnels by the way that is given.

    The same as `connect_tunnel.serve_proxy`, on asyncio or trio: its arguments mean the same,
    and it raises the same. Callables are called in the event loop, and may be async where a
    `Proxy` takes such ones.
    """
    dialer, clients = dialer_for(via, timeout), Clients.parse(auth)
    del via, auth
    place = Place.parse(listen, allow_remote=allow_remote)
    return AsyncForwarder(
        place, AnyTarget(sound(clients).at(place)), sound(dialer),
        drain=drain, max_connections=max_connections, on_error=on_error,
    )  # fmt: skip


def dialer_for(via: Via, timeout: TimeoutLike) -> AsyncDialer | Exception:
    """A dialer, or what is wrong with the way, for a caller to raise who has forgotten it."""
    try:
        return AsyncDialer(via, timeout=timeout)
    except Exception as error:  # noqa: BLE001 - raised by `sound`
        return error.with_traceback(None)


def sound(found: T | Exception) -> T:
    """What was found, unless that is an error."""
    if isinstance(found, Exception):
        raise found
    return found


class AsyncForwarder:
    """Something that listens, for as long as its `async with` block lasts.

    It is what `forward_async` and `serve_proxy_async` give. The end of the block ends the
    listening, lets the connections that are open come to their ends for `drain` seconds, and
    resets those that have not. Where the block is cancelled they are reset at once.
    """

    def __init__(  # noqa: PLR0913 - private to the functions above
        self,
        place: Place,
        entrance: Entrance,
        dialer: AsyncDialer,
        *,
        drain: float | None,
        max_connections: int,
        on_error: Callable[[Exception], object] | None,
    ) -> None:
        if drain is not None and not drain >= 0:
            raise ValueError(f"drain is a number of seconds or None, not {drain!r}")
        if max_connections < 1:
            raise ValueError("max_connections is at least 1")
        self._place = place
        self._entrance: Final = entrance
        self._dialer: Final = dialer
        self._drain: Final = drain
        self._most: Final = max_connections
        self._on_error: Final = on_error
        self._open = 0
        self._listener: socket.socket | None = None
        self._tasks: TaskGroup
        self._slots: anyio.Semaphore
        self._accepting: anyio.CancelScope

    @property
    def address(self) -> str:
        """Where it listens: "127.0.0.1:49152", "[::1]:49152" or "unix:/path"."""
        return str(self._place)

    @property
    def host(self) -> str:
        """The IP address of that; the path of a Unix socket."""
        return self._place.host

    @property
    def port(self) -> int:
        """The port of that; 0 of a Unix socket."""
        return self._place.port

    @property
    def proxy_url(self) -> str:
        """What clients of `serve_proxy_async` are told, in HTTPS_PROXY for example.

        It holds what they must know to be let in, so it is a secret like that.

        Raises:
            LookupError: It is no proxy, but leads to one target.
        """
        return self._entrance.proxy_url(self._place)

    @property
    def connections(self) -> int:
        """How many are open, or are being opened."""
        return self._open

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError("a forwarder listens once")
        self._slots = anyio.Semaphore(self._most)
        self._accepting = anyio.CancelScope()
        self._listener, self._place = listen(self._place)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._accept, self._listener)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._listener is not None, "entered before"
        self._accepting.cancel()
        anyio.notify_closing(self._listener)
        stop(self._listener, self._place)
        try:
            if isinstance(error, anyio.get_cancelled_exc_class()):
                return await self._tasks.__aexit__(kind, error, traceback)
            # Not told of the error, of which a task group would make a group.
            scope = self._tasks.cancel_scope
            if error is None or isinstance(error, Exception):
                if self._drain is not None:
                    scope.deadline = anyio.current_time() + self._drain
            else:
                scope.cancel()
            await self._tasks.__aexit__(None, None, None)
        finally:
            await self._dialer.aclose()
        return None

    async def _accept(self, listener: socket.socket) -> None:
        with self._accepting:
            while True:
                if not self._slots.value:
                    _log.info("%d connections are open at %s, and others wait", self._open, self)
                await self._slots.acquire()
                client = await self._next(listener)
                self._open += 1
                self._tasks.start_soon(self._serve, client)

    async def _next(self, listener: socket.socket) -> socket.socket:
        complained = False
        while True:
            try:
                client = accept(listener)
            except OSError as error:
                # The connection stays in the queue, and would be tried again at once.
                if not complained:
                    self._report(error)
                complained = True
                await anyio.sleep(_PAUSE)
                continue
            if client is not None:
                return client
            await until_ready(Ready(listener, READ))

    async def _serve(self, client: socket.socket) -> None:
        try:
            await self._lead(client)
        except Exception as error:  # noqa: BLE001 - ends this connection, and no other
            self._report(error)
        finally:
            reset(client)  # which is of no effect on what was closed in order
            self._open -= 1
            self._slots.release()

    async def _lead(self, client: socket.socket) -> None:
        target = await self._entrance.admit(client)
        if target is None:
            return
        try:
            tunnel = await self._dialer.open_tunnel(target)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client waits for an answer
            self._report(error)
            await self._entrance.refuse(client, error)
            return
        async with tunnel.bridged() as sock:
            with sock, suppress(OSError):  # of a client that has gone meanwhile
                await self._entrance.grant(client, tunnel)
                if not await relay(client, sock):
                    _log.debug("a connection to %s broke", target)

    def _report(self, error: Exception) -> None:
        """Tell of an error to whoever wants to know of it."""
        if self._on_error is None:
            expected = isinstance(error, OSError | ImportError)  # which say it all themselves
            _log.warning("no tunnel: %s", error, exc_info=None if expected else error)
            return
        try:
            self._on_error(error)
        except Exception:  # noqa: BLE001 - somebody else's, and no reason to stop
            _log.exception("on_error failed")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {self.address} to {self._entrance}>"
