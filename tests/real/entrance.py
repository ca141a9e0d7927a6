"""An entrance: one port of a proxy, and how it is to be asked."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connect_tunnel import Proxy

from .ring import PASSWORD, REALM, USER, Port, Ring, Service

if TYPE_CHECKING:
    from pathlib import Path

    from connect_tunnel.auth import Auth

    Login = Auth | tuple[str, str]

# What `openssl passwd -apr1 s3cret` says: the one form that apache and squid both read.
HTPASSWD = f"{USER}:$apr1$tunnel00$bE/kMelpb9kZ9d2Qzr.2p0\n"
# What htdigest writes, which they both read as well.
HTDIGEST = (
    f"{USER}:{REALM}:" + hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest() + "\n"
)


@dataclass(frozen=True)
class Entrance:
    """One port of a proxy, and how it is to be asked."""

    service: Service
    port: Port
    tls: bool = False
    auth: str = ""  # the scheme that it wants: basic, digest, negotiate, ntlm
    close_notify: bool = True  # whether it ends TLS as RFC 8446, 6.1 has it

    @property
    def name(self) -> str:
        return self.port.name.lower().replace("_", "-")

    def url(self, ring: Ring) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{ring.port(self.port)}"

    def via(self, ring: Ring, *, auth: Login | None = None) -> Proxy:
        """The way through it, with the right user and password where it wants a login."""
        return self._proxy(ring, auth or ((USER, PASSWORD) if self.auth else None))

    def without_password(self, ring: Ring) -> Proxy:
        return self._proxy(ring, None)

    def strict(self, ring: Ring) -> Proxy:
        """As a proxy is taken by default: one that ends TLS as it should."""
        return dataclasses.replace(self, close_notify=True).via(ring)

    def as_if(self, ring: Ring, *, tls: bool) -> Proxy:
        """The wrong scheme for its port."""
        return dataclasses.replace(self, tls=tls).via(ring)

    def _proxy(self, ring: Ring, auth: Login | None) -> Proxy:
        context = ring.proxy_authority.context if self.tls else None
        return Proxy(
            self.url(ring),
            auth=auth,
            ssl_context=context,
            require_close_notify=self.close_notify,
        )


def written(ring: Ring, path: Path, conf: str) -> str:
    lines = (line.strip() for line in conf.splitlines())
    return str(ring.write(path, "".join(f"{line}\n" for line in lines if line)))


def service(prepare: Any, *ports: Port, needs: tuple[Service, ...] = ()) -> Service:
    return Service(prepare.__name__.replace("_", "-"), ports, prepare, needs)


def by_name(*entrances: Entrance) -> dict[str, Entrance]:
    return {entrance.name: entrance for entrance in entrances}
