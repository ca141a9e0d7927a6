"""The command line: `connect-tunnel relay`, `forward`, `proxy`, `explain` and `demo`.

Exit codes: 0, it worked; 1, the tunnel was refused or failed; 2, it was asked for wrongly;
130, interrupted. What went wrong is one line on standard error, and never holds a password.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final, NoReturn

import connect_tunnel
from connect_tunnel import InvalidProxy, InvalidTarget

from . import explain, forward, relay
from .complaint import complain

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_FAILURE: Final = 1
_USAGE: Final = 2  # what argparse says, too
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

_USERINFO: Final = re.compile(r"//.*@", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv`, or else the process's own command line, names.

    Returns:
        The exit code; but `--help`, `--version` and what argparse finds wrong raise SystemExit.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (InvalidTarget, InvalidProxy) as error:
        complain(error)
        return _USAGE
    except (OSError, ImportError) as error:
        complain(error)
        return _FAILURE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="connect-tunnel",
        description="Open TCP connections through HTTP proxies (HTTP CONNECT).",
    )
    version = f"%(prog)s {connect_tunnel.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    relay.declare(commands.add_parser("relay", help="join a tunnel to standard input and output"))
    forward.declare(commands.add_parser("forward", help="listen here for one target"))
    forward.declare_proxy(commands.add_parser("proxy", help="be a proxy here that adds a login"))
    explain.declare(commands.add_parser("explain", help="say which way a target goes, and why"))
    demo = commands.add_parser("demo", help="open tunnels on this machine, and show what happens")
    demo.description = "Open tunnels through an embedded proxy to an embedded TLS server."
    demo.set_defaults(run=_demo)
    return parser


class _Parser(argparse.ArgumentParser):
    """Argparse repeats what it did not understand, and that may be a URL with a password."""

    def error(self, message: str) -> NoReturn:
        super().error(_USERINFO.sub("//***@", message))


def _demo(_: argparse.Namespace) -> None:
    from . import demo  # noqa: PLC0415 - a relay should not wait for what it imports

    demo.run()
