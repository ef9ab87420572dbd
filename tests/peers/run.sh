#!/bin/bash
# Gives the same job to two processes at once: of Alembic, of sqlx-cli, of dbmate, and of prelaunch.
# Prints how each of them ended, and what is in the database afterwards.
#
#   tests/peers/run.sh              four rounds
#   tests/peers/run.sh 10           so many
#
# The job is three migrations: a table, a row with a pause of a second, and an index that is built
# concurrently. Done once it leaves one row and one valid index. Rounds alternate: in one the database
# is empty, in the other it has the table already.
#
# The peers are installed in target/peers, once: Alembic and psycopg from PyPI, dbmate from npm,
# sqlx-cli from crates.io (some minutes). The servers are those of ./test.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${PRELAUNCH_TEST_POSTGRES:-}" ]; then
    peers=$PWD/target/peers
    mkdir -p "$peers"
    [ -x "$peers/venv/bin/alembic" ] || {
        python3 -m venv "$peers/venv"
        "$peers/venv/bin/pip" install --quiet --disable-pip-version-check \
            'alembic==1.18.*' 'psycopg[binary]==3.*'
    }
    [ -x "$peers/node_modules/.bin/dbmate" ] ||
        npm install --silent --no-audit --no-fund --prefix "$peers" 'dbmate@2' >&2
    [ -x "$peers/sqlx/bin/sqlx" ] || nice cargo install --quiet --locked --root "$peers/sqlx" \
        --no-default-features --features postgres,rustls sqlx-cli@0.9.0
    cargo build --quiet --locked
    exec ./test.sh --exec tests/peers/run.sh "$@"
fi

rounds=${1:-4}
peers=$PWD/target/peers
prelaunch=${CARGO_TARGET_DIR:-$PWD/target}/debug/prelaunch
dir=$(mktemp -d "${TMPDIR:-/tmp}/peers.XXXXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"

table='create table effects (what text)'
row="insert into effects values ('once')"
pause='select pg_sleep(1)'
index='create index concurrently effects_what on effects (what)'

# --- the same job in four notations -------------------------------------------------------------

mkdir -p alembic/versions sqlx dbmate prelaunch
cat >alembic.ini <<'INI'
[alembic]
script_location = %(here)s/alembic
INI
cat >alembic/env.py <<'PY'
import os
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
PY
previous=None
number=0
for body in "op.execute('$table')" \
    "op.execute(\"$row\"); op.execute('$pause')" \
    "exec('with op.get_context().autocommit_block(): op.execute(\"$index\")')"; do
    number=$((number + 1))
    {
        echo "from alembic import op"
        echo "revision = 'a00$number'"
        echo "down_revision = $previous"
        echo "def upgrade():"
        echo "    $body"
        echo "def downgrade(): pass"
    } >"alembic/versions/a00$number.py"
    previous="'a00$number'"
done

printf '%s;\n' "$table" >sqlx/1_table.sql
printf '%s;\n%s;\n' "$row" "$pause" >sqlx/2_row.sql
printf -- '-- no-transaction\n%s;\n' "$index" >sqlx/3_index.sql

printf -- '-- migrate:up\n%s;\n-- migrate:down\n' "$table" >dbmate/1_table.sql
printf -- '-- migrate:up\n%s;\n%s;\n-- migrate:down\n' "$row" "$pause" >dbmate/2_row.sql
printf -- '-- migrate:up transaction:false\n%s;\n-- migrate:down\n' "$index" >dbmate/3_index.sql

printf -- '-- revision: a001\n-- migrate:up\n%s;\n' "$table" >prelaunch/a001.sql
printf -- '-- revision: a002\n-- revises: a001\n-- migrate:up\n%s;\n%s;\n' "$row" "$pause" \
    >prelaunch/a002.sql
printf -- '-- revision: a003\n-- revises: a002\n-- transaction: false\n-- migrate:up\n%s;\n' \
    "$index" >prelaunch/a003.sql

# --- one of the two processes -------------------------------------------------------------------

migrate() {
    case $1 in
        alembic) "$peers/venv/bin/alembic" -c alembic.ini upgrade head ;;
        sqlx) "$peers/sqlx/bin/sqlx" migrate run --source sqlx --database-url "$DATABASE_URL" ;;
        dbmate) "$peers/node_modules/.bin/dbmate" --migrations-dir dbmate --no-dump-schema migrate ;;
        prelaunch) AUTO_MIGRATION=true MIGRATIONS_DIR=prelaunch "$prelaunch" run ;;
    esac
}

# What an end was: an exit code, or that it had to be ended.
ending() {
    case $1 in
        0) echo "succeeds" ;;
        124) echo "hangs (ended after 30 s)" ;;
        *) echo "fails ($1)" ;;
    esac
}

ask() { psql -X -A -t -q -d "${DATABASE_URL/+psycopg/}" -c "$1" 2>/dev/null || echo "none"; }

export -f migrate
export peers prelaunch

for tool in alembic sqlx dbmate prelaunch; do
    case $tool in
        alembic) version=$("$peers/venv/bin/alembic" --version) ;;
        sqlx) version=$("$peers/sqlx/bin/sqlx" --version) ;;
        dbmate) version=$("$peers/node_modules/.bin/dbmate" --version) ;;
        prelaunch) version=$("$prelaunch" --version) ;;
    esac
    case $tool in
        alembic) later=(alembic/versions/a00[23].py) ;;
        prelaunch) later=(prelaunch/a00[23].sql) ;;
        *) later=($tool/[23]_*.sql) ;;
    esac
    echo "== $version"
    for round in $(seq "$rounds"); do
        name=peers_${tool}_$round
        psql -X -q -d "$PRELAUNCH_TEST_POSTGRES" -c "create database $name"
        export DATABASE_URL="${PRELAUNCH_TEST_POSTGRES%/*}/$name"
        [ $tool != dbmate ] || DATABASE_URL+='?sslmode=disable'
        [ $tool != alembic ] || DATABASE_URL=postgresql+psycopg${DATABASE_URL#postgres}
        on=empty
        if [ $((round % 2)) = 0 ]; then
            on=begun
            aside=$(mktemp -d "$dir/aside.XXXX")
            mv "${later[@]}" "$aside"
            timeout 30 bash -c "migrate $tool" >first.log 2>&1 </dev/null
            mv "$aside"/* "${later[0]%/*}"
        fi
        pids=()
        for which in first second; do
            timeout 30 bash -c "migrate $tool" >"$which.log" 2>&1 </dev/null &
            pids+=($!)
        done
        ends=()
        for pid in "${pids[@]}"; do
            code=0
            wait "$pid" || code=$?
            ends+=("$(ending "$code")")
        done
        rows=$(ask "select count(*) from effects where what = 'once'")
        valid=$(ask "select case when indisvalid then 'valid' else 'INVALID' end from pg_index
                     where indexrelid = to_regclass('effects_what')")
        echo "$on: one ${ends[0]}, the other ${ends[1]}; rows: $rows; index: ${valid:-none}"
        for which in first second; do
            grep -ihE 'error|failed|deadlock|duplicate' "$which.log" | grep -v '^Traceback' |
                sed -E 's/^/    /; s/(.{150}).*/\1…/' | tail -n 1 || true
        done
    done
done
