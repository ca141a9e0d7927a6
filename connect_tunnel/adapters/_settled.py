"""A way that may be kept: what adapters hold on to for as long as they live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_tunnel._route import Routed
from connect_tunnel._via import read_via

if TYPE_CHECKING:
    from connect_tunnel._via import Via


def settled(via: Via) -> Via | Exception:
    """The same way, with no secret in plain sight; or what is wrong with it, to be raised."""
    way = read_via(via)
    if isinstance(way, Exception):
        return way
    return way.router if isinstance(way, Routed) else [hop.proxy for hop in way]
