"""What a proxy allows on an HTTP/2 connection: its SETTINGS (RFC 9113, 6.5.2)."""

from __future__ import annotations

from . import h2_frames as wire
from .h2_reader import Fault

_UNLIMITED = 2**31


class Limits:
    """The settings of the other side, as far as they limit ours.

    Attributes:
        known: Whether they have come; until then they are what every connection begins with.
        max_streams: How many streams may be open at a time.
        window: The send window that a stream begins with.
        max_frame: How much one frame may carry.
    """

    __slots__ = ("known", "max_frame", "max_streams", "window")

    def __init__(self) -> None:
        self.known: bool = False
        self.max_streams: int = _UNLIMITED
        self.window: int = wire.DEFAULT_WINDOW
        self.max_frame: int = wire.LEAST_FRAME

    def learn(self, payload: bytes) -> int:
        """Take settings over, and say by how much they widen the windows of open streams.

        Raises:
            Fault: One of them is none.
        """
        before = self.window
        for setting, value in wire.settings_of(payload):
            match setting:
                case wire.INITIAL_WINDOW_SIZE:
                    if value > wire.MAX_WINDOW:
                        raise Fault(wire.FLOW_CONTROL_ERROR, f"set windows to {value}")
                    self.window = value
                case wire.MAX_CONCURRENT_STREAMS:
                    self.max_streams = value
                case wire.MAX_FRAME_SIZE:
                    if not wire.LEAST_FRAME <= value < 2**24:
                        raise Fault(wire.PROTOCOL_ERROR, f"set the size of frames to {value}")
                    self.max_frame = value
                case wire.ENABLE_PUSH if value:
                    raise Fault(wire.PROTOCOL_ERROR, "wants to be pushed to")
                case _:
                    pass  # what nobody knows limits nobody
        self.known = True
        return self.window - before
