#!/usr/bin/env bash
# Builds compose 2, which Debian 12 does not have, and prints its path: for COMPOSE in run.sh.
#
# Needs Go; takes some minutes. `go install` does not take it, for the exclusions in its go.mod.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly version=v2.40.3
out=$PWD/target/containers/docker-compose-$version
if [ ! -x "$out" ]; then
    sources=$(mktemp -d)
    trap 'rm -rf "$sources"' EXIT
    cached=$(go mod download -json "github.com/docker/compose/v2@$version" |
        sed -n 's/^\s*"Dir": "\(.*\)",$/\1/p')
    cp -r "$cached/." "$sources"
    chmod -R u+w "$sources"
    mkdir -p "${out%/*}"
    (cd "$sources" && go build -o "$out" ./cmd) >&2
fi
echo "$out"
