"""Certificates for the loopback ring: one authority, which the clients trust and no one else.

trustme's signatures name pyOpenSSL, which is not installed: pyright cannot know them whole.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trustme

from connect_tunnel import Proxy
from connect_tunnel.testing import LoopbackProxy

from .shells import SHELLS, nothing_left

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .web_origin import WebOrigin


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")  # some libraries change a context that they are given
def server_context(ca: trustme.CA) -> ssl.SSLContext:
    """For a TLS server, proxy or target, that clients with `client_context` trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert("127.0.0.1", "localhost", "target.test")
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@pytest.fixture(scope="module")
def client_context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@pytest.fixture
def cafile(ca: trustme.CA, tmp_path: Path) -> str:
    """What clients that take a file trust."""
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """Named first, it holds for the servers that a test names after it, too."""
    with nothing_left():
        yield


@pytest.fixture
def origin(server_context: ssl.SSLContext) -> Iterator[WebOrigin]:
    from .web_origin import WebOrigin  # noqa: PLC0415 - aiohttp, for those who need it

    with WebOrigin(server_context) as server:
        yield server


@pytest.fixture(params=["plain", "tls"])
def guarded(
    request: pytest.FixtureRequest, server_context: ssl.SSLContext
) -> Iterator[LoopbackProxy]:
    """A proxy that wants a password, reached in clear and by TLS."""
    context = server_context if request.param == "tls" else None
    with LoopbackProxy(auth=("alice", "s3cr3t-pw/9731"), ssl_context=context) as proxy:
        yield proxy


@pytest.fixture
def through(guarded: LoopbackProxy, client_context: ssl.SSLContext) -> Proxy:
    """The way through it."""
    context = client_context if guarded.url.startswith("https") else None
    return Proxy(guarded.url, auth=("alice", "s3cr3t-pw/9731"), ssl_context=context)


class Contexts(NamedTuple):
    """Of both sides, where both offer HTTP/2 by ALPN."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def both_h2(ca: trustme.CA) -> Contexts:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    client = ssl.create_default_context()
    ca.configure_trust(client)  # pyright: ignore[reportUnknownMemberType]
    for context in (server, client):
        context.set_alpn_protocols(["h2", "http/1.1"])
    return Contexts(server, client)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    shell: str = request.param
    return shell
