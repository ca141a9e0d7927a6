"""HTTPS by hand, several at once, on asyncio or trio.

$ python https_get_async.py www.example.com:443 example.org:443 --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import functools
import ssl
import sys
from typing import TYPE_CHECKING

import anyio

from connect_tunnel import AsyncDialer, Target

if TYPE_CHECKING:
    from collections.abc import Sequence


async def get(dialer: AsyncDialer, target: Target, context: ssl.SSLContext) -> bytes:
    """The whole response, head and body, as it came."""
    request = f"GET / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"
    tunnel = await dialer.open_tunnel(target)
    async with await tunnel.start_tls(context) as tls:
        await tls.send(request.encode("ascii"))
        return b"".join([data async for data in tls])


async def get_all(targets: Sequence[Target], *, via: str, context: ssl.SSLContext) -> None:
    """Print the first line of what each target answers, in the order in which they do."""

    async def show(target: Target) -> None:
        response = await get(dialer, target, context)
        print(target, response.partition(b"\r\n")[0].decode("ascii", "replace"))

    async with AsyncDialer(via=via) as dialer, anyio.create_task_group() as tasks:
        for target in targets:
            tasks.start_soon(show, target)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Ask several servers through a proxy at once.")
    parser.add_argument("targets", type=Target.parse, nargs="+", metavar="HOST:PORT")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    work = functools.partial(get_all, options.targets, via=options.via, context=context)
    anyio.run(work, backend=options.backend)
    return 0


if __name__ == "__main__":
    sys.exit(main())
