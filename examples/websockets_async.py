"""WebSocket with websockets on asyncio, which takes a socket as `sock`.

$ python websockets_async.py wss://echo.example.com/ hello --via http://proxy.corp:3128

`bridged()` gives a socket whatever the tunnel is made of, and is over when the block ends. On an
`http://` proxy alone, `tunnel.socket()` would hand over the very socket that was dialled.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.asyncio.client import connect

from connect_tunnel import open_tunnel_async

if TYPE_CHECKING:
    from collections.abc import Sequence


async def ask(url: str, message: str, *, via: str, cafile: str | None) -> str | bytes:
    """What the server answers to a message."""
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    context = ssl.create_default_context(cafile=cafile) if secure else None
    target = parts.hostname or "", parts.port or (443 if secure else 80)
    tunnel = await open_tunnel_async(target, via=via)
    async with tunnel.bridged() as sock, connect(url, sock=sock, ssl=context) as websocket:
        await websocket.send(message)
        return await websocket.recv()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Send a message, and wait for one.")
    parser.add_argument("url", help="wss://host:port/path, or ws://")
    parser.add_argument("message")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    asking = ask(options.url, options.message, via=options.via, cafile=options.cafile)
    print(asyncio.run(asking))
    return 0


if __name__ == "__main__":
    sys.exit(main())
