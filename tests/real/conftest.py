"""Fixtures of the real ring: one set of servers per session, started when first asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .proxies import ENTRANCES, Entrance
from .ring import Missing, Ring, Service, required
from .shells import SHELLS, Shell
from .targets import ORIGINS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .shells import Backend

HERE = Path(__file__).parent
RING = pytest.StashKey[Ring]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this folder, so that `-m "not real"` leaves it out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.real)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what the servers said last."""
    report = yield
    ring = item.config.stash.get(RING, None)
    if report.failed and ring:
        report.sections += [(f"log of {name}", text) for name, text in ring.logs()]
    return report


@pytest.fixture(scope="session")
def ring(request: pytest.FixtureRequest) -> Iterator[Ring]:
    ring = request.config.stash[RING] = Ring()
    yield ring
    ring.close()


@pytest.fixture(scope="session")
def start(ring: Ring) -> Callable[[Service], None]:
    """Start a service; the test is skipped where its program is missing."""

    def start(service: Service) -> None:
        try:
            ring.start(service)
        except Missing as error:
            if required():
                pytest.fail(str(error))
            pytest.skip(str(error))

    return start


@pytest.fixture
def enter(start: Callable[[Service], None]) -> Callable[[str], Entrance]:
    """Start the proxy behind an entrance, given by its name."""

    def enter(name: str) -> Entrance:
        start(ENTRANCES[name].service)
        return ENTRANCES[name]

    return enter


@pytest.fixture(params=ENTRANCES)
def entrance(request: pytest.FixtureRequest, enter: Callable[[str], Entrance]) -> Entrance:
    """Every entrance in turn."""
    return enter(request.param)


@pytest.fixture
def origins(start: Callable[[Service], None]) -> None:
    start(ORIGINS)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> Shell:
    return SHELLS[request.param]


@pytest.fixture
def anyio_backend(shell: Shell) -> Backend:
    """Run the test in the loop of its shell."""
    return shell.backend
