#!/bin/sh
# SSH with OpenSSH itself, whose ProxyCommand is a program that it speaks through.
#
#     ssh_proxycommand.sh http://proxy.corp:3128 host.example.com uname
#
# The proxy's URL goes into the environment, where no other user of the machine can read it.
set -eu
CONNECT_TUNNEL_PROXY=$1
export CONNECT_TUNNEL_PROXY
shift
exec ssh -o ProxyCommand='connect-tunnel relay %h %p' "$@"
