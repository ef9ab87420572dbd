#!/bin/bash
# Compares our routes with Alembic's own steps on random graphs.
#
#   tests/alembic/run.sh                  2,000 cases
#   tests/alembic/run.sh --long           10,000 cases
#   tests/alembic/run.sh 500 --seed 7     so many, others
#   tests/alembic/run.sh --show 'NAME-n'  prints cases whose verdict contains the words
#
# Needs python3 with venv, and a package index for Alembic itself, which goes into a temporary
# directory and is gone afterwards. Ends with 1 if a difference is found that is not of a kind that
# docs/alembic-differences.md explains.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

cases=2000
case "${1:-}" in
--long) cases=10000 && shift ;;
[0-9]*) cases=$1 && shift ;;
esac

dir=$(mktemp -d "${TMPDIR:-/tmp}/prelaunch-alembic.XXXXXXXX")
trap 'rm -rf "$dir"' EXIT

python3 -m venv "$dir/venv" || {
    echo "run.sh: python3 cannot make a virtual environment; install python3-venv" >&2
    exit 1
}
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
cargo build --quiet --example plan

# The order in which Alembic takes two dependencies of one revision varies with the hash seed.
PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 "$dir/venv/bin/python" "$here/compare.py" \
    "${CARGO_TARGET_DIR:-target}/debug/examples/plan" --cases "$cases" "$@"
