#!/usr/bin/env python3
"""Decodes every picture of folders with Selfsame and with Pillow and tifffile, and says where they differ.

    compare.py --decode PROGRAM [--reasons reasons.toml] [--all] FOLDER...

PROGRAM is selfsame-data's example `decode`. For each file: `same` (every value), `near` (no value further away than NEAR of its
range), `differ`, `refused` (by us, read by a reference), `unread` (by nobody), `ours` (by us alone). Every file that is not the
same, near or unread is listed with the first matching reason of reasons.toml; one without a reason, or for which the
specification is against us, makes the exit code 1.
"""
import argparse
import collections
import fnmatch
import io
import json
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

# zune-jpeg's inverse DCT and its color conversion round differently from libjpeg's: up to this much of 255.
NEAR = 4.001 / 255
# As the program: a file that ends early is an error.
ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = 100_000_000
EXTENSIONS = set("jpg jpeg jpe jfif png apng webp tif tiff bmp dib gif pbm pgm ppm pnm pam".split())


def ours(program, paths):
    """What the program says of each file: an array, or the words of its refusal."""
    found = {}
    for start in range(0, len(paths), 100):
        batch = [str(path) for path in paths[start : start + 100]]
        run = subprocess.run([program, "3", *batch], capture_output=True)
        out = io.BytesIO(run.stdout)
        for path in batch:
            line = out.readline()
            if not line.endswith(b"\n"):
                found[path] = f"CRASH: exit code {run.returncode}: {run.stderr.decode()[-200:]}"
                break
            said = json.loads(line)
            if "refused" in said:
                found[path] = said["refused"]
                continue
            kind = {"u8": "u1", "u16": "<u2", "f32": "<f4"}[said["type"]]
            size = int(np.prod(said["shape"])) * np.dtype(kind).itemsize
            found[path] = np.frombuffer(out.read(size), kind).reshape(said["shape"])
        missing = [path for path in batch if path not in found]
        found |= ours(program, missing) if missing and len(missing) < len(batch) else {}
    return found


def composited(image):
    """RGB on white, or gray, as the program flattens."""
    clear = image.info.get("transparency")
    if image.mode.startswith("I") and clear is not None:
        # Pillow's own conversion to RGBA cuts 16 bits off at 255.
        values = np.asarray(image).astype(np.uint16)
        return np.where(values == clear, np.uint16(65535), values)
    if image.mode in ("L", "RGB", "I", "F", "1") or image.mode.startswith("I;16"):
        if clear is None:
            return np.asarray(image.convert("L") if image.mode == "1" else image)
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        return np.asarray(image.convert("RGB"))
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


def by_pillow(path):
    with Image.open(path) as image:
        image.load()
        return composited(ImageOps.exif_transpose(image))


def by_tifffile(path):
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        values = page.asarray()
        if page.planarconfig == 2 and values.ndim == 3:
            values = np.moveaxis(values, 0, -1)
        if page.photometric == 0:
            values = np.iinfo(values.dtype).max - values if values.dtype.kind == "u" else values
        if page.photometric not in (0, 1, 2) or values.ndim not in (2, 3):
            raise ValueError(f"{page.photometric.name} is left to Pillow")
        orientation = page.tags.get("Orientation")
        turns = {2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1),
                 6: lambda a: a.swapaxes(0, 1)[:, ::-1], 7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
                 8: lambda a: a.swapaxes(0, 1)[::-1]}
        return turns.get(int(orientation.value) if orientation else 1, lambda a: a)(values)


def references(path):
    """What Pillow and, for TIFF, tifffile give: {program: array or words}."""
    readers = {"Pillow": by_pillow}
    if path.suffix.lower() in (".tif", ".tiff"):
        readers["tifffile"] = by_tifffile
    found = {}
    for name, read in readers.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = read(path)
        except Exception as error:  # whatever a decoder raises is its refusal
            found[name] = f"{type(error).__name__}: {error}".splitlines()[0][:100]
    return found


def unit(values, top):
    """[height, width, 3], divided by `top`; alpha composited on white."""
    values = values[..., None] if values.ndim == 2 else values
    values = values.astype(np.float64) / top
    if values.shape[-1] in (2, 4):
        color, alpha = values[..., :-1], values[..., -1:]
        values = color * alpha + 1 - alpha
    return np.repeat(values, 3, -1) if values.shape[-1] == 1 else values


def distance(ours, theirs):
    """Largest difference as a part of the range; infinite where the shapes differ."""
    # Pillow has 16 bits in integers of 32; what the program has as floats keeps its own scale.
    tops = {"u1": 255, "u2": 65535, "u4": 65535, "i4": 65535, "b1": 1}
    own_scale = ours.dtype.kind == "f"
    most = float(np.nanmax(np.abs(theirs.astype(np.float64)), initial=1)) if own_scale else 1
    a, b = (unit(values, most if own_scale else tops.get(values.dtype.str[1:], 1)) for values in (ours, theirs))
    return float(np.max(np.abs(a - b), initial=0)) if a.shape == b.shape else float("inf")


def judged(ours, theirs):
    """(verdict, words)."""
    read = {name: value for name, value in theirs.items() if not isinstance(value, str)}
    if isinstance(ours, str):
        return ("refused", ours) if read and not ours.startswith("CRASH") else ("differ" if "CRASH" in ours else "unread", ours)
    if not read:
        return "ours", "; ".join(f"{name}: {words}" for name, words in theirs.items())
    apart = {name: distance(ours, value) for name, value in read.items()}
    best = min(apart.values())
    words = ", ".join(f"{name} {value * 255:.1f} of 255" if np.isfinite(value) else f"{name} {read[name].shape} where ours is"
                      f" {ours.shape}" for name, value in apart.items())
    return ("same" if best == 0 else "near" if best <= NEAR else "differ"), words


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decode", required=True)
    parser.add_argument("--reasons", default=Path(__file__).with_name("reasons.toml"))
    parser.add_argument("--all", action="store_true", help="list every file, not only those that need a reason")
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args()
    reasons = tomllib.loads(Path(options.reasons).read_text()).get("reason", [])
    total, against, unused = collections.Counter(), [], {reason["files"] for reason in reasons}
    for folder in options.folders:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower().lstrip(".") in EXTENSIONS and path.is_file())
        counts = collections.Counter()
        found = ours(options.decode, paths)
        for path in paths:
            verdict, words = judged(found[str(path)], references(path))
            counts[verdict] += 1
            name = str(path.relative_to(folder))
            if verdict in ("differ", "refused", "ours"):
                matches = (r for r in reasons if fnmatch.fnmatch(name, r["files"]) and r.get("verdict", verdict) == verdict)
                reason = next(matches, None)
                if reason is None or reason["right"] not in ("ours", "either", "refusal"):
                    against.append(name)
                unused.discard(reason and reason["files"])
                why = f"{reason['why']} [right: {reason['right']}]" if reason else "NO REASON"
                print(f"{verdict:8} {name}: {words}: {why}")
            elif options.all:
                print(f"{verdict:8} {name}: {words}")
        total += counts
        print(f"{folder}: {len(paths)} files: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    print("all: " + ", ".join(f"{count} {verdict}" for verdict, count in total.most_common()))
    if unused:
        print("reasons that no file needed: " + ", ".join(sorted(unused)))
    print(f"without a reason, or with the specification against us: {len(against)}")
    sys.exit(bool(against))


if __name__ == "__main__":
    main()
