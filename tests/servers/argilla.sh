#!/usr/bin/env bash
# A real argilla-server behind prelaunch, by the files of examples/argilla, and its own start script's
# steps beside it: from an empty database to the server that answers, and what may happen on the way.
#
#   tests/servers/argilla.sh                 PostgreSQL and SQLite, Elasticsearch, Redis
#   tests/servers/argilla.sh all 5           with five goes of what three of their scripts do at once
#   tests/servers/argilla.sh --ci            without a search server and Redis: `true` is the server
#   tests/servers/argilla.sh --figures 20    a start at head beside `argilla_server database migrate`, and
#                                            until the server answers
#
# argilla-server 2.8.0 comes from a package index, Elasticsearch from Maven Central, Redis and strace
# from Debian; what is installed stays in target/. It speaks to nobody but this machine.
#
# PRELAUNCH_BINARY=/static/binary is tested instead of the one that is built here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
source tests/alembic/installed.sh

install_missing() {
    local missing=() root=() deny=/usr/sbin/policy-rc.d denied=
    command -v strace >/dev/null || missing+=(strace)
    if [ "${1:-}" != --ci ]; then
        command -v redis-server >/dev/null || missing+=(redis-server)
        command -v socat >/dev/null || missing+=(socat)
    fi
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "argilla.sh: installs ${missing[*]}" >&2
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    "${root[@]}" apt-get update -q >&2
    # No service of theirs is started.
    if [ ! -e $deny ]; then
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $deny >/dev/null
        "${root[@]}" chmod 755 $deny
        denied=1
    fi
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
    [ -z "$denied" ] || "${root[@]}" rm $deny
}

install_missing "$@"
install_argilla
CAMPAIGN_VENV=$target/import/argilla-server-2.8.0
CAMPAIGN_PRELAUNCH=${PRELAUNCH_BINARY:-$(./build-static.sh)}
CAMPAIGN_SEARCH=
[ "${1:-}" = --ci ] || CAMPAIGN_SEARCH=$(tests/servers/elasticsearch.sh)
export CAMPAIGN_VENV CAMPAIGN_PRELAUNCH CAMPAIGN_SEARCH
PYTHONDONTWRITEBYTECODE=1 ./test.sh --exec python3 "$here/argilla.py" "$@"
