#!/bin/bash
# Agenta's own runner and chains behind the example's configuration, and by themselves.
#
#   tests/alembic/agenta.sh CHECKOUT [RUNS]     a clone of Agenta's repository; 10 runs for the figures
#
# Shows that empty databases, three starts at once, are migrated by one run of the runner and all three
# become their server; that the schema is the one that the runner makes by itself; that a start at head
# needs no Python, and how long it takes beside the runner; and what becomes of three runners at once.
#
# Needs python3 (3.11 or later) with venv, and a package index. Nothing of the checkout is changed: what
# is committed there is copied. The virtual environment is kept in target/import.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
checkout=${1:?which clone of Agenta}

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
venv=$target/import/agenta
root=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/prelaunch-agenta.XXXXXXXX")")
trap 'rm -rf "$root"' EXIT
chmod 711 "$root"

git -C "$checkout" archive HEAD api/oss api/entrypoints sdks/python clients/python | tar -x -C "$root"
git -C "$checkout" log -1 --format='agenta.sh: Agenta at %h of %cs'
mv "$root/api" "$root/app"
# In the image all is below /app, and the settings say so.
sed -i "s#^script_location = /app/#script_location = $root/app/#" \
    "$root"/app/oss/databases/postgres/migrations/*/alembic.ini

if [ ! -e "$venv/complete" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/agenta.txt" \
        "$root/clients/python" "$root/sdks/python"
    touch "$venv/complete"
fi
cargo build --quiet --release --bin prelaunch

PYTHONDONTWRITEBYTECODE=1 ./test.sh --exec python3 "$here/agenta.py" "$target/release/prelaunch" \
    "$root" "$venv" "${2:-10}"
