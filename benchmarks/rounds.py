"""Measuring a group: every client in turn, each time in a fresh process, round after round.

A shared machine is faster in one minute than in the next. So the clients alternate inside a
round, a ratio is taken to the floor of the same round, and the median is over rounds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from .worker import Job

if TYPE_CHECKING:
    from .measure import Figures
    from .server import Server
    from .tables import Group, Row, Table

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 120.0  # seconds for one process; the slowest needs five

IMPORT = """
import os, sys, time
if {core} is not None:
    os.sched_setaffinity(0, {{{core}}})
known, begun = len(sys.modules), time.process_time()
{statement}
print([len(sys.modules) - known, (time.process_time() - begun) * 1000])
"""


class Failed(Exception):
    """A client could not be measured."""


class Result(NamedTuple):
    """What a client's rounds came to.

    Attributes:
        figures: The median of each.
        ratios: One for each round.
    """

    row: Row
    figures: Figures
    ratios: list[float]
    failure: str = ""


class Ground(NamedTuple):
    """What every measurement of a run stands on: the proxies, the client's core, how thorough."""

    server: Server
    front_port: int
    core: int | None
    quick: bool


def measure_group(table: Table, group: Group, rows: list[Row], ground: Ground) -> list[Result]:
    """The results of a group's rows, in their order; the first one is the floor."""
    figures: dict[Row, list[Figures]] = {row: [] for row in rows}
    failures: dict[Row, str] = {}
    for number in range(table.rounds[ground.quick]):
        for row in rows if number % 2 == 0 else reversed(rows):
            if row in failures:
                continue
            try:
                figures[row].append(measure_once(table, group, row, ground))
            except Failed as failure:
                failures[row] = str(failure)
    floor = figures[rows[0]]
    return [
        Result(row, [], [], failures[row])
        if row in failures
        else result(table, row, figures[row], floor)
        for row in rows
    ]


def result(table: Table, row: Row, rounds: list[Figures], floor: list[Figures]) -> Result:
    if table.ratio == "x floor":
        ratios = [ours[-1] / theirs[-1] for ours, theirs in zip(rounds, floor, strict=False)]
    else:
        ratios = [last / first for first, last in rounds]
    return Result(row, [median(column) for column in zip(*rounds, strict=True)], ratios)


def measure_once(table: Table, group: Group, row: Row, ground: Ground) -> Figures:
    if group.shell == "import":
        return run("-c", IMPORT.format(core=ground.core, statement=row.client))
    server = ground.server
    job = Job(
        table.measure, row.client, group.shell, group.way, table.amount[ground.quick],
        server.plain_port, server.tls_port, ground.front_port, str(server.trusted), ground.core,
    )  # fmt: skip
    return run("-m", f"{__package__}.worker", json.dumps(job._asdict()))


def run(*arguments: str) -> Figures:
    # The same order of every set and dict in every process, as far as that depends on hashes.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"not done in {LIMIT:.0f} s") from None
    except subprocess.CalledProcessError as error:
        raise Failed((error.stderr.strip().splitlines() or ["no word"])[-1]) from None
    figures: Figures = json.loads(done.stdout)
    return figures
