"""The proxies that speak HTTP/2, and how far each of them goes in it.

All are spoken to in TLS and offer "h2" and "http/1.1" by ALPN. `LIMITS` holds what each says
in its SETTINGS and how many tunnels it really opens at a time on one connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connect_tunnel import Proxy

from .entrance import service, written
from .proxies import apache_at, envoy_at, envoy_listener, envoy_tls, tls
from .ring import ALLOWED, HOME, Port, Ring, Run
from .squid import SQUID

if TYPE_CHECKING:
    from pathlib import Path

    from .ring import Service


def envoy_h2(ring: Ring, folder: Path) -> Run:
    """Speaks both in clear text too, which it tells apart by what comes."""
    protocol = {"codec_type": "AUTO", "http2_protocol_options": {"allow_connect": True}}
    secure = envoy_listener(ring, Port.ENVOY_H2, envoy_tls(ring, *ALPN), **protocol)
    return envoy_at(ring, folder, secure, envoy_listener(ring, Port.ENVOY_H2C, **protocol))


ALPN = "h2", "http/1.1"


def nghttpx(ring: Ring, folder: Path) -> Run:
    return nghttpx_at(ring, folder, Port.NGHTTPX, Port.SQUID)


def nghttpx_basic(ring: Ring, folder: Path) -> Run:
    return nghttpx_at(ring, folder, Port.NGHTTPX_BASIC, Port.SQUID_BASIC)


def nghttpx_at(ring: Ring, folder: Path, port: Port, behind: Port) -> Run:
    own = ring.proxy_authority
    argv = [
        "nghttpx", "--conf=/dev/null", "--http2-proxy", "--workers=1", "--single-process",
        f"--frontend=127.0.0.1,{ring.port(port)}", f"--backend=127.0.0.1,{ring.port(behind)}",
        f"--pid-file={folder}/pid", f"--errorlog-file={folder}/error.log",
        str(own.key), str(own.cert),
    ]  # fmt: skip
    return Run(argv)


def apache_h2(ring: Ring, folder: Path) -> Run:
    address = f"127.0.0.1:{ring.port(Port.APACHE_H2)}"
    conf = f"""
        Listen {address}
        <VirtualHost {address}>
        {tls(ring, "proxy")}
        Protocols {" ".join(ALPN)}
        ProxyRequests On
        H2ProxyRequests On
        <Proxy *>
        Require all granted
        </Proxy>
        </VirtualHost>
        """
    return apache_at(ring, folder, conf, "http2")


def haproxy_h2(ring: Ring, folder: Path) -> Run:
    pem = key_and_chain(ring, folder)
    conf = f"""
        defaults
        mode http
        timeout connect 5s
        timeout client 60s
        timeout server 60s
        timeout tunnel 600s
        listen entrance
        bind 127.0.0.1:{ring.port(Port.HAPROXY_H2)} ssl crt {pem} alpn {",".join(ALPN)}
        server squid 127.0.0.1:{ring.port(Port.SQUID)}
        """
    return Run(["haproxy", "-db", "-f", written(ring, folder / "haproxy.cfg", conf)])


def mitmproxy(ring: Ring, folder: Path) -> Run:
    """Answers every CONNECT over HTTP/2 with GOAWAY, and passes on what comes over HTTP/1.1."""
    argv = [
        f"{HOME}/mitmproxy/bin/mitmdump", "--quiet",
        "--mode", f"regular@127.0.0.1:{ring.port(Port.MITMPROXY)}",
        "--ignore-hosts", ".*",
        "--set", f"confdir={folder}", "--set", f"certs=*={key_and_chain(ring, folder)}",
    ]  # fmt: skip
    return Run(argv)


def key_and_chain(ring: Ring, folder: Path) -> Path:
    own = ring.proxy_authority
    return ring.write(folder / "both.pem", own.key.read_bytes() + own.cert.read_bytes(), 0o600)


ENVOY_H2 = service(envoy_h2, Port.ENVOY_H2, Port.ENVOY_H2C)
NGHTTPX = service(nghttpx, Port.NGHTTPX, needs=(SQUID,))
NGHTTPX_BASIC = service(nghttpx_basic, Port.NGHTTPX_BASIC, needs=(SQUID,))
APACHE_H2 = service(apache_h2, Port.APACHE_H2)
HAPROXY_H2 = service(haproxy_h2, Port.HAPROXY_H2, needs=(SQUID,))
MITMPROXY = service(mitmproxy, Port.MITMPROXY)
