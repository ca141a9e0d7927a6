"""requests, with every connection of a session through a proxy.

$ python requests_get.py https://www.example.com/ --via http://proxy.corp:3128

The adapter is mounted for both schemes, as a redirect may lead from one to the other.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import requests

from connect_tunnel.adapters.requests import TunnelAdapter, proxy_response

if TYPE_CHECKING:
    from collections.abc import Sequence


def get(url: str, *, via: str, verify: str | bool) -> int:
    """Print what a URL answers, or what the proxy had to say about it."""
    with requests.Session() as session:
        adapter = TunnelAdapter(via, max_retries=2)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        try:
            response = session.get(url, timeout=10, verify=verify)
        except requests.exceptions.ProxyError as error:
            no = proxy_response(error)
            if no is None:
                raise
            print(f"The proxy says {no.status}: {no.body.decode('utf-8', 'replace')}")
            return 1
        print(f"{response.status_code} {response.reason}: {response.text}")
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch a page through a proxy.")
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not requests' own")
    options = parser.parse_args(argv)
    return get(options.url, via=options.via, verify=options.cafile or True)


if __name__ == "__main__":
    sys.exit(main())
