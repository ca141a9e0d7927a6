"""A program: small origins on consecutive ports, in the order of `ring.Port`.

    origins.py FIRST_PORT CERTIFICATE KEY MAILDIR BANNER

It runs in a process of its own, so that a test that blocks does not block its own origin.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable

    Handler = Callable[[StreamReader, StreamWriter], Awaitable[None]]

CHUNK = 1 << 18
TLS_ECHO = 3  # its place in the row


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


async def greet(banner: bytes, reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(banner)
    await echo(reader, writer)


async def eof(reader: StreamReader, writer: StreamWriter) -> None:
    data = await reader.read()
    writer.write(b"eof after %d bytes\n" % len(data))


async def main(first: int, cert: str, key: str, maildir: str, banner: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    loop = asyncio.get_running_loop()
    greeter = functools.partial(greet, banner.encode())
    handlers: list[Handler] = [echo, greeter, eof, echo]
    hosts = await bindable(["127.0.0.1", "::1"])
    for offset, handler in enumerate(handlers):
        serve = functools.partial(quietly, handler)
        tls = context if offset == TLS_ECHO else None
        await asyncio.start_server(serve, hosts, first + offset, ssl=tls)
    await loop.create_server(mail_server(context, maildir), hosts, first + len(handlers))
    await asyncio.Event().wait()


async def quietly(handler: Handler, reader: StreamReader, writer: StreamWriter) -> None:
    """A connection that breaks is the tests' matter, not ours."""
    with contextlib.suppress(OSError):
        await handler(reader, writer)
        writer.close()


async def bindable(hosts: list[str]) -> list[str]:
    """Those of the hosts that this machine has: not every one has IPv6."""
    found: list[str] = []
    for host in hosts:
        with contextlib.suppress(OSError):
            (await asyncio.start_server(echo, host, 0)).close()
            found.append(host)
    return found


def mail_server(context: ssl.SSLContext, maildir: str) -> Callable[[], SMTP]:
    return lambda: SMTP(
        Mailbox(Path(maildir)), hostname="ring", tls_context=context, require_starttls=True
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
