"""The proxies that macOS and Windows have in their settings.

They are read through urllib, but for the exceptions: what urllib does with those looks up every
target on this machine, in the Pythons that we support. Here a name is compared as it is.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from connect_tunnel._proxy import Proxy

from ._no_proxy import show
from ._variables import Setting, read_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._no_proxy import Host

_Read: TypeAlias = "tuple[dict[str, str], list[str]]"

_WINDOWS_KEY: Final = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
_SIMPLE: Final = "<local>"  # Windows' own word for names without a dot
_SHORT_NETWORK = re.compile(
    r"(?P<octets>[0-9]{1,3}(?:\.[0-9]{1,3}){0,3})(?:/(?P<bits>[0-9]{1,2}))?"
)


class System(NamedTuple):
    """What the settings say.

    Attributes:
        proxies: What became of the proxy for each scheme of URLs.
        exceptions: What goes direct: globs, networks, and "<local>".
        complaints: What could not be read, and why.
    """

    proxies: dict[str, Setting]
    exceptions: list[str]
    complaints: list[str]

    def setting(self, schemes: tuple[str, ...], host: Host) -> Setting:
        """What the settings say of a host, for the first of the schemes that they know."""
        for exception in self.exceptions:
            if _covers(exception.lower(), host):
                return Setting(f"the system's settings exempt '{show(exception)}'")
        found = (self.proxies[scheme] for scheme in schemes if scheme in self.proxies)
        return next(found, Setting("the system's settings name none"))


def read_system() -> System:
    """What the settings say now; nothing, on other systems."""
    reader = _READERS.get(sys.platform)
    urls, exceptions = reader() if reader else ({}, [])
    proxies: dict[str, Setting] = {}
    complaints: list[str] = []
    for scheme, url in urls.items():
        match read_url(url):
            case Proxy() as proxy:
                proxies[scheme] = Setting("the system's settings name the proxy", proxy)
            case complaint:
                proxies[scheme] = Setting("the system's settings cannot be read")
                complaints.append(f"the system's proxy for {show(scheme)}: {complaint}")
    return System(proxies, exceptions, complaints)


def _covers(exception: str, host: Host) -> bool:
    from fnmatch import fnmatchcase  # noqa: PLC0415 - for those who ask for the settings

    if exception == _SIMPLE:
        return host.kind == "name" and "." not in host.text
    if "/" in exception:
        return host.kind != "name" and _is_in(host.text, exception)
    return fnmatchcase(host.text, exception)


def _is_in(address: str, network: str) -> bool:
    from ipaddress import ip_address, ip_network  # noqa: PLC0415 - likewise

    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False


def _read_macos() -> _Read:
    request: Any = import_module("urllib.request")
    settings: dict[str, Any] = request._get_proxy_settings()
    exceptions = [_in_full(given) for given in settings.get("exceptions", ()) if given]
    if settings.get("exclude_simple"):
        exceptions.append(_SIMPLE)
    return request.getproxies_macosx_sysconf(), exceptions


def _in_full(exception: str) -> str:
    """A network as macOS abbreviates it ("169.254/16", "10.1"), written out."""
    found = _SHORT_NETWORK.fullmatch(exception)
    if found is None:
        return exception
    octets = found["octets"].split(".")
    bits = found["bits"] or 8 * len(octets)
    return f"{'.'.join([*octets, '0', '0', '0'][:4])}/{bits}"


def _read_windows() -> _Read:
    request: Any = import_module("urllib.request")
    winreg: Any = import_module("winreg")
    try:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, _WINDOWS_KEY) as key:
            given = str(winreg.QueryValueEx(key, "ProxyOverride")[0])
    except OSError:  # there is none
        given = ""
    exceptions = [text for part in given.split(";") if (text := part.strip())]
    return request.getproxies_registry(), exceptions


_READERS: Final[dict[str, Callable[[], _Read]]] = {
    "darwin": _read_macos,
    "win32": _read_windows,
}
