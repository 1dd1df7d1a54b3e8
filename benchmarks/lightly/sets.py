"""Two small color sets with classes and held-out groups, as .npy files of SIDE x SIDE pixels.

    sets.py FOLDER EMOJI_PACKAGE UNITS     EMOJI_PACKAGE: the unpacked npm package emoji-datasource-google
                                           UNITS: data/core/images/units of Debian's wesnoth-1.16-data

FOLDER/SET-{train,test}.npy and FOLDER/SET-{train,test}_labels.npy. A group (an emoji with its skin tones, a unit of the game
with all frames of its animations) is whole in one of the two parts.
"""

import collections
import json
import pathlib
import re
import sys

import numpy as np
from PIL import Image

SIDE, MOST = 16, 1500


def emoji(package, _):
    """Emoji by category; a fifth of each category's emoji is held out."""
    about = json.loads((package / "emoji.json").read_text())
    about = sorted((e for e in about if e["has_img_google"] and e["category"] != "Component"), key=lambda e: e["sort_order"])
    for number, e in enumerate(about):
        for image in [e, *e.get("skin_variations", {}).values()]:
            if image["has_img_google"]:
                yield package / "img/google/64" / image["image"], e["category"], number


def units(_, folder):
    """Figures of a game by their people; a unit is a file's name up to the frame's."""
    numbers = collections.defaultdict(lambda: len(numbers))
    for path in sorted(folder.glob("*/**/*.png")):
        people = path.relative_to(folder).parts[0].split("-")[0]
        unit = re.split(r"[-+]", path.stem)[0]
        yield path, people, numbers[people, unit]


def small(path):
    image = Image.open(path).convert("RGBA")
    box = image.getbbox()
    image = image.crop(box) if box else image
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    rgba = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    return (rgba[..., :3] * rgba[..., 3:] / 255).round().astype(np.uint8)


def main(folder, *sources):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, make in enumerate([emoji, units]):
        rows = list(make(*sources))
        groups = collections.defaultdict(list)
        for path, name, group in rows:
            groups[name, group].append(path)
        counts = collections.Counter(name for _, name, _ in rows)
        # A class needs groups on both sides.
        per_class = collections.Counter(name for name, _ in groups)
        names = sorted(name for name in counts if per_class[name] >= 8 and counts[name] >= 50)
        rng = np.random.default_rng(seed)
        parts = {"train": [], "test": []}
        for label, name in enumerate(names):
            of = [paths for (n, _), paths in groups.items() if n == name]
            order = rng.permutation(len(of))
            for place, at in enumerate(order):
                part = "test" if place % 4 == 3 else "train"
                parts[part] += [(path, label) for path in of[at]]
        for part, chosen in parts.items():
            chosen = [chosen[i] for i in rng.permutation(len(chosen))[:MOST]]
            np.save(folder / f"{make.__name__}-{part}.npy", np.stack([small(path) for path, _ in chosen]))
            np.save(folder / f"{make.__name__}-{part}_labels.npy", np.array([label for _, label in chosen], np.int64))
            print(make.__name__, part, len(chosen), "of", len(names), "classes", names)


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:4]))
