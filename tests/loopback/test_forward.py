"""Listeners in the three shells: what clients get, what breaks, and how it all ends."""

from __future__ import annotations

import errno
import logging
import os
import socket
import tempfile
import threading
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.from_thread
import pytest

import connect_tunnel
from connect_tunnel import (
    AsyncForwarder,
    Forwarder,
    InvalidProxy,
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    TunnelRefused,
    forward,
    forward_async,
    open_tunnel,
    serve_proxy,
)
from connect_tunnel._async import bridge as bridge_module
from connect_tunnel._async import entrance as entrance_module
from connect_tunnel._async import forward as forward_module
from connect_tunnel._async import relay as relay_module
from connect_tunnel._net import listen as listen_module
from connect_tunnel._net.pair import socket_pair
from connect_tunnel.routing import Direct
from connect_tunnel.testing import (
    Close,
    Echo,
    Flood,
    HalfClose,
    LoopbackProxy,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .raw import OK, receive_all, receive_exactly, receive_head
from .shells import BACKENDS, SHELLS, nothing_left, refusing, took
from .shells import wait_until as wait_briefly_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Generator

    from connect_tunnel.testing import Step

MANY: Final = 4 << 20
LINGER: Final = b"\1\0\0\0\0\0\0\0"
USER, PASSWORD = "alice", "s3cret"
CONNECT: Final = b"CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\n\r\n"

wait_until: Final = partial(wait_briefly_until, seconds=10)

Listening = Any  # Forwarder or AsyncForwarder, which have the same attributes


@pytest.fixture(autouse=True)
def nothing_is_left() -> Generator[None]:
    with nothing_left():
        yield


@contextmanager
def listening(shell: str, kind: str, *args: Any, **options: Any) -> Generator[Listening]:
    """A listener in a shell: "forward" or "serve_proxy". An async one has a thread for its loop."""
    if shell == "sync":
        with getattr(connect_tunnel, kind)(*args, **options) as forwarder:
            yield forwarder
    else:
        made = getattr(connect_tunnel, f"{kind}_async")(*args, **options)
        with (
            anyio.from_thread.start_blocking_portal(shell) as portal,
            portal.wrap_async_context_manager(made) as forwarder,
        ):
            yield forwarder


@contextmanager
def to_script(shell: str, *script: Step, **options: Any) -> Generator[Listening]:
    """Forwarding through a proxy that grants a tunnel, and does these steps in it."""
    ssl_context: tuple[ssl.SSLContext, ssl.SSLContext] | None = options.pop("contexts", None)
    server, client = ssl_context or (None, None)
    with ScriptedProxy(Receive(), Send(OK), *script, ssl_context=server) as proxy:
        via = Proxy(proxy.url, ssl_context=client)
        with listening(shell, "forward", "127.0.0.1:0", "a.test:1", via=via, **options) as it:
            yield it
        assert proxy.wait_closed()


@contextmanager
def dial(forwarder: Listening) -> Generator[socket.socket]:
    with socket.create_connection((forwarder.host, forwarder.port), timeout=10) as sock:
        yield sock


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    sock.close()


@pytest.fixture(params=["plain", "tls"])
def contexts(
    request: pytest.FixtureRequest, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> tuple[ssl.SSLContext, ssl.SSLContext] | None:
    """A plain way to the proxy, whose socket is joined; and TLS, where it is one of a bridge."""
    return (server_context, client_context) if request.param == "tls" else None


@pytest.mark.parametrize("shell", SHELLS)
class TestForwarding:
    def test_bytes_both_ways_at_once(self, shell: str, contexts: Any) -> None:
        data = os.urandom(MANY)
        with (
            to_script(shell, Echo(), HalfClose(), contexts=contexts) as forwarder,
            dial(forwarder) as sock,
        ):
            writing = threading.Thread(target=sock.sendall, args=[data])
            writing.start()
            assert receive_exactly(sock, MANY) == data
            writing.join()
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""

    def test_a_server_that_speaks_first_and_ends_first(self, shell: str, contexts: Any) -> None:
        script: list[Step] = [Send(b"220 hi"), HalfClose(), Echo()]
        with to_script(shell, *script, contexts=contexts) as forwarder, dial(forwarder) as sock:
            assert receive_all(sock) == b"220 hi"
            sock.sendall(b"still speaking")
            wait_until(lambda: forwarder.connections == 1)

    def test_an_answer_after_the_end_of_the_question(self, shell: str, contexts: Any) -> None:
        with (
            to_script(shell, Echo(), HalfClose(), contexts=contexts) as forwarder,
            dial(forwarder) as sock,
        ):
            sock.sendall(b"question")
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b"question"

    def test_a_reset_stays_one_and_destroys_nothing(
        self, shell: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was written before it comes arrives, although the client is slow to read."""
        resetting = threading.Event()
        settle = relay_module.settle

        async def tell_and_settle(*socks: socket.socket) -> None:
            resetting.set()
            await settle(*socks)

        monkeypatch.setattr(relay_module, "settle", tell_and_settle)
        last = os.urandom(300_000)  # more than the client's kernel takes before it reads
        with (
            to_script(shell, Receive(), Send(last), Wait(0.1), Reset()) as forwarder,
            dial(forwarder) as sock,
        ):
            sock.sendall(CONNECT)
            assert resetting.wait(10)
            assert receive_exactly(sock, len(last)) == last
            with pytest.raises(ConnectionResetError):
                sock.recv(1)

    def test_the_last_words_of_a_server_reach_a_client_that_is_speaking(self, shell: str) -> None:
        """It has ended, and answers what still comes by a reset, which is no reset of its words."""
        last = os.urandom(300_000)
        with (
            to_script(shell, Receive(), Send(last), HalfClose(), Wait(0.1), Close()) as forwarder,
            dial(forwarder) as sock,
        ):
            sock.sendall(CONNECT)
            spoken = threading.Event()

            def speak_on() -> None:
                with suppress(OSError):
                    while not spoken.wait(0.001):
                        sock.sendall(b"and another thing")

            speaking = threading.Thread(target=speak_on)
            speaking.start()
            time.sleep(0.3)
            assert receive_all(sock) == last
            spoken.set()
            speaking.join()

    def test_a_client_that_resets(self, shell: str, contexts: Any) -> None:
        with to_script(shell, Echo(), HalfClose(), contexts=contexts) as forwarder:
            with dial(forwarder) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
                reset(sock)
            wait_until(lambda: forwarder.connections == 0)

    def test_a_reset_of_the_client_is_one_for_the_target(self, shell: str, contexts: Any) -> None:
        """An end would make what it has sent look whole."""
        server, client = contexts or (None, None)
        with (
            socket.create_server(("127.0.0.1", 0)) as target,
            LoopbackProxy(ssl_context=server) as proxy,
            listening(
                shell, "forward", "127.0.0.1:0", target.getsockname(),
                via=Proxy(proxy.url, ssl_context=client),
            ) as forwarder,
        ):  # fmt: skip
            with dial(forwarder) as sock:
                accepted, _ = target.accept()
                sock.sendall(b"x")
                assert accepted.recv(1) == b"x"
                reset(sock)
            with accepted, pytest.raises(ConnectionResetError):
                accepted.recv(1)

    def test_a_client_that_leaves_in_the_middle(self, shell: str, contexts: Any) -> None:
        with to_script(shell, Flood(b"x" * 65536), contexts=contexts) as forwarder:
            with dial(forwarder) as sock:
                receive_exactly(sock, 100_000)
            wait_until(lambda: forwarder.connections == 0)

    def test_t23_each_client_has_a_tunnel_and_its_own(self, shell: str) -> None:
        with (
            Echoing() as target,
            LoopbackProxy(auth=(USER, PASSWORD)) as proxy,
            listening(
                shell, "forward", "127.0.0.1:0", target,
                via=Proxy(proxy.url, auth=(USER, PASSWORD)),
            ) as forwarder,
            ExitStack() as stack,
        ):  # fmt: skip
            socks = [stack.enter_context(dial(forwarder)) for _ in range(50)]
            for number, sock in enumerate(socks):
                sock.sendall(b"%d" % number)
            for number, sock in enumerate(socks):
                tag = b"%d" % number
                assert receive_exactly(sock, len(tag)) == tag
            assert forwarder.connections == 50
            # One 407 at most, as the dialer remembers.
            assert len(proxy.requests) == 50

    def test_an_error_is_logged_and_ends_nothing(
        self, shell: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "connect_tunnel")
        with refusing() as (host, port):
            via = f"http://{USER}:{PASSWORD}@{host}:{port}"
            with listening(shell, "forward", "127.0.0.1:0", "a.test:1", via=via) as forwarder:
                for _ in range(2):
                    with pytest.raises(ConnectionResetError), dial(forwarder) as sock:
                        sock.recv(1)
                wait_until(lambda: forwarder.connections == 0)
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == 2
        assert told[0].startswith(f"no tunnel: proxy http://{host}:{port} cannot be reached")
        assert PASSWORD not in caplog.text

    def test_an_error_is_given_to_who_wants_it(
        self, shell: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        errors: list[Exception] = []

        def take(error: Exception) -> None:
            errors.append(error)
            raise RuntimeError("of no interest to the listener")

        options: Any = {"via": "http://127.0.0.1:9", "on_error": take}
        no = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
        with ScriptedProxy(Receive(), Send(no), Close()) as proxy:
            options["via"] = proxy.url
            with (
                listening(shell, "forward", "127.0.0.1:0", "a.test:1", **options) as forwarder,
                pytest.raises(ConnectionResetError),
                dial(forwarder) as sock,
            ):
                sock.recv(1)
        assert [type(error) for error in errors] == [TunnelRefused]
        assert "on_error failed" in caplog.text

    def test_more_than_the_limit_wait(self, shell: str) -> None:
        with (
            Echoing() as target,
            listening(
                shell, "forward", "127.0.0.1:0", target, via=Direct(), max_connections=2
            ) as forwarder,
            dial(forwarder) as one,
            dial(forwarder) as two,
        ):
            for sock in (one, two):
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
            with dial(forwarder) as three:
                three.sendall(b"y")
                three.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    three.recv(1)
                assert forwarder.connections == 2
                one.close()
                three.settimeout(10)
                assert three.recv(1) == b"y"

    def test_without_descriptors_it_waits_for_some(
        self, shell: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        tries = 0
        accept = listen_module.accept

        def fail_at_first(listener: socket.socket) -> Any:
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return accept(listener)

        monkeypatch.setattr(forward_module, "accept", fail_at_first)
        with Echoing() as target:
            forwarding = listening(shell, "forward", "127.0.0.1:0", target, via=Direct())
            with took(0.3, 10), forwarding as forwarder, dial(forwarder) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
        assert tries < 20  # and does not spin
        assert caplog.text.count("Too many open files") == 1

    def test_it_is_used_once(self, shell: str) -> None:
        with listening(shell, "forward", "[::1]:0", "a.test:1", via=Direct()) as forwarder:
            assert forwarder.address == f"[::1]:{forwarder.port}"
            name = "Forwarder" if shell == "sync" else "AsyncForwarder"
            assert repr(forwarder) == f"<{name} from {forwarder.address} to a.test:1>"
            with pytest.raises(LookupError, match=r"is no proxy, but leads to a\.test:1"):
                forwarder.proxy_url  # noqa: B018 - asking is the test
        with pytest.raises(RuntimeError, match="listens once"), enter(shell, forwarder):
            pass

    def test_an_address_that_is_taken(self, shell: str) -> None:
        with refusing() as address:
            making = listening(shell, "forward", address, "a.test:1", via=Direct())
            with pytest.raises(OSError, match="in use") as caught, making:
                pass
        assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", ["forward", "serve_proxy"])
def test_t13_hundreds_of_refusals_leave_nothing_behind(shell: str, kind: str) -> None:
    no = b"HTTP/1.1 403 No\r\nContent-Length: 8\r\n\r\nAsk Bob."
    errors: list[Exception] = []
    with LoopbackProxy(refuse=lambda _: no) as proxy:
        options: Any = {"via": proxy.url, "on_error": errors.append}
        if kind == "forward":
            with listening(shell, kind, "127.0.0.1:0", "a.test:1", **options) as listener:
                for _ in range(300):
                    with pytest.raises(ConnectionResetError), dial(listener) as sock:
                        sock.recv(1)
        else:
            with listening(shell, kind, "127.0.0.1:0", auth=None, **options) as listener:
                for _ in range(300):
                    assert ask(listener, CONNECT)[0] == 403
        wait_until(lambda: listener.connections == 0)
    assert {type(error) for error in errors} == {TunnelRefused}
    assert len(errors) == 300


@contextmanager
def enter(shell: str, forwarder: Listening) -> Generator[None]:
    if shell == "sync":
        with forwarder:
            yield
    else:
        with (
            anyio.from_thread.start_blocking_portal(shell) as portal,
            portal.wrap_async_context_manager(forwarder),
        ):
            yield


class Echoing:
    """A target that echoes, in a thread for each connection."""

    def __enter__(self) -> tuple[str, int]:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=300)
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()
        address: tuple[str, int] = self._listener.getsockname()
        return address

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._echo, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _echo(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            while data := sock.recv(65536):
                sock.sendall(data)


@pytest.mark.parametrize("shell", SHELLS)
class TestTheEnd:
    def test_what_is_open_may_come_to_its_end(self, shell: str) -> None:
        with ExitStack() as outer:
            target = outer.enter_context(Echoing())
            with (
                took(0.2, 10),
                listening(shell, "forward", "127.0.0.1:0", target, via=Direct()) as forwarder,
            ):
                sock = outer.enter_context(dial(forwarder))
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"

                def finish() -> None:
                    time.sleep(0.2)
                    with pytest.raises(ConnectionRefusedError), dial(forwarder):
                        pass
                    sock.sendall(b"last")
                    assert receive_exactly(sock, 4) == b"last"
                    sock.shutdown(socket.SHUT_WR)
                    assert sock.recv(1) == b""

                finishing = threading.Thread(target=finish)
                finishing.start()
            finishing.join()

    @pytest.mark.parametrize("drain", [0, 0.2])
    def test_what_does_not_end_is_reset(self, shell: str, drain: float) -> None:
        with ExitStack() as outer:
            target = outer.enter_context(Echoing())
            with (
                took(drain, 10),
                listening(
                    shell, "forward", "127.0.0.1:0", target, via=Direct(), drain=drain
                ) as forwarder,
            ):
                sock = outer.enter_context(dial(forwarder))
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
            with pytest.raises(ConnectionResetError):
                sock.recv(1)

    def test_an_error_in_the_block_comes_out_as_it_is(self, shell: str) -> None:
        making = listening(shell, "forward", "127.0.0.1:0", "a.test:1", via=Direct())
        with pytest.raises(ZeroDivisionError), making:
            raise ZeroDivisionError

    def test_an_interruption_does_not_wait(self, shell: str) -> None:
        with ExitStack() as outer:
            target = outer.enter_context(Echoing())
            options: Any = {"via": Direct(), "drain": None}
            making = listening(shell, "forward", "127.0.0.1:0", target, **options)
            sock = outer.enter_context(socket.socket())
            with took(0, 10), suppress(KeyboardInterrupt), making as forwarder:
                sock.settimeout(10)
                sock.connect((forwarder.host, forwarder.port))
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
                raise KeyboardInterrupt
            with pytest.raises(ConnectionResetError):
                sock.recv(1)

    def test_an_opening_is_called_off(self, shell: str) -> None:
        with ScriptedProxy(Receive(), Wait(30)) as proxy:
            options: Any = {"via": proxy.url, "drain": 0}
            with (
                took(0, 10),
                listening(shell, "forward", "127.0.0.1:0", "a.test:1", **options) as forwarder,
                dial(forwarder),
            ):
                wait_until(lambda: forwarder.connections == 1)
                time.sleep(0.05)


@pytest.mark.parametrize("backend", BACKENDS)
class TestCancellation:
    @pytest.mark.parametrize("drain", [None, 30.0])
    def test_it_ends_everything_at_once(self, backend: str, drain: float | None) -> None:
        async def use(target: tuple[str, int]) -> None:
            making = forward_async("127.0.0.1:0", target, via=Direct(), drain=drain)
            with anyio.move_on_after(0.2) as scope:
                async with making, talking(making):
                    await anyio.sleep_forever()
            assert scope.cancelled_caught
            assert making.connections == 0

        with Echoing() as target, took(0.2, 10):
            anyio.run(use, target, backend=backend)

    def test_while_it_drains(self, backend: str) -> None:
        async def use(target: tuple[str, int]) -> None:
            making = forward_async("127.0.0.1:0", target, via=Direct(), drain=None)
            async with anyio.create_task_group() as tasks:
                with anyio.move_on_after(0.2) as scope:
                    async with making:
                        await tasks.start(talk_on, making)
                assert scope.cancelled_caught
                assert making.connections == 0
                tasks.cancel_scope.cancel()

        async def talk_on(forwarder: AsyncForwarder, *, task_status: Any) -> None:
            async with talking(forwarder):
                task_status.started()
                await anyio.sleep_forever()

        with Echoing() as target, took(0.2, 10):
            anyio.run(use, target, backend=backend)


@asynccontextmanager
async def talking(forwarder: AsyncForwarder) -> AsyncGenerator[None]:
    async with await anyio.connect_tcp(forwarder.host, forwarder.port) as stream:
        await stream.send(b"x")
        assert await stream.receive() == b"x"
        yield


@pytest.fixture
def tmp_path() -> Generator[Path]:
    """Short enough for the name of a Unix socket, wherever the tests run."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


class TestUnixSockets:
    @pytest.mark.parametrize("shell", SHELLS)
    def test_to_a_target(self, shell: str, tmp_path: Path) -> None:
        path = tmp_path / "db"
        with (
            Echoing() as target,
            listening(shell, "forward", f"unix:{path}", target, via=Direct()) as forwarder,
            socket.socket(socket.AF_UNIX) as sock,
        ):
            assert (forwarder.address, forwarder.host) == (f"unix:{path}", str(path))
            assert forwarder.port == 0
            assert path.stat().st_mode & 0o777 == 0o600
            sock.settimeout(10)
            sock.connect(str(path))
            data = os.urandom(MANY)
            writing = threading.Thread(target=sock.sendall, args=[data])
            writing.start()
            assert receive_exactly(sock, MANY) == data
            writing.join()
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
        assert not path.exists()

    def test_one_that_was_left_behind_makes_room(self, tmp_path: Path) -> None:
        path = tmp_path / "db"
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(str(path))
            old.listen()
            making = forward(f"unix:{path}", "a.test:1", via=Direct())
            with pytest.raises(OSError, match="in use"), making:
                pass
        with forward(f"unix:{path}", "a.test:1", via=Direct()):
            path.unlink()  # which is as good as closed

    def test_a_file_does_not(self, tmp_path: Path) -> None:
        path = tmp_path / "db"
        path.write_text("precious")
        with (
            pytest.raises(OSError, match="in use"),
            forward(f"unix:{path}", "a.test:1", via=Direct()),
        ):
            pass
        assert path.read_text() == "precious"

    def test_a_proxy(self, tmp_path: Path) -> None:
        with (
            Echoing() as target,
            serve_proxy(f"unix:{tmp_path}/a proxy", via=Direct()) as proxy,
            open_tunnel(target, via=proxy.proxy_url) as tunnel,
        ):
            tunnel.write(b"x")
            assert tunnel.read(timeout=10) == b"x"


def ask(forwarder: Listening, said: bytes) -> tuple[int, bytes]:
    """What a proxy answers, and that it ends in order although we say more than it hears."""
    with dial(forwarder) as sock:
        sock.sendall(said)
        answer = receive_all(sock)
    return int(answer.split()[1]), answer


@pytest.mark.parametrize("shell", SHELLS)
class TestTheProxy:
    def test_adds_the_credentials(self, shell: str) -> None:
        with (
            Echoing() as target,
            LoopbackProxy(auth=(USER, PASSWORD)) as real,
            listening(
                shell, "serve_proxy", "127.0.0.1:0", via=Proxy(real.url, auth=(USER, PASSWORD))
            ) as proxy,
            open_tunnel(target, via=proxy.proxy_url) as tunnel,
        ):
            tunnel.write(b"x" * 100)
            tunnel.send_eof()
            assert b"".join(iter(partial(tunnel.read, timeout=10), b"")) == b"x" * 100
            local = proxy.proxy_url.partition("@")[0].rpartition(":")[2]
            assert all(local.encode() not in head for _, head in real.requests)
            assert repr(proxy).endswith("to wherever its clients ask to go>")
            assert local not in repr(proxy)

    def test_lets_no_stranger_in(self, shell: str) -> None:
        with (
            LoopbackProxy() as real,
            listening(shell, "serve_proxy", "127.0.0.1:0", via=real.url) as proxy,
        ):
            with pytest.raises(ProxyAuthenticationRequired):
                open_tunnel("a.test:1", via=f"http://{proxy.address}")
            assert real.requests == []

    def test_passes_on_what_the_real_one_says(self, shell: str) -> None:
        no = b"HTTP/1.1 403 No\r\nX-Why: policy\r\nContent-Length: 8\r\n\r\nAsk Bob."
        with (
            ScriptedProxy(Receive(), Send(no), Close()) as real,
            listening(shell, "serve_proxy", "127.0.0.1:0", via=real.url, auth=None) as proxy,
            pytest.raises(TunnelRefused, match=r"Ask Bob\.") as caught,
        ):
            open_tunnel("a.test:1", via=proxy.proxy_url)
        response = caught.value.response
        assert (response.status, response.headers["x-why"], response.body) == (
            403,
            "policy",
            b"Ask Bob.",
        )

    def test_passes_on_what_came_with_the_tunnel(self, shell: str) -> None:
        ok = b"HTTP/1.1 200 OK\r\nX-Exit-IP: 192.0.2.1\r\n\r\nbanner"
        with (
            ScriptedProxy(Receive(), Send(ok), Wait(0.1), Close()) as real,
            listening(shell, "serve_proxy", "127.0.0.1:0", via=real.url, auth=None) as proxy,
            open_tunnel("a.test:1", via=proxy.proxy_url) as tunnel,
        ):
            assert tunnel.response.headers["x-exit-ip"] == "192.0.2.1"
            assert tunnel.read(timeout=10) == b"banner"

    def test_an_answer_survives_whatever_the_client_is_sending(self, shell: str) -> None:
        """To close with something left to read is a reset, and would destroy the answer."""
        with refusing() as (host, port):
            via = f"http://{host}:{port}"
            with listening(shell, "serve_proxy", "127.0.0.1:0", via=via, auth=None) as proxy:
                for said, code in (
                    (CONNECT + b"early " * 10_000, 502),
                    (b"POST http://a.test/ HTTP/1.1\r\n\r\n" + CONNECT * 1000, 405),
                    (b"\x16\x03\x01\x02\x00" * 1000, 400),
                    (b"X: " + b"x" * 100_000, 400),
                    (b"CONNECT a.test:1 HTTP/1.1\r\nX: " + b"x" * 100_000, 431),
                ):
                    status, answer = ask(proxy, said)
                    assert (status, answer.count(b"HTTP/1.1 ")) == (code, 1)

    def test_what_comes_early_is_for_the_target(self, shell: str) -> None:
        with (
            Echoing() as (host, port),
            listening(shell, "serve_proxy", "127.0.0.1:0", via=Direct(), auth=None) as proxy,
            dial(proxy) as sock,
        ):
            request = b"CONNECT %b:%d HTTP/1.1\r\n\r\n" % (host.encode(), port)
            for start in range(len(request)):  # byte by byte
                sock.sendall(request[start : start + 1])
            sock.sendall(b"early")
            assert receive_head(sock) == b"HTTP/1.1 200 Connection established\r\n\r\n"
            assert receive_exactly(sock, 5) == b"early"

    def test_a_client_that_says_nothing(self, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(entrance_module, "_HEAD_SECONDS", 0.1)
        with listening(shell, "serve_proxy", "127.0.0.1:0", via=Direct()) as proxy:
            assert ask(proxy, b"CONNECT a")[0] == 408

    def test_a_client_that_does_not_listen(
        self, shell: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor ends: it has its time, and then it is over."""
        monkeypatch.setattr(relay_module, "LINGER", 0.1)
        with (
            listening(shell, "serve_proxy", "127.0.0.1:0", via=Direct()) as proxy,
            dial(proxy) as sock,
        ):
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert receive_all(sock).startswith(b"HTTP/1.1 405 ")
            wait_until(lambda: proxy.connections == 0)

    def test_clients_that_leave(self, shell: str) -> None:
        """Nobody is told: it is what a check of a port does."""
        with listening(shell, "serve_proxy", "127.0.0.1:0", via=Direct()) as proxy:
            for said, leave in product((b"", b"CONNECT "), (socket.socket.close, reset)):
                with dial(proxy) as sock:
                    wait_until(lambda: proxy.connections == 1)  # not gone before it was there
                    sock.sendall(said)
                    leave(sock)
                wait_until(lambda: proxy.connections == 0)

    def test_a_fault_of_somebody_elses_ends_one_connection(
        self, shell: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def headers(_: object) -> Any:
            raise RuntimeError("s3cret")

        with LoopbackProxy() as real:
            via = Proxy(real.url, headers=headers)
            with listening(shell, "serve_proxy", "127.0.0.1:0", via=via, auth=None) as proxy:
                for _ in range(2):
                    status, answer = ask(proxy, CONNECT)
                    assert status == 500
                    assert b"s3cret" not in answer
        assert [record.exc_info is not None for record in caplog.records] == [True, True]


@pytest.mark.parametrize("shell", ["sync", "asyncio"])
class TestArguments:
    def make(self, shell: str, kind: str, *args: Any, **options: Any) -> Forwarder | AsyncForwarder:
        made: Any = getattr(connect_tunnel, kind if shell == "sync" else f"{kind}_async")
        result: Forwarder | AsyncForwarder = made(*args, **options)
        return result

    @pytest.mark.parametrize(
        ("change", "error", "match"),
        [
            ({"listen": "0.0.0.0:80"}, ValueError, "other machines"),
            ({"target": "a.test"}, InvalidTarget, "no port"),
            ({"via": f"gopher://{USER}:{PASSWORD}@h"}, InvalidProxy, "scheme"),
            ({"timeout": 0}, ValueError, "timeout"),
            ({"drain": -1}, ValueError, "drain"),
            ({"drain": float("nan")}, ValueError, "drain"),
            ({"max_connections": 0}, ValueError, "max_connections"),
        ],
    )
    def test_that_are_wrong(
        self, shell: str, change: dict[str, Any], error: type[Exception], match: str
    ) -> None:
        good: dict[str, Any] = {"listen": "127.0.0.1:0", "target": "a.test:1", "via": Direct()}
        with pytest.raises(error, match=match):
            self.make(shell, "forward", **(good | change))

    @pytest.mark.parametrize(
        ("change", "error", "match"),
        [
            ({"auth": "no"}, ValueError, "'random'"),
            ({"auth": (f"{USER}:", PASSWORD)}, ValueError, "colon"),
            ({"auth": None, "listen": "0.0.0.0:0", "allow_remote": True}, ValueError, "wants auth"),
            ({"listen": "nowhere"}, ValueError, "listen"),
            ({"via": f"gopher://{USER}:{PASSWORD}@h"}, InvalidProxy, "scheme"),
        ],
    )
    def test_of_a_proxy_that_are_wrong(
        self, shell: str, change: dict[str, Any], error: type[Exception], match: str
    ) -> None:
        """And no frame of the traceback has a password in a variable, for tools that print them."""
        good: dict[str, Any] = {
            "listen": "127.0.0.1:0",
            "auth": (USER, PASSWORD),
            "via": f"http://{USER}:{PASSWORD}@127.0.0.1",
        }
        with pytest.raises(error, match=match) as caught:
            self.make(shell, "serve_proxy", **(good | change))
        ours = [entry for entry in caught.traceback if "connect_tunnel/_" in str(entry.path)]
        assert ours
        for entry in ours:
            assert PASSWORD not in repr(entry.locals), entry


@pytest.mark.parametrize("shell", SHELLS)
def test_a_fault_of_ours_ends_one_connection(
    shell: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch, Echoing() as target:
        patch.setattr(forward_module, "relay", fail)
        with listening(shell, "forward", "127.0.0.1:0", target, via=Direct()) as forwarder:
            with pytest.raises(ConnectionResetError), dial(forwarder) as sock:
                sock.recv(1)
            patch.undo()
            with dial(forwarder) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
    assert [record.exc_info is not None for record in caplog.records] == [True]


@pytest.mark.parametrize("shell", SHELLS)
def test_without_descriptors_for_a_bridge(
    shell: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(bridge_module, "socket_pair", fail)
    with Echoing() as target, LoopbackProxy(ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, ssl_context=client_context)
        with listening(shell, "forward", "127.0.0.1:0", target, via=via) as forwarder:
            with pytest.raises(ConnectionResetError), dial(forwarder) as sock:
                sock.recv(1)
            wait_until(lambda: forwarder.connections == 0)
    assert caplog.text.count("Too many open files") == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_farewell_that_takes_its_time(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    last = os.urandom(1 << 20)

    async def use() -> None:
        near, far = socket_pair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        far.setblocking(True)
        far.sendall(b"unread")
        with far:
            reading = threading.Thread(target=lambda: heard.append(receive_all(far)))
            reading.start()
            await relay_module.farewell(near, last)
            reading.join()

    heard: list[bytes] = []
    monkeypatch.setattr(relay_module, "LINGER", 0.5)
    anyio.run(use, backend=backend)
    assert heard == [last]


def test_a_connection_broken_while_it_is_granted() -> None:
    """The client has gone when its tunnel is open: the tunnel is closed, and nobody complains."""
    gone = threading.Event()

    def wait_for_it(_: str) -> None:
        gone.wait(10)

    with (
        Echoing() as (host, port),
        LoopbackProxy(refuse=wait_for_it) as real,
        serve_proxy("127.0.0.1:0", via=real.url, auth=None) as proxy,
    ):
        with dial(proxy) as sock:
            sock.sendall(b"CONNECT %b:%d HTTP/1.1\r\n\r\n" % (host.encode(), port))
            wait_until(lambda: len(real.requests) == 1)
            reset(sock)
        gone.set()
        wait_until(lambda: proxy.connections == 0)
