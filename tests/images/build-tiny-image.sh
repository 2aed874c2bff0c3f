#!/bin/bash
# tests/images/build-tiny-image.sh -- builds a tiny bootable cloud image ("tiny") from Debian packages only.
#
#   tests/images/build-tiny-image.sh OUT.qcow2 [--kernel-out FILE --initrd-out FILE] [--raw]
#
# The result boots from its own disk (SeaBIOS -> syslinux -> Debian cloud
# kernel -> busybox) and behaves like a small cloud guest: DHCP on every ethN,
# config drive or http://169.254.169.254 metadata, ssh server, login on ttyS0
# and tty1, power off on the ACPI power button, root filesystem grown to the
# disk.  Log in as root or tiny, password "tiny"; ssh with the injected key.
# Every fact a test may want is printed on the console as "tiny: KEY=VALUE".
#
# --kernel-out/--initrd-out also write the kernel and initramfs, for a direct
# kernel boot (append: root=auto console=ttyS0).  Needs root only for apt-get;
# nothing is mounted and no loop device is used.
set -euo pipefail

usage() { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
OUT='' KOUT='' IOUT='' FMT=qcow2
while [ $# -gt 0 ]; do
    case $1 in
        --kernel-out) KOUT=${2:?}; shift 2 ;;
        --initrd-out) IOUT=${2:?}; shift 2 ;;
        --raw) FMT=raw; shift ;;
        -*) usage ;;
        *) [ -z "$OUT" ] || usage; OUT=$1; shift ;;
    esac
done
[ -n "$OUT" ] || usage

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
CACHE=${NUVOLET_CACHE:-/var/cache/nuvolet}
BOOT_MIB=20 ROOT_MIB=43          # with 1 MiB of partition table: a 64 MiB disk

# Two builders at once would download and write the same files.
mkdir -p "$CACHE"
exec 8>"$CACHE/.lock"; flock 8
step() { printf '  IMAGE   %s\n' "$*"; }

step "packages"
need=()
want() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed || need+=("$1"); }
for p in busybox-static dropbear-bin syslinux syslinux-common mtools dosfstools \
         e2fsprogs kmod cpio xz-utils qemu-utils; do want $p; done
if [ ${#need[@]} -gt 0 ]; then
    apt-get -o DPkg::Lock::Timeout=600 update -qq
    apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

W=$(mktemp -d "${TMPDIR:-/tmp}/tiny-image.XXXXXX")
trap 'rm -rf "$W"' EXIT

# ---------------------------------------------------------------- the kernel
step "kernel"
mkdir -p "$CACHE/debs"
kernel_package() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image-[0-9]/{print $2; exit}'; }
KPKG=$(kernel_package)
[ -n "$KPKG" ] || { apt-get -o DPkg::Lock::Timeout=600 update -qq; KPKG=$(kernel_package); }
[ -n "$KPKG" ] || { echo "$0: linux-image-cloud-amd64 not known to apt (apt-get update?)" >&2; exit 1; }
KDEB=$(find "$CACHE/debs" -name "${KPKG}_*.deb" | sort | tail -1)
if [ -z "$KDEB" ]; then
    (cd "$CACHE/debs" && apt-get download -qq -o APT::Sandbox::User=root "$KPKG")
    KDEB=$(find "$CACHE/debs" -name "${KPKG}_*.deb" | sort | tail -1)
fi
dpkg-deb -x "$KDEB" "$W/k"
KVER=${KPKG#linux-image-}
depmod -b "$W/k" "$KVER"

# copy_modules DEST MODULE...: the modules with all they depend on
copy_modules() {
    local dest=$1 m f; shift
    for m in "$@"; do
        modprobe -d "$W/k" -S "$KVER" --show-depends "$m" | awk '$1=="insmod"{print $2}' |
        while read -r f; do
            f=${f#"$W/k/"}; f=${f#/}
            install -D -m 644 "$W/k/$f" "$dest/$f"
        done
    done
    for f in modules.order modules.builtin modules.builtin.modinfo; do
        [ -e "$W/k/lib/modules/$KVER/$f" ] && cp "$W/k/lib/modules/$KVER/$f" "$dest/lib/modules/$KVER/"
    done
    depmod -b "$dest" "$KVER"
}

BUSYBOX=$(dpkg -L busybox-static | grep -m1 'bin/busybox$')

# ------------------------------------------------------------- the initramfs
step "initramfs and root filesystem"
# Loads the disk drivers, grows the last partition, mounts the root, pivots.
I=$W/initrd
mkdir -p "$I"/{bin,dev,proc,sys,root,lib}
cp "$BUSYBOX" "$I/bin/busybox"
DISK_MODULES="virtio_pci virtio_blk virtio_scsi sd_mod ata_piix"
# shellcheck disable=SC2086
copy_modules "$I" $DISK_MODULES
cat > "$I/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
for m in $DISK_MODULES; do modprobe \$m 2>/dev/null; done
INIT
cat >> "$I/init" <<'INIT'
ROOT=auto
for w in $(cat /proc/cmdline); do case $w in root=*) ROOT=${w#root=} ;; esac; done
find_root() {
    case $ROOT in auto) ;; *) [ -b "$ROOT" ] && echo "$ROOT"; return ;; esac
    for d in vda sda hda nvme0n1 vdb sdb; do
        for p in ${d}2 ${d}p2; do
            [ -b /dev/$p ] && blkid /dev/$p 2>/dev/null | grep -q 'LABEL="tiny-root"' && echo /dev/$p && return
        done
    done
}
n=0; while R=$(find_root); [ -z "$R" ] && [ $n -lt 100 ]; do usleep 100000; n=$((n+1)); done
[ -n "$R" ] || { echo "tiny: error=no-root-disk"; exec sh; }
# Grow partition 2 (the last) to the disk by rewriting its sector count in the
# partition table: 4 little-endian bytes at 446+16+12.
case $R in
    *p2) D=${R%p2} ;; *2) D=${R%2} ;; *) D= ;;
esac
if [ -n "$D" ] && [ -b "$D" ]; then
    b=${D#/dev/}; p=${R#/dev/}
    start=$(cat /sys/class/block/$p/start); have=$(cat /sys/class/block/$p/size)
    total=$(cat /sys/class/block/$b/size)
    [ "$total" -gt 4294967295 ] && total=4294967295
    size=$(( (total - start) / 2048 * 2048 ))
    if [ $size -gt $have ]; then
        printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $((size & 255)) $((size >> 8 & 255)) $((size >> 16 & 255)) $((size >> 24 & 255)))" |
            dd of=$D bs=1 seek=474 conv=notrunc 2>/dev/null
        sync; blockdev --rereadpt $D
        n=0; while [ ! -b $R ] && [ $n -lt 50 ]; do usleep 50000; n=$((n+1)); done
    fi
fi
mount -t ext4 -o rw,noatime $R /root || { echo "tiny: error=mount-root"; exec sh; }
umount /proc /sys; mount -o move /dev /root/dev
exec switch_root /root /sbin/init
INIT
# busybox-static of Debian 12 has no blkid applet: read the ext4 label instead.
sed -i 's@blkid /dev/$p 2>/dev/null | grep -q .LABEL="tiny-root".@[ "$(dd if=/dev/$p bs=1 skip=1144 count=9 2>/dev/null)" = tiny-root ]@' "$I/init"
chmod 755 "$I/init"
(cd "$I" && find . -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc --quiet -R 0:0) | gzip -9 > "$W/initrd.img"

# --------------------------------------------------------------- the root fs
R=$W/root
mkdir -p "$R"/{bin,sbin,usr/bin,usr/sbin,dev,proc,sys,run,tmp,mnt,root/.ssh,home/tiny/.ssh,lib,lib64} \
         "$R"/{etc/init.d,etc/dropbear,etc/acpi/PWRF,etc/udhcpc,var/lib/cloud,var/log,usr/lib/tiny}
ln -s ../run "$R/var/run"
cp "$BUSYBOX" "$R/bin/busybox"
chmod 4755 "$R/bin/busybox"
"$BUSYBOX" --list-full | while read -r a; do
    case $a in bin/busybox|dpkg*|*/dpkg|*/dpkg-deb|*/rpm) continue ;; esac
    mkdir -p "$R/$(dirname "$a")"; [ -e "$R/$a" ] || ln -s /bin/busybox "$R/$a"
done
[ -e "$R/sbin/init" ] || ln -s /bin/busybox "$R/sbin/init"
# Programs that need shared libraries, with those libraries.
for b in /usr/sbin/dropbear /usr/bin/dropbearkey /usr/bin/dbclient /sbin/resize2fs; do
    rm -f "$R$b"; install -D -m 755 "$b" "$R$b"
    ldd "$b" | awk '$2=="=>"{print $3} $1~/^\//{print $1}' | while read -r l; do
        [ -e "$R$l" ] || install -D -m 755 "$(readlink -f "$l")" "$R$l"
    done
done
ln -s dbclient "$R/usr/bin/ssh"
copy_modules "$R" virtio_pci virtio_blk virtio_scsi sd_mod sr_mod ata_piix virtio_net \
    virtio-rng virtio_console virtio_balloon evdev button qemu_fw_cfg \
    isofs vfat nls_iso8859-1 nls_utf8 nls_ascii nls_cp437 8021q virtiofs

HASH=$("$BUSYBOX" mkpasswd -m sha512 -S tinysalt tiny)
printf 'root:%s:19000:0:99999:7:::\ntiny:%s:19000:0:99999:7:::\n' "$HASH" "$HASH" > "$R/etc/shadow"
chmod 600 "$R/etc/shadow"
printf 'root:x:0:0:root:/root:/bin/sh\ntiny:x:1000:1000:tiny:/home/tiny:/bin/sh\n' > "$R/etc/passwd"
printf 'root:x:0:\ntiny:x:1000:\n' > "$R/etc/group"
printf '/bin/sh\n' > "$R/etc/shells"
printf 'tiny\n' > "$R/etc/hostname"
printf '127.0.0.1 localhost\n' > "$R/etc/hosts"
printf 'NAME="tiny"\nID=tiny\nVERSION_ID="1"\nPRETTY_NAME="tiny test image (%s)"\n' "$KVER" > "$R/etc/os-release"
printf 'tiny test image \\n \\l\nlog in as tiny (or root), password tiny\n\n' > "$R/etc/issue"
chmod 700 "$R/root" "$R/root/.ssh" "$R/home/tiny/.ssh"
chown -R 1000:1000 "$R/home/tiny" 2>/dev/null || true

cat > "$R/etc/inittab" <<'X'
::sysinit:/etc/init.d/rcS
ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100
tty1::respawn:/sbin/getty 38400 tty1
::ctrlaltdel:/sbin/reboot
::shutdown:/etc/init.d/rcK
X
printf '#!/bin/sh\nsync\numount -a -r 2>/dev/null\n' > "$R/etc/init.d/rcK"
printf '#!/bin/sh\necho "tiny: powerbutton=pressed" > /dev/console\nexec poweroff\n' > "$R/etc/acpi/PWRF/00000080"

# DHCP lease handler: address, routes (option 121 wins over 3), MTU, DNS.
cat > "$R/etc/udhcpc/default.script" <<'X'
#!/bin/sh
case $1 in
deconfig) ip -4 addr flush dev $interface; ip link set $interface up ;;
bound|renew)
    ip -4 addr flush dev $interface
    ip addr add $ip/$mask dev $interface
    [ -n "$mtu" ] && ip link set $interface mtu $mtu
    if [ -n "$staticroutes" ]; then
        set -- $staticroutes
        while [ $# -ge 2 ]; do
            case $2 in
                0.0.0.0) ip route replace $1 dev $interface ;;
                *) ip route replace $1 via $2 dev $interface ;;
            esac
            shift 2
        done
    else
        for r in $router; do ip route replace default via $r dev $interface; break; done
    fi
    : > /etc/resolv.conf
    [ -n "$domain" ] && echo "search $domain" >> /etc/resolv.conf
    for d in $dns; do echo "nameserver $d" >> /etc/resolv.conf; done
    echo "tiny: $interface.lease=$ip/$mask router=${router:-none} dns=${dns:-none} mtu=${mtu:-default} server=${serverid:-?}" > /dev/console
    ;;
esac
X

# Flatten JSON on stdin to lines ".path.to.key=value".
cat > "$R/usr/lib/tiny/json.awk" <<'X'
function ws() { while (substr(s, p, 1) ~ /[ \t\r\n]/) p++ }
function str(  r, c) {
    p++; r = ""
    while ((c = substr(s, p, 1)) != "\"" && c != "") {
        if (c == "\\") { p++; c = substr(s, p, 1); if (c == "n" || c == "t" || c == "r") c = " "; else if (c == "u") { c = "?"; p += 4 } }
        r = r c; p++
    }
    p++; return r
}
function val(path,  k, i, c) {
    ws(); c = substr(s, p, 1)
    if (c == "{") {
        p++; ws(); if (substr(s, p, 1) == "}") { p++; return }
        do { ws(); k = str(); ws(); p++; val(path "." k); ws(); c = substr(s, p, 1); p++ } while (c == ",")
    } else if (c == "[") {
        p++; ws(); i = 0; if (substr(s, p, 1) == "]") { p++; return }
        do { val(path "." i); i++; ws(); c = substr(s, p, 1); p++ } while (c == ",")
    } else if (c == "\"") { print path "=" str() }
    else { k = ""; while ((c = substr(s, p, 1)) != "" && c !~ /[],} \t\r\n]/) { k = k c; p++ } print path "=" k }
}
{ s = s $0 " " }
END { p = 1; val("") }
X

cat > "$R/etc/init.d/rcS" <<'X'
#!/bin/sh
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
mount -t proc proc /proc; mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /run
mount -o remount,rw / 2>/dev/null
say() { echo "tiny: $*"; }
for m in virtio_pci virtio-rng virtio_net virtio_blk virtio_console virtio_balloon \
         virtio_scsi sr_mod evdev button qemu_fw_cfg; do modprobe $m 2>/dev/null; done
resize2fs "$(mount | sed -n 's@^\(/dev/[^ ]*\) on / .*@\1@p' | tail -1)" >/dev/null 2>&1
hostname -F /etc/hostname
ip link set lo up
acpid 2>/dev/null
DS=none DATA=/run/cloud; mkdir -p $DATA
JSON() { awk -f /usr/lib/tiny/json.awk "$1" 2>/dev/null; }
GET() { sed -n "s@^$1=@@p" $DATA/meta.flat | head -1; }

# --- config drive
for d in /dev/sr0 /dev/sr1 /dev/vd? /dev/sd?; do
    [ -b $d ] || continue
    l=$(dd if=$d bs=1 skip=32808 count=8 2>/dev/null)                       # iso9660
    v=$(dd if=$d bs=1 skip=43 count=8 2>/dev/null)                          # fat12/16
    w=$(dd if=$d bs=1 skip=71 count=8 2>/dev/null)                          # fat32
    case "$l|$v|$w" in *[cC][oO][nN][fF][iI][gG]-2*) ;; *) continue ;; esac
    case $l in [cC][oO][nN][fF][iI][gG]-2) t=iso9660; modprobe isofs ;; *) t=vfat; modprobe vfat; modprobe nls_cp437; modprobe nls_ascii ;; esac
    mkdir -p /run/config; mount -t $t -o ro $d /run/config 2>/dev/null || continue
    if [ -e /run/config/openstack/latest/meta_data.json ]; then
        DS=configdrive; say "configdrive=$d type=$t"
        cp /run/config/openstack/latest/* $DATA/ 2>/dev/null
        [ -e $DATA/user_data ] || : > $DATA/user_data
    fi
    break
done

# --- network: static addresses from the config drive, else DHCP on each NIC
dhcp() { # IFACE TRIES
    ip link set $1 up
    udhcpc -i $1 -t $2 -T 2 -A 3 -b -S -R -p /run/udhcpc.$1.pid -s /etc/udhcpc/default.script \
        -O staticroutes -O mtu -V tiny >/dev/null 2>&1
}
[ -e $DATA/network_data.json ] && JSON $DATA/network_data.json > $DATA/net.flat
static_done=
if [ -s $DATA/net.flat ]; then
    for n in 0 1 2 3 4 5 6 7; do
        N() { sed -n "s@^\.networks\.$n\.$1=@@p" $DATA/net.flat | head -1; }
        [ "$(N type)" = ipv4 ] || continue
        li=$(sed -n "s@^\.links\.\([0-9]*\)\.id=$(N link)\$@\1@p" $DATA/net.flat | head -1)
        mac=$(sed -n "s@^\.links\.$li\.ethernet_mac_address=@@p" $DATA/net.flat | tr A-F a-f)
        for i in /sys/class/net/eth*; do
            [ "$(cat $i/address)" = "$mac" ] || continue
            i=${i##*/}; ip link set $i up
            mtu=$(sed -n "s@^\.links\.$li\.mtu=\([0-9]*\)\$@\1@p" $DATA/net.flat); [ -n "$mtu" ] && ip link set $i mtu $mtu
            ip addr add "$(N ip_address)/$(ipcalc -p 0.0.0.0 $(N netmask) | cut -d= -f2)" dev $i
            for r in 0 1 2 3; do
                gw=$(N routes.$r.gateway); [ -n "$gw" ] || continue
                ip route replace $(N routes.$r.network)/$(ipcalc -p 0.0.0.0 $(N routes.$r.netmask) | cut -d= -f2) via $gw dev $i
            done
            static_done="$static_done $i"; say "$i.static=$(N ip_address)"
        done
    done
    sed -n 's@^\.services\..*\.address=@nameserver @p' $DATA/net.flat > /etc/resolv.conf
fi
t=4
for i in /sys/class/net/eth*; do
    [ -e $i ] || continue; i=${i##*/}
    case " $static_done " in *" $i "*) continue ;; esac
    dhcp $i $t; t=1
done

# --- metadata service
# (not wget -T: that option crashes in Debian 12's busybox)
URL=http://169.254.169.254
if [ $DS = none ] && ip route get 169.254.169.254 >/dev/null 2>&1; then
    for n in 1 2 3 4; do
        if timeout 8 wget -q -O $DATA/meta_data.json $URL/openstack/latest/meta_data.json 2>/dev/null; then
            DS=http
            for f in user_data network_data.json vendor_data.json; do
                timeout 8 wget -q -O $DATA/$f $URL/openstack/latest/$f 2>/dev/null || rm -f $DATA/$f
            done
            timeout 8 wget -q -O - $URL/latest/meta-data/ 2>/dev/null | while read -r k || [ -n "$k" ]; do
                case $k in */) v="(dir)" ;; *) v=$(timeout 8 wget -q -O - $URL/latest/meta-data/$k 2>/dev/null | tr '\n' ' ') ;; esac
                say "ec2.$k=$v"
            done
            break
        fi
        sleep 1
    done
fi
say "datasource=$DS"
IID=none
if [ -s $DATA/meta_data.json ]; then
    JSON $DATA/meta_data.json > $DATA/meta.flat
    IID=$(GET .uuid); HN=$(GET .hostname); PW=$(GET .admin_pass)
    [ -n "$HN" ] && { echo "${HN%%.*}" > /etc/hostname; hostname "${HN%%.*}"; echo "127.0.0.1 localhost ${HN%%.*}" > /etc/hosts; }
    OLD=$(cat /var/lib/cloud/instance-id 2>/dev/null)
    say "instance-id=$IID previous=${OLD:-none}"
    sed -n 's@^\.meta\.@tiny: meta.@p' $DATA/meta.flat
    sed -n 's@^\.public_keys\.[^=]*=@@p' $DATA/meta.flat > $DATA/keys
    if [ -s $DATA/keys ]; then
        for h in /root /home/tiny; do cp $DATA/keys $h/.ssh/authorized_keys; chmod 600 $h/.ssh/authorized_keys; done
        chown 1000:1000 /home/tiny/.ssh/authorized_keys
        sed 's@^@tiny: ssh-key=@' $DATA/keys
    fi
    if [ "$OLD" != "$IID" ]; then
        if [ -n "$PW" ]; then
            H=$(mkpasswd -m sha512 "$PW")
            sed -i "s|^\(root\):[^:]*|\1:$H|; s|^\(tiny\):[^:]*|\1:$H|" /etc/shadow && say "admin-pass=set"
        fi
        rm -f /etc/dropbear/*_host_key
    fi
fi
say "hostname=$(hostname)"
for b in vda vdb vdc vdd vde sda sdb sdc; do [ -e /sys/class/block/$b ] && say "disk.$b=$(( $(cat /sys/class/block/$b/size) / 2048 ))MiB serial=$(cat /sys/class/block/$b/serial 2>/dev/null)"; done
say "root-fs=$(df -m / | awk 'END{print $2}')MiB cpus=$(nproc) mem=$(awk '/MemTotal/{print int($2/1024)}' /proc/meminfo)MiB"
for i in /sys/class/net/eth*; do [ -e $i ] && i=${i##*/} && say "$i=$(cat /sys/class/net/$i/address) $(ip -4 -o addr show dev $i | awk '{printf "%s ", $4}')mtu=$(cat /sys/class/net/$i/mtu)"; done
ip route show default | sed 's@^@tiny: route=@'

# --- ssh server, NIC hot-plug watcher, user data
[ -s /etc/dropbear/dropbear_ed25519_host_key ] || dropbearkey -t ed25519 -f /etc/dropbear/dropbear_ed25519_host_key >/dev/null 2>&1
dropbearkey -y -f /etc/dropbear/dropbear_ed25519_host_key | sed -n 's@^Fingerprint: @tiny: host-key=@p'
dropbear -r /etc/dropbear/dropbear_ed25519_host_key -p 22
( while sleep 2; do
    for i in /sys/class/net/eth*; do
        [ -e $i ] || continue; i=${i##*/}
        case " $static_done " in *" $i "*) continue ;; esac
        [ -e /run/udhcpc.$i.pid ] || dhcp $i 3
    done
    for f in /run/udhcpc.*.pid; do i=${f#/run/udhcpc.}; i=${i%.pid}; [ -e $f ] && [ ! -e /sys/class/net/$i ] && { kill $(cat $f) 2>/dev/null; rm -f $f; }; done
  done ) </dev/null >/dev/null 2>&1 &
if [ -s $DATA/user_data ]; then
    say "user-data=$(wc -c < $DATA/user_data) bytes"
    if [ "$(cat /var/lib/cloud/instance-id 2>/dev/null)" != "$IID" ]; then
        case "$(head -c 2 $DATA/user_data)" in
            '#!') chmod 700 $DATA/user_data; mount -o remount,exec /run 2>/dev/null
                  $DATA/user_data </dev/null 2>&1 | sed 's@^@tiny: user-data: @' ;;
        esac
    fi
fi
echo "$IID" > /var/lib/cloud/instance-id
say "uptime=$(cut -d' ' -f1 /proc/uptime)"
say "ready"
X
chmod 755 "$R"/etc/init.d/* "$R/etc/acpi/PWRF/00000080" "$R/etc/udhcpc/default.script"

truncate -s ${ROOT_MIB}M "$W/root.img"
mke2fs -q -t ext4 -b 4096 -L tiny-root -E root_owner=0:0,lazy_itable_init=0 -m 0 -d "$R" "$W/root.img"

# ----------------------------------------------------- boot partition, disk
step "disk"
cp "$W/k/boot/vmlinuz-$KVER" "$W/vmlinuz"
APPEND="root=auto console=tty0 console=ttyS0,115200n8 net.ifnames=0 panic=10 mitigations=off quiet"
cat > "$W/syslinux.cfg" <<X
DEFAULT tiny
PROMPT 0
TIMEOUT 0
LABEL tiny
  KERNEL /vmlinuz
  INITRD /initrd.img
  APPEND $APPEND
X
truncate -s ${BOOT_MIB}M "$W/boot.img"
mkfs.fat -F 16 -h 2048 -n TINYBOOT "$W/boot.img" >/dev/null
mcopy -i "$W/boot.img" "$W/vmlinuz" "$W/initrd.img" "$W/syslinux.cfg" ::/
syslinux --install "$W/boot.img"

truncate -s $((1 + BOOT_MIB + ROOT_MIB))M "$W/disk.raw"
dd if="$(dpkg -L syslinux-common | grep -m1 '/mbr/mbr.bin$')" of="$W/disk.raw" conv=notrunc status=none
# Partition table by hand: p1 active FAT16 (0x0e), p2 Linux (0x83).
le32() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
entry() { printf '%s' "\\x$1\\xfe\\xff\\xff\\x$2\\xfe\\xff\\xff$(le32 "$3")$(le32 "$4")"; }
printf "$(entry 80 0e 2048 $((BOOT_MIB * 2048)))$(entry 00 83 $(((1 + BOOT_MIB) * 2048)) $((ROOT_MIB * 2048)))" |
    dd of="$W/disk.raw" bs=1 seek=446 conv=notrunc status=none
printf '\x55\xaa' | dd of="$W/disk.raw" bs=1 seek=510 conv=notrunc status=none
dd if="$W/boot.img" of="$W/disk.raw" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$W/root.img" of="$W/disk.raw" bs=1M seek=$((1 + BOOT_MIB)) conv=notrunc,sparse status=none

mkdir -p "$(dirname "$OUT")"
if [ $FMT = raw ]; then
    cp --sparse=always "$W/disk.raw" "$OUT.tmp"
else
    qemu-img convert -f raw -O qcow2 -c "$W/disk.raw" "$OUT.tmp"
fi
mv "$OUT.tmp" "$OUT"
[ -z "$KOUT" ] || cp "$W/vmlinuz" "$KOUT"
[ -z "$IOUT" ] || cp "$W/initrd.img" "$IOUT"
echo "$OUT: $(stat -c %s "$OUT") bytes, kernel $KVER, append: $APPEND"
