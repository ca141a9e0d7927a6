"""The PROXY protocol of HAProxy: what is said to a load balancer before anything else.

A proxy that stands behind one learns from it who its client is. We are the client, so the
addresses are those of our own connection. Towards the first hop only, and before TLS.

Source: the PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from connect_tunnel._steps import Address

Version: TypeAlias = Literal[1, 2]

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_PROXIED = 0x21  # version 2, and not a health check
_TCP = {4: 0x11, 6: 0x21}


def header(version: Version, ends: tuple[Address, Address] | None) -> bytes:
    """The header for a connection.

    Args:
        version: 1 is text, 2 is binary.
        ends: The addresses of our end and of the other; None on a Unix socket, which has none.
    """
    if ends is None:
        return _UNKNOWN[version]
    source, destination = ends
    from ipaddress import ip_address  # noqa: PLC0415 - for those who need it

    # A zone is this machine's own, and says nothing to another.
    near, far = (ip_address(host.partition("%")[0]) for host, _ in (source, destination))
    ports = source[1], destination[1]
    if version == 1:
        return f"PROXY TCP{near.version} {near} {far} {ports[0]} {ports[1]}\r\n".encode()
    body = near.packed + far.packed + b"".join(port.to_bytes(2, "big") for port in ports)
    kind = bytes((_PROXIED, _TCP[near.version]))
    return _SIGNATURE + kind + len(body).to_bytes(2, "big") + body


# Version 2 calls it LOCAL: haproxy takes a proxied connection of no family for an error.
_UNKNOWN = {1: b"PROXY UNKNOWN\r\n", 2: _SIGNATURE + b"\x20\x00\x00\x00"}
