#!/usr/bin/env python3
"""Methods on the series of scripts/series.sh, beside what needs no training: mean ranks, and a Wilcoxon test over sets and seeds.

    scripts/series.sh data/series
    python3 benchmarks/signals/ranks.py target/release/selfsame data/series runs/ranks [SEEDS]

Hyperparameters are those that `method=NAME` brings; TUNED are the sets that they were looked at on, every other set is reported. Runs that are there are not made
again. The score is the linear probe's accuracy with all labels on the test part that the series come with.
"""

import itertools
import json
import pathlib
import subprocess
import sys

TUNED = ["BasicMotions", "OSULeaf"]
METHODS = ["simclr", "cpc", "ts2vec", "masked_autoencoder"]
EPOCHS = 100
UNTRAINED = ["raw", "untrained", "random_kernels"]


def scores(program, data, out, method, seed):
    run = out / f"{data.name}-{method}-{seed}"
    if not (run / "scores.json").exists():
        train, test = data / "train.ts", data / "test.ts"
        words = [f"method={method}", f"data={train}", f"seed={seed}", f"epochs={EPOCHS}", "data.normalize=sample", f"out={run}"]
        subprocess.run([program, "pretrain", *words], check=True)
        subprocess.run([program, "evaluate", run, f"test={test}"], check=True, stdout=subprocess.DEVNULL)
    found = json.loads((run / "scores.json").read_text())["representations"]
    return {name: of["linear_probe"]["all_labels"]["value"] for name, of in found.items()}


def ranks(row):
    """1 for the best; the mean where several are equal."""
    return {
        name: 1 + sum(other > value for other in row.values()) + (sum(other == value for other in row.values()) - 1) / 2
        for name, value in row.items()
    }


def wilcoxon(differences):
    """Two-sided p of the signed-rank test, exact, zeros left out."""
    values = [d for d in differences if d != 0]
    if not values:
        return 1.0
    sizes = sorted(abs(d) for d in values)
    rank = {size: sum(i + 1 for i, s in enumerate(sizes) if s == size) / sizes.count(size) for size in sizes}
    doubled = [round(2 * rank[abs(d)]) for d in values]
    counts = {0: 1}
    for r in doubled:
        counts = {
            total: counts.get(total, 0) + counts.get(total - r, 0) for total in set(counts) | {c + r for c in counts}
        }
    positive = sum(r for r, d in zip(doubled, values) if d > 0)
    least = min(positive, sum(doubled) - positive)
    return min(1.0, 2 * sum(n for total, n in counts.items() if total <= least) / 2 ** len(doubled))


def main(program, series, out, seeds=3):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    # Sets of classes, the small ones first; NAME_eq are the series of NAME padded to one length, which may not count twice.
    sets = [s for s in pathlib.Path(series).iterdir() if not (s / "train_targets.csv").exists() and not s.name.endswith("_eq")]
    sets.sort(key=lambda s: (s / "train.ts").stat().st_size)
    rows = {}
    for data, seed in itertools.product(sets, range(int(seeds))):
        row = {}
        for method in METHODS:
            found = scores(program, data, out, method, seed)
            row[method] = found["h"]
            # The same whatever the method, but for the backbone of what is not trained.
            row.update({name: found[name] for name in UNTRAINED if name not in row})
        rows[data.name, seed] = row
        print(data.name, seed, " ".join(f"{name} {value:.3f}" for name, value in row.items()), flush=True)
    names = [*METHODS, *UNTRAINED]
    for title, chosen in (("tuned on", True), ("reported", False)):
        of = {key: row for key, row in rows.items() if (key[0] in TUNED) == chosen}
        print(f"\n{title}: {len({name for name, _ in of})} sets, {seeds} seeds\n\n| | mean accuracy | mean rank |\n| --- | --- | --- |")
        ranked = [ranks(row) for row in of.values()]
        for name in sorted(names, key=lambda name: sum(rank[name] for rank in ranked)):
            accuracy = sum(row[name] for row in of.values()) / len(of)
            print(f"| {name} | {accuracy:.3f} | {sum(rank[name] for rank in ranked) / len(ranked):.2f} |")
    of = [row for (name, _), row in rows.items() if name not in TUNED]
    print("\n| method | against | wins / losses | p |\n| --- | --- | --- | --- |")
    for method, other in itertools.product(METHODS, UNTRAINED):
        differences = [row[method] - row[other] for row in of]
        wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
        print(f"| {method} | {other} | {wins} / {losses} | {wilcoxon(differences):.3f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
