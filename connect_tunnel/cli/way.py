"""The way there, as every command that opens tunnels is told of it."""

from __future__ import annotations

import math
import os
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Final

from connect_tunnel import InvalidProxy, Proxy
from connect_tunnel._proxy_url import read_url

if TYPE_CHECKING:
    import argparse

    from connect_tunnel._proxy import AuthLike

PROXY_VARIABLE: Final = "CONNECT_TUNNEL_PROXY"

IN_SIGHT: Final = f"""\
Every user of the machine can see a command line (ps). A URL that holds a password is better
kept in the variable {PROXY_VARIABLE}.
"""


def declare(parser: argparse.ArgumentParser, *, opening: str) -> None:
    """Tell the parser of a command how the way there is given.

    Args:
        parser: The command's.
        opening: What its timeout is for.
    """
    default = os.environ.get(PROXY_VARIABLE)
    parser.add_argument(
        "-x", "--proxy", metavar="URL", default=default, required=not default,
        help=f"the proxy, as in http://proxy.corp:3128 (default: {PROXY_VARIABLE})",
    )  # fmt: skip
    parser.add_argument(
        "--login",
        choices=("password", "negotiate", "ntlm"),
        default="password",
        help="how to log in at the proxy: user and password of the URL by Basic or Digest (the "
        "default), a Kerberos ticket, or user and password by NTLM; the last two want the "
        "extra connect_tunnel[negotiate]",
    )
    parser.add_argument(
        "--no-close-notify",
        action="store_true",
        help="take an end of TLS with the proxy for an end also where it could be a truncation, "
        "since the proxy leaves out its close_notify, as apache does",
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=30.0,
        help=f"for {opening} (default: %(default)g)",
    )  # fmt: skip


def seconds(text: str) -> float:
    """Read a number of seconds."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"not a time to wait: {text}")
    return value


def way(arguments: argparse.Namespace) -> Proxy:
    """The proxy, and how to log in there.

    Raises:
        InvalidProxy: There is no such proxy, or not enough to log in with.
    """
    proxy = Proxy(arguments.proxy, require_close_notify=not arguments.no_close_notify)
    if arguments.login == "password":
        return proxy
    auth = _login(arguments.login, *(read_url(arguments.proxy).userinfo or (None, None)))
    return Proxy(proxy.url, auth=auth, require_close_notify=proxy.require_close_notify)


def _login(kind: str, user: str | None, password: str | None) -> AuthLike:
    from connect_tunnel.auth import NTLM, Negotiate  # noqa: PLC0415 - for those who want one

    if kind == "negotiate":
        return Negotiate(user, password or None)
    if user is None or password is None:
        raise InvalidProxy("NTLM wants a user and a password, in the URL of the proxy")
    return NTLM(user, password)
