"""The public names, all of them; and what importing the package costs."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import connect_tunnel
import connect_tunnel.auth
import connect_tunnel.routing

if TYPE_CHECKING:
    from types import ModuleType

PUBLIC = {
    "connect_tunnel": """
        AsyncDialer AsyncForwarder AsyncRefusal AsyncTunnel Challenge Decision Dialer Forwarder
        HTTP2 Headers InvalidProxy InvalidTarget
        Proxy ProxyAuthenticationRequired ProxyHungUp ProxyMisbehaved ProxyResponse ProxyTLSError
        ProxyUnreachable Refusal Route Target TargetTLSError Timeout Tunnel TunnelBroken
        TunnelClosed TunnelError TunnelRefused TunnelTimeout __version__ forward forward_async
        open_tunnel open_tunnel_async serve_proxy serve_proxy_async
    """,
    "connect_tunnel.adapters.httpcore": """
        AsyncTunnelBackend AsyncTunnelStream TunnelBackend TunnelStream
    """,
    "connect_tunnel.adapters.httpcore2": """
        AsyncTunnelBackend AsyncTunnelStream TunnelBackend TunnelStream
    """,
    "connect_tunnel.adapters.httpx": """
        AsyncTunnelTransport TunnelTransport mounts_from_environment mounts_from_environment_async
    """,
    "connect_tunnel.adapters.httpx2": """
        AsyncTunnelTransport TunnelTransport mounts_from_environment mounts_from_environment_async
    """,
    "connect_tunnel.auth": """
        Auth Basic Bearer Call Challenge Digest Exchange Flow Keyring NTLM Negotiate Netrc Offload
        Password Prompt Strongest parse_challenges
    """,
    "connect_tunnel.routing": """
        Call Decision Direct Environment FirstWorking Offload Pac Program Router
    """,
    "connect_tunnel.testing": """
        ASYNC_CHECKS BlockingStream CHECKS Close Echo Flood HalfClose LoopbackH2Proxy LoopbackProxy
        NextConnection NextRequest Peer Receive Replay Reply Reset ScriptError ScriptedProxy Send
        Step TLSPeer Wait check_tunnel check_tunnel_async every_split replay
    """,
}
NAMES = [(module, name) for module, names in PUBLIC.items() for name in names.split()]
# What has no home to name: data, aliases of types, and what is public twice or a step.
HOMELESS = {
    ("connect_tunnel", "Decision"),
    ("connect_tunnel", "__version__"),
    ("connect_tunnel.testing", "ASYNC_CHECKS"),
    ("connect_tunnel.testing", "CHECKS"),
    ("connect_tunnel.testing", "Step"),
    ("connect_tunnel.auth", "Call"),
    ("connect_tunnel.auth", "Challenge"),
    ("connect_tunnel.auth", "Flow"),
    ("connect_tunnel.auth", "Offload"),
    ("connect_tunnel.routing", "Call"),
    ("connect_tunnel.routing", "Offload"),
    ("connect_tunnel.routing", "Program"),
}

# What `import connect_tunnel` loads of the package: what opening a tunnel in a thread needs.
LOADED = """
    _ask _challenge _errors _explain _fields _frozen _headers _http2 _lazy _login _net _net.dial
    _net.driver _net.extra _net.lookup _net.sock _net.stream _net.tls _net.tls_words _net.waits
    _net.words _open _proxy _proxy_url _response _route _secret _steps _sync _sync.bell
    _sync.dialer _sync.refusal _sync.tunnel _sync.wait _target _timeout _version _via _walk auth
    auth._auth auth._exchange protocols protocols.h1 protocols.h1_body protocols.h2
    protocols.h2_frames
"""

# What is loaded at its first use, or by those who use it. `concurrent` and `email` are
# the standard library's, and cost as much as all of ours.
LEFT_OUT = """
    anyio asyncio certifi concurrent dataclasses email h11 hpack httpcore idna importlib.metadata
    hashlib ipaddress logging netrc pathlib rich spnego subprocess tempfile trio trustme
    quickjs socksio urllib urllib.parse connect_tunnel._async
    httpcore2 httpx httpx2 connect_tunnel._forward connect_tunnel._sync.bridge
    connect_tunnel._sync.forward connect_tunnel.adapters connect_tunnel.cli connect_tunnel.routing
    connect_tunnel.testing
"""


def run(code: str) -> Any:
    """What code in a fresh interpreter prints, read as JSON."""
    command = [sys.executable, "-I", "-c", code]
    # Without what would have it measured: that loads a good deal.
    plain = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    return json.loads(subprocess.run(command, check=True, capture_output=True, env=plain).stdout)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_list_of_public_names(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("name", PUBLIC)
def test_nothing_else_looks_public(name: str) -> None:
    module = importlib.import_module(name)
    others = {
        found
        for found, value in vars(module).items()
        if not found.startswith("_") and not inspect.ismodule(value)
    }
    assert others - {"annotations", "TYPE_CHECKING", "Any"} <= set(PUBLIC[name].split())


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[".".join(pair) for pair in NAMES])
def test_each_says_its_public_name(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    if (module, name) in HOMELESS:
        return
    assert value.__module__ == module
    assert value.__qualname__ == name
    assert value.__doc__, "a public name explains itself"


@pytest.mark.parametrize("module", [connect_tunnel, connect_tunnel.auth, connect_tunnel.routing])
def test_a_name_that_is_not_there(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"'{module.__name__}' has no attribute 'Socks'"):
        module.Socks  # noqa: B018 - asking is the test


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (connect_tunnel, "AsyncDialer"),
        (connect_tunnel.auth, "Digest"),
        (connect_tunnel.routing, "Direct"),
    ],
)
def test_a_lazy_name_is_found_once(module: ModuleType, name: str) -> None:
    assert getattr(module, name) is getattr(module, name)
    assert name in vars(module)
    assert name in dir(module)


def test_its_version() -> None:
    assert connect_tunnel.__version__.count(".") == 2


def test_what_importing_it_loads() -> None:
    loaded: list[str] = run(
        "import sys, json, connect_tunnel; print(json.dumps(sorted(sys.modules)))"
    )
    ours = [name for name in loaded if name.split(".")[0] == "connect_tunnel"]
    assert ours == sorted(
        ["connect_tunnel", *(f"connect_tunnel.{name}" for name in LOADED.split())]
    )
    assert set(LEFT_OUT.split()).isdisjoint(loaded)
    known = {*sys.stdlib_module_names, "connect_tunnel"}
    assert {name.split(".")[0] for name in loaded if not name.startswith("_")} <= known


def test_what_a_plain_proxy_and_target_load() -> None:
    more: list[str] = run(
        "import sys, json, connect_tunnel as c; before = set(sys.modules);"
        "c.Dialer(c.Proxy('http://h:1')); c.Target.parse('h.test:443');"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    assert more == []


def test_what_a_user_and_a_password_load() -> None:
    """The schemes that use them, and nothing of what computes or asks for them."""
    more: list[str] = run(
        "import sys, json, connect_tunnel as c; before = set(sys.modules);"
        "c.Dialer(c.Proxy('http://h:1', auth=('u', 'p')));"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    schemes = ("_basic", "_challenges", "_digest", "_nonce", "_password", "_scheme")
    ours = {f"connect_tunnel.auth.{name}" for name in schemes}
    assert {name for name in more if name.startswith("connect_tunnel")} == ours
    assert {name for name in more if not name.startswith("connect_tunnel")} <= {"binascii"}


def what_a_way_loads(way: str) -> list[str]:
    more: list[str] = run(
        "import sys, json, connect_tunnel as c; before = set(sys.modules);"
        f"c.Dialer({way});"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    return more


def test_what_a_socks_proxy_loads() -> None:
    """The words for it, but not the protocol, which is loaded when the proxy is asked."""
    more = what_a_way_loads("'socks5h://u:p@h'")
    ours = {name.removeprefix("connect_tunnel.") for name in more if name.startswith("connect_")}
    assert {"auth._socks", "protocols.socks_words"} <= ours
    assert "protocols.socks" not in ours
    assert "socksio" not in more


def test_what_the_direct_way_loads() -> None:
    """Of the routers no other; and where to keep connections, as some other might share them."""
    more = what_a_way_loads("__import__('connect_tunnel.routing').routing.Direct()")
    names = (
        "_net.liveness", "_net.pool", "_net.seat", "_net.turn", "protocols.h2_stream",
        "routing", "routing._decision", "routing._router",
    )  # fmt: skip
    assert [name for name in more if name.startswith("connect_tunnel")] == [
        f"connect_tunnel.{name}" for name in names
    ]


def test_the_async_names_load_anyio_and_no_loop() -> None:
    loaded: list[str] = run(
        "import sys, json, connect_tunnel as c; c.open_tunnel_async;"
        "print(json.dumps([name for name in ('anyio', 'trio', 'httpcore') if name in sys.modules]))"
    )
    assert loaded == ["anyio"]
