"""Redis: redis-py makes its connections in one method, and there they get a tunnel's socket.

$ python redis_ping.py redis.example.com:6379 --via http://proxy.corp:3128

For TLS with the server, derive the class from `redis.SSLConnection` instead, whose `_connect`
calls this one and then speaks TLS on what it gives.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import redis

from connect_tunnel import Dialer, Target
from connect_tunnel.adapters.socket import create_connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


class TunnelledConnection(redis.Connection):
    """A connection through a proxy."""

    def __init__(self, *, via: Dialer, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        self._via = via
        super().__init__(**options)  # type: ignore[no-untyped-call]  # nor has it types here

    def _connect(self) -> socket.socket:
        timeout = self.socket_connect_timeout
        sock = create_connection((self.host, self.port), timeout, via=self._via)
        sock.settimeout(self.socket_timeout)
        return sock


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Store something in a redis, and read it.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    options = parser.parse_args(argv)
    pool = redis.ConnectionPool(
        connection_class=TunnelledConnection,
        via=Dialer(options.via),
        host=options.target.host,
        port=options.target.port,
        socket_connect_timeout=10,
    )
    with redis.Redis(connection_pool=pool) as client:
        client.set("greeting", "hello")
        print(client.get("greeting"))
    pool.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
