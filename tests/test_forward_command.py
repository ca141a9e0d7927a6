"""`connect-tunnel forward` and `connect-tunnel proxy`: what they print, and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from connect_tunnel import ProxyAuthenticationRequired, open_tunnel
from connect_tunnel.cli import forward as command
from connect_tunnel.cli import main
from connect_tunnel.cli.forward import AUTH_VARIABLE
from connect_tunnel.cli.way import PROXY_VARIABLE
from connect_tunnel.testing import LoopbackProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    Tell = Callable[[Callable[[str], None]], None]

USER, PASSWORD = "alice", "open-sesame"
COMMAND = [sys.executable, "-m", "connect_tunnel"]


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


@pytest.fixture
def target() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackProxy]:
    """A proxy that wants a password, and gets it from the environment."""
    monkeypatch.delenv(AUTH_VARIABLE, raising=False)
    with LoopbackProxy(auth=(USER, PASSWORD)) as server:
        url = f"http://{USER}:{PASSWORD}@{server.host}:{server.port}"
        monkeypatch.setenv(PROXY_VARIABLE, url)
        yield server


@contextlib.contextmanager
def running(*words: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The program, and the line that it prints."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([*COMMAND, *words], stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    with process:
        try:
            yield process, process.stdout.readline().rstrip("\n")
        finally:
            process.kill()


def exit_code(words: list[str]) -> object:
    try:
        return main(words)
    except SystemExit as error:
        return error.code


def converse(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"


@pytest.mark.usefixtures("proxy")
class TestAsAProgram:
    def test_forward(self, target: str) -> None:
        with running("forward", "127.0.0.1:0", target) as (process, line):
            assert line.startswith("127.0.0.1:")
            converse(line)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert process.communicate() == ("", "")

    def test_it_drains(self, target: str) -> None:
        with running("forward", "127.0.0.1:0", target) as (process, line):
            host, _, port = line.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=20) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
                process.send_signal(signal.SIGINT)
                time.sleep(0.2)
                sock.sendall(b"last")
                assert sock.recv(100) == b"last"
            assert process.wait(20) == 130
            assert process.communicate() == ("", "")

    def test_a_second_signal_ends_it_at_once(self, target: str) -> None:
        with running("forward", "127.0.0.1:0", target, "--drain", "300") as (process, line):
            host, _, port = line.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=20) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
                process.send_signal(signal.SIGINT)
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.5)
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 130
            assert process.communicate() == ("", "")

    def test_proxy(self, target: str) -> None:
        with running("proxy", "127.0.0.1:0") as (process, url):
            with open_tunnel(target, via=url, timeout=20) as tunnel:
                tunnel.write(b"hello")
                assert tunnel.read(timeout=20) == b"hello"
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


@pytest.fixture
def until_told(monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Instead of waiting for a signal: something is done with the line, and then one comes."""

    def tell(act: Callable[[str], None]) -> None:
        def wait(line: Callable[[], str]) -> None:
            with contextlib.suppress(KeyboardInterrupt):
                act(line())
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(command, "_wait", wait)

    return tell


class TestHere:
    """The same in this process, where coverage is counted."""

    def test_forward(self, proxy: LoopbackProxy, target: str, until_told: Tell) -> None:
        until_told(converse)
        before = signal.getsignal(signal.SIGTERM)
        assert main(["forward", "127.0.0.1:0", target, "--timeout", "20"]) == 0
        assert signal.getsignal(signal.SIGTERM) is before

    def test_it_prints_its_line_and_sleeps(
        self, proxy: LoopbackProxy, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # To this thread, which sleeps; raise_signal would tell the timer's own.
        main_thread = threading.main_thread().ident
        threading.Timer(1, signal.pthread_kill, [main_thread, signal.SIGINT]).start()
        assert main(["forward", "127.0.0.1:0", "a.test:1"]) == 130
        assert capsys.readouterr().out.startswith("127.0.0.1:")

    def test_a_password_is_made_up(
        self, proxy: LoopbackProxy, target: str, until_told: Tell
    ) -> None:
        def use(line: str) -> None:
            open_tunnel(target, via=line).close()
            with pytest.raises(ProxyAuthenticationRequired):
                open_tunnel(target, via=f"http://{line.rpartition('@')[2]}")

        until_told(use)
        assert main(["proxy", "127.0.0.1:0"]) == 0

    def test_a_password_of_ones_own_is_not_repeated(
        self,
        proxy: LoopbackProxy,
        target: str,
        until_told: Tell,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def use(line: str) -> None:
            assert line.startswith("127.0.0.1:")
            open_tunnel(target, via=f"http://bob:own:word@{line}").close()

        until_told(use)
        monkeypatch.setenv(AUTH_VARIABLE, "bob:own:word")
        assert main(["proxy", "127.0.0.1:0"]) == 0

    def test_no_password(self, proxy: LoopbackProxy, target: str, until_told: Tell) -> None:
        until_told(lambda line: open_tunnel(target, via=f"http://{line}").close())
        assert main(["proxy", "127.0.0.1:0", "--no-auth"]) == 0

    def test_what_goes_wrong_is_one_line(
        self,
        proxy: LoopbackProxy,
        until_told: Tell,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def use(line: str) -> None:
            with pytest.raises(OSError, match="reset"):
                converse(line)

        until_told(use)
        assert main(["forward", "127.0.0.1:0", "127.0.0.1:1"]) == 0
        said = capsys.readouterr().err
        assert said.startswith(f"connect-tunnel: proxy {proxy.url} refused the tunnel to 127")
        assert said.count("\n") == 1
        assert PASSWORD not in said
        command._complain(RuntimeError("s3cret"))
        assert capsys.readouterr().err == "connect-tunnel: RuntimeError\n"
        monkeypatch.setattr(sys, "stderr", None)
        command._complain(OSError("nowhere to say it"))

    @pytest.mark.parametrize(
        "words",
        [
            ["forward", "0.0.0.0:0", "a.test:1"],
            ["forward", "5432", "a.test:1"],
            ["forward", "127.0.0.1:0", "a.test"],
            ["forward", "127.0.0.1:0"],
            ["forward", "127.0.0.1:0", "a.test:1", "--drain", "-1"],
            ["proxy", "0.0.0.0:0", "--allow-remote", "--no-auth"],
            ["proxy", "127.0.0.1:0", "-x", f"gopher://{USER}:{PASSWORD}@h"],
            ["proxy", "127.0.0.1:0", "-x", f"gopher://{USER}:{PASSWORD}@h", "--login", "ntlm"],
            ["proxy", "127.0.0.1:0", "-x", "http://h", "--login", "ntlm"],
            ["proxy", "127.0.0.1:0", "--login", "digest"],
        ],
    )
    def test_wrong_usage(
        self, proxy: LoopbackProxy, capsys: pytest.CaptureFixture[str], words: list[str]
    ) -> None:
        assert exit_code(words) == 2
        said = capsys.readouterr().err
        assert said
        assert PASSWORD not in said

    def test_a_password_without_a_user(
        self,
        proxy: LoopbackProxy,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv(AUTH_VARIABLE, "s3cret")
        assert exit_code(["proxy", "127.0.0.1:0"]) == 2
        said = capsys.readouterr().err
        assert f"{AUTH_VARIABLE} is USER:PASSWORD" in said
        assert "s3cret" not in said

    def test_an_address_that_is_taken(
        self, proxy: LoopbackProxy, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["forward", f"127.0.0.1:{proxy.port}", "a.test:1"]) == 1
        assert "in use" in capsys.readouterr().err

    def test_no_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(PROXY_VARIABLE, raising=False)
        with pytest.raises(SystemExit):
            main(["forward", "127.0.0.1:0", "a.test:1"])


def test_other_commands_do_not_wait_for_its_imports() -> None:
    code = "import sys, connect_tunnel.cli; sys.exit('anyio' in sys.modules)"
    plain = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=plain).returncode == 0
