"""Certificates for the loopback ring: one authority, which the clients trust and no one else.

trustme's signatures name pyOpenSSL, which is not installed: pyright cannot know them whole.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .web_origin import WebOrigin


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


@pytest.fixture
def cafile(ca: trustme.CA, tmp_path: Path) -> str:
    """What clients that take a file trust."""
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def origin(server_context: ssl.SSLContext) -> Iterator[WebOrigin]:
    from .web_origin import WebOrigin  # noqa: PLC0415 - aiohttp, for those who need it

    with WebOrigin(server_context) as server:
        yield server
