"""`connect-tunnel demo`: what this library does, shown on this machine alone.

A proxy that wants a password and a server that speaks TLS, both real, both on loopback and in
this process; tunnels between them, opened by sync and by async code; and one that is refused.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import time
from threading import Thread
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
from anyio.streams.tls import TLSAttribute

from connect_tunnel import (
    Proxy,
    Target,
    TunnelError,
    TunnelRefused,
    open_tunnel,
    open_tunnel_async,
)
from connect_tunnel.testing import LoopbackProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_CREDENTIALS: Final = ("alice", "open sesame")
_GREETING: Final = b"* the server speaks first\r\n"
_FORBIDDEN: Final = Target("payroll.example.com", 443)
_REFUSAL: Final = (
    b"HTTP/1.1 403 Forbidden\r\n"
    b"Content-Type: text/plain\r\n"
    b"Content-Length: 31\r\n"
    b"\r\n"
    b"payroll is not for demos, sorry"
)


class Event(NamedTuple):
    """Something that happened, and how long it took."""

    what: str
    outcome: str
    seconds: float


def run() -> None:
    """Show it.

    Raises:
        TunnelError: What should have worked did not, or the other way round.
        ImportError: trustme is missing, which makes the server's certificate.
    """
    with _origin() as (target, trust), _proxy() as proxy:
        print(f"{proxy.url} is a proxy that wants a password")
        print(f"{target} is a server that speaks TLS\n")
        events = _in_sync_code(target, proxy, trust)
        events += anyio.run(_in_async_code, target, proxy, trust)
        refused, refusal = _refused(_FORBIDDEN, proxy)
    _show([*events, refused])
    print(f"\nTunnelRefused: {refusal}")


def _in_sync_code(target: Target, proxy: Proxy, trust: ssl.SSLContext) -> list[Event]:
    lap = _stopwatch()
    tunnel = open_tunnel(target, via=proxy)
    opened = Event("open_tunnel", f"the proxy said {tunnel.response.status}", lap())
    with tunnel.start_tls(trust) as tls:
        secured = Event("start_tls", tls.get_extra_info("ssl_object").version(), lap())
        return [opened, secured, Event("read", repr(tls.read(4096)), lap())]


async def _in_async_code(target: Target, proxy: Proxy, trust: ssl.SSLContext) -> list[Event]:
    lap = _stopwatch()
    tunnel = await open_tunnel_async(target, via=proxy)
    opened = Event("await open_tunnel_async", f"the proxy said {tunnel.response.status}", lap())
    async with await tunnel.start_tls(trust) as tls:
        secured = Event("await start_tls", tls.extra(TLSAttribute.tls_version), lap())
        return [opened, secured, Event("await receive", repr(await tls.receive(4096)), lap())]


def _refused(target: Target, proxy: Proxy) -> tuple[Event, TunnelRefused]:
    lap = _stopwatch()
    try:
        open_tunnel(target, via=proxy).close()
    except TunnelRefused as refusal:
        return Event("open_tunnel", "TunnelRefused, see below", lap()), refusal
    raise TunnelError(f"a tunnel to {target} was opened, which the proxy refuses")


def _show(events: list[Event]) -> None:
    rows = [(event.what, f"{event.seconds * 1000:.1f} ms", event.outcome) for event in events]
    try:
        from rich.console import Console  # noqa: PLC0415 - an extra
        from rich.table import Table  # noqa: PLC0415 - likewise
        from rich.text import Text  # noqa: PLC0415 - likewise
    except ImportError:
        for row in rows:
            print("{:26} {:>9}  {}".format(*row))
        return
    table = Table("step", "took", "what came of it")
    for row in rows:
        table.add_row(*map(Text, row))  # Text, because Table would read "[...]" as markup
    Console().print(table)


def _stopwatch() -> Callable[[], float]:
    """A function that tells how long it is since it was last asked."""
    laps = [time.perf_counter()]

    def lap() -> float:
        laps.append(time.perf_counter())
        return laps[-1] - laps[-2]

    return lap


@contextlib.contextmanager
def _proxy() -> Generator[Proxy, None, None]:
    def refuse(authority: str) -> bytes | None:
        return _REFUSAL if authority == str(_FORBIDDEN) else None

    with LoopbackProxy(auth=_CREDENTIALS, refuse=refuse) as server:
        yield Proxy(server.url, auth=_CREDENTIALS)


@contextlib.contextmanager
def _origin() -> Generator[tuple[Target, ssl.SSLContext], None, None]:
    """A TLS server that greets, and the context of a client that trusts it and nobody else."""
    try:
        import trustme  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError("the demo needs trustme: pip install 'connect-tunnel[cli]'") from error

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)

    class Greet(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(self.request, server_side=True) as tls:
                tls.sendall(_GREETING)
                tls.recv(1)  # until the client has closed

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greet) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield Target("localhost", server.server_address[1]), trust
        finally:
            server.shutdown()
