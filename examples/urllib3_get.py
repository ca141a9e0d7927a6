"""urllib3 through a proxy: a large file, as a stream, with its own idea of what to try again.

$ python urllib3_get.py https://www.example.com/big.iso --via http://proxy.corp:3128 > big.iso
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import urllib3

from connect_tunnel.adapters.urllib3 import TunnelPoolManager

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch a file through a proxy.")
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    retries = urllib3.Retry(total=5, backoff_factor=0.5)
    timeout = urllib3.Timeout(connect=10, read=60)
    with (
        TunnelPoolManager(options.via, ca_certs=options.cafile, timeout=timeout) as pool,
        pool.request("GET", options.url, retries=retries, preload_content=False) as response,
    ):
        for data in response.stream(65536):
            sys.stdout.buffer.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
