# syntax=docker/dockerfile:1
# The broker as a small image: one binary, no shell needed, not root.
# The toolchain of rust-toolchain.toml, which itself stays outside: it would have rustup fetch clippy and rustfmt.
FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake make g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --bin broker \
 && cp /target/release/broker /broker \
 && install -d -m 0700 -o 10001 -g 10001 /data

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /broker /usr/local/bin/broker
# Numeric, so that Kubernetes' runAsNonRoot can check it.
COPY --from=build --chown=10001:10001 /data /var/lib/broker
USER 10001:10001
WORKDIR /var/lib/broker
VOLUME /var/lib/broker
# Say where to listen (`server.listen`): the default is loopback, which nobody outside the container reaches.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["broker", "health", "--timeout-ms", "2000"]
ENTRYPOINT ["broker"]
CMD ["serve"]
