#!/usr/bin/env bash
# Builds the static release binary, and prints its path as the only line on stdout.
#
#   ./build-static.sh                   for images: without the rules of squawk in `revision lint`
#   ./build-static.sh --features lint   with them, for where scripts are written and reviewed
#
# Shell completions and manual pages are written beside it; where they are is said on stderr.
#
# musl is what it is linked against. Where Rust's musl target or Debian's musl-tools (SQLite and
# the TLS library have C in them) are missing they are installed; where they cannot be had, glibc is
# linked statically instead, which is larger by a fifth and does the same.
set -euo pipefail
cd "$(dirname "$0")"

say() { echo "build-static: $*" >&2; }

host=$(rustc -vV | sed -n 's/^host: //p')
musl=${host%%-*}-unknown-linux-musl

have_target() { [ -d "$(rustc --print target-libdir --target "$musl")" ]; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

get_target() {
    have_target && return
    say "adds the target $musl"
    rustup target add "$musl" >&2 && have_target
}

get_compiler() {
    command -v musl-gcc >/dev/null && return
    say "installs musl-tools"
    # A fresh machine has no lists of packages yet; one that has them need not fetch them again.
    as_root apt-get install -y -q musl-tools >&2 ||
        { as_root apt-get update -q >&2 && as_root apt-get install -y -q musl-tools >&2; }
}

if get_target && get_compiler; then
    target=$musl
    # A quarter of a megabyte of relocations in a fortieth of the space; an old linker leaves them.
    export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-C link-arg=-Wl,-z,pack-relative-relocs"
else
    # `--target` although it is the host: build scripts and macros must not be linked statically.
    target=$host
    export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-C target-feature=+crt-static"
    say "musl is not to be had; links glibc statically"
fi

# An image waits, migrates and starts; its scripts were examined before they were put there.
cargo build --release --locked --bin prelaunch --target "$target" --no-default-features "$@" >&2
directory=$(cargo metadata --format-version 1 --no-deps --locked --offline |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
release=$directory/$target/release

# By itself and afterwards: what only the pages need must not get into the binary.
cargo build --release --locked --example pages --target "$target" --no-default-features >&2
"$release/examples/pages" "$release" >&2
say "shell completions are in $release/completions, manual pages in $release/man"

echo "$release/prelaunch"
