"""IMAP: `imaplib` asks for its socket in one place, and there it gets a tunnel's.

$ IMAP_PASSWORD=... python imap.py imap.example.com:993 alice --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import imaplib
import os
import ssl
import sys
from typing import TYPE_CHECKING

from connect_tunnel import Target, open_tunnel

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


class TunnelledIMAP4(imaplib.IMAP4_SSL):
    """IMAP over TLS, through a proxy."""

    def __init__(self, target: Target, *, via: str, context: ssl.SSLContext) -> None:
        self._via, self._context = via, context
        super().__init__(target.host, target.port, ssl_context=context, timeout=30)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        sock = open_tunnel((self.host, self.port), via=self._via, timeout=timeout).socket()
        sock.settimeout(timeout)
        return self._context.wrap_socket(sock, server_hostname=self.host)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Count the messages in an inbox.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("user", help="whose password is in $IMAP_PASSWORD")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    with TunnelledIMAP4(options.target, via=options.via, context=context) as imap:
        imap.login(options.user, os.environ["IMAP_PASSWORD"])
        _, [count] = imap.select("INBOX", readonly=True)
        print(f"{int(count or 0)} messages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
