"""The proxy that is measured against: built, started on a core of its own, and ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .place import HOST

if TYPE_CHECKING:
    from collections.abc import Generator

HERE = Path(__file__).resolve().parent

# The other names make the certificate no smaller than those of the web. With a tiny one the
# memory of a TLS connection is 8 KiB more or less, as the allocator's holes happen to lie.
NAMES = (HOST, "*.bench.test", *(f"name-{number}.bench.test" for number in range(8)))


class Server(NamedTuple):
    """A proxy that runs: its ports, and whom to trust. Without TLS, `tls_port` is 0."""

    plain_port: int
    tls_port: int
    trusted: Path
    kind: str


class Cores(NamedTuple):
    """Where the two sides run, so that neither takes the other's time; None for anywhere."""

    client: int | None
    server: int | None


def choose_cores() -> Cores:
    if sys.platform != "linux":
        return Cores(None, None)
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(first, others[0]) if others else Cores(None, None)


@contextmanager
def serving(scratch: Path, core: int | None) -> Generator[Server]:
    """Run the proxy until the context ends.

    Args:
        scratch: Where certificates and the program may be written.
        core: The one that it may run on.
    """
    trusted = scratch / "trusted.pem"
    compiled = build(scratch / "loopback")
    command = [str(compiled)] if compiled else [sys.executable, str(HERE / "fallback.py")]
    if find_spec("trustme"):
        command.append(str(certify(scratch / "chain.pem", trusted)))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if core is not None and sys.platform == "linux":
            os.sched_setaffinity(process.pid, {core})
        assert process.stdin is not None
        assert process.stdout is not None
        plain_port, tls_port = map(int, process.stdout.readline().split())
        yield Server(plain_port, tls_port, trusted, "C" if compiled else "Python")
        process.stdin.close()  # on which it ends, as it also does if we are killed


def build(program: Path) -> Path | None:
    """The proxy in C, if this machine has a compiler, epoll, and OpenSSL's headers."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source = HERE / "loopback.c"
    command = [compiler, "-O2", "-o", str(program), str(source), "-lssl", "-lcrypto"]
    built = subprocess.run(command, capture_output=True, check=False)
    return program if built.returncode == 0 else None


def certify(chain: Path, trusted: Path) -> Path:
    import trustme  # noqa: PLC0415 - what needs no TLS is measured without it

    authority = trustme.CA()
    authority.cert_pem.write_to_path(trusted)
    leaf = authority.issue_cert(*NAMES)
    leaf.private_key_and_cert_chain_pem.write_to_path(chain)
    return chain
