"""Packs what `observe` wrote of the runs, with the truth about them, as the cases of the test `verdicts`.

    pack.py OBSERVED CASES            the committed cases
    pack.py OBSERVED CASES unseen     the sets that no bound was chosen by, with all samples: too large to commit

CASES/RUN.case: a line of JSON (`set`, `truth`, `accuracy` of kNN on h, of the untrained twin, of chance, `training`, `kinds`,
`views`, and `arrays`: name, rows, width, bits) and then each array: lowest value and step of every column (f32, little-endian), and
its values in steps: a byte each, or half a byte, the lower first, of trivial attributes. Attributes of data that several runs
share lie in CASES/SET-clean.case alone.
"""

import json
import pathlib
import sys

import numpy as np

from sets import UNSEEN

# Samples of every run, and of those whose larger files are worth their bytes.
FEW, MANY, VIEWED = 200, 2000, 100
LARGE_SETS = {"clothes", "units"}
LARGE = {"good-simclr", "good-vicreg", "untrained-simclr"}
LARGE_SHORTCUTS = {
    "clothes-shortcut-background", "clothes-shortcut-gradient", "shapes-shortcut-border",
    "emoji-shortcut-gradient", "faces-shortcut-background", "faces-shortcut-stripes",
    "letters-shortcut-stripes", "letters-shortcut-watermark", "units-shortcut-stripes",
}
LABELS_K = 20
UNSEEN_NAMES = {make.__name__ for make in UNSEEN}


def load(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    head, about = json.loads(data[8 : 8 + size]), json.loads(path.with_suffix(".json").read_text())
    arrays = {}
    for name, entry in head.items():
        if name != "__metadata__":
            start, end = (8 + size + at for at in entry["data_offsets"])
            arrays[name] = np.frombuffer(data[start:end], np.float32)
    count = about["samples"]
    viewed = min(1000, count)
    for name in arrays:
        if name.startswith("views"):
            arrays[name] = arrays[name].reshape(viewed, about["views"], -1)
        elif name != "labels":
            arrays[name] = arrays[name].reshape(count, -1)
    return arrays, about


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def accuracy(rows, labels):
    """Share of samples whose class most of their nearest others have."""
    cosines = unit(rows) @ unit(rows).T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argpartition(-cosines, LABELS_K, axis=1)[:, :LABELS_K]
    votes = np.stack([(labels[nearest] == c).sum(1) for c in range(labels.max() + 1)], 1)
    return float((votes.argmax(1) == labels).mean())


def truth(name, of_h, of_untrained, of_chance, of_clean):
    """What became of a run, by its labels alone."""
    kind = name.split("-")[0]
    if kind in ("good", "narrow", "weak"):
        return "good" if of_h > of_untrained - 0.02 else "unclear"
    if kind == "shortcut":
        # Solved instead of the images: hardly more is known of them than before training, and less than of clean ones.
        return "shortcut" if of_h < of_untrained + 0.05 and of_h < of_clean else "unclear"
    return {"collapsed": "collapsed", "untrained": "untrained", "slow": "untrained", "hot": "hot"}[kind]


def bits(name):
    return 4 if name == "trivial" else 8


def packed(rows, bits):
    low, high, most = rows.min(0), rows.max(0), 2**bits - 1
    step = np.maximum((high - low) / most, np.float32(1e-30))
    steps = np.clip(np.round((rows - low) / step), 0, most).astype(np.uint8)
    if bits == 4:
        halves = np.append(steps.ravel(), np.zeros(steps.size % 2, np.uint8))
        steps = halves[::2] | halves[1::2] << 4
    return low.astype("<f4").tobytes() + step.astype("<f4").tobytes() + steps.tobytes()


def write(path, head, arrays):
    head["arrays"] = [[name, *rows.shape, bits(name)] for name, rows in arrays.items()]
    body = b"".join(packed(rows, bits(name)) for name, rows in arrays.items())
    path.write_bytes(json.dumps(head).encode() + b"\n" + body)


def main(observed, cases, which=""):
    observed, cases, unseen = pathlib.Path(observed), pathlib.Path(cases), which == "unseen"
    cases.mkdir(parents=True, exist_ok=True)
    for old in cases.glob("*.case"):
        old.unlink()
    paths = [path for path in sorted(observed.glob("*.safetensors")) if (path.stem.split("-")[0] in UNSEEN_NAMES) == unseen]
    found = {}
    for path in paths:
        arrays, _ = load(path)
        labels = arrays["labels"].astype(int)
        chance = float(np.bincount(labels).max() / len(labels))
        found[path.stem] = (accuracy(arrays["h"], labels), accuracy(arrays["untrained_h"], labels), chance)
    for path in paths:
        of, name = path.stem.split("-", 1)
        arrays, about = load(path)
        large = unseen or path.stem in LARGE_SHORTCUTS or of in LARGE_SETS and name in LARGE
        count = min(len(arrays["h"]), MANY if large else FEW)
        training = about["training"]
        training["run"] = f"runs/{path.stem}"
        # Where the data and the machine's folders were is no part of the case.
        training["keys"] = {key: value for key, value in training["keys"].items() if not key.startswith("data.")}
        head = {
            "set": of,
            "truth": truth(name, *found[path.stem], found[f"{of}-good-simclr"][0]),
            "accuracy": [round(value, 3) for value in found[path.stem]],
            "training": training,
            "kinds": about["kinds"],
            "views": 2,
        }
        viewed = min(count, VIEWED)
        print(f"{path.stem:32} {head['truth']:10} kNN {head['accuracy']}")
        kept = {array: arrays[array][:count] for array in ["h", "untrained_h"]}
        kept |= {array: arrays[array][: min(count, FEW)] for array in ["z", "untrained_z"]}
        kept |= {array: arrays[array][:viewed, :2].reshape(2 * viewed, -1) for array in ["views_h", "views_z"]}
        if name.startswith("shortcut"):
            kept["trivial"] = arrays["trivial"][:count]
        elif name == "good-simclr":
            most = min(len(arrays["h"]), MANY if unseen or of in LARGE_SETS else FEW)
            write(cases / f"{of}-clean.case", {}, {"trivial": arrays["trivial"][:most]})
        # Nothing is asked of the verdicts on those that are neither.
        if head["truth"] != "unclear":
            write(cases / f"{path.stem}.case", head, kept)
    print(sum(path.stat().st_size for path in cases.glob("*.case")), "bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
