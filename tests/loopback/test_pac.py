"""PAC files on a server, and routers that follow them in every shell (EN-13, EN-14, EN-15)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from connect_tunnel import (
    InvalidProxy,
    ProxyUnreachable,
    Target,
    Timeout,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel._net.driver import Driver
from connect_tunnel._sync.bell import SocketBell
from connect_tunnel.routing import Pac
from connect_tunnel.testing import HalfClose, Receive, ScriptedProxy, replay
from connect_tunnel.testing import Send as Say

from .raw import OK
from .shells import SHELLS, converse, failure, nothing_left, perform, refusing

if TYPE_CHECKING:
    from collections.abc import Generator

    from connect_tunnel.routing import Decision

SCRIPT = b"function FindProxyForURL(url, host) { return 'PROXY ' + host + ':3128' }"
TYPE = "application/x-ns-proxy-autoconfig"
# One call of the engine's own that goes on for some seconds, whatever is said.
NATIVE = """
function FindProxyForURL(url, host) {
  return 'x'.repeat(2 ** 16).indexOf('x'.repeat(2 ** 15) + 'y') + ''
}
"""


def route(pac: Pac, host: str = "h.test") -> Decision:
    return replay(pac.route(Target(host, 443))).value


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        served.append(self.path)
        match self.path.partition("?")[0]:
            case "/proxy.pac":
                self.answer(200, SCRIPT)
            case "/latin.pac":
                self.answer(200, "// é".encode("latin-1") + b"\n" + SCRIPT, f"{TYPE}; charset=x")
            case "/moved.pac":
                self.answer(302, b"", Location="/proxy.pac")
            case "/elsewhere.pac":
                self.answer(302, b"", Location="file:///etc/passwd")
            case "/large.pac":
                self.answer(200, b" " * 2**21)
            case "/cut.pac":
                self.answer(200, SCRIPT, length=999)
            case "/slow.pac":
                self.send_response(200)
                self.end_headers()
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(0.05)
            case "/odd.pac":
                self.wfile.write(b"220 smtp.test ready\r\n")
            case _:
                self.answer(404, SCRIPT)

    def answer(
        self, status: int, body: bytes, kind: str = TYPE, length: int | None = None, **fields: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - its name there


served: list[str] = []


class Server(ThreadingHTTPServer):
    """One that does not mind clients that leave."""

    def handle_error(self, request: Any, client_address: Any) -> None: ...


@contextmanager
def serve() -> Generator[str]:
    served.clear()
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # which is none of its business
    with serve() as base:
        yield base


@pytest.mark.parametrize(
    "path", ["/proxy.pac", "/latin.pac", "/moved.pac", "/proxy.pac?key=s3cret"]
)
def test_en_13_a_file_on_a_server(base: str, path: str) -> None:
    """EN-13: it is fetched without a proxy, once, and its query is nobody else's business."""
    pac = Pac.from_url(base + path)
    assert served == []
    decision = route(pac)
    assert str(decision) == "through http://h.test:3128"
    assert decision.rule == f"the PAC file at '{base}{path[:10]}' says 'PROXY h.test:3128'"
    assert route(pac) == decision
    assert len(served) == (2 if path == "/moved.pac" else 1)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/none.pac", "cannot be fetched: the server answers 404$"),
        ("/elsewhere.pac", "cannot be fetched: the server answers 302$"),
        ("/large.pac", "is larger than 1 MiB$"),
        ("/cut.pac", "comes in part only$"),
        ("/slow.pac", r"(comes too slowly|takes longer than 0\.3 s: it is read)$"),
        ("/odd.pac", "cannot be fetched: 220 smtp.test ready"),
    ],
)
def test_what_cannot_be_fetched(base: str, path: str, words: str) -> None:
    with nothing_left():
        pac = Pac.from_url(base + path, timeout=0.3 if path == "/slow.pac" else 5)
        start = time.monotonic()
        for _ in range(2):  # the second time nobody is asked
            with pytest.raises(InvalidProxy, match=rf"^the PAC file at '{base}{path}' {words}"):
                route(pac)
        assert served == [path]
        assert time.monotonic() - start < 2


def test_where_nobody_is() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(InvalidProxy, match=r"cannot be fetched: Connection refused$"):
            route(Pac.from_url(url))


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, nothing_left():
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        start = time.monotonic()
        with pytest.raises(InvalidProxy, match=r"cannot be fetched: timed out|takes longer than"):
            route(Pac.from_url(url, timeout=0.3))
        assert time.monotonic() - start < 1


def test_it_is_fetched_again_and_the_old_one_is_good_until_then() -> None:
    with serve() as base:
        pac = Pac.from_url(base + "/proxy.pac", refresh=0.2)
        decisions = [route(pac)]
        time.sleep(0.25)
        decisions.append(route(pac))
        assert len(served) == 2
        time.sleep(0.25)
    decisions.append(route(pac))
    assert len(set(decisions)) == 1


# ---- in the shells ----


def drive(shell: str, pac: Pac, timeout: float | None = 5) -> Decision:
    driver = Driver(Target("h.test", 443), Timeout.parse(timeout), new_bell=SocketBell)
    decision: Decision = perform(
        shell, driver.run(pac.route(Target("h.test", 443))), driver.deadline
    )
    return decision


@pytest.mark.parametrize("shell", SHELLS)
def test_in_every_shell(shell: str) -> None:
    with nothing_left(), serve() as base:
        for pac in (
            Pac(SCRIPT.decode()),
            Pac.from_url(base + "/proxy.pac"),
            Pac(lambda url, host: f"PROXY {host}:3128"),
        ):
            assert str(drive(shell, pac)) == "through http://h.test:3128"


@pytest.mark.parametrize("shell", ["asyncio", "trio"])
def test_a_coroutine_function(shell: str) -> None:
    async def find(url: str, host: str) -> str:
        await anyio.sleep(0.01)
        return f"PROXY {host}:3128"

    assert str(drive(shell, Pac(find))) == "through http://h.test:3128"


@pytest.mark.parametrize("shell", SHELLS)
def test_an_error_says_where_it_was(shell: str) -> None:
    with pytest.raises(InvalidProxy, match="the PAC text fails: SyntaxError") as caught:
        drive(shell, Pac("x = ;"))
    assert caught.value.phase == "resolve"
    assert caught.value.target == "h.test:443"
    assert caught.value.elapsed is not None


@pytest.mark.parametrize("shell", SHELLS)
def test_the_time_of_the_opening_ends_first(shell: str) -> None:
    """And what the script is in the middle of is left to itself."""
    with nothing_left():
        start = time.monotonic()
        with pytest.raises(TunnelTimeout):
            drive(shell, Pac("for (;;);", timeout=1), timeout=0.2)
        assert time.monotonic() - start < 0.9


HI = Say(b"hi"), HalfClose()
SAYS_NO = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"


def listing(*items: str) -> Pac:
    return Pac(f"function FindProxyForURL(url, host) {{ return '{'; '.join(items)}' }}")


@pytest.mark.parametrize("shell", SHELLS)
def test_en_14_the_next_is_taken_for_what_cannot_be_reached(shell: str) -> None:
    """EN-14: and it is tried last from then on."""
    with nothing_left(), refusing() as (_, dead), ScriptedProxy(Receive(), Say(OK), *HI) as proxy:
        pac = listing(f"PROXY 127.0.0.1:{dead}", f"PROXY 127.0.0.1:{proxy.port}")
        assert [way[0].port for way in route(pac).ways] == [dead, proxy.port]
        assert converse(shell, via=pac) == b"hi"
        assert [way[0].port for way in route(pac).ways] == [proxy.port, dead]
        assert converse(shell, via=pac) == b"hi"
        assert len(proxy.heads) == 2


@pytest.mark.parametrize("shell", SHELLS)
def test_en_14_a_refusal_is_final(shell: str) -> None:
    """EN-14: the next is not asked, and the direct way is not taken."""
    with (
        nothing_left(),
        ScriptedProxy(Receive(), Say(SAYS_NO)) as first,
        ScriptedProxy(Receive(), Say(OK), *HI) as second,
    ):
        pac = listing(f"PROXY 127.0.0.1:{first.port}", f"PROXY 127.0.0.1:{second.port}", "DIRECT")
        error = failure(shell, via=pac)
        assert isinstance(error, TunnelRefused)
        assert error.response.status == 403
        assert second.heads == []
        assert [way[0].port for way in route(pac).ways[:2]] == [first.port, second.port]


@pytest.mark.parametrize("shell", SHELLS)
def test_en_14_nothing_goes_direct_that_is_not_listed(shell: str) -> None:
    """EN-14: not even where no proxy is left."""
    with nothing_left(), refusing() as (_, dead), ScriptedProxy(*HI) as target:
        pac = listing(f"PROXY 127.0.0.1:{dead}")
        error = failure(shell, (target.host, target.port), via=pac)
        assert isinstance(error, ProxyUnreachable)
        pac = listing(f"PROXY 127.0.0.1:{dead}", "DIRECT")
        assert converse(shell, (target.host, target.port), via=pac) == b"hi"


# ---- processes ----

IN_A_PROCESS = """
import sys
from connect_tunnel import InvalidProxy, Target
from connect_tunnel.routing import Pac
from connect_tunnel.testing import HalfClose, Receive, ScriptedProxy, replay
from connect_tunnel.testing import Send as Say
script = sys.stdin.read()
try:
    print(replay(Pac(script, timeout=float(sys.argv[1])).route(Target("h.test", 443))).value)
except InvalidProxy as error:
    print(error)
print("alive")
"""


@pytest.mark.parametrize(
    ("script", "timeout", "words"),
    [
        (SCRIPT.decode(), 5, "through http://h.test:3128"),
        ("for (;;);", 0.3, "longer than"),
        (NATIVE, 0.3, "takes longer than 0.3 s: it is run"),
        ("x = ;", 5, "fails: SyntaxError"),
        ("var a = []; for (;;) a.push(a.length + 'xxxx')", 5, "memory"),
        ("var s = 'x'.repeat(2 ** 29) + 'x'", 5, "memory"),
    ],
)
def test_en_13_a_process_lives_on_and_ends(script: str, timeout: float, words: str) -> None:
    """EN-13: also with a thread in it that is still in the middle of something."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", IN_A_PROCESS, str(timeout)],
        input=script,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert words in done.stdout
    assert done.stdout.endswith("\nalive\n")
    assert (done.stderr, done.returncode) == ("", 0)
    assert time.monotonic() - start < 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork() -> None:
    """The child is not stuck in what a thread of its parent was doing."""
    script = "function FindProxyForURL(url, host) { while (host == 'stuck'); return 'HTTP a' }"
    pac = Pac(script, timeout=1)
    assert str(route(pac)) == "through http://a:80"

    def get_stuck() -> None:
        with pytest.raises(InvalidProxy):
            route(pac, "stuck")

    stuck = threading.Thread(target=get_stuck)
    stuck.start()
    time.sleep(0.2)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, str(route(pac)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"through http://a:80"
    os.waitpid(pid, 0)
    stuck.join()
