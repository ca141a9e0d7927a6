"""Every case of `tests/cases`, through every client, with answers sent whole and bytewise."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.cases.case import Case, load
from tests.cases.clients import Clients
from tests.cases.grade import Contexts, play

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

CASES = [*load("h1.jsonl"), *load("h1_hostile.jsonl")]
CLIENTS = ("sync", "asyncio", "trio", "socket")
SPLITS = ("whole", "bytewise")

# Most of a case is waiting: for time to run out, for what must not come.
AT_ONCE = 16


def test_no_case_is_left_out() -> None:
    assert len({case.id for case in CASES}) == len(CASES) == 173


@pytest.fixture(scope="module")
def contexts(ca: trustme.CA, client_context: ssl.SSLContext) -> Contexts:
    def server(authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = authority.issue_cert("127.0.0.1")
        certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    return Contexts(client_context, server(ca), server(trustme.CA()))


@pytest.fixture(scope="module")
def verdict(
    request: pytest.FixtureRequest, contexts: Contexts
) -> Generator[Callable[[Case, str, str], list[str]]]:
    """Plays all the cases that are going to be asked for, many at once."""
    playing: dict[tuple[str, str, str], Future[list[str]]] = {}
    with Clients() as clients, ThreadPoolExecutor(AT_ONCE) as pool:
        for item in request.session.items:
            match getattr(getattr(item, "callspec", None), "params", None):
                case {"case": Case() as case, "client": str() as client, "split": str() as split}:
                    playing[case.id, client, split] = pool.submit(
                        play, case, client, clients, contexts, bytewise=split == "bytewise"
                    )
                case _:
                    pass
        yield lambda case, client, split: playing[case.id, client, split].result()
        for future in playing.values():
            future.cancel()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_case(
    case: Case, client: str, split: str, verdict: Callable[[Case, str, str], list[str]]
) -> None:
    assert verdict(case, client, split) == [], case.fact
