# A Docker engine of our own, beside whatever else runs. To be sourced by run.sh.
#
# Its images stay in target/containers, so that a second run need not make them again; all else is
# in $dir and ends with the run. It has a bridge and networks of its own. It is ended by its pid.

readonly state=$PWD/target/containers
readonly bridge=prelaunch0

# What is missing of these commands' packages; `docker.io` brings BuildKit, which an older client
# elsewhere on the PATH may not ask for.
install_missing() {
    local missing=() package command
    while read -r package command; do
        [ -e "$command" ] || missing+=("$package")
    done <<'PACKAGES'
docker.io /usr/sbin/dockerd
iptables /usr/sbin/iptables
iproute2 /usr/bin/ip
docker-compose /usr/bin/docker-compose
debootstrap /usr/sbin/debootstrap
podman /usr/bin/podman
runc /usr/sbin/runc
catatonit /usr/bin/catatonit
netavark /usr/lib/podman/netavark
aardvark-dns /usr/lib/podman/aardvark-dns
python3-venv /usr/share/python-wheels
qemu-user-static /usr/bin/qemu-aarch64-static
PACKAGES
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installs ${missing[*]}"
    local deny=/usr/sbin/policy-rc.d denied=
    apt-get update -qq
    # The packages must not start an engine of theirs.
    if [ ! -e $deny ]; then
        printf '#!/bin/sh\nexit 101\n' >$deny
        chmod 755 $deny
        denied=1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
    [ -z "$denied" ] || rm $deny
}

start_engine() {
    export DOCKER_HOST=unix://$dir/docker.sock
    export DOCKER_BUILDKIT=1
    ip link show $bridge >/dev/null 2>&1 || ip link add $bridge type bridge
    ip address replace 172.31.255.1/24 dev $bridge
    ip link set $bridge up
    mkdir -p "$state"
    # Whatever the engine of this machine is told in /etc is not for us.
    echo "{}" >"$dir/daemon.json"
    PATH=/usr/sbin:/usr/bin:/sbin:/bin dockerd --data-root "$state/docker" \
        --exec-root "$dir/exec" --pidfile "$dir/docker.pid" --host "$DOCKER_HOST" \
        --bridge $bridge --default-address-pool base=172.31.0.0/17,size=24 \
        --config-file "$dir/daemon.json" >"$dir/dockerd.log" 2>&1 &
    engine=$!
    for _ in {1..300}; do
        ! docker info >/dev/null 2>&1 || return 0
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$dir/dockerd.log" >&2
    say "dockerd does not start; it needs root and the rights to mount and to make networks"
    return 1
}

stop_engine() {
    [ -n "${engine:-}" ] || return 0
    local running
    running=$(docker ps -q 2>/dev/null) || running=
    # shellcheck disable=SC2086 # each is an argument
    [ -z "$running" ] || docker kill $running >/dev/null 2>&1 || true
    docker container prune -f >/dev/null 2>&1 || true
    docker network prune -f >/dev/null 2>&1 || true
    docker volume prune -f >/dev/null 2>&1 || true
    kill -TERM "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
    ip link delete $bridge 2>/dev/null || true
}
