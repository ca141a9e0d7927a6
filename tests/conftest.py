"""What holds for every test: with CONNECT_TUNNEL_REQUIRE_REAL=1, none is skipped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that would be skipped, where what it needs has to be there."""
    report = yield
    if report.skipped and os.environ.get("CONNECT_TUNNEL_REQUIRE_REAL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, with CONNECT_TUNNEL_REQUIRE_REAL=1: {report.longreprtext}"
    return report
