"""The SDKs of OpenAI and Anthropic, with a client of ours as their `http_client=`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .ring import HOME, PASSWORD, USER, Port, Ring, Service
from .test_adapters_httpx import HYPERCORN

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entrance import Entrance

HERE = Path(__file__).parent


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_sdk(
    ring: Ring, start: Callable[[Service], None], enter: Callable[[str], Entrance], sdk: str
) -> None:
    python = HOME / sdk / "bin/python"
    if not python.exists():
        pytest.skip(f"{sdk} is not installed: see tests/real/install.sh")
    start(HYPERCORN)
    via = enter("squid-basic").url(ring).replace("://", f"://{USER}:{PASSWORD}@")
    origin, forbidden = (
        f"https://localhost:{ring.port(port)}" for port in (Port.HTTP2, Port.FORBIDDEN)
    )
    program = [str(python), "-W", "ignore::DeprecationWarning", str(HERE / "sdk_client.py")]
    done = subprocess.run(
        [*program, sdk, via, origin, str(ring.target_authority.ca), forbidden],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "model-of-the-ring", "403 ERR_ACCESS_DENIED 0", "model-of-the-ring"
    ]  # fmt: skip
