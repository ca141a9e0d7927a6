"""The only thing that a script learns of the world: the addresses of names, and of this machine."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from connect_tunnel._errors import InvalidTarget
from connect_tunnel._target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

# Where a route is looked for, without sending anything: addresses in the Internet that nobody has
# (RFC 5737, RFC 3849), and then those of private networks, of which a machine without a default
# route may be a part.
_SIGHTS: Final = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
    (socket.AF_INET, "10.0.0.1"),
    (socket.AF_INET, "172.16.0.1"),
    (socket.AF_INET, "192.168.0.1"),
    (socket.AF_INET6, "fd00::1"),
)


def addresses_of(host: str) -> list[str]:
    """The addresses of a name, in the order of the system's resolver; none if it has none.

    Args:
        host: The name; "" for this machine.
    """
    if not host:
        return _own_addresses()
    try:
        target = Target(host, 443)  # any port: what is wanted is one reading of names everywhere
    except InvalidTarget:
        return []
    if target.kind != "name":
        return [target.host]
    if target.host == "localhost" or target.host.endswith(".localhost"):
        return ["127.0.0.1", "::1"]  # nobody else's business (RFC 6761, 6.3)
    try:
        found = socket.getaddrinfo(target.host.encode("ascii"), None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return _each_once(str(address[0]) for *_, address in found)


def _own_addresses() -> list[str]:
    """From where this machine would speak: to the Internet, and in private networks."""
    return _each_once(own for sight in _SIGHTS if (own := _own_address(*sight)))


def _own_address(family: socket.AddressFamily, sight: str) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((sight, 53))  # of UDP: it chooses a route, and nothing more
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _each_once(addresses: Iterable[str]) -> list[str]:
    # A zone means something to this machine only, and nothing to a script.
    return list(dict.fromkeys(address.partition("%")[0] for address in addresses))
