"""PostgreSQL: a target whose clients dial by themselves, and cannot be given a socket."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from .ring import PASSWORD, START_SECONDS, USER, Port, Ring, Run, Service


def postgres(ring: Ring, folder: Path) -> Run:
    """A cluster of one user, who logs in by SCRAM; with TLS for who wants it."""
    own = ring.target_authority
    password = ring.write(folder / "password", PASSWORD, 0o600)
    data = folder / "data"
    ring.call(
        [
            program("initdb"), "--pgdata", str(data), "--username", USER, "--no-sync",
            "--auth", "scram-sha-256", "--pwfile", str(password), "--no-locale", "-E", "UTF8",
        ],
        {},
    )  # fmt: skip
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(ring.port(Port.POSTGRES)),
        "unix_socket_directories": "",
        "ssl": "on",
        "ssl_cert_file": str(own.cert),
        "ssl_key_file": str(own.key),
        "fsync": "off",
        "max_connections": "50",
        "shared_buffers": "16MB",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return Run([program("postgres"), "-D", str(data), *options])


def wait_until_ready(ring: Ring) -> None:
    """Wait for more than its port: it listens before it lets anybody in."""
    deadline = time.monotonic() + START_SECONDS
    argv = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(ring.port(Port.POSTGRES))]
    while subprocess.run(argv, check=False).returncode:
        assert time.monotonic() < deadline, ring.log("postgres")
        time.sleep(0.02)


def program(name: str) -> str:
    """Debian keeps them out of PATH, a folder for each version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=version)
    return str(found[-1]) if found else name


def version(path: Path) -> int:
    return int(path.parts[-3])


POSTGRES = Service("postgres", (Port.POSTGRES,), postgres)
