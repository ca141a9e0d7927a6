"""The environment variables about proxies, and what each of them comes to.

What they hold may be a password, and is seen by nobody: a setting has a `Proxy` or words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from connect_tunnel._errors import InvalidProxy
from connect_tunnel._proxy import Proxy

from ._no_proxy import NoProxy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._dialect import Dialect

# A scheme is as RFC 3986, 3.1 has it: npm_config_proxy is about something else.
_VARIABLE: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)_proxy")
_WITH_SCHEME: Final = re.compile(r"(?i:[a-z][a-z0-9+.-]*://|unix:/)")
_SOME_SOCKS: Final = re.compile(r"\A(?i:socks)://")
_WATCHED: Final = frozenset({"http", "https", "all", "ws", "wss"})
_CGI: Final = "REQUEST_METHOD"  # RFC 3875, 4.1.12


class Setting(NamedTuple):
    """What became of a variable, in words for a `Decision`, and the proxy that it names."""

    words: str
    proxy: Proxy | None = None


class Reading(NamedTuple):
    """What the variables say.

    Attributes:
        proxies: The setting for each scheme ("all" for ALL_PROXY) that has a variable.
        no_proxy: What goes direct.
        notes: What was passed over on purpose, and why.
        complaints: What could not be read, and why. Neither holds a value.
    """

    proxies: dict[str, Setting]
    no_proxy: NoProxy
    notes: list[str]
    complaints: list[str]


def read_variables(environ: Mapping[str, str], dialect: Dialect) -> Reading:
    """Read all of them. Nothing that they hold makes this fail."""
    reading = Reading({}, _read_no_proxy(environ, dialect), [], [])
    schemes = {found["scheme"] for name in environ if (found := _VARIABLE.fullmatch(name.lower()))}
    for scheme in sorted(schemes - {"no"}):
        _read_scheme(scheme, environ, dialect, reading)
    reading.complaints.extend(reading.no_proxy.complaints)
    return reading


def read_url(value: str) -> Proxy | InvalidProxy:
    """The proxy that a variable names, or what is wrong with it."""
    if not _WITH_SCHEME.match(value):
        value = f"http://{value}"
    # GNOME exports socks://, and Chromium reads SOCKS5, with names for the proxy to look up.
    value = _SOME_SOCKS.sub("socks5h://", value)
    try:
        return Proxy.parse(value)
    except InvalidProxy as error:
        return error.with_traceback(None)


def _read_scheme(
    scheme: str, environ: Mapping[str, str], dialect: Dialect, reading: Reading
) -> None:
    for name in dialect.spellings(f"{scheme}_proxy"):
        value = environ.get(name)
        if value is None:
            continue
        if name == "HTTP_PROXY" and _CGI in environ:
            reading.notes.append(
                f"{name} is not read, as {_CGI} is set: in CGI it may be a field of the request"
            )
            reading.proxies[scheme] = Setting(f"{name} is not read")
            continue
        value = value.strip()
        if not value:
            reading.proxies.setdefault(scheme, Setting(f"{name} is empty"))
            if dialect.empty_hides:
                return
            continue
        match read_url(value):
            case Proxy() as proxy:
                reading.proxies[scheme] = Setting(f"{name} names the proxy", proxy)
                return
            case complaint:
                reading.proxies[scheme] = Setting(f"{name} cannot be read")
                if scheme in _WATCHED:  # of others it is not known what they are for
                    reading.complaints.append(f"{name}: {complaint}")


def _read_no_proxy(environ: Mapping[str, str], dialect: Dialect) -> NoProxy:
    for name in dialect.spellings("no_proxy"):
        value = environ.get(name)
        if value is not None and (value.strip() or dialect.empty_hides):
            return NoProxy(value, name, dialect)
    return NoProxy("", "NO_PROXY", dialect)
