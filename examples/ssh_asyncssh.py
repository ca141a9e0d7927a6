"""SSH with asyncssh, which takes the way there as `tunnel=`.

$ python ssh_asyncssh.py host.example.com:22 uname --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from typing import TYPE_CHECKING

import asyncssh

from connect_tunnel import Target
from connect_tunnel.adapters.asyncssh import Connector

if TYPE_CHECKING:
    from collections.abc import Sequence


async def run(options: argparse.Namespace) -> int:
    """Run a command, show what it says, and return its exit status."""
    async with asyncssh.connect(
        options.target.host,
        options.target.port,
        tunnel=Connector(options.via),
        username=options.user,
        client_keys=options.identity or (),
        known_hosts=options.known_hosts or (),
    ) as ssh:
        done = await ssh.run(options.command)
    sys.stdout.write(str(done.stdout))
    sys.stderr.write(str(done.stderr))
    return done.returncode or 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run a command on a host behind a proxy.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("command")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--user", default=getpass.getuser())
    parser.add_argument("--identity", metavar="FILE", help="a private key")
    parser.add_argument("--known-hosts", metavar="FILE", help="not the one in ~/.ssh")
    return asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
