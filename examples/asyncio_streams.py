"""asyncio streams: `asyncio.open_connection`, with `via` besides.

$ python asyncio_streams.py www.example.com:443 --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from typing import TYPE_CHECKING

from connect_tunnel import Target
from connect_tunnel.adapters.asyncio import open_connection

if TYPE_CHECKING:
    from collections.abc import Sequence


async def first_line(target: Target, *, via: str, context: ssl.SSLContext) -> str:
    """What the server says first to a request for its front page."""
    reader, writer = await open_connection(target.host, target.port, via=via, ssl=context)
    writer.write(f"HEAD / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n".encode("ascii"))
    await writer.drain()
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.decode("utf-8", "replace").rstrip()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Ask a web server through a proxy.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    print(asyncio.run(first_line(options.target, via=options.via, context=context)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
