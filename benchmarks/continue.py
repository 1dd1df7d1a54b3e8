#!/usr/bin/env python3
"""The recipes continue_{simclr,byol,dino}: an encoder of one set, continued on another, beside from scratch and beside frozen.

    benchmarks/lightly/compare.sh          lays out target/lightly/data (sets.py)
    python3 benchmarks/continue.py target/release/selfsame target/lightly/data runs/continue SEEDS SOURCE TARGET [METHOD …] [KEY=VALUE …]

SOURCE and TARGET are emoji and units, whose test samples are of groups that the training samples lack, or what lies beside them likewise
(benchmarks/finetune.py cuts the sets of benchmarks/verdict). The encoder (micro-ResNet 8-16-32) is SimCLR's, 40 epochs on SOURCE. Each
method goes on from it on TARGET by its recipe, KEY=VALUE changed; from scratch it has the same epochs, all layers alike and three times
the rate. Frozen is the encoder of SOURCE as it is. Runs that are there are not made again.
"""

import json
import pathlib
import subprocess
import sys

NET = ["backbone=resnet_micro", "backbone.widths=[8, 16, 32]"]
SCRATCH = [*NET, "optimizer.layer_decay=1", "optimizer.stages=all", "optimizer.base_lr=0.3"]


def pretrain(program, run, words):
    if not (run / "encoder.safetensors").exists():
        subprocess.run([program, "pretrain", *words, f"out={run}", "train.online_knn_epochs=0"], check=True, capture_output=True)
    return run


def scores(program, run, sets, target):
    """Of a run on TARGET: kNN, and the probe with all, 10 and 1 labels per class."""
    known = run / f"scores-{target}.json"
    if not known.exists():
        parts = [f"{part}={sets / f'{target}-{part}.npy'}" for part in ("train", "test")]
        subprocess.run([program, "evaluate", run, *parts], check=True, capture_output=True)
        known.write_text((run / "scores.json").read_text())
    of = json.loads(known.read_text())["representations"]
    row = {}
    for name in ("h", "raw", "untrained"):
        probe = of[name]["linear_probe"]
        few = {found["per_class"]: found["value"] for found in probe["few_labels"]}
        row[name] = [of[name]["knn"][0]["value"], probe["all_labels"]["value"], few[10], few[1]]
    return row


def main(program, sets, out, seeds, source, target, *words):
    sets, out = pathlib.Path(sets), pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    keys = [word for word in words if "=" in word]
    methods = [word for word in words if "=" not in word] or ["simclr", "byol", "dino"]
    rows = {}
    for seed in range(int(seeds)):
        data = [f"data={sets / f'{target}-train.npy'}", "data.labels=none", f"seed={seed}"]
        start = ["method=simclr", f"data={sets / f'{source}-train.npy'}", *NET, "epochs=40", f"seed={seed}"]
        first = pretrain(program, out / f"{source}-{seed}", start)
        found = scores(program, first, sets, target)
        for name, values in (("raw", found["raw"]), ("untrained", found["untrained"]), ("frozen", found["h"])):
            rows.setdefault(name, []).append(values)
        for method in methods:
            recipe = f"continue_{method}"
            for name, more in ((f"{method}, scratch", SCRATCH), (f"{method}, continued", [f"init={first}", *keys])):
                called = "-".join([target, *name.split(", "), *(key.replace("/", "") for key in (keys if more[0].startswith("init") else []))])
                run = pretrain(program, out / f"{called}-{seed}", [recipe, *data, *more])
                rows.setdefault(name, []).append(scores(program, run, sets, target)["h"])
        print(f"\n{source} to {target}, {seed + 1} seeds\n\n| | kNN | all labels | 10 per class | 1 per class |\n| --- | --- | --- | --- | --- |")
        for name, values in rows.items():
            print(f"| {name} |", " | ".join(f"{sum(column) / len(column):.3f}" for column in zip(*values)), "|", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
