"""Fax-compressed TIFFs of every layout, written by the libtiff that Pillow brings (Pillow 13.0.0, Linux) and read back by Pillow."""

import ctypes
import glob
import io
import itertools
import os
import tempfile

import numpy as np
import PIL
from PIL import Image

LIBTIFF = ctypes.CDLL(glob.glob(os.path.join(os.path.dirname(PIL.__file__), "..", "pillow.libs", "libtiff*"))[0])
LIBTIFF.TIFFOpen.restype = ctypes.c_void_p
LIBTIFF.TIFFOpen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
LIBTIFF.TIFFClose.argtypes = [ctypes.c_void_p]
for chunk in ("Strip", "Tile"):
    writer = getattr(LIBTIFF, f"TIFFWriteEncoded{chunk}")
    writer.restype = ctypes.c_ssize_t
    writer.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_ssize_t]

# Name: compression, T4Options (bit 0: two dimensions, bit 2: end-of-line codes end a byte).
KINDS = {
    "runs": (2, None),
    "g3": (3, 0),
    "g3 aligned": (3, 4),
    "g3 2d": (3, 1),
    "g3 2d aligned": (3, 5),
    "g4": (4, None),
}
LAYOUTS = {"strip": 0, "strips": 5, "tiles": 16}


def write(black, kind, layout, mode="wl", fill=1, photometric=0, orientation=1):
    """A TIFF of `black`, [height, width] of truths. `mode` is libtiff's: wl or wb, 8 for a BigTIFF (little-endian, which Pillow reads)."""
    compression, options = KINDS[kind]
    height, width = black.shape
    rows = LAYOUTS[layout] or height
    with tempfile.NamedTemporaryFile(suffix=".tif") as file:
        tiff = LIBTIFF.TIFFOpen(file.name.encode(), mode.encode())
        tags = [(256, width), (257, height), (258, 1), (277, 1), (259, compression), (262, photometric), (266, fill)]
        tags += [(274, orientation)] + ([(292, options)] if options is not None else [])
        tags += [(322, 16), (323, 16)] if layout == "tiles" else [(278, rows)]
        for tag, value in tags:
            assert LIBTIFF.TIFFSetField(ctypes.c_void_p(tiff), ctypes.c_uint32(tag), ctypes.c_int(value)) == 1, tag
        if layout == "tiles":
            padded = np.pad(black, ((0, -height % 16), (0, -width % 16)))
            chunks = [padded[y : y + 16, x : x + 16] for y in range(0, height, 16) for x in range(0, width, 16)]
        else:
            chunks = [black[y : y + rows] for y in range(0, height, rows)]
        writer = LIBTIFF.TIFFWriteEncodedTile if layout == "tiles" else LIBTIFF.TIFFWriteEncodedStrip
        for number, chunk in enumerate(chunks):
            # libtiff's bits are 1 where the fax is black.
            data = np.packbits(chunk, axis=1).tobytes()
            assert writer(tiff, number, data, len(data)) == len(data)
        LIBTIFF.TIFFClose(tiff)
        return file.read()


def shown(black, photometric):
    """Gray: where bits are 1, black if zero is white, else white."""
    return np.where(black == (photometric == 1), 255, 0).astype(np.uint8)


def pictures(draw):
    """By name, [height, width] of truths: noise, lines, edges that move from row to row, and every length of run."""
    pages = {"white": np.zeros((5, 16), bool), "black": np.ones((5, 23), bool), "one column": draw.random((9, 1)) < 0.5}
    for width in (8, 19, 33):
        pages[f"noise {width}"] = draw.random((17, width)) < 0.5
    rows = np.arange(40)[:, None]
    columns = np.arange(75)[None]
    pages["slopes"] = (columns + 2 * rows) % 31 < 9 + rows // 3
    pages["blots"] = (np.sin(columns / 9) + np.sin(rows / 4) > 0.8) | ((columns - 40) ** 2 + (rows - 20) ** 2 < 90)
    lengths = [*range(64), *range(64, 2561, 64), 2623, 2700]
    pages["runs"] = np.zeros((len(lengths), 5407), bool)
    for row, length in enumerate(lengths):
        pages["runs"][row, 3 : 3 + length] = True
        pages["runs"][row, 4 + 2 * length :] = True
    return pages


def cases(every):
    """Name, file, and gray pixels before they are turned, with the orientation."""
    pages = pictures(np.random.default_rng(1))
    axes = [list(pages), list(KINDS), list(LAYOUTS), [1, 2], [0, 1], ["wl", "wb", "wl8"]]
    for number, choice in enumerate(itertools.product(*axes)):
        page, kind, layout, fill, photometric, mode = choice
        # Each picture in each kind and layout; what lies around them in turns.
        if not every and number % 12 != (number // 12 * 5) % 12 or page == "runs" and layout == "tiles":
            continue
        black, orientation = pages[page], number % 8 + 1 if page != "runs" and number % 3 == 0 else 1
        data = write(black, kind, layout, mode, fill, photometric, orientation)
        gray = shown(black, photometric)
        name = f"fax {kind}: {page} {layout} fill{fill} photometric{photometric} {mode} o{orientation}"
        with Image.open(io.BytesIO(data)) as image:
            turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
            found = np.asarray(image.convert("L"))
            expected = Image.fromarray(gray)
            expected = expected if turned is None else expected.transpose(turned)
            assert found.shape == np.asarray(expected).shape and (found == np.asarray(expected)).all(), f"Pillow reads other pixels: {name}"
        yield name, data, gray, orientation
