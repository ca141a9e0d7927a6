"""A transport over a tunnel that has no socket of its own: its hop is TLS, or is shared.

It keeps the contract of asyncio's own socket transports, callback by callback. What those do
with a descriptor, this one does with two tasks: one receives for as long as there is something
to come, the other lives while there is something to send.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Final, cast

import anyio

from ._asyncio_flow import FlowControl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connect_tunnel import AsyncTunnel

_CHUNK = 64 * 1024  # sent at once: what shows as not sent yet, while the target does not read


class TunnelTransport(FlowControl):
    """A transport over an open tunnel, whose `connection_made` is called soon.

    Args:
        loop: The running loop.
        tunnel: The tunnel, which is the transport's from here on.
        protocol: Whose callbacks are called.
        extra: What `get_extra_info` gives.
        can_write_eof: Whether the sending side may end by itself.
    """

    # What asyncio's `loop.start_tls` asks of a transport; uvloop's takes none but its own.
    _start_tls_compatible = True

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tunnel: AsyncTunnel,
        protocol: asyncio.BaseProtocol,
        extra: Mapping[str, object],
        *,
        can_write_eof: bool,
    ) -> None:
        super().__init__(loop, protocol, extra)
        self._tunnel: Final = tunnel
        self._can_write_eof: Final = can_write_eof
        self._may_read: Final = asyncio.Event()
        self._may_read.set()
        self._receiver: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._sending = False
        self._eof = False  # whether `write_eof` was called
        self._closing = False
        self._lost = False  # whether `connection_lost` was called, or will be soon
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._start_receiving)

    # --- reading ---

    def is_reading(self) -> bool:
        """Whether data is passed on as it comes."""
        return not self._closing and self._may_read.is_set()

    def pause_reading(self) -> None:
        """Pass nothing on until `resume_reading`."""
        if not self._closing:
            self._may_read.clear()

    def resume_reading(self) -> None:
        """Pass data on again."""
        if not self._closing:
            self._may_read.set()

    def _start_receiving(self) -> None:
        if not self._closing:
            self._receiver = self._loop.create_task(self._receive())

    async def _receive(self) -> None:
        try:
            while not self._closing:
                await self._may_read.wait()
                data = await self._next()
                await self._may_read.wait()  # paused meanwhile: what came is kept
                if not data:
                    self._pass_on_end()
                    return
                await self._pass_on(data)
        except OSError as error:
            self._force_close(error)
        except asyncio.CancelledError:
            self._was_cancelled(by_us=self._closing)
            raise

    async def _next(self) -> bytes:
        try:
            return await self._tunnel.receive()
        except anyio.EndOfStream:
            return b""

    async def _pass_on(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._closing:
            await self._may_read.wait()
            protocol = self._protocol
            try:
                if isinstance(protocol, asyncio.BufferedProtocol):
                    rest = rest[_fill(protocol, rest) :]
                else:
                    received, rest = bytes(rest), rest[:0]
                    cast("asyncio.Protocol", protocol).data_received(received)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - as varied as protocols are
                self._fail(error, "Fatal error: the protocol failed to take data.")

    def _pass_on_end(self) -> None:
        try:
            keep_open = cast("asyncio.Protocol", self._protocol).eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as varied as protocols are
            self._fail(error, "Fatal error: protocol.eof_received() call failed.")
        else:
            if not keep_open:
                self.close()

    # --- writing ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send the data, in the order of the calls; never waits.

        Raises:
            TypeError: It is not bytes, bytearray or memoryview.
            RuntimeError: The sending side was ended.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data is bytes, bytearray or memoryview, not {type(data).__name__}")
        if self._eof:
            raise RuntimeError("cannot write after write_eof")
        if self._lost or not data:
            return  # as asyncio does: the protocol hears of the loss by connection_lost
        self._buffer.extend(data)
        self._start_sending()
        self._check_high()

    def can_write_eof(self) -> bool:
        """Whether the sending side may end by itself: not with TLS, as in asyncio."""
        return self._can_write_eof

    def write_eof(self) -> None:
        """End the sending side once all is sent.

        Raises:
            NotImplementedError: There is TLS with the target.
        """
        if not self._can_write_eof:
            raise NotImplementedError("TLS with the target: its end is the connection's")
        if not self._closing and not self._eof:
            self._eof = True
            self._start_sending()

    def _start_sending(self) -> None:
        if not self._sending:
            self._sending = True
            self._sender = self._loop.create_task(self._send())

    async def _send(self) -> None:
        ended = False
        try:
            while not self._lost:
                if self._buffer:
                    await self._send_some()
                elif self._closing:
                    self._finish()
                elif self._eof and not ended:
                    ended = True
                    await self._tunnel.send_eof()
                else:
                    break
        except OSError as error:
            self._force_close(error)
        except asyncio.CancelledError:
            self._was_cancelled(by_us=self._lost)
            raise
        finally:
            self._sending = False

    async def _send_some(self) -> None:
        data = self._buffer[:_CHUNK]
        del self._buffer[:_CHUNK]
        self._in_flight = len(data)
        await self._tunnel.send(data)
        self._in_flight = 0
        self._check_low()

    # --- the end ---

    def is_closing(self) -> bool:
        """Whether it was closed, or is about to be."""
        return self._closing

    def close(self) -> None:
        """Receive no more, send what was written, and then close; never waits."""
        if not self._closing:
            self._closing = True
            self._stop(self._receiver)
            if not self._sending:
                self._finish()

    def _finish(self) -> None:
        self._lose(None)
        self._tunnel.close()

    def abort(self) -> None:
        """Close at once. What was written and not sent is lost, and the target can tell."""
        self._force_close(None)

    def _fail(self, error: BaseException, message: str) -> None:
        if not isinstance(error, OSError):
            self._report(error, message)
        self._force_close(error)

    # Of this name, as asyncio's own TLS calls it on the transport below.
    def _force_close(self, error: BaseException | None) -> None:
        if self._lost:
            return
        self._closing = True
        self._buffer.clear()
        self._lose(error)
        self._tunnel.abort()
        self._stop(self._receiver)
        self._stop(self._sender)

    def _lose(self, error: BaseException | None) -> None:
        self._lost = True
        self._loop.call_soon(self._protocol_lost, error)

    def _protocol_lost(self, error: BaseException | None) -> None:
        # The protocol of now: it may have changed since.
        self._protocol.connection_lost(cast("Exception | None", error))

    def _stop(self, task: asyncio.Task[None] | None) -> None:
        if task is not None and task is not asyncio.current_task(self._loop):
            task.cancel()

    def _was_cancelled(self, *, by_us: bool) -> None:
        if not by_us:
            # As a loop does that shuts down: nobody has closed it until now.
            self._force_close(ConnectionAbortedError("the task that served it was cancelled"))
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        state = " closed" if self._lost else " closing" if self._closing else ""
        return f"<TunnelTransport over {self._tunnel!r}{state}>"


def _fill(protocol: asyncio.BufferedProtocol, data: memoryview) -> int:
    """Put some of the data into the protocol's own buffer, and say how much."""
    buffer = memoryview(protocol.get_buffer(-1)).cast("B")
    count = min(len(buffer), len(data))
    if not count:
        raise RuntimeError("get_buffer() returned an empty buffer")
    buffer[:count] = data[:count]
    protocol.buffer_updated(count)
    return count
