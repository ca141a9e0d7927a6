"""The URL of a proxy: read once, and never shown, as any part of it may hold a password."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NoReturn

from ._errors import InvalidTarget
from ._target import Target

# As Go and Chromium have it; curl would say 1080 for all.
PORTS: Final = {
    "http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080,
}  # fmt: skip

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<userinfo>[^/?#@\s]*)@)?"
    r"(?P<host>\[[^\]/?#@\s]*\]|[^:/?#@\[\]\s]*)"
    r"(?::(?P<port>[0-9]*))?"
    r"/?"
)
_NO_PATH = r"?#\s\x00-\x1f\x7f\ud800-\udfff"
# Of two slashes in front the first would be taken for that of an authority.
_UNIX_URL = re.compile(
    r"[Uu][Nn][Ii][Xx]:(?://(?:(?P<userinfo>[^/?#@\s]*)@)?)?"
    rf"(?P<path>/(?!%2[Ff])[^/{_NO_PATH}][^{_NO_PATH}]*)"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ZONED = re.compile(r"\[(?P<address>[0-9A-Fa-f:.]+)%(?P<zone>[A-Za-z0-9._~-]+)\]")
ODD_CREDENTIALS = "give odd passwords as auth=(user, password), or percent-encode them"
_KNOWN = f"{', '.join(PORTS)} and unix are known"


class Unusable(ValueError):
    """Why there is no such proxy, and what may help. Becomes an InvalidProxy."""

    hint: str | None = None


class ProxyURL(NamedTuple):
    """What the URL of a proxy says.

    Attributes:
        scheme: How to speak with it; "http" behind a Unix socket.
        userinfo: User and password, percent-decoded.
        host: The host; an IPv6 address without brackets, with its zone if it has one.
        endpoint: The same as something to ask a proxy for: without the zone.
        path: The Unix socket, if it is behind one.
    """

    scheme: str
    userinfo: tuple[str, str] | None
    host: str
    endpoint: Target
    path: str | None = None


def read_url(url: object) -> ProxyURL:
    """Read the URL of a proxy.

    Raises:
        Unusable: It is none. The message shows nothing of it.
    """
    if not isinstance(url, str):
        raise Unusable(f"the URL of a proxy is a str, not {type(url).__name__}")
    if url[:5].lower() == "unix:":
        return _read_unix(url)
    if "://" not in url:
        hint = "write 'http://host:port', or 'https://host:port' if the proxy speaks TLS"
        refuse("the URL of a proxy has no scheme", hint)
    found = _URL.fullmatch(url)
    if found is None:
        refuse(
            "the URL of a proxy cannot be read (it is not shown, as it may hold a password)",
            f"it is scheme://host:port, without a path; {ODD_CREDENTIALS}",
        )
    scheme = found["scheme"].lower()
    if scheme == "socks":
        refuse("socks:// does not say which version", "it is socks5h:// in most cases")
    if scheme not in PORTS:
        refuse("the URL of a proxy has an unknown scheme", _KNOWN)
    port = _read_port(found["port"], PORTS[scheme])
    host, endpoint = _read_host(found["host"], port)
    return ProxyURL(scheme, _read_userinfo(found["userinfo"]), host, endpoint)


def _read_unix(url: str) -> ProxyURL:
    found = _UNIX_URL.fullmatch(url)
    if found is None:
        refuse("the URL of a Unix socket cannot be read", "it is unix:///path/of/the/socket")
    path = _unquote(found["path"], "path")
    if "\0" in path:
        refuse("the path of a Unix socket may not have NUL in it")
    userinfo = _read_userinfo(found["userinfo"])
    return ProxyURL("http", userinfo, "localhost", Target("localhost", PORTS["http"]), path)


def _read_port(port: str | None, default: int) -> int:
    if port is None:
        return default
    if not port or len(port) > 5 or not 1 <= int(port) <= 0xFFFF:
        # Not shown: in "http://user:12345" the number may be the start of a password.
        refuse("the port of the proxy is not a number from 1 to 65535")
    return int(port)


def _read_host(host: str, port: int) -> tuple[str, Target]:
    zoned = _ZONED.fullmatch(host)
    bare = f"[{zoned['address']}]" if zoned else host
    try:
        endpoint = Target(bare, port)
    except InvalidTarget:
        # Not chained and not quoted: what looks like a host may be half of a password.
        endpoint = None
    if endpoint is None or (zoned and endpoint.kind != "ipv6"):
        refuse("the host of the proxy is not a name or an address", ODD_CREDENTIALS)
    return f"{endpoint.host}%{zoned['zone']}" if zoned else endpoint.host, endpoint


def _read_userinfo(userinfo: str | None) -> tuple[str, str] | None:
    if not userinfo:
        return None
    user, _, password = userinfo.partition(":")
    return _unquote(user, "userinfo"), _unquote(password, "userinfo")


def _unquote(text: str, what: str) -> str:
    from urllib.parse import unquote  # noqa: PLC0415 - only for those who need it

    hint = ODD_CREDENTIALS if what == "userinfo" else None
    if _BAD_ESCAPE.search(text):
        refuse(f"the {what} of the proxy has a '%' that escapes nothing", hint)
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        text = ""
    refuse(f"the {what} of the proxy is not percent-encoded UTF-8", hint)


def refuse(complaint: str, hint: str | None = None) -> NoReturn:
    """Raise what is wrong.

    Raises:
        Unusable: Always.
    """
    error = Unusable(complaint)
    error.hint = hint
    raise error
