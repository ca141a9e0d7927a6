"""The pools behind a transport, in the shape of one: httpcore's request interface, for httpx.

One pool has the tunnels. http:// has a pool for each way that its requests take, which is one way
unless a router decides. Each has the limits of the transport to itself, as the transports do that
httpx mounts.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from connect_tunnel._errors import TunnelError
from connect_tunnel._route import Routed
from connect_tunnel._target import Target
from connect_tunnel.routing._health import is_unreached

from ._http_forward import Page, absolute, credentials, forwards, rejection, ways_to
from ._http_opener import AsyncOpener, Opener, perform, perform_async
from ._http_stream import OPENING, limit, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import NoReturn, Self

    from connect_tunnel._async.dialer import AsyncDialer
    from connect_tunnel._route import Hops
    from connect_tunnel._secret import Secret
    from connect_tunnel._steps import Program
    from connect_tunnel._sync.dialer import Dialer

    from ._http_forward import Way
    from ._http_stream import Library, Request, Response

T = TypeVar("T")

_MOST_POOLS = 32  # a router may make up ways without end


class _Pools:
    """Which pool a request goes to.

    Args:
        library: The module that the pools are of.
        make: Makes a pool from what opens its connections.
        dialer: The way there.
        tunnel_http: Whether http:// goes through tunnels too.
    """

    def __init__(
        self,
        library: Library,
        make: Callable[..., Any],
        dialer: Dialer | AsyncDialer,
        *,
        tunnel_http: bool,
    ) -> None:
        self._library: Final = library
        self._make: Final = make
        self._dialer: Final[Any] = dialer
        self._way: Final[Hops | Routed] = dialer._way
        self._forward: Final = not tunnel_http
        self._tunnels: Final = make(dialer)
        self._pools: Final[dict[Way, Any]] = {}
        self._lent: Final[Counter[Way]] = Counter()
        self._lock: Final = Lock()
        self._opening_errors: Final = (
            library.ConnectError, library.ConnectTimeout, library.ProxyError
        )  # fmt: skip
        self._reading_errors: Final = (
            library.NetworkError, library.ProtocolError, library.TimeoutException
        )  # fmt: skip

    def _ways_of_its_own(self, request: Request) -> bool:
        """Whether a request goes other ways than to the tunnels."""
        if request.url.scheme != b"http":
            return False
        return isinstance(self._way, Routed) or (self._forward and forwards(self._way))

    def _target(self, request: Request) -> Target:
        try:
            return Target(request.url.host.decode("ascii"), request.url.port or 80)
        except TunnelError as error:
            self._fail(error)

    @contextmanager
    def _lend(self, way: Way, opener: type[Opener | AsyncOpener]) -> Generator[Any]:
        with self._lock:
            pool = self._pools.get(way)
            if pool is None:
                # Only HTTP/1.1 has an absolute form that proxies know.
                options = {"http1": True, "http2": False} if way.forwarded else {}
                pool = self._pools[way] = self._make(opener(way), **options)
            self._lent[way] += 1
        try:
            yield pool
        finally:
            with self._lock:
                self._lent[way] -= 1

    def _spare(self) -> list[Any]:
        """Pools to be closed, where there are too many: those of which nothing is in use."""
        with self._lock:
            if len(self._pools) <= _MOST_POOLS:
                return []
            spare = [way for way in self._pools if not self._lent[way] and self._is_idle(way)]
            for way in spare:
                del self._lent[way]
            return [self._pools.pop(way) for way in spare]

    def _is_idle(self, way: Way) -> bool:
        return all(connection.is_idle() for connection in self._pools[way].connections)

    def _report(self, way: Way, error: TunnelError | None) -> None:
        if isinstance(self._way, Routed):
            self._way.router.report(tuple(hop.proxy for hop in way.hops), error)

    def _fail(self, error: TunnelError) -> NoReturn:
        raise translated(self._library, OPENING, error) from error

    @property
    def _all(self) -> list[Any]:
        with self._lock:
            return [self._tunnels, *self._pools.values()]


def _told(response: Response) -> Response:
    """A response that says by which answer to CONNECT it came."""
    answer = response.extensions["network_stream"].get_extra_info("proxy_response")
    if answer is not None:
        response.extensions["proxy_response"] = answer
    return response


def _connect_timeout(request: Request) -> float | None:
    seconds: float | None = request.extensions.get("timeout", {}).get("connect")
    return limit(seconds)


def _unreached(error: Exception) -> TunnelError | None:
    """What a pool could not reach, if that is why it failed."""
    ours = error.__context__
    return ours if isinstance(ours, TunnelError) and is_unreached(ours) else None


class Pools(_Pools):
    """For threads."""

    def handle_request(self, request: Request) -> Response:
        """Send a request, and return the response to it."""
        if not self._ways_of_its_own(request):
            return _told(self._tunnels.handle_request(request))
        target = self._target(request)
        ways = self._perform(ways_to(target, self._way, forward=self._forward), target, request)
        for pool in self._spare():
            pool.close()
        for way in ways[:-1]:
            try:
                return self._send(way, request, target)
            except self._opening_errors as error:
                if _unreached(error) is None:
                    raise
        return self._send(ways[-1], request, target)

    def _send(self, way: Way, request: Request, target: Target) -> Response:
        secret = self._perform(credentials(way, target), target, request)
        if way.forwarded:
            request = absolute(self._library, request, target, secret)
        try:
            with self._lend(way, Opener) as pool:
                response = _told(pool.handle_request(request))
        except self._opening_errors as error:
            self._report(way, _unreached(error))
            raise
        self._report(way, None)
        if way.forwarded and response.status == 407:
            self._reject(way, target, response, secret)
        return response

    def _reject(
        self, way: Way, target: Target, response: Response, secret: Secret[bytes] | None
    ) -> NoReturn:
        page = Page(response)
        try:
            for part in response.iter_stream():
                if page.is_full_with(part):
                    response.close()  # upon which the reading fails: generators end so
        except self._reading_errors:
            page.complete = False
        finally:
            response.close()
        self._fail(rejection(way, target, page, secret))

    def _perform(self, program: Program[T], target: Target, request: Request) -> T:
        try:
            return perform(program, target, _connect_timeout(request))
        except TunnelError as error:
            self._fail(error)

    def close(self) -> None:
        """Close all of them."""
        for pool in self._all:
            pool.close()
        self._dialer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncPools(_Pools):
    """For event loops."""

    async def handle_async_request(self, request: Request) -> Response:
        """Send a request, and return the response to it."""
        if not self._ways_of_its_own(request):
            return _told(await _send_whole(self._tunnels, request))
        target = self._target(request)
        deciding = ways_to(target, self._way, forward=self._forward)
        ways = await self._perform(deciding, target, request)
        for pool in self._spare():
            await pool.aclose()
        for way in ways[:-1]:
            try:
                return await self._send(way, request, target)
            except self._opening_errors as error:
                if _unreached(error) is None:
                    raise
        return await self._send(ways[-1], request, target)

    async def _send(self, way: Way, request: Request, target: Target) -> Response:
        secret = await self._perform(credentials(way, target), target, request)
        if way.forwarded:
            request = absolute(self._library, request, target, secret)
        try:
            with self._lend(way, AsyncOpener) as pool:
                response = _told(await _send_whole(pool, request))
        except self._opening_errors as error:
            self._report(way, _unreached(error))
            raise
        self._report(way, None)
        if way.forwarded and response.status == 407:
            await self._reject(way, target, response, secret)
        return response

    async def _reject(
        self, way: Way, target: Target, response: Response, secret: Secret[bytes] | None
    ) -> NoReturn:
        page = Page(response)
        try:
            async for part in response.aiter_stream():
                if page.is_full_with(part):
                    await response.aclose()  # upon which the reading fails: generators end so
        except self._reading_errors:
            page.complete = False
        finally:
            await response.aclose()
        self._fail(rejection(way, target, page, secret))

    async def _perform(self, program: Program[T], target: Target, request: Request) -> T:
        try:
            return await perform_async(program, target, _connect_timeout(request))
        except TunnelError as error:
            self._fail(error)

    async def aclose(self) -> None:
        """Close all of them."""
        for pool in self._all:
            await pool.aclose()
        await self._dialer.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


async def _send_whole(pool: Any, request: Request) -> Response:  # noqa: ANN401 - of either library
    """Send a request, and leave no connection behind if that is cancelled."""
    try:
        return await pool.handle_async_request(request)
    except Exception:
        raise
    except BaseException:
        with anyio.CancelScope(shield=True):
            await _drop_lost(pool)
        raise


async def _drop_lost(pool: Any) -> None:  # noqa: ANN401 - of either library
    """Drop connections that are taken, and by no request.

    A pool that is cancelled between two steps forgets them: one that was assigned and not begun
    with, one that is open and was sent nothing yet, or HTTP/2 that has not settled. Each keeps
    its place for ever, with a proxy and without (httpcore 1.0.9, httpcore2 2.16.2).
    """
    taken = {id(request.connection) for request in pool._requests}
    for connection in pool.connections:
        if id(connection) not in taken and not (connection.is_idle() or connection.is_closed()):
            pool._connections.remove(connection)
            await connection.aclose()
    # Whoever waits for a place is given it.
    await pool._close_connections(pool._assign_requests_to_connections())
