#!/usr/bin/env bash
# Holds what other tools make of exported encoders against what Selfsame computes, for every backbone that a format has. Installs the
# tools into an environment of its own (once), builds our side with tract, trains the encoders for a step or two, and runs check.py; then heads.py,
# the same of models with a head, beside `selfsame predict`; then imports.py, which holds what we make of their weights against what they
# compute.
#   benchmarks/interop/check.sh [exports|heads|imports [names: see check.py, heads.py, imports.py]]
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${SELFSAME_BENCH_VENV:-benchmarks/.venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, torchvision, timm, transformers, onnx, onnxruntime, openvino, safetensors, sklearn, blake3, PIL, numpy' 2>/dev/null ||
    "$venv/bin/pip" install -q -r benchmarks/interop/requirements.txt
if [ -z "${SELFSAME:-}" ]; then
    cargo build --release -q -p selfsame-cli --features tract
    SELFSAME=${CARGO_TARGET_DIR:-target}/release/selfsame
fi
what=${1:-all}
shift $(($# > 0))
declare -A scripts=([exports]=check.py [heads]=heads.py [imports]=imports.py)
[ "$what" = all ] || [ -n "${scripts[$what]:-}" ] || {
    echo "expected exports, heads or imports, received $what" >&2
    exit 2
}
failed=0
for part in exports heads imports; do
    [ "$what" = all ] || [ "$what" = "$part" ] || continue
    "$venv/bin/python" "benchmarks/interop/${scripts[$part]}" "$(realpath "$SELFSAME")" "$@" || failed=1
done
exit $failed
