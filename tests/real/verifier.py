"""A program: says whether a login is good, in the language of squid's helpers.

    verifier.py FIRST_PORT CERTIFICATE

NTLM is verified at the first port and Negotiate at the second. At the next two, which are for
NTLM and for Kerberos, a login must be bound to its TLS connection by that certificate
(RFC 5929, 4).
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import importlib
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import spnego
from spnego.channel_bindings import GssChannelBindings

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable


class Login(Protocol):
    """One login, token by token."""

    def step(self, token: bytes) -> bytes: ...
    def user(self) -> str | None:
        """Who it is, once that is known."""
        ...


class Spnego:
    def __init__(self, protocol: str, binding: bytes | None) -> None:
        bindings = GssChannelBindings(application_data=binding) if binding else None
        self.context = spnego.server(protocol=protocol, channel_bindings=bindings)

    def step(self, token: bytes) -> bytes:
        return self.context.step(token) or b""

    def user(self) -> str | None:
        return self.context.client_principal if self.context.complete else None


class Kerberos:
    def __init__(self, binding: bytes) -> None:
        # Not imported above: it is built from source, so type checkers may not find it.
        self.gssapi: Any = importlib.import_module("gssapi")
        bindings = self.gssapi.raw.ChannelBindings(application_data=binding)
        self.context = self.gssapi.SecurityContext(usage="accept", channel_bindings=bindings)

    def step(self, token: bytes) -> bytes:
        return self.context.step(token) or b""

    def user(self) -> str | None:
        if not self.context.complete:
            return None
        # GSSAPI accepts a login that names no connection at all.
        if self.gssapi.RequirementFlag.channel_bound not in self.context.actual_flags:
            raise ValueError("not bound to the connection")
        return str(self.context.initiator_name)


async def answer(begin: Callable[[], Login], reader: StreamReader, writer: StreamWriter) -> None:
    """Squid asks YR with the first token of a login, and KK with each that follows."""
    login = begin()
    while line := await reader.readline():
        kind, _, token = line.decode().strip().partition(" ")
        if kind == "YR":
            login = begin()
        writer.write(said(login, base64.b64decode(token)).encode() + b"\n")
        await writer.drain()
    writer.close()


def said(login: Login, token: bytes) -> str:
    try:
        given = base64.b64encode(login.step(token)).decode()
        user = login.user()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a login, it is no good
        print(type(error).__name__, error, flush=True)  # noqa: T201 - the log of this service
        return "ERR"
    if user is None:
        return f"TT {given}"
    return f"OK user={user}" + (f" token={given}" if given else "")


def binding_to(certificate: Path) -> bytes:
    """tls-server-end-point, for a certificate that is signed with SHA-256."""
    leaf = certificate.read_text().partition("-----END CERTIFICATE-----")
    der = ssl.PEM_cert_to_DER_cert(leaf[0] + leaf[1])
    return b"tls-server-end-point:" + hashlib.sha256(der).digest()


async def main(first: int, certificate: str) -> None:
    binding = binding_to(Path(certificate))
    logins: list[Callable[[], Login]] = [
        functools.partial(Spnego, "ntlm", None),
        functools.partial(Spnego, "negotiate", None),
        functools.partial(Spnego, "ntlm", binding),
        functools.partial(Kerberos, binding),
    ]
    for offset, begin in enumerate(logins):
        await asyncio.start_server(functools.partial(answer, begin), "127.0.0.1", first + offset)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
