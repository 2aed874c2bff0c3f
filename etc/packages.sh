#!/bin/bash
# etc/packages.sh build|run|test... -- installs those of Debian's packages that are missing; says what it does.
set -euo pipefail
build="gcc make pkg-config libc6-dev libglib2.0-dev libjansson-dev libmicrohttpd-dev libsqlite3-dev libvirt-dev libnl-3-dev libnl-route-3-dev
       libnftables-dev libsodium-dev libseccomp-dev"
run="libvirt-daemon libvirt-daemon-system libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils dnsmasq-base nftables iproute2 kmod xorriso
     curl jq openssh-client ca-certificates"
image="busybox-static dropbear-bin syslinux syslinux-common mtools dosfstools e2fsprogs kmod cpio xz-utils qemu-utils"
client="python3-openstackclient"
test="libcmocka-dev procps hostname perl-base python3 python3-openstackclient sqlite3 libvirt-clients clang libclang-rt-dev busybox-static openssh-client jq curl iputils-ping openvswitch-switch"

need=()
for set in "$@"; do
    for p in ${!set}; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || need+=("$p")
    done
done
[ ${#need[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || { echo "These packages are missing; install them, or run this as root: ${need[*]}" >&2; exit 1; }
echo "  APT   ${need[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
apt-get -o DPkg::Lock::Timeout=600 update -qq >"$log" 2>&1 &&
    apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "${need[@]}" >>"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; rm -f "$log"; exit 1; }
rm -f "$log"
