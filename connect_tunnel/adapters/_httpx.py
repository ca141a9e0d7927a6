"""Transports for httpx and for httpx2, as one text: mixins before the library's own transport.

That is the one for a direct connection, with pools of ours in the place of its pool. It stays in
charge of everything else, so that what is built on it, or patches it, finds what it expects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypedDict, TypeVar, cast

from connect_tunnel._async.dialer import AsyncDialer
from connect_tunnel._errors import InvalidProxy, TunnelError
from connect_tunnel._sync.dialer import Dialer

from ._http_pools import AsyncPools, Pools

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from connect_tunnel._via import Via

    from ._http_backend import Options
    from ._http_stream import Library

Q = TypeVar("Q")  # the library's Request
R = TypeVar("R")  # its Response
L = TypeVar("L")  # its Limits
D = TypeVar("D")

Certificate: TypeAlias = "str | tuple[str, str] | tuple[str, str, str]"


class Settings(TypedDict, Generic[L], total=False):
    """What a transport may be told besides the way."""

    verify: ssl.SSLContext | str | bool
    cert: Certificate | None
    trust_env: bool
    http1: bool
    http2: bool
    limits: L | None
    retries: int
    local_address: str | None
    socket_options: Options
    tunnel_http: bool


class Transport(Generic[Q, R, L]):
    """For threads."""

    _httpx: Library
    _httpcore: Library
    _backend: Any

    def __init__(  # noqa: PLR0913 - all that theirs can be told
        self,
        via: Via,
        *,
        verify: ssl.SSLContext | str | bool = True,
        cert: Certificate | None = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: L | None = None,
        retries: int = 0,
        local_address: str | None = None,
        socket_options: Options = None,
        tunnel_http: bool = False,
    ) -> None:
        dialer = _made(Dialer, via)
        del via  # a traceback would print it, and it may hold a password
        if isinstance(dialer, Exception):
            raise dialer
        context = self._httpx.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
        cast("Any", super()).__init__(verify=context)
        options = {
            "ssl_context": context,
            "http1": http1,
            "http2": http2,
            "retries": retries,
            "local_address": local_address,
            "socket_options": socket_options,
            **_sizes(self._httpx, limits),
        }

        def make(opener: object, **others: bool) -> object:
            backend = self._backend(opener)
            return self._httpcore.ConnectionPool(network_backend=backend, **{**options, **others})

        self._pool: Any = Pools(self._httpcore, make, dialer, tunnel_http=tunnel_http)

    def handle_request(self, request: Q) -> R:
        """Send a request, and return the response of its origin.

        Raises:
            ProxyError: Of the library: a proxy said no, or did not behave. Its `__cause__` is our
                error, which has the proxy's response.
            TransportError: Of the library: it failed otherwise.
        """
        try:
            response: R = cast("Any", super()).handle_request(request)
        except self._httpx.TransportError as error:
            _tell_cause(error)
            raise
        return response


class AsyncTransport(Generic[Q, R, L]):
    """For event loops."""

    _httpx: Library
    _httpcore: Library
    _backend: Any

    def __init__(  # noqa: PLR0913 - all that theirs can be told
        self,
        via: Via,
        *,
        verify: ssl.SSLContext | str | bool = True,
        cert: Certificate | None = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: L | None = None,
        retries: int = 0,
        local_address: str | None = None,
        socket_options: Options = None,
        tunnel_http: bool = False,
    ) -> None:
        dialer = _made(AsyncDialer, via)
        del via  # as above
        if isinstance(dialer, Exception):
            raise dialer
        context = self._httpx.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
        cast("Any", super()).__init__(verify=context)
        options = {
            "ssl_context": context,
            "http1": http1,
            "http2": http2,
            "retries": retries,
            "local_address": local_address,
            "socket_options": socket_options,
            **_sizes(self._httpx, limits),
        }

        def make(opener: object, **others: bool) -> object:
            backend = self._backend(opener)
            kind = self._httpcore.AsyncConnectionPool
            return kind(network_backend=backend, **{**options, **others})

        self._pool: Any = AsyncPools(self._httpcore, make, dialer, tunnel_http=tunnel_http)

    async def handle_async_request(self, request: Q) -> R:
        """Send a request, and return the response of its origin.

        Raises:
            ProxyError: Of the library: a proxy said no, or did not behave. Its `__cause__` is our
                error, which has the proxy's response.
            TransportError: Of the library: it failed otherwise.
        """
        try:
            response: R = await cast("Any", super()).handle_async_request(request)
        except self._httpx.TransportError as error:
            _tell_cause(error)
            raise
        return response


def _made(kind: Callable[..., D], via: Via) -> D | InvalidProxy | ImportError:
    """A dialer, or what is wrong with the way, to be raised where no frame has seen it."""
    try:
        return kind(via, timeout=None)
    except (InvalidProxy, ImportError) as error:
        return error.with_traceback(None)


def _sizes(httpx: Library, limits: Any) -> dict[str, Any]:  # noqa: ANN401 - of either library
    # Theirs, which has no public name.
    limits = limits or httpx.Limits(max_connections=100, max_keepalive_connections=20)
    names = ("max_connections", "max_keepalive_connections", "keepalive_expiry")
    return {name: getattr(limits, name) for name in names}


def _tell_cause(error: Exception) -> None:
    """Put our own error behind the library's, where httpcore has dropped it (`translated`)."""
    theirs = error.__cause__
    ours = theirs and (theirs.__cause__ or theirs.__context__)
    if isinstance(ours, TunnelError):
        error.__cause__ = ours
