"""What holds for every test: Ctrl-C works; CONNECT_TUNNEL_REQUIRE_REAL=1 lets none be skipped."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


def pytest_configure() -> None:
    """Heed SIGINT, which is ignored in what a shell starts in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """Spare the collector, which leak tests call often, what is there before the first test.

    To look at thousands of tests and all that they import each time is a third of all the work.
    """
    gc.collect()
    gc.freeze()
    try:
        return (yield)
    finally:
        gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that would be skipped, where what it needs has to be there."""
    report = yield
    if report.skipped and os.environ.get("CONNECT_TUNNEL_REQUIRE_REAL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, with CONNECT_TUNNEL_REQUIRE_REAL=1: {report.longreprtext}"
    return report
