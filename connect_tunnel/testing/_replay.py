"""Programs run without a socket, a clock or a loop: what came in is a list of byte strings."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast

from connect_tunnel._steps import Call, HangUp, Offload, Peek, Send, Step, Take

from ._script import NextConnection

if TYPE_CHECKING:
    from connect_tunnel._steps import Program

T = TypeVar("T")

Incoming: TypeAlias = bytes | Exception | NextConnection

_PEEK_SIZE = 4096  # as much as the driver looks at once
_NO_MORE = object()


@dataclass(frozen=True, slots=True)
class Replay(Generic[T]):
    """How a program went.

    Attributes:
        value: What it returned.
        steps: Every step it took, in order.
        sent: All that it sent.
        left: What had come on the last connection, or was still to come, and was not taken.
    """

    value: T
    steps: tuple[Step[Any], ...]
    sent: bytes
    left: bytes


def replay(
    program: Program[T],
    *incoming: Incoming,
    results: Mapping[type[Step[Any]], object] | None = None,
) -> Replay[T]:
    """Run a program against what a peer sends.

    Bytes arrive one item at a time, each when the program looks and nothing is left to see.
    What it looked at and did not take it sees again.

    Args:
        program: The program, not yet started.
        *incoming: What arrives: segments; b"" for the end of the stream; an exception, which
            is thrown into the program where it looks for bytes; and NextConnection() before
            what arrives on the connection after a HangUp.
        results: What comes of other steps, by their class or its base: a value for all of them, an
            exception to be thrown, or an iterator that has one of these for each. Without
            an entry it is None. `Call` and `Offload` call what they were given.

    Raises:
        AssertionError: The program waits for more than arrives, would spin, or takes what
            it has not seen.
        Exception: Whatever the program itself raises.
    """
    peer = _Peer(incoming, results or {})
    steps: list[Step[Any]] = []
    try:
        step = next(program)
        while True:
            steps.append(step)
            try:
                result = peer.perform(step)
            except AssertionError:
                program.close()
                raise
            except Exception as exc:  # noqa: BLE001 - what a step fails with is the program's
                step = program.throw(exc)
            else:
                step = program.send(result)
    except StopIteration as end:
        sent = b"".join(step.data for step in steps if isinstance(step, Send))
        return Replay(end.value, tuple(steps), sent, peer.left())


class _Peer:
    """Performs steps out of what a test gave."""

    def __init__(
        self, incoming: tuple[Incoming, ...], results: Mapping[type[Step[Any]], object]
    ) -> None:
        self._coming = deque(incoming)
        self._results = results
        self._arrived = bytearray()
        self._ended = False
        self._seen = 0

    def perform(self, step: Step[Any]) -> object:
        match step:
            case Peek():
                return self._peek()
            case Take(count):
                assert count <= self._seen, f"takes {count} bytes of {self._seen} that it saw"
                del self._arrived[:count]
                self._seen = 0
                return None
            case Call(function) | Offload(function):
                return _await(function())
            case HangUp():
                self._hang_up()
            case _:
                pass
        return self._result_of(step)

    def _result_of(self, step: Step[Any]) -> object:
        kinds = (kind for kind in type(step).__mro__ if kind in self._results)
        result = self._results[kind] if (kind := next(kinds, None)) else None
        if isinstance(result, Iterator):
            results = cast("Iterator[object]", result)
            result = next(results, _NO_MORE)
            assert result is not _NO_MORE, f"takes more steps than it has results: {step!r}"
        if isinstance(result, Exception):
            raise result
        return result

    def left(self) -> bytes:
        coming = (item for item in self._coming if isinstance(item, bytes))
        return bytes(self._arrived) + b"".join(coming)

    def _peek(self) -> bytes:
        if self._ended:
            return b""
        assert not self._seen, "looks again at what it saw and did not take: it would spin"
        if not self._arrived:
            assert self._coming, "waits for bytes that do not come"
            item = self._coming.popleft()
            assert not isinstance(item, NextConnection), "reads on, and was to hang up"
            if isinstance(item, Exception):
                raise item
            self._arrived += item
            self._ended = not item
        seen = bytes(self._arrived[:_PEEK_SIZE])
        self._seen = len(seen)
        return seen

    def _hang_up(self) -> None:
        self._arrived.clear()
        self._seen, self._ended = 0, False
        while self._coming and not isinstance(self._coming.popleft(), NextConnection):
            pass


def _await(given: object) -> object:
    """What a user's callable gave, awaited if need be; there is no loop to wait in."""
    if not inspect.isawaitable(given):
        return given
    try:
        next(given.__await__())
    except StopIteration as end:
        return end.value
    raise AssertionError("waits for something, and a replay has no loop")


def every_split(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """Cut data in every way that matters: not at all, at each place once, and everywhere.

    Of data longer than 1 KiB the single cuts are those in its first and last 256 bytes and
    around the multiples of 4 KiB, which is as much as a program sees at once.
    """
    size = len(data)
    yield (data,) if data else ()
    for cut in range(1, size):
        near_an_end = cut <= 256 or cut >= size - 256
        if size <= 1024 or near_an_end or (cut + 1) % _PEEK_SIZE <= 2:
            yield data[:cut], data[cut:]
    if size > 2:
        yield tuple(data[i : i + 1] for i in range(size))
