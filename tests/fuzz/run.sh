#!/usr/bin/env bash
# Fuzzes what parses: `fuzz/targets/` says what must hold of each.
#
#   tests/fuzz/run.sh               half a minute of each target
#   tests/fuzz/run.sh 600           so many seconds of each
#   tests/fuzz/run.sh 600 url       of one
#
# The fuzzer is libFuzzer, and no other toolchain is needed than that of the project: the pass that
# counts what is reached is part of every compiler. There is no sanitizer, since there is no unsafe
# code to watch; debug assertions and checks of overflow are on.
#
# Seeds are the scripts, variables and words of the tests. What is found on the way stays in
# `target/fuzz/corpus` for the next run. An input that breaks something is kept, printed, and fails
# the run: make a unit test of it.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-30}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(config script split target url words)

# The fuzzer is C++.
if ! command -v c++ >/dev/null; then
    root=()
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    "${root[@]}" apt-get install -y -q g++ >&2 ||
        { "${root[@]}" apt-get update -q >&2 && "${root[@]}" apt-get install -y -q g++ >&2; }
fi

# The versions that prelaunch is locked to; cargo adds the few that only the fuzzer needs.
[ fuzz/Cargo.lock -nt Cargo.lock ] || cp Cargo.lock fuzz/Cargo.lock

host=$(rustc -vV | sed -n 's/^host: //p')
work=target/fuzz
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# `--target` although it is the host: build scripts and macros must not be instrumented.
RUSTFLAGS="${RUSTFLAGS:-} --cfg fuzzing -Ccodegen-units=1 ${coverage//$'\n'/ }" \
    cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" \
    --target-dir $work

# strings FILE…: what stands in quotes in Rust code, a line each.
strings() {
    grep -ohP '"\K(?:[^"\\]|\\.)+(?=")' "$@" | sed 's/\\n/\n/g; s/\\t/\t/g; s/\\"/"/g'
}

# seeds TARGET: each line of the input becomes one.
seeds() {
    awk -v directory="$work/seeds/$1" '{
        file = directory "/line-" NR
        printf "%s", $0 > file
        close(file)
    }'
}

rm -rf $work/seeds
for target in config script split target url words; do
    mkdir -p $work/seeds/$target $work/corpus/$target $work/found $work/log
done
number=0
while IFS= read -r -d '' file; do
    number=$((number + 1))
    cp "$file" "$work/seeds/script/$number.sql"
    cp "$file" "$work/seeds/split/$number.sql"
done < <(find migrations tests/cases -name '*.sql' -print0)
while IFS= read -r -d '' file; do
    number=$((number + 1))
    cp "$file" "$work/seeds/config/$number"
done < <(find tests/cases -name env -print0)
# The configuration files of the documentation, behind no variable at all.
awk -v directory="$work/seeds/config" '
    /^```toml$/ { number++; file = directory "/file-" number; printf "\n---\n" > file; next }
    /^```/ { if (file) close(file); file = ""; next }
    file { print > file }' docs/config-file.md
strings src/script/tests/*.rs | tee >(seeds script) | seeds split
strings src/config/url/tests.rs | seeds url
strings src/graph/tests.rs src/graph/tests/*.rs src/database/tests.rs | seeds target
strings src/values/tests.rs src/config/{command,dependency}/tests.rs src/revision/tests.rs | seeds words

fuzz() {
    local target=$1 status=0 longest=512
    case $target in script | split) longest=8192 ;; config) longest=2048 ;; esac
    "$work/$host/release/$target" "$work/corpus/$target" "$work/seeds/$target" \
        -max_total_time="$seconds" -max_len=$longest -timeout=10 -dict=fuzz/words.dict \
        -artifact_prefix="$work/found/$target-" -print_final_stats=1 >"$work/log/$target" 2>&1 ||
        status=$?
    local executed
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log/$target")
    if [ $status = 0 ]; then
        echo "$target: ${executed:-no} inputs, and all of them hold"
    else
        # The panic, and the input as the fuzzer prints it.
        grep -aE 'panicked|ERROR|^Base64|Test unit' -A 2 "$work/log/$target" >&2
        echo "$target: BROKEN after ${executed:-some} inputs, see $work/log/$target"
    fi
    return $status
}

# As many at once as there are processors.
export work host seconds
export -f fuzz
printf '%s\n' "${targets[@]}" |
    xargs -P "$(nproc)" -I '{}' bash -c 'fuzz {}' ||
    { echo "tests/fuzz/run.sh: something broke" >&2; exit 1; }
