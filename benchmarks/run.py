"""What a tunnel costs: `python benchmarks/run.py [--quick] [--only NAME ...]`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # From here the package that this file is part of can be imported, and connect_tunnel too.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.report import main

    sys.exit(main())
