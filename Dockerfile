# quorate's image: the executable, which needs no library, and an account without a shell. Nothing else can run in it.
#   docker build -t quorate .        or podman
# Cargo.lock names every crate with its checksum and the tag names the compiler: the same checkout makes the same executable. Who
# wants the same C library in it and the same compiler for years pins the digest too: rust:...@sha256:...

# The version of rust-toolchain.toml, which is not copied: it names tools for developers too, and rustup would fetch them here.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src

# With the C library inside, of which 1 MB is used and not 3.2. Names resolve with what that has itself, files and DNS. Packed relocations
# take 0.02 MB in place of 0.5.
ENV RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
# Named, so that cargo builds macros and build scripts without these flags: a macro is a library.
RUN rustc -vV | sed -n 's/^host: //p' >/target

# The dependencies, with empty sources of ours and the benchmarks that manifests name: a layer that is built anew only when a manifest
# or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY actors/Cargo.toml actors/
COPY prices/Cargo.toml prices/
COPY protocol/Cargo.toml protocol/
COPY store/Cargo.toml store/
COPY supervisor/Cargo.toml supervisor/
COPY testkit/Cargo.toml testkit/
RUN for crate in actors prices protocol store supervisor testkit; do mkdir "$crate/src" && touch "$crate/src/lib.rs"; done \
 && mkdir src benches protocol/benches \
 && echo 'fn main() {}' >src/main.rs \
 && touch benches/api.rs benches/verify.rs protocol/benches/judging.rs \
 && cargo build --profile dist --locked --bin quorate --features small-tables --target "$(cat /target)"

# The testkit, which is not in the executable, stays empty.
COPY actors actors
COPY prices prices
COPY protocol protocol
COPY store store
COPY supervisor supervisor
COPY migrations migrations
COPY src src
# Cargo compares times, and the empty sources are younger than ours.
RUN touch src/main.rs */src/lib.rs \
 && cargo build --profile dist --locked --bin quorate --features small-tables --target "$(cat /target)"

# What the image holds. HTTPS roots are compiled into the executable, and nothing reads /etc/ssl. A node writes to no file but its
# key, in a folder of its own that a fresh volume takes over with its owner.
RUN set -eu; \
    install -D -m 0755 "target/$(cat /target)/dist/quorate" /image/usr/bin/quorate; \
    mkdir -p /image/etc /image/var/lib; \
    echo 'quorate:x:65532:65532::/var/lib/quorate:/sbin/nologin' >/image/etc/passwd; \
    echo 'quorate:x:65532:' >/image/etc/group; \
    echo 'hosts: files dns' >/image/etc/nsswitch.conf; \
    install -d -m 0700 /owned/quorate

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /owned/ /var/lib/

ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="quorate" \
      org.opencontainers.image.description="A network of oracle nodes that agree on the price of ETH" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION"

# A number, so that an orchestrator can see that it is not root.
USER 65532:65532
# Gossip, and the API if --api-listen says so.
EXPOSE 5000 8080
# Stops it in order, within 10 s.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/quorate"]
CMD ["--help"]
