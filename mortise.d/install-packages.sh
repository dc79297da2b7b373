#!/usr/bin/env bash
# install-packages.sh PACKAGE...: installs Debian packages, as root, so that none of them starts a service: Mortise runs its own
# PostgreSQL, and promtool is wanted without a Prometheus server.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export DEBIAN_FRONTEND=noninteractive

policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf
made_policy= made_clusters=

undo() {
    [ -z "$made_policy" ] || rm -f "$policy"
    [ -z "$made_clusters" ] || rm -f "$clusters"
    [ ! -f "$clusters.ucf-dist" ] || mv "$clusters.ucf-dist" "$clusters"
}
trap undo EXIT

if [ ! -e "$policy" ]; then
    made_policy=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
if [ ! -e "$clusters" ]; then
    made_clusters=1
    mkdir -p "$(dirname "$clusters")"
    echo 'create_main_cluster = false' >"$clusters"
fi

options=(-q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)
apt-get "${options[@]}" update >&2 ||
    fail "'apt-get update' failed: check the network and /etc/apt, then run the same command again."
apt-get "${options[@]}" install --no-install-recommends -o Dpkg::Options::=--force-confold "$@" >&2 ||
    fail "'apt-get install' failed (its words are above); repair that, then run the same command again."
case " $* " in
*" prometheus "*) DPKG_MAINTSCRIPT_PACKAGE=prometheus deb-systemd-helper disable prometheus.service >/dev/null || true ;;
esac
