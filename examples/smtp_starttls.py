"""SMTP with STARTTLS: `smtplib`, too, asks for its socket in one place.

$ python smtp_starttls.py mail.example.com:587 --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import smtplib
import ssl
import sys
from typing import TYPE_CHECKING

from connect_tunnel import Target, open_tunnel

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


class TunnelledSMTP(smtplib.SMTP):
    """SMTP, through a proxy."""

    def __init__(self, target: Target, *, via: str) -> None:
        self._via = via
        super().__init__(target.host, target.port, timeout=30)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = open_tunnel((host, port), via=self._via, timeout=timeout).socket()
        sock.settimeout(timeout)
        return sock


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Say hello to a mail server, in private.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    parser.add_argument("--from", dest="sender", help="send a message from this address")
    parser.add_argument("--to", dest="receiver", help="to this one")
    options = parser.parse_args(argv)
    context = ssl.create_default_context(cafile=options.cafile)
    with TunnelledSMTP(options.target, via=options.via) as smtp:
        smtp.starttls(context=context)
        code, reply = smtp.ehlo()
        print(code, reply.decode("utf-8", "replace").splitlines()[0])
        if options.sender and options.receiver:
            text = "Subject: hello\r\n\r\nThis came through a tunnel.\r\n"
            smtp.sendmail(options.sender, options.receiver, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
