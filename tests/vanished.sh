#!/bin/bash
# Cuts the machine of a runner off while it works, and measures how long its successor waits.
#
#   tests/vanished.sh
#
# The runner is in a network namespace, its database outside. Its link goes down: nothing says
# goodbye, and nothing answers the server any more. That is done while a statement runs, and with an
# answer on its way, which the server sends again and again; directly, and through PgBouncer, where
# only the missing beat tells. Fails if a successor takes longer than 60 s. Needs root, iproute2, and
# what ./test.sh needs; takes two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${PRELAUNCH_TEST_POSTGRES:-}" ]; then
    [ "$(id -u)" = 0 ] || { echo "vanished.sh: must be root to make a network namespace" >&2; exit 1; }
    cargo build --quiet --locked
    exec ./test.sh --exec tests/vanished.sh "$@"
fi

readonly LONGEST=60
prelaunch=${CARGO_TARGET_DIR:-$PWD/target}/debug/prelaunch
pgbouncer=$(PATH=$PATH:/usr/sbin command -v pgbouncer)
password=$(sed -E 's|.*postgres:([^@]*)@.*|\1|' <<<"$PRELAUNCH_TEST_POSTGRES")
dir=$(mktemp -d "${TMPDIR:-/tmp}/vanished.XXXXXXXX")
space=prelaunch-$$
link=pl$$
net=10.213.$((RANDOM % 250))
port=$((20000 + RANDOM % 5000))
bouncer=$((port + 1))
runner=

as_server() { (cd / && runuser -u postgres -- "$@"); }

clean_up() {
    local status=$?
    trap - EXIT
    [ -z "$runner" ] || kill -KILL "$runner" 2>/dev/null || true
    [ ! -e "$dir/pgbouncer.pid" ] || kill -INT "$(cat "$dir/pgbouncer.pid")" || true
    as_server "$PRELAUNCH_TEST_PGBIN/pg_ctl" -D "$dir/data" -s -m immediate stop || true
    ip link del "$link" 2>/dev/null || true
    ip netns del "$space" 2>/dev/null || true
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT

# --- two machines, and a server and a pooler on the one that stays ------------------------------

ip netns add "$space"
ip link add "$link" type veth peer name eth0 netns "$space"
ip addr add "$net.1/30" dev "$link"
ip link set "$link" up
ip -n "$space" addr add "$net.2/30" dev eth0

chown postgres: "$dir"
as_server cp -a "$PRELAUNCH_TEST_PGDATA_TEMPLATE" "$dir/data"
echo "host all all $net.0/30 scram-sha-256" >>"$dir/data/pg_hba.conf"
as_server "$PRELAUNCH_TEST_PGBIN/pg_ctl" -D "$dir/data" -s -w -l "$dir/log" \
    -o "-p $port -k $dir -c listen_addresses=$net.1" start
echo "\"postgres\" \"$password\"" >"$dir/users"
cat >"$dir/pgbouncer.ini" <<INI
[databases]
* = host=$net.1 port=$port
[pgbouncer]
listen_addr = $net.1
listen_port = $bouncer
unix_socket_dir =
pool_mode = transaction
auth_type = scram-sha-256
auth_file = $dir/users
logfile = $dir/pgbouncer.log
pidfile = $dir/pgbouncer.pid
INI
chown postgres: "$dir/users" "$dir/pgbouncer.ini"
as_server "$pgbouncer" -q -d "$dir/pgbouncer.ini"

url() { echo "postgres://postgres:$password@$net.1:$1/$2"; }
sql() { psql -X -A -t -q -d "$(url "$port" "$database")" -c "$1"; }

# Waits until a query gives this.
comes() {
    for _ in {1..300}; do
        [ "$(sql "$2")" != "$1" ] || return 0
        sleep 0.1
    done
    echo "vanished.sh: it did not come to this: $2" >&2
    cat "$dir"/*.err >&2
    return 1
}

# --- one case: how, through which port, and how long the statement takes ------------------------

vanish() {
    local what=$1 through=$2 amount=$3 began took
    database=vanished$((++number))
    ip -n "$space" link set eth0 up
    psql -X -q -d "$(url "$port" postgres)" -c "create database $database"
    sql "create table patience (amount integer); insert into patience values ($amount)"
    rm -rf "$dir/migrations"
    mkdir "$dir/migrations"
    cat >"$dir/migrations/a000.sql" <<SQL
-- revision: a000
-- migrate:up
create table effects (what text);
select pg_sleep(amount) from patience;
SQL
    chmod 755 "$dir" "$dir/migrations"
    (cd "$dir" && exec env -i AUTO_MIGRATION=true DATABASE_URL="$(url "$through" "$database")" \
        ip netns exec "$space" "$prelaunch" run 2>first.err) &
    runner=$!
    comes 1 "select count(*) from pg_stat_activity where query like 'select pg_sleep(%' \
             and state = 'active' and datname = current_database()"
    ip -n "$space" link set eth0 down
    began=$(date +%s%N)
    sql "update patience set amount = 0"
    (cd "$dir" && env -i AUTO_MIGRATION=true DATABASE_URL="$(url "$through" "$database")" \
        "$prelaunch" run 2>second.err) || { cat "$dir/second.err" >&2; return 1; }
    took=$((($(date +%s%N) - began) / 100000000))
    kill -KILL "$runner" 2>/dev/null || true
    wait "$runner" 2>/dev/null || true
    runner=
    [ "$(sql "select count(*) from effects, prelaunch_ledger")" = 0 ] ||
        { echo "vanished.sh: the orphan has left something" >&2; return 1; }
    echo "$what: done after $((took / 10)).$((took % 10)) s"
    [ "$took" -le $((LONGEST * 10)) ] || { echo "vanished.sh: longer than $LONGEST s" >&2; return 1; }
}

number=0
vanish "a statement runs" "$port" 600
vanish "an answer is on its way" "$port" 3
vanish "a statement runs, through PgBouncer" "$bouncer" 600
vanish "an answer is on its way, through PgBouncer" "$bouncer" 3
