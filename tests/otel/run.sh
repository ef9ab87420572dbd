#!/bin/bash
# Shows that the traces of prelaunch are what OTLP over HTTP with JSON says they are.
#
#   tests/otel/run.sh             parsed as OTLP's own protobuf messages, by Google's parser
#   tests/otel/run.sh --go        and by the package with which OpenTelemetry's collector reads them
#
# Needs python3 with venv and a package index; for the other one Go and a module proxy. What is
# installed goes into a temporary directory and is gone afterwards.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

dir=$(mktemp -d "${TMPDIR:-/tmp}/prelaunch-otel.XXXXXXXX")
trap 'rm -rf "$dir"' EXIT

python3 -m venv "$dir/venv" || {
    echo "run.sh: python3 cannot make a virtual environment; install python3-venv" >&2
    exit 1
}
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"

parser=()
if [ "${1:-}" = --go ]; then
    mkdir "$dir/go"
    cp "$here/parse.go" "$dir/go/main.go"
    (cd "$dir/go" && go mod init parse && go get go.opentelemetry.io/collector/pdata@v1.69.0 &&
        go mod tidy && go build -o parse .) >"$dir/go/log" 2>&1 || { cat "$dir/go/log" >&2; exit 1; }
    parser=("$dir/go/parse")
fi

cargo build --quiet --features otel --bin prelaunch
"$dir/venv/bin/python" "$here/check.py" "${CARGO_TARGET_DIR:-target}/debug/prelaunch" "${parser[@]}"
