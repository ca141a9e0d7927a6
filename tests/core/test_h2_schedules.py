"""Whatever the order of frames and their pieces: every byte arrives once, and where it belongs.

The proxy here is a model: it writes frames, counts windows on its own, and never looks into the
connection under test.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel.protocols.h2_connection import H2Connection
from connect_tunnel.protocols.h2_stream import Loss
from tests.core import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel.protocols.h2_stream import H2Stream

WINDOW = 65_535
CONNECTION_WINDOW = 2**24
LEFT = Loss("gave up the stream", "reset", 8)


class Tunnel:
    """What the model knows of a stream."""

    def __init__(self, stream: H2Stream, window: int) -> None:
        self.stream = stream
        self.may_send = window  # we, as far as we can know
        self.credit = WINDOW  # of the proxy
        self.padding = 0
        self.sent = bytearray()
        self.heard = bytearray()
        self.said = bytearray()
        self.arrived = 0  # of what was said
        self.taken = bytearray()
        self.answered = self.ended = self.finished = False
        self.reset_by_us = self.reset_by_proxy = False

    @property
    def speaks(self) -> bool:
        return self.answered and not (self.ended or self.reset_by_us or self.reset_by_proxy)


class Model:
    """A proxy, and what is on its way to us with what it is going to mean."""

    def __init__(self) -> None:
        self.ours = H2Connection(window=WINDOW)
        self.tunnels: dict[int, Tunnel] = {}
        self.coming: deque[tuple[bytes, Callable[[], None]]] = deque()
        self.rest: bytes = b""
        self.effect: Callable[[], None] = _nothing
        self.initial = WINDOW  # of new streams, as far as we can know
        self.may_send = WINDOW
        self.credit = WINDOW
        self.acks = 0
        self.write(frames.settings((3, 100)))
        self.deliver(1000)
        self.read()

    # ---- the wire ----

    def write(self, frame: bytes, effect: Callable[[], None] | None = None) -> None:
        self.coming.append((frame, effect or _nothing))

    def deliver(self, size: int) -> None:
        """So many bytes, and the meaning of the frames that they complete."""
        while size and (self.rest or self.coming):
            if not self.rest:
                self.rest, self.effect = self.coming.popleft()
            part, self.rest = self.rest[:size], self.rest[size:]
            size -= len(part)
            if not self.rest:
                self.effect()
            self.ours.receive(part)
        assert self.ours.lost is None, self.ours.lost

    def read(self) -> None:
        """Read what we sent, and hold it against the windows."""
        outbox, self.ours.outbox = self.ours.outbox, []
        self.ours.owed = 0
        for kind, flags, number, payload in frames.frames_of(b"".join(outbox)):
            tunnel = self.tunnels.get(number)
            match kind:
                case "DATA":
                    assert tunnel is not None
                    assert not tunnel.finished
                    assert not tunnel.reset_by_us
                    tunnel.heard += payload
                    tunnel.may_send -= len(payload)
                    self.may_send -= len(payload)
                    assert not payload or (tunnel.may_send >= 0 and self.may_send >= 0)
                    tunnel.finished = flags > 0
                case "WINDOW_UPDATE" if tunnel is not None:
                    assert not tunnel.reset_by_us
                    tunnel.credit += int.from_bytes(payload, "big")
                    assert tunnel.credit <= WINDOW
                case "WINDOW_UPDATE":
                    self.credit += int.from_bytes(payload, "big")
                    assert self.credit <= CONNECTION_WINDOW
                case "RST_STREAM":
                    assert tunnel is not None
                    assert not tunnel.reset_by_us
                    tunnel.reset_by_us = True
                case "SETTINGS" | "PING":
                    self.acks += flags & 1
                case _:
                    assert kind == "HEADERS"

    # ---- what we do ----

    def ask(self, _: int) -> None:
        stream = self.ours.open([(b":method", b"CONNECT"), (b":authority", b"a:1")])
        assert (stream.loss is not None) is (self.ours.going is not None)
        if stream.loss is None:
            self.tunnels[stream.id] = Tunnel(stream, self.initial)

    def send(self, tunnel: Tunnel, size: int) -> None:
        if tunnel.stream.loss is None and not tunnel.stream.finished:
            start = len(tunnel.sent) + tunnel.stream.id
            data = bytes((start + at) % 251 for at in range(size))
            count = self.ours.send(tunnel.stream, data)
            # Not more than is allowed, which `read` sees to, and not less.
            assert count == max(0, min(size, tunnel.may_send, self.may_send, 65_536))
            tunnel.sent += data[:count]
            self.read()

    def take(self, tunnel: Tunnel, size: int) -> None:
        tunnel.taken += self.ours.take(tunnel.stream, size)

    def finish(self, tunnel: Tunnel, _: int) -> None:
        self.ours.finish(tunnel.stream)

    def give_up(self, tunnel: Tunnel, _: int) -> None:
        self.ours.reset(tunnel.stream, 8, LEFT)

    # ---- what the proxy does ----

    def answer(self, tunnel: Tunnel, _: int) -> None:
        if not (tunnel.answered or tunnel.reset_by_us or tunnel.reset_by_proxy):
            tunnel.answered = True
            self.write(frames.answer(tunnel.stream.id))

    def say(self, tunnel: Tunnel, size: int) -> None:
        padding = size % 257 - 1 if size % 3 == 0 else -1
        length = min(size, tunnel.credit - 256, self.credit - 256, 16_384 - 256)
        if tunnel.speaks and length >= 0:
            start = len(tunnel.said) + tunnel.stream.id
            data = bytes((start + at) % 249 for at in range(length))
            frame = frames.data(tunnel.stream.id, data, padding=padding)
            tunnel.credit -= len(frame) - 9
            self.credit -= len(frame) - 9
            tunnel.said += data
            self.write(frame)

    def end(self, tunnel: Tunnel, _: int) -> None:
        if tunnel.speaks:
            tunnel.ended = True
            self.write(frames.data(tunnel.stream.id, end=True))

    def reset(self, tunnel: Tunnel, size: int) -> None:
        if tunnel.speaks:
            tunnel.reset_by_proxy = True
            self.write(frames.reset(tunnel.stream.id, size % 14))

    def widen(self, tunnel: Tunnel, size: int) -> None:
        def effect() -> None:
            tunnel.may_send += size + 1

        self.write(frames.update(tunnel.stream.id, size + 1), effect)

    def widen_all(self, size: int) -> None:
        def effect() -> None:
            self.may_send += size + 1

        self.write(frames.update(0, size + 1), effect)

    def set_window(self, size: int) -> None:
        """Which changes those of open streams, and may take more than they have left."""

        def effect() -> None:
            for tunnel in self.tunnels.values():
                tunnel.may_send += size - self.initial
            self.initial = size

        self.write(frames.settings((4, size), (0xFA, 1)), effect)

    def ping(self, size: int) -> None:
        self.write(frames.ping(size.to_bytes(8, "big")))
        self.write(frames.frame(0xFA, 0xFF, 1, bytes(size % 99)))

    def go_away(self, _: int) -> None:
        self.write(frames.go_away(2**31 - 1, 0, b"see you"))


def _nothing() -> None:
    pass


OF_TUNNELS: dict[Callable[[Model, Tunnel, int], None], int] = {
    Model.send: 20, Model.take: 20, Model.answer: 20, Model.say: 20, Model.widen: 10,
    Model.finish: 1, Model.end: 1, Model.give_up: 1, Model.reset: 1,
}  # fmt: skip
OF_ALL: dict[Callable[[Model, int], None], int] = {
    Model.ask: 10, Model.deliver: 100, Model.widen_all: 10, Model.set_window: 5, Model.ping: 5,
}  # fmt: skip


def schedule(seed: int, acts: int) -> Model:
    """So many things, one after the other; and then all that there is arrives."""
    model, chance = Model(), Random(seed)
    for _ in range(acts):
        size = chance.randrange(chance.choice([30, 999, 90_000]))
        if chance.random() < 0.003:
            model.go_away(0)
        elif model.tunnels and chance.random() < 0.6:
            [of_one] = chance.choices(list(OF_TUNNELS), list(OF_TUNNELS.values()))
            of_one(model, chance.choice(list(model.tunnels.values())), size)
        else:
            [of_all] = chance.choices(list(OF_ALL), list(OF_ALL.values()))
            of_all(model, size)
        model.read()
    model.deliver(2**30)
    model.read()
    return model


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), acts=st.integers(0, 600))
def test_every_byte_arrives_once_and_no_window_is_exceeded(seed: int, acts: int) -> None:
    """H2-12, H2-14, H2-16, H2-17, H2-18, T23: and what one tunnel does is no other's matter."""
    model = schedule(seed, acts)
    for tunnel in model.tunnels.values():
        stream = tunnel.stream
        assert tunnel.heard == tunnel.sent
        model.take(tunnel, 2**24)
        assert tunnel.said.startswith(tunnel.taken)
        if stream.loss is not LEFT:
            # Also of what was reset by the proxy all that came before is there.
            assert tunnel.taken == tunnel.said
            assert stream.ended is tunnel.ended
            assert (stream.loss is not None) is tunnel.reset_by_proxy
        if not stream.closed:
            assert stream.send_window == tunnel.may_send
    model.read()
    for tunnel in model.tunnels.values():
        if tunnel.speaks:
            # All was taken, padding is as good as taken, and less than a half is kept back.
            assert tunnel.credit > WINDOW // 2
    assert model.credit > CONNECTION_WINDOW * 3 // 4


def test_the_schedules_are_worth_the_name() -> None:
    models = [schedule(seed, 600) for seed in range(20)]
    tunnels = [tunnel for model in models for tunnel in model.tunnels.values()]
    assert sum(len(tunnel.sent) > 50_000 for tunnel in tunnels) > 5
    assert sum(len(tunnel.said) > 50_000 for tunnel in tunnels) > 5
    assert any(tunnel.may_send < 0 for tunnel in tunnels)
    assert any(model.ours.going for model in models)
    assert sum(tunnel.reset_by_us for tunnel in tunnels) > 5
    assert sum(tunnel.reset_by_proxy for tunnel in tunnels) > 5
