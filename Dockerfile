# syntax=docker/dockerfile:1
# The broker as a small image: one program, the libraries it is linked with, certificates. No shell, no package manager, not root.
# glibc and not musl: so it is the same program that the tests ran and that was measured (docs/adr/0020-glibc-on-an-empty-image.md).
# The toolchain of rust-toolchain.toml, which itself stays outside: it would have rustup fetch clippy and rustfmt.
FROM rust:1.95.0-slim-bookworm AS build
# Whatever bookworm has today: a pinned version would be gone at Debian's next point release.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates cmake make g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --bin broker \
 && deploy/image/rootfs /target/release/broker /rootfs \
 && install -d -m 0700 -o 10001 -g 10001 /data

# Where 1Password's `op` lies, for the target `with-op`: whoever builds that names it (`--build-context op=…`). Empty otherwise, so
# that no registry is asked for something of that name.
FROM scratch AS op

FROM scratch AS broker
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="MCP Auth Broker" \
      org.opencontainers.image.description="Lets AI agents act without ever holding a credential" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /rootfs /
ENV PATH=/usr/local/bin
COPY --from=build --chown=10001:10001 /data /var/lib/broker
# Numeric, so that Kubernetes' runAsNonRoot can check it.
USER 10001:10001
WORKDIR /var/lib/broker
VOLUME /var/lib/broker
# Say where to listen (`server.listen`): the default is loopback, which nobody outside the container reaches.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["broker", "health", "--timeout-ms", "2000"]
ENTRYPOINT ["broker"]
CMD ["serve"]

# The same with `op` in it, for `secrets.provider = "1password"`:
#   docker build --target with-op --build-context op=docker-image://docker.io/1password/op@sha256:… .
FROM broker AS with-op
COPY --from=op --chmod=0755 /usr/local/bin/op /usr/local/bin/op

# What is built where no target is named.
FROM broker
