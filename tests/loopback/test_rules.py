"""The rules that experiments taught (DESIGN, 8, and the rules of a stream in DESIGN, 3).

Each test names its rule, and fails when the rule is broken.
"""

from __future__ import annotations

import copy
import os
import pickle
import resource
import signal
import socket
import ssl
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync

import connect_tunnel._sync.tunnel
from connect_tunnel import (
    AsyncTunnel,
    Proxy,
    Target,
    Tunnel,
    TunnelBroken,
    TunnelClosed,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
    open_tunnel,
    open_tunnel_async,
)
from connect_tunnel._net.sock import SocketLayer
from connect_tunnel._net.stream import Stream
from connect_tunnel._net.tls import TLSLayer
from connect_tunnel._net.waits import READ, WRITE
from connect_tunnel._sync.wait import CAN_BLOCK
from connect_tunnel.testing import (
    Flood,
    LoopbackProxy,
    Receive,
    ScriptedProxy,
    Send,
    TLSPeer,
    Wait,
)

from .raw import OK
from .shells import BACKENDS, SHELLS, failure, nothing_left, took, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from connect_tunnel.testing import Peer

TARGET = Target("a.test", 1)
LARGE = bytes(64 << 20)  # more than all the buffers on the way hold


class Lab:
    """Tunnels to a target that the test itself plays, plain or TLS."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.server, self.client = server, client

    @contextmanager
    def sync(self, *, tls: bool) -> Generator[tuple[Tunnel, Peer]]:
        with (
            LoopbackProxy() as proxy,
            closing(socket.create_server(("127.0.0.1", 0))) as server,
            ThreadPoolExecutor(1) as pool,
        ):
            tunnel = open_tunnel(server.getsockname(), via=proxy.url, timeout=5)
            accepted, _ = server.accept()
            with accepted:
                peer: Peer = accepted
                if tls:
                    accepting = pool.submit(TLSPeer, accepted, self.server)
                    tunnel = tunnel.start_tls(self.client, timeout=5)
                    peer = accepting.result(5)
                peer.settimeout(5)
                with tunnel:
                    yield tunnel, peer

    @asynccontextmanager
    async def loop(self, *, tls: bool) -> AsyncGenerator[tuple[AsyncTunnel, Peer]]:
        with LoopbackProxy() as proxy, closing(socket.create_server(("127.0.0.1", 0))) as server:
            tunnel = await open_tunnel_async(server.getsockname(), via=proxy.url, timeout=5)
            accepted, _ = server.accept()
            with accepted:
                peers: list[Peer] = [accepted]
                if tls:

                    async def accept() -> None:
                        peers.append(await run_sync(TLSPeer, accepted, self.server))

                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(accept)
                        tunnel = await tunnel.start_tls(self.client, timeout=5)
                peers[-1].settimeout(5)
                async with tunnel:
                    yield tunnel, peers[-1]


@pytest.fixture(scope="module")
def lab(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> Lab:
    return Lab(server_context, client_context)


def drain(peer: Peer, *, slowly: bool = False) -> tuple[int, bool]:
    """How much comes, and whether its end is a clean one."""
    count = 0
    try:
        while data := peer.recv(1 << 18):
            count += len(data)
            if slowly:
                time.sleep(0.002)
    except (ConnectionError, ssl.SSLError):
        return count, False
    return count, True


# --- "64 KiB of head by single bytes, searched from the start each time: 28 s of CPU" ---


@pytest.mark.parametrize("shell", SHELLS)
def test_a_large_head_that_comes_byte_by_byte_is_cheap(shell: str) -> None:
    head = b"HTTP/1.1 403 No\r\nX: " + b"x" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n"
    with ScriptedProxy(Receive(), Send(head, size=1)) as proxy:
        before = time.thread_time()
        error = failure(shell, via=proxy.url, timeout=20)
        assert isinstance(error, TunnelRefused)
        assert time.thread_time() - before < 2


# --- "A 4 MB TLS send cancelled, then another send: the peer read 262,144 bytes and a clean
#     end. Silent loss." ---


@pytest.mark.parametrize("tls", [False, True])
def test_a_write_cut_short_by_time_is_the_last_one(tls: bool, lab: Lab) -> None:
    with ThreadPoolExecutor(1) as pool, lab.sync(tls=tls) as (tunnel, peer):
        with pytest.raises(TunnelTimeout):
            tunnel.write(LARGE, timeout=0.2)
        for act in (lambda: tunnel.write(b"x", timeout=5), tunnel.send_eof, tunnel.socket):
            with pytest.raises(TunnelBroken, match="an earlier write was cut short"):
                act()
        draining = pool.submit(drain, peer)
        time.sleep(0.1)  # there is room for a goodbye now, and none may be said
        with took(0, 1):
            tunnel.close()
        count, clean = draining.result(5)
        assert 0 < count < len(LARGE)
        assert not (tls and clean), "a gap, and then a clean end"


async def close_later(tunnel: AsyncTunnel) -> None:
    """When the peer has made room for a goodbye."""
    await anyio.sleep(0.1)
    await tunnel.aclose()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tls", [False, True])
def test_a_send_cut_short_by_cancellation_is_the_last_one(
    tls: bool, backend: str, lab: Lab
) -> None:
    async def use() -> None:
        async with lab.loop(tls=tls) as (tunnel, peer):
            with anyio.move_on_after(0.2) as scope:
                await tunnel.send(LARGE)
            assert scope.cancelled_caught
            with pytest.raises(TunnelBroken, match="an earlier write was cut short"):
                await tunnel.send(b"x")
            with pytest.raises(anyio.BrokenResourceError):
                await tunnel.send_eof()
            count, clean = 0, True
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(close_later, tunnel)
                count, clean = await run_sync(drain, peer)
            assert 0 < count < len(LARGE)
            assert not (tls and clean), "a gap, and then a clean end"

    anyio.run(use, backend=backend)


@pytest.mark.parametrize("tls", [False, True])
def test_a_write_that_is_interrupted_before_it_waits(
    tls: bool, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the part that went at once and the wait for the rest."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with lab.sync(tls=tls) as (tunnel, peer):
        with monkeypatch.context() as patch:
            patch.setattr(connect_tunnel._sync.tunnel, "run", interrupted)
            with pytest.raises(KeyboardInterrupt):
                tunnel.write(LARGE)
        with pytest.raises(TunnelBroken, match="an earlier write was cut short"):
            tunnel.write(b"x", timeout=5)
        tunnel.close()
        _, clean = drain(peer)
        assert not (tls and clean)


@pytest.mark.parametrize("tls", [False, True])
def test_a_write_that_has_not_begun_leaves_no_gap(tls: bool, lab: Lab) -> None:
    """Nothing of the second one has gone, so what the first one broke is all there is."""
    with lab.sync(tls=tls) as (tunnel, peer):
        tunnel.write(b"", timeout=0.001)
        with pytest.raises(TypeError):
            tunnel.write("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        tunnel.write(b"x", timeout=5)
        assert peer.recv(1) == b"x"


@pytest.mark.parametrize("tls", [False, True])
def test_a_close_while_a_thread_writes_is_no_clean_end(tls: bool, lab: Lab) -> None:
    failed: list[TunnelError] = []

    def write() -> None:
        try:
            tunnel.write(LARGE)
        except TunnelError as error:
            failed.append(error)

    with ThreadPoolExecutor(1) as pool, lab.sync(tls=tls) as (tunnel, peer):
        writing = threading.Thread(target=write)
        writing.start()
        draining = pool.submit(drain, peer, slowly=True)
        time.sleep(0.1)
        with took(0, 1):
            tunnel.close()
            writing.join(5)
        assert isinstance(failed[0], TunnelClosed)
        count, clean = draining.result(10)
        assert 0 < count < len(LARGE)
        assert not (tls and clean), "a gap, and then a clean end"


# --- "`read(timeout=0.3)` by settimeout in one thread, `write(timeout=None)` in another: the
#     read never timed out." ---


@pytest.mark.parametrize("tls", [False, True])
def test_two_threads_do_not_share_a_timeout(tls: bool, lab: Lab) -> None:
    ended: list[TunnelError] = []

    def write() -> None:
        try:
            tunnel.write(LARGE, timeout=None)
        except TunnelError as error:
            ended.append(error)

    with lab.sync(tls=tls) as (tunnel, _):
        writing = threading.Thread(target=write)
        writing.start()
        time.sleep(0.05)
        for _ in range(2):
            with took(0.2, 1), pytest.raises(TunnelTimeout):
                tunnel.read(timeout=0.3)
        assert writing.is_alive(), "the reader's timeout ended the write"
        tunnel.close()
        writing.join(5)
        assert isinstance(ended[0], TunnelClosed)


# --- "A yield in `finally` turns KeyboardInterrupt into RuntimeError" : test_leaks.py ---
# --- "`wait_for(getaddrinfo)` gives up in time, but asyncio.run returns when the resolver
#     does" : test_lookup.py ---

# --- "Errors with required keyword attributes do not unpickle; a process pool then hangs." ---

ERRORS = (Receive(), Send(b"HTTP/1.1 403 No\r\nX: y\r\nContent-Length: 2\r\n\r\nno"))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "script", [ERRORS, (Receive(), Send(b"nonsense\r\n\r\n")), (Receive(), Wait(0.3))]
)
def test_what_is_raised_can_be_pickled_and_copied(script: Any, shell: str) -> None:
    with ScriptedProxy(*script) as proxy:
        error = failure(shell, via=proxy.url, timeout=0.2)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.__dict__.keys() == error.__dict__.keys()
        assert (twin.phase, twin.proxy_url, twin.elapsed) == (
            error.phase,
            error.proxy_url,
            error.elapsed,
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_of_a_stream_can_be_pickled(backend: str, lab: Lab) -> None:
    async def use() -> None:
        async with lab.loop(tls=True) as (tunnel, peer):
            peer.close()
            with pytest.raises(TunnelBroken) as broken:
                await tunnel.receive()
            await tunnel.aclose()
            with pytest.raises(TunnelClosed) as closed:
                await tunnel.receive()
        for error in (broken.value, closed.value):
            twin = pickle.loads(pickle.dumps(error))
            assert type(twin) is type(error)
            assert (str(twin), twin.errno) == (str(error), error.errno)

    anyio.run(use, backend=backend)


# --- "close wakes whoever waits" ---


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("writes", [False, True])
def test_a_close_wakes_a_thread(writes: bool, tls: bool, lab: Lab) -> None:
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            if writes:
                tunnel.write(LARGE)
            tunnel.read()
        except TunnelError as error:
            ended.append(error)

    with nothing_left(), lab.sync(tls=tls) as (tunnel, _):
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
        with took(0, 1):
            tunnel.close()
            waiting.join(5)
        assert isinstance(ended[0], TunnelClosed)
        assert tunnel.get_extra_info("socket").fileno() == -1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("sends", [False, True])
def test_a_close_wakes_a_task(sends: bool, tls: bool, backend: str, lab: Lab) -> None:
    ended: list[BaseException] = []

    async def wait(tunnel: AsyncTunnel) -> None:
        try:
            if sends:
                await tunnel.send(LARGE)
            await tunnel.receive()
        except TunnelError as error:
            ended.append(error)

    async def use() -> None:
        async with lab.loop(tls=tls) as (tunnel, _):
            with anyio.fail_after(2):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(wait, tunnel)
                    await anyio.sleep(0.1)
                    await tunnel.aclose()
            assert isinstance(ended[0], TunnelClosed)
            assert isinstance(ended[0], anyio.ClosedResourceError)
            assert tunnel.get_extra_info("socket").fileno() == -1

    with nothing_left():
        anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_directions_are_woken_by_one_close(backend: str, lab: Lab) -> None:
    ended: list[BaseException] = []

    async def wait(act: Callable[..., Any], *args: Any) -> None:
        try:
            await act(*args)
        except TunnelClosed as error:
            ended.append(error)

    async def use() -> None:
        async with lab.loop(tls=True) as (tunnel, _):
            with anyio.fail_after(2):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(wait, tunnel.receive)
                    tasks.start_soon(wait, tunnel.send, LARGE)
                    await anyio.sleep(0.1)
                    await tunnel.aclose()
        assert len(ended) == 2

    anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_closes_in_a_cancelled_scope(backend: str, lab: Lab) -> None:
    async def use() -> None:
        async with lab.loop(tls=False) as (tunnel, peer):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await tunnel.aclose()
            assert scope.cancelled_caught, "to close is a cancellation point"
            assert tunnel.get_extra_info("socket").fileno() == -1
            assert await run_sync(drain, peer) == (0, True)

    anyio.run(use, backend=backend)


def test_closing_never_waits(lab: Lab) -> None:
    """Whatever the buffers hold, and whoever does not read."""
    with lab.sync(tls=True) as (tunnel, _):
        with pytest.raises(TunnelTimeout):
            tunnel.write(LARGE, timeout=0.1)
        with took(0, 1):
            tunnel.close()


# --- "receive and send are always a cancellation point and yield at the latest after 16
#     successes in a row" ---


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("sends", [False, True])
def test_a_busy_tunnel_lets_others_have_their_turn(
    sends: bool, tls: bool, backend: str, lab: Lab
) -> None:
    rounds, turns = 800, 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async def use() -> None:
        async with lab.loop(tls=tls) as (tunnel, peer):
            peer.sendall(b"x" * rounds)
            await anyio.sleep(0.1)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(count_turns)
                for _ in range(rounds):
                    if sends:
                        await tunnel.send(b"x")
                    else:
                        await tunnel.receive(1)
                tasks.cancel_scope.cancel()
        assert turns >= rounds // 16 - 2

    anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tls", [False, True])
def test_a_cancellation_is_noticed_though_data_is_there(tls: bool, backend: str, lab: Lab) -> None:
    async def use() -> None:
        async with lab.loop(tls=tls) as (tunnel, peer):
            peer.sendall(b"x" * 100)
            await anyio.sleep(0.05)
            for act in (lambda: tunnel.receive(1), lambda: tunnel.send(b"x")):
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await act()
                assert scope.cancelled_caught
            received = b""
            while len(received) < 100:
                received += await tunnel.receive()
            await tunnel.send(b"y")
            assert peer.recv(2) == b"y", "something was sent in a cancelled scope"

    anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_time_passes_for_a_task_that_never_has_to_wait(backend: str) -> None:
    """Code that tries first never meets fail_after, unless it looks for it."""

    async def use() -> None:
        async with await open_tunnel_async("a.test:1", via=proxy.url, timeout=5) as tunnel:
            with took(0.1, 1), anyio.move_on_after(0.2):
                async for _ in tunnel:
                    pass

    with ScriptedProxy(Receive(), Send(OK), Flood(b"x" * 65536, seconds=5)) as proxy:
        anyio.run(use, backend=backend)


# --- "no select, which dies at descriptor 1024" ---


@contextmanager
def descriptors_from(number: int) -> Generator[None]:
    """New descriptors are at least this high."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number + 100:
        pytest.skip(f"no more than {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number + 100), hard))
    held: list[int] = []
    try:
        while not held or held[-1] < number:
            held.append(os.dup(0))
        yield
    finally:
        for each in held:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_descriptor_beyond_1024(lab: Lab) -> None:
    with descriptors_from(1100), lab.sync(tls=True) as (tunnel, peer):
        assert tunnel.get_extra_info("socket").fileno() > 1100
        with pytest.raises(TunnelTimeout):
            tunnel.read(timeout=0.05)
        peer.sendall(b"x")
        assert tunnel.read(timeout=5) == b"x"
        tunnel.write(b"y", timeout=5)
        assert peer.recv(1) == b"y"


# --- "an unclosed tunnel is a ResourceWarning"; finalizers do no I/O ---


def test_an_unclosed_tunnel_says_no_goodbye(lab: Lab) -> None:
    """A finalizer does no I/O: the peer sees that nobody closed in order."""
    with lab.sync(tls=True) as (tunnel, peer):
        twins = [Tunnel(tunnel._stream, tunnel.target, tunnel._hops, tunnel._responses)]
        with pytest.warns(ResourceWarning, match="unclosed <Tunnel"):
            twins.clear()
        _, clean = drain(peer)
        assert not clean


# --- one reader and one writer; a reset stays a reset ---


def reset(peer: Peer) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def test_a_reset_wakes_both(lab: Lab) -> None:
    ended: list[BaseException] = []

    def write() -> None:
        try:
            tunnel.write(LARGE, timeout=5)
        except TunnelError as error:
            ended.append(error)

    with lab.sync(tls=True) as (tunnel, peer):
        writing = threading.Thread(target=write)
        writing.start()
        wait_until(lambda: WRITE not in tunnel._stream.turns)
        reset(peer)
        with took(0, 1), pytest.raises(TunnelBroken):
            tunnel.read(timeout=5)
        writing.join(5)
        assert isinstance(ended[0], TunnelBroken)


@pytest.mark.parametrize("tls", [False, True])
def test_a_reset_that_a_write_was_told_of_is_no_end(tls: bool, lab: Lab) -> None:
    """The kernel tells of a reset once; who reads after that gets nothing from it."""
    with lab.sync(tls=tls) as (tunnel, peer):
        sock = tunnel.get_extra_info("socket")
        reset(peer)
        wait_until(lambda: tunnel.get_extra_info("is_readable") or sock.fileno() == -1)
        with pytest.raises(TunnelBroken):
            tunnel.write(LARGE, timeout=5)
        with pytest.raises(TunnelBroken):
            tunnel.read(timeout=5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reset_that_a_send_was_told_of_is_no_end(backend: str, lab: Lab) -> None:
    async def use() -> None:
        async with lab.loop(tls=False) as (tunnel, peer):
            reset(peer)
            with pytest.raises(TunnelBroken):
                await tunnel.send(LARGE)
            with pytest.raises(TunnelBroken):
                await tunnel.receive()

    anyio.run(use, backend=backend)


def test_reading_goes_on_after_a_failed_write(lab: Lab) -> None:
    """What had arrived before the write was cut short is still there."""
    with lab.sync(tls=True) as (tunnel, peer):
        peer.sendall(b"still here")
        with pytest.raises(TunnelTimeout):
            tunnel.write(LARGE, timeout=0.1)
        assert tunnel.read(timeout=5) == b"still here"


def test_a_proxy_s_identity_is_no_part_of_a_stream() -> None:
    """What a tunnel keeps of the way shows no secret."""
    with ScriptedProxy(Receive(), Send(OK)) as proxy:
        via = Proxy(proxy.url, auth=("user", "s3cret"), headers={"X-Key": "k3y"})
        with open_tunnel("a.test:1", via=via, timeout=5) as tunnel:
            shown = repr(tunnel) + repr(tunnel.route) + repr(tunnel.response)
    assert "s3cret" not in shown
    assert "k3y" not in shown


# --- "What it has encrypted is kept until the kernel has it" ---


def fill(tunnel: Tunnel) -> None:
    """Leave no room in the kernel's buffers, behind the back of TLS."""
    sock = tunnel.get_extra_info("socket")
    # It makes room for a while yet, on a machine that is busy for long.
    for size in (65536, 65536, 1):
        with suppress(BlockingIOError):
            while sock.send(b"x" * size):
                time.sleep(0.001 if size > 1 else 0)
        time.sleep(0.2)
    with suppress(BlockingIOError):
        while sock.send(b"x"):
            pass


def test_an_end_that_finds_no_room_waits_for_it(lab: Lab) -> None:
    with lab.sync(tls=True) as (tunnel, _):
        fill(tunnel)
        with took(0.05, 1), pytest.raises(TunnelTimeout, match="the end was not sent"):
            tunnel.send_eof(timeout=0.1)


def test_a_handshake_that_finds_no_room_waits_for_it(lab: Lab) -> None:
    with lab.sync(tls=False) as (tunnel, _):
        fill(tunnel)
        with took(0.05, 1), pytest.raises(TunnelTimeout, match="TLS handshake"):
            tunnel.start_tls(lab.client, timeout=0.1)


@pytest.mark.parametrize("breaks", [False, True])
def test_what_was_encrypted_waits_for_room(breaks: bool, lab: Lab) -> None:
    """Pieces that TLS takes whole: it is the kernel that has no room for one at last."""
    with lab.sync(tls=True) as (tunnel, peer), ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write_pieces, tunnel)
        time.sleep(0.1)
        if breaks:
            reset(peer)
            with pytest.raises(TunnelBroken):
                writing.result(5)
        else:
            received = 0
            while received < PIECES * len(PIECE):
                received += len(peer.recv(1 << 20))
            writing.result(5)


PIECES, PIECE = 512, bytes(65536)


def write_pieces(tunnel: Tunnel) -> None:
    for _ in range(PIECES):
        tunnel.write(PIECE, timeout=5)


def test_an_end_of_ours_leaves_what_has_arrived(lab: Lab) -> None:
    """OpenSSL takes data that comes before the peer's close_notify for an error."""
    with lab.sync(tls=True) as (tunnel, peer):
        peer.sendall(b"abc" * 10)
        assert tunnel.read(1, timeout=5) == b"a"
        tunnel.send_eof()
        tunnel_end = b""
        while len(tunnel_end) < 29:
            tunnel_end += tunnel.read(timeout=5)
        assert tunnel_end == (b"abc" * 10)[1:]


def test_garbage_in_the_middle_of_tls_breaks_it(lab: Lab) -> None:
    with lab.sync(tls=True) as (tunnel, peer):
        assert isinstance(peer, TLSPeer)
        peer._sock.sendall(b"this is no record, whatever else it may be")
        with pytest.raises(TunnelBroken, match=r"broke: [A-Z_]+"):
            tunnel.read(timeout=5)


# --- "Every try says that it is one": who has waited in `recv` has made the socket block ---


def read_in_the_kernel(tunnel: Tunnel, peer: Peer) -> None:
    peer.sendall(b"x")
    assert tunnel.read() == b"x"
    assert tunnel.get_extra_info("socket").getblocking() == CAN_BLOCK


def test_after_a_read_in_the_kernel_limits_of_time_hold(lab: Lab) -> None:
    with lab.sync(tls=False) as (tunnel, peer):
        read_in_the_kernel(tunnel, peer)
        with took(0.2, 1), pytest.raises(TunnelTimeout):
            tunnel.read(timeout=0.2)
        with took(0.2, 2), pytest.raises(TunnelTimeout):
            tunnel.write(LARGE, timeout=0.2)
        assert tunnel.get_extra_info("is_readable") is False


def test_after_a_read_in_the_kernel_a_handshake_ends_in_time(lab: Lab) -> None:
    with nothing_left(), lab.sync(tls=False) as (tunnel, peer):
        read_in_the_kernel(tunnel, peer)
        with took(0.2, 1), pytest.raises(TunnelTimeout):
            tunnel.start_tls(lab.client, timeout=0.2)


def test_a_write_waits_with_its_own_time_while_a_thread_reads_in_the_kernel(lab: Lab) -> None:
    with lab.sync(tls=False) as (tunnel, peer), ThreadPoolExecutor(1) as pool:
        read_in_the_kernel(tunnel, peer)
        reading = pool.submit(tunnel.read)
        wait_until(lambda: READ not in tunnel._stream.turns)
        with took(0.2, 2), pytest.raises(TunnelTimeout):
            tunnel.write(LARGE, timeout=0.2)
        peer.sendall(b"y")
        assert reading.result(5) == b"y"


def test_the_caller_s_own_limit_in_the_kernel_is_none_of_a_read(lab: Lab) -> None:
    """Linux's SO_RCVTIMEO makes a `recv` say "not now", which is no break of the tunnel."""
    with lab.sync(tls=False) as (tunnel, peer), ThreadPoolExecutor(1) as pool:
        sock = tunnel.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
        reading = pool.submit(tunnel.read)
        time.sleep(0.2)
        peer.sendall(b"late")
        assert reading.result(5) == b"late"


def test_an_interrupted_read_in_the_kernel_loses_nothing(lab: Lab) -> None:
    """A handler runs in the middle of it; if it returns the read goes on."""
    calls: list[int] = []

    def handle(*_: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        peer.sendall(b"from a handler")

    previous = signal.signal(signal.SIGALRM, handle)
    try:
        with lab.sync(tls=False) as (tunnel, peer):
            for _ in range(2):
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                with suppress(KeyboardInterrupt):
                    assert tunnel.read() == b"from a handler"
        assert len(calls) == 2
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_a_handler_may_close_what_its_thread_reads_in_the_kernel(lab: Lab) -> None:
    def handle(*_: object) -> None:
        tunnel.close()

    previous = signal.signal(signal.SIGALRM, handle)
    try:
        with nothing_left(), lab.sync(tls=False) as (tunnel, _):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with took(0, 1), pytest.raises(TunnelClosed):
                tunnel.read()
            assert tunnel.get_extra_info("socket").fileno() == -1
    finally:
        signal.signal(signal.SIGALRM, previous)


# --- "The number of a descriptor may be another's": the last one who is at work lets go ---


@pytest.mark.parametrize("limit", [None, 5])
def test_whoever_leaves_last_lets_go(limit: float | None) -> None:
    """Two readers, a writer and two who close, at the same moment, in whatever order."""

    def use(act: Callable[..., object], *args: object) -> None:
        start.wait(5)
        with suppress(TunnelError, RuntimeError):
            act(*args)

    start = threading.Barrier(5)
    with nothing_left(), ThreadPoolExecutor(5) as pool:
        for _ in range(300):
            one, other = socket.socketpair()
            with other:
                one.setblocking(False)
                tunnel = Tunnel(Stream(SocketLayer(one), "a.test:1"), TARGET, (), ())
                acts: list[tuple[Any, ...]] = [
                    (tunnel.read, 1, limit), (tunnel.close,), (tunnel.write, b"x", 5),
                    (tunnel.close,), (tunnel.read, 1, limit),
                ]  # fmt: skip
                for done in [pool.submit(use, *act) for act in acts]:
                    done.result(5)
                assert one.fileno() == -1


def test_a_writer_that_leaves_while_a_close_has_the_other_turn() -> None:
    """It finds that turn taken, and lets nothing go: the close looks again."""

    class LeavesMeanwhile(list[int]):
        """Turns, of which the writer's is given back just after it was found taken."""

        def remove(self, direction: int) -> None:
            try:
                super().remove(direction)
            except ValueError:
                missed.append(direction)
                if len(missed) == 1:
                    stream.end_turn(WRITE)
                    assert not dropped
                raise

    class Dropped(SocketLayer):
        def drop(self, *, reset: bool = False) -> None:
            dropped.append(reset)

    missed: list[int] = []
    dropped: list[bool] = []
    with socket.socket() as sock:
        stream = Stream(Dropped(sock), "a.test:1")
        object.__setattr__(stream, "turns", LeavesMeanwhile(stream.turns))
        assert stream.take_turn(WRITE)
        assert stream.close_now()
        assert dropped == [False]
        assert missed == [WRITE, READ]  # by the close, and by who leaves


# --- a signal handler may close what the same thread is in the middle of using ---


class ClosesMeanwhile(SocketLayer):
    """A layer in whose receive a handler runs, which closes the stream on top."""

    on_top: Stream

    def receive_now(self, max_bytes: int) -> bytes | None:
        self.on_top.close_now()
        return super().receive_now(max_bytes)


@pytest.mark.parametrize("tls", [False, True])
def test_a_handler_may_close_what_its_thread_reads(*, tls: bool) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        layer = ClosesMeanwhile(one)
        context = ssl.create_default_context()
        top = TLSLayer(layer, context, "a.test", require_close_notify=True) if tls else layer
        layer.on_top = Stream(top, "a.test:1")
        with pytest.raises(TunnelClosed):
            layer.on_top.receive_alone(top.receive_now, 1)
        assert one.fileno() == -1
