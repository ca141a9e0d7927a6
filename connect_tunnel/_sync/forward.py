"""Listening on loopback for what cannot take a socket, for threads.

The async shell in a loop of its own, in one thread, however many connections there are: a
thread for each would be a thousand for a thousand that are idle.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from anyio.from_thread import start_blocking_portal

from connect_tunnel._async.entrance import AnyTarget, OneTarget
from connect_tunnel._async.forward import AsyncForwarder, dialer_for, sound
from connect_tunnel._forward.clients import Clients
from connect_tunnel._forward.place import Place
from connect_tunnel._target import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from connect_tunnel._forward.clients import ClientAuth
    from connect_tunnel._target import TargetLike
    from connect_tunnel._timeout import TimeoutLike
    from connect_tunnel._via import Via


def forward(  # noqa: PLR0913 - each with a default
    listen: str | tuple[str, int],
    target: TargetLike,
    *,
    via: Via,
    timeout: TimeoutLike = 30.0,
    drain: float | None = 5.0,
    max_connections: int = 1000,
    allow_remote: bool = False,
    on_error: Callable[[Exception], object] | None = None,
) -> Forwarder:
    """Listen on this machine, and lead whoever connects through a tunnel to the target.

    For what takes no socket: libpq, gRPC, programs in other languages. Bytes, ends and resets
    are carried both ways as they are; what many proxies make of an end, `Tunnel.send_eof`
    tells. There is no login at a TCP port, so every user of this machine can use the way; at
    a Unix socket, which knows no resets, the user who made it alone.

        with forward("127.0.0.1:0", "db.example.com:5432", via=url) as forwarder:
            psycopg.connect(host="db.example.com", hostaddr="127.0.0.1", port=forwarder.port)

    It works in a thread of this process. An extension that waits for its connection and lets no
    other thread run meanwhile would wait for ever: it wants `connect-tunnel forward`, which is
    a process of its own.

    Args:
        listen: "127.0.0.1:5432", "[::1]:5432", a pair of host and port, or "unix:/path". Port 0
            is any that is free, and `address` says which. Of names localhost alone is known.
        target: Where the tunnels lead, as for `open_tunnel`. One is opened for each client, at
            once: a server may be the first to speak.
        via: The way there, as for `open_tunnel`. Callables in it are called in the thread of
            the listener, and hold up every connection for as long as they take.
        timeout: For the opening of each tunnel, as for `open_tunnel`.
        drain: How many seconds connections that are open may still take when the block ends;
            after that they are reset. None for as long as they like.
        max_connections: At once. More than these wait until others end.
        allow_remote: Whether `listen` may be an address that other machines can reach.
        on_error: Called in the thread of the listener with what keeps a client from its tunnel.
            Without it, that goes to the logger "connect_tunnel". It never ends the listening.

    Returns:
        A context manager, which listens from its beginning to its end.

    Raises:
        ValueError: An argument is not as described.
        InvalidTarget, InvalidProxy: There is no such target or way.
        ImportError: The way needs an extra that is not installed.
        OSError: When the block begins: the address cannot be listened at.
    """
    dialer = dialer_for(via, timeout)
    del via  # a traceback would print it, and it may hold a password
    entrance = OneTarget(Target.parse(target))
    forwarder = AsyncForwarder(
        Place.parse(listen, allow_remote=allow_remote),
        entrance,
        sound(dialer),
        drain=drain,
        max_connections=max_connections,
        on_error=on_error,
    )
    return Forwarder(forwarder)


def serve_proxy(  # noqa: PLR0913 - each with a default
    listen: str | tuple[str, int],
    *,
    via: Via,
    auth: ClientAuth = "random",
    timeout: TimeoutLike = 30.0,
    drain: float | None = 5.0,
    max_connections: int = 1000,
    allow_remote: bool = False,
    on_error: Callable[[Exception], object] | None = None,
) -> Forwarder:
    """Be an HTTP proxy on this machine, which opens its tunnels by the way that is given.

    For programs that know no more of proxies than their address: they ask this one, and what
    the real one demands (Digest, Negotiate, NTLM, TLS, SOCKS, a chain) is seen to here. It
    knows CONNECT and nothing else: https:// and wss:// and whatever asks for a tunnel, but not
    http:// URLs, to which it answers 405.

        with serve_proxy("127.0.0.1:3128", via=Proxy(url, auth=Negotiate())) as proxy:
            subprocess.run(["curl", url], env={**os.environ, "HTTPS_PROXY": proxy.proxy_url})

    A client whose tunnel the real proxy refuses gets that answer, or else one that says in
    Proxy-Status (RFC 9209) and in words what went wrong.

    Args:
        listen: As for `forward`; the port of proxies is 3128 or 8080 by custom.
        via: The way to go, as for `open_tunnel`. One `Dialer` keeps it, for all clients.
        auth: What clients must say by Basic: a user and a password; "random" for a password
            that is made up for this run, see `Forwarder.proxy_url`; or None for nothing. Then
            every user of this machine can go where your credentials lead.
        timeout: For the opening of each tunnel, as for `open_tunnel`.
        drain: How many seconds connections may still take when the block ends.
        max_connections: At once. More than these wait until others end.
        allow_remote: Whether `listen` may be an address that other machines can reach; then
            `auth` may not be None.
        on_error: As for `forward`. Clients are told themselves.

    Returns:
        A context manager, which listens from its beginning to its end.

    Raises:
        ValueError: An argument is not as described.
        InvalidProxy: There is no such way.
        ImportError: The way needs an extra that is not installed.
        OSError: When the block begins: the address cannot be listened at.
    """
    dialer, clients = dialer_for(via, timeout), Clients.parse(auth)
    del via, auth  # a traceback would print them, and they may hold passwords
    place = Place.parse(listen, allow_remote=allow_remote)
    forwarder = AsyncForwarder(
        place,
        AnyTarget(sound(clients).at(place)),
        sound(dialer),
        drain=drain,
        max_connections=max_connections,
        on_error=on_error,
    )
    return Forwarder(forwarder)


class Forwarder:
    """Something that listens, for as long as its `with` block lasts.

    It is what `forward` and `serve_proxy` give, and one thread. The end of the block ends the
    listening, lets the connections that are open come to their ends for `drain` seconds, and
    resets those that have not. What is no ordinary exception (KeyboardInterrupt) resets them
    at once, also if it comes while they are waited for.
    """

    def __init__(self, forwarder: AsyncForwarder) -> None:
        self._forwarder: Final = forwarder
        self._stack = ExitStack()

    @property
    def address(self) -> str:
        """Where it listens: "127.0.0.1:49152", "[::1]:49152" or "unix:/path"."""
        return self._forwarder.address

    @property
    def host(self) -> str:
        """The IP address of that; the path of a Unix socket."""
        return self._forwarder.host

    @property
    def port(self) -> int:
        """The port of that; 0 of a Unix socket."""
        return self._forwarder.port

    @property
    def proxy_url(self) -> str:
        """What clients of `serve_proxy` are told, in HTTPS_PROXY for example.

        It holds what they must know to be let in, so it is a secret like that.

        Raises:
            LookupError: It is no proxy, but leads to one target.
        """
        return self._forwarder.proxy_url

    @property
    def connections(self) -> int:
        """How many are open, or are being opened."""
        return self._forwarder.connections

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal(name="connect_tunnel-forward"))
            stack.enter_context(portal.wrap_async_context_manager(self._forwarder))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return repr(self._forwarder).replace("AsyncForwarder", "Forwarder", 1)
