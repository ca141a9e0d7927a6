"""WebSocket with websockets in a thread, which takes a socket as `sock`.

$ python websockets_sync.py wss://echo.example.com/ hello --via http://proxy.corp:3128

TLS is the tunnel's here, and so websockets is given a `ws://` URL. It reads in a thread of its own
while another writes. An `ssl.SSLSocket` lets both into OpenSSL at once, which then now and then
loses an answer (CPython's issue 143756); in the TLS of a tunnel they take turns.
"""

from __future__ import annotations

import argparse
import ssl
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.sync.client import connect

from connect_tunnel import open_tunnel

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Send a message, and wait for one.")
    parser.add_argument("url", help="wss://host:port/path, or ws://")
    parser.add_argument("message")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    url = urlsplit(str(options.url))
    secure = url.scheme == "wss"
    target = url.hostname or "", url.port or (443 if secure else 80)
    context = ssl.create_default_context(cafile=options.cafile) if secure else None
    tunnel = open_tunnel(target, via=options.via)
    if context:
        tunnel = tunnel.start_tls(context)
    with connect(url._replace(scheme="ws").geturl(), sock=tunnel.socket()) as websocket:
        websocket.send(options.message)
        print(websocket.recv())
    return 0


if __name__ == "__main__":
    sys.exit(main())
