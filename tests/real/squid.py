"""Squid, as several services: one squid has one way to check each scheme."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from .entrance import HTDIGEST, HTPASSWD, service, written
from .kerberos import KDC, PRINCIPAL, environment
from .ring import HOME, PASSWORD, REALM, USER, Port, Ring, Run

HELPERS = "/usr/lib/squid"


def squid(ring: Ring, folder: Path) -> Run:
    ports = {
        Port.SQUID: "",
        Port.SQUID_TLS: "",
        Port.SQUID_BASIC: "basic",
        Port.SQUID_TLS_BASIC: "basic",
    }
    return squid_at(ring, folder, ports, basic(ring, folder))


def squid_digest(ring: Ring, folder: Path) -> Run:
    """Alone, for squid accepts each scheme that it knows, also where it does not offer it."""
    return squid_at(ring, folder, {Port.SQUID_DIGEST: "digest"}, digest(ring, folder))


def squid_kerberos(ring: Ring, folder: Path) -> Run:
    ports = {
        Port.SQUID_NEGOTIATE: "negotiate",
        Port.SQUID_TLS_NEGOTIATE: "negotiate",
        Port.SQUID_CHOICE: "negotiate,digest,basic",
    }
    helper = f"{HELPERS}/negotiate_kerberos_auth -s {PRINCIPAL}"
    schemes = basic(ring, folder) + digest(ring, folder) + scheme("negotiate", helper)
    run = squid_at(ring, folder, ports, schemes)
    return dataclasses.replace(run, env=environment(ring))


def squid_ntlm(ring: Ring, folder: Path) -> Run:
    ports = {Port.SQUID_NTLM: "ntlm", Port.SQUID_NEGOTIATE_NTLM: "negotiate"}
    schemes = {
        "ntlm": relay(ring, folder, Port.VERIFY_NTLM),
        "negotiate": relay(ring, folder, Port.VERIFY_NEGOTIATE),
    }
    return squid_at(ring, folder, ports, "".join(map(scheme, schemes, schemes.values())))


def squid_bound(ring: Ring, folder: Path) -> Run:
    """Logins that are bound to the TLS of their connection, which squid's own helpers ignore."""
    ports = {Port.SQUID_BOUND_NEGOTIATE: "negotiate", Port.SQUID_BOUND_NTLM: "ntlm"}
    schemes = {
        "negotiate": relay(ring, folder, Port.VERIFY_BOUND_NEGOTIATE),
        "ntlm": relay(ring, folder, Port.VERIFY_BOUND_NTLM),
    }
    return squid_at(ring, folder, ports, "".join(map(scheme, schemes, schemes.values())))


def squid_at(ring: Ring, folder: Path, ports: dict[Port, str], schemes: str) -> Run:
    """Entrances with the schemes that each offers, in that order."""
    tls = f"tls-cert={ring.proxy_authority.cert} tls-key={ring.proxy_authority.key}"
    conf = f"""
        {schemes}
        acl forbidden port {ring.port(Port.FORBIDDEN)}
        acl known proxy_auth REQUIRED
        """
    for port, offered in ports.items():
        kind, keys = ("https", tls) if port in TLS_PORTS else ("http", "")
        conf += f"{kind}_port 127.0.0.1:{ring.port(port)} name={port.name} {keys}\n"
        if offered:
            conf += f"acl at_{port.name} myportname {port.name}\n"
            conf += f"auth_schemes {offered} at_{port.name}\n"
            conf += f"http_access deny at_{port.name} !known\n"
    conf += f"""
        http_access deny forbidden
        http_access allow all
        pid_filename {folder}/pid
        coredump_dir {folder}
        cache_log {folder}/cache.log
        logformat ring %>p %>Hs %.4{{Proxy-Authorization}}>h %Ss %ru
        access_log stdio:{folder}/access.log ring
        netdb_filename none
        pinger_enable off
        cache deny all
        cache_mem 8 MB
        memory_cache_shared off
        shutdown_lifetime 0 seconds
        visible_hostname ring
        connect_timeout 5 seconds
        """
    name = folder.name.replace("-", "") + str(ring.base)  # of its shared memory
    return Run(["squid", "-N", "-n", name, "-f", written(ring, folder / "squid.conf", conf)])


TLS_PORTS = {
    Port.SQUID_TLS,
    Port.SQUID_TLS_BASIC,
    Port.SQUID_TLS_NEGOTIATE,
    Port.SQUID_BOUND_NEGOTIATE,
    Port.SQUID_BOUND_NTLM,
}


def basic(ring: Ring, folder: Path) -> str:
    passwords = ring.write(folder / "passwords", HTPASSWD)
    return scheme("basic", f"{HELPERS}/basic_ncsa_auth {passwords}", REALM)


def digest(ring: Ring, folder: Path) -> str:
    passwords = ring.write(folder / "digests", HTDIGEST)
    return scheme("digest", f"{HELPERS}/digest_file_auth -c {passwords}", REALM)


def scheme(name: str, program: str, realm: str = "") -> str:
    lines = [f"program {program}", "children 1 startup=1", realm and f"realm {realm}"]
    return "".join(f"auth_param {name} {line}\n" for line in lines if line)


def verifier(ring: Ring, folder: Path) -> Run:
    """Knows who logs in: squid's NTLM helpers ask a Windows domain, or believe anybody."""
    script = Path(__file__).with_name("verifier.py")
    users = ring.write(folder / "users", f":{USER}:{PASSWORD}\n")
    first = str(ring.port(Port.VERIFY_NTLM))
    argv = [f"{HOME}/pyspnego/bin/python", str(script), first, str(ring.proxy_authority.cert)]
    return Run(argv, {**environment(ring), "NTLM_USER_FILE": str(users)})


def relay(ring: Ring, folder: Path, port: Port) -> str:
    """A helper that hands squid's questions to the verifier, whose home may be closed to squid."""
    script = """#!/bin/bash
        exec 3<>/dev/tcp/127.0.0.1/$1
        while read -r question; do
        echo "$question" >&3
        read -r answer <&3
        echo "$answer"
        done
        """
    path = written(ring, folder / "relay", script)
    Path(path).chmod(0o755)
    return f"{path} {ring.port(port)}"


VERIFIER = service(
    verifier,
    Port.VERIFY_NTLM,
    Port.VERIFY_NEGOTIATE,
    Port.VERIFY_BOUND_NTLM,
    Port.VERIFY_BOUND_NEGOTIATE,
    needs=(KDC,),
)
SQUID = service(squid, Port.SQUID, Port.SQUID_TLS, Port.SQUID_BASIC, Port.SQUID_TLS_BASIC)
SQUID_DIGEST = service(squid_digest, Port.SQUID_DIGEST)
SQUID_KERBEROS = service(
    squid_kerberos,
    Port.SQUID_NEGOTIATE,
    Port.SQUID_TLS_NEGOTIATE,
    Port.SQUID_CHOICE,
    needs=(KDC,),
)
SQUID_NTLM = service(squid_ntlm, Port.SQUID_NTLM, Port.SQUID_NEGOTIATE_NTLM, needs=(VERIFIER,))
SQUID_BOUND = service(
    squid_bound, Port.SQUID_BOUND_NEGOTIATE, Port.SQUID_BOUND_NTLM, needs=(VERIFIER,)
)
