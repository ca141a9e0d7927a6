"""HTTPS by hand: a GET inside TLS inside a tunnel.

$ python https_get.py www.example.com:443 --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import ssl
import sys
from typing import TYPE_CHECKING

from connect_tunnel import Target, open_tunnel

if TYPE_CHECKING:
    from collections.abc import Sequence


def get(target: Target, path: str, *, via: str, context: ssl.SSLContext) -> bytes:
    """The whole response, head and body, as it came."""
    request = f"GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"
    with open_tunnel(target, via=via).start_tls(context) as tls:
        tls.write(request.encode("ascii"))
        return b"".join(iter(lambda: tls.read(65536), b""))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch a page through a proxy.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--path", default="/")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    response = get(options.target, options.path, via=options.via, context=context)
    sys.stdout.write(response.decode("utf-8", "replace"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
