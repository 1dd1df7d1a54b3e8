#!/usr/bin/env bash
# Lays out the color emoji of the npm package emoji-datasource-google (Apache-2.0) as labeled folders, the emoji's category
# being the label: FOLDER/train and FOLDER/test. Needs npm, for the download, and cargo.
#
#   scripts/emoji.sh [FOLDER]        default: data/emoji, where the emoji_* recipes look
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-data/emoji}
[ ! -e "$folder" ] || { echo "$folder is there already; remove it to lay it out again" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" emoji-datasource-google@16.0.0 >/dev/null
tar -xzf "$work"/emoji-datasource-google-*.tgz -C "$work" package/emoji.json package/img/google/64
cargo run --release --quiet -p selfsame-data --example emoji_folders -- "$work/package" "$folder"
