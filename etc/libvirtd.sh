#!/bin/bash
# etc/libvirtd.sh start|stop|status -- makes sure that a libvirtd answers at qemu:///system, with or without systemd.
#
# Where systemd runs, its units are used.  Where not, libvirtd and the virtlogd that it writes console logs through are started here, and
# `stop` ends them (guests go on running).  One that answers already is left alone, and no settings of the machine are changed: QEMU
# runs as Debian's user libvirt-qemu in its own sandbox, as packaged.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
run=/run/libvirt

# A socket of libvirt with somebody listening behind it.
listens() { awk -v s="/libvirt/$1" 'substr($8, length($8) - length(s) + 1) == s && $4 == "00010000" { f = 1 } END { exit !f }' /proc/net/unix; }
ours() { # NAME: pid of the one that we started, if it runs
    local p; p=$(cat "$run/nuvolet-$1.pid" 2>/dev/null) && [ "$(cat "/proc/$p/comm" 2>/dev/null)" = "$1" ] && echo "$p"
}

start() {
    if [ -d /run/systemd/system ]; then
        systemctl start libvirtd.socket 2>/dev/null || systemctl start libvirtd
        return
    fi
    mkdir -p $run
    listens virtlogd-sock || virtlogd --daemon --pid-file $run/nuvolet-virtlogd.pid
    listens libvirt-sock && return
    # libvirtd knows no option for these.  Only root gets in; the agent asks for several guests at once.
    printf '%s\n' 'auth_unix_rw = "none"' 'unix_sock_rw_perms = "0700"' 'listen_tls = 0' 'max_client_requests = 32' >$run/nuvolet-libvirtd.conf
    libvirtd --daemon --config $run/nuvolet-libvirtd.conf --pid-file $run/nuvolet-libvirtd.pid
    for _ in $(seq 100); do listens libvirt-sock && return; sleep 0.1; done
    echo "libvirtd does not answer; see /var/log/libvirt" >&2
    exit 1
}

end() { # NAME
    local p; p=$(ours "$1") || return 0
    kill "$p"
    for _ in $(seq 100); do [ -e "/proc/$p" ] || break; sleep 0.1; done
    rm -f "$run/nuvolet-$1.pid"
}

stop() {
    end libvirtd
    # Guests that still run write their consoles through it.
    [ -n "$(find $run/qemu -maxdepth 1 -name '*.pid' 2>/dev/null)" ] || end virtlogd
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    status) listens libvirt-sock ;;
    *) sed -n '2p' "$0"; exit 2 ;;
esac
