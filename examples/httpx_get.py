"""HTTPS with httpx: our transport in its client, and the proxy's own words where it says no.

$ python httpx_get.py https://www.example.com/ --via http://proxy.corp:3128

For httpx2, and so for the SDKs of OpenAI and Anthropic, the same is in `adapters.httpx2`.
"""

from __future__ import annotations

import argparse
import ssl
import sys
from typing import TYPE_CHECKING

import httpx

from connect_tunnel import TunnelRefused
from connect_tunnel.adapters.httpx import TunnelTransport

if TYPE_CHECKING:
    from collections.abc import Sequence


def get(url: str, *, via: str, context: ssl.SSLContext) -> httpx.Response:
    with httpx.Client(transport=TunnelTransport(via, verify=context)) as client:
        return client.get(url)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch a page through a proxy.")
    parser.add_argument("url")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    try:
        response = get(options.url, via=options.via, context=context)
    except httpx.ProxyError as error:
        if not isinstance(error.__cause__, TunnelRefused):
            raise
        answer = error.__cause__.response
        print(f"The proxy said {answer.status}: {answer.body.decode('utf-8', 'replace')}")
        return 1
    granted = response.extensions["proxy_response"]
    print(f"The proxy said {granted.status}, and the server {response.status_code}:")
    print(response.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
