"""Listeners with real clients before them and real proxies behind: libpq, curl, squid, apache."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import anyio.from_thread
import psycopg
import pytest

import connect_tunnel
from connect_tunnel import ProxyAuthenticationRequired, open_tunnel

from .postgres import POSTGRES, wait_until_ready
from .proxies import ORIGIN_PAGE
from .ring import PASSWORD, USER, Port, Ring, Service, find
from .targets import HTTPS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from .entrance import Entrance

    Start = Callable[[Service], None]
    Enter = Callable[[str], Entrance]

SHELLS = ["sync", "asyncio", "trio"]
SECONDS = 20
AT_ONCE = 200
BLOCK = os.urandom(1 << 20)
BLOCKS = 100


@contextmanager
def listening(shell: str, kind: str, *args: Any, **options: Any) -> Generator[Any]:
    """A listener in a shell: "forward" or "serve_proxy". An async one has a thread for its loop."""
    if shell == "sync":
        with getattr(connect_tunnel, kind)(*args, **options) as listener:
            yield listener
    else:
        made = getattr(connect_tunnel, f"{kind}_async")(*args, **options)
        with (
            anyio.from_thread.start_blocking_portal(shell) as portal,
            portal.wrap_async_context_manager(made) as listener,
        ):
            yield listener


@contextmanager
def dial(listener: Any) -> Generator[socket.socket]:
    with socket.create_connection((listener.host, listener.port), timeout=SECONDS) as sock:
        yield sock


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


@pytest.fixture
def database(ring: Ring, start: Start) -> str:
    start(POSTGRES)
    wait_until_ready(ring)
    return f"localhost:{ring.port(Port.POSTGRES)}"


class TestPostgres:
    @pytest.mark.parametrize("shell", SHELLS)
    @pytest.mark.parametrize("name", ["squid", "squid-tls", "squid-basic", "squid-tls-basic"])
    def test_libpq_verifies_the_server_through_it(
        self, ring: Ring, enter: Enter, database: str, name: str, shell: str
    ) -> None:
        via = enter(name).via(ring)
        with (
            listening(shell, "forward", "127.0.0.1:0", database, via=via) as forwarder,
            psycopg.connect(
                host="localhost", hostaddr=forwarder.host, port=forwarder.port,
                user=USER, password=PASSWORD, dbname="postgres", connect_timeout=SECONDS,
                sslmode="verify-full", sslrootcert=str(ring.target_authority.ca),
            ) as connection,
        ):  # fmt: skip
            assert connection.pgconn.ssl_in_use
            rows = connection.execute("select repeat(n::text, 20) from generate_series(1, 20000) n")
            assert rows.fetchall() == [(str(n) * 20,) for n in range(1, 20001)]

    def test_through_a_unix_socket_where_libpq_looks_for_one(
        self, ring: Ring, enter: Enter, database: str, tmp_path: Path
    ) -> None:
        listen = f"unix:{tmp_path}/.s.PGSQL.5432"
        with (
            listening("sync", "forward", listen, database, via=enter("squid").via(ring)),
            psycopg.connect(
                host=str(tmp_path), user=USER, password=PASSWORD, dbname="postgres",
                connect_timeout=SECONDS,
            ) as connection,
        ):  # fmt: skip
            assert connection.execute("select 6 * 7").fetchone() == (42,)

    def test_a_query_is_cancelled_by_a_connection_of_its_own(
        self, ring: Ring, enter: Enter, database: str
    ) -> None:
        """As libpq does it: dial the same address again, say whose query, and leave.

        Not by psycopg's old `cancel`, which waits in C and lets no other thread run: neither
        would that of a listener in the same process.
        """
        via = enter("squid").via(ring)
        with (
            listening("sync", "forward", "127.0.0.1:0", database, via=via) as forwarder,
            psycopg.connect(
                host="localhost", hostaddr=forwarder.host, port=forwarder.port,
                user=USER, password=PASSWORD, dbname="postgres", connect_timeout=SECONDS,
            ) as connection,
        ):  # fmt: skip
            timer = threading.Timer(0.5, connection.cancel_safe)
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("select pg_sleep(20)")
            timer.join()


def curl(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    quiet = ["-sS", "--max-time", str(SECONDS), "-o", os.devnull]
    shown = ["-w", "%{http_connect} %{http_code} %{size_download}"]
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        [find("curl"), *quiet, *shown, *words],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


class TestCurl:
    @pytest.mark.parametrize("shell", SHELLS)
    @pytest.mark.parametrize("name", ["squid-basic", "squid-digest", "squid-tls-basic"])
    def test_gets_a_page_past_a_login_it_knows_nothing_of(
        self, ring: Ring, start: Start, enter: Enter, name: str, shell: str
    ) -> None:
        start(HTTPS)
        url = f"https://localhost:{ring.port(Port.HTTPS)}/page"
        via = enter(name).via(ring)
        with listening(shell, "serve_proxy", "127.0.0.1:0", via=via) as proxy:
            words = ["--cacert", str(ring.target_authority.ca), url]
            for _ in range(2):
                done = curl(*words, HTTPS_PROXY=proxy.proxy_url)
                assert (done.returncode, done.stderr) == (0, "")
                assert done.stdout == f"200 200 {len(ORIGIN_PAGE)}"

    def test_past_ntlm_by_the_command_that_people_run_for_it(
        self, ring: Ring, start: Start, enter: Enter
    ) -> None:
        start(HTTPS)
        real = enter("squid-ntlm").url(ring).replace("://", f"://{USER}:{PASSWORD}@")
        command = [sys.executable, "-m", "connect_tunnel", "proxy", "127.0.0.1:0"]
        with subprocess.Popen(
            [*command, "--login", "ntlm"],
            env={**os.environ, "CONNECT_TUNNEL_PROXY": real},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                proxy = process.stdout.readline().strip()
                url = f"https://localhost:{ring.port(Port.HTTPS)}/page"
                words = ["--cacert", str(ring.target_authority.ca), url]
                done = curl(*words, HTTPS_PROXY=proxy)
                assert (done.stderr, done.stdout) == ("", f"200 200 {len(ORIGIN_PAGE)}")
            finally:
                process.terminate()
            assert process.wait(SECONDS) == 0

    def test_that_waits_to_be_asked_for_the_password(
        self, ring: Ring, start: Start, enter: Enter
    ) -> None:
        """On a second connection: the first is good for one request."""
        start(HTTPS)
        via = enter("squid-digest").via(ring)
        with listening("sync", "serve_proxy", "127.0.0.1:0", via=via) as proxy:
            url = f"https://localhost:{ring.port(Port.HTTPS)}/page"
            words = ["--proxy-anyauth", "--cacert", str(ring.target_authority.ca), url]
            done = curl(*words, "-x", proxy.proxy_url)
        assert (done.returncode, done.stdout) == (0, f"200 200 {len(ORIGIN_PAGE)}")

    def test_that_does_not_say_the_password_gets_nowhere(self, ring: Ring, enter: Enter) -> None:
        via = enter("squid-basic").via(ring)
        with listening("sync", "serve_proxy", "127.0.0.1:0", via=via) as proxy:
            done = curl(
                "-x", f"http://{proxy.address}", f"https://localhost:{ring.port(Port.ECHO)}"
            )
        assert done.returncode
        assert done.stdout.startswith("407 ")

    def test_is_told_what_squid_says(self, ring: Ring, enter: Enter) -> None:
        via = enter("squid-basic").via(ring)
        with listening("sync", "serve_proxy", "127.0.0.1:0", via=via) as proxy:
            url = f"https://localhost:{ring.port(Port.FORBIDDEN)}/"
            done = curl("-v", "-x", proxy.proxy_url, url)
        assert done.returncode
        assert done.stdout.startswith("403 ")
        assert "< X-Squid-Error: ERR_ACCESS_DENIED" in done.stderr
        assert "< Proxy-Status: connect_tunnel; received-status=403" in done.stderr

    def test_is_not_asked_for_what_squid_wants(self, ring: Ring, enter: Enter) -> None:
        via = enter("squid-digest").without_password(ring)
        with listening("sync", "serve_proxy", "127.0.0.1:0", via=via) as proxy:
            url = f"https://localhost:{ring.port(Port.ECHO)}/"
            done = curl("-v", "-x", proxy.proxy_url, url)
        assert done.returncode
        assert done.stdout.startswith("502 ")
        assert "Authenticate" not in done.stderr

    def test_with_a_plain_url_is_told_what_to_do(self, ring: Ring, enter: Enter) -> None:
        with listening("sync", "serve_proxy", "127.0.0.1:0", via=enter("squid").via(ring)) as proxy:
            done = curl("-x", proxy.proxy_url, f"http://localhost:{ring.port(Port.ECHO)}/")
        assert (done.returncode, done.stdout.split()[1]) == (0, "405")


@pytest.mark.usefixtures("origins")
@pytest.mark.parametrize("shell", SHELLS)
class TestBytes:
    @pytest.mark.parametrize("name", ["apache", "apache-tls"])
    def test_half_close_is_kept_where_the_proxy_keeps_it(
        self, ring: Ring, enter: Enter, shell: str, name: str
    ) -> None:
        target, via = f"127.0.0.1:{ring.port(Port.EOF)}", enter(name).via(ring)
        with (
            listening(shell, "forward", "127.0.0.1:0", target, via=via) as forwarder,
            dial(forwarder) as sock,
        ):
            sock.sendall(b"request")
            sock.shutdown(socket.SHUT_WR)
            assert receive_exactly(sock, 100) == b"eof after 7 bytes\n"

    def test_t23_many_at_once(self, ring: Ring, enter: Enter, shell: str) -> None:
        target, via = f"127.0.0.1:{ring.port(Port.ECHO)}", enter("squid-basic").via(ring)
        with (
            listening(shell, "forward", "127.0.0.1:0", target, via=via) as forwarder,
            ExitStack() as stack,
        ):
            socks = [stack.enter_context(dial(forwarder)) for _ in range(AT_ONCE)]
            tags = [b"%03d" % number * 1000 for number in range(AT_ONCE)]
            for sock, tag in zip(socks, tags, strict=True):
                sock.sendall(tag)
            for sock, tag in zip(socks, tags, strict=True):
                assert receive_exactly(sock, len(tag)) == tag
            assert forwarder.connections == AT_ONCE

    @pytest.mark.parametrize("name", ["squid", "squid-tls"])
    def test_a_hundred_mebibytes_each_way(
        self, ring: Ring, enter: Enter, shell: str, name: str
    ) -> None:
        target, via = f"127.0.0.1:{ring.port(Port.ECHO)}", enter(name).via(ring)
        sent, received = hashlib.sha256(), hashlib.sha256()
        with (
            listening(shell, "forward", "127.0.0.1:0", target, via=via) as forwarder,
            dial(forwarder) as sock,
        ):

            def send() -> None:
                for number in range(BLOCKS):
                    block = BLOCK[number:] + BLOCK[:number]
                    sent.update(block)
                    sock.sendall(block)

            sending = threading.Thread(target=send)
            sending.start()
            left = BLOCKS * len(BLOCK)
            while left:
                data = sock.recv(min(left, 1 << 20))
                assert data
                received.update(data)
                left -= len(data)
            sending.join()
        assert received.digest() == sent.digest()

    def test_a_listener_behind_a_listener(self, ring: Ring, enter: Enter, shell: str) -> None:
        """It is a proxy like any other: for this library, too."""
        target, via = f"127.0.0.1:{ring.port(Port.ECHO)}", enter("squid-digest").via(ring)
        with listening(shell, "serve_proxy", "127.0.0.1:0", via=via) as near:
            with (
                listening(shell, "serve_proxy", "127.0.0.1:0", via=near.proxy_url) as far,
                open_tunnel(target, via=far.proxy_url, timeout=SECONDS) as tunnel,
            ):
                tunnel.write(b"hello")
                assert tunnel.read(timeout=SECONDS) == b"hello"
            with pytest.raises(ProxyAuthenticationRequired):
                open_tunnel(target, via=f"http://{near.address}", timeout=SECONDS)
