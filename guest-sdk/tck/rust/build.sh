#!/bin/sh
# Builds guest.wasm. Debian: apt-get install rustc libstd-rust-dev-wasm32 lld. The committed file was built with rustc 1.63,
# which RUSTC may name.
set -eu
cd "$(dirname "$0")"
exec "${RUSTC:-rustc}" --edition 2021 --crate-type cdylib --target wasm32-unknown-unknown -D warnings \
    -C opt-level=s -C lto=fat -C codegen-units=1 -C panic=abort -C strip=symbols -C linker=wasm-ld -C link-arg=-zstack-size=32768 \
    --remap-path-prefix "$PWD=." -o "${1:-guest.wasm}" guest.rs
