#!/usr/bin/env bash
# Installs torchvision into benchmarks/.venv (once), builds our side, and runs views.py with the arguments given.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${SELFSAME_BENCH_VENV:-benchmarks/.venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, torchvision, PIL, numpy' 2>/dev/null || "$venv/bin/pip" install -q torch torchvision pillow numpy
cargo build --release -q -p selfsame-data --example views_throughput
exec "$venv/bin/python" benchmarks/torchvision/views.py "$@"
