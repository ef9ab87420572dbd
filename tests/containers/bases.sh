# The images that ours are built from, made of Debian's packages under the names that they have in a
# registry: there need not be one. To be sourced by run.sh.
#
# They stand in for the real ones in what is asked of them here: the tools of a build, PostgreSQL with
# the official image's variables, haproxy, and Python with Alembic for comparison.

readonly mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly rust=1.95.0

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

make_bases() {
    have_image debian:bookworm-slim || make_debian
    make_base postgres:17 postgres <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres /var/lib/postgresql/data
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY postgres-entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
USER postgres
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
DOCKERFILE
    make_base haproxy:2.8 haproxy <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends haproxy \
    && rm -rf /var/lib/apt/lists/*
CMD ["haproxy", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
DOCKERFILE
}

# What the build stage needs; only the test of the Dockerfile itself asks for it.
make_rust() {
    make_base rust:1.95-slim-bookworm rust <<DOCKERFILE
FROM debian:bookworm-slim
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo \
    PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# The authorities that this machine trusts: there may be a proxy of its own.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY rustup-init /tmp/rustup-init
RUN SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    /tmp/rustup-init -y -q --no-modify-path --profile minimal --default-toolchain $rust
# As above, for pip, which has authorities of its own.
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
DOCKERFILE
}

make_debian() {
    say "makes debian:bookworm-slim"
    rm -rf "$dir/debian"
    # Without a cache of packages, and without what only a machine needs.
    debootstrap --variant=minbase bookworm "$dir/debian" "$mirror" >"$dir/debootstrap.log" 2>&1 ||
        { tail -n 20 "$dir/debootstrap.log" >&2; return 1; }
    echo "deb $mirror bookworm main" >"$dir/debian/etc/apt/sources.list"
    rm -rf "$dir/debian/var/cache/apt/archives" "$dir/debian/var/lib/apt/lists" \
        "$dir/debian/usr/share/doc" "$dir/debian/usr/share/locale" "$dir/debian/usr/share/man"
    mkdir -p "$dir/debian/var/cache/apt/archives/partial" "$dir/debian/var/lib/apt/lists/partial"
    tar -C "$dir/debian" -c . | docker import \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'CMD ["bash"]' - debian:bookworm-slim >/dev/null
    rm -rf "$dir/debian"
}

# make_base NAME KIND <Dockerfile
make_base() {
    local context=$dir/base-$2
    mkdir -p "$context"
    cat >"$context/Dockerfile"
    ! have_image "$1" || return 0
    say "makes $1"
    cp tests/containers/*-entrypoint tests/containers/alembic-*.py "$context/"
    cp /etc/ssl/certs/ca-certificates.crt "$context/"
    [ "$2" != rust ] || cp "$(command -v rustup)" "$context/rustup-init"
    docker build -q -t "$1" "$context" >"$dir/base-$2.log" 2>&1 ||
        { tail -n 30 "$dir/base-$2.log" >&2; return 1; }
}

# What prelaunch is measured beside: a start that asks Alembic whether anything is pending.
make_alembic() {
    make_base alembic:comparison alembic <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends alembic python3-psycopg2 \
    && rm -rf /var/lib/apt/lists/*
COPY alembic-entrypoint /usr/local/bin/docker-entrypoint.sh
COPY alembic-env.py /app/migrations/env.py
COPY alembic-revision.py /app/migrations/versions/aaaa.py
WORKDIR /app
RUN printf '[alembic]\nscript_location = migrations\n' >alembic.ini
ENTRYPOINT ["docker-entrypoint.sh"]
DOCKERFILE
}
