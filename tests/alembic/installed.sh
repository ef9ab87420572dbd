# Virtual environments with what the campaigns compare with, made once, in target/import. To be sourced
# at the root of the repository.

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# installed NAME PACKAGE…: a virtual environment with these.
installed() {
    local venv=$target/import/$1
    shift
    [ -e "$venv/complete" ] && return
    rm -rf "$venv"
    python3 -m venv "$venv" || {
        echo "python3 cannot make a virtual environment; install python3-venv" >&2
        exit 1
    }
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
    touch "$venv/complete"
}

# Its command line does not start with a newer click, and it names no driver for PostgreSQL.
install_argilla() {
    installed argilla-server-2.8.0 argilla-server==2.8.0 'click<8.2' asyncpg psycopg2-binary==2.9.13
}
