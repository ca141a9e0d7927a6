"""Programs without I/O: what `replay` and `every_split` promise to the tests of programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import Proxy, ProxyHungUp
from connect_tunnel._route import Hop
from connect_tunnel._steps import Ask, Call, Dial, HangUp, Offload, Peek, Resolve, Send, Take
from connect_tunnel.testing import NextConnection, every_split, replay

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from connect_tunnel._steps import Program


def read_line() -> Program[bytes]:
    """Take a line, and not one byte more."""
    line = b""
    while not line.endswith(b"\n"):
        seen = yield from Peek()
        if not seen:
            return line
        part = seen[: seen.find(b"\n") + 1] or seen
        yield from Take(len(part))
        line += part
    return line


def test_a_program() -> None:
    def ask() -> Program[bytes]:
        yield from Send(b"who ")
        yield from Send(b"are you?\n")
        return (yield from read_line())

    done = replay(ask(), b"Ali", b"ce\nand Bob\n", b"and Carol\n")
    assert done.value == b"Alice\n"
    assert done.sent == b"who are you?\n"
    assert done.left == b"and Bob\nand Carol\n"
    assert [type(step) for step in done.steps] == [Send, Send, Peek, Take, Peek, Take]


def test_every_split_of_what_a_program_reads() -> None:
    for split in every_split(b"Alice\nand Bob\n"):
        done = replay(read_line(), *split)
        assert (done.value, done.left) == (b"Alice\n", b"and Bob\n"), split


def test_what_was_seen_and_not_taken_is_seen_again() -> None:
    def two_lines() -> Program[list[bytes]]:
        return [(yield from read_line()), (yield from read_line())]

    assert replay(two_lines(), b"Alice\nBob\n").value == [b"Alice\n", b"Bob\n"]


def test_the_end_of_the_stream_stays_the_end() -> None:
    def two_lines() -> Program[list[bytes]]:
        return [(yield from read_line()), (yield from read_line())]

    assert replay(two_lines(), b"Alice", b"").value == [b"Alice", b""]


def test_no_more_than_a_driver_shows_at_once() -> None:
    def look() -> Program[int]:
        return len((yield from Peek()))

    assert replay(look(), b"x" * 5000).value == 4096


def test_another_connection() -> None:
    def ask_twice() -> Program[list[bytes]]:
        first = yield from read_line()
        yield from HangUp()
        return [first, (yield from read_line())]

    done = replay(ask_twice(), b"no\nrest", b"and more", NextConnection(), b"yes\nearly")
    assert done.value == [b"no\n", b"yes\n"]
    assert done.left == b"early"


def test_exceptions_are_thrown_in() -> None:
    def read_or_not() -> Program[str]:
        try:
            yield from read_line()
        except ProxyHungUp as exc:
            return str(exc)
        return ""

    assert replay(read_or_not(), b"Ali", ProxyHungUp("gone")).value == "gone"
    with pytest.raises(ProxyHungUp):
        replay(read_line(), ProxyHungUp())


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({}, [None, None]),
        ({Resolve: [1]}, [[1], [1]]),
        ({Resolve: iter([[1], OSError("no")])}, [[1], "no"]),
        ({Resolve: OSError("no"), Dial: "ignored"}, ["no", "no"]),
    ],
)
def test_results_of_other_steps(results: dict[Any, object], said: list[object]) -> None:
    def resolve_twice() -> Program[list[object]]:
        answers: list[object] = []
        for _ in range(2):
            try:
                answers.append((yield from Resolve("a.test", 1)))
            except OSError as exc:
                answers.append(str(exc))
        return answers

    assert replay(resolve_twice(), results=results).value == said


def test_a_result_of_a_step_is_that_of_its_base_if_it_has_none_of_its_own() -> None:
    def ask() -> Program[str]:
        try:
            yield from Ask(b"data", Hop(Proxy("http://proxy.test")))
        except OSError as exc:
            return str(exc)
        return ""

    assert replay(ask()).sent == b"data"
    assert replay(ask(), results={Send: OSError("no")}).value == "no"
    assert replay(ask(), results={Send: OSError("no"), Ask: OSError("asked")}).value == "asked"


def test_callables_are_called() -> None:
    async def later(value: int) -> int:
        return value

    def soon(value: int) -> Awaitable[int]:
        return later(value)

    def calls() -> Program[list[int]]:
        return [
            (yield from Call(int, "1")),
            (yield from Call(soon, 2)),
            (yield from Offload(int, "3")),
        ]

    assert replay(calls()).value == [1, 2, 3]


class Never:
    """An awaitable that needs a loop."""

    def __await__(self) -> Any:
        yield


def test_what_a_program_must_not_do() -> None:
    def takes_too_much() -> Program[None]:
        seen = yield from Peek()
        yield from Take(len(seen) + 1)

    def spins() -> Program[None]:
        yield from Peek()
        yield from Peek()

    def never() -> Awaitable[None] | None:
        return Never()

    def waits() -> Program[None]:
        yield from Call(never)

    def resolves() -> Program[None]:
        yield from Resolve("a.test", 1)

    for program, complaint in [
        (takes_too_much(), "takes 5 bytes of 4 that it saw"),
        (spins(), "looks again at what it saw and did not take: it would spin"),
        (read_line(), "waits for bytes that do not come"),
        (waits(), "waits for something, and a replay has no loop"),
        (resolves(), "takes more steps than it has results: "),
    ]:
        with pytest.raises(AssertionError, match=re.escape(complaint)):
            replay(program, b"data", results={Resolve: iter([])})
    with pytest.raises(AssertionError, match="reads on, and was to hang up"):
        replay(read_line(), b"Ali", NextConnection(), b"ce")


@pytest.mark.parametrize(
    ("data", "splits"),
    [
        (b"", [()]),
        (b"a", [(b"a",)]),
        (b"ab", [(b"ab",), (b"a", b"b")]),
        (b"abc", [(b"abc",), (b"a", b"bc"), (b"ab", b"c"), (b"a", b"b", b"c")]),
    ],
)
def test_every_split(data: bytes, splits: list[tuple[bytes, ...]]) -> None:
    assert list(every_split(data)) == splits


def test_every_split_of_long_data_is_not_every_one() -> None:
    data = bytes(range(256)) * 40
    splits = list(every_split(data))
    assert all(b"".join(split) == data for split in splits)
    cuts = [len(split[0]) for split in splits if len(split) == 2]
    assert cuts == [*range(1, 257), 4095, 4096, 4097, 8191, 8192, 8193, *range(9984, 10240)]
