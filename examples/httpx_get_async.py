"""HTTPS with httpx, several at once, on asyncio or trio, each with what the proxy said of it.

$ python httpx_get_async.py https://www.example.com/ https://example.org/ --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import functools
import ssl
import sys
from typing import TYPE_CHECKING

import anyio
import httpx

from connect_tunnel import TunnelRefused
from connect_tunnel.adapters.httpx import AsyncTunnelTransport

if TYPE_CHECKING:
    from collections.abc import Sequence


async def get_all(urls: Sequence[str], *, via: str, context: ssl.SSLContext) -> None:
    """Print what each server answers, or the proxy in its place."""

    async def show(url: str) -> None:
        try:
            response = await client.get(url)
        except httpx.ProxyError as error:
            if not isinstance(error.__cause__, TunnelRefused):
                raise
            answer = error.__cause__.response
            print(url, "refused:", answer.status, answer.body.decode("utf-8", "replace"))
        else:
            print(url, response.status_code, response.http_version)

    transport = AsyncTunnelTransport(via, verify=context)
    async with httpx.AsyncClient(transport=transport) as client, anyio.create_task_group() as tasks:
        for url in urls:
            tasks.start_soon(show, url)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch pages through a proxy, at once.")
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    work = functools.partial(get_all, options.urls, via=options.via, context=context)
    anyio.run(work, backend=options.backend)
    return 0


if __name__ == "__main__":
    sys.exit(main())
