"""IMAP over TLS: `imaplib.IMAP4_SSL`, with `via` besides.

$ IMAP_PASSWORD=... python imap.py imap.example.com:993 alice --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
from typing import TYPE_CHECKING

from connect_tunnel import Target
from connect_tunnel.adapters.mail import IMAP4_SSL

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Count the messages in an inbox.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("user", help="whose password is in $IMAP_PASSWORD")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    host, port = options.target.host, options.target.port
    with IMAP4_SSL(host, port, ssl_context=context, timeout=30, via=options.via) as imap:
        imap.login(options.user, os.environ["IMAP_PASSWORD"])
        _, [count] = imap.select("INBOX", readonly=True)
        print(f"{int(count or 0)} messages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
