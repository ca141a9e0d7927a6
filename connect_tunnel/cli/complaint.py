"""What the commands say on standard error."""

from __future__ import annotations

import sys


def complain(said: object) -> None:
    """Say something in one line, and in one write: ssh shares its standard error, and ends us."""
    if sys.stderr is not None:  # as it is when the caller closed it
        sys.stderr.write(f"connect-tunnel: {' '.join(str(said).split())}\n")
