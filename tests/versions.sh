#!/bin/bash
# Runs the tests against other major versions of PostgreSQL, and says which of them hold.
#
#   tests/versions.sh              what depends on the server, on 14, 15, 16, 17 and 18
#   tests/versions.sh 14 18        on these
#   ALL=1 tests/versions.sh 17     the whole suite
#
# 15 is Debian's where it is there; tests/postgres.sh installs the others. Words after `--` go to
# `cargo test`, as filters and flags: tests/versions.sh 18 -- fence::
set -uo pipefail
cd "$(dirname "$0")/.."

majors=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    majors+=("$1")
    shift
done
[ $# -eq 0 ] || shift
[ ${#majors[@]} -gt 0 ] || majors=(14 15 16 17 18)

# Locks, queues, orphans, commits, timeouts, the ledger, poolers, rights, signals, and whole starts.
filters=(--test it -- boot:: cases:: commit:: concurrently:: conformance:: ddl_locks:: fence::
    limits:: misbehaving:: orphans:: pooler:: replicas:: rights:: signals:: tls:: wait::)
[ -z "${ALL:-}" ] || filters=()
[ $# -eq 0 ] || filters=(--test it -- "$@")

failed=0
declare -A result
for major in "${majors[@]}"; do
    bin=/usr/lib/postgresql/$major/bin
    [ -x "$bin/initdb" ] || bin=$(tests/postgres.sh "$major") || exit 1
    log=target/versions-$major.log
    began=$SECONDS
    echo "versions.sh: PostgreSQL $major, $bin" >&2
    if PRELAUNCH_TEST_PGBIN=$bin ./test.sh "${filters[@]}" >"$log" 2>&1; then
        result[$major]=holds
    else
        result[$major]=FAILS
        failed=1
        grep -E '^    [a-z_:]+$|^error' "$log" | sort -u >&2
    fi
    passed=$(awk '/^test result/ { passed += $4 } END { print passed + 0 }' "$log")
    result[$major]+="  $passed tests passed in $((SECONDS - began)) s"
done
for major in "${majors[@]}"; do
    echo "PostgreSQL $major  ${result[$major]}"
done
exit $failed
