# The image of prelaunch: one static binary and certificates, about as large as the binary.
#
#   docker build -t prelaunch .                      nothing else in it; not even a shell
#   docker build -t prelaunch:debian --target debian .   on Debian, for people who need a shell
#   docker build -t prelaunch-demo --target demo .   with the demonstration: server and scripts
#   docker build --target sbom --output . .          what is in it, as prelaunch.cdx.json
#   docker buildx build --platform linux/amd64,linux/arm64 .
#
# The build stage runs on the machine's own architecture whatever is built, and needs BuildKit.
# VERSION, REVISION and CREATED are for the labels.

FROM --platform=$BUILDPLATFORM rust:1.95-slim-bookworm AS build
ARG TARGETARCH
ARG SOURCE_DATE_EPOCH=0
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /prelaunch
COPY . .
# What is an extra of the command line at a terminal is left out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/prelaunch/target \
    install -D "$(./build-static.sh "$TARGETARCH")" /out/prelaunch

FROM build AS build-demo
# Only the standard library is in it: cargo would build all of prelaunch once more.
RUN case "$TARGETARCH" in arm64) architecture=aarch64 ;; *) architecture=x86_64 ;; esac \
    && rustc --edition 2024 -C opt-level=z -C strip=symbols -C linker=rust-lld \
        --target "$architecture-unknown-linux-musl" examples/server.rs -o /out/server

FROM build AS build-sbom
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/prelaunch/target \
    install -D -m 644 "$(./sbom.sh "$TARGETARCH" --no-default-features)" /out/prelaunch.cdx.json

FROM scratch AS sbom
COPY --from=build-sbom /out/prelaunch.cdx.json /prelaunch.cdx.json

FROM debian:bookworm-slim AS debian
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="prelaunch" \
      org.opencontainers.image.description="What a container does before its server starts: wait, lock, migrate, reindex, exec" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/prelaunch /usr/local/bin/prelaunch
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/prelaunch"]

FROM scratch AS demo
COPY --from=build /out/prelaunch /usr/local/bin/prelaunch
COPY --from=build-demo /out/server /usr/local/bin/server
COPY migrations /migrations
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/prelaunch", "run", "--"]
CMD ["/usr/local/bin/server"]

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="prelaunch" \
      org.opencontainers.image.description="What a container does before its server starts: wait, lock, migrate, reindex, exec" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/prelaunch /usr/local/bin/prelaunch
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/prelaunch"]
