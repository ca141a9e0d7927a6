"""One measurement of one client, in a process of its own: `python -m benchmarks.worker JOB`.

It prints its figures as a JSON list.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from .measure import MEASURES
from .place import Place

if TYPE_CHECKING:
    from .measure import Figures


class Job(NamedTuple):
    """What to measure. The fields are as in tables.py, or as in server.py."""

    measure: str
    client: str
    shell: str
    way: str
    amount: int
    plain_port: int
    tls_port: int
    front_port: int
    trusted: str
    core: int | None


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    if sys.platform != "win32":
        allow_many_files()
    if job.core is not None and sys.platform == "linux":
        os.sched_setaffinity(0, {job.core})
    sys.stdout.write(json.dumps(run(job)))
    sys.stdout.flush()
    os._exit(0)  # what is still open needs no goodbye


def run(job: Job) -> Figures:
    place = place_of(job)
    measure, measure_async = MEASURES[job.measure]
    module, name = job.client.split(":")
    client: Any = getattr(import_module(f"{__package__}.{module}"), name)
    match job.shell:
        case "sync":
            return measure(client(place), place, job.amount)
        case "trio":
            import trio  # noqa: PLC0415

            return trio.run(on_loop, client, place, measure_async, job.amount)
        case _:
            return asyncio.run(on_loop(client, place, measure_async, job.amount))


async def on_loop(client: Any, place: Place, measure: Any, amount: int) -> Figures:  # noqa: ANN401
    figures: Figures = await measure(client(place), place, amount)
    sys.stdout.write(json.dumps(figures))
    sys.stdout.flush()
    os._exit(0)  # before the loop closes thousands of tunnels one by one


def place_of(job: Job) -> Place:
    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=job.trusted)

    match job.way:
        case "plain":
            return Place(job.plain_port, None, None)
        case "tls":
            return Place(job.tls_port, context(), None)
        case "front":
            return Place(job.front_port, context(), None)
        case _:
            return Place(job.tls_port, context(), context())


def allow_many_files() -> None:
    import resource  # noqa: PLC0415 - not on Windows

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
