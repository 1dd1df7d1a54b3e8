"""Writes files/: TIFFs as users have them, one kind each.

Python 3.11+, tifffile 2026.3.3, imagecodecs 2026.3.6, Pillow 13.0.0 (fax.py), numpy; rgb_lsb.tif by `tiffcp -f lsb2msb -c none` of rgb.
"""

import fax
import numpy as np
import tifffile

rng = np.random.default_rng(0)
y, x = np.mgrid[0:48, 0:40]
rgb = np.stack([x * 6, y * 5, (x + y) * 2], -1).astype(np.uint8)
nir = np.clip(20 + x * 1.0 + y * 2, 0, 255).astype(np.uint8)


def write(name, data, **more):
    tifffile.imwrite(f"files/{name}.tif", data, **more)


associated = np.dstack([(rgb.astype(int) * nir[..., None] // 255).astype(np.uint8), nir])
write("rgba_assoc", associated, photometric="rgb", extrasamples=["assocalpha"])
write("rgbnir_minisblack", np.dstack([rgb, nir]), photometric="minisblack", planarconfig="contig")
write("band5_contig", np.dstack([rgb, nir, nir]), photometric="minisblack", planarconfig="contig")
bands = rng.integers(0, 4000, (13, 48, 40)).astype(np.uint16)
write("band13_pages", bands, photometric="minisblack")
write("band13_contig", np.moveaxis(bands, 0, -1), photometric="minisblack", planarconfig="contig")
write("stack_pages", np.stack([np.zeros((48, 40), np.uint8), nir, nir]), photometric="minisblack")
write("big", rgb, photometric="rgb", bigtiff=True)
for kind in ["int16", "float16", "float64"]:
    write(f"grey_{kind}", (x * 20 + y - 50).astype(kind))
for compression in ["zstd", "webp"]:
    write(f"rgb_{compression}", rgb, photometric="rgb", compression=compression)
write("lzw_tiled_edge_48x40", rgb, photometric="rgb", compression="lzw", tile=(16, 16))
write("rgb_jpeg_ycbcr", rgb, photometric="ycbcr", compression="jpeg")
write("palette8", nir, photometric="palette", colormap=np.stack([np.arange(256) * 257] * 3).astype(np.uint16))
write("la8", np.dstack([nir, nir]), photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig")
turned = (x * 0.02 + y * 0.03).astype(np.float32)
write("orient_float32_6", turned, photometric="minisblack", extratags=[(274, 3, 1, 6, True)])
v, u = np.mgrid[0:70, 0:50]
tiles = np.stack([u * 5, v * 3, (u + v) * 2]).astype(np.uint8)
write("tiled_planar_70x50", tiles, photometric="rgb", planarconfig="separate", tile=(32, 32))
for name, kind in [("runs", "runs"), ("g3_2d", "g3 2d aligned"), ("g4", "g4")]:
    with open(f"files/fax_{name}.tif", "wb") as file:
        file.write(fax.write((x + 2 * y) % 31 < 9 + y // 3, kind, "strips"))
