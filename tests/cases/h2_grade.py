"""Plays a case over HTTP/2 with a client, and says everything that is wrong with what came of it.

The ops are: `send` (`times` as often), `recv`, `recv_total`, `echo`, `recv_eof`, `recv_error`,
`recv_eof_or_error`, `recv_error_before` (so many octets), `send_error`, `sleep` and `close`.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import connect_tunnel
from connect_tunnel import Proxy, TunnelError, TunnelRefused

from .clients import SEND_TIMEOUT, Clients, Opened
from .grade import GRACE, kind_of
from .h2_peer import H2ScriptedProxy

if TYPE_CHECKING:
    import socket
    import ssl
    from contextlib import AbstractContextManager

    from .clients import Stream
    from .h2_case import H2Case, Op, Response

PATIENCE: Final = 15.0  # for what should come at once, with sixteen cases on a busy machine
CLIENTS: Final = ("sync", "asyncio", "trio", "socket", "bridged")


class H2Clients(Clients):
    """With one client more: the bridge of an `AsyncTunnel`."""

    def open(self, client: str, target: tuple[str, int], via: Proxy, timeout: float) -> Opened:
        if client != "bridged":
            return super().open(client, target, via, timeout)
        loop = self._loops["asyncio"]
        opening = partial(connect_tunnel.open_tunnel_async, target, via=via, timeout=timeout)
        tunnel = loop.call(opening)
        bridge = loop.wrap_async_context_manager(tunnel.bridged())
        return Opened(tunnel.response, BridgedStream(bridge))


class BridgedStream:
    """What `AsyncTunnel.bridged()` gives."""

    def __init__(self, bridge: AbstractContextManager[socket.socket, bool | None]) -> None:
        self._bridge = bridge
        self._sock = bridge.__enter__()
        self._sock.setblocking(True)

    def send(self, data: bytes) -> None:
        self._sock.settimeout(SEND_TIMEOUT)
        self._sock.sendall(data)

    def receive(self, max_bytes: int, timeout: float) -> bytes:
        self._sock.settimeout(timeout)
        return self._sock.recv(max_bytes)

    def close(self) -> None:
        self._bridge.__exit__(None, None, None)


def play_h2(
    case: H2Case,
    client: str,
    clients: H2Clients,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> list[str]:
    """Play a case; `contexts` are the client's and the server's, both for h2."""
    ours, its = contexts if case.config["proxy_scheme"] == "https" else (None, None)
    with H2ScriptedProxy(case, its) as proxy:
        config = case.config
        via = Proxy(
            proxy.url,
            auth=config.get("auth"),
            headers=config.get("headers"),
            ssl_context=ours,
            http1=False,
            http2=True,
        )
        target = config["host"], config["port"]
        started = time.monotonic()
        result: Opened | Exception
        try:
            result = clients.open(client, target, via, config["timeout"])
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is judged
            result = exc
        late = time.monotonic() - started - config["timeout"]
        wrong = [] if late < GRACE else [f"took {late:.1f} s more than it had"]
        wrong += _judge(case, result)
        if isinstance(result, Opened):
            result.stream.close()
        if not proxy.wait_closed(PATIENCE):
            wrong.append("left its connection open")
        return wrong + [f"the proxy says: it {complaint}" for complaint in proxy.wrong]


def _judge(case: H2Case, result: Opened | Exception) -> list[str]:
    match case.expect, result:
        case {"tunnel": True}, Opened(stream=stream):
            return _converse(stream, case.expect.get("ops", []))
        case {"response": wanted}, TunnelRefused(response=response):
            return _compare(wanted, response.status, response.body, complete=response.complete)
        case {"error": _}, TunnelError() if kind_of(result) is not None:
            return []
        case _:
            return [f"wanted {case.expect}, got {result!r}"]


def _compare(wanted: Response, status: int, body: bytes, *, complete: bool) -> list[str]:
    wrong = [] if status == wanted["status"] else [f"status {status}"]
    if "body" in wanted and body != wanted["body"].encode("latin-1"):
        wrong.append(f"body {body!r}")
    if complete is not wanted.get("complete", complete):
        wrong.append(f"complete is {complete}")
    return wrong


def _converse(stream: Stream, ops: list[Op]) -> list[str]:
    for op in ops:
        try:
            complaint = _do(stream, op)
        except (OSError, TimeoutError) as exc:
            complaint = repr(exc)
        if complaint:
            return [f"{op}: {complaint}"]
    return []


def _do(stream: Stream, op: Op) -> str:
    match op:
        case {"echo": str(text)}:
            stream.send(text.encode("latin-1"))
            return _hear(stream, text.encode("latin-1"))
        case {"send": str(text), **more}:
            stream.send(text.encode("latin-1") * more.get("times", 1))
            return ""
        case {"recv": str(text)}:
            return _hear(stream, text.encode("latin-1"))
        case {"recv_total": int(size)}:
            got = len(_receive(stream, size))
            return "" if got == size else f"received {got}"
        case {"recv_eof": True}:
            return "" if (data := stream.receive(10, PATIENCE)) == b"" else f"{data!r}"
        case {"recv_error": True}:
            error = _error_in(stream, 10)
            return "" if _is_break(error) else f"{error!r}"
        case {"recv_error_before": int(size)}:
            error = _error_in(stream, size)
            return "" if _is_break(error) else f"{error!r}"
        case {"recv_eof_or_error": True}:
            error = _error_in(stream, 10)
            return "" if _is_break(error) or error == b"" else f"{error!r}"
        case {"send_error": str(text)}:
            return _send_until_error(stream, text.encode("latin-1"))
        case {"sleep": seconds}:
            time.sleep(seconds)
            return ""
        case {"close": True}:
            stream.close()
            return ""
        case _:
            raise ValueError(op)


def _receive(stream: Stream, size: int) -> bytes:
    data, end = bytearray(), time.monotonic() + PATIENCE
    while len(data) < size and (left := end - time.monotonic()) > 0:
        more = stream.receive(size - len(data), left)
        if not more:
            break
        data += more
    return bytes(data)


def _hear(stream: Stream, wanted: bytes) -> str:
    heard = _receive(stream, len(wanted))
    return "" if heard == wanted else f"heard {heard[:99]!r}"


def _error_in(stream: Stream, size: int) -> Exception | bytes:
    try:
        return _receive(stream, size)
    except (OSError, TimeoutError) as exc:
        return exc


def _is_break(outcome: Exception | bytes) -> bool:
    return isinstance(outcome, OSError) and not isinstance(outcome, TimeoutError)


def _send_until_error(stream: Stream, data: bytes) -> str:
    """A bridge may take some before it hears of the end."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            stream.send(data)
        except TimeoutError as exc:
            return repr(exc)
        except OSError:
            return ""
        time.sleep(0.02)
    return "could be sent"
