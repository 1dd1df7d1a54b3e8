#!/usr/bin/env bash
# What training with each method costs beside SimCLR: an epoch of each recipe on the bundled images, as a ratio of processor
# time, which foreign load hardly disturbs.
#
#   benchmarks/methods.sh [METHOD ...]
set -euo pipefail
cd "$(dirname "$0")/.."
selfsame=${SELFSAME:-}
[ -n "$selfsame" ] || { cargo build --release --quiet; selfsame=$PWD/target/release/selfsame; }
methods=("$@")
[ $# -gt 0 ] || methods=(moco nnclr byol simsiam barlow_twins vicreg swav dino clusterfit rotation)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
TIMEFORMAT='%U %S'
cost() { # seconds of all processors, user and system
    { time "$selfsame" pretrain "$1" epochs=1 optimizer.warmup_epochs=0 "out=runs/$1-demo" >/dev/null 2>&1; } 2>&1 | awk '{ print $1 + $2 }'
}
simclr=$(cost simclr)
for method in "${methods[@]}"; do
    awk -v m="$method" -v own="$(cost "$method")" -v simclr="$simclr" 'BEGIN { printf "%-14s %.2f\n", m, own / simclr }'
done
