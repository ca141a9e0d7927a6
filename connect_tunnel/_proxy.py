"""A proxy: where it is, how it is reached, and what it is told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from ._errors import InvalidProxy, InvalidTarget
from ._fields import RequestFields
from ._frozen import Frozen
from ._target import Target
from .auth import Auth, Password

if TYPE_CHECKING:
    import ssl  # noqa: TID251 - the type of a context
    from collections.abc import Callable

    from ._fields import FieldsLike

ProxyLike: TypeAlias = "str | Proxy"

_PORTS = {"http": 80, "https": 443}  # as Go and Chromium have it; curl would say 1080
_LATER = frozenset({"socks", "socks4", "socks4a", "socks5", "socks5h", "unix"})
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<userinfo>[^/?#@\s]*)@)?"
    r"(?P<host>\[[^\]/?#@\s]*\]|[^:/?#@\[\]\s]*)"
    r"(?::(?P<port>[0-9]*))?"
    r"/?"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ZONED = re.compile(r"\[(?P<address>[0-9A-Fa-f:.]+)%(?P<zone>[A-Za-z0-9._~-]+)\]")
_ODD_CREDENTIALS = "give odd passwords as auth=(user, password), or percent-encode them"


class _Unusable(ValueError):
    """Why there is no such proxy, and what may help. Never leaves this module."""

    hint: str | None = None


class Proxy(Frozen):
    """An HTTP proxy: an immutable value, and the whole identity of a way through it.

    Args:
        url: "http://host:port" or "https://host:port", where the scheme says how to reach
            *the proxy*. Userinfo is taken as credentials, percent-decoded, and is in no
            attribute, repr or message afterwards.
        auth: A pair of user and password, or an `auth.Auth`.
        headers: Fields for CONNECT alone: a mapping, pairs, or a callable that gives one of
            these for a target. A value of None leaves a field out that would be sent.
        ssl_context: For TLS with the proxy. It is used as it is and never changed; without
            one, the process's default for proxies, which verifies the proxy's name.
        http1: Whether HTTP/1.1 may be spoken.
        http2: Whether HTTP/2 may be offered. This version does not speak it.
        require_close_notify: Whether an end of TLS without its close_notify counts as a
            truncation rather than an end (RFC 9112, 9.8).

    Attributes:
        scheme: "http" or "https".
        host: The host; an IPv6 address without brackets, with its zone if it has one.
        port: The port.
        url: The URL without userinfo.

    Raises:
        InvalidProxy: The URL or a field cannot be used. The message never shows the URL,
            which may hold a password in any of its parts.
    """

    __slots__ = (
        "auth", "endpoint", "fields", "fields_for", "host", "port",
        "require_close_notify", "scheme", "ssl_context", "url",
    )  # fmt: skip

    auth: Auth | None
    endpoint: Target
    fields: RequestFields
    fields_for: Callable[[Target], Any] | None
    host: str
    port: int
    require_close_notify: bool
    scheme: str
    ssl_context: ssl.SSLContext | None
    url: str

    def __init__(  # noqa: PLR0913 - all that a proxy can differ in
        self,
        url: str,
        *,
        auth: tuple[str, str] | Auth | None = None,
        headers: FieldsLike | None = None,
        ssl_context: ssl.SSLContext | None = None,
        http1: bool = True,
        http2: bool = False,
        require_close_notify: bool = True,
    ) -> None:
        read: _Read | InvalidProxy
        try:
            read = _read(url, auth, headers)
        except ValueError as error:
            read = InvalidProxy(*error.args[:1], hint=getattr(error, "hint", None))
        # From here on nothing that may hold a secret is a local of a frame that can fail.
        del url, auth, headers
        if isinstance(read, InvalidProxy):
            raise read
        scheme, host, endpoint, credentials, fields, fields_for = read
        self._set(
            scheme=scheme,
            host=host,
            port=endpoint.port,
            endpoint=endpoint,
            url=f"{scheme}://{_authority(host, endpoint.port)}",
            auth=credentials,
            fields=fields,
            fields_for=fields_for,
            ssl_context=ssl_context,
            require_close_notify=require_close_notify,
        )
        _check(self, http1=http1, http2=http2)

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
            except InvalidProxy as error:
                complaint = error.with_traceback(None)
            del proxy  # as above
            raise complaint
        raise InvalidProxy(
            f"a proxy is a URL or a Proxy, not {type(proxy).__name__}",
            hint="write 'http://host:port'",
        )

    def _facts(self) -> tuple[object, ...]:
        return (
            self.url, self.auth, self.fields, self.fields_for,
            self.ssl_context, self.require_close_notify,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def _shown(self) -> str:
        auth = "" if self.auth is None else f", auth={self.auth!r}"
        return f"Proxy({self.url!r}{auth})"


_Read: TypeAlias = (
    "tuple[str, str, Target, Auth | None, RequestFields, Callable[[Target], Any] | None]"
)


def _read(url: object, auth: object, headers: FieldsLike | None) -> _Read:
    scheme, userinfo, host, port = _split(url)
    host, endpoint = _read_host(host, port)
    if userinfo and auth is not None:
        raise _Unusable("the proxy's credentials are given twice, in the URL and as auth")
    match auth:
        case (str() as user, str() as password):
            auth = Password(user, password)
        case None | Auth():
            auth = _credentials(userinfo) if userinfo else auth
        case _:
            raise _Unusable("auth is a pair of user and password, or an auth.Auth")
    if auth is not None and (complaint := auth.complaint(scheme)):
        raise _Unusable(complaint)
    if callable(headers):
        return scheme, host, endpoint, auth, RequestFields(), headers
    fields = RequestFields(() if headers is None else headers)
    if auth is not None and fields.credentials is not None:
        raise _Unusable("the proxy's credentials are given twice, as auth and among the headers")
    return scheme, host, endpoint, auth, fields, None


def _check(proxy: Proxy, *, http1: bool, http2: bool) -> None:
    if proxy.ssl_context is not None and proxy.scheme != "https":
        raise InvalidProxy(
            "is reached without TLS, so its ssl_context would have no use",
            proxy_url=proxy.url,
            hint="https:// is for proxies that speak TLS; the target's context goes to start_tls",
        )
    if http2 or not http1:
        raise InvalidProxy("can be asked in HTTP/1.1 only, so far", proxy_url=proxy.url)


def _split(url: object) -> tuple[str, str | None, str, int]:
    if not isinstance(url, str):
        raise _Unusable(f"the URL of a proxy is a str, not {type(url).__name__}")
    if "://" not in url:
        hint = "write 'http://host:port', or 'https://host:port' if the proxy speaks TLS"
        _refuse("the URL of a proxy has no scheme", hint)
    found = _URL.fullmatch(url)
    if found is None:
        _refuse(
            "the URL of a proxy cannot be read (it is not shown, as it may hold a password)",
            f"it is scheme://host:port, without a path; {_ODD_CREDENTIALS}",
        )
    scheme = found["scheme"].lower()
    if scheme in _LATER:
        _refuse(f"the scheme {scheme}:// is not supported by this version", "http and https are")
    if scheme not in _PORTS:
        _refuse("the URL of a proxy has an unknown scheme", "http and https are known")
    port = found["port"]
    if port is None:
        return scheme, found["userinfo"], found["host"], _PORTS[scheme]
    if not port or len(port) > 5 or not 1 <= int(port) <= 0xFFFF:
        # Not shown: in "http://user:12345" the number may be the start of a password.
        _refuse("the port of the proxy is not a number from 1 to 65535")
    return scheme, found["userinfo"], found["host"], int(port)


def _read_host(host: str, port: int) -> tuple[str, Target]:
    zoned = _ZONED.fullmatch(host)
    bare = f"[{zoned['address']}]" if zoned else host
    try:
        endpoint = Target(bare, port)
    except InvalidTarget:
        # Not chained and not quoted: what looks like a host may be half of a password.
        endpoint = None
    if endpoint is None or (zoned and endpoint.kind != "ipv6"):
        _refuse("the host of the proxy is not a name or an address", _ODD_CREDENTIALS)
    return f"{endpoint.host}%{zoned['zone']}" if zoned else endpoint.host, endpoint


def _credentials(userinfo: str) -> Password:
    if _BAD_ESCAPE.search(userinfo):
        _refuse("the userinfo of the proxy has a '%' that escapes nothing", _ODD_CREDENTIALS)
    user, _, password = userinfo.partition(":")
    return Password(_unquote(user), _unquote(password))


def _unquote(text: str) -> str:
    from urllib.parse import unquote  # noqa: PLC0415 - only for those who need it

    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        text = ""
    _refuse("the userinfo of the proxy is not percent-encoded UTF-8", _ODD_CREDENTIALS)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refuse(complaint: str, hint: str | None = None) -> NoReturn:
    error = _Unusable(complaint)
    error.hint = hint
    raise error
