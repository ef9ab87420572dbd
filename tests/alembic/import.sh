#!/bin/bash
# Imports Alembic environments as scripts, and holds them against Alembic.
#
#   tests/alembic/import.sh            small environments that are made of traps, with the newest
#                                      SQLAlchemy and with 1.4; and argilla-server
#   tests/alembic/import.sh traps      the former alone
#
# Needs python3 with venv, and a package index. Virtual environments are kept in target/import, since
# argilla-server takes its time to install; what else is made is gone afterwards. Ends with 1 if
# something is not as expected.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

what=${1:-all}
source "$here/installed.sh"

installed alembic -r "$here/requirements.txt" psycopg2-binary==2.9.13
installed alembic-1.9 alembic==1.9.4 SQLAlchemy==1.4.54 psycopg2-binary==2.9.13
[ "$what" = traps ] || install_argilla
cargo build --quiet --bin prelaunch

PYTHONDONTWRITEBYTECODE=1 ./test.sh --exec python3 "$here/importing.py" "$target/debug/prelaunch" \
    "$target/import/argilla-server-2.8.0" "$what" "$target/import/alembic/bin/python" \
    "$target/import/alembic-1.9/bin/python"
