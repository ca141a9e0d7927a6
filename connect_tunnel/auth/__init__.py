"""Authentication to a proxy.

What a caller passes as `auth=` is an `Auth`: something that answers a proxy's challenges. A
pair of user and password is short for `Password`, and a callable for `Prompt`. What is not
asked for is not loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connect_tunnel._lazy import load as _load

if TYPE_CHECKING:
    from connect_tunnel._challenge import Challenge
    from connect_tunnel._steps import Call, Offload

    from ._auth import Auth, Flow
    from ._basic import Basic
    from ._bearer import Bearer
    from ._challenges import parse_challenges
    from ._digest import Digest
    from ._exchange import Exchange
    from ._negotiate import NTLM, Negotiate
    from ._password import Password
    from ._prompt import Keyring, Netrc, Prompt
    from ._scheme import Strongest

__all__ = [
    "NTLM",
    "Auth",
    "Basic",
    "Bearer",
    "Call",
    "Challenge",
    "Digest",
    "Exchange",
    "Flow",
    "Keyring",
    "Negotiate",
    "Netrc",
    "Offload",
    "Password",
    "Prompt",
    "Strongest",
    "parse_challenges",
]

_HOMES = {
    "NTLM": "._negotiate",
    "Auth": "._auth",
    "Basic": "._basic",
    "Bearer": "._bearer",
    "Call": ".._steps",
    "Challenge": ".._challenge",
    "Digest": "._digest",
    "Exchange": "._exchange",
    "Flow": "._auth",
    "Keyring": "._prompt",
    "Negotiate": "._negotiate",
    "Netrc": "._prompt",
    "Offload": ".._steps",
    "Password": "._password",
    "Prompt": "._prompt",
    "Strongest": "._scheme",
    "parse_challenges": "._challenges",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - TYPE_CHECKING has the types
    found = globals()[name] = _load(__name__, name, _HOMES)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
