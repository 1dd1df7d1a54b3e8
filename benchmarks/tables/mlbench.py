#!/usr/bin/env python3
"""Tables of Debian's r-cran-mlbench as train.csv and test.csv.

    apt-get download r-cran-mlbench && dpkg-deb -x r-cran-mlbench_*.deb mlbench
    pip install pyreadr pandas
    python3 benchmarks/tables/mlbench.py mlbench/usr/lib/R/site-library/mlbench/data/LetterRecognition.rda lettr letters/

The second argument is the column of the labels, which is called `label` afterwards. A fifth of the rows, drawn with seed 0, is for
testing.
"""

import pathlib
import random
import sys

import pyreadr


def main(rda, label, folder):
    (table,) = pyreadr.read_r(rda).values()
    table = table.rename(columns={label: "label"})
    rows = list(range(len(table)))
    random.Random(0).shuffle(rows)
    test = len(rows) // 5
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, chosen in [("test", sorted(rows[:test])), ("train", sorted(rows[test:]))]:
        table.iloc[chosen].to_csv(folder / f"{name}.csv", index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
