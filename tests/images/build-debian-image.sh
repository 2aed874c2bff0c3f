#!/bin/bash
# tests/images/build-debian-image.sh -- builds a bootable Debian 12 cloud image (systemd, cloud-init) from Debian packages only.
#
#   tests/images/build-debian-image.sh OUT.qcow2 [--size MIB] [--include PKG,PKG...] [--password PW]
#
# Contents: systemd, cloud-init (ConfigDrive, OpenStack metadata service),
# openssh-server, qemu-guest-agent, linux-image-cloud-amd64, grub on an MBR disk
# with one ext4 partition, which cloud-init grows to the disk.  The default user
# is "debian" (sudo, key from the metadata).  --password also gives root a
# password, for the console.  Needs root (chroot); uses no loop device.
set -euo pipefail

usage() { sed -n '4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
OUT='' SIZE=1536 EXTRA='' PW=''
while [ $# -gt 0 ]; do
    case $1 in
        --size) SIZE=${2:?}; shift 2 ;;
        --include) EXTRA=${2:?}; shift 2 ;;
        --password) PW=${2:?}; shift 2 ;;
        -*) usage ;;
        *) [ -z "$OUT" ] || usage; OUT=$1; shift ;;
    esac
done
[ -n "$OUT" ] || usage

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
need=()
for p in mmdebstrap e2fsprogs fdisk qemu-utils grub-pc-bin grub-common; do
    dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || need+=("$p")
done
if [ ${#need[@]} -gt 0 ]; then
    apt-get -o DPkg::Lock::Timeout=600 update -qq
    apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

W=$(mktemp -d "${TMPDIR:-/tmp}/debian-image.XXXXXX")
trap 'rm -rf "$W"' EXIT
R=$W/root

# The machine's own sources, so that its mirror settings apply; Debian only.
sources() {
    local f
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
        if [ -s "$f" ] && grep -q '^[^#]*debian' "$f"; then echo "$f"; return; fi
    done
}
SRC=$(sources); [ -n "$SRC" ] || { echo "$0: no Debian source found" >&2; exit 1; }

PKGS=systemd-sysv,systemd-resolved,udev,dbus,linux-image-cloud-amd64,initramfs-tools,zstd
PKGS+=,cloud-init,cloud-guest-utils,cloud-initramfs-growroot,isc-dhcp-client,e2fsprogs,fdisk
PKGS+=,openssh-server,sudo,iproute2,iputils-ping,qemu-guest-agent,grub-pc-bin,grub2-common
PKGS+=,less,nano-tiny,procps,kmod,netbase,ca-certificates
mmdebstrap --quiet --mode=root --variant=minbase --components=main --include="$PKGS${EXTRA:+,$EXTRA}" \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"; echo MODULES=list > "$1/etc/initramfs-tools/conf.d/modules"; printf "virtio_pci\nvirtio_blk\nvirtio_scsi\nsd_mod\nsr_mod\nata_piix\nisofs\nvfat\nnls_ascii\nnls_cp437\nvirtio_net\n" > "$1/etc/initramfs-tools/modules"; echo COMPRESS=zstd > "$1/etc/initramfs-tools/conf.d/compress"' \
    bookworm "$R" "$SRC"
rm -f "$R"/etc/apt/apt.conf.d/99mmdebstrap

ln -sf ../run/systemd/resolve/stub-resolv.conf "$R/etc/resolv.conf"
echo debian > "$R/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n' > "$R/etc/hosts"
: > "$R/etc/machine-id"
rm -f "$R"/etc/ssh/ssh_host_*
printf 'LABEL=debian-root / ext4 defaults,discard,errors=remount-ro,x-systemd.growfs 0 1\n' > "$R/etc/fstab"
cat > "$R/etc/cloud/cloud.cfg.d/90_nuvolet.cfg" <<'X'
datasource_list: [ConfigDrive, OpenStack, None]
ssh_genkeytypes: [ed25519]
locale: false
package_update: false
package_upgrade: false
system_info:
  network:
    renderers: [networkd]
X
# DHCP on every NIC when no network configuration comes from a config drive.
cat > "$R/etc/systemd/network/99-dhcp.network" <<'X'
[Match]
Name=en* eth*
[Network]
DHCP=yes
LinkLocalAddressing=ipv6
X
chroot "$R" systemctl -q enable systemd-networkd systemd-resolved serial-getty@ttyS0.service ssh qemu-guest-agent 2>/dev/null || true
chroot "$R" systemctl -q mask systemd-networkd-wait-online.service systemd-fsck-root.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer fstrim.timer e2scrub_reap.service man-db.timer 2>/dev/null || true
[ -z "$PW" ] || echo "root:$PW" | chroot "$R" chpasswd

# grub: core.img in the gap after the MBR, the rest in /boot/grub.
KVER=$(basename "$(ls -d "$R"/lib/modules/*)")
mkdir -p "$R/boot/grub/i386-pc"
cp "$R"/usr/lib/grub/i386-pc/*.mod "$R"/usr/lib/grub/i386-pc/*.lst "$R/boot/grub/i386-pc/"
cat > "$R/boot/grub/grub.cfg" <<X
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
menuentry Debian {
    search --no-floppy --label --set=root debian-root
    linux /boot/vmlinuz-$KVER root=LABEL=debian-root ro console=tty0 console=ttyS0,115200n8 net.ifnames=0 quiet
    initrd /boot/initrd.img-$KVER
}
X
cat > "$R/etc/default/grub" <<'X'
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8 net.ifnames=0 quiet"
GRUB_TERMINAL="console serial"
GRUB_DISABLE_OS_PROBER=true
X
grub-mkimage -O i386-pc -d "$R/usr/lib/grub/i386-pc" -p '(hd0,msdos1)/boot/grub' -o "$W/core.img" \
    biosdisk part_msdos ext2 normal linux search search_label serial terminal echo configfile
rm -rf "$R"/var/cache/apt/*.bin "$R"/var/lib/apt/lists/* "$R"/var/log/*.log "$R"/var/log/apt

truncate -s $((SIZE - 1))M "$W/root.img"
mke2fs -q -t ext4 -L debian-root -m 0 -E lazy_itable_init=1,discard -d "$R" "$W/root.img"
truncate -s "${SIZE}M" "$W/disk.raw"
printf 'label: dos\nstart=2048, type=83, bootable\n' | sfdisk -q "$W/disk.raw"
dd if="$R/usr/lib/grub/i386-pc/boot.img" of="$W/disk.raw" bs=440 count=1 conv=notrunc status=none
dd if="$W/core.img" of="$W/disk.raw" bs=512 seek=1 conv=notrunc status=none
dd if="$W/root.img" of="$W/disk.raw" bs=1M seek=1 conv=notrunc,sparse status=none
mkdir -p "$(dirname "$OUT")"
qemu-img convert -f raw -O qcow2 -c "$W/disk.raw" "$OUT.tmp"
mv "$OUT.tmp" "$OUT"
echo "$OUT: $(stat -c %s "$OUT") bytes, kernel $KVER"
