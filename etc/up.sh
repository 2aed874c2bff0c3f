#!/bin/bash
# etc/up.sh up|down|purge|restart -- starts Nuvolet on this machine, with a first image and a first server; stops it; removes it.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
bin=$PWD/build/nuvolet
conf=/etc/nuvolet/nuvolet.conf state=/var/lib/nuvolet run=/run/nuvolet log=/var/log/nuvolet
image=${NUVOLET_IMAGE:-/var/cache/nuvolet/tiny.qcow2}

[ "$(id -u)" = 0 ] || { echo "This needs root: sudo make ${1:-up}" >&2; exit 1; }
say() { printf '\033[1m  %-7s\033[0m %s\n' "$1" "$2"; }
die() { printf '\n%s\n' "$*" >&2; exit 1; }
alive() { # NAME: the process that we started under that name still runs
    local p; p=$(cat "$run/$1.pid" 2>/dev/null) && [ "$(readlink "/proc/$p/exe" 2>/dev/null | sed 's/ (deleted)//')" = "$bin" ]
}
start() { # NAME ARG...: in the background, with its own log
    local name=$1; shift
    alive "$name" && return
    setsid "$bin" "$@" >>"$log/$name.log" 2>&1 </dev/null &
    echo $! >"$run/$name.pid"
}
stop() {
    alive "$1" || { rm -f "$run/$1.pid"; return 0; }
    local p; p=$(cat "$run/$1.pid")
    kill "$p"
    for _ in $(seq 100); do [ -e "/proc/$p" ] || break; sleep 0.1; done
    [ -e "/proc/$p" ] && kill -KILL "$p"
    rm -f "$run/$1.pid"
}
wait_for() { # SECONDS WHAT CMD...
    local n=$(($1 * 10)) what=$2; shift 2
    for _ in $(seq "$n"); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    die "$what did not come up. See $log/*.log"
}
url() { # where the API answers
    local a p; a=$("$bin" ctl conf api.address) p=$("$bin" ctl conf api.port)
    [ "$a" = 0.0.0.0 ] && a=127.0.0.1
    echo "http://$a:$p"
}

daemons() {
    getent passwd nuvolet >/dev/null || useradd --system --home-dir $state --no-create-home --shell /usr/sbin/nologin nuvolet
    mkdir -p /etc/nuvolet $state $run $log
    chmod 0755 $run; chmod 0750 $log
    [ -e $conf ] || install -m 0644 etc/nuvolet.conf $conf
    etc/libvirtd.sh start
    start agent agent
    start serve serve
    wait_for 20 "The API" curl -fsS --max-time 2 "$(url)/healthcheck"
    wait_for 60 "The agent" sh -c "'$bin' ctl status --json | jq -e '.agents[0].up and .hosts[0].vcpus > 0'"
}

# One API call as the demo user: api METHOD SERVICE/PATH [curl options]
api() { local m=$1 p=$2; shift 2; curl -fsS --max-time 600 -X "$m" -H "X-Auth-Token: $token" -H 'Content-Type: application/json' -H 'OpenStack-API-Version: compute 2.93' "$base/$p" "$@"; }
login() { # USER PROJECT
    . "$state/$1-openrc"
    token=$(curl -fsS -D - -o /dev/null -H 'Content-Type: application/json' "$base/identity/v3/auth/tokens" -d "$(jq -n \
        --arg u "$OS_USERNAME" --arg p "$OS_PASSWORD" --arg j "$OS_PROJECT_NAME" \
        '{auth:{identity:{methods:["password"],password:{user:{name:$u,password:$p,domain:{id:"default"}}}},scope:{project:{name:$j,domain:{id:"default"}}}}}')" |
        tr -d '\r' | sed -n 's/^x-subject-token: //Ip')
    [ -n "$token" ] || die "Could not log in as $1"
}

first_image() {
    login admin
    [ "$(api GET 'image/v2/images?name=tiny&status=active' | jq '.images | length')" = 0 ] || return 0
    # The user's own is taken as it is; ours is built again when its recipe has changed.
    [ "${NUVOLET_IMAGE:-}" = "$image" ] || [ "$image" -nt tests/images/build-tiny-image.sh ] || { say IMAGE "building a small bootable image from Debian packages (once, about half a minute)"; etc/packages.sh image; tests/images/build-tiny-image.sh "$image"; }
    local id
    id=$(api POST image/v2/images -d '{"name":"tiny","disk_format":"qcow2","container_format":"bare","visibility":"public"}' | jq -r .id)
    api PUT "image/v2/images/$id/file" -H 'Content-Type: application/octet-stream' --data-binary @- <"$image" >/dev/null 2>&1 ||
        curl -fsS -X PUT -H "X-Auth-Token: $token" -H 'Content-Type: application/octet-stream' -T "$image" "$base/image/v2/images/$id/file"
    say IMAGE "tiny ($(du -h "$image" | cut -f1)) registered"
}

key_and_rules() { # a key pair in ~/.ssh of whoever called sudo, and ssh and ping let in
    local home user=${SUDO_USER:-root}
    home=$(getent passwd "$user" | cut -d: -f6)
    key=$home/.ssh/nuvolet_ed25519
    if [ ! -e "$key" ]; then
        install -d -m 0700 -o "$user" -g "$(id -g "$user")" "$home/.ssh"
        ssh-keygen -q -t ed25519 -N '' -C nuvolet -f "$key"
        chown "$user:" "$key" "$key.pub"
    fi
    api GET compute/v2.1/os-keypairs/nuvolet >/dev/null 2>&1 ||
        api POST compute/v2.1/os-keypairs -d "$(jq -n --arg k "$(cat "$key.pub")" '{keypair:{name:"nuvolet",type:"ssh",public_key:$k}}')" >/dev/null
    local g
    g=$(api GET 'network/v2.0/security-groups?name=default' | jq -r '.security_groups[0].id')
    api POST network/v2.0/security-group-rules -d "{\"security_group_rule\":{\"security_group_id\":\"$g\",\"direction\":\"ingress\",\"protocol\":\"tcp\",\"port_range_min\":22,\"port_range_max\":22}}" >/dev/null 2>&1 || true
    api POST network/v2.0/security-group-rules -d "{\"security_group_rule\":{\"security_group_id\":\"$g\",\"direction\":\"ingress\",\"protocol\":\"icmp\"}}" >/dev/null 2>&1 || true
}

first_server() {
    login demo
    key_and_rules
    local id n img flavor status
    # One that an earlier `up` could not start is made again: its cause may be mended.
    id=$(api GET 'compute/v2.1/servers?name=first&status=ERROR' | jq -r '.servers[0].id // empty')
    if [ -n "$id" ]; then
        api DELETE "compute/v2.1/servers/$id"
        for _ in $(seq 300); do [ "$(api GET 'compute/v2.1/servers?name=first' | jq '.servers | length')" = 0 ] && break; sleep 0.1; done
    fi
    n=$(api GET 'compute/v2.1/servers' | jq '.servers | length')
    if [ "$n" = 0 ]; then
        img=$(api GET 'image/v2/images?name=tiny' | jq -r '.images[0].id')
        flavor=$(api GET compute/v2.1/flavors | jq -r '.flavors[] | select(.name=="m1.nano") | .id')
        net=$(api GET 'network/v2.0/networks?name=public' | jq -r '.networks[0].id')
        id=$(api POST compute/v2.1/servers -d "{\"server\":{\"name\":\"first\",\"imageRef\":\"$img\",\"flavorRef\":\"$flavor\",\"key_name\":\"nuvolet\",\"networks\":[{\"uuid\":\"$net\"}]}}" | jq -r .server.id)
    else
        id=$(api GET 'compute/v2.1/servers?name=first' | jq -r '.servers[0].id // empty')
    fi
    [ -n "$id" ] || return 0
    address=
    for _ in $(seq 600); do
        status=$(api GET "compute/v2.1/servers/$id" | jq -r .server.status)
        [ "$status" = BUILD ] || break
        sleep 0.1
    done
    address=$(api GET "compute/v2.1/servers/$id" | jq -r '[.server.addresses[][].addr][0] // empty')
    [ "$n" = 0 ] || return 0
    [ "$status" = ACTIVE ] || { api GET "compute/v2.1/servers/$id" | jq -r '.server.fault.message // empty' >&2; die "The first server is $status."; }
    say SERVER "first is ACTIVE at $address; its console:"
    local seen=0 text lines
    for _ in $(seq 480); do
        text=$(api POST "compute/v2.1/servers/$id/action" -d '{"os-getConsoleOutput":{}}' | jq -r .output | tr -d '\r')
        lines=${text:$seen}
        lines=${lines%$'\n'*}
        [ "$lines" = "${text:$seen}" ] || { printf '%s\n' "$lines" | sed 's/^/          | /'; seen=$((seen + ${#lines} + 1)); }
        case $text in *"tiny: ready"$'\n'*) break ;; esac
        sleep 0.5
    done
}

up() {
    [ -x "$bin" ] || die "Build first: make"
    etc/packages.sh run
    daemons
    base=$(url)
    first_image
    address=
    first_server
    say READY "Nuvolet is up."
    cat <<X

          API and dashboard   $base/            $base/dashboard/
          Credentials         source <(sudo cat $state/demo-openrc)      (or admin-openrc)
          Then                openstack server list        (Debian: apt install python3-openstackclient)
${address:+          The first server    ssh -i $key root@$address
}          Stop, remove        sudo make down               sudo make purge
X
}

down() { # [--clear|--purge]
    stop serve
    stop agent
    # The guests and networks of this cloud go; disks, images and rows stay, and come back with the next `up`.
    [ -x "$bin" ] && "$bin" agent "${1:---clear}" >>"$log/agent.log" 2>&1 || true
    etc/libvirtd.sh stop
}

purge() {
    # Guests that were shut down before are still defined in libvirt.
    [ ! -d $state ] || { mkdir -p $log; etc/libvirtd.sh start; }
    down --purge
    local d
    for d in $state $run $log /etc/nuvolet; do
        [ ! -d $d ] || find $d -mindepth 1 -delete
        rmdir $d 2>/dev/null || true             # it may be a mount point of yours
    done
    find /var/log/libvirt/qemu -maxdepth 1 -name 'nuvolet-*.log' -delete 2>/dev/null || true
    ! getent passwd nuvolet >/dev/null || userdel nuvolet || say PURGE "the user nuvolet stays: something else runs as it"
    say PURGE "removed $state, $run, $log, /etc/nuvolet, and the user nuvolet where nobody else is it; kept the key for the first server and $image"
}

main() {
    case ${1:-} in
        up) up ;;
        down) down; say DOWN "stopped; data stays in $state" ;;
        purge) purge ;;
        *) sed -n '2p' etc/up.sh; exit 2 ;;
    esac
}
main "$@"
exit
