#!/bin/bash
# Compares what prelaunch reads of public Alembic environments with what Alembic's own loader makes of
# them.
#
#   tests/alembic/readers.sh                         all packages of packages.txt
#   tests/alembic/readers.sh mlflow==3.18.0 …        these
#
# Needs python3 with venv, and a package index: Alembic is installed, and the packages are unpacked
# without what they depend on, in a temporary directory that is gone afterwards (about 300 MB on the
# way). Revision files are run, with everything but SQLAlchemy and Alembic replaced (stub.py). Ends
# with 1 if anything differs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

dir=$(mktemp -d "${TMPDIR:-/tmp}/prelaunch-readers.XXXXXXXX")
trap 'rm -rf "$dir"' EXIT

python3 -m venv "$dir/venv" || {
    echo "readers.sh: python3 cannot make a virtual environment; install python3-venv" >&2
    exit 1
}
pip=("$dir/venv/bin/pip" --quiet --disable-pip-version-check)
"${pip[@]}" install -r "$here/requirements.txt"
cargo build --quiet --example alembic

packages=("$@")
[ ${#packages[@]} -gt 0 ] || mapfile -t packages < <(grep -v '^#' "$here/packages.txt")
for package in "${packages[@]}"; do
    name=${package%%==*}
    "${pip[@]}" download --no-deps --only-binary :all: --dest "$dir/wheels/$name" "$package"
    "$dir/venv/bin/python" -m zipfile -e "$dir/wheels/$name"/*.whl "$dir/packages/$name"
    rm -r "$dir/wheels/$name"
done

PYTHONDONTWRITEBYTECODE=1 "$dir/venv/bin/python" "$here/readers.py" \
    "$(realpath "${CARGO_TARGET_DIR:-target}")/debug/examples/alembic" "$dir"/packages/*
