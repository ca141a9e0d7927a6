"""The two ways in: one that leads to one target, and one where clients ask for theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import anyio

from connect_tunnel._forward.answer import granted, refused
from connect_tunnel._forward.request import (
    END,
    MAX_HEAD,
    looks_like_http,
    malformed,
    read_request,
    too_large,
    too_late,
)
from connect_tunnel._headers import Headers
from connect_tunnel._net.sock import SocketLayer
from connect_tunnel._net.waits import READ, Ready

from .relay import farewell, reset, send_some
from .wait import until_ready

if TYPE_CHECKING:
    import socket

    from connect_tunnel._forward.clients import Clients
    from connect_tunnel._forward.place import Place
    from connect_tunnel._target import Target

    from .tunnel import AsyncTunnel

_HEAD_SECONDS: Final = 10.0  # for a request to come; haproxy's manual advises 5 to 10


class Entrance(Protocol):
    """What a listener says to its clients."""

    def proxy_url(self, place: Place) -> str:
        """What to tell clients of it."""
        ...

    async def admit(self, client: socket.socket) -> Target | None:
        """Where the tunnel is to lead; None if the client was sent away."""
        ...

    async def grant(self, client: socket.socket, tunnel: AsyncTunnel) -> None:
        """Say that there is a tunnel.

        Raises:
            OSError: The client has gone.
        """
        ...

    async def refuse(self, client: socket.socket, error: Exception) -> None:
        """Say that there is none, and close."""
        ...


class OneTarget:
    """Leads to one target. The client speaks with that, and hears nothing from us."""

    def __init__(self, target: Target) -> None:
        self._target: Final = target

    def proxy_url(self, place: Place) -> str:
        raise LookupError(f"{place} is no proxy, but leads to {self._target}")

    async def admit(self, client: socket.socket) -> Target | None:  # noqa: ARG002 - of the protocol
        return self._target

    async def grant(self, client: socket.socket, tunnel: AsyncTunnel) -> None:
        pass

    async def refuse(self, client: socket.socket, error: Exception) -> None:  # noqa: ARG002 - likewise
        reset(client)  # an end would be what an empty answer looks like

    def __str__(self) -> str:
        return str(self._target)


class AnyTarget:
    """Leads where a client asks to go, by CONNECT."""

    def __init__(self, clients: Clients) -> None:
        self._clients: Final = clients

    def proxy_url(self, place: Place) -> str:
        return self._clients.proxy_url(place)

    async def admit(self, client: socket.socket) -> Target | None:
        asked: Target | bytes | None = too_late()
        with anyio.move_on_after(_HEAD_SECONDS):
            try:
                asked = await self._read(client)
            except OSError:
                return None  # reset by the client, who hears nothing any more
        if isinstance(asked, bytes):
            await farewell(client, asked)
            return None
        return asked

    async def grant(self, client: socket.socket, tunnel: AsyncTunnel) -> None:
        # Of a direct way and of SOCKS there is nothing to pass on.
        answers = tunnel.route.responses
        headers = answers[-1].headers if answers else Headers()
        rest = memoryview(granted(headers))
        while rest:
            rest = await send_some(client, rest)

    async def refuse(self, client: socket.socket, error: Exception) -> None:
        await farewell(client, refused(error))

    async def _read(self, client: socket.socket) -> Target | bytes | None:
        """Read a head, and nothing beyond it, which is for the target."""
        layer = SocketLayer(client)
        head = bytearray()
        while len(head) <= MAX_HEAD:
            while (seen := layer.peek_now()) is None:
                await until_ready(Ready(client, READ))
            if not seen:
                return None  # it went away, or only looked whether we are here
            before = len(head)
            head += seen
            if not looks_like_http(head):
                return malformed()
            found = END.search(head, max(0, before - 2))
            layer.take_now((found.end() if found else len(head)) - before)
            if found:
                return read_request(bytes(head[: found.end()]), self._clients.credentials)
        return too_large()

    def __str__(self) -> str:
        return "wherever its clients ask to go"
