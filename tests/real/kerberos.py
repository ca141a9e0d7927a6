"""A Kerberos realm of its own: its KDC, the proxies' keytab, and the tickets of `ring.USER`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .entrance import service, written
from .ring import PASSWORD, USER, Port, Ring, Run

if TYPE_CHECKING:
    from pathlib import Path

KERBEROS_REALM = "RING.TEST"
PRINCIPAL = f"HTTP/localhost@{KERBEROS_REALM}"  # of every proxy here


def kdc(ring: Ring, folder: Path) -> Run:
    address = f"127.0.0.1:{ring.port(Port.KDC)}"
    # A ticket must be for the name that the caller gave, which no resolver may change.
    krb5_conf = f"""
        [libdefaults]
        default_realm = {KERBEROS_REALM}
        dns_lookup_kdc = false
        dns_lookup_realm = false
        dns_canonicalize_hostname = false
        rdns = false
        udp_preference_limit = 1
        [realms]
        {KERBEROS_REALM} = {{
        kdc = {address}
        }}
        [domain_realm]
        localhost = {KERBEROS_REALM}
        """
    kdc_conf = f"""
        [kdcdefaults]
        kdc_listen = ""
        kdc_tcp_listen = {address}
        [realms]
        {KERBEROS_REALM} = {{
        database_name = {folder}/database
        key_stash_file = {folder}/stash
        }}
        """
    commands = f"""
        addprinc -pw {PASSWORD} {USER}
        addprinc -randkey {PRINCIPAL}
        ktadd -k {folder}/http.keytab {PRINCIPAL}
        ktadd -k {folder}/user.keytab -norandkey {USER}
        """
    written(ring, folder / "krb5.conf", krb5_conf)
    written(ring, folder / "kdc.conf", kdc_conf)
    env = {**environment(ring), "KRB5_KDC_PROFILE": str(folder / "kdc.conf")}
    realm = ["-r", KERBEROS_REALM]
    ring.call(["kdb5_util", *realm, "create", "-s", "-P", PASSWORD], env)
    ring.call(["kadmin.local", *realm], env, commands)
    return Run(["krb5kdc", "-n", *realm], env)


KDC = service(kdc, Port.KDC)


def environment(ring: Ring) -> dict[str, str]:
    """What lets a program, proxy or client, be in this realm; as a client it has no ticket."""
    folder = ring.folder / KDC.name
    return {
        "KRB5_CONFIG": f"{folder}/krb5.conf",
        "KRB5_KTNAME": f"FILE:{folder}/http.keytab",
        "KRB5_CLIENT_KTNAME": f"FILE:{folder}/none",  # it would do instead of a ticket
        "KRB5CCNAME": f"FILE:{folder}/none",
        "KRB5RCACHEDIR": str(folder),  # /var/tmp otherwise, which outlives the ring
    }


def log_in(ring: Ring) -> str:
    """Get `ring.USER` a ticket, once, and say where it is."""
    folder = ring.folder / KDC.name
    tickets = folder / "tickets"
    if not tickets.exists():
        login = ["kinit", "-c", f"FILE:{tickets}", "-k", "-t", f"{folder}/user.keytab", USER]
        ring.call(login, environment(ring))
    return f"FILE:{tickets}"
