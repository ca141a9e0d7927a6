"""Which way a target goes.

What a caller passes as `via=` may be a `Router`: something that gives a `Decision` for each
target. `Environment` follows HTTPS_PROXY and its kin, `Pac` a PAC file, `FirstWorking` takes
the first of several ways that can be reached, and `Direct` no proxy at all. What is not asked
for is not loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connect_tunnel._lazy import load as _load

if TYPE_CHECKING:
    from connect_tunnel._steps import Call, Offload, Program

    from ._decision import Decision
    from ._environment import Environment
    from ._failover import FirstWorking
    from ._pac import Pac
    from ._router import Direct, Router

__all__ = [
    "Call",
    "Decision",
    "Direct",
    "Environment",
    "FirstWorking",
    "Offload",
    "Pac",
    "Program",
    "Router",
]

_HOMES = {
    "Call": ".._steps",
    "Decision": "._decision",
    "Direct": "._router",
    "Environment": "._environment",
    "FirstWorking": "._failover",
    "Offload": ".._steps",
    "Pac": "._pac",
    "Program": ".._steps",
    "Router": "._router",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - TYPE_CHECKING has the types
    found = globals()[name] = _load(__name__, name, _HOMES)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
