"""SMTP with STARTTLS: `smtplib.SMTP`, with `via` besides.

$ python smtp_starttls.py mail.example.com:587 --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import ssl
import sys
from typing import TYPE_CHECKING

from connect_tunnel import Target
from connect_tunnel.adapters.mail import SMTP

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Say hello to a mail server, in private.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    parser.add_argument("--from", dest="sender", help="send a message from this address")
    parser.add_argument("--to", dest="receiver", help="to this one")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    host, port = options.target.host, options.target.port
    with SMTP(host, port, timeout=30, via=options.via) as smtp:
        smtp.starttls(context=context)
        code, reply = smtp.ehlo()
        print(code, reply.decode("utf-8", "replace").splitlines()[0])
        if options.sender and options.receiver:
            text = "Subject: hello\r\n\r\nThis came through a tunnel.\r\n"
            smtp.sendmail(options.sender, options.receiver, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
