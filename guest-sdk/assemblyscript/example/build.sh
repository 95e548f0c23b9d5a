#!/bin/sh
# Builds policy.wasm with the AssemblyScript compiler of npm, which ASC may name. The minimal runtime never collects.
set -eu
cd "$(dirname "$0")"
exec ${ASC:-npx -y -p assemblyscript@0.28.20 asc} policy.ts -O3 --runtime incremental --use abort= -o "${1:-policy.wasm}"
