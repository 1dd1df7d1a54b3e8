"""Small image sets with classes, clean and with a shortcut drawn in, as .npy files for `selfsame`.

    sets.py FOLDER EMOJI_PACKAGE      EMOJI_PACKAGE: the unpacked npm package emoji-datasource-google

Every set has COUNT images of SIDE x SIDE pixels in color: FOLDER/SET-DRAWN.npy with FOLDER/SET-DRAWN_labels.npy, DRAWN
being `clean` or one of SHORTCUTS. A shortcut is drawn anew for every image, whatever its class: it tells images apart and
says nothing about them.
"""

import gzip
import json
import math
import pathlib
import sys

import numpy as np
from PIL import Image, ImageDraw

COUNT, SIDE, LARGE = 2000, 16, 60
SHORTCUTS = ["background", "stripes", "border", "watermark", "gradient"]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def small(image):
    """RGBA of SIDE x SIDE."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32) / 255


def color(rng, low=80):
    return tuple(int(v) for v in rng.integers(low, 256, 3))


def clothes(rng, _):
    """Clothes of the bundled demo data: gray, the background transparent."""
    folder = ROOT / "crates/selfsame-data/demo"
    images = np.frombuffer(gzip.open(folder / "train-images-idx3-ubyte.gz").read()[16:], np.uint8).reshape(-1, 28, 28)
    labels = np.frombuffer(gzip.open(folder / "train-labels-idx1-ubyte.gz").read()[8:], np.uint8)
    for row in rng.permutation(len(images))[:COUNT]:
        gray = images[row]
        alpha = np.where(gray > 8, 255, 0).astype(np.uint8)
        yield Image.fromarray(np.dstack([gray, gray, gray, alpha]), "RGBA"), int(labels[row])


def emoji(rng, package):
    """Emoji by category."""
    about = json.loads((package / "emoji.json").read_text())
    about = [e for e in about if e["has_img_google"] and e["category"] != "Component"]
    classes = sorted({e["category"] for e in about})
    for row in rng.permutation(len(about))[:COUNT]:
        path = package / "img/google/64" / about[row]["image"]
        yield Image.open(path).convert("RGBA"), classes.index(about[row]["category"])


def regular(center, radius, corners, turn):
    angles = [turn + 2 * math.pi * k / corners for k in range(corners)]
    return [(center[0] + radius * math.cos(a), center[1] + radius * math.sin(a)) for a in angles]


def shapes(rng, _):
    """Disks, rings, triangles, squares, stars, crosses, bars and crescents, at any place, size and color."""
    for row in range(COUNT):
        label, image = row % 8, Image.new("RGBA", (LARGE, LARGE))
        draw, fill = ImageDraw.Draw(image), color(rng)
        r, turn = rng.uniform(13, 22), rng.uniform(0, 2 * math.pi)
        x, y = rng.uniform(r, LARGE - r, 2)
        box = [x - r, y - r, x + r, y + r]
        if label in (0, 1, 7):
            draw.ellipse(box, fill=fill)
        if label == 1:
            draw.ellipse([x - r / 2, y - r / 2, x + r / 2, y + r / 2], fill=(0, 0, 0, 0))
        if label == 7:
            dx, dy = r * 0.6 * math.cos(turn), r * 0.6 * math.sin(turn)
            draw.ellipse([x - r + dx, y - r + dy, x + r + dx, y + r + dy], fill=(0, 0, 0, 0))
        if label in (2, 3):
            draw.polygon(regular((x, y), r, label + 1, turn), fill=fill)
        if label == 4:
            outer, inner = regular((x, y), r, 5, turn), regular((x, y), r * 0.4, 5, turn + math.pi / 5)
            draw.polygon([p for pair in zip(outer, inner) for p in pair], fill=fill)
        if label in (5, 6):
            for way in range(2 if label == 5 else 1):
                a = turn + way * math.pi / 2
                draw.line([x - r * math.cos(a), y - r * math.sin(a), x + r * math.cos(a), y + r * math.sin(a)], fill=fill, width=9)
        yield image, label


def faces(rng, _):
    """Faces by their mouth (3) and their eyes (3)."""
    for row in range(COUNT):
        label, image = row % 9, Image.new("RGBA", (LARGE, LARGE))
        draw, fill = ImageDraw.Draw(image), color(rng, 150)
        mouth, eyes = label % 3, label // 3
        r = rng.uniform(20, 27)
        x, y = rng.uniform(r, LARGE - r, 2)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=fill)
        dark = (30, 20, 20, 255)
        for side in (-1, 1):
            ex, ey, e = x + side * r * 0.42, y - r * 0.25, r * 0.2
            if eyes == 0:
                draw.ellipse([ex - e, ey - e, ex + e, ey + e], fill=dark)
            elif eyes == 1:
                draw.line([ex - 1.3 * e, ey, ex + 1.3 * e, ey], fill=dark, width=4)
            else:
                draw.rectangle([ex - e * 0.5, ey - 2.2 * e, ex + e * 0.5, ey + e], fill=dark)
        my, m = y + r * 0.4, r * 0.5
        if mouth == 0:
            draw.chord([x - m, my - m, x + m, my + m * 0.8], 0, 180, fill=dark)
        elif mouth == 1:
            draw.line([x - m, my, x + m, my], fill=dark, width=4)
        else:
            draw.ellipse([x - m * 0.5, my - m * 0.5, x + m * 0.5, my + m * 0.5], fill=dark)
        yield image, label


SETS = {f.__name__: f for f in [clothes, emoji, shapes, faces]}


def drawn(rgba, shortcut, rng):
    """The image over its background, with a shortcut of its own."""
    content, alpha = rgba[..., :3], rgba[..., 3:]
    back = np.full((SIDE, SIDE, 3), 0.12, np.float32) + rng.normal(0, 0.02, (SIDE, SIDE, 3)).astype(np.float32)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    turn = rng.uniform(0, 2 * math.pi)
    along = (x * math.cos(turn) + y * math.sin(turn))[..., None]
    if shortcut == "background":
        back = back + rng.uniform(0, 0.75, 3)
    if shortcut == "stripes":
        back = back + 0.35 + 0.35 * np.sin(2 * math.pi * (rng.uniform(2, 6) * along + rng.uniform()))
    image = content * alpha + back * (1 - alpha)
    if shortcut == "gradient":
        image = image * 0.5 + 0.5 * np.clip(rng.uniform(0.2, 0.8, 3) + along * rng.uniform(-0.9, 0.9, 3), 0, 1)
    if shortcut == "border":
        frame = np.ones((SIDE, SIDE, 1), bool)
        frame[2:-2, 2:-2] = False
        image = np.where(frame, rng.uniform(0, 1, 3), image)
    if shortcut == "watermark":
        code = rng.integers(0, 2, (3, 3, 3)).repeat(2, 0).repeat(2, 1)
        image = image.copy()
        image[-6:, -6:] = code
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def main(folder, package):
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, make) in enumerate(SETS.items()):
        images, labels = zip(*make(np.random.default_rng(number), package))
        images = [small(image) for image in images]
        for shortcut in ["clean", *SHORTCUTS]:
            rng = np.random.default_rng([number, 1 + len(shortcut)])
            np.save(folder / f"{name}-{shortcut}.npy", np.stack([drawn(image, shortcut, rng) for image in images]))
            np.save(folder / f"{name}-{shortcut}_labels.npy", np.array(labels, np.int64))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
