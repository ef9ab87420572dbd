#!/usr/bin/env bash
# Runs the image, the compose file and the manifests for real: Docker, podman, schemas.
#
#   tests/containers/run.sh                      all but what follows
#   tests/containers/run.sh compose              those whose name contains the word
#   tests/containers/run.sh --build              builds the Dockerfile from its sources, and compares
#   tests/containers/run.sh --figures            size, and time from `docker run` to exec
#   tests/containers/run.sh --argilla            examples/argilla: builds it, and starts its compose file
#   tests/containers/run.sh --lint               what needs neither Docker nor root: hadolint, schemas
#
# Needs root on a Debian machine, and a kernel that lets root mount and make networks; what is missing
# it installs. The engine is its own (engine.sh), and so are the images below ours (bases.sh).
#
# PRELAUNCH_BINARY=/static/binary is tested instead of the one that is built here. COMPOSE=COMMAND is
# tested as well as Debian's docker-compose 1.29; tests/containers/compose2.sh makes one.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "containers: $*" >&2; }
# The client that belongs to the engine; another one may come first in the PATH.
docker() { /usr/bin/docker "$@"; }

readonly kustomize=v5.7.1
readonly helm=v3.18.4

source tests/containers/engine.sh
source tests/containers/bases.sh
source tests/containers/argilla.sh

tools() {
    local venv=$state/tools
    if [ ! -e "$venv/ready" ]; then
        python3 -m venv "$venv" &&
            "$venv/bin/pip" install -q -r tests/containers/requirements.txt && touch "$venv/ready"
    fi
    export PATH=$venv/bin:$PATH
    # Debian's kubectl is too old to read what ours have in them; so is any before 1.27.
    command -v kubectl >/dev/null || command -v kustomize >/dev/null || {
        command -v go >/dev/null || { say "needs kubectl 1.27 or later, or kustomize, or Go"; exit 1; }
        GOBIN=$venv/bin go install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize" >&2
    }
}

get_helm() {
    command -v helm >/dev/null && return
    command -v go >/dev/null || { say "needs helm, or Go"; exit 1; }
    GOBIN=$state/tools/bin go install "helm.sh/helm/v3/cmd/helm@$helm" >&2
}

# The real Dockerfile, but for its build stages: what they make is there already.
make_images() {
    local context=$dir/images binary
    binary=${PRELAUNCH_BINARY:-$(./build-static.sh "$(uname -m)")}
    mkdir -p "$context"
    cp "$binary" "$context/prelaunch"
    rustc --edition 2024 -C opt-level=z -C strip=symbols -C linker=rust-lld \
        --target "$(uname -m)-unknown-linux-musl" examples/server.rs -o "$context/server"
    cp /etc/ssl/certs/ca-certificates.crt "$context/"
    cp -r migrations "$context/"
    cat - <(sed -n '/^FROM debian:bookworm-slim AS debian$/,$p' Dockerfile) >"$context/Dockerfile" <<'STAGES'
FROM debian:bookworm-slim AS build
COPY prelaunch /out/prelaunch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
FROM build AS build-demo
COPY server /out/server
STAGES
    docker build -q -t prelaunch:0.1.0 "$context" >/dev/null
    docker build -q -t prelaunch:0.1.0-debian --target debian "$context" >/dev/null
    docker build -q -t prelaunch-demo:0.1.0 -t prelaunch-demo --target demo "$context" >/dev/null
}

# From the sources, for both architectures; and each binary is the same as here, although it was
# built elsewhere. The one for arm64 runs in qemu where this machine is another.
build_images() {
    local architecture here copy
    for architecture in amd64 arm64; do
        docker build --progress plain --platform "linux/$architecture" -t "prelaunch:$architecture" .
        copy=$(docker create --platform "linux/$architecture" "prelaunch:$architecture")
        docker cp "$copy:/usr/local/bin/prelaunch" "$dir/prelaunch-$architecture"
        docker rm "$copy" >/dev/null
        here=$(./build-static.sh "$architecture")
        sha256sum "$dir/prelaunch-$architecture" "$here"
        cmp "$dir/prelaunch-$architecture" "$here"
    done
    "$dir/prelaunch-amd64" --version
    qemu-aarch64-static "$dir/prelaunch-arm64" --version
    docker build --progress plain -t prelaunch-demo:built --target demo .
    docker run --rm --entrypoint /usr/local/bin/prelaunch prelaunch-demo:built database heads --offline
    # As the quickstart does it.
    PATH=/usr/bin:$PATH COMPOSE_DOCKER_CLI_BUILD=1 docker-compose build
    if [ -n "${COMPOSE:-}" ]; then
        # shellcheck disable=SC2086 # it may be several words
        $COMPOSE build
    fi
    docker build --progress plain --target sbom --output "$dir/sbom" .
    here=$(./sbom.sh amd64 --no-default-features)
    sha256sum "$dir/sbom/prelaunch.cdx.json" "$here"
    cmp "$dir/sbom/prelaunch.cdx.json" "$here"
}

clean_up() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    stop_engine
    rm -rf "$dir"
    exit "$status"
}

python() { (cd tests/containers && exec python3 -m unittest "$@"); }

dir=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/prelaunch-containers.XXXXXXXX")")
export CONTAINERS_DIR=$dir
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

case ${1:-} in
    --lint)
        tools
        python -v test_manifests test_examples
        ;;
    --build)
        [ "$(id -u)" = 0 ] || { say "needs root"; exit 1; }
        install_missing
        start_engine
        make_bases
        make_rust
        build_images
        ;;
    *)
        [ "$(id -u)" = 0 ] || { say "needs root"; exit 1; }
        install_missing
        tools
        get_helm
        start_engine
        make_bases
        make_alembic
        make_images
        if [ "${1:-}" = --figures ]; then
            shift
            python3 tests/containers/figures.py "$@"
        elif [ "${1:-}" = --argilla ]; then
            make_argilla
            python3 tests/containers/argilla.py
        else
            python discover -v ${1:+-k "$1"}
        fi
        ;;
esac
