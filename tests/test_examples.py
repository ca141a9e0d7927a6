"""Every example and every block of the README does what it says, on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import socketserver
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trustme

import connect_tunnel
from connect_tunnel.testing import LoopbackH2Proxy, LoopbackProxy
from examples import https_get, https_get_async, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nVia: 1.1 test\r\nContent-Length: 8\r\n\r\nAsk Bob."


class World(NamedTuple):
    """A proxy, one that speaks HTTP/2 by TLS, and a server of TLS behind them."""

    via: str
    shared: str
    target: str
    cafile: str


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    authority = trustme.CA()
    cafile = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(cafile)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(secure)
    secure.set_alpn_protocols(["h2", "http/1.1"])

    class Greet(socketserver.BaseRequestHandler):
        """Speaks first, as IMAP servers do, and with a page, as web servers do not."""

        def handle(self) -> None:
            with context.wrap_socket(self.request, server_side=True) as tls:
                tls.sendall(PAGE)
                tls.recv(65536)
                with contextlib.suppress(OSError):  # the client may be gone
                    tls.unwrap()

    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greet) as server,
        LoopbackProxy(refuse=refuse_payroll) as proxy,
        LoopbackH2Proxy(ssl_context=secure) as shared,
    ):
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield World(proxy.url, shared.url, f"localhost:{server.server_address[1]}", str(cafile))
        server.shutdown()


def refuse_payroll(authority: str) -> bytes | None:
    return REFUSAL if authority.startswith("payroll.") else None


def run(code: str, world: World) -> str:
    """What `code` prints, with the names that it mentions being those of the world."""
    host, _, port = world.target.partition(":")
    for name, real in (
        ("http://proxy.corp:3128", world.via),
        ("https://proxy.corp:443", world.shared),
        ("imap.example.com:993", world.target),
        ('"imap.example.com", 993', f'"{host}", {port}'),
        ("imap.example.com", host),
    ):
        code = code.replace(name, real)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "SSL_CERT_FILE": world.cafile, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("code", BLOCKS)
def test_readme(world: World, code: str) -> None:
    output = run(code, world)
    if "payroll" in code:
        assert "403" in output
        assert "Ask Bob." in output
    else:
        assert repr(PAGE) in output.splitlines()


def test_the_readme_names_the_two_commands() -> None:
    readme = README.read_text(encoding="utf-8")
    assert '\npip install ".[cli]" && connect-tunnel demo\n' in readme
    assert "\npip install nox && nox -s tests\n" in readme


def test_the_readme_names_every_error() -> None:
    errors = {name for name in connect_tunnel.__all__ if is_error(getattr(connect_tunnel, name))}
    assert {name for name in errors if f"`{name}`" not in README.read_text("utf-8")} == set()


def is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, connect_tunnel.TunnelError)


def test_the_changelog_knows_this_version() -> None:
    assert f"\n## [{connect_tunnel.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_https_get(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert https_get.main([world.target, "--via", world.via, "--cafile", world.cafile]) == 0
    assert capsys.readouterr().out == PAGE.decode()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_https_get_async(world: World, capsys: pytest.CaptureFixture[str], backend: str) -> None:
    options = ["--via", world.via, "--cafile", world.cafile, "--backend", backend]
    assert https_get_async.main([world.target, world.target, *options]) == 0
    assert capsys.readouterr().out == f"{world.target} HTTP/1.1 200 OK\n" * 2


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("localhost:1", "Try again later."),
        ("payroll.example.com:443", "said 403 to payroll.example.com:443: Ask Bob."),
    ],
)
def test_refusal(world: World, capsys: pytest.CaptureFixture[str], target: str, said: str) -> None:
    assert refusal.main([target, "--via", world.via]) == 1
    assert said in capsys.readouterr().out


def test_no_refusal(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal.main([world.target, "--via", world.via]) == 0
    assert "is open" in capsys.readouterr().out


def test_refusal_for_want_of_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    with LoopbackProxy(auth=("alice", "s3cret")) as proxy:
        assert refusal.main(["localhost:1", "--via", proxy.url]) == 1
    assert capsys.readouterr().out == f"{proxy.url} wants a password first (Basic).\n"
