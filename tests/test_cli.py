"""The command line, by its descriptors and exit codes."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

import connect_tunnel
from connect_tunnel import Proxy, Tunnel, TunnelBroken, open_tunnel
from connect_tunnel.auth import NTLM, Negotiate
from connect_tunnel.cli import main
from connect_tunnel.cli.relay import relay
from connect_tunnel.cli.way import PROXY_VARIABLE, way
from connect_tunnel.testing import Close, LoopbackProxy, Receive, ScriptedProxy, Send

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    Talk = Callable[[socket.socket], None]
    Serve = Callable[[Talk], str]

USER, PASSWORD = "alice", "open-sesame"
GREETING = b"* hello\r\n"
MEBIBYTE = os.urandom(1 << 19) + bytes(range(256)) * (1 << 11)
COMMAND = [sys.executable, "-m", "connect_tunnel"]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers on loopback, each of which says its port, as text."""
    with contextlib.ExitStack() as servers:

        def start(talk: Talk) -> str:
            class Handler(socketserver.BaseRequestHandler):
                def handle(self) -> None:
                    talk(self.request)

            server = servers.enter_context(
                socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
            )
            threading.Thread(target=server.serve_forever, args=(0.01,)).start()
            servers.callback(server.shutdown)
            return str(server.server_address[1])

        yield start


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackProxy]:
    """A proxy that wants a password, and gets it from the environment."""
    with LoopbackProxy(auth=(USER, PASSWORD)) as server:
        url = f"http://{USER}:{PASSWORD}@{server.host}:{server.port}"
        monkeypatch.setenv(PROXY_VARIABLE, url)
        yield server


def echo(sock: socket.socket) -> None:
    while data := sock.recv(65536):
        sock.sendall(data)


def answer_after_the_end(sock: socket.socket) -> None:
    received = b"".join(iter(lambda: sock.recv(65536), b""))
    sock.sendall(b"%d bytes" % len(received))


def greet_and_leave(sock: socket.socket) -> None:
    sock.sendall(GREETING)


def greet_and_stay(sock: socket.socket) -> None:
    sock.sendall(GREETING)
    sock.recv(1)


def greet_and_reset(sock: socket.socket) -> None:
    sock.sendall(GREETING)
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def flood(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(MEBIBYTE)


class TestRelayAsAProgram:
    def start(self, port: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        command = [*COMMAND, "relay", "127.0.0.1", port]
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)

    @pytest.mark.usefixtures("proxy")
    def test_carries_a_mebibyte_of_anything_both_ways(self, serve: Serve) -> None:
        with self.start(serve(echo)) as process:
            assert process.communicate(MEBIBYTE, timeout=20) == (MEBIBYTE, b"")
        assert process.returncode == 0

    @pytest.mark.usefixtures("proxy")
    def test_hears_what_is_said_after_the_end_of_input(self, serve: Serve) -> None:
        with self.start(serve(answer_after_the_end)) as process:
            assert process.communicate(b"x" * 1000, timeout=20) == (b"1000 bytes", b"")
        assert process.returncode == 0

    @pytest.mark.usefixtures("proxy")
    def test_ends_with_the_tunnel_and_does_not_wait_for_input(self, serve: Serve) -> None:
        with self.start(serve(greet_and_leave)) as process:
            assert process.wait(timeout=20) == 0  # with standard input still open
            assert process.communicate() == (GREETING, b"")

    @pytest.mark.usefixtures("proxy")
    def test_is_interrupted_without_a_traceback(self, serve: Serve) -> None:
        with self.start(serve(greet_and_stay)) as process:
            assert process.stdout is not None
            assert process.stdout.read(len(GREETING)) == GREETING
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
            assert process.communicate() == (b"", b"")

    @pytest.mark.usefixtures("proxy")
    def test_ends_in_one_line_when_nobody_reads_its_output(self, serve: Serve) -> None:
        with self.start(serve(flood)) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(timeout=20) == 1
            assert process.stderr is not None
            assert process.stderr.read() == b"connect-tunnel: [Errno 32] Broken pipe\n"

    @pytest.mark.usefixtures("proxy")
    def test_does_not_take_its_own_socket_for_standard_input(self, serve: Serve) -> None:
        command = [*COMMAND, "relay", "127.0.0.1", serve(greet_and_leave)]
        shell = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
        done = subprocess.run(shell, capture_output=True, timeout=20, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, GREETING, b"")


class TestRelay:
    """The same in this process: where faults can be placed, and coverage is counted."""

    def test_ends_when_the_tunnel_does(self, serve: Serve, proxy: LoopbackProxy) -> None:
        with standard_streams(b"x" * 1000) as output:
            assert main(["relay", "127.0.0.1", serve(answer_after_the_end)]) == 0
        assert output == b"1000 bytes"

    def test_says_when_the_tunnel_broke(
        self, serve: Serve, proxy: LoopbackProxy, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with standard_streams(b"x", after=GREETING) as output:
            assert main(["relay", "127.0.0.1", serve(greet_and_reset)]) == 1
        assert output == GREETING
        assert one_line(capfd)

    def test_says_when_input_was_lost(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        tried = threading.Event()

        def write(*_: object) -> None:
            tried.set()
            raise TunnelBroken("cut short")

        def leave_then(sock: socket.socket) -> None:
            tried.wait(5)
            time.sleep(0.05)
            greet_and_leave(sock)

        monkeypatch.setattr(Tunnel, "write", write)
        target = f"127.0.0.1:{serve(leave_then)}"
        with LoopbackProxy() as proxy, pipe() as (source, feed), pipe() as (answer, sink):
            os.write(feed, b"x")
            tunnel = open_tunnel(target, via=proxy.url)
            with tunnel, pytest.raises(TunnelBroken, match="cut short"):
                relay(tunnel, source, sink)
            assert os.read(answer, 100) == GREETING

    def test_a_source_that_fails_has_ended(self, serve: Serve) -> None:
        with LoopbackProxy() as proxy, pipe() as (answer, sink):
            target = f"127.0.0.1:{serve(answer_after_the_end)}"
            with open_tunnel(target, via=proxy.url) as tunnel:
                relay(tunnel, sink, sink)  # which cannot be read from
            assert os.read(answer, 100) == b"0 bytes"

    def test_opens_what_the_caller_closed(self, serve: Serve, proxy: LoopbackProxy) -> None:
        port = serve(greet_and_leave)
        with standard_streams(b"") as output:
            os.close(0)
            assert main(["relay", "127.0.0.1", port]) == 0
            assert os.fstat(0).st_rdev == Path(os.devnull).stat().st_rdev
        assert output == GREETING


class TestTheWay:
    @pytest.mark.parametrize(
        ("words", "url", "expected"),
        [
            ([], f"http://{USER}:{PASSWORD}@h:1", Proxy(f"http://{USER}:{PASSWORD}@h:1")),
            (["--login", "negotiate"], "http://h:1", Proxy("http://h:1", auth=Negotiate())),
            (
                ["--login", "negotiate"], f"http://{USER}:{PASSWORD}@h:1",
                Proxy("http://h:1", auth=Negotiate(USER, PASSWORD)),
            ),
            (
                ["--login", "negotiate"], f"http://{USER}@h:1",
                Proxy("http://h:1", auth=Negotiate(USER)),
            ),
            (
                ["--login", "ntlm"], f"http://{USER}:{PASSWORD}@h:1",
                Proxy("http://h:1", auth=NTLM(USER, PASSWORD)),
            ),
            (
                ["--no-close-notify"], "https://h:1",
                Proxy("https://h:1", require_close_notify=False),
            ),
            (
                ["--no-close-notify", "--login", "negotiate"], "https://h:1",
                Proxy("https://h:1", auth=Negotiate(), require_close_notify=False),
            ),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "command", [["relay", "a.test", "1"], ["forward", ":0", "a.test:1"], ["proxy", ":0"]]
    )
    def test_is_given_to_each_command_in_the_same_words(
        self, command: list[str], words: list[str], url: str, expected: Proxy
    ) -> None:
        arguments = connect_tunnel.cli._parser().parse_args([*command, "-x", url, *words])
        assert way(arguments) == expected
        assert arguments.timeout == 30

    @pytest.mark.parametrize(("option", "code"), [([], 1), (["--no-close-notify"], 0)])
    def test_an_end_without_close_notify(
        self, tmp_path: Path, option: list[str], code: int
    ) -> None:
        ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
        ca.cert_pem.write_to_path(tmp_path / "ca.pem")
        opened = Send(b"HTTP/1.1 200 OK\r\n\r\n" + GREETING)
        # Input that does not end. Its end would be passed on, and a proxy that closes with that
        # unread resets the connection.
        ours, theirs = socket.socketpair()
        with (
            ours,
            theirs,
            ScriptedProxy(Receive(), opened, Close(), ssl_context=context) as proxy,
        ):
            done = subprocess.run(
                [*COMMAND, "relay", "a.test", "1", "-x", proxy.url, *option],
                env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem")},
                stdin=theirs.fileno(), capture_output=True, timeout=30, check=False,
            )  # fmt: skip
        assert done.stdout == GREETING
        assert (b"ended without a close_notify" in done.stderr) == bool(code)
        assert done.returncode == code


class TestWhatGoesWrong:
    def test_a_refusal(self, proxy: LoopbackProxy, capfd: pytest.CaptureFixture[str]) -> None:
        wrong = f"http://{USER}:not-{PASSWORD}@{proxy.host}:{proxy.port}"
        assert main(["relay", "127.0.0.1", "22", "-x", wrong, "--timeout", "5"]) == 1
        said = one_line(capfd)
        assert proxy.url in said
        assert "rejected the credentials" in said
        assert PASSWORD not in said

    @pytest.mark.parametrize(
        ("host", "port", "url"),
        [
            ("no host", "22", "http://proxy.invalid"),
            ("host.example", "0", "http://proxy.invalid"),
            ("host.example", "22", f"gopher://{USER}:{PASSWORD}@proxy.invalid"),
            ("host.example", "22", f"{USER}:{PASSWORD}@proxy.invalid"),
        ],
    )
    def test_an_impossible_target_or_proxy(
        self, capfd: pytest.CaptureFixture[str], host: str, port: str, url: str
    ) -> None:
        assert main(["relay", host, port, "-x", url]) == 2
        assert PASSWORD not in one_line(capfd)

    def test_it_is_said_in_one_write(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or who ends us in between, as ssh does, leaves half a line."""

        class Sink(io.StringIO):
            def write(self, text: str) -> int:
                written.append(text)
                return len(text)

        written: list[str] = []
        monkeypatch.setattr(sys, "stderr", Sink())
        assert main(["relay", "host.example", "0", "-x", "http://proxy.invalid"]) == 2
        [line] = written
        assert line.startswith("connect-tunnel: ")
        assert line.endswith("\n")

    def test_nowhere_to_say_it(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "stderr", None)
        assert main(["relay", "host.example", "0", "-x", "http://proxy.invalid"]) == 2
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["dig"],
            ["relay"],
            ["relay", "host.example"],
            ["relay", "host.example", "22"],  # and no proxy
            ["relay", "host.example", "ssh", "-x", "http://proxy.invalid"],
            ["relay", "host.example", "22", f"http://{USER}:{PASSWORD}@proxy.invalid"],
            ["relay", "host.example", "22", "-x", "http://proxy.invalid", "--timeout", "0"],
            ["relay", "host.example", "22", "-x", "http://proxy.invalid", "--timeout", "nan"],
            ["relay", "host.example", "22", "-x", "http://proxy.invalid", "--timeout", "soon"],
            [f"http://{USER}:{PASSWORD}@proxy.invalid"],
        ],
    )
    def test_wrong_usage(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        arguments: list[str],
    ) -> None:
        monkeypatch.delenv(PROXY_VARIABLE, raising=False)
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2
        output, errors = capfd.readouterr()
        assert output == ""
        assert "usage: connect-tunnel" in errors
        assert PASSWORD not in errors

    def test_the_help_text_does_not_show_the_environment(
        self, proxy: LoopbackProxy, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit, match="0"):
            main(["relay", "--help"])
        output = capfd.readouterr().out
        assert PROXY_VARIABLE in output
        assert PASSWORD not in output

    def test_an_interruption(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("connect_tunnel.cli.relay.open_tunnel", interrupt)
        assert main(["relay", "host.example", "22", "-x", "http://proxy.invalid"]) == 130


class TestDemo:
    def test_shows_tunnels_and_a_refusal(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["demo"]) == 0
        output, errors = capfd.readouterr()
        assert errors == ""
        assert output.count("the server speaks first") == 2
        assert "TunnelRefused" in output
        assert "open sesame" not in output

    def test_needs_no_rich(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "rich.console", None)
        assert main(["demo"]) == 0
        assert "403" in capfd.readouterr().out

    def test_needs_trustme_and_says_so(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "trustme", None)
        assert main(["demo"]) == 1
        assert "connect-tunnel[cli]" in one_line(capfd)

    def test_fails_if_what_is_refused_is_opened(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("connect_tunnel.cli.demo._REFUSAL", b"HTTP/1.1 200 OK\r\n\r\n")
        assert main(["demo"]) == 1
        assert "was opened" in capfd.readouterr().err


def test_python_m(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["connect-tunnel", "--version"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("connect_tunnel", run_name="__main__")
    assert capfd.readouterr().out == f"connect-tunnel {connect_tunnel.__version__}\n"


def one_line(capfd: pytest.CaptureFixture[str]) -> str:
    """What was said on standard error, which is one line, of the program's own."""
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.startswith("connect-tunnel: ")
    assert errors.count("\n") == 1
    return errors


@contextlib.contextmanager
def pipe() -> Generator[tuple[int, int], None, None]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@contextlib.contextmanager
def standard_streams(given: bytes, after: bytes = b"") -> Generator[bytearray, None, None]:
    """Make `given` the standard input, and gather standard output, to be had after the block.

    The input comes once as much as `after` was put out.
    """
    kept = os.dup(0), os.dup(1)
    source, feed = os.pipe()
    result, sink = os.pipe()
    output = bytearray()

    def talk() -> None:
        while len(output) < len(after) and (data := os.read(result, 65536)):
            output.extend(data)
        os.write(feed, given)
        os.close(feed)

    talking = threading.Thread(target=talk)
    talking.start()
    move(source, 0)
    move(sink, 1)
    try:
        yield output
    finally:
        move(kept[0], 0)
        move(kept[1], 1)
        talking.join()
        output += os.read(result, 65536)
        os.close(result)


def move(descriptor: int, to: int) -> None:
    os.dup2(descriptor, to)
    os.close(descriptor)
