"""requests through tunnels: an adapter to be mounted in a session.

    from connect_tunnel.adapters.requests import TunnelAdapter

    with requests.Session() as session:
        adapter = TunnelAdapter("http://alice:s3cret@proxy.corp:3128")
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        response = session.get("https://www.example.com/", timeout=10)

A mounted adapter decides: what it is mounted for goes through its tunnels, and neither
HTTPS_PROXY and its kin nor `proxies=` have a say. (For the former as routes, give it
`connect_tunnel.routing.Environment()`.) What it is not mounted for, also after a redirect, goes
the way that it went before. All else is `requests.adapters.HTTPAdapter`'s own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidURL, RequestException
from requests.utils import select_proxy
from urllib3.exceptions import LocationValueError

from ._settled import settled
from ._urllib3_errors import proxy_answer, tunnel_error
from ._urllib3_pools import answer_before
from .urllib3 import TunnelPoolManager

if TYPE_CHECKING:
    import requests
    from urllib3.poolmanager import PoolManager
    from urllib3.util.retry import Retry

    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._via import Via

__all__ = ["TunnelAdapter", "proxy_response"]


class TunnelAdapter(HTTPAdapter):
    """An `HTTPAdapter` whose connections are tunnels, to https:// and http:// URLs alike.

    What goes wrong on the way is an error of requests', with ours as its `__cause__`: a proxy
    that says no, or nothing sensible, or cannot be reached is a `requests.exceptions.ProxyError`,
    and what comes too late is a ConnectTimeout, whatever the time was spent on. The `response`
    of such an error is None, since no origin has answered; for the proxy's answer there is
    `proxy_response`.

    Args:
        via: As for `connect_tunnel.open_tunnel`.
        tunnel_timeout: For opening one tunnel, in seconds, where the request has no connect
            timeout; that bounds the opening as a whole, where it is given.
        pool_connections, pool_maxsize, max_retries, pool_block: As for `HTTPAdapter`. A no that
            will not change (403 and 407, unlike 503) is not asked for again.

    Raises:
        InvalidProxy: There is no such way.
    """

    __attrs__: list[str] = [*HTTPAdapter.__attrs__, "_via", "_tunnel_timeout"]  # for pickles  # noqa: RUF012

    def __init__(  # noqa: PLR0913 - as requests has it
        self,
        via: Via,
        *,
        tunnel_timeout: float | None = 30.0,
        pool_connections: int = 10,
        pool_maxsize: int = 10,
        max_retries: int | Retry = 0,
        pool_block: bool = False,
    ) -> None:
        way = settled(via)
        del via  # a traceback would print it, and it may hold a password
        if isinstance(way, Exception):
            raise way
        self._via: Via = way
        self._tunnel_timeout = tunnel_timeout
        super().__init__(pool_connections, pool_maxsize, max_retries, pool_block)

    def init_poolmanager(
        self,
        connections: int,
        maxsize: int,
        block: bool = False,  # noqa: FBT001, FBT002 - as requests has it
        **pool_kwargs: Any,  # noqa: ANN401 - likewise
    ) -> None:
        """Make the pools; for subclasses that pass more options on to them."""
        self._pool_connections = connections
        self._pool_maxsize = maxsize
        self._pool_block = block
        self.poolmanager: PoolManager = TunnelPoolManager(
            self._via,
            connections,
            tunnel_timeout=self._tunnel_timeout,
            maxsize=maxsize,
            block=block,
            **pool_kwargs,
        )

    def send(  # noqa: PLR0913, PLR0917 - as requests has it
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - likewise
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002 - likewise
        cert: str | tuple[str, str] | None = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send a request through a tunnel, whatever `proxies` the session thinks of."""
        self._forget_login(request, proxies)
        try:
            return super().send(request, stream, timeout, verify, cert)
        except RequestException as error:
            if (ours := tunnel_error(error)) is None:
                raise
            raise error from ours
        except LocationValueError as error:
            raise InvalidURL(error, request=request) from error.__cause__

    def _forget_login(
        self, request: requests.PreparedRequest, proxies: dict[str, str] | None
    ) -> None:
        """Take out the login for a proxy that is not used: all that is in here is the origin's.

        After a redirect to http:// a session puts it in, from the environment too.
        """
        proxy = select_proxy(str(request.url), proxies)
        login = self.proxy_headers(proxy).get("Proxy-Authorization") if proxy else None
        if login is not None and request.headers.get("Proxy-Authorization") == login:
            del request.headers["Proxy-Authorization"]


def proxy_response(outcome: requests.Response | BaseException) -> ProxyResponse | None:
    """What the proxy answered to CONNECT.

    Args:
        outcome: A response that came through a tunnel, or the error of a request.

    Returns:
        The 2xx that opened the tunnel, or the answer that refused it. None if no proxy
        answered: the way is direct, or something else went wrong.
    """
    if isinstance(outcome, BaseException):
        return proxy_answer(outcome)
    return answer_before(outcome.raw)
