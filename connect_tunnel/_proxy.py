"""A proxy: where it is, how it is reached, and what it is told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

from ._errors import InvalidProxy
from ._fields import RequestFields
from ._frozen import Frozen
from ._http2 import HTTP2
from ._proxy_url import ProxyURL, Unusable, read_url
from ._target import known_addresses
from .auth._auth import Auth

if TYPE_CHECKING:
    import ssl  # noqa: TID251 - the type of a context
    from collections.abc import Callable

    from ._fields import FieldsLike
    from ._steps import Endpoint
    from ._target import Target
    from .auth._prompt import Ask

AuthLike: TypeAlias = "tuple[str, str] | Auth | Ask"
ProxyLike: TypeAlias = "str | Proxy"
_Path: TypeAlias = "str | os.PathLike[str] | None"
Resolve: TypeAlias = Literal["proxy", "local"]


class Proxy(Frozen):
    """A proxy: an immutable value, and the whole identity of a way through it.

    Args:
        url: "http://host:port" or "https://host:port", where the scheme says how to reach
            *the proxy*; "unix:///path" for an HTTP proxy behind a Unix socket; or, for a SOCKS
            proxy, "socks5h://host:port" and "socks4a://host:port", which look names up
            themselves, and "socks5://" and "socks4://", for which this machine does (extra:
            `connect_tunnel[socks]`). Userinfo is taken as credentials, percent-decoded, and is
            in no attribute, repr or message afterwards.
        auth: A pair of user and password, an `auth.Auth`, or a callable that gives one of these
            for a proxy and its challenges (see `auth.Prompt`).
        headers: Fields for CONNECT alone: a mapping, pairs, or a callable that gives one of
            these for a target. A value of None leaves a field out that would be sent.
        ssl_context: For TLS with the proxy. It is used as it is and never changed; without
            one, the process's default for proxies, which verifies the proxy's name.
        http1: Whether HTTP/1.1 may be spoken.
        http2: Whether HTTP/2 is offered, in which a dialer runs all tunnels on one connection
            (extra: `connect_tunnel[http2]`); an `HTTP2` says how. Without TLS there is nothing
            to agree on it with: `http1=False` says that the proxy is known to speak it. To an
            ssl_context of yours the offer is for you to add, by
            `set_alpn_protocols(["h2", "http/1.1"])`.
        require_close_notify: Whether an end of TLS without its close_notify counts as a
            truncation rather than an end (RFC 9112, 9.8).
        unix_path: The Unix socket that it is behind, where the URL tells how to speak with it.
        proxy_protocol: The version of HAProxy's PROXY protocol to begin with, for a load
            balancer that expects it.
        resolve: Who looks up the names of targets: "proxy", or "local" for this machine, which
            then asks the proxy for the first of their addresses.

    Attributes:
        scheme: "http", "https", or one of the four of SOCKS.
        host: The host; an IPv6 address without brackets, with its zone if it has one.
        port: The port.
        url: The URL without userinfo.
        unix_path: As given, or from the URL.
        http1: As given.
        http2: How it is asked in HTTP/2, or None.

    Raises:
        InvalidProxy: The URL or a field cannot be used. The message never shows the URL,
            which may hold a password in any of its parts.
        ImportError: It is a SOCKS proxy, or to be asked in HTTP/2, and the extra is not there.
    """

    __slots__ = (
        "addresses", "auth", "endpoint", "fields", "fields_for", "host", "http1", "http2", "port",
        "proxy_protocol", "require_close_notify", "resolve", "scheme", "ssl_context", "unix_path",
        "url",
    )  # fmt: skip

    addresses: tuple[Endpoint, ...]  # where to dial; none if its name is to be looked up
    auth: Auth | None
    endpoint: Target
    fields: RequestFields
    fields_for: Callable[[Target], Any] | None
    host: str
    http1: bool
    http2: HTTP2 | None
    port: int
    proxy_protocol: Literal[1, 2] | None
    require_close_notify: bool
    resolve: Resolve
    scheme: str
    ssl_context: ssl.SSLContext | None
    unix_path: str | None
    url: str

    def __init__(  # noqa: PLR0913 - all that a proxy can differ in
        self,
        url: str,
        *,
        auth: AuthLike | None = None,
        headers: FieldsLike | None = None,
        ssl_context: ssl.SSLContext | None = None,
        http1: bool = True,
        http2: bool | HTTP2 = False,
        require_close_notify: bool = True,
        unix_path: str | os.PathLike[str] | None = None,
        proxy_protocol: Literal[1, 2] | None = None,
        resolve: Resolve = "proxy",
    ) -> None:
        read: _Read | Exception
        try:
            read = _read(url, auth, headers, unix_path)
        except ImportError as error:
            read = error.with_traceback(None)
        except ValueError as error:
            read = InvalidProxy(*error.args[:1], hint=getattr(error, "hint", None))
        # From here on nothing that may hold a secret is a local of a frame that can fail.
        del url, auth, headers
        if isinstance(read, Exception):
            raise read
        self._set(
            **read._asdict(),
            port=read.endpoint.port,
            ssl_context=ssl_context,
            http1=bool(http1),
            http2=http2 if isinstance(http2, HTTP2) else HTTP2() if http2 else None,
            require_close_notify=require_close_notify,
            proxy_protocol=proxy_protocol,
            resolve=resolve,
        )
        _check(self)
        if self.http2 is not None:
            _check_http2(self)

    @classmethod
    def parse(cls, proxy: ProxyLike) -> Proxy:
        """Read what a caller may say: a URL or a Proxy.

        Raises:
            InvalidProxy: It is neither.
        """
        if isinstance(proxy, Proxy):
            return proxy
        if isinstance(proxy, str):
            try:
                return cls(proxy)
            except (InvalidProxy, ImportError) as error:
                complaint = error.with_traceback(None)
            del proxy  # as above
            raise complaint
        raise InvalidProxy(
            f"a proxy is a URL or a Proxy, not {type(proxy).__name__}",
            hint="write 'http://host:port'",
        )

    def _facts(self) -> tuple[object, ...]:
        return (
            self.url, self.auth, self.fields, self.fields_for, self.ssl_context,
            self.require_close_notify, self.unix_path, self.proxy_protocol, self.resolve,
            self.http1, self.http2,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def _shown(self) -> str:
        auth = "" if self.auth is None else f", auth={self.auth!r}"
        return f"Proxy({self.url!r}{auth})"


class _Read(NamedTuple):
    """What of a proxy is read rather than taken as it is."""

    scheme: str
    host: str
    addresses: tuple[Endpoint, ...]
    endpoint: Target
    url: str
    unix_path: str | None
    auth: Auth | None
    fields: RequestFields
    fields_for: Callable[[Target], Any] | None


def _read(url: object, auth: object, headers: FieldsLike | None, unix_path: _Path) -> _Read:
    place = read_url(url)
    if place.userinfo and auth is not None:
        raise Unusable("the proxy's credentials are given twice, in the URL and as auth")
    credentials = _read_auth(place.userinfo or auth, place.scheme)
    if credentials is not None and (complaint := credentials.complaint(place.scheme)):
        raise Unusable(complaint)
    fields_for = headers if callable(headers) else None
    fields = RequestFields(() if headers is None or callable(headers) else headers)
    if credentials is not None and fields.credentials is not None:
        raise Unusable("the proxy's credentials are given twice, as auth and among the headers")
    if headers is not None and place.scheme.startswith("socks"):
        raise Unusable("a SOCKS proxy is told no headers")
    path, endpoint = _read_path(place, unix_path), place.endpoint
    known = known_addresses(place.host, endpoint.port, endpoint.kind)
    return _Read(
        place.scheme, place.host, known if path is None else (path,), endpoint,
        _shown_url(place), path, credentials, fields, fields_for,
    )  # fmt: skip


def _read_path(place: ProxyURL, path: _Path) -> str | None:
    if path is None:
        return place.path
    if place.path is not None:
        raise Unusable("the proxy's Unix socket is given twice, in the URL and as unix_path")
    read = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(read, str) or not read or "\0" in read[1:] or not _is_path(read):
        # One that begins with NUL is Linux's way to name a socket without a file.
        raise Unusable("unix_path is the path of a Unix socket")
    return read


def _is_path(text: str) -> bool:
    """Whether the system can be given it."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _shown_url(place: ProxyURL) -> str:
    if place.path is not None:
        from urllib.parse import quote  # noqa: PLC0415 - for those who need it

        return f"unix://{quote(place.path)}"
    host, port = place.host, place.endpoint.port
    return f"{place.scheme}://[{host}]:{port}" if ":" in host else f"{place.scheme}://{host}:{port}"


def _read_auth(auth: object, scheme: str) -> Auth | None:
    if scheme.startswith("socks"):
        from .auth._socks import read_login  # noqa: PLC0415 - for those who need it

        return read_login(auth, scheme)
    match auth:
        case None | Auth():
            return auth
        case (str() as user, str() as password):
            from .auth._password import Password  # noqa: PLC0415 - for those who need it

            return Password(user, password)
        case _ if callable(auth) and not isinstance(auth, type):
            from .auth._prompt import Prompt  # noqa: PLC0415 - for those who need it

            return Prompt(cast("Ask", auth))
        case _:
            raise Unusable(
                "auth is a pair of user and password, an auth.Auth, or a callable that gives one"
            )


def _check(proxy: Proxy) -> None:
    if proxy.ssl_context is not None and proxy.scheme != "https":
        raise InvalidProxy(
            "is reached without TLS, so its ssl_context would have no use",
            proxy_url=proxy.url,
            hint="https:// is for proxies that speak TLS; the target's context goes to start_tls",
        )
    if not proxy.http1 and proxy.http2 is None:
        raise InvalidProxy("is left without a version of HTTP", proxy_url=proxy.url)
    if proxy.proxy_protocol not in (None, 1, 2):
        raise InvalidProxy("proxy_protocol is 1 or 2, or None", proxy_url=proxy.url)
    if proxy.resolve not in ("proxy", "local"):
        raise InvalidProxy('resolve is "proxy" or "local"', proxy_url=proxy.url)
    if proxy.resolve == "local" and proxy.scheme in ("socks4a", "socks5h"):
        # Not passed over: the name would go where the caller does not want it.
        raise InvalidProxy(
            'looks names up itself, by its scheme, and resolve="local" says otherwise',
            proxy_url=proxy.url,
            hint="socks5:// and socks4:// are for names that are looked up here",
        )


def _check_http2(proxy: Proxy) -> None:
    if proxy.scheme.startswith("socks"):
        raise InvalidProxy("is asked in SOCKS, which has no HTTP/2", proxy_url=proxy.url)
    if proxy.scheme != "https" and proxy.http1:
        raise InvalidProxy(
            "cannot be asked whether it speaks HTTP/2 without TLS",
            proxy_url=proxy.url,
            hint="http1=False says that it does (RFC 9113, 3.3)",
        )
    if complaint := proxy.fields.complaint_in_http2():
        raise InvalidProxy(complaint, proxy_url=proxy.url)
    from .auth._prompt import need  # noqa: PLC0415 - loads all the schemes

    need("hpack", extra="http2", what="HTTP/2")
