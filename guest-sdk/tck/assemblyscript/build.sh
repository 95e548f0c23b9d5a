#!/bin/sh
# Builds guest.wasm with the AssemblyScript compiler of npm, which ASC may name.
set -eu
cd "$(dirname "$0")"
exec ${ASC:-npx -y -p assemblyscript@0.28.20 asc} guest.ts -O3 --runtime incremental --use abort= -o "${1:-guest.wasm}"
