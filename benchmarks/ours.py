"""connect_tunnel, as its README has it: with a deadline, a strict parser, and no byte lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_tunnel import Proxy, open_tunnel, open_tunnel_async

from .place import HOST, PORT

if TYPE_CHECKING:
    from .place import AsyncLink, AsyncOpen, Link, Open, Place


def proxy(place: Place) -> Proxy:
    scheme = "https" if place.hop else "http"
    return Proxy(f"{scheme}://{HOST}:{place.port}", ssl_context=place.hop)


def tunnels(place: Place) -> Open:
    """`open_tunnel`, read and written as a Tunnel."""
    via = proxy(place)

    def open_one(target: str) -> Link:
        tunnel = open_tunnel((target, PORT), via=via)
        if place.inner:
            tunnel = tunnel.start_tls(place.inner)
        return tunnel.write, tunnel.read, tunnel.close

    return open_one


def their_sockets(place: Place) -> Open:
    """`open_tunnel().socket()`; plain only."""
    via = proxy(place)

    def open_one(target: str) -> Link:
        sock = open_tunnel((target, PORT), via=via).socket()
        return sock.sendall, sock.recv, sock.close

    return open_one


def async_tunnels(place: Place) -> AsyncOpen:
    """`open_tunnel_async`, on asyncio and trio."""
    via = proxy(place)

    async def open_one(target: str) -> AsyncLink:
        tunnel = await open_tunnel_async((target, PORT), via=via)
        if place.inner:
            tunnel = await tunnel.start_tls(place.inner)
        return tunnel.send, tunnel.receive, tunnel.aclose

    return open_one
