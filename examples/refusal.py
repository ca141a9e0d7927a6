"""What to tell a user whom the proxy has refused: the proxy's own words, and whose they are.

$ python refusal.py db.example.com:5432 --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from connect_tunnel import (
    ProxyAuthenticationRequired,
    Target,
    TunnelError,
    TunnelRefused,
    open_tunnel,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def explain(error: TunnelError) -> str:
    """One paragraph for a user, from what the error holds."""
    match error:
        case ProxyAuthenticationRequired():
            schemes = ", ".join(challenge.scheme for challenge in error.challenges)
            return f"{error.proxy_url} wants a password first ({schemes})."
        case TunnelRefused(response=response):
            advice = "Try again later." if error.retryable else "Ask who runs the proxy."
            said = response.body.decode("utf-8", "replace").strip()
            return f"{error.proxy_url} said {response.status} to {error.target}: {said}\n{advice}"
        case _:
            return f"This failed while at {error.phase}: {error}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="See whether a proxy lets you through.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    options = parser.parse_args(argv)
    try:
        open_tunnel(options.target, via=options.via).close()
    except TunnelError as error:
        print(explain(error))
        return 1
    print(f"The way to {options.target} is open.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
