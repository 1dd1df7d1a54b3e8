#!/usr/bin/env bash
# Trains the same encoders in Selfsame and in lightly and says what they know. Installs PyTorch and lightly into benchmarks/.venv
# (once), fetches the images (npm, apt-get), builds our side, and runs compare.py with the arguments given.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${SELFSAME_BENCH_VENV:-benchmarks/.venv} work=target/lightly
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, torchvision, lightly' 2>/dev/null || "$venv/bin/pip" install -q torch torchvision 'lightly==1.6.*'
mkdir -p $work
if [ ! -d $work/package ]; then
  npm pack --silent --pack-destination $work emoji-datasource-google@16.0.0 >/dev/null
  tar -xzf $work/emoji-datasource-google-*.tgz -C $work package/emoji.json package/img/google/64
fi
if [ ! -d $work/debian ]; then
  (cd $work && apt-get download -qq wesnoth-1.16-data && dpkg-deb -x wesnoth-1.16-data_*.deb debian)
fi
[ -d $work/data ] || "$venv/bin/python" benchmarks/lightly/sets.py $work/data $work/package $work/debian/usr/share/games/wesnoth/1.16/data/core/images/units
cargo build --release -q -p selfsame-cli
"$venv/bin/python" benchmarks/lightly/compare.py target/release/selfsame $work/data $work/runs "$@"
exec "$venv/bin/python" benchmarks/lightly/compare.py --summary $work/runs
