"""aiohttp, with every connection of a session through a proxy: several pages at once.

$ python aiohttp_get.py https://www.example.com/ https://example.org/ --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from typing import TYPE_CHECKING

import aiohttp

from connect_tunnel.adapters.aiohttp import TunnelConnector, proxy_response

if TYPE_CHECKING:
    from collections.abc import Sequence


async def get_all(urls: Sequence[str], *, via: str, context: ssl.SSLContext) -> None:
    """Print what each URL answers, or what the proxy had to say about it."""

    async def show(url: str) -> None:
        try:
            async with session.get(url) as response:
                text = await response.text(errors="replace")
                print(f"{url} {response.status} {response.reason}: {text}")
        except aiohttp.ClientHttpProxyError as error:
            no = proxy_response(error)
            assert no is not None
            print(f"{url} the proxy says {no.status}: {no.body.decode('utf-8', 'replace')}")

    connector = TunnelConnector(via, ssl=context, limit_per_host=10)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
        for url in urls:
            tasks.create_task(show(url))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch several pages through a proxy at once.")
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    asyncio.run(get_all(options.urls, via=options.via, context=context))
    return 0


if __name__ == "__main__":
    sys.exit(main())
