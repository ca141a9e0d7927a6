"""The tables, as data: which client is measured how, and against which floor."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A client in a table.

    Attributes:
        label: What the table calls it.
        client: "module:function" of one of floors, ours, peers, http_gets; for imports, the
            statement.
        needs: The distribution that it cannot do without, if it is not one of ours.
    """

    label: str
    client: str
    needs: str | None = None


class Group(NamedTuple):
    """Rows that are compared with their first one.

    Attributes:
        shell: "sync", "asyncio", "trio", or "import".
        way: "plain", "tls" to the proxy, "tls inside" to the target alone, "tls in tls" to both, or
            "front": TLS to the proxy of h2_front.py, which speaks HTTP/2 as well.
    """

    shell: str
    way: str
    rows: tuple[Row, ...]
    title: str = ""


class Table(NamedTuple):
    """A question, and who is asked it.

    Attributes:
        measure: A key of measure.MEASURES, or "import".
        columns: What the figures are, in order.
        amount: How many tunnels or megabytes a process measures, in full and quickly.
        rounds: How often, in full and quickly.
        ratio: Of the last figure: to the floor's of the same round, or to the first figure
            of its own.
    """

    name: str
    title: str
    measure: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    amount: tuple[int, int] = (1500, 300)
    rounds: tuple[int, int] = (7, 2)
    ratio: str = "x floor"


BARE = Row("bare socket", "floors:sockets")
STREAMS = Row("asyncio streams", "floors:streams")
TUNNEL = Row("connect_tunnel", "ours:tunnels")
SOCKET = Row("connect_tunnel .socket()", "ours:their_sockets")
ASYNC_TUNNEL = Row("connect_tunnel", "ours:async_tunnels")
LOOP_SOCK = Row("loop.sock_*", "floors:loop_sock")
H2 = (Row("frames by hand", "h2_floor:frames"), Row("connect_tunnel, HTTP/2", "h2_ours:shared"))
ASYNC_H2 = Row("connect_tunnel, HTTP/2", "h2_ours:shared_async")

MICROSECONDS = ("CPU us",)
SECONDS_PER_GB = ("CPU s/GB",)
KIB = ("KiB", "KiB in use")

TABLES = (
    Table(
        "open",
        "opening a tunnel, in a thread",
        "opening",
        MICROSECONDS,
        (
            Group(
                "sync",
                "plain",
                (
                    BARE,
                    TUNNEL,
                    SOCKET,
                    Row("python-socks", "peers:python_socks", "python-socks"),
                    Row("httpcore", "peers:httpcore", "httpcore"),
                ),
            ),
        ),
    ),
    Table(
        "open-async",
        "opening a tunnel, on a loop",
        "opening",
        MICROSECONDS,
        (
            Group(
                "asyncio",
                "plain",
                (
                    STREAMS,
                    ASYNC_TUNNEL,
                    Row("python-socks", "peers:python_socks_asyncio", "python-socks"),
                ),
                "asyncio",
            ),
            Group(
                "trio",
                "plain",
                (Row("trio.open_tcp_stream", "floors:trio_streams", "trio"), ASYNC_TUNNEL),
                "trio",
            ),
        ),
        amount=(1000, 200),
    ),
    Table(
        "open-tls",
        "opening a tunnel through a proxy that is spoken to in TLS, in a thread",
        "opening",
        MICROSECONDS,
        (Group("sync", "tls", (BARE, TUNNEL)),),
        amount=(1500, 60),
    ),
    Table(
        "h2-many",
        "keeping a hundred tunnels open: as many connections, or one of HTTP/2",
        "many",
        MICROSECONDS,
        (
            Group("sync", "front", (BARE, TUNNEL, *H2), "in a thread"),
            Group("asyncio", "front", (STREAMS, ASYNC_TUNNEL, ASYNC_H2), "asyncio"),
        ),
        amount=(100, 100),
    ),
    Table(
        "h2-at-once",
        "opening a hundred tunnels at the same time: as many connections, or one of HTTP/2",
        "at once",
        MICROSECONDS,
        (
            Group("sync", "front", (BARE, TUNNEL, H2[1]), "in threads"),
            Group("asyncio", "front", (STREAMS, ASYNC_TUNNEL, ASYNC_H2), "asyncio"),
        ),
        amount=(100, 100),
    ),
    Table(
        "h2-down",
        "receiving through one tunnel in TLS to the proxy",
        "down",
        SECONDS_PER_GB,
        (Group("sync", "front", (BARE, TUNNEL, *H2)),),
        amount=(134, 50),
    ),
    Table(
        "h2-up",
        "sending through one tunnel in TLS to the proxy",
        "up",
        SECONDS_PER_GB,
        (Group("sync", "front", (BARE, TUNNEL, *H2)),),
        amount=(134, 50),
    ),
    Table(
        "bytes-down",
        "receiving through a plain tunnel",
        "down",
        SECONDS_PER_GB,
        (
            Group("sync", "plain", (BARE, TUNNEL, SOCKET), "in a thread"),
            Group("asyncio", "plain", (LOOP_SOCK, ASYNC_TUNNEL), "asyncio"),
        ),
        amount=(600, 150),
    ),
    Table(
        "bytes-up",
        "sending through a plain tunnel",
        "up",
        SECONDS_PER_GB,
        (
            Group("sync", "plain", (BARE, TUNNEL, SOCKET), "in a thread"),
            Group("asyncio", "plain", (LOOP_SOCK, ASYNC_TUNNEL), "asyncio"),
        ),
        amount=(600, 150),
    ),
    Table(
        "memory",
        "memory of an open tunnel",
        "memory",
        KIB,
        tuple(
            Group(shell, way, rows, f"{shell}, {way}")
            for shell, rows in (("sync", (BARE, TUNNEL)), ("asyncio", (STREAMS, ASYNC_TUNNEL)))
            for way in ("plain", "tls", "tls in tls")
        ),
        amount=(600, 300),
        rounds=(2, 1),
    ),
    Table(
        "crowd",
        "opening a tunnel while 2,000 others are open",
        "crowd",
        ("CPU us alone", "CPU us beside"),
        (
            Group("sync", "plain", (BARE, TUNNEL), "in a thread"),
            Group("asyncio", "plain", (STREAMS, ASYNC_TUNNEL), "asyncio"),
        ),
        amount=(1000, 300),
        rounds=(3, 1),
        ratio="x alone",
    ),
    Table(
        "gets",
        "GET over HTTPS with httpx and httpx2, against their own ways through a proxy",
        "gets",
        MICROSECONDS,
        tuple(
            Group(
                shell,
                "tls inside",
                (
                    Row(f"{library}, its own", f"http_gets:{library}_{tunnel}{loop}", library),
                    Row("connect_tunnel", f"http_gets:{library}_{tunnel}{loop}_ours", library),
                ),
                f"{library}, {shell}, {tunnel}",
            )
            for library in ("httpx", "httpx2")
            for shell, loop in (("sync", ""), ("asyncio", "_async"))
            for tunnel in ("kept", "new")
        ),
        amount=(1000, 200),
    ),
    Table(
        "import",
        "importing, over an empty interpreter",
        "import",
        ("modules", "CPU ms"),
        (
            Group(
                "import",
                "plain",
                (
                    Row("socket, ssl, re", "import socket, ssl, re"),
                    Row("connect_tunnel", "import connect_tunnel"),
                    Row("  and its async shell", "from connect_tunnel import open_tunnel_async"),
                    Row("python-socks", "import python_socks.sync", "python-socks"),
                    Row("httpcore", "import httpcore", "httpcore"),
                ),
            ),
        ),
        rounds=(9, 3),
    ),
)
