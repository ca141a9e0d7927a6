"""PostgreSQL: pg8000 takes a socket, as `sock`, and speaks TLS on it if it is told to.

$ PGPASSWORD=... python postgres_pg8000.py db.example.com:5432 alice --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pg8000.native  # type: ignore[import-untyped]  # it has no types

from connect_tunnel import Target
from connect_tunnel.adapters.socket import create_connection

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Ask a PostgreSQL which release it is.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("user", help="whose password is in $PGPASSWORD")
    parser.add_argument("--database", default="postgres")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    target = options.target
    client: Any = pg8000.native.Connection(
        options.user,
        host=target.server_hostname,  # which the certificate must name
        database=options.database,
        password=os.environ.get("PGPASSWORD"),
        sock=create_connection((target.host, target.port), via=options.via),
        ssl_context=ssl.create_default_context(cafile=options.cafile),
    )
    try:
        [[version]] = client.run("SHOW server_version")
    finally:
        client.close()
    print(version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
