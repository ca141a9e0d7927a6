"""A client of HTTP/2 that follows the rules: h2, on a blocking socket."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Generator

    from connect_tunnel.testing import LoopbackH2Proxy

from .raw import dial

Headers: TypeAlias = list[tuple[bytes, bytes]]


@contextmanager
def h2_client(proxy: LoopbackH2Proxy, context: ssl.SSLContext | None = None) -> Generator[H2Client]:
    """By TLS where a context is given, else with prior knowledge."""
    with dial(proxy) as sock:
        if context is None:
            yield H2Client(sock)
            return
        with context.wrap_socket(sock, server_hostname=proxy.host) as tls:
            assert tls.selected_alpn_protocol() == "h2"
            yield H2Client(tls)


class H2Client:
    """One connection; every wait is for something that is going to happen."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.h2.initiate_connection()
        self.status: dict[int, int] = {}
        self.fields: dict[int, dict[bytes, bytes]] = {}
        self.data: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self.goaway: int | None = None
        self.settings: dict[int, int] = {}
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def request(self, target: str, *fields: tuple[str, str], end_stream: bool = False) -> int:
        return self.send_headers(
            [(":method", "CONNECT"), (":authority", target), *fields], end_stream=end_stream
        )

    def send_headers(self, headers: list[tuple[str, str]], *, end_stream: bool = False) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers, end_stream=end_stream)
        self.flush()
        return stream

    def open(self, port: int) -> int:
        stream = self.request(f"127.0.0.1:{port}")
        self.until(lambda: stream in self.status)
        assert self.status[stream] == 200
        return stream

    def send(self, stream: int, data: bytes, *, end_stream: bool = False) -> None:
        """Send it all, as the windows allow; what comes meanwhile is kept."""
        left = memoryview(data)
        while left:
            self.until(lambda: self.h2.local_flow_control_window(stream) > 0)
            window = self.h2.local_flow_control_window(stream)
            size = min(window, self.h2.max_outbound_frame_size)
            self.h2.send_data(stream, bytes(left[:size]))
            self.flush()
            left = left[size:]
        if end_stream:
            self.h2.end_stream(stream)
            self.flush()

    def receive(self, stream: int, size: int) -> bytes:
        self.until(lambda: len(self.data[stream]) >= size)
        data = bytes(self.data[stream][:size])
        del self.data[stream][:size]
        return data

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            data = self.sock.recv(65536)
            assert data, "the connection ended"
            for event in self.h2.receive_data(data):
                self._take(event)
            self.flush()

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived(stream_id=int() as stream, headers=headers):
                self.fields[stream] = dict(headers or [])
                self.status[stream] = int(self.fields[stream][b":status"])
            case DataReceived(stream_id=int() as stream, data=data):
                self.data[stream] += data or b""
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            case StreamEnded(stream_id=int() as stream):
                self.ended.add(stream)
            case StreamReset(stream_id=int() as stream, error_code=code):
                self.reset[stream] = int(code or 0)
            case ConnectionTerminated(error_code=code):
                self.goaway = int(code or 0)
            case RemoteSettingsChanged(changed_settings=changed):
                self.settings |= {int(key): each.new_value for key, each in changed.items()}
            case _:
                pass
