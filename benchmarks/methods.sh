#!/usr/bin/env bash
# What a step of each method costs beside SimCLR's: an epoch of each recipe on the bundled images, in turn, three rounds; the
# median of the samples a second, as a ratio. Foreign load disturbs it.
#
#   benchmarks/methods.sh [METHOD ...]
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet
selfsame=$PWD/target/release/selfsame
methods=("$@")
[ $# -gt 0 ] || methods=(moco nnclr byol simsiam barlow_twins vicreg swav clusterfit rotation)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$selfsame" pretrain simclr epochs=1 out=runs/simclr-demo >/dev/null 2>&1
seconds() { # of an epoch, the first step and the saving not counted
    rm -rf run
    "$selfsame" pretrain "$1" epochs=1 optimiser.warmup_epochs=0 out=run >/dev/null 2>&1
    awk -F'"samples_per_s":' '/"event":"step"/ { split($2, a, ","); rate = a[1] } END { print 1 / rate }' run/metrics.jsonl
}
for round in 1 2 3; do
    for method in simclr "${methods[@]}"; do
        echo "$method $(seconds "$method")"
    done
done > times
median() { awk -v m="$1" '$1 == m { print $2 }' times | sort -g | sed -n 2p; }
for method in "${methods[@]}"; do
    awk -v m="$method" -v own="$(median "$method")" -v simclr="$(median simclr)" 'BEGIN { printf "%-14s %.2f\n", m, own / simclr }'
done
