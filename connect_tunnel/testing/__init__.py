"""For tests: proxies on loopback, programs without I/O, and what any tunnel must do."""

from ._check_async import ASYNC_CHECKS, check_tunnel_async
from ._check_sync import CHECKS, BlockingStream, check_tunnel
from ._loopback import LoopbackProxy
from ._loopback_h2 import LoopbackH2Proxy
from ._peer import Peer, TLSPeer
from ._replay import Replay, every_split, replay
from ._script import (
    Close,
    Echo,
    Flood,
    HalfClose,
    NextConnection,
    NextRequest,
    Receive,
    Reply,
    Reset,
    Send,
    Step,
    Wait,
)
from ._scripted import ScriptedProxy, ScriptError

__all__ = [
    "ASYNC_CHECKS",
    "CHECKS",
    "BlockingStream",
    "Close",
    "Echo",
    "Flood",
    "HalfClose",
    "LoopbackH2Proxy",
    "LoopbackProxy",
    "NextConnection",
    "NextRequest",
    "Peer",
    "Receive",
    "Replay",
    "Reply",
    "Reset",
    "ScriptError",
    "ScriptedProxy",
    "Send",
    "Step",
    "TLSPeer",
    "Wait",
    "check_tunnel",
    "check_tunnel_async",
    "every_split",
    "replay",
]

_VALUES = {"ASYNC_CHECKS", "CHECKS", "Step"}  # which have no home to name
for _name in set(__all__) - _VALUES:
    globals()[_name].__module__ = __name__
