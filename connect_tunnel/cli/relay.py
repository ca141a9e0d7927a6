"""`connect-tunnel relay HOST PORT`: a tunnel joined to standard input and output.

Made for OpenSSH's ProxyCommand, and for whatever else speaks to a program through pipes. Bytes
pass unchanged and unbuffered, and each direction ends by itself: the end of input is the
tunnel's `send_eof()`, and the end of the tunnel is the end of the program, which does not wait
for input that nobody would read any more.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from typing import Final

from connect_tunnel import Tunnel, TunnelError, open_tunnel

from .way import IN_SIGHT, way
from .way import declare as declare_way

_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2
_CHUNK: Final = 64 * 1024  # what one read of a tunnel gives at most

_EPILOG: Final = f"""\
in ~/.ssh/config:

  Host *.example.com
      ProxyCommand connect-tunnel relay %h %p -x http://proxy.corp:3128

{IN_SIGHT}
The end of input is passed on as the end of what is sent. Many proxies (squid, tinyproxy, envoy)
then end the other direction too: leave input open for as long as an answer may come.

exit codes: 0, the tunnel ended in order; 1, it was refused or it broke; 2, wrong usage;
130, interrupted
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Tell the parser of this command what it takes."""
    parser.description = "Join a tunnel to HOST:PORT to standard input and output."
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("host", metavar="HOST", help="the target, named as the proxy knows it")
    parser.add_argument("port", metavar="PORT", type=int)
    declare_way(parser, opening="the whole opening of the tunnel")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Open the tunnel, and copy until it ends."""
    _prepare_standard_descriptors()
    target = (arguments.host, arguments.port)
    with open_tunnel(target, via=way(arguments), timeout=arguments.timeout) as tunnel:
        relay(tunnel, _STDIN, _STDOUT)


def relay(tunnel: Tunnel, source: int, sink: int) -> None:
    """Copy from `source` to the tunnel and from the tunnel to `sink`, until the tunnel ends.

    Args:
        tunnel: An open tunnel; closing it is the caller's.
        source: A descriptor to read from, whose end is passed on by `send_eof()`.
        sink: A descriptor to write to.

    Raises:
        TunnelError: The tunnel broke, in either direction.
        BrokenPipeError: Nobody reads `sink` any more.
    """
    failures: list[TunnelError] = []
    # A daemon, because a read of standard input cannot be called off.
    threading.Thread(target=_send, args=(tunnel, source, failures), daemon=True).start()
    while data := tunnel.read(_CHUNK):
        _write_all(sink, data)
    if failures:
        raise failures[0]


def _send(tunnel: Tunnel, source: int, failures: list[TunnelError]) -> None:
    try:
        while data := _read(source):
            tunnel.write(data)
        tunnel.send_eof()
    except TunnelError as error:
        failures.append(error)


def _read(source: int) -> bytes:
    try:
        return os.read(source, _CHUNK)
    except OSError:  # a terminal that hung up, a socket that was reset: no more will come
        return b""


def _write_all(sink: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(sink, rest) :]


def _prepare_standard_descriptors() -> None:
    # What the caller closed would be the number of the tunnel's own socket.
    while (spare := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(spare)
    for descriptor in (_STDIN, _STDOUT):
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - there is none elsewhere

            msvcrt.setmode(descriptor, os.O_BINARY)
        else:
            os.set_blocking(descriptor, True)  # a terminal is shared, and others may set it so
