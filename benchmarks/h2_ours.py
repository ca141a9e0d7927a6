"""connect_tunnel over HTTP/2: all tunnels that are open at a time share one connection.

It is closed with the last of them, so that the next one pays for a connection of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_tunnel import AsyncDialer, Dialer, Proxy

from .place import HOST, PORT

if TYPE_CHECKING:
    from .place import AsyncLink, AsyncOpen, Link, Open, Place


def proxy(place: Place) -> Proxy:
    assert place.hop is not None
    place.hop.set_alpn_protocols(["h2"])
    url = f"https://{HOST}:{place.port}"
    return Proxy(url, ssl_context=place.hop, http1=False, http2=True)


def shared(place: Place) -> Open:
    """`Dialer.open_tunnel`."""
    via = proxy(place)
    dialers: list[Dialer] = []  # the same one for each tunnel that is open

    def open_one(target: str) -> Link:
        dialers.append(dialers[0] if dialers else Dialer(via))
        tunnel = dialers[0].open_tunnel((target, PORT))

        def close() -> None:
            tunnel.close()
            dialer = dialers.pop()
            if not dialers:
                dialer.close()

        return tunnel.write, tunnel.read, close

    return open_one


def shared_async(place: Place) -> AsyncOpen:
    """`AsyncDialer.open_tunnel`."""
    via = proxy(place)
    dialers: list[AsyncDialer] = []  # likewise

    async def open_one(target: str) -> AsyncLink:
        dialers.append(dialers[0] if dialers else AsyncDialer(via))
        tunnel = await dialers[0].open_tunnel((target, PORT))

        async def close() -> None:
            await tunnel.aclose()
            dialer = dialers.pop()
            if not dialers:
                await dialer.aclose()

        return tunnel.send, tunnel.receive, close

    return open_one
