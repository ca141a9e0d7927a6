"""A proxy that speaks HTTP/2 by a script, frame by frame, and judges what it is sent.

A step is one of these, with more about it beside it:

* `expect`: HEADERS (the request: `header`, `absent`, `block`, which its octets hold), DATA,
  PING_ACK, SETTINGS_ACK, or RST_STREAM or GOAWAY with one of `codes`, where the end of the
  connection will do as well;
* `send`: HEADERS, DATA, RST_STREAM, GOAWAY, WINDOW_UPDATE, PING, SETTINGS, PUSH_PROMISE, all on
  `stream`; or `send_raw`: octets in hexadecimal;
* `send_flow`: so many octets of data, as the client's windows allow;
* `echo`: what comes on stream 1 goes back; `expect_data`: so many octets come, and are credited
  if `grant` says so; `expect_silence`: no data come for so many seconds;
* `expect_end`: the client ends that stream, resets it, or leaves;
* `sleep`, `hold` (which reads meanwhile), `close`; `instead`: octets in place of HTTP/2.

Of every frame it is judged whether it is of a size that is allowed, and within the windows.
"""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Final

import hpack

from connect_tunnel.testing import TLSPeer
from connect_tunnel.testing import _h2_frames as h2
from connect_tunnel.testing._server import LoopbackServer

from .h2_watch import Watch

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from connect_tunnel.testing import Peer
    from connect_tunnel.testing._h2_frames import Frame

    from .h2_case import H2Case, Step

PATIENCE: Final = 15.0  # for what should come at once, on a machine that is busy


class H2ScriptedProxy(LoopbackServer):
    """Plays a case with each connection.

    Attributes:
        wrong: What clients did that they should not.
    """

    def __init__(self, case: H2Case, ssl_context: ssl.SSLContext | None) -> None:
        super().__init__(ssl_context)
        self._case = case
        self.wrong: Final[list[str]] = []

    def _serve(self) -> None:
        while sock := self._listener.accept():
            self._listener.spawn(self._meet, sock)

    def _meet(self, sock: socket.socket) -> None:
        self._listener.run(self._talk, sock)
        self._listener.release(sock)

    def _talk(self, sock: socket.socket) -> None:
        client: Peer = sock
        if self._ssl_context is not None:
            client = tls = TLSPeer(sock, self._ssl_context)
            if tls.alpn_protocol != "h2":
                self.wrong.append(f"ALPN chose {tls.alpn_protocol}")
                return
        try:
            _Play(self._case, client, self.wrong).run()
        except _Over:
            pass


class _Over(Exception):
    """The client has left, or the script has ended the connection."""


class _Play:
    def __init__(self, case: H2Case, client: Peer, wrong: list[str]) -> None:
        self._case, self._client, self._wrong = case, client, wrong
        received = bytearray()
        self._received = received
        self._reader = h2.FrameReader(client.recv, received)
        self._encoder = hpack.Encoder()
        self._settings = {int(key): value for key, value in case.settings.items()}
        self._watch = Watch(case.authority, self._settings, wrong, self._put)

    def run(self) -> None:
        if not self._has_preface():
            self._wrong.append(f"its preface is {bytes(self._received[:24])!r}")
            return
        if "instead" in self._case.steps[0]:
            self._put(self._case.steps[0]["instead"].encode("latin-1"))
        else:
            self._put(h2.settings(self._settings))
            for step in self._case.steps:
                self._perform(step)
        while 1 not in self._watch.ended:
            self._next(60.0)
        # As targets do: who sees the one end makes the other. A bridge waits for it.
        self._put(h2.frame(h2.DATA, h2.END_STREAM, 1))
        while True:
            self._next(60.0)

    def _has_preface(self) -> bool:
        self._client.settimeout(PATIENCE)
        while len(self._received) < len(h2.PREFACE):
            data = self._client.recv(65536)
            if not data:
                raise _Over
            self._received += data
        preface = bytes(self._received[: len(h2.PREFACE)])
        del self._received[: len(h2.PREFACE)]
        return preface == h2.PREFACE

    def _put(self, *frames: bytes) -> None:
        try:
            self._client.settimeout(PATIENCE)
            self._client.sendall(b"".join(frames))
        except OSError:
            raise _Over from None

    # --- what comes ---

    def _next(self, seconds: float) -> Frame | None:
        """The next frame, taken note of; None if none comes in time."""
        self._client.settimeout(max(seconds, 0.001))
        try:
            frame = self._reader.read()
        except TimeoutError:
            return None
        except ValueError as exc:
            self._wrong.append(f"sends {exc}")
            raise _Over from None
        except OSError:
            raise _Over from None
        if frame is None:
            raise _Over
        self._watch.note(frame)
        return frame

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if self._next(end - time.monotonic()) is None:
                self._wrong.append(f"{what} did not come")
                raise _Over

    def _until_frame(self, what: str, condition: Callable[[Frame], bool]) -> Frame:
        end = time.monotonic() + PATIENCE
        while True:
            frame = self._next(end - time.monotonic())
            if frame is None:
                self._wrong.append(f"{what} did not come")
                raise _Over
            if condition(frame):
                return frame

    # --- the script ---

    def _perform(self, step: Step) -> None:
        match step:
            case {"expect": str()}:
                self._expect(step)
            case {"send": str(kind), **more}:
                self._put(self._frame(kind, more.get("stream", 0), more))
            case {"send_raw": str(digits)}:
                self._put(bytes.fromhex(digits))
            case {"send_flow": int(size)}:
                self._send_flow(size)
            case {"echo": True}:
                self._echo()
            case {"expect_data": int(size), **more}:
                self._expect_data(size, grant=more.get("grant", False))
            case {"expect_silence": seconds}:
                before = len(self._watch.data[1])
                self._read_for(seconds)
                if len(self._watch.data[1]) > before:
                    self._wrong.append("sends what no window allows")
            case {"expect_end": int(stream)}:
                self._until(f"an end of stream {stream}", lambda: stream in self._watch.ended)
            case {"sleep": seconds}:
                time.sleep(seconds)
            case {"hold": seconds}:
                self._read_for(seconds)
            case {"close": True}:
                raise _Over
            case _:
                raise ValueError(step)

    def _read_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._next(left)

    def _expect(self, step: Step) -> None:
        kind, stream = step["expect"], step.get("stream", 0)
        match kind:
            case "HEADERS":
                self._until_frame(
                    f"a request on stream {stream}",
                    lambda f: f.stream == stream and f.type in (1, 9) and f.has(h2.END_HEADERS),
                )
                self._compare_request(step, self._watch.blocks[stream])
            case "DATA":
                wanted, data = step["data"].encode("latin-1"), self._watch.data[stream]
                self._until(f"{wanted!r}", lambda: len(data) >= len(wanted))
                if not data.startswith(wanted):
                    self._wrong.append(f"sends {bytes(data[:99])!r}, not {wanted!r}")
                del data[: len(wanted)]
            case "PING_ACK":
                payload = step["data"].encode()
                self._until_frame(
                    "the answer to a PING",
                    lambda f: f.type == h2.PING and f.has(h2.ACK) and f.payload == payload,
                )
            case "SETTINGS_ACK":
                self._until("the answer to SETTINGS", lambda: self._watch.acknowledged)
            case "RST_STREAM":
                frame = self._until_frame(kind, lambda f: (f.type, f.stream) == (3, stream))
                self._compare_code(step, frame.number())
            case "GOAWAY":
                frame = self._until_frame(kind, lambda f: f.type == h2.GOAWAY)
                self._compare_code(step, int.from_bytes(frame.payload[4:8], "big"))
            case _:
                raise ValueError(step)

    def _compare_request(self, step: Step, block: bytes) -> None:
        for name in step.get("absent", []):
            if any(name == has for has, _ in self._watch.request):
                self._wrong.append(f"its request has {name}")
        for name, value in step.get("header", []):
            if (name, value) not in self._watch.request:
                self._wrong.append(f"its request has no {name}: {value}")
        if bytes.fromhex(step.get("block", "")) not in block:
            self._wrong.append(f"its request is encoded as {block.hex(' ')}")

    def _compare_code(self, step: Step, code: int) -> None:
        if code not in step["codes"]:
            self._wrong.append(f"{step['expect']} with code {code}, not {step['codes']}")

    def _frame(self, kind: str, stream: int, more: Step) -> bytes:
        end = h2.END_STREAM if more.get("end_stream") else 0
        match kind:
            case "HEADERS":
                return self._headers(stream, end, more)
            case "DATA":
                data, pad = more["data"].encode("latin-1") * more.get("times", 1), more.get("pad")
                self._watch.may_be_sent[0] -= len(data) + (pad + 1 if pad else 0)
                self._watch.may_be_sent[stream] -= len(data) + (pad + 1 if pad else 0)
                if pad:
                    end, data = end | h2.PADDED, bytes([pad]) + data + bytes(pad)
                return h2.frame(h2.DATA, end, stream, data)
            case "RST_STREAM":
                return h2.rst_stream(stream, more["code"])
            case "GOAWAY":
                return h2.goaway(more["last"], more["code"])
            case "WINDOW_UPDATE":
                self._watch.may_send[stream] += more["inc"]
                return h2.window_update(stream, more["inc"])
            case "PING":
                return h2.frame(h2.PING, 0, 0, more["data"].encode())
            case "SETTINGS":
                values = {int(key): value for key, value in more["values"].items()}
                self._watch.expect_settings(values)
                return h2.settings(values)
            case "PUSH_PROMISE":
                fields = [(":method", "GET"), (":scheme", "https"), (":path", "/")]
                promised = struct.pack(">I", more["promised"]) + self._encoder.encode(fields)
                return h2.frame(h2.PUSH_PROMISE, h2.END_HEADERS, stream, promised)
            case _:
                raise ValueError(kind)

    def _headers(self, stream: int, end: int, more: Step) -> bytes:
        block = self._encoder.encode([(name, value) for name, value in more["headers"]])
        size = more.get("continuation", len(block))
        parts = [block[start : start + size] for start in range(0, len(block), size)]
        frames = [
            h2.frame(h2.CONTINUATION if number else h2.HEADERS, 0 if number else end, stream, part)
            for number, part in enumerate(parts)
        ]
        last = bytearray(frames[-1])
        last[4] |= h2.END_HEADERS
        return b"".join(frames[:-1]) + bytes(last)

    def _send_flow(self, size: int) -> None:
        left, windows = size, self._watch.may_be_sent
        while left:
            room = min(left, h2.MAX_FRAME_SIZE, windows[0], windows[1])
            if room > 0:
                left -= room
                self._put(self._frame("DATA", 1, {"data": "d", "times": room}))
            elif self._next(PATIENCE) is None:
                self._wrong.append(f"gives no window for the last {left} octets")
                raise _Over

    def _echo(self) -> None:
        while True:
            if data := bytes(self._watch.data[1]):
                self._watch.data[1].clear()
                self._put(h2.frame(h2.DATA, 0, 1, data))
            if 1 in self._watch.ended:
                return
            self._next(60.0)

    def _expect_data(self, size: int, *, grant: bool) -> None:
        end, data, granted = time.monotonic() + PATIENCE, self._watch.data[1], 0
        while True:
            if grant and (more := len(data) - granted):
                granted += more
                for stream in (0, 1):
                    self._put(self._frame("WINDOW_UPDATE", stream, {"inc": more}))
            if len(data) >= size:
                break
            if self._next(end - time.monotonic()) is None:
                self._wrong.append(f"sends {len(data)} of {size} octets")
                raise _Over
        if len(data) > size:
            self._wrong.append(f"sends {len(data)} octets, not {size}")
