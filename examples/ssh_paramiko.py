"""SSH with paramiko, which takes a socket as `sock=`.

$ python ssh_paramiko.py host.example.com:22 uname --via http://proxy.corp:3128

Keys come from the agent and from ~/.ssh, or from `--identity`; the server's own must be known.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import TYPE_CHECKING

import paramiko

from connect_tunnel import Target, open_tunnel

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run a command on a host behind a proxy.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("command")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--user", default=getpass.getuser())
    parser.add_argument("--identity", metavar="FILE", help="a private key")
    parser.add_argument("--known-hosts", metavar="FILE", help="not the one in ~/.ssh")
    options = parser.parse_args(argv)
    with paramiko.SSHClient() as ssh:
        ssh.load_system_host_keys(options.known_hosts)
        ssh.connect(
            options.target.host,
            options.target.port,
            username=options.user,
            key_filename=options.identity,
            sock=open_tunnel(options.target, via=options.via).socket(),
        )
        _, output, errors = ssh.exec_command(options.command)
        sys.stdout.write(output.read().decode())
        sys.stderr.write(errors.read().decode())
        return output.channel.recv_exit_status()


if __name__ == "__main__":
    sys.exit(main())
