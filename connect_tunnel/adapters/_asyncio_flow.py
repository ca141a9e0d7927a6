"""Flow control of what is written: when a protocol is told to pause, and when to go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

_HIGH_WATER = 64 * 1024  # of asyncio's own transports


class FlowControl(asyncio.Transport):
    """A transport's buffer of what is not sent yet, and its limits.

    Args:
        loop: The loop that hears of a protocol's failures.
        protocol: Told to pause writing above the high limit, and to resume below the low one.
        extra: What `get_extra_info` gives.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        extra: Mapping[str, object],
    ) -> None:
        super().__init__(extra)
        self._loop = loop
        self._protocol = protocol
        self._buffer: bytearray = bytearray()
        self._in_flight = 0  # taken from the buffer, and on its way
        self._paused_writing = False
        self._low, self._high = _limits(None, None)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol hear of the connection from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that hears of the connection."""
        return self._protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set how many bytes may wait before the protocol is told to pause, and to go on.

        Raises:
            ValueError: The low limit is above the high one, or below zero.
        """
        self._low, self._high = _limits(high, low)
        self._check_high()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low limit and the high one, in bytes."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """How many bytes are not sent yet."""
        return len(self._buffer) + self._in_flight

    def _check_high(self) -> None:
        if not self._paused_writing and self.get_write_buffer_size() > self._high:
            self._paused_writing = True
            self._tell("pause_writing")

    def _check_low(self) -> None:
        if self._paused_writing and self.get_write_buffer_size() <= self._low:
            self._paused_writing = False
            self._tell("resume_writing")

    def _tell(self, verb: str) -> None:
        try:
            getattr(self._protocol, verb)()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as varied as protocols are
            self._report(error, f"protocol.{verb}() failed")

    def _report(self, error: BaseException, message: str) -> None:
        self._loop.call_exception_handler(
            {
                "message": message,
                "exception": cast("Exception", error),
                "transport": self,
                "protocol": cast("asyncio.Protocol", self._protocol),
            }
        )


def _limits(high: int | None, low: int | None) -> tuple[int, int]:
    if high is None:
        high = _HIGH_WATER if low is None else 4 * low
    if low is None:
        low = high // 4
    if not high >= low >= 0:
        raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
    return low, high
