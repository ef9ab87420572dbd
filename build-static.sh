#!/usr/bin/env bash
# Builds the static release binary, and prints its path as the only line on stdout.
#
#   ./build-static.sh                           for images: without the rules of squawk in `revision lint`
#   ./build-static.sh --features lint           with them, for where scripts are written and reviewed
#   ./build-static.sh aarch64                   for arm64; also arm64, amd64, x86_64
#
# Shell completions and manual pages are written beside it; where they are is said on stderr.
#
# musl is what it is linked against. Where Rust's musl target or Debian's musl-tools (SQLite and
# the TLS library have C in them) are missing they are installed; where they cannot be had, glibc is
# linked statically instead, which is larger by a fifth and does the same. For another architecture
# than this machine's, the C compiler is zig, from PyPI, and the linker Rust's own.
#
# The same sources and compilers give the same bytes, wherever they lie: no path of this machine and
# no time gets into the binary. `tests/containers/run.sh --build` shows it.
set -euo pipefail
cd "$(dirname "$0")"

readonly ZIG=0.17.1

say() { echo "build-static: $*" >&2; }

sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
native=${host%%-*}
asked=$native
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
    asked=$1
    shift
fi
case $asked in
    x86_64 | amd64) architecture=x86_64 ;;
    aarch64 | arm64) architecture=aarch64 ;;
    *) say "knows x86_64 and aarch64, not '$asked'"; exit 2 ;;
esac
musl=$architecture-unknown-linux-musl

have_target() { [ -d "$(rustc --print target-libdir --target "$musl")" ]; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# A fresh machine has no lists of packages yet; one that has them need not fetch them again.
get_packages() {
    say "installs $*"
    local apt=(as_root apt-get install -y -q --no-install-recommends "$@")
    "${apt[@]}" >&2 || { as_root apt-get update -q >&2 && "${apt[@]}" >&2; }
}

get_target() {
    have_target && return
    say "adds the target $musl"
    rustup target add "$musl" >&2 && have_target
}

get_compiler() { command -v musl-gcc >/dev/null || get_packages musl-tools; }

directory=$(cargo metadata --format-version 1 --no-deps --locked --offline |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

# Puts zig into the target directory, and two programs that are called as gcc and ar are.
get_zig() {
    local zig=$directory/zig-$ZIG
    if [ ! -x "$zig/ziglang/zig" ]; then
        python3 -m pip --version >/dev/null 2>&1 || get_packages python3-pip
        say "gets zig $ZIG"
        python3 -m pip install -q --no-deps --target "$zig" "ziglang==$ZIG" >&2
    fi
    # Its names of architectures are other ones than those that build scripts hand over.
    cat >"$zig/cc" <<CC
#!/usr/bin/env bash
arguments=()
for argument; do
    [[ \$argument == --target=* ]] || arguments+=("\$argument")
done
exec "$zig/ziglang/zig" cc -target $architecture-linux-musl "\${arguments[@]}"
CC
    printf '#!/bin/sh\nexec "%s" ar "$@"\n' "$zig/ziglang/zig" >"$zig/ar"
    chmod 755 "$zig/cc" "$zig/ar"
    export "CC_${musl//-/_}=$zig/cc" "AR_${musl//-/_}=$zig/ar"
    local name=${musl//-/_}
    export "CARGO_TARGET_${name^^}_LINKER=rust-lld"
}

flags=()
if [ "$architecture" != "$native" ]; then
    get_target
    get_zig
    target=$musl
elif get_target && get_compiler; then
    target=$musl
else
    # `--target` although it is the host: build scripts and macros must not be linked statically.
    target=$host
    flags+=(-C target-feature=+crt-static)
    say "musl is not to be had; links glibc statically"
fi

# What stands for the directories of this machine, in messages of a panic and the like. The sources
# of Rust's library are where rustup puts them, if it has them at all.
maps=(
    "$PWD=/prelaunch"
    "$directory=/target"
    "${CARGO_HOME:-$HOME/.cargo}=/cargo"
    "$sysroot/lib/rustlib/src/rust=/rustc/$commit"
)
# Nothing unwinds (a panic ends the process by its own words), so nothing needs the tables for it; and
# what moves with the program is written down in few bytes.
flags+=(-C force-unwind-tables=no -C link-arg=-Wl,-z,pack-relative-relocs)
CFLAGS="${CFLAGS:+$CFLAGS }-fno-asynchronous-unwind-tables"
for map in "${maps[@]}"; do
    flags+=("--remap-path-prefix=$map")
    CFLAGS="${CFLAGS:+$CFLAGS }-ffile-prefix-map=$map"
done
export CFLAGS
export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }${flags[*]}"
# For whatever would write the time of the build.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}

# An image waits, migrates and starts; its scripts were examined before they were put there.
cargo build --release --locked --bin prelaunch --target "$target" --no-default-features "$@" >&2
release=$directory/$target/release

# By itself and afterwards: what only the pages need must not get into the binary. They are the same
# for every architecture.
if [ "$architecture" = "$native" ]; then
    cargo build --release --locked --example pages --target "$target" --no-default-features >&2
    "$release/examples/pages" "$release" >&2
    say "shell completions are in $release/completions, manual pages in $release/man"
fi

echo "$release/prelaunch"
