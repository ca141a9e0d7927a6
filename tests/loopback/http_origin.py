"""An origin for HTTP clients: HTTP/1.1 in the clear or in TLS, and HTTP/2 where ALPN chose it."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import h2.config
import h2.connection
import h2.events

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable
    from typing import Self


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes
    version: str


class Answer(NamedTuple):
    """What is answered to it."""

    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b"hello"


def echo(asked: Asked) -> Answer:
    return Answer(body=asked.body or b"hello")


class Origin(ThreadingHTTPServer):
    """Answers what `answer` makes of each request; the body of one for /unread it leaves unread.

    Args:
        context: For TLS; without one there is none.
        answer: The default echoes a body, and says hello where there is none.
    """

    def __init__(
        self, context: ssl.SSLContext | None = None, answer: Callable[[Asked], Answer] | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context
        self.answer: Callable[[Asked], Answer] = answer or echo
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def url(self, path: str = "/", host: str = "localhost") -> str:
        scheme = "https" if self.context else "http"
        return f"{scheme}://{host}:{self.server_port}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is the tests' matter."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 10
    server: Origin  # pyright: ignore[reportIncompatibleVariableOverride]

    def setup(self) -> None:
        if self.server.context is not None:
            self.request.settimeout(10)
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        chosen = self.server.context and self.request.selected_alpn_protocol()
        with suppress(OSError):
            if chosen == "h2":
                _Http2(self.server, self.request).serve()
            else:
                super().handle()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def reply(self) -> None:
        fields = {name.lower(): value for name, value in self.headers.items()}
        if self.path == "/unread":
            self.server.stopping.wait(5)
        body = self.read_body(fields)
        asked = Asked(self.command, self.path, fields, body, self.request_version)
        self.server.asked.append(asked)
        answer = self.server.answer(asked)
        self.send_response(answer.status)
        for name, value in [*answer.fields, ("Content-Length", str(len(answer.body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body if self.command != "HEAD" else b"")

    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = reply  # noqa: N815 - how they are found

    def read_body(self, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(fields.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        """Say nothing."""


class _Http2:
    """One connection of HTTP/2, whose requests are answered when they are complete."""

    def __init__(self, origin: Origin, sock: socket.socket) -> None:
        self.origin = origin
        self.sock = sock
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.fields: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}

    def serve(self) -> None:
        self.http.initiate_connection()
        self.flush()
        while data := self.sock.recv(65536):
            for event in self.http.receive_data(data):
                self.meet(event)
            self.flush()

    def meet(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(number)):
                pairs = [(text(name), text(value)) for name, value in event.headers or ()]
                self.fields[number], self.bodies[number] = dict(pairs), b""
            case h2.events.DataReceived(stream_id=int(number)):
                self.bodies[number] += event.data or b""
                self.http.acknowledge_received_data(event.flow_controlled_length or 0, number)
            case h2.events.StreamEnded(stream_id=int(number)):
                self.reply(number)
            case _:
                pass

    def reply(self, number: int) -> None:
        fields = self.fields.pop(number)
        body = self.bodies.pop(number)
        asked = Asked(fields[":method"], fields[":path"], fields, body, "HTTP/2")
        self.origin.asked.append(asked)
        answer = self.origin.answer(asked)
        self.http.send_headers(number, [(":status", str(answer.status)), *answer.fields])
        # Small enough for the first window: what is larger is for the real ring.
        body = b"" if asked.method == "HEAD" else answer.body[:16384]
        self.http.send_data(number, body, end_stream=True)

    def flush(self) -> None:
        self.sock.sendall(self.http.data_to_send())


def text(octets: bytes | str) -> str:
    return octets if isinstance(octets, str) else octets.decode()
