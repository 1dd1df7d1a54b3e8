#!/usr/bin/env bash
# Lays out the series that come with the Python package aeon (BSD-3-Clause): FOLDER/NAME/train.ts and test.ts for each set that has
# both. Those whose numbers are to be predicted (@targetLabel) have train_targets.csv and test_targets.csv beside them, for evaluations.
# Needs pip, for the download, and python3.
#
#   scripts/series.sh [FOLDER]       default: data/series
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-data/series}
[ ! -e "$folder" ] || { echo "$folder is there already; remove it to lay it out again" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" aeon==1.6.0
python3 - "$work" "$folder" <<'PYTHON'
import pathlib
import re
import sys
import zipfile

work, folder = map(pathlib.Path, sys.argv[1:])
[wheel] = work.glob("aeon-*.whl")
with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
    for train in sorted(name for name in names if re.fullmatch(r"aeon/datasets/data/.*_TRAIN\.ts", name)):
        test, name = train.replace("_TRAIN.ts", "_TEST.ts"), pathlib.Path(train).stem.removesuffix("_TRAIN")
        # Cut-down examples for aeon's own tests.
        if test not in names or name.startswith("UnitTest"):
            continue
        (folder / name).mkdir(parents=True)
        for part, member in (("train", train), ("test", test)):
            text = archive.read(member).decode("utf-8")
            (folder / name / f"{part}.ts").write_text(text, encoding="utf-8")
            header, _, data = text.partition(re.search(r"(?mi)^@data\s*$", text).group())
            if re.search(r"(?mi)^@targetlabel\s+true", header):
                lines = [line for line in data.splitlines() if line.strip() and line[0] not in "#%"]
                rows = [f"{part}.ts[{i}],{line.rsplit(':', 1)[1].strip()}\n" for i, line in enumerate(lines)]
                (folder / name / f"{part}_targets.csv").write_text("id,target\n" + "".join(rows))
PYTHON
echo "$folder: $(ls "$folder" | wc -l) sets"
