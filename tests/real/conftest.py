"""Fixtures of the real ring: one set of servers per session, started when first asked for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from . import kerberos
from .h2_proxies import PROXIES as H2_PROXIES
from .h2_proxies import way
from .proxies import ENTRANCES, LOGINS
from .ring import Missing, Port, Ring, Service
from .shells import SHELLS, Shell
from .targets import ORIGINS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from connect_tunnel import Proxy

    from .entrance import Entrance
    from .h2_proxies import Login
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
            pytest.skip(str(error))

    return start


@pytest.fixture
def enter(start: Callable[[Service], None]) -> Callable[[str], Entrance]:
    """Start the proxy behind an entrance, given by its name."""

    def enter(name: str) -> Entrance:
        entrance = {**ENTRANCES, **LOGINS}[name]
        start(entrance.service)
        return entrance

    return enter


@pytest.fixture(params=ENTRANCES)
def entrance(request: pytest.FixtureRequest, enter: Callable[[str], Entrance]) -> Entrance:
    """Every entrance in turn."""
    return enter(request.param)


class EnterH2(Protocol):
    def __call__(self, port: Port, *, auth: Login | None = None, http1: bool = True) -> Proxy: ...


@pytest.fixture
def enter_h2(ring: Ring, start: Callable[[Service], None]) -> EnterH2:
    """Start a proxy that speaks HTTP/2, given by its port; the way through it."""

    def enter(port: Port, *, auth: Login | None = None, http1: bool = True) -> Proxy:
        start(H2_PROXIES[port])
        return way(ring, port, auth=auth, http1=http1)

    return enter


@pytest.fixture
def origins(start: Callable[[Service], None]) -> None:
    start(ORIGINS)


@pytest.fixture
def no_ticket(
    ring: Ring, start: Callable[[Service], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be in the Kerberos realm of the proxies, as nobody."""
    if not find_spec("gssapi"):
        pytest.skip("gssapi is not installed: it is built where there is libkrb5-dev")
    start(kerberos.KDC)
    for name, value in kerberos.environment(ring).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def ticket(no_ticket: None, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in the Kerberos realm of the proxies, as `ring.USER`."""
    monkeypatch.setenv("KRB5CCNAME", kerberos.log_in(ring))


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> Shell:
    return SHELLS[request.param]


@pytest.fixture
def anyio_backend(shell: Shell) -> Backend:
    """Run the test in the loop of its shell."""
    return shell.backend
