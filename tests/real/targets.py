"""The targets: what tunnels lead to. The https origin is apache's, in `proxies.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .entrance import written
from .proxies import APACHE
from .ring import PASSWORD, Port, Ring, Run, Service

BANNER = b"220 ring ready\r\n"


def origins(ring: Ring, folder: Path) -> Run:
    """Echoes, a banner and an SMTP server that delivers into `folder`/mail, in one process."""
    own = ring.target_authority
    script = Path(__file__).with_name("origins.py")
    first = str(ring.port(Port.ECHO))
    where = [str(own.cert), str(own.key), str(folder / "mail"), BANNER.decode()]
    return Run([sys.executable, str(script), first, *where])


def sshd(ring: Ring, folder: Path) -> Run:
    """Lets the account that runs the tests in, with the key `folder`/user."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it will not start without
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    host_key = (folder / "host.pub").read_text()
    ring.write(folder / "known_hosts", f"[127.0.0.1]:{ring.port(Port.SSH)} {host_key}")
    conf = f"""
        Port {ring.port(Port.SSH)}
        ListenAddress 127.0.0.1
        HostKey {folder}/host
        AuthorizedKeysFile {folder}/user.pub
        PidFile {folder}/pid
        StrictModes no
        UsePAM no
        PasswordAuthentication no
        Subsystem sftp internal-sftp
        # Or bash reads the account's .bashrc, which may do and say whatever it likes.
        SetEnv SHLVL=1
        """
    path = written(ring, folder / "sshd_config", conf)
    return Run(["sshd", "-D", "-e", "-f", path], as_nobody=False)


def dovecot(ring: Ring, folder: Path) -> Run:
    """IMAP and POP3, both with TLS and without; any user with our password."""
    own = ring.target_authority
    conf = f"""
        base_dir = {folder}/run
        state_dir = {folder}
        instance_name = ring
        log_path = {folder}/dovecot.log
        default_internal_user = {ring.account}
        default_internal_group = {ring.group}
        default_login_user = {ring.account}
        protocols = imap pop3
        listen = 127.0.0.1
        ssl = yes
        ssl_cert = <{own.cert}
        ssl_key = <{own.key}
        disable_plaintext_auth = no
        first_valid_uid = 0
        mail_location = maildir:{folder}/mail
        passdb {{
          driver = static
          args = password={PASSWORD}
        }}
        userdb {{
          driver = static
          args = uid={ring.account} gid={ring.group} home={folder}
        }}
        service imap-login {{
          chroot =
          inet_listener imap {{
            port = {ring.port(Port.IMAP)}
          }}
          inet_listener imaps {{
            port = {ring.port(Port.IMAPS)}
            ssl = yes
          }}
        }}
        service pop3-login {{
          chroot =
          inet_listener pop3 {{
            port = {ring.port(Port.POP3)}
          }}
          inet_listener pop3s {{
            port = {ring.port(Port.POP3S)}
            ssl = yes
          }}
        }}
        service anvil {{
          chroot =
        }}
        service stats {{
          chroot =
        }}
        """
    return Run(["dovecot", "-F", "-c", written(ring, folder / "dovecot.conf", conf)])


def redis(ring: Ring, folder: Path) -> Run:
    where = ["--bind", "127.0.0.1", "--port", str(ring.port(Port.REDIS)), "--dir", str(folder)]
    return Run(["redis-server", *where, "--save", ""])


def mosquitto(ring: Ring, folder: Path) -> Run:
    own = ring.target_authority
    conf = f"""
        listener {ring.port(Port.MQTT)} 127.0.0.1
        certfile {own.cert}
        keyfile {own.key}
        allow_anonymous true
        """
    return Run(["mosquitto", "-c", written(ring, folder / "mosquitto.conf", conf)])


ORIGINS = Service("origins", (Port.ECHO, Port.BANNER, Port.EOF, Port.TLS_ECHO, Port.SMTP), origins)
SSHD = Service("sshd", (Port.SSH,), sshd)
DOVECOT = Service("dovecot", (Port.IMAP, Port.IMAPS, Port.POP3, Port.POP3S), dovecot)
REDIS = Service("redis", (Port.REDIS,), redis)
MOSQUITTO = Service("mosquitto", (Port.MQTT,), mosquitto)
HTTPS = APACHE
