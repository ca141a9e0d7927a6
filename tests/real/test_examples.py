"""Every file of examples/, run as a user would run it, against real servers through squid."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.sync.server import serve

from .postgres import POSTGRES, wait_until_ready
from .proxies import ORIGIN_PAGE
from .ring import PASSWORD, USER, Port, Ring, Service
from .targets import DOVECOT, HTTPS, MOSQUITTO, ORIGINS, REDIS, SSHD
from .test_ssh import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.sync.server import ServerConnection

    from .entrance import Entrance

    Start = Callable[[Service], None]
    Example = Callable[..., str]

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = [path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"}]


def test_every_example_has_a_test() -> None:
    mine = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in NAMES if f'"{name}"' not in mine] == []


@pytest.fixture
def example(ring: Ring, enter: Callable[[str], Entrance]) -> Example:
    """Run an example, and return what it prints."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "IMAP_PASSWORD": PASSWORD,
        "PGPASSWORD": PASSWORD,
        "USER": ACCOUNT,
    }

    def run(name: str, *words: str, code: int = 0) -> str:
        argv = [sys.executable] if name.endswith(".py") else ["sh"]
        done = subprocess.run(
            [*argv, str(EXAMPLES / name), *words],
            env=environment,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, b""), done.stdout
        return done.stdout.decode(errors="replace")

    return run


@pytest.fixture
def via(ring: Ring, enter: Callable[[str], Entrance]) -> str:
    url = enter("squid-basic").url(ring)
    return url.replace("://", f"://{USER}:{PASSWORD}@")


@pytest.fixture
def cafile(ring: Ring) -> str:
    return f"--cafile={ring.target_authority.ca}"


def target(ring: Ring, port: Port, host: str = "localhost") -> str:
    return f"{host}:{ring.port(port)}"


def test_https_get(ring: Ring, start: Start, example: Example, via: str, cafile: str) -> None:
    start(HTTPS)
    where = target(ring, Port.HTTPS)
    shown = example("https_get.py", where, "--path=/page", "--via", via, cafile)
    assert shown.startswith("HTTP/1.1 200 OK\r\n")
    assert ORIGIN_PAGE[:100].decode() in shown


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_https_get_async(  # noqa: PLR0913, PLR0917 - a fixture each
    ring: Ring, start: Start, example: Example, via: str, cafile: str, backend: str
) -> None:
    start(HTTPS)
    where = target(ring, Port.HTTPS)
    words = [where, where, "--via", via, cafile, "--backend", backend]
    # There is no page at /, and the listing of a folder is not apache's to give here.
    assert example("https_get_async.py", *words) == f"{where} HTTP/1.1 404 Not Found\n" * 2


@pytest.mark.parametrize("name", ["requests_get.py", "aiohttp_get.py", "urllib3_get.py"])
def test_get(  # noqa: PLR0913, PLR0917 - a fixture each
    ring: Ring, start: Start, example: Example, via: str, cafile: str, name: str
) -> None:
    start(HTTPS)
    page = f"https://{target(ring, Port.HTTPS)}/page"
    assert ORIGIN_PAGE[:100].decode() in example(name, page, "--via", via, cafile)


def test_httpx_get(ring: Ring, start: Start, example: Example, via: str, cafile: str) -> None:
    start(HTTPS)
    url = f"https://{target(ring, Port.HTTPS)}/page"
    shown = example("httpx_get.py", url, "--via", via, cafile)
    assert shown.startswith("The proxy said 200, and the server 200:\n")
    assert ORIGIN_PAGE[:100].decode() in shown
    url = f"https://{target(ring, Port.FORBIDDEN)}/"
    shown = example("httpx_get.py", url, "--via", via, cafile, code=1)
    assert shown.startswith("The proxy said 403: ")
    assert "ERR_ACCESS_DENIED" in shown


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_httpx_get_async(  # noqa: PLR0913, PLR0917 - a fixture each
    ring: Ring, start: Start, example: Example, via: str, cafile: str, backend: str
) -> None:
    start(HTTPS)
    url = f"https://{target(ring, Port.HTTPS)}/page"
    words = [url, url, "--via", via, cafile, "--backend", backend]
    assert example("httpx_get_async.py", *words) == f"{url} 200 HTTP/1.1\n" * 2


def test_imap(ring: Ring, start: Start, example: Example, via: str, cafile: str) -> None:
    start(DOVECOT)
    words = [target(ring, Port.IMAPS), USER, "--via", via, cafile]
    assert example("imap.py", *words) == "0 messages\n"


def test_postgres_psycopg(
    ring: Ring, start: Start, example: Example, via: str, cafile: str
) -> None:
    start(POSTGRES)
    wait_until_ready(ring)
    words = [target(ring, Port.POSTGRES), USER, "--via", via, cafile]
    assert example("postgres_psycopg.py", *words).startswith("PostgreSQL ")


def test_proxy_for_programs(ring: Ring, start: Start, example: Example, via: str) -> None:
    start(HTTPS)
    url = f"https://{target(ring, Port.HTTPS)}/page"
    curl = ["curl", "-sS", "--cacert", str(ring.target_authority.ca), url, "-o", os.devnull]
    shown = example(
        "proxy_for_programs.py", "--via", via, *curl, "-w", "%{http_connect} %{size_download}"
    )
    assert shown == f"200 {len(ORIGIN_PAGE)}"


def test_smtp_starttls(ring: Ring, start: Start, example: Example, via: str, cafile: str) -> None:
    start(ORIGINS)
    mail = ["--from=alice@example.com", "--to=example@example.com"]
    shown = example("smtp_starttls.py", target(ring, Port.SMTP), "--via", via, cafile, *mail)
    assert shown == "250 ring\n"
    delivered = (ring.folder / ORIGINS.name / "mail/new").iterdir()
    assert any("\nThis came through a tunnel.\n" in path.read_text() for path in delivered)


@pytest.mark.parametrize("name", ["ssh_paramiko.py", "ssh_asyncssh.py"])
def test_ssh(ring: Ring, start: Start, example: Example, via: str, name: str) -> None:
    start(SSHD)
    folder = ring.folder / SSHD.name
    keys = ["--identity", str(folder / "user"), "--known-hosts", str(folder / "known_hosts")]
    words = [target(ring, Port.SSH, "127.0.0.1"), "echo it works", "--via", via]
    assert example(name, *words, "--user", ACCOUNT, *keys) == "it works\n"


def test_ssh_proxycommand(ring: Ring, start: Start, example: Example, via: str) -> None:
    start(SSHD)
    folder = ring.folder / SSHD.name
    ssh = ["-F", "/dev/null", "-i", str(folder / "user"), "-p", str(ring.port(Port.SSH))]
    known = ["-o", f"UserKnownHostsFile={folder}/known_hosts"]
    words = [*ssh, *known, f"{ACCOUNT}@127.0.0.1", "echo it works"]
    assert example("ssh_proxycommand.sh", via, *words) == "it works\n"


def test_asyncio_streams(ring: Ring, start: Start, example: Example, via: str, cafile: str) -> None:
    start(HTTPS)
    words = [target(ring, Port.HTTPS), "--via", via, cafile]
    assert example("asyncio_streams.py", *words) == "HTTP/1.1 404 Not Found\n"


def test_redis(ring: Ring, start: Start, example: Example, via: str) -> None:
    start(REDIS)
    words = [target(ring, Port.REDIS), "--via", via]
    assert example("redis_ping.py", *words) == "b'hello'\n"


def test_postgres_pg8000(ring: Ring, start: Start, example: Example, via: str, cafile: str) -> None:
    start(POSTGRES)
    wait_until_ready(ring)
    words = [target(ring, Port.POSTGRES), USER, "--via", via, cafile]
    assert re.match(r"[0-9]+\.[0-9]+", example("postgres_pg8000.py", *words))


def test_mqtt(ring: Ring, start: Start, example: Example, via: str, cafile: str) -> None:
    start(MOSQUITTO)
    words = [target(ring, Port.MQTT), "greetings", "hello", "--via", via, cafile]
    assert example("mqtt_paho.py", *words) == "hello\n"


@pytest.mark.parametrize("name", ["websockets_sync.py", "websockets_async.py"])
def test_websockets(ring: Ring, example: Example, via: str, cafile: str, name: str) -> None:
    """Its own server is the target: a port where another one might listen is free."""
    port = ring.port(Port.REFUSED)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ring.target_authority.cert, ring.target_authority.key)
    with serve(echo, "localhost", port, ssl=context) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        shown = example(name, f"wss://localhost:{port}/", "hello", "--via", via, cafile)
        server.shutdown()
        thread.join()
    assert shown == "hello\n"


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def test_refusal(ring: Ring, start: Start, example: Example, via: str) -> None:
    where = target(ring, Port.FORBIDDEN)
    shown = example("refusal.py", where, "--via", via, code=1)
    assert f" said 403 to {where}: " in shown
    assert "ERR_ACCESS_DENIED" in shown
    assert PASSWORD not in shown
    where = target(ring, Port.ECHO)
    start(ORIGINS)
    assert example("refusal.py", where, "--via", via) == f"The way to {where} is open.\n"
