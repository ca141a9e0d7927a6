"""Our errors as anyio's contract of a stream wants them, too."""

from __future__ import annotations

import anyio

from connect_tunnel._errors import TunnelBroken, TunnelClosed


class AsyncTunnelBroken(TunnelBroken, anyio.BrokenResourceError):
    """TunnelBroken, in an event loop."""


class AsyncTunnelClosed(TunnelClosed, anyio.ClosedResourceError):
    """TunnelClosed, in an event loop."""
