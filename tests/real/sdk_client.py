"""A program: asks an SDK for its models, through a proxy; in threads, and on a loop.

    sdk_client.py openai|anthropic PROXY ORIGIN CAFILE FORBIDDEN

It runs where the SDK is installed, beside which this package is on the path.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
import sys
from typing import Any

import httpx2

from connect_tunnel import TunnelRefused
from connect_tunnel.adapters.httpx2 import AsyncTunnelTransport, TunnelTransport


def main(name: str, via: str, origin: str, cafile: str, forbidden: str) -> None:
    sdk = importlib.import_module(name)
    context = ssl.create_default_context(cafile=cafile)
    transport = TunnelTransport(via, verify=context)
    with httpx2.Client(transport=transport) as http_client:
        say(client(sdk, name, origin, http_client).models.list().data[0].id)
        try:
            client(sdk, name, forbidden, http_client).models.list()
        except sdk.APIConnectionError as error:
            tell(error)
    asyncio.run(on_loop(sdk, name, origin, AsyncTunnelTransport(via, verify=context)))


async def on_loop(sdk: Any, name: str, origin: str, transport: AsyncTunnelTransport) -> None:
    async with httpx2.AsyncClient(transport=transport) as http_client:
        listed = await client(sdk, f"Async{name}", origin, http_client).models.list()
        say(listed.data[0].id)


def client(sdk: Any, name: str, origin: str, http_client: Any) -> Any:
    kinds = {
        "openai": "OpenAI",
        "anthropic": "Anthropic",
        "Asyncopenai": "AsyncOpenAI",
        "Asyncanthropic": "AsyncAnthropic",
    }
    base_url = origin + ("/v1" if name.endswith("openai") else "")
    kind = getattr(sdk, kinds[name])
    return kind(api_key="none", base_url=base_url, http_client=http_client, max_retries=0)


def tell(error: Exception) -> None:
    """What the proxy said, which is behind what the SDK and httpx2 make of it."""
    refused = error.__cause__ and error.__cause__.__cause__
    assert isinstance(refused, TunnelRefused)
    say(f"{refused.response.status} {refused.response.headers['x-squid-error']}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
