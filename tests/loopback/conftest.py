"""Certificates for the loopback ring: one authority, which the clients trust and no one else.

trustme's signatures name pyOpenSSL, which is not installed: pyright cannot know them whole.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple

import pytest
import trustme

from .shells import SHELLS


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(ca: trustme.CA) -> ssl.SSLContext:
    """For a TLS server, proxy or target, that clients with `client_context` trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert("127.0.0.1", "localhost", "target.test")
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@pytest.fixture(scope="session")
def client_context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    return context


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
