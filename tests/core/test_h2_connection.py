"""A connection in HTTP/2 and its streams: frames in, and what comes of them, by every split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from connect_tunnel.protocols import h2_frames as wire
from connect_tunnel.protocols.h2_connection import (
    _CONNECTION_WINDOW,
    _MOST_OWED,
    _MOST_SENT,
    H2Connection,
)
from connect_tunnel.protocols.h2_limits import Limits
from connect_tunnel.protocols.h2_reader import Fault
from connect_tunnel.protocols.h2_stream import Loss
from connect_tunnel.testing import every_split
from tests.core.frames import (
    CODES,
    PREFACE,
    answer,
    data,
    frame,
    frames_of,
    go_away,
    head,
    long,
    ping,
    reset,
    settings,
    shown,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connect_tunnel.protocols.h2_stream import H2Stream

WINDOW = 65_535
LEFT = Loss("gave up the stream", "reset", 8)
HANDSHAKE = settings((3, 100)) + settings(ack=True)


def fields(name: str) -> list[tuple[bytes, bytes]]:
    return [(b":method", b"CONNECT"), (b":authority", name.encode())]


class Talk:
    """A connection that some tunnels were asked for on, and what it has sent since.

    Args:
        names: For each stream, in order, what is asked for.
        answered: How many of them have their 200.
        limits: Settings of the proxy.
    """

    def __init__(
        self, *names: str, answered: int = 0, limits: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.connection = H2Connection(window=WINDOW)
        self.decoder = Decoder()
        self.connection.receive(settings((3, 100), *limits) + settings(ack=True))
        self.streams = [self.connection.open(fields(name)) for name in names]
        self.sent()
        self.hear(*(answer(stream.id) for stream in self.streams[:answered]))
        assert self.sent() == []
        self.connection.changed.clear()
        self.connection.room_changed = False

    def hear(self, *frames: bytes) -> None:
        for part in frames:
            self.connection.receive(part)

    def sent(self) -> list[str]:
        outbox, self.connection.outbox = self.connection.outbox, []
        self.connection.owed = 0
        return shown(b"".join(outbox), self.decoder)

    def told(self) -> dict[int, str]:
        """What is new, in words."""
        changed, self.connection.changed = self.connection.changed, set()
        return {stream.id: _state(stream) for stream in sorted(changed, key=lambda one: one.id)}


def _state(stream: H2Stream) -> str:
    said = [str(stream.response.status)] if stream.response else []
    said += [stream.take(10**6).decode()] if stream._buffered else []
    said += ["end"] if stream.ended else []
    said += [stream.loss.cause] if stream.loss else []
    return " ".join(said)


# ---- the beginning ----


def test_the_beginning() -> None:
    """H2-03, H2-04: the preface and our settings come first, without a word of the proxy's."""
    connection = H2Connection(window=70_000)
    sent = b"".join(connection.outbox)
    assert sent.startswith(PREFACE)
    (kind, flags, stream, payload), window = frames_of(sent)
    assert (kind, flags, stream) == ("SETTINGS", 0, 0)
    assert payload == settings((2, 0), (4, 70_000), (6, 65_536))[9:]
    assert window == ("WINDOW_UPDATE", 0, 0, long(_CONNECTION_WINDOW - WINDOW))


def test_one_stream_may_go_before_the_settings_of_the_proxy() -> None:
    """H2-05: nobody knows yet how many it takes."""
    connection = H2Connection(window=WINDOW)
    assert (connection.slots, connection.settled) == (1, False)
    first, second = connection.open(fields("a:1")), connection.open(fields("b:1"))
    assert (connection.slots, first.loss) == (0, None)
    assert second.loss is not None
    assert second.loss.cause == "unprocessed"
    connection.receive(settings((3, 3)))
    assert (connection.slots, connection.settled, connection.room_changed) == (2, True, True)
    assert connection.open(fields("c:1")).id == 3
    assert shown(b"".join(connection.outbox), Decoder())[2:] == [
        "1: ask for a:1", "SETTINGS ACK", "3: ask for c:1",
    ]  # fmt: skip


@pytest.mark.parametrize(("most", "slots"), [(0, 0), (1, 0), (3, 1), (2**32 - 1, 2**32 - 3)])
def test_no_more_streams_than_the_proxy_takes(most: int, slots: int) -> None:
    """H2-05: and 0 is no error."""
    talk = Talk("a:1", "b:1", limits=[(3, most)] if most > 1 else [])
    talk.hear(settings((3, most)))
    assert talk.connection.slots == slots or talk.connection.slots < 0 == slots
    assert not talk.connection.exhausted
    lost = [talk.connection.open(fields("c:1")).loss for _ in range(2)][-1]
    assert (lost is None) is (slots > 1)
    if lost is not None:
        assert lost.cause == "unprocessed"
        assert talk.connection.lost is None


def test_a_tunnel_holds_its_slot_until_both_sides_have_ended() -> None:
    """H2-05: half of it counts."""
    talk = Talk("a:1", answered=1, limits=[(3, 1)])
    [stream] = talk.streams
    talk.hear(data(1, end=True))
    assert talk.connection.slots == 0
    talk.connection.finish(stream)
    assert (talk.connection.slots, talk.connection.room_changed) == (1, True)
    assert stream.closed


def test_the_numbers_of_streams() -> None:
    """H2-19: odd, increasing, and when there are no more there is another connection."""
    talk = Talk("a:1", "b:1", "c:1")
    assert [stream.id for stream in talk.streams] == [1, 3, 5]
    talk.connection._next_id = 2**31 - 1
    assert not talk.connection.exhausted
    assert talk.connection.open(fields("d:1")).id == 2**31 - 1
    assert (talk.connection.exhausted, talk.connection.slots) == (True, 0)
    assert talk.connection.open(fields("e:1")).loss is not None
    talk.hear(answer(2**31 - 1))
    assert talk.told() == {2**31 - 1: "200"}


def test_a_long_head_is_cut() -> None:
    connection = H2Connection(window=WINDOW)
    connection.receive(settings())
    connection.outbox.clear()
    connection.open([*fields("a:1"), *((b"x", b"x" * 9000) for _ in range(4))])
    first, *more, last = frames_of(b"".join(connection.outbox))
    assert (first.kind, first.flags, last.kind, last.flags) == ("HEADERS", 0, "CONTINUATION", 4)
    assert {(one.kind, one.flags, len(one.payload)) for one in more} == {
        ("CONTINUATION", 0, 16_384)
    }


# ---- what arrives, for two streams of which the first has its answer ----

BIG = b"x" * 16_384
PROXY_AUTH = (b"proxy-authenticate", b"Basic")

HEARD: dict[str, tuple[list[bytes], dict[int, str], list[str]]] = {
    # id: the frames, what is new on the streams, what is sent
    "nothing": ([], {}, []),
    "H2-07 an answer": ([answer(3)], {3: "200"}, []),
    "H2-07 interim answers": ([answer(3, 100), answer(3, 103), answer(3, 204)], {3: "204"}, []),
    "H2-08 a refusal": (
        [answer(3, 407, PROXY_AUTH), data(3, b"no", end=True)], {3: "407 no end"}, [],
    ),
    "H2-08 one without a body": ([answer(3, 403, end=True)], {3: "403 end"}, []),
    "H2-08 one with trailers": (
        [answer(3, 502), data(3, b"no"), head(3, (b"x", b"y"), end=True)], {3: "502 no end"}, [],
    ),
    "H2-09 a length of 5": (
        [answer(3, 200, (b"content-length", b"5")), data(3, b"0123456789")],
        {3: "200 0123456789"}, [],
    ),
    "H2-09 a length of abc": (
        [answer(3, 200, (b"content-length", b"abc")), data(3, b"x", end=True)],
        {3: "200 x end"}, [],
    ),
    "H2-10 chunked": (
        [answer(3, 200, (b"transfer-encoding", b"chunked")), data(1, b"a")],
        {1: "200 a", 3: "malformed"}, ["3: reset PROTOCOL_ERROR"],
    ),
    "H2-10 a capital": (
        [answer(3, 200, (b"Server", b"x")), data(3, b"late"), data(1, b"a")],
        {1: "200 a", 3: "malformed"}, ["3: reset PROTOCOL_ERROR"],
    ),
    "H2-11 trailers on a tunnel": (
        [data(1, b"a"), head(1, (b"x", b"y"), end=True), answer(3)],
        {1: "200 a malformed", 3: "200"}, ["1: reset PROTOCOL_ERROR"],
    ),
    "data before an answer": (
        [data(3, b"a"), data(1, b"b")],
        {1: "200 b", 3: "malformed"}, ["3: reset PROTOCOL_ERROR"],
    ),
    "data after an end": (
        [data(1, b"a", end=True), data(1, b"b")],
        {1: "200 a end malformed"}, ["1: reset PROTOCOL_ERROR"],
    ),
    "a head after an end": (
        [data(1, end=True), answer(1)], {1: "200 end malformed"}, ["1: reset PROTOCOL_ERROR"],
    ),
    "H2-14 a reset at the target": (
        [data(1, b"abc"), reset(1, "CONNECT_ERROR")], {1: "200 abc reset"}, [],
    ),
    "H2-14 before an answer": ([reset(3, "CONNECT_ERROR")], {3: "reset"}, []),
    "H2-13 refused": ([reset(3, "REFUSED")], {3: "unprocessed"}, []),
    "H2-13 refused, after an answer": ([reset(1, "REFUSED")], {1: "200 reset"}, []),
    "H2-13 calm": ([reset(3, "CALM")], {3: "reset"}, []),
    "H2-13 HTTP/1.1": ([reset(3, "HTTP_1_1_REQUIRED")], {3: "version"}, []),
    "H2-13 a code of nobody's": ([reset(3, 0xFFFF)], {3: "reset"}, []),
    "not understood, where others were": ([reset(3, "PROTOCOL_ERROR")], {3: "reset"}, []),
    "H2-15 an end": ([data(1, b"abc", end=True)], {1: "200 abc end"}, []),
    "H2-15 an empty end": ([data(1, end=True)], {1: "200 end"}, []),
    "a reset behind an end": (
        [data(1, b"abc", end=True), reset(1, 0)], {1: "200 abc end reset"}, [],
    ),
    "H2-16 what is late": (
        [reset(3), answer(3), data(3, b"x" * 9), reset(3), update(3, 1)], {3: "reset"}, [],
    ),
    "H2-17 all that the window allows": (
        [data(1, BIG)] * 3 + [data(1, BIG[1:])], {1: f"200 {BIG.decode() * 4}"[:-1]}, [],
    ),
    "H2-17 more than that": (
        [data(1, BIG)] * 4 + [answer(3)],
        {1: f"200 {BIG.decode() * 3} malformed", 3: "200"}, ["1: reset FLOW_CONTROL_ERROR"],
    ),
    "H2-17 with padding": (
        [data(1, b"", padding=255)] * 160, {1: "200"}, ["1: window 32768"],
    ),
    "H2-17 a window": ([update(1, 9), update(0, 9)], {1: "200"}, []),
    "a window that is wide": ([update(1, 2**31 - 1 - WINDOW)], {1: "200"}, []),
    "one that is too wide": (
        [update(1, 2**31 - WINDOW)], {1: "200 malformed"}, ["1: reset FLOW_CONTROL_ERROR"],
    ),
    "one that is not wider": ([update(1, 0)], {1: "200 malformed"}, ["1: reset PROTOCOL_ERROR"]),
    "H2-18 a ping": ([ping()], {}, ["PING ACK"]),
    "an answer to one of ours": ([ping(b"connect?", ack=True)], {}, []),
    "H2-04 settings": ([settings((0xFF, 1), (2, 0))], {}, ["SETTINGS ACK"]),
    "H2-04 acknowledged settings": ([settings(ack=True)], {}, []),
    "H2-04 unknown frames": (
        [frame(0xFA, 0xFF, 1, b"?"), frame("PRIORITY", 0, 99, bytes(5))], {}, [],
    ),
    "H2-12 GOAWAY with an end far off": ([go_away(2**31 - 1), answer(3)], {3: "200"}, []),
    "H2-12 GOAWAY": ([go_away(1), data(1, b"a")], {1: "200 a", 3: "unprocessed"}, []),
    "H2-12 GOAWAY twice": (
        [go_away(2**31 - 1), data(1, b"a"), go_away(1, 2), data(1, b"b")],
        {1: "200 ab", 3: "unprocessed"}, [],
    ),
    "H2-12 GOAWAY of all": ([go_away(0)], {1: "200 unprocessed", 3: "unprocessed"}, []),
    "H2-13 GOAWAY, and HTTP/1.1 behind it": (
        [go_away(3, "HTTP_1_1_REQUIRED"), data(1, b"a")], {1: "200 a", 3: "version"}, [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "told", "sent"), HEARD.values(), ids=HEARD)
def test_what_is_heard(frames: list[bytes], told: dict[int, str], sent: list[str]) -> None:
    heard = b"".join(frames)
    for split in every_split(heard) if len(heard) < 1000 else ((heard,), frames):
        talk = Talk("a:1", "b:1", answered=1)
        talk.hear(*split)
        assert (talk.sent(), talk.told()) == (sent, told), split
        assert talk.connection.lost is None


# ---- what makes the connection unreliable ----

UNOPENED = "which nobody opened"
ON_A_STREAM = "sent on a stream what is of the connection"
BROKEN: dict[str, tuple[bytes, str, str]] = {
    "H2-04 a push": (
        frame("PUSH_PROMISE", 4, 1, long(2)), "PROTOCOL_ERROR", "pushed, which it was told not to",
    ),
    "data on no stream": (data(0), "PROTOCOL_ERROR", f"sent DATA on stream 0, {UNOPENED}"),
    "data on a stream to come": (data(5), "PROTOCOL_ERROR", f"DATA on stream 5, {UNOPENED}"),
    "a head on a stream of theirs": (answer(2), "PROTOCOL_ERROR", "sent HEADERS on stream 2, "),
    "a reset of no stream": (reset(0), "PROTOCOL_ERROR", f"RST_STREAM on stream 0, {UNOPENED}"),
    "a reset of a stream to come": (reset(5), "PROTOCOL_ERROR", UNOPENED),
    "a window of a stream to come": (update(5, 1), "PROTOCOL_ERROR", UNOPENED),
    "a short reset": (frame("RST_STREAM", 0, 1, b"123"), "FRAME_SIZE_ERROR", "malformed RST"),
    "settings of a stream": (frame("SETTINGS", 0, 1), "PROTOCOL_ERROR", ON_A_STREAM),
    "half a setting": (frame("SETTINGS", 0, 0, b"123"), "FRAME_SIZE_ERROR", "malformed SETTINGS"),
    "settings in an ACK": (
        frame("SETTINGS", 1, 0, bytes(6)), "FRAME_SIZE_ERROR", "malformed SETTINGS",
    ),
    "a push that is allowed": (settings((2, 1)), "PROTOCOL_ERROR", "wants to be pushed to"),
    "a window too wide to begin with": (
        settings((4, 2**31)), "FLOW_CONTROL_ERROR", "set windows to 2147483648",
    ),
    "small frames": (settings((5, 16_383)), "PROTOCOL_ERROR", "the size of frames to 16383"),
    "huge frames": (settings((5, 2**24)), "PROTOCOL_ERROR", "the size of frames to 16777216"),
    "a window that grows too wide": (
        update(1, 2**31 - 1 - WINDOW) + settings((4, WINDOW + 1)),
        "FLOW_CONTROL_ERROR", "widened a window too much",
    ),
    "a ping of a stream": (frame("PING", 0, 1, bytes(8)), "PROTOCOL_ERROR", ON_A_STREAM),
    "a short ping": (frame("PING", 0, 0, bytes(7)), "FRAME_SIZE_ERROR", "malformed PING"),
    "a GOAWAY of a stream": (
        frame("GOAWAY", 0, 1, bytes(8)), "PROTOCOL_ERROR", ON_A_STREAM,
    ),
    "a short GOAWAY": (frame("GOAWAY", 0, 0, bytes(7)), "FRAME_SIZE_ERROR", "malformed GOAWAY"),
    "a short window": (
        frame("WINDOW_UPDATE", 0, 0, b"123"), "FRAME_SIZE_ERROR", "malformed WINDOW_UPDATE",
    ),
    "a window that is not wider": (update(0, 0), "PROTOCOL_ERROR", "makes no sense"),
    "a window that is too wide": (update(0, 2**31 - 1), "FLOW_CONTROL_ERROR", "makes no sense"),
    "HTTP/1.1": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "FRAME_SIZE_ERROR", "4740180 bytes"),
    "a head that is no head": (
        frame("HEADERS", 4, 1, b"\xff\x80"), "COMPRESSION_ERROR", "cannot be decompressed",
    ),
    "pings without end": (ping() * (_MOST_OWED // 17 + 1), "CALM", "asks faster than it listens"),
    "settings without end": (settings() * (_MOST_OWED // 9 + 1), "CALM", "asks faster"),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "code", "said"), BROKEN.values(), ids=BROKEN)
def test_what_ends_the_connection(sent: bytes, code: str, said: str) -> None:
    """It says why, and loses every stream, what they had kept (RFC 9113, 5.4.1)."""
    before = data(1, b"abc")
    for split in every_split(before + sent) if len(sent) < 1000 else [(before + sent,)]:
        talk = Talk("a:1", "b:1", answered=1)
        talk.hear(*split)
        connection = talk.connection
        assert talk.sent()[-1] == f"go away {code}"
        assert connection.lost is not None
        assert (connection.lost.cause, connection.lost.code) == ("malformed", CODES[code])
        assert said in connection.lost.said
        assert connection.going is connection.lost
        assert connection.streams == {}
        assert talk.told() == {1: "200 abc malformed", 3: "malformed"}
        assert (connection.room_changed, connection.exhausted, connection.slots) == (True, True, 0)
        talk.hear(ping())
        assert talk.sent() == []


def test_an_acknowledgement_that_was_sent_is_owed_no_more() -> None:
    """H2-18: who listens may ask as often as it likes."""
    talk = Talk()
    for _ in range(3):
        talk.hear(ping() * (_MOST_OWED // 17))
        assert talk.connection.lost is None
        talk.connection.owed = 0
    talk.hear(ping() * (_MOST_OWED // 17 + 1))
    assert talk.connection.lost is not None


# ---- the end ----


def test_the_end_of_the_connection_is_the_end_of_all() -> None:
    """H2-19: and the first word about it is the last."""
    talk = Talk("a:1", "b:1", answered=1)
    ended = Loss("closed the connection", "ended")
    talk.connection.lose(ended)
    talk.connection.lose(Loss("reset the connection", "ended"))
    assert talk.connection.lost is talk.connection.going is ended
    assert talk.told() == {1: "200 ended", 3: "ended"}
    assert talk.connection.open(fields("c:1")).loss is ended
    assert talk.sent() == []


def test_what_went_before_says_why() -> None:
    talk = Talk("a:1", answered=1)
    talk.hear(go_away(1, 0, b"restart\r\n"))
    talk.connection.lose(Loss("closed the connection", "ended"))
    going = talk.connection.open(fields("b:1")).loss
    assert going is talk.connection.going
    assert going is not None
    said = r"takes no more tunnels on this connection (GOAWAY, NO_ERROR: restart\r\n)"
    assert (going.said, going.cause, going.code) == (said, "unprocessed", 0)
    assert talk.told() == {1: "200 ended"}


def test_no_stream_is_opened_behind_goaway() -> None:
    """H2-12: though those that there are run on in both directions."""
    talk = Talk("a:1", answered=1)
    talk.hear(go_away(2**31 - 1))
    connection, [stream] = talk.connection, talk.streams
    assert (connection.exhausted, connection.slots, connection.room_changed) == (True, 0, True)
    assert connection.lost is None
    assert connection.open(fields("b:1")).loss is connection.going
    assert connection.send(stream, b"abc") == 3
    connection.finish(stream)
    talk.hear(data(1, b"def", end=True))
    assert talk.sent() == ["1: data abc", "1: end"]
    assert talk.told() == {1: "200 def end"}
    assert (stream.closed, stream.loss) == (True, None)


@pytest.mark.parametrize("code", ["PROTOCOL_ERROR", "HTTP_1_1_REQUIRED"])
@pytest.mark.parametrize("says", [reset, go_away], ids=["RST_STREAM", "GOAWAY"])
def test_a_proxy_that_does_not_know_connect(code: str, says: Callable[[int, str], bytes]) -> None:
    """H2-13: where nothing was ever answered, an error is one of the version."""
    talk = Talk("a:1")
    assert not talk.connection.answered
    talk.hear(says(1, code))
    assert talk.told() == {1: "version"}


def test_a_proxy_that_once_did() -> None:
    talk = Talk("a:1", "b:1", answered=1)
    assert talk.connection.answered
    talk.hear(reset(1, 0), go_away(3, "PROTOCOL_ERROR"))
    assert talk.told() == {1: "200 reset"}
    assert talk.connection.going is not None
    assert talk.connection.going.cause == "unprocessed"


# ---- what a client does ----


def test_a_stream_is_given_up() -> None:
    """H2-16: once, and not in answer to a reset."""
    talk = Talk("a:1", "b:1", "c:1", answered=1)
    first, second, third = talk.streams
    for _ in range(2):
        talk.connection.reset(first, wire.CONNECT_ERROR, LEFT)
        talk.connection.reset(second, wire.CANCEL, LEFT)
    talk.hear(reset(5))
    talk.connection.reset(third, wire.CANCEL, LEFT)
    talk.connection.finish(third)
    assert talk.sent() == ["1: reset CONNECT_ERROR", "3: reset CANCEL"]
    assert talk.told() == {1: "200 reset", 3: "reset", 5: "reset"}
    assert talk.connection.slots == 100


def test_what_is_late_counts_for_the_connection() -> None:
    """H2-16, H2-17: its window is given back, though nobody takes what came."""
    talk = Talk("a:1", answered=1)
    talk.connection.reset(talk.streams[0], wire.CANCEL, LEFT)
    talk.hear(*[data(1, BIG)] * (_CONNECTION_WINDOW // 4 // len(BIG)))
    assert talk.sent() == ["1: reset CANCEL", f"0: window {_CONNECTION_WINDOW // 4}"]
    assert talk.told() == {1: "200 reset"}


def test_the_end_of_what_was_given_up_is_nobodys() -> None:
    talk = Talk("a:1", "b:2", answered=2)
    assert talk.connection.tunnels() == 2
    given_up, other = talk.streams
    talk.connection.reset(given_up, 8, LEFT)
    assert talk.connection.tunnels() == 1
    talk.told()
    talk.hear(data(1, b"late", end=True), data(3, b"b", end=True))
    assert talk.told() == {3: "200 b end"}
    assert not given_up.ended
    assert other.ended


def test_the_window_of_the_connection_does_not_hang_on_who_reads() -> None:
    """H2-17: but is one, and a proxy that exceeds it is not to be relied on."""
    talk = Talk("a:1", answered=1)
    talk.connection._credit = 10
    talk.hear(data(1, b"x" * 10))
    assert talk.connection.lost is None
    talk.hear(data(1, b"x"))
    assert talk.sent() == ["go away FLOW_CONTROL_ERROR"]


def test_both_sides_end_on_their_own() -> None:
    """H2-15: an end needs no window, and is said once."""
    talk = Talk("a:1", answered=1, limits=[(4, 0)])
    [stream] = talk.streams
    for _ in range(2):
        talk.connection.finish(stream)
    assert talk.sent() == ["1: end"]
    assert talk.connection.streams == {1: stream}
    talk.hear(data(1, b"abc", end=True))
    assert talk.sent() == []
    assert talk.told() == {1: "200 abc end"}
    assert stream.closed
    assert talk.connection.streams == {}


def test_a_refusal_may_be_the_end_of_a_stream_that_we_ended() -> None:
    talk = Talk("a:1")
    talk.connection.finish(talk.streams[0])
    talk.hear(answer(1, 403, end=True))
    assert talk.streams[0].closed
    assert talk.connection.streams == {}


def test_our_pings() -> None:
    talk = Talk()
    talk.connection.ping()
    talk.hear(ping(b"connect?", ack=True))
    assert (talk.sent(), talk.connection.pongs, talk.connection.room_changed) == (["PING"], 1, True)


# ---- the windows of what is sent ----


def test_no_more_is_sent_than_the_windows_allow() -> None:
    """H2-17: of the stream, of the connection, and never more than others can wait for."""
    talk = Talk("a:1", "b:1", answered=2, limits=[(4, 2**20)])
    connection, (first, second) = talk.connection, talk.streams
    assert connection.can_send(first)
    assert connection.send(first, bytes(2**20)) == WINDOW
    assert not connection.can_send(first)
    assert not connection.can_send(second)
    assert connection.send(second, b"x") == 0
    talk.hear(update(0, 2**20))
    assert connection.room_changed
    assert connection.send(first, bytes(2**20)) == _MOST_SENT
    assert connection.send(second, memoryview(b"abc")) == 3
    assert connection.send(second, b"") == 0
    size = 16_384
    assert talk.sent() == [f"1: data ({size})"] * 3 + [f"1: data ({size - 1})"] + [
        f"1: data ({size})"
    ] * 4 + ["3: data abc"]


def test_frames_are_as_large_as_the_proxy_takes_them() -> None:
    """H2-17."""
    talk = Talk("a:1", answered=1, limits=[(5, 20_000)])
    assert talk.connection.send(talk.streams[0], bytes(50_000)) == 50_000
    assert talk.sent() == ["1: data (20000)", "1: data (20000)", "1: data (10000)"]


def test_a_window_may_be_taken_back() -> None:
    """H2-17: below zero, and what is given then is not there at once (RFC 9113, 6.9.2)."""
    talk = Talk("a:1", answered=1)
    connection, [stream] = talk.connection, talk.streams
    assert connection.send(stream, bytes(100)) == 100
    talk.hear(settings((4, 40)))
    assert (stream.send_window, connection.can_send(stream)) == (-60, False)
    assert connection.send(stream, b"x") == 0
    talk.hear(update(1, 60))
    assert not connection.can_send(stream)
    talk.hear(update(1, 5))
    assert connection.send(stream, bytes(100)) == 5
    talk.hear(settings((4, 50)))
    assert connection.send(stream, bytes(100)) == 10
    assert connection.open(fields("b:1")).send_window == 50


def test_credit_is_given_as_it_is_taken() -> None:
    """H2-17."""
    talk = Talk("a:1", answered=1)
    [stream] = talk.streams
    talk.hear(*[data(1, BIG)] * 3)
    assert talk.sent() == []
    assert talk.connection.take(stream, 10_000) == BIG[:10_000]
    assert talk.sent() == []
    talk.connection.take(stream, 30_000)
    assert talk.sent() == ["1: window 40000"]


# ---- its settings ----


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], (2**31, 65_535, 16_384, 0)),
        ([(3, 7)], (7, 65_535, 16_384, 0)),
        ([(4, 0)], (2**31, 0, 16_384, -65_535)),
        ([(4, 2**31 - 1)], (2**31, 2**31 - 1, 16_384, 2**31 - 65_536)),
        ([(4, 1), (4, 2)], (2**31, 2, 16_384, -65_533)),
        ([(5, 2**24 - 1)], (2**31, 65_535, 2**24 - 1, 0)),
        ([(1, 0)], (2**31, 65_535, 16_384, 0)),
        ([(1, 2**32 - 1)], (2**31, 65_535, 16_384, 0)),
        ([(2, 0), (6, 1), (8, 1), (0xFFFF, 2**32 - 1)], (2**31, 65_535, 16_384, 0)),
    ],
)  # fmt: skip
def test_settings(pairs: list[tuple[int, int]], expected: tuple[int, ...]) -> None:
    """H2-04: what nobody knows is passed over."""
    limits = Limits()
    wider = limits.learn(settings(*pairs)[9:])
    assert limits.known
    found = limits.max_streams, limits.window, limits.max_frame, wider
    assert found == expected


@pytest.mark.parametrize("pair", [(2, 1), (4, 2**31), (5, 16_383), (5, 2**24), (5, 0)])
def test_settings_that_are_none(pair: tuple[int, int]) -> None:
    limits = Limits()
    with pytest.raises(Fault):
        limits.learn(settings((3, 7), pair)[9:])
    assert not limits.known


@pytest.mark.parametrize("sizes", [[0], [0, 0], [40, 4096, 40], [2**20]], ids=str)
def test_there_is_no_table_whatever_the_proxy_allows(sizes: list[int]) -> None:
    """Which is said with the first head, and holds for all."""
    talk = Talk("a:1")
    talk.hear(*[settings((1, size)) for size in sizes])
    talk.decoder.max_allowed_table_size = min(sizes[-1], 4096)
    assert talk.sent() == ["SETTINGS ACK"] * len(sizes)
    for number in (3, 5):
        talk.connection.open(fields("a:1"))
        assert talk.sent() == [f"{number}: ask for a:1"]
    assert talk.decoder.header_table_size == 0


# ---- whatever comes ----

SOUND = [b"".join(frames) for frames, *_ in HEARD.values() if sum(map(len, frames)) < 200]
ODD = [sent for sent, *_ in BROKEN.values() if len(sent) < 200]


@st.composite
def traffic(draw: st.DrawFn) -> list[bytes]:
    """Frames that make sense, some that do not, and what became of either on the way."""
    pieces = draw(st.lists(st.sampled_from([*SOUND, *ODD]) | st.binary(max_size=30), max_size=12))
    whole = bytearray(b"".join(pieces))
    for at, octet in draw(
        st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3)
    ):
        if at < len(whole):
            whole[at] = octet
    size = draw(st.integers(1, 64))
    return [bytes(whole[at : at + size]) for at in range(0, len(whole), size)]


@given(traffic())
def test_whatever_comes_the_connection_goes_on_or_is_lost(parts: list[bytes]) -> None:
    """H2-18, T19: nothing is raised, nothing is sent that makes no sense, and all is bounded."""
    talk = Talk("a:1", "b:1", answered=1)
    connection = talk.connection
    for part in parts:
        talk.hear(part)
        assert len(connection._reader._partial) <= 9 + 16_384 + 64
        assert all(stream._credit >= 0 for stream in connection.streams.values())
        assert set(connection.streams.values()) <= set(talk.streams)
        assert all(not stream.closed for stream in connection.streams.values())
    sent = talk.sent()  # which reads every frame of it
    gone = [one for one in sent if "go away" in one]
    assert len(gone) == (connection.lost is not None)
    assert sent[-1:] == gone or not gone
    if connection.lost is not None:
        assert all(stream.closed for stream in talk.streams)
    for stream in talk.streams:
        resets = [one for one in sent if one.startswith(f"{stream.id}: reset")]
        assert len(resets) <= 1
        assert (stream.loss is not None) or not resets
