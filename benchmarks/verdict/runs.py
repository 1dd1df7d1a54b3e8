"""The runs on which the verdict's bounds are fitted and tested: what is trained, and what is the truth about it.

    runs.py SELFSAME DATA RUNS [PART PARTS]     trains those that are not finished; PART of PARTS, to share them out

Every set gets the same sixteen runs of a small network. What a run was meant to be is its name; what it became is decided by
its labels and its weights (see observe.py), never by the diagnosis.
"""

import pathlib
import subprocess
import sys

from sets import SETS, SHORTCUTS

CROP = '{ name = "random_resized_crop", scale = [%s, 1.0] }'
FLIP = '{ name = "horizontal_flip" }'
STRONG = '{ name = "color_jitter", strength = 0.8 }, { name = "color_drop" }'
WEAK = '{ name = "color_jitter", brightness = 0.2, contrast = 0.2, saturation = 0.0, hue = 0.0 }'
GOOD_VIEWS = [CROP % 0.4, FLIP, STRONG]
# A shortcut is only one where views share it: a frame that is cropped away is none.
VIEWS = {
    "background": [CROP % 0.4, FLIP, WEAK],
    "stripes": [CROP % 0.4, FLIP, WEAK],
    "border": [CROP % 0.8, FLIP, WEAK],
    "watermark": [CROP % 0.8, WEAK],
    "gradient": [CROP % 0.6, WEAK],
}
BASE = {
    "backbone.widths": "[8, 16]", "projector.hidden": 64, "projector.out": 32, "batch_size": 100, "epochs": 8,
    "optimizer.base_lr": 0.3, "threads": 1, "train.online_knn_epochs": 0, "train.log_steps": 20, "data.labels": "file",
}
VICREG = {"method": "vicreg", "optimizer.base_lr": 0.1}
BARLOW = {"method": "barlow_twins", "method.redundancy_weight": 0.03, "optimizer.base_lr": 0.1}
SIMCLR = {"method": "simclr"}
BYOL = {"method": "byol", "method.predictor_hidden": 64}

CLEAN = {
    "good-simclr": SIMCLR,
    "good-barlow": BARLOW,
    "good-vicreg": VICREG,
    "good-byol": BYOL,
    "narrow-simclr": SIMCLR | {"backbone.widths": "[4, 8]"},
    "collapsed-invariance": {"method": "invariance_only"},
    "collapsed-vicreg": VICREG | {"method.variance_weight": 0, "method.covariance_weight": 0},
    "untrained-simclr": SIMCLR | {"optimizer.base_lr": 1e-12, "epochs": 2},
    "slow-simclr": SIMCLR | {"optimizer.base_lr": 1e-5, "epochs": 2},
    "hot-simclr": SIMCLR | {"optimizer.base_lr": 30},
}


def runs():
    """(set, name, what is drawn in, views, keys) of every run."""
    for of in SETS:
        for name, keys in CLEAN.items():
            yield of, name, "clean", GOOD_VIEWS, BASE | keys
        yield of, "weak-simclr", "clean", VIEWS["watermark"], BASE | SIMCLR
        for shortcut in SHORTCUTS:
            yield of, f"shortcut-{shortcut}", shortcut, VIEWS[shortcut], BASE | SIMCLR


def recipe(views):
    return "[[views]]\ncount = 2\naugmentations = [\n" + "".join(f"  {view},\n" for view in views) + "]\n"


def train(selfsame, data, out, of, name, drawn, views, keys):
    folder = out / f"{of}-{name}"
    if (folder / "report.html").exists():
        return
    path = out / f"{of}-{name}.toml"
    path.write_text(recipe(views))
    words = [f"{key}={value}" for key, value in (keys | {"data": data / f"{of}-{drawn}.npy", "out": folder}).items()]
    done = subprocess.run([selfsame, "pretrain", path, *words], capture_output=True, text=True)
    # Too hot a run may diverge; what it had learned until then is no encoder.
    print(folder.name, "ok" if done.returncode == 0 else done.stderr[-600:], flush=True)


if __name__ == "__main__":
    selfsame, data, out = (pathlib.Path(word).absolute() for word in sys.argv[1:4])
    part, parts = map(int, sys.argv[4:6]) if len(sys.argv) > 4 else (0, 1)
    out.mkdir(parents=True, exist_ok=True)
    for run in list(runs())[part::parts]:
        train(selfsame, data, out, *run)
