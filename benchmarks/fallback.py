"""What `loopback.c` does, where there is nothing to compile it with: slower, and else the same.

The client's CPU time is what is measured, so the ratios stay what they are.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Serve: TypeAlias = Callable[[StreamReader, StreamWriter], Awaitable[None]]

HOST = "127.0.0.1"
CHUNK = bytes(1 << 16)
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + (b"0123456789" * 5)[:49] * 2 + b"\n\n"


async def main() -> None:
    context: ssl.SSLContext | None = None
    if len(sys.argv) > 1:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1])

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await tunnel(reader, writer, context)
        except (OSError, EOFError):
            pass  # the client is done
        finally:
            writer.close()

    ports = [await listen(serve, None), await listen(serve, context) if context else 0]
    sys.stdout.write(f"{ports[0]} {ports[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def listen(serve: Serve, context: ssl.SSLContext | None) -> int:
    server = await asyncio.start_server(serve, HOST, 0, ssl=context, backlog=4096)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def tunnel(
    reader: StreamReader, writer: StreamWriter, context: ssl.SSLContext | None
) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    name = head.decode("ascii").split(" ")[1].partition(".")[0]
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    if name.startswith("tls-") and context is not None:
        await writer.start_tls(context)
    kind, _, size = name.removeprefix("tls-").partition("-")
    left = int(size or 0)
    if kind == "source":
        await reader.read(1)
        for _ in range(0, left, len(CHUNK)):
            writer.write(CHUNK)
            await writer.drain()
    while data := await reader.read(len(CHUNK)):
        left -= len(data)
        if kind == "page":
            writer.write(PAGE)
        if kind == "echo" or (kind == "sink" and left <= 0):
            writer.write(data if kind == "echo" else b".")
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(main())
