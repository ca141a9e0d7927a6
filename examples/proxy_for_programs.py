"""Run a program that knows of proxies no more than HTTPS_PROXY, behind one that wants a login.

$ python proxy_for_programs.py --via http://alice:s3cret@proxy.corp:3128 curl https://example.com/

The program is told of a proxy on this machine, which is there for as long as it runs, lets in
who knows a password made up for it, and answers what the real one demands.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from connect_tunnel import serve_proxy

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run a program behind a proxy.")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    options = parser.parse_args(argv)
    with serve_proxy("127.0.0.1:0", via=options.via) as proxy:
        environment = {**os.environ, "HTTPS_PROXY": proxy.proxy_url, "https_proxy": proxy.proxy_url}
        # What runs is what whoever calls this says, as with sudo or env.
        return subprocess.run(options.command, env=environment, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
