"""What a client of HTTP/2 has sent on a connection, judged frame by frame."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import hpack

from connect_tunnel.testing import _h2_frames as h2

from .h2_request import judge_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connect_tunnel.testing._h2_frames import Frame


class Watch:
    """Keeps the windows, and what came.

    Args:
        authority: What the client must ask for.
        settings: The proxy's.
        wrong: Where complaints go.
        answer: Sends what has to be answered at once: PING, SETTINGS.

    Attributes:
        may_send: How much data the client may send, on the connection (0) and each stream.
        may_be_sent: How much it may be sent.
        data: What it sent, and nobody took yet.
        ended: The streams that it has ended or reset.
        blocks: The fields of its requests, as they were encoded.
        request: The last of them.
        acknowledged: Whether it has acknowledged the last SETTINGS.
    """

    def __init__(
        self,
        authority: str,
        settings: Mapping[int, int],
        wrong: list[str],
        answer: Callable[[bytes], None],
    ) -> None:
        self._authority, self._wrong, self._answer = authority, wrong, answer
        self._decoder = hpack.Decoder()
        self._its_window = settings.get(h2.INITIAL_WINDOW_SIZE, h2.DEFAULT_WINDOW)
        self._next_window = self._its_window
        self._our_window = h2.DEFAULT_WINDOW
        self.may_send = defaultdict[int, int](int, {0: h2.DEFAULT_WINDOW})
        self.may_be_sent = defaultdict[int, int](int, {0: h2.DEFAULT_WINDOW})
        self.data: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.blocks: dict[int, bytes] = {}
        self.request: list[tuple[str, str]] = []
        self.acknowledged = False

    def expect_settings(self, values: Mapping[int, int]) -> None:
        """It is sent new ones, and may go by the old ones until it has acknowledged them."""
        self._next_window = values.get(h2.INITIAL_WINDOW_SIZE, self._its_window)
        self._change_window(max(self._its_window, self._next_window))
        self.acknowledged = False

    def _change_window(self, window: int) -> None:
        for stream in self.blocks:
            self.may_send[stream] += window - self._its_window
        self._its_window = window

    def note(self, frame: Frame) -> None:
        match frame.type:
            case h2.SETTINGS if frame.has(h2.ACK):
                self.acknowledged = True
                self._change_window(self._next_window)
            case h2.SETTINGS:
                window = frame.settings().get(h2.INITIAL_WINDOW_SIZE, self._our_window)
                for stream in self.may_be_sent:
                    self.may_be_sent[stream] += (window - self._our_window) if stream else 0
                self._our_window = window
                if frame.settings().get(2, 1):
                    self._wrong.append("does not forbid PUSH_PROMISE")
                self._answer(h2.frame(h2.SETTINGS, h2.ACK, 0))
            case h2.WINDOW_UPDATE:
                self.may_be_sent[frame.stream] += frame.number() & h2.LARGEST_WINDOW
            case h2.PING if not frame.has(h2.ACK):
                self._answer(h2.frame(h2.PING, h2.ACK, 0, frame.payload))
            case h2.DATA:
                self._note_data(frame)
            case h2.HEADERS | h2.CONTINUATION:
                self._note_headers(frame)
            case h2.RST_STREAM:
                self.ended.add(frame.stream)
            case _:
                pass

    def _note_data(self, frame: Frame) -> None:
        for window in (0, frame.stream):
            self.may_send[window] -= len(frame.payload)
            if frame.payload and self.may_send[window] < 0:
                self._wrong.append(f"sends {-self.may_send[window]} beyond the window {window}")
        if frame.stream in self.ended:
            self._wrong.append(f"sends data on stream {frame.stream} after its end")
        self.data[frame.stream] += frame.content()
        if frame.has(h2.END_STREAM):
            self.ended.add(frame.stream)

    def _note_headers(self, frame: Frame) -> None:
        if frame.type == h2.HEADERS:
            if frame.stream % 2 == 0 or any(frame.stream <= other for other in self.blocks):
                self._wrong.append(f"opens stream {frame.stream} after {[*self.blocks]}")
            if frame.has(h2.END_STREAM):
                self._wrong.append("ends the stream with its request")
            self.blocks[frame.stream] = b""
            self.may_send[frame.stream] = self._its_window
            self.may_be_sent[frame.stream] += self._our_window
        self.blocks[frame.stream] += frame.content()
        if frame.has(h2.END_HEADERS):
            fields = self._decoder.decode(self.blocks[frame.stream], raw=True)
            request = [(bytes(name).decode(), bytes(value).decode()) for name, value in fields]
            self._wrong += judge_request(request, self._authority)
            self.request = request
