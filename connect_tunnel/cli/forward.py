"""`connect-tunnel forward LISTEN TARGET` and `connect-tunnel proxy LISTEN`.

Both print one line once they listen, with the address to give to clients, and then nothing: what
goes wrong is told on standard error. They end by SIGINT or SIGTERM, and let the connections that
are open come to their ends; a second signal ends them at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from connect_tunnel import TunnelError

from .complaint import complain
from .way import IN_SIGHT, seconds, way
from .way import declare as declare_way

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from connect_tunnel import Forwarder
    from connect_tunnel._forward.clients import ClientAuth

AUTH_VARIABLE: Final = "CONNECT_TUNNEL_LISTEN_AUTH"

_DAY: Final = 86_400.0
_LISTEN: Final = "127.0.0.1:PORT, [::1]:PORT or unix:/path; port 0 is any that is free"

_FORWARD_EPILOG: Final = """\
for example:

  $ connect-tunnel forward 127.0.0.1:5432 db.example.com:5432 -x http://proxy.corp:3128 &
  $ psql "host=db.example.com hostaddr=127.0.0.1 sslmode=verify-full"

Every user of the machine can connect to a port of 127.0.0.1; to unix:/path only you can.
"""
_PROXY_EPILOG: Final = f"""\
for example:

  $ connect-tunnel proxy 127.0.0.1:3128 -x http://proxy.corp:8080
  http://tunnel:8rJfG0dPyXt5mWqVgX7Y3A@127.0.0.1:3128
  $ HTTPS_PROXY=http://tunnel:8rJfG0dPyXt5mWqVgX7Y3A@127.0.0.1:3128 curl https://example.com

Clients must know the password in that line, which is another one each time. For one of your own
put USER:PASSWORD into the variable {AUTH_VARIABLE}; with --no-auth every user
of the machine can go where your credentials lead. Only tunnels (CONNECT) are opened: https://
is, and http:// is not.
"""
_EXIT_CODES: Final = f"""
{IN_SIGHT}
exit codes: 0, ended by SIGTERM; 1, it cannot listen there; 2, wrong usage; 130, interrupted
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Tell the parser of `forward` what it takes."""
    parser.description = "Listen at LISTEN, and lead whoever connects to TARGET."
    parser.epilog = _FORWARD_EPILOG + _EXIT_CODES
    parser.add_argument("listen", metavar="LISTEN", help=_LISTEN)
    parser.add_argument("target", metavar="TARGET", help="HOST:PORT, as the proxy knows it")
    _declare_common(parser)
    parser.set_defaults(run=run_forward, refuse=parser.error)


def declare_proxy(parser: argparse.ArgumentParser) -> None:
    """Tell the parser of `proxy` what it takes."""
    parser.description = "Be an HTTP proxy at LISTEN, which asks another one for its tunnels."
    parser.epilog = _PROXY_EPILOG + _EXIT_CODES
    parser.add_argument("listen", metavar="LISTEN", help=_LISTEN)
    _declare_common(parser)
    parser.add_argument("--no-auth", action="store_true", help="let all users of the machine in")
    parser.set_defaults(run=run_proxy, refuse=parser.error)


def _declare_common(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    declare_way(parser, opening="the opening of each tunnel")
    parser.add_argument(
        "--drain", metavar="SECONDS", type=seconds, default=5.0,
        help="for what is open when it ends (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-remote", action="store_true", help="LISTEN may be reached by other machines"
    )


def run_forward(arguments: argparse.Namespace) -> None:
    """Forward until a signal comes."""
    from connect_tunnel import forward  # noqa: PLC0415 - no other command waits for its imports

    with _usage_errors(arguments):
        forwarder = forward(
            arguments.listen, arguments.target, via=way(arguments), **_common(arguments)
        )
    _serve(forwarder, lambda: forwarder.address)


def run_proxy(arguments: argparse.Namespace) -> None:
    """Be a proxy until a signal comes."""
    from connect_tunnel import serve_proxy  # noqa: PLC0415 - likewise

    with _usage_errors(arguments):
        auth = _clients(arguments)
        forwarder = serve_proxy(
            arguments.listen, via=way(arguments), auth=auth, **_common(arguments)
        )
    # A password is told to who could not know it, and to nobody else.
    told = auth == "random"
    _serve(forwarder, lambda: forwarder.proxy_url if told else forwarder.address)


def _clients(arguments: argparse.Namespace) -> ClientAuth:
    """What clients must say."""
    if arguments.no_auth:
        return None
    said = os.environ.get(AUTH_VARIABLE)
    if not said:
        return "random"
    user, colon, password = said.partition(":")
    if not colon:
        raise ValueError(f"{AUTH_VARIABLE} is USER:PASSWORD")
    return user, password


def _common(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "timeout": arguments.timeout,
        "drain": arguments.drain,
        "allow_remote": arguments.allow_remote,
        "on_error": _complain,
    }


@contextlib.contextmanager
def _usage_errors(arguments: argparse.Namespace) -> Generator[None]:
    try:
        yield
    except ValueError as error:
        if isinstance(error, TunnelError):
            raise
        arguments.refuse(str(error))


def _complain(error: Exception) -> None:
    # It says it all if it is one of ours; of others nobody knows what they say.
    complain(error if isinstance(error, OSError | ImportError) else type(error).__name__)


def _serve(forwarder: Forwarder, line: Callable[[], str]) -> None:
    """Listen until a signal comes, and drain until a second one does.

    Raises:
        KeyboardInterrupt: It was SIGINT.
    """
    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, hear) for number in signals]
    try:
        with contextlib.suppress(KeyboardInterrupt), forwarder:
            _wait(line)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
    if heard[0] == signal.SIGINT:
        raise KeyboardInterrupt


def _wait(line: Callable[[], str]) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        print(line(), flush=True)
        while True:
            time.sleep(_DAY)
