"""Every case of `tests/cases/h2.jsonl`, through every client."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.cases.h2_case import H2Case, load_h2
from tests.cases.h2_grade import CLIENTS, H2Clients, play_h2

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    import trustme

CASES = load_h2()

# Most of a case is waiting: for time to run out, for what must not come.
AT_ONCE = 16


def test_no_case_is_left_out() -> None:
    assert len({case.id for case in CASES}) == len(CASES) == 80


# What STANDARDS section 4 asks of one tunnel; what it asks of several is not in the table.
REQUIREMENTS = {
    "H2-01": "h2-omit-scheme-path h2-authority-port h2-ipv6-authority",
    "H2-02": "h2-fields",
    "H2-03": "h2-prior-knowledge h2-not-http2",
    "H2-04": "h2-settings-ack h2-push h2-unknown-frames",
    "H2-07": "h2-status-1xx h2-status-204 h2-status-101 h2-1xx-end h2-many-1xx",
    "H2-08": "h2-failure-404-body h2-407-body h2-403-no-body h2-403-rst h2-403-body-too-short",
    "H2-09": "h2-200-content-length h2-200-content-length-abc",
    "H2-10": "h2-200-transfer-encoding h2-200-connection h2-upper-case h2-no-status",
    "H2-11": "h2-trailers h2-data-first",
    "H2-12": "h2-goaway-graceful h2-goaway-before h2-goaway-max h2-goaway-twice",
    "H2-13": "h2-refused-stream h2-http11-required h2-rst-unknown-code",
    "H2-14": "h2-connect-error h2-connect-error-before h2-rst-mid h2-lost",
    "H2-15": "h2-eof-repeats h2-hyper-halfclose h2-end-and-ours",
    "H2-16": "h2-close-resets h2-deadline",
    "H2-17": "h2-window-zero h2-window-credit h2-window-connection h2-window-negative h2-download",
    "H2-18": "h2-ping",
    "H2-19": "h2-never-indexed",
}


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_each_requirement_has_its_cases(requirement: str) -> None:
    assert set(REQUIREMENTS[requirement].split()) <= {case.id for case in CASES}


@pytest.fixture(scope="module")
def contexts(ca: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The client's and the server's, which agree on h2."""
    client = ssl.create_default_context()
    ca.configure_trust(client)  # pyright: ignore[reportUnknownMemberType]
    client.set_alpn_protocols(["h2"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert("127.0.0.1")
    certificate.configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    server.set_alpn_protocols(["h2", "http/1.1"])
    return client, server


@pytest.fixture(scope="module")
def verdict(
    request: pytest.FixtureRequest, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> Generator[Callable[[H2Case, str], list[str]]]:
    """Plays all the cases that are going to be asked for, many at once."""
    playing: dict[tuple[str, str], Future[list[str]]] = {}
    with H2Clients() as clients, ThreadPoolExecutor(AT_ONCE) as pool:
        for item in request.session.items:
            match getattr(getattr(item, "callspec", None), "params", None):
                case {"case": H2Case() as case, "client": str() as client}:
                    played = pool.submit(play_h2, case, client, clients, contexts)
                    playing[case.id, client] = played
                case _:
                    pass
        yield lambda case, client: playing[case.id, client].result()
        for future in playing.values():
            future.cancel()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_case(case: H2Case, client: str, verdict: Callable[[H2Case, str], list[str]]) -> None:
    assert verdict(case, client) == [], case.fact
