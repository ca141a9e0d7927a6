"""The command: measures what was asked for, and prints one table after another."""

from __future__ import annotations

import argparse
import os
import platform
import ssl
import sys
import tempfile
import time
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .h2_front import fronting
from .rounds import Ground, measure_group
from .server import choose_cores, serving
from .tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rounds import Result
    from .server import Cores, Server
    from .tables import Group, Row, Table


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print.

    Returns:
        1 if something could not be measured. However slow it is, that is a result.
    """
    names = [table.name for table in TABLES]
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description="What a tunnel costs.")
    parser.add_argument("--quick", action="store_true", help="a rough look, in half a minute")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    options = parser.parse_args(argv)
    begun = time.monotonic()
    cores = choose_cores()
    complete = True
    with (
        tempfile.TemporaryDirectory(prefix="connect_tunnel-") as scratch,
        serving(Path(scratch), cores.server) as server,
    ):
        say_where(server, cores)
        tables = [table for table in TABLES if table.name in options.only]
        with_front = server.tls_port and any(of_front(table) for table in tables)
        front = fronting(server, Path(scratch), cores.server) if with_front else nullcontext(0)
        with front as front_port:
            ground = Ground(server, front_port, cores.client, options.quick)
            for table in tables:
                complete &= show(table, ground)
    print(f"\n{time.monotonic() - begun:.0f} s{load()}")
    return 0 if complete else 1


def of_front(table: Table) -> bool:
    return any(group.way == "front" for group in table.groups)


def say_where(server: Server, cores: Cores) -> None:
    pinned = "not pinned" if cores.client is None else f"pinned to {cores.client}, {cores.server}"
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}")
    print(f"{ssl.OPENSSL_VERSION}; proxy in {server.kind}; client and proxy {pinned}{load()}")
    peers = [f"{name} {installed(name) or 'not installed'}" for name in PEERS]
    print(f"connect_tunnel {installed('connect-tunnel') or 'not installed'}; {', '.join(peers)}")


PEERS = ("python-socks", "httpcore", "anyio", "trio")


def load() -> str:
    return f", load {os.getloadavg()[0]:.1f}" if sys.platform != "win32" else ""


def show(table: Table, ground: Ground) -> bool:
    """Print a table as it is measured, and say whether that could be done."""
    print(f"\n{table.name}: {table.title}")
    complete = True
    for number, group in enumerate(table.groups):
        if group.way != "plain" and not ground.server.tls_port:
            print(f"  {group.title or table.name}: left out, trustme is not installed")
            continue
        rows = [row for row in group.rows if available(row)]
        if rows[:1] != [group.rows[0]]:
            print(f"  {group.title}: left out, {group.rows[0].needs} is not installed")
            continue
        print(heading(table, group) if number == 0 or group.title else "", flush=True)
        for result in measure_group(table, group, rows, ground):
            print(line(result), flush=True)
            complete &= not result.failure
    return complete


def available(row: Row) -> bool:
    return row.needs is None or installed(row.needs) is not None


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def heading(table: Table, group: Group) -> str:
    columns = "".join(f"{column:>15}" for column in table.columns)
    return f"  {group.title:26}{columns}{table.ratio:>10}   range"


def line(result: Result) -> str:
    if result.failure:
        return f"  {result.row.label:26}  could not be measured: {result.failure}"
    figures = "".join(f"{figure:>15.{places(figure)}f}" for figure in result.figures)
    ratios = result.ratios
    if not ratios:
        return f"  {result.row.label:26}{figures}         -"
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if len(set(ratios)) > 1 else ""
    return f"  {result.row.label:26}{figures}{median(ratios):>10.2f}   {spread}".rstrip()


def places(figure: float) -> int:
    """Three digits that count, and no more than that."""
    if isinstance(figure, int):
        return 0
    return 3 if figure < 1 else 2 if figure < 10 else 1
