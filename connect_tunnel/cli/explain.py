"""`connect-tunnel explain TARGET`: which way the environment's variables send a target, and why."""

from __future__ import annotations

import argparse
from typing import Final

from connect_tunnel import Target

from .complaint import complain

_DIALECTS: Final = ("connect_tunnel", "curl", "go", "requests")

_EPILOG: Final = """\
examples:

  connect-tunnel explain imap.example.com:993
  connect-tunnel explain '[2001:db8::1]:443' --dialect curl

Nothing is opened, and no name is looked up. What could not be read in a variable is said on
standard error, without its value where that may hold a password.

exit codes: 0, it is explained; 2, wrong usage
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Tell the parser of this command what it takes."""
    parser.description = "Say which way HTTPS_PROXY, NO_PROXY and their kin send a target, and why."
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("target", metavar="TARGET", help="host:port")
    parser.add_argument(
        "--scheme",
        metavar="SCHEME",
        help="the scheme of the URL that the target is of, as in http (default: https)",
    )
    parser.add_argument(
        "--dialect",
        choices=_DIALECTS,
        default="connect_tunnel",
        help="whose reading of the variables (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Decide, and say so."""
    from connect_tunnel.routing import Environment  # noqa: PLC0415 - a relay has no use for it

    environment = Environment(dialect=arguments.dialect)
    target = Target.parse(arguments.target)
    decision = environment.decide(target, scheme=arguments.scheme)
    print(f"{target} goes {decision}: {decision.rule}")
    for warning in environment.warnings:
        complain(warning)
