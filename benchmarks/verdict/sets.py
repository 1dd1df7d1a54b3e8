"""Small image sets with classes, clean and with a shortcut drawn in, as .npy files for `selfsame`.

    sets.py FOLDER SOURCES      SOURCES: package/ is the unpacked npm package emoji-datasource-google, debian/ what `make` unpacks

Every set has COUNT images of SIDE x SIDE pixels in color: FOLDER/SET-DRAWN.npy with FOLDER/SET-DRAWN_labels.npy, DRAWN
being `clean` or one of SHORTCUTS. A shortcut is drawn anew for every image, whatever its class: it tells images apart and
says nothing about them. In the FRESH sets, which came after the bounds, shortcuts are drawn otherwise and stronger.
"""

import collections
import gzip
import json
import math
import pathlib
import re
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

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


def emoji(rng, sources):
    """Emoji by category."""
    package = sources / "package"
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


def letters(rng, sources):
    """Ten letters of many fonts, at any place, size and color, a little turned."""
    fonts = sorted((sources / "debian/usr/share/fonts").rglob("*.[to]tf"))
    fonts = [path for path in fonts if not re.search("Italic|Oblique|Thin|Hairline", path.stem)]
    for row in range(COUNT):
        label, image = row % 10, Image.new("RGBA", (LARGE, LARGE))
        font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), int(rng.integers(36, 52)))
        x, y = rng.uniform(LARGE * 0.42, LARGE * 0.58, 2)
        ImageDraw.Draw(image).text((x, y), "AEHKMOSTXZ"[label], font=font, fill=color(rng), anchor="mm")
        yield image.rotate(rng.uniform(-25, 25), Image.Resampling.BICUBIC), label


def units(rng, sources):
    """Figures of a game by their people: at most ten frames of the animations of each."""
    folder = next(sources.glob("debian/usr/share/games/wesnoth/*/data/core/images/units"))
    frames = collections.defaultdict(list)
    for path in sorted(folder.glob("*/**/*.png")):
        frames[path.relative_to(folder).parts[0].split("-")[0], re.split("[-+]", path.stem)[0]].append(path)
    chosen = [(path, people) for (people, _), paths in frames.items() for path in rng.permutation(paths)[:10]]
    count = collections.Counter(people for _, people in chosen)
    classes = sorted(people for people in count if count[people] >= 60)
    chosen = [(path, people) for path, people in chosen if people in classes]
    for row in rng.permutation(len(chosen))[:COUNT]:
        image = Image.open(chosen[row][0]).convert("RGBA")
        yield image.crop(image.getbbox()).resize((LARGE, LARGE), Image.Resampling.BOX), classes.index(chosen[row][1])


def clipart(rng, sources):
    """Drawings by subject, at most 250 of each."""
    folder = sources / "debian/usr/share/openclipart/png"
    subjects = {f: sorted(p for p in f.rglob("*.png") if not p.is_symlink() and p.stat().st_size < 100_000) for f in sorted(folder.iterdir())}
    subjects = {f: paths for f, paths in subjects.items() if len(paths) >= 60 and f.name not in ("unsorted", "special")}
    chosen = [(path, label) for label, paths in enumerate(subjects.values()) for path in rng.permutation(paths)[:250]]
    for row in rng.permutation(len(chosen))[:COUNT]:
        image = Image.open(chosen[row][0]).convert("RGBA")
        image.thumbnail((LARGE, LARGE), Image.Resampling.BOX)
        canvas = Image.new("RGBA", (LARGE, LARGE))
        canvas.paste(image, ((LARGE - image.width) // 2, (LARGE - image.height) // 2))
        yield canvas, chosen[row][1]


def photos(rng, sources):
    """Pieces of photographs, a tenth to a quarter of their height wide, by photograph."""
    share = sources / "debian/usr/share"
    large = [max(f.glob("contents/images/*.jpg"), key=lambda path: path.stat().st_size, default=None) for f in sorted((share / "wallpapers").iterdir())]
    paths = [path for path in large if path] + sorted((share / "backgrounds/mate/nature").glob("*.jpg"))
    opened = [Image.open(path).convert("RGB") for path in paths]
    for row in range(COUNT):
        label = row % len(opened)
        image = opened[label]
        side = int(rng.uniform(0.1, 0.25) * image.height)
        x, y = (int(rng.integers(limit - side)) for limit in image.size)
        yield image.crop((x, y, x + side, y + side)).resize((LARGE, LARGE), Image.Resampling.BOX).convert("RGBA"), label


def icons(rng, sources):
    """Icons of a desktop by category."""
    folder = sources / "debian/usr/share/icons/oxygen/base"
    named = {}
    for side in (64, 48, 32):
        for path in sorted(folder.glob(f"{side}x{side}/*/*.png")):
            if not path.is_symlink():
                named.setdefault((path.parent.name, path.stem), path)
    count = collections.Counter(category for category, _ in named)
    classes = sorted(category for category in count if count[category] >= 30)
    chosen = [(path, category) for (category, _), path in named.items() if category in classes]
    for row in rng.permutation(len(chosen))[:COUNT]:
        image = Image.open(chosen[row][0]).convert("RGBA")
        yield image.resize((LARGE, LARGE), Image.Resampling.BILINEAR), classes.index(chosen[row][1])


def terrain(rng, sources):
    """Ground, walls and plants of a game by what they are, at most 200 of each."""
    folder = next(sources.glob("debian/usr/share/games/wesnoth/*/data/core/images/terrain"))
    kinds = [sorted(path for path in f.rglob("*.png") if not path.is_symlink()) for f in sorted(folder.iterdir()) if f.is_dir()]
    kinds = [paths for paths in kinds if len(paths) >= 100]
    chosen = [(path, label) for label, paths in enumerate(kinds) for path in rng.permutation(paths)[:200]]
    for row in rng.permutation(len(chosen))[:COUNT]:
        image = Image.open(chosen[row][0]).convert("RGBA")
        image = image.crop(image.getbbox())
        yield image.resize((LARGE, LARGE), Image.Resampling.BILINEAR), chosen[row][1]


FRESH = [letters, units]
# Judged, not packed: what no bound was chosen by when they came.
UNSEEN = [clipart, photos, icons, terrain]
# Those whose shortcuts are drawn more strongly.
STRONG = [*FRESH, photos, terrain]
SETS = {f.__name__: f for f in [clothes, emoji, shapes, faces, *FRESH, *UNSEEN]}


def strongly_drawn(rgba, shortcut, rng):
    """The image over its background, with a shortcut of its own that covers more of it."""
    content, alpha = rgba[..., :3], rgba[..., 3:]
    back = np.full((SIDE, SIDE, 3), 0.12, np.float32) + rng.normal(0, 0.02, (SIDE, SIDE, 3)).astype(np.float32)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    if shortcut == "background":
        back, alpha = back * 0 + rng.uniform(0, 1, 3), alpha * 0.6
    image = content * alpha + back * (1 - alpha)
    if shortcut == "stripes":
        turn = rng.uniform(0, 2 * math.pi)
        along = (x * math.cos(turn) + y * math.sin(turn))[..., None] / SIDE
        image = image * 0.5 + 0.25 + 0.25 * np.sign(np.sin(2 * math.pi * (rng.uniform(1.5, 5) * along + rng.uniform())))
    if shortcut == "gradient":
        corners = rng.uniform(0, 1, (2, 2, 3)).astype(np.float32)
        v, u = y[..., None] / (SIDE - 1), x[..., None] / (SIDE - 1)
        top, bottom = (corners[k, 0] * (1 - u) + corners[k, 1] * u for k in (0, 1))
        image = image * 0.4 + 0.6 * (top * (1 - v) + bottom * v)
    if shortcut == "border":
        frame = (x < 3) | (y < 3) | (x >= SIDE - 3) | (y >= SIDE - 3)
        image = np.where(frame[..., None], rng.uniform(0, 1, 3), image)
    if shortcut == "watermark":
        # A bar code along the lower edge.
        image = image.copy()
        image[-5:] = rng.integers(0, 2, (1, 8, 3)).repeat(2, 1)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


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


def main(folder, sources):
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, make) in enumerate(SETS.items()):
        draw = strongly_drawn if make in STRONG else drawn
        images, labels = zip(*make(np.random.default_rng(number), sources))
        images = [small(image) for image in images]
        for shortcut in ["clean", *SHORTCUTS]:
            rng = np.random.default_rng([number, 1 + len(shortcut)])
            np.save(folder / f"{name}-{shortcut}.npy", np.stack([draw(image, shortcut, rng) for image in images]))
            np.save(folder / f"{name}-{shortcut}_labels.npy", np.array(labels, np.int64))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
