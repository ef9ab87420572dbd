#!/bin/bash
# Sets up what the tests need, runs them, and takes everything down again.
#
#   ./test.sh                     all tests
#   ./test.sh an_older_image      those whose name contains the words
#   ./test.sh -- --nocapture      flags for the test programs
#   BLESS=1 ./test.sh cases       writes the words that were found as those that are expected
#   ./test.sh --exec COMMAND …    a command beside the servers, such as a benchmark
#
# On Debian 12 with a Rust toolchain nothing else is needed: missing packages are installed (with
# sudo, if need be), and no service of theirs is started. One throwaway PostgreSQL with a PgBouncer
# in front of it serves all tests; tests that stop or crash servers start their own from the same
# template. Everything is in one temporary directory, which is removed at the end.
#
# PRELAUNCH_TEST_PGBIN=/directory/of/initdb tests against another PostgreSQL than the newest there.
set -euo pipefail
cd "$(dirname "$0")"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

newest_postgres() {
    local found=(/usr/lib/postgresql/*/bin/initdb)
    [ -x "${found[0]}" ] || return 0
    dirname "$(printf '%s\n' "${found[@]}" | sort -V | tail -n 1)"
}

# Installs what is missing, and keeps the packages from starting services of their own.
install_missing() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v sqlite3 >/dev/null || missing+=(sqlite3)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v groff >/dev/null || missing+=(groff-base)
    command -v psql >/dev/null || missing+=(postgresql-client)
    [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || missing+=(pgbouncer)
    [ -n "${PRELAUNCH_TEST_PGBIN:-$(newest_postgres)}" ] || missing+=(postgresql)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -gt 0 ] || return 0

    echo "test.sh: installs ${missing[*]}" >&2
    local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends)
    local deny=/usr/sbin/policy-rc.d denied=
    as_root apt-get update -qq
    if [ ! -e $deny ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $deny >/dev/null
        as_root chmod 755 $deny
        denied=1
    fi
    if [[ " ${missing[*]} " == *" postgresql "* ]]; then
        "${apt[@]}" postgresql-common >&2
        as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
    fi
    "${apt[@]}" "${missing[@]}" >&2
    [ -z "$denied" ] || as_root rm $deny
}

install_missing
pgbin=${PRELAUNCH_TEST_PGBIN:-$(newest_postgres)}
pgbouncer=$(PATH=$PATH:/usr/sbin command -v pgbouncer)

dir=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/prelaunch-tests.XXXXXXXX")")

# Ends a process by the id in a file, and waits until it is gone.
end() {
    local signal=$1 file=$2 pid
    pid=$(head -n 1 "$file" 2>/dev/null) || return 0
    kill "-$signal" "$pid" 2>/dev/null || return 0
    for _ in {1..100}; do
        # What has ended may stay a zombie, where the first process of a container does not reap.
        grep -qs '^State:.[^Z]' "/proc/$pid/status" || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

clean_up() {
    local status=$? file
    trap - EXIT
    trap '' INT TERM HUP
    end TERM "$dir/pgbouncer.pid"
    # Ours, and those of tests that did not come to their end.
    while IFS= read -r file; do
        end QUIT "$file"
    done < <(find "$dir" -name postmaster.pid -not -empty)
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# PostgreSQL refuses to run as root, and PgBouncer too.
if [ "$(id -u)" = 0 ]; then
    chown postgres: "$dir"
    as_server() { (cd "$dir" && runuser -u postgres -- "$@"); }
else
    as_server() { (cd "$dir" && "$@"); }
fi
# Servers and tests may pass through, but others cannot list it.
chmod 711 "$dir"

password=$(od -An -N 12 -tx1 /dev/urandom | tr -d ' \n')
template=$dir/template
as_server touch "$dir/password"
as_server chmod 600 "$dir/password"
echo "$password" >"$dir/password"
as_server "$pgbin/initdb" -D "$template" -U postgres -A scram-sha-256 --pwfile="$dir/password" \
    -E UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1 ||
    { cat "$dir/initdb.log" >&2; exit 1; }
# No syncs, since nothing needs to outlive a power cut; a server that a test crashes keeps what was
# committed all the same.
cat >>"$template/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
max_connections = 200
fsync = off
full_page_writes = off
autovacuum_naptime = 1h
log_line_prefix = '%m [%p] %a '
timezone = 'UTC'
CONF
as_server cp -a "$template" "$dir/cluster"

# Ports below those that the kernel gives to outgoing connections; another one if it is taken.
start_postgres() {
    for _ in {1..20}; do
        port=$((20000 + RANDOM % 12000))
        if as_server "$pgbin/pg_ctl" -D "$dir/cluster" -s -w -l "$dir/postgres.log" \
            -o "-p $port -k $dir" start >/dev/null 2>&1; then
            return 0
        fi
        grep -q 'Address already in use' "$dir/postgres.log" || break
    done
    cat "$dir/postgres.log" >&2
    return 1
}

# Clients log in with SCRAM, and PgBouncer with their keys behind them: it knows no password but
# that of the superuser, with which it looks them up.
start_pgbouncer() {
    as_server touch "$dir/pgbouncer.ini" "$dir/pgbouncer.users"
    as_server chmod 600 "$dir/pgbouncer.ini" "$dir/pgbouncer.users"
    echo "\"postgres\" \"$password\"" >"$dir/pgbouncer.users"
    for _ in {1..20}; do
        bouncer=$((20000 + RANDOM % 12000))
        cat >"$dir/pgbouncer.ini" <<CONF
[databases]
* = host=127.0.0.1 port=$port

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $bouncer
unix_socket_dir =
pool_mode = transaction
default_pool_size = 5
auth_type = scram-sha-256
auth_file = $dir/pgbouncer.users
auth_user = postgres
logfile = $dir/pgbouncer.log
pidfile = $dir/pgbouncer.pid
CONF
        as_server "$pgbouncer" -q -d "$dir/pgbouncer.ini" >"$dir/pgbouncer.out" 2>&1 || true
        for _ in {1..50}; do
            if PGPASSWORD=$password psql -X -q -t -c 'select 1' \
                "postgres://postgres@127.0.0.1:$bouncer/postgres" >/dev/null 2>&1; then
                return 0
            fi
            [ -e "$dir/pgbouncer.pid" ] || break
            sleep 0.1
        done
    done
    cat "$dir/pgbouncer.out" "$dir/pgbouncer.log" >&2
    return 1
}

# Alembic with a driver, for images whose revisions are its own; made once.
get_alembic() {
    local wanted
    wanted=$(cat tests/alembic/requirements.txt tests/alembic/driver.txt)
    if [ "$(cat "$venv/wanted" 2>/dev/null)" != "$wanted" ]; then
        echo "test.sh: installs Alembic into $venv" >&2
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check \
            -r tests/alembic/requirements.txt -r tests/alembic/driver.txt >&2
        printf '%s\n' "$wanted" >"$venv/wanted"
    fi
}
venv=$PWD/target/test-venv
get_alembic

start_postgres
start_pgbouncer

mkdir -m 711 "$dir/tests"
export TMPDIR=$dir/tests
# Tests wait more than they work.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-8}
export PRELAUNCH_TEST_PGBIN=$pgbin
export PRELAUNCH_TEST_VENV=$venv
export PRELAUNCH_TEST_PGDATA_TEMPLATE=$template
export PRELAUNCH_TEST_POSTGRES=postgres://postgres:$password@127.0.0.1:$port/postgres
export PRELAUNCH_TEST_PGBOUNCER=postgres://postgres:$password@127.0.0.1:$bouncer/postgres

if [ "${1:-}" = --exec ]; then
    shift
    "$@"
else
    cargo test --lib --bins --tests --examples "$@"
fi
