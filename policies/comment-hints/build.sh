#!/bin/sh
# Builds comment-hints.wasm. Debian: apt-get install clang lld. The committed file was built with clang 14.
set -eu
cd "$(dirname "$0")"
exec "${CC:-clang}" --target=wasm32 -Oz -nostdlib -ffreestanding -Wall -Wextra -Werror \
    -Wl,--no-entry -Wl,-z,stack-size=16384 -Wl,--strip-all -o "${1:-comment-hints.wasm}" policy.c
