#!/usr/bin/env bash
# Installs PyTorch into benchmarks/.venv (once), builds our side, and runs compare.py with the arguments given.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${SELFSAME_BENCH_VENV:-benchmarks/.venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, torchvision, lightly, onnx, onnxruntime, openvino' 2>/dev/null || "$venv/bin/pip" install -q torch torchvision 'lightly==1.6.*' onnx onnxruntime openvino
cargo build --release -q -p selfsame --example workloads
cargo build --release -q -p selfsame-cli
exec "$venv/bin/python" benchmarks/pytorch/compare.py "$@"
