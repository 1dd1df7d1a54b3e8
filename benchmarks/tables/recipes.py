#!/usr/bin/env python3
"""What a recipe for tables scores beside raw features and the untrained network, over seeds.

    python3 benchmarks/tables/recipes.py target/release/selfsame data/tables runs/tables SEEDS RECIPE[:LEARNING_RATE] … [SET=EPOCHS …]

data/tables/SET/{train,test}.csv are those of mlbench.py. All rows of train.csv are for pretraining; scores take the first 200 of each class as
labeled and every fourth row of test.csv. Runs that are there are not made again. One line per set: the linear probe with 1 and 10 labels
per class and all 200, h, raw and untrained, means over seeds; in brackets how far h is above each, in points: the mean over seeds of the
differences and of the ends of their intervals.
"""

import collections
import csv
import json
import pathlib
import subprocess
import sys

EPOCHS = {"letters": 20, "satellite": 50, "shuttle": 7}
LABELS = {"1": {"per_class": 1}, "10": {"per_class": 10}, "all": "all"}


def part(data, out, name):
    path = out / f"{data.name}-{name}.csv"
    if not path.exists():
        head, *rows = csv.reader((data / f"{name}.csv").open())
        label, seen = head.index("label"), collections.Counter()
        for row in rows:
            seen[row[label]] += 1
            row.append(seen[row[label]])
        rows = [row[:-1] for row in rows if row[-1] <= 200] if name == "train" else [row[:-1] for row in rows[::4]]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([head, *rows])
    return f"{name}={path}"


def scores(program, data, out, recipe, rate, seed, epochs):
    run = out / f"{data.name}-{pathlib.Path(recipe).stem}-{rate or 'own'}-{seed}"
    if not (run / "scores.json").exists():
        words = [f"data={data / 'train.csv'}", f"seed={seed}", f"epochs={epochs}", f"out={run}", "train.online_knn_epochs=0"]
        words += [f"optimizer.base_lr={rate}"] if rate else []
        subprocess.run([program, "pretrain", recipe, *words], check=True, capture_output=True)
        parts = [part(data, out, name) for name in ("train", "test")]
        subprocess.run([program, "evaluate", run, *parts], check=True, capture_output=True)
    return json.loads((run / "scores.json").read_text())


def probe(of, labels):
    of = of["linear_probe"]
    if labels == "all":
        return of["all_labels"]["value"]
    return next((few["value"] for few in of["few_labels"] if few["per_class"] == int(labels)), None)


def above(found, other, metric):
    row = next(c for c in found["comparisons"] if c["metric"] == {"linear_probe": metric} and c["with"] == other)
    return [row["difference"], *row["interval"]]


def mean(values):
    return sum(values) / len(values)


def line(found):
    parts = []
    for labels, metric in LABELS.items():
        values = [[probe(f["representations"][name], labels) for f in found] for name in ("h", "raw", "untrained")]
        if None in values[0]:
            continue
        text = " ".join(f"{mean(v):.3f}" for v in values)
        for other in ("raw", "untrained"):
            ends = [mean(end) for end in zip(*(above(f, other, metric) for f in found))]
            text += " ({:+.1f}: {:.1f} to {:.1f})".format(*(100 * end for end in ends))
        parts.append(f"{labels}: {text}")
    return " | ".join(parts)


def main(program, tables, out, seeds, *words):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    told = {name: int(count) for name, count in (word.split("=") for word in words if "=" in word)}
    cells = [(*(word.split(":") + [None])[:2], name) for word in words if "=" not in word for name in told or EPOCHS]
    found = {cell: [] for cell in cells}
    for seed in range(int(seeds)):
        for recipe, rate, name in cells:
            row = scores(program, pathlib.Path(tables) / name, out, recipe, rate, seed, told.get(name, EPOCHS[name]))
            found[recipe, rate, name].append(row)
            print(recipe, rate or "", name, f"{seed + 1} of {seeds}:", line(found[recipe, rate, name]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
