"""The proxies that speak HTTP/2, or say so.

All are spoken to in TLS and offer "h2" and "http/1.1" by ALPN; envoy has an entrance in clear
text besides. `AT_ONCE` tells how many tunnels each opens at a time on one connection.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from connect_tunnel import HTTP2, Proxy

from .entrance import service, written
from .proxies import apache_at, envoy_at, envoy_listener, envoy_tls, tls
from .ring import HOME, Port, Ring, Run
from .squid import SQUID

if TYPE_CHECKING:
    from pathlib import Path

    from connect_tunnel.auth import Auth

    Login = Auth | tuple[str, str]


def envoy_h2(ring: Ring, folder: Path) -> Run:
    """Speaks both in clear text too, which it tells apart by what comes."""
    protocol: dict[str, Any] = {
        "codec_type": "AUTO",
        "http2_protocol_options": {"allow_connect": True},
    }
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
        "nghttpx", "--conf=/dev/null", "--http2-proxy", "--no-ocsp",
        "--workers=1", "--single-process",
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
        f"{HOME}/mitmproxy/bin/mitmdump", "--set", "flow_detail=0",
        "--mode", f"regular@127.0.0.1:{ring.port(Port.MITMPROXY)}",
        "--tcp-hosts", ".*",
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
PROXIES = {
    Port.ENVOY_H2: ENVOY_H2,
    Port.ENVOY_H2C: ENVOY_H2,
    Port.NGHTTPX: NGHTTPX,
    Port.NGHTTPX_BASIC: NGHTTPX_BASIC,
    Port.APACHE_H2: APACHE_H2,
    Port.HAPROXY_H2: HAPROXY_H2,
    Port.MITMPROXY: MITMPROXY,
}

# Beyond which they differ: haproxy resets with REFUSED_STREAM, as its SETTINGS say it would; the
# others announce 100 as well, and leave a request without an answer.
AT_ONCE = {Port.HAPROXY_H2: 100, Port.NGHTTPX: 8, Port.APACHE_H2: 6}


def way(ring: Ring, port: Port, *, auth: Login | None = None, http1: bool = True) -> Proxy:
    """The way through an entrance, by HTTP/2 if it can be; only by that without `http1`."""
    if port is Port.ENVOY_H2C:
        return Proxy(f"http://localhost:{ring.port(port)}", http1=False, http2=True)
    authority = str(ring.proxy_authority.ca)
    context, fallback = (ssl.create_default_context(cafile=authority) for _ in range(2))
    context.set_alpn_protocols(ALPN if http1 else ALPN[:1])
    http2 = HTTP2(fallback_context=fallback)
    url = f"https://localhost:{ring.port(port)}"
    return Proxy(url, auth=auth, ssl_context=context, http1=http1, http2=http2)
