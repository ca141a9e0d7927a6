"""PostgreSQL with psycopg, whose libpq dials by itself: it is given an address here to dial.

$ PGPASSWORD=... python postgres_psycopg.py db.example.com:5432 alice --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import psycopg

from connect_tunnel import Target, forward

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Ask a database behind a proxy for its version.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("user", help="whose password is in $PGPASSWORD")
    parser.add_argument("--database", default="postgres")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", default="system", help="trust these certificates")
    options = parser.parse_args(argv)
    with (
        forward("127.0.0.1:0", options.target, via=options.via) as forwarder,
        psycopg.connect(
            host=options.target.host,  # whose certificate it must be
            hostaddr=forwarder.host,  # where to dial
            port=forwarder.port,
            user=options.user,
            dbname=options.database,
            sslmode="verify-full",
            sslrootcert=options.cafile,
        ) as connection,
    ):
        row = connection.execute("show server_version").fetchone()
        assert row is not None
        print(f"PostgreSQL {row[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
