#!/usr/bin/env python3
"""Writes the bundled demo set: the first 1,000 training and 200 test images of each class of Fashion-MNIST.

    python3 crates/selfsame-data/demo/make.py /usr/share/datasets/fashion-mnist

takes the four IDX files of Fashion-MNIST (Debian: dataset-fashion-mnist) and writes four beside this script, in the
order of the originals. The choice is by position alone and the archives carry no time stamp, so every run writes the
same images.
"""

import gzip
import pathlib
import struct
import sys

PER_CLASS = {"train": 1000, "t10k": 200}
OUT = pathlib.Path(__file__).parent


def read_idx(path):
    """Dimensions and bytes of an IDX file of unsigned bytes."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    return shape, raw[4 + 4 * rank :]


def write_idx(path, shape, data):
    header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    path.write_bytes(gzip.compress(header + data, 9, mtime=0))
    print(f"{path.name}: {shape}, {path.stat().st_size:,} bytes")


def main(source):
    for split, per_class in PER_CLASS.items():
        (_, height, width), images = read_idx(source / f"{split}-images-idx3-ubyte.gz")
        _, labels = read_idx(source / f"{split}-labels-idx1-ubyte.gz")
        seen, chosen = [0] * 10, []
        for index, label in enumerate(labels):
            if seen[label] < per_class:
                seen[label] += 1
                chosen.append(index)
        assert seen == [per_class] * 10, seen
        size = height * width
        pixels = b"".join(images[i * size : (i + 1) * size] for i in chosen)
        write_idx(OUT / f"{split}-images-idx3-ubyte.gz", (len(chosen), height, width), pixels)
        write_idx(OUT / f"{split}-labels-idx1-ubyte.gz", (len(chosen),), bytes(labels[i] for i in chosen))


main(pathlib.Path(sys.argv[1]))
