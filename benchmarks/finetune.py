#!/usr/bin/env python3
"""Is fine-tuning ever worse than training from scratch, or than the linear probe?

    benchmarks/lightly/compare.sh, benchmarks/verdict/make     lay out target/lightly/data (two sets) and target/verdict/data (six)
    python3 benchmarks/finetune.py target/release/selfsame WORK SEEDS FOLDER/SET … [KEY=VALUE …]

A FOLDER has SET-{train,test}.npy with _labels, or SET-clean.npy, of which the first 1,500 samples are for training. The encoder (micro-ResNet
8-16-32) is SimCLR's, ten epochs on the training samples; KEY=VALUE goes to `selfsame finetune`. Encoders and results that are there are not
made again. Prints, in points and for each number of labels, the score and the differences with their 95 % intervals, over the seeds (means,
also of the ends of the intervals); * is beyond the interval.
"""

import json
import pathlib
import subprocess
import sys

import numpy as np

NET = ["method=simclr", "backbone=resnet_micro", "backbone.widths=[8, 16, 32]", "epochs=10", "train.online_knn_epochs=0", "data.labels=none"]
TRAIN = 1500


def parts(path, work):
    """The training and the test file of a set."""
    found = [path.parent / f"{path.name}-{part}.npy" for part in ("train", "test")]
    if found[0].exists():
        return found
    found = [work / file.name for file in found]
    for ending in ("", "_labels"):
        rows = np.load(path.parent / f"{path.name}-clean{ending}.npy")
        for file, part in zip(found, (rows[:TRAIN], rows[TRAIN:])):
            np.save(file.with_name(f"{file.stem}{ending}.npy"), part)
    return found


def finetune(program, work, path, seed, words):
    """The cells of `finetune.json`."""
    train, test = parts(path, work)
    run = work / f"{path.name}-{seed}"
    result = work / "-".join([run.name, *(word.replace("/", "") for word in words)])
    result = result.with_name(result.name + ".json")
    if not (run / "encoder.safetensors").exists():
        subprocess.run([program, "pretrain", *NET, f"data={train}", f"out={run}", f"seed={seed}"], check=True, capture_output=True)
    if not result.exists():
        command = [program, "finetune", run, f"train={train}", f"test={test}", *words]
        subprocess.run(command, check=True, capture_output=True)
        result.write_text((run / "finetune.json").read_text())
    return json.loads(result.read_text())["cells"]


def difference(cells, name):
    found = [cell[name] for cell in cells]
    value, low, high = (100 * np.mean(ends) for ends in ([f["difference"] for f in found], *zip(*(f["interval"] for f in found))))
    return f"{value:+6.1f} [{low:5.1f}, {high:5.1f}]{'*' if low > 0 or high < 0 else ' '}"


def main(program, work, seeds, *words):
    work = pathlib.Path(work)
    work.mkdir(parents=True, exist_ok=True)
    keys = [word for word in words if "=" in word]
    for path in (pathlib.Path(word) for word in words if "=" not in word):
        rows = [finetune(program, work, path, seed, keys) for seed in range(int(seeds))]
        for cells in zip(*rows):
            labels = json.dumps(cells[0]["labels"])
            score = 100 * np.mean([cell["finetuned"]["value"] for cell in cells])
            chosen = [cell.get("chosen") for cell in cells]
            print(f"{path.name:9} {labels:16} {score:5.1f}  over scratch {difference(cells, 'over_scratch')}  "
                  f"over the probe {difference(cells, 'over_linear_probe')}  {chosen}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
