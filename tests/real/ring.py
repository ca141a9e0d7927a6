"""Starts real servers and stops them: ports, certificates, accounts, readiness, logs.

One `Ring` lives as long as a pytest session. It starts a service when a test first asks for
it, and the kernel ends every service with this process (PR_SET_PDEATHSIG), however that ends.
What the services are is told in `proxies.py`, `squid.py`, `h2_proxies.py`, `socks.py`, `unix.py`,
`haproxy.py`, `kerberos.py`, `postgres.py` and `targets.py`.
"""

from __future__ import annotations

import contextlib
import enum
import grp
import os
import pwd
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

USER, PASSWORD, REALM = "alice", "s3cret", "ring"
# What Debian and install.sh put where; nobody's PATH has sbin.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
HOME = Path(
    os.environ.get("CONNECT_TUNNEL_ZOO")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "connect_tunnel-zoo"
)
START_SECONDS = 30.0
STOP_SECONDS = 3.0  # squid needs 1.7 to leave, and takes its shared memory with it
LISTEN = "0A"  # the state's number in /proc/net/tcp
ACCEPTS = 0x10000  # the same in the flags of /proc/net/unix


class Port(enum.IntEnum):
    """Who listens where, as an offset into a block of free ports."""

    SQUID = 0
    SQUID_TLS = enum.auto()
    SQUID_BASIC = enum.auto()
    SQUID_TLS_BASIC = enum.auto()
    SQUID_DIGEST = enum.auto()
    SQUID_NEGOTIATE = enum.auto()
    SQUID_TLS_NEGOTIATE = enum.auto()
    SQUID_CHOICE = enum.auto()  # Negotiate, Digest and Basic
    SQUID_NTLM = enum.auto()
    SQUID_NEGOTIATE_NTLM = enum.auto()  # NTLM within Negotiate, as Windows proxies have it
    SQUID_BOUND_NEGOTIATE = enum.auto()  # TLS, and the login must name its certificate
    SQUID_BOUND_NTLM = enum.auto()  # likewise
    TINYPROXY = enum.auto()
    TINYPROXY_BASIC = enum.auto()
    APACHE = enum.auto()
    APACHE_TLS = enum.auto()
    APACHE_BASIC = enum.auto()
    APACHE_DIGEST = enum.auto()
    ENVOY = enum.auto()
    ENVOY_TLS = enum.auto()
    PROXY_PY = enum.auto()
    PROXY_PY_BASIC = enum.auto()
    MICROSOCKS = enum.auto()
    MICROSOCKS_LOGIN = enum.auto()
    DANTE = enum.auto()
    OPENSSH = enum.auto()  # the client, with sshd behind it
    HAPROXY = enum.auto()  # wants the PROXY protocol, and has squid behind it
    ENVOY_H2 = enum.auto()
    ENVOY_H2C = enum.auto()  # in clear text
    NGHTTPX = enum.auto()  # has squid behind it
    NGHTTPX_BASIC = enum.auto()  # likewise
    APACHE_H2 = enum.auto()
    HAPROXY_H2 = enum.auto()  # has squid behind it
    MITMPROXY = enum.auto()  # agrees on HTTP/2, and does not know CONNECT in it
    KDC = enum.auto()
    # What asks who logs in, for squid: see verifier.py, which wants these in a row.
    VERIFY_NTLM = enum.auto()
    VERIFY_NEGOTIATE = enum.auto()
    VERIFY_BOUND_NTLM = enum.auto()
    VERIFY_BOUND_NEGOTIATE = enum.auto()
    DEAD = enum.auto()  # a proxy that is not there
    FORBIDDEN = enum.auto()  # proxies that can be told so refuse it
    # From here to REFUSED: what proxies let their clients reach.
    ECHO = enum.auto()
    BANNER = enum.auto()
    EOF = enum.auto()
    TLS_ECHO = enum.auto()
    SMTP = enum.auto()
    HTTPS = enum.auto()
    HTTP2 = enum.auto()  # and HTTP/1.1, as ALPN decides
    SSH = enum.auto()
    IMAP = enum.auto()
    IMAPS = enum.auto()
    POP3 = enum.auto()
    POP3S = enum.auto()
    REDIS = enum.auto()
    POSTGRES = enum.auto()
    MQTT = enum.auto()  # with TLS
    REFUSED = enum.auto()  # nothing listens there


ALLOWED = range(Port.ECHO, Port.REFUSED + 1)


class Missing(Exception):
    """A program is not installed."""


@dataclass(frozen=True)
class Run:
    """How to start a service once its configuration is written."""

    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    as_nobody: bool = True  # where root starts it


@dataclass(frozen=True)
class Service:
    """A program, the ports it is ready at, and how its configuration is written."""

    name: str
    ports: Collection[Port]
    prepare: Callable[[Ring, Path], Run]
    needs: Collection[Service] = ()  # started before it is prepared
    sockets: Collection[str] = ()  # Unix sockets in its folder, where it is ready as well


class Rights(TypedDict, total=False):
    """What `subprocess` is told where root gives its rights away."""

    user: str
    group: str
    extra_groups: list[str]


class Authority:
    """A certificate authority, the one server certificate it gave, and who trusts it."""

    def __init__(self, ring: Ring, name: str) -> None:
        ca = trustme.CA()
        server = ca.issue_cert("localhost", "127.0.0.1", "::1")
        chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
        self.ca = ring.write(ring.folder / f"{name}-ca.pem", ca.cert_pem.bytes())
        self.cert = ring.write(ring.folder / f"{name}.pem", chain)
        self.key = ring.write(ring.folder / f"{name}.key", server.private_key_pem.bytes(), 0o600)
        self.context = ssl.create_default_context(cafile=str(self.ca))


class Ring:
    """The running services of one test session."""

    def __init__(self) -> None:
        self.by_root = os.getuid() == 0
        self.account = "nobody" if self.by_root else pwd.getpwuid(os.getuid()).pw_name
        self.group = "nogroup" if self.by_root else grp.getgrgid(os.getgid()).gr_name
        self.folder = self._make_folder(Path(tempfile.mkdtemp(prefix="ring-")))
        self.base = free_block(len(Port))
        self.proxy_authority = Authority(self, "proxy")
        self.target_authority = Authority(self, "target")
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def port(self, port: Port) -> int:
        return self.base + port

    def start(self, service: Service) -> None:
        """Start a service that does not run yet; `Missing` when its program is not there."""
        if process := self._running.get(service.name):
            if process.poll() is not None:
                raise RuntimeError(f"{service.name} is gone\n{self.log(service.name)}")
            return
        for needed in service.needs:
            self.start(needed)
        folder = self._make_folder(self.folder / service.name)
        run = service.prepare(self, folder)
        program = find(run.argv[0])
        drop = self.by_root and run.as_nobody and everyone_reaches(Path(program))
        with (folder / "out.log").open("wb") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", program, *run.argv[1:]],
                cwd=folder,
                env={**os.environ, "PATH": PATH, **run.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._rights(drop=drop),
            )
        self._running[service.name] = process
        self._wait_until_ready(service, process)

    def _wait_until_ready(self, service: Service, process: subprocess.Popen[bytes]) -> None:
        """Read readiness from /proc, so that no server sees a connection that is no test's."""
        folder = self.folder / service.name
        wanted: set[int | str] = {self.port(port) for port in service.ports}
        wanted |= {str(folder / name) for name in service.sockets}
        deadline = time.monotonic() + START_SECONDS
        while not wanted <= listening():
            if process.poll() is not None:
                why = f"exited with {process.returncode}"
            elif time.monotonic() > deadline:
                why = f"is not ready after {START_SECONDS} s"
            else:
                time.sleep(0.01)
                continue
            raise RuntimeError(f"{service.name} {why}\n{self.log(service.name)}")

    def call(self, argv: list[str], env: Mapping[str, str], text: str = "") -> None:
        """Run what prepares a service, as the account that the service runs as."""
        done = subprocess.run(
            [find(argv[0]), *argv[1:]],
            check=False,
            env={**os.environ, **env},
            input=text,
            text=True,
            capture_output=True,
            cwd=self.folder,
            **self._rights(drop=self.by_root),
        )
        if done.returncode:
            raise RuntimeError(f"{argv[0]} failed: {done.stdout}{done.stderr}")

    def _rights(self, *, drop: bool) -> Rights:
        return {"user": self.account, "group": self.group, "extra_groups": []} if drop else {}

    def write(self, path: Path, content: str | bytes, mode: int = 0o644) -> Path:
        """Write a file that the services may read."""
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        if self.by_root:
            shutil.chown(path, self.account, self.group)
        return path

    def _make_folder(self, path: Path) -> Path:
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
        if self.by_root:
            shutil.chown(path, self.account, self.group)
        return path

    def logs(self) -> Iterator[tuple[str, str]]:
        for name in self._running:
            if text := self.log(name):
                yield name, text

    def log(self, name: str) -> str:
        """The last words of a service, from whichever logs it keeps."""
        texts = [
            path.read_text(errors="replace").strip()[-600:]
            for path in sorted((self.folder / name).glob("*.log"))
        ]
        return "\n".join(filter(None, texts))

    def close(self) -> None:
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.01, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its own session: only its children
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def find(program: str) -> str:
    path = shutil.which(program, path=PATH)
    if not path:
        raise Missing(f"{program} is not installed: see tests/real/install.sh")
    return path


def free_block(size: int) -> int:
    """The first of `size` free ports in a row, below those that the kernel gives to clients."""
    for base in random.sample(range(10000, 32000 - size, size), 50):
        if all(map(is_free, range(base, base + size))):
            return base
    raise RuntimeError(f"no {size} free ports in a row")


def is_free(port: int) -> bool:
    try:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            if family == socket.AF_INET or has_ipv6():
                socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def listening() -> set[int | str]:
    """The TCP ports and the Unix sockets that anybody on this machine listens at."""
    ports = set[int | str]()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue  # a kernel without IPv6
        for line in table.read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == LISTEN:
                ports.add(int(local.rpartition(":")[2], 16))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        _, _, _, flags, _, _, _, *path = line.split()
        if int(flags, 16) & ACCEPTS:
            # haproxy binds under a name of its own and moves what it bound, before it listens.
            ports.update(re.sub(r"\.[0-9]+\.tmp$", "", name) for name in path)
    return ports


def everyone_reaches(program: Path) -> bool:
    """Whether an unprivileged account may run it: not what lies below a closed home."""
    return all(
        step.stat().st_mode & 0o001
        for path in (program, program.resolve())
        for step in (path, *path.parents)
    )
