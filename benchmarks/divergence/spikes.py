"""How long a step's gradients get beside the median of the 32 before it: what `train.spike_factor` was chosen by.

    spikes.py SELFSAME DATA WORK      DATA: the folder that ../verdict/sets.py fills; what WORK holds is not trained again

Every method trains a small network on every set at its own learning rate and at ten times that. A line per set and
rate tells the largest ratio over the methods, of which method, and how many runs would have been stopped by a factor of
10, 30, 100 and 1,000. A run at its own rate should never be; clothes and shapes chose the factor, emoji and faces confirm.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tomllib

SETS = ["clothes", "shapes", "emoji", "faces"]
RATES = [1, 10]
FACTORS = [10, 30, 100, 1000]
# What each method needs for a small network on images of 16 pixels.
RESNET = {"backbone": "resnet_micro", "backbone.widths": "[8, 16]"}
VIT = {"backbone": "vit_micro", "backbone.patch_size": 4, "backbone.dim": 36, "backbone.depth": 2}
HEADS = {"projector.hidden": 64, "projector.out": 32}
METHODS = {
    "simclr": RESNET | HEADS, "moco": RESNET | HEADS, "nnclr": RESNET | HEADS, "byol": RESNET | HEADS, "simsiam": RESNET | HEADS,
    "barlow_twins": RESNET | HEADS, "vicreg": RESNET | HEADS, "swav": RESNET | HEADS, "dino": VIT, "rotation": RESNET,
    "masked_autoencoder": VIT, "denoising_autoencoder": RESNET, "inpainting": RESNET,
}
WINDOW, FEWEST = 32, 8


def train(selfsame, data, run, method, rate):
    """The ratios of a run's steps, the last of which may be the one that ended it."""
    words = {"method": method, "data": data, "out": run, "epochs": 4, "batch_size": 64, "threads": 1,
             "train.online_knn_epochs": 0, "data.labels": "none", **METHODS[method]}
    if not (run / "metrics.jsonl").exists():
        command = [selfsame, "pretrain", *(f"{key}={value}" for key, value in words.items())]
        if rate != 1:
            own = tomllib.loads((run.parent / run.name.replace(f"-x{rate}", "-x1") / "plan.toml").read_text())
            command.append(f"optimizer.base_lr={own['optimizer']['base_lr'] * rate}")
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    norms, ratios = [], []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        norm = json.loads(line).get("gradient_norm")
        if norm is None:
            continue
        if len(norms) >= FEWEST:
            ratios.append(norm / statistics.median_high(norms[-WINDOW:]))
        norms.append(norm)
    return ratios


def main():
    selfsame, data, work = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    work.mkdir(parents=True, exist_ok=True)
    print("set      rate  runs  largest  of                     ", *(f">{factor}" for factor in FACTORS))
    for of in SETS:
        for rate in RATES:
            largest = {}
            for method in METHODS:
                run = work / f"{of}-{method}-x{rate}"
                largest[method] = max(train(selfsame, data / f"{of}-clean.npy", run, method, rate), default=0)
            method, ratio = max(largest.items(), key=lambda run: run[1])
            over = (sum(ratio > factor for ratio in largest.values()) for factor in FACTORS)
            print(f"{of:8} {rate:4}  {len(largest):4}  {ratio:7.1f}  {method:22}", *over, flush=True)


main()
