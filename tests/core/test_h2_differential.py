"""HTTP/2 against another's: what `h2` makes of our frames, and we of those that it writes.

Where the two differ `h2` is wrong, or stricter than a tunnel bears; those are listed at the end.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection as Oracle
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    PingReceived,
    RemoteSettingsChanged,
    RequestReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import FlowControlError, ProtocolError
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel.protocols.h2_connection import H2Connection
from connect_tunnel.protocols.h2_stream import Loss
from tests.core import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel.protocols.h2_stream import H2Stream

WINDOW = 65_535
LEFT = Loss("gave up the stream", "reset", 8)
CODES = [0, 1, 2, 5, 7, 8, 10, 11, 13, 99]


class Tunnel:
    """One tunnel, as both sides see it."""

    def __init__(self, stream: H2Stream, asked: list[tuple[bytes, bytes]]) -> None:
        self.stream = stream
        self.asked = asked
        self.sent = bytearray()  # by us
        self.taken = bytearray()
        # What the proxy knows and does.
        self.known = False
        self.heard = bytearray()
        self.said = bytearray()
        self.owed = 0
        self.status = 0
        self.ended = False
        self.end_heard = False
        self.reset_by_us: int | None = None
        self.reset_by_proxy: int | None = None

    @property
    def gone(self) -> bool:
        """Whether the proxy holds it for reset."""
        return self.reset_by_us is not None or self.reset_by_proxy is not None

    @property
    def speaks(self) -> bool:
        """Whether the proxy may still send on it."""
        return self.known and not self.ended and not self.gone


class Pair:
    """A connection of ours and one of `h2`, and the bytes on their way in either direction."""

    def __init__(self) -> None:
        self.ours = H2Connection(window=WINDOW)
        self.theirs = Oracle(H2Configuration(client_side=False, header_encoding=None))
        self.theirs.initiate_connection()
        self.up = bytearray()
        self.down = bytearray()
        self.tunnels: dict[int, Tunnel] = {}
        self.pings = 0
        self.pongs = 0
        self.lowest = 0  # window that we ever had
        self.settled = False  # whether the proxy's first settings were acknowledged
        self.values: dict[SettingCodes | int, int] = {
            SettingCodes.INITIAL_WINDOW_SIZE: 65_535,
            SettingCodes.HEADER_TABLE_SIZE: 4096,
            SettingCodes.MAX_CONCURRENT_STREAMS: 100,
        }

    # ---- the wire ----

    def carry_up(self, size: int) -> None:
        self.up += b"".join(self.ours.outbox)
        self.ours.outbox.clear()
        self.ours.owed = 0
        part = bytes(self.up[:size])
        del self.up[:size]
        for event in self.theirs.receive_data(part):
            self.hear(event)

    def carry_down(self, size: int) -> None:
        self.down += self.theirs.data_to_send() or b""
        self.ours.receive(bytes(self.down[:size]))
        del self.down[:size]
        assert self.ours.lost is None, self.ours.lost
        windows = [tunnel.stream.send_window for tunnel in self.tunnels.values()]
        self.lowest = min([self.lowest, *windows])

    def settle(self) -> None:
        """Let everything arrive."""
        for _ in range(4):
            self.carry_up(len(self.up) + 2**24)
            self.carry_down(len(self.down) + 2**24)

    def hear(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=number, headers=headers):
                tunnel = self.tunnels[number]
                assert [(name, value) for name, value in headers] == tunnel.asked
                tunnel.known = True
            case DataReceived(stream_id=number, data=data, flow_controlled_length=length):
                self.tunnels[number].heard += data
                self.tunnels[number].owed += length
            case StreamEnded(stream_id=number):
                self.tunnels[number].end_heard = True
            case StreamReset(stream_id=number, error_code=code, remote_reset=True):
                self.tunnels[number].reset_by_us = int(code)
            case PingAckReceived():
                self.pongs += 1
            case SettingsAcknowledged():
                self.settled = True
            case _:
                quiet = RemoteSettingsChanged | WindowUpdated | PingReceived
                assert isinstance(event, quiet | StreamReset), event

    # ---- what we do ----

    def ask(self, size: int) -> None:
        more = b"x" * (size % 50)
        asked = [(b":method", b"CONNECT"), (b":authority", b"h%d:1" % (size % 9)), (b"x", more)]
        slots = self.ours.slots
        stream = self.ours.open(asked)
        assert (stream.loss is None) is (slots > 0)
        if slots > 0:
            self.tunnels[stream.id] = Tunnel(stream, asked)

    def send(self, tunnel: Tunnel, size: int) -> None:
        stream = tunnel.stream
        if stream.loss is None and not stream.finished:
            start = len(tunnel.sent)
            data = bytes((start + at + stream.id) % 251 for at in range(size))
            count = self.ours.send(stream, data)
            assert (count > 0) is (size > 0 and self.ours.can_send(stream)) or count
            tunnel.sent += data[:count]

    def take(self, tunnel: Tunnel, size: int) -> None:
        tunnel.taken += self.ours.take(tunnel.stream, size)

    def finish(self, tunnel: Tunnel, _: int) -> None:
        if tunnel.stream.send_window >= 0:  # below it `h2` does not take an end; see the end
            self.ours.finish(tunnel.stream)

    def give_up(self, tunnel: Tunnel, code: int) -> None:
        self.ours.reset(tunnel.stream, CODES[code % len(CODES)], LEFT)

    # ---- what the proxy does ----

    def answer(self, tunnel: Tunnel, status: int) -> None:
        if tunnel.speaks and not tunnel.status:
            tunnel.status = [200, 204, 407, 503][status % 4]
            head = [(b":status", b"%d" % tunnel.status), (b"via", b"2 p%d" % (status % 7))]
            self.theirs.send_headers(tunnel.stream.id, head)

    def say(self, tunnel: Tunnel, size: int) -> None:
        if tunnel.speaks and tunnel.status:
            number = tunnel.stream.id
            room = self.theirs.local_flow_control_window(number)
            room = min(size, room, self.theirs.max_outbound_frame_size)
            padding = size % 256 if size % 3 == 0 and room > size % 256 + 1 else None
            length = max(0, room - (0 if padding is None else padding + 1))
            start = len(tunnel.said)
            data = bytes((start + at + number) % 249 for at in range(length))
            self.theirs.send_data(number, data, pad_length=padding)
            tunnel.said += data

    def end(self, tunnel: Tunnel, _: int) -> None:
        if tunnel.speaks and tunnel.status:
            self.theirs.end_stream(tunnel.stream.id)
            tunnel.ended = True

    def reset(self, tunnel: Tunnel, code: int) -> None:
        if tunnel.speaks:
            tunnel.reset_by_proxy = CODES[code % len(CODES)]
            self.theirs.reset_stream(tunnel.stream.id, tunnel.reset_by_proxy)

    def acknowledge(self, tunnel: Tunnel, size: int) -> None:
        """Give back what was heard, as a proxy does that passes it on."""
        if tunnel.known and not tunnel.gone and not tunnel.end_heard:
            given = min(size, tunnel.owed)
            self.theirs.acknowledge_received_data(given, tunnel.stream.id)
            tunnel.owed -= given

    def widen(self, tunnel: Tunnel, size: int) -> None:
        if tunnel.known and not tunnel.gone and not tunnel.end_heard:
            self.theirs.increment_flow_control_window(size + 1, tunnel.stream.id)

    def widen_all(self, size: int) -> None:
        self.theirs.increment_flow_control_window(size + 1)

    def set(self, size: int) -> None:
        """Change a setting; all are sent, for `h2` loses count of those that are on their way."""
        choices: list[tuple[SettingCodes, int]] = [
            (SettingCodes.INITIAL_WINDOW_SIZE, size % 1000),
            (SettingCodes.INITIAL_WINDOW_SIZE, 65_535 + size),
            (SettingCodes.HEADER_TABLE_SIZE, size % 200),
            (SettingCodes.HEADER_TABLE_SIZE, 8192),
            (SettingCodes.MAX_CONCURRENT_STREAMS, size % 7),
        ]
        key, value = choices[size % len(choices)]
        if self.settled:
            self.values[key] = value
            self.theirs.update_settings(self.values)

    def ping(self, _: int) -> None:
        self.ours.ping()
        self.pings += 1
        self.theirs.ping(b"12345678")

    def go_away(self) -> None:
        """Gracefully, which `h2` can neither say nor hear without closing (RFC 9113, 6.8)."""
        self.down += self.theirs.data_to_send() or b""
        self.down += frames.go_away(2**31 - 1)


# How often each is done, of so many things.
OF_TUNNELS: dict[Callable[[Pair, Tunnel, int], None], int] = {
    Pair.send: 12, Pair.take: 12, Pair.answer: 12, Pair.say: 12, Pair.acknowledge: 12,
    Pair.widen: 2, Pair.finish: 1, Pair.end: 1, Pair.give_up: 1, Pair.reset: 1,
}  # fmt: skip
OF_ALL: dict[Callable[[Pair, int], None], int] = {
    Pair.ask: 3, Pair.carry_up: 12, Pair.carry_down: 12, Pair.set: 2, Pair.ping: 1,
    Pair.widen_all: 1,
}  # fmt: skip


def act(pair: Pair, chance: Random) -> None:
    """Do one of all the things that there are to be done."""
    size = chance.randrange(chance.choice([40, 3000, 80_000]))
    if chance.random() < 0.005:
        pair.go_away()
    elif pair.tunnels and chance.random() < 0.7:
        [of_one] = chance.choices(list(OF_TUNNELS), list(OF_TUNNELS.values()))
        of_one(pair, chance.choice(list(pair.tunnels.values())), size)
    else:
        [of_all] = chance.choices(list(OF_ALL), list(OF_ALL.values()))
        of_all(pair, size)


def schedule(seed: int, acts: int) -> Pair:
    """Do so many of them, and let everything arrive."""
    pair, chance = Pair(), Random(seed)
    for _ in range(acts):
        act(pair, chance)
    pair.settle()
    return pair


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), acts=st.integers(0, 500))
def test_both_mean_the_same(seed: int, acts: int) -> None:
    """H2-01, H2-05, H2-07, H2-12, H2-15, H2-16, H2-17, H2-18: in any order, and in any pieces."""
    pair = schedule(seed, acts)
    assert pair.settled
    assert pair.pongs == pair.ours.pongs == pair.pings
    for tunnel in pair.tunnels.values():
        assert_agreed(pair, tunnel)


def test_the_schedules_are_worth_the_name() -> None:
    """Much is said both ways, in tunnels of every fate."""
    pairs = [schedule(seed, 500) for seed in range(20)]
    tunnels = [tunnel for pair in pairs for tunnel in pair.tunnels.values()]
    assert sum(len(tunnel.heard) > 50_000 for tunnel in tunnels) > 5
    assert sum(len(tunnel.said) > 50_000 for tunnel in tunnels) > 5
    fates = {(tunnel.ended, tunnel.stream.finished, tunnel.gone) for tunnel in tunnels}
    assert len(fates) >= 7
    assert any(pair.ours.going for pair in pairs)
    assert any(pair.lowest < 0 for pair in pairs)


def assert_agreed(pair: Pair, tunnel: Tunnel) -> None:
    """Once everything has arrived, each knows what the other said and did."""
    stream = tunnel.stream
    pair.take(tunnel, 2**24)
    if tunnel.gone:
        assert stream.loss is not None
        assert stream.loss is LEFT or stream.loss.code == tunnel.reset_by_proxy
    elif stream.loss is not None:
        # It was over for the proxy, which did not have to know that we gave it up.
        assert (stream.loss, tunnel.ended, tunnel.end_heard) == (LEFT, True, True)
    else:
        assert tunnel.known
        assert (tunnel.heard, tunnel.end_heard) == (tunnel.sent, stream.finished)
        assert (tunnel.taken, stream.ended) == (tunnel.said, tunnel.ended)
        assert (stream.response.status if stream.response else 0) == tunnel.status
    # What one has of the other is never anything but the beginning of what that sent.
    assert tunnel.sent.startswith(tunnel.heard)
    assert tunnel.said.startswith(tunnel.taken)


# ---- where they differ ----


class Open(Pair):
    """Two tunnels, of which the first has its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.settle()
        for _ in range(2):
            self.ask(0)
        self.settle()
        self.first, self.second = self.tunnels.values()
        self.answer(self.first, 0)
        self.settle()


def client() -> Oracle:
    """`h2` in our place, with the same tunnels."""
    peer = Oracle(H2Configuration(client_side=True))
    peer.initiate_connection()
    for number in (1, 3):
        peer.send_headers(number, [(":method", "CONNECT"), (":authority", "a:1")])
    peer.receive_data(frames.settings() + frames.answer(1))
    return peer


DIFFERENCES = {
    "H2-09 a length of a 2xx": (
        frames.answer(3, 200, (b"content-length", b"5")) + frames.data(3, b"0123456789"), None,
    ),
    "H2-09 one that is malformed": (
        frames.answer(3, 200, (b"content-length", b"abc")) + frames.data(3, b"x"), None,
    ),
    "H2-10 a malformed answer": (
        frames.answer(3, 200, (b"transfer-encoding", b"chunked")), "malformed",
    ),
    "H2-10 a capital": (frames.answer(3, 200, (b"Server", b"x")), "malformed"),
    "H2-12 a graceful GOAWAY": (frames.go_away(2**31 - 1) + frames.answer(3), None),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "cause"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_costs_h2_all_tunnels(sent: bytes, cause: str | None) -> None:
    """Costs us one, or none: the first goes on."""
    behind = frames.data(1, b"abc")
    pair = Open()
    pair.ours.receive(sent + behind)
    assert pair.ours.lost is None
    assert pair.ours.take(pair.first.stream, 9) == b"abc"
    loss = pair.second.stream.loss
    assert (loss.cause if loss else None) == cause
    assert pair.ours.send(pair.first.stream, b"def") == 3

    oracle = client()
    with pytest.raises(ProtocolError):
        oracle.receive_data(sent + behind)


def test_h2_15_h2_takes_no_end_below_a_window_of_zero() -> None:
    """RFC 9113, 6.9.1 lets it come whatever the window is."""
    pair = Open()
    pair.send(pair.first, 100)
    pair.theirs.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 99})
    pair.settle()
    assert pair.first.stream.send_window == -1
    pair.ours.finish(pair.first.stream)
    with pytest.raises(FlowControlError):
        pair.settle()


def test_h2_11_h2_takes_trailers_on_a_tunnel() -> None:
    """RFC 9113, 8.5 knows none, and an end that comes with them is none."""
    sent = frames.head(1, (b"x", b"y"), end=True)
    assert any(isinstance(event, StreamEnded) for event in client().receive_data(sent))
    pair = Open()
    pair.ours.receive(sent)
    stream = pair.first.stream
    assert stream.loss is not None
    assert (stream.loss.cause, stream.ended) == ("malformed", False)
