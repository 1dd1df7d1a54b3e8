#!/usr/bin/env python3
"""JPEG files of every layout, with the pixels that libjpeg-turbo (in Pillow) gives them.

    jpeg_sweep.py OUT            the whole sweep: a folder of files, for compare.py
    jpeg_sweep.py --small ZIP    one small file of each layout, with reference pixels: what the tests of selfsame-data read

Component order x sampling x scans x restarts x progressive x gray/RGB/YCbCr/CMYK/YCCK. The files are written here, coefficient by
coefficient, because no encoder writes all these layouts; where `cjpeg` is on the path, the whole sweep has its files too.
"""
import io
import itertools
import random
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
DC = ((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0), tuple(range(12)))
# Every pair of run and size has a code of 8 or 9 bits, so that one table serves every scan of every file.
AC_VALUES = [run << 4 | size for size in range(0, 11) for run in range(16)]
AC = ((0, 0, 0, 0, 0, 0, 0, 80, 96, 0, 0, 0, 0, 0, 0, 0), tuple(AC_VALUES))
QUANTIZATION = np.array([[3 + (x + y) for x in range(8)] for y in range(8)])


def codes(table):
    counts, values = table
    out, code, at = {}, 0, 0
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            out[values[at]] = (code, length)
            code, at = code + 1, at + 1
        code <<= 1
    return out


DC_CODES, AC_CODES = codes(DC), codes(AC)


class Bits:
    def __init__(self):
        self.text = []

    def put(self, value, length):
        if length:
            self.text.append(format(value & ((1 << length) - 1), f"0{length}b"))

    def number(self, value, size):
        self.put(value if value >= 0 else value + (1 << size) - 1, size)

    def bytes(self):
        text = "".join(self.text)
        text += "1" * (-len(text) % 8)
        data = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
        return data.replace(b"\xff", b"\xff\x00")


def picture(width, height, channels):
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        128 + 90 * np.sin(x / 7 + y / 11),
        128 + 90 * np.cos(x / 9 - y / 5),
        (x * 5 + y * 3) % 256,
        60 + 40 * np.sin(x / 4) * np.cos(y / 6),
    ]
    return np.clip(np.stack(planes[:channels], -1), 0, 255)


def coefficients(plane, across, down, most, mcus):
    """Quantized blocks of one component, [rows, columns, 64], zigzag; padded to whole MCUs."""
    height, width = plane.shape
    ys = np.minimum(np.arange(mcus[1] * down * 8) * most[1] // down, height - 1)
    xs = np.minimum(np.arange(mcus[0] * across * 8) * most[0] // across, width - 1)
    samples = plane[ys][:, xs] - 128
    k, n = np.mgrid[0:8, 0:8]
    basis = np.where(k == 0, np.sqrt(1 / 8), 0.5) * np.cos((2 * n + 1) * k * np.pi / 16)
    blocks = samples.reshape(mcus[1] * down, 8, mcus[0] * across, 8).transpose(0, 2, 1, 3)
    blocks = np.rint(basis @ blocks @ basis.T / QUANTIZATION).astype(int)
    return blocks.reshape(*blocks.shape[:2], 64)[..., ZIGZAG]


def size_of(value):
    return abs(int(value)).bit_length()


class Scan:
    """Entropy coding of one scan: sequential (`band` is None), or a band with its bits."""

    def __init__(self, band, high, low):
        self.band, self.high, self.low = band, high, low

    def block(self, bits, block, part, state):
        if self.band is None or self.band[0] == 0:
            if self.high:
                bits.put(int(block[0]) >> self.low & 1, 1)
            else:
                value = int(block[0]) >> self.low
                difference = value - state["predicted"].get(part, 0)
                state["predicted"][part] = value
                size = size_of(difference)
                bits.put(*DC_CODES[size])
                bits.number(difference, size)
            if self.band is not None:
                return
        first, last = (1, 63) if self.band is None else self.band
        # Magnitudes are cut towards zero, as the format has it for AC coefficients.
        values = [(abs(int(v)) >> self.low) * (1 if v > 0 else -1) for v in block[first : last + 1]]
        if self.high:
            self.refine(bits, values, state)
        else:
            self.first(bits, values, state)

    def first(self, bits, values, state):
        run = 0
        for value in values:
            if value == 0:
                run += 1
                continue
            self.end_of_bands(bits, state)
            while run > 15:
                bits.put(*AC_CODES[0xF0])
                run -= 16
            size = size_of(value)
            bits.put(*AC_CODES[run << 4 | size])
            bits.number(value, size)
            run = 0
        if run:
            state["ended"] += 1
            if self.band is None or state["ended"] == 0x7FFF:
                self.end_of_bands(bits, state)

    def refine(self, bits, values, state):
        run, pending = 0, []
        last_new = max([i for i, v in enumerate(values) if abs(v) == 1], default=-1)
        for i, value in enumerate(values):
            if value == 0:
                run += 1
                continue
            while run > 15 and i <= last_new:
                self.end_of_bands(bits, state)
                bits.put(*AC_CODES[0xF0])
                bits.text.extend(pending)
                pending, run = [], run - 16
            if abs(value) > 1:
                pending.append(str(abs(value) & 1))
                continue
            self.end_of_bands(bits, state)
            bits.put(*AC_CODES[run << 4 | 1])
            bits.put(int(value > 0), 1)
            bits.text.extend(pending)
            pending, run = [], 0
        if run or pending:
            state["ended"] += 1
            state["pending"].extend(pending)
            if state["ended"] == 0x7FFF:
                self.end_of_bands(bits, state)

    def end_of_bands(self, bits, state):
        ended = state["ended"]
        if ended:
            size = ended.bit_length() - 1
            bits.put(*AC_CODES[size << 4])
            bits.put(ended, size)
            bits.text.extend(state["pending"])
            state["ended"], state["pending"] = 0, []


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(width, height, sampling, ids=None, order=None, scans=None, restart=0, progressive=False, app=b"", sof=None,
         planes=None, tables=True, wide_tables=False, restart_per_scan=False):
    """A file. `scans` lists scans as (components, band, high, low); by default one scan of all, in `order`."""
    count = len(sampling)
    planes = picture(width, height, count) if planes is None else planes
    ids = ids or list(range(1, count + 1))
    most = [max(s[i] for s in sampling) for i in (0, 1)]
    mcus = [-(-width // (8 * most[0])), -(-height // (8 * most[1]))]
    blocks = [coefficients(planes[..., i], *sampling[i], most, mcus) for i in range(count)]
    out = [b"\xff\xd8", app]
    if wide_tables:
        out.append(segment(0xDB, b"\x10" + struct.pack(">64H", *(QUANTIZATION.flatten()[ZIGZAG]))))
    else:
        out.append(segment(0xDB, b"\0" + bytes(QUANTIZATION.flatten()[ZIGZAG].tolist())))
    sof = sof or (0xC2 if progressive else 0xC0)
    frame = struct.pack(">BHHB", 8, height, width, count)
    out.append(segment(sof, frame + b"".join(bytes([i, s[0] << 4 | s[1], 0]) for i, s in zip(ids, sampling))))
    if tables:
        for number in (0, 1):
            for group, table in ((0, DC), (16, AC)):
                out.append(segment(0xC4, bytes([group | number]) + bytes(table[0]) + bytes(table[1])))
    if restart and not restart_per_scan:
        out.append(segment(0xDD, struct.pack(">H", restart)))
    scans = scans or [(order or list(range(count)), None, 0, 0)]
    for number, (parts, band, high, low) in enumerate(scans):
        interval = restart + number if restart_per_scan else restart
        if restart_per_scan:
            out.append(segment(0xDD, struct.pack(">H", interval)))
        head = bytes([len(parts)]) + b"".join(bytes([ids[p], 0x11 if p else 0]) for p in parts)
        first, last = band or (0, 63)
        out.append(segment(0xDA, head + bytes([first, last, high << 4 | low])))
        if len(parts) == 1:
            p = parts[0]
            wide, tall = -(-width * sampling[p][0] // (8 * most[0])), -(-height * sampling[p][1] // (8 * most[1]))
            units = [[(p, y, x)] for y in range(tall) for x in range(wide)]
        else:
            units = [
                [(p, my * sampling[p][1] + y, mx * sampling[p][0] + x) for p in parts
                 for y in range(sampling[p][1]) for x in range(sampling[p][0])]
                for my in range(mcus[1]) for mx in range(mcus[0])
            ]
        coder, step = Scan(band, high, low), interval or len(units)
        for index, start in enumerate(range(0, len(units), step)):
            bits, state = Bits(), {"predicted": {}, "ended": 0, "pending": []}
            for p, y, x in itertools.chain(*units[start : start + step]):
                coder.block(bits, blocks[p][y, x], p, state)
            coder.end_of_bands(bits, state)
            if start:
                out.append(bytes([0xFF, 0xD0 + (index - 1) % 8]))
            out.append(bits.bytes())
    return b"".join(out + [b"\xff\xd9"])


def progressive_scans(count, interleaved_dc=True, refine=True):
    """Spectral selection and successive approximation."""
    everyone = list(range(count))
    dc = [everyone] if interleaved_dc else [[p] for p in everyone]
    low = 1 if refine else 0
    scans = [(parts, (0, 0), 0, low) for parts in dc]
    for p in reversed(everyone):
        scans += [([p], (1, 5), 0, 2 * low), ([p], (6, 63), 0, 2 * low)]
    if refine:
        scans += [([p], (1, 63), 2, 1) for p in everyone]
        scans += [(parts, (0, 0), 1, 0) for parts in dc]
        scans += [([p], (1, 63), 1, 0) for p in everyone]
    return scans


def adobe(transform):
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


JFIF = segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
SAMPLINGS = {
    "444": [(1, 1), (1, 1), (1, 1)],
    "422": [(2, 1), (1, 1), (1, 1)],
    "440": [(1, 2), (1, 1), (1, 1)],
    "420": [(2, 2), (1, 1), (1, 1)],
    "411": [(4, 1), (1, 1), (1, 1)],
    "1x4": [(1, 4), (1, 1), (1, 1)],
    "410": [(4, 2), (1, 1), (1, 1)],
    "2x4": [(2, 4), (1, 1), (1, 1)],
    "3x1": [(3, 1), (1, 1), (1, 1)],
    "1x3": [(1, 3), (1, 1), (1, 1)],
    "3x2": [(3, 2), (1, 1), (1, 1)],
    "finer_chroma_22": [(1, 1), (2, 2), (2, 2)],
    "finer_chroma_21": [(1, 1), (2, 1), (2, 1)],
    "finer_chroma_12": [(1, 1), (1, 2), (1, 2)],
    "finer_cb": [(1, 1), (2, 2), (1, 1)],
    "uneven": [(2, 2), (2, 1), (1, 2)],
    "half_up": [(2, 2), (2, 1), (2, 1)],
    "half_across": [(2, 2), (1, 2), (1, 2)],
    "all_22": [(2, 2), (2, 2), (2, 2)],
    "all_21": [(2, 1), (2, 1), (2, 1)],
}
# Too many blocks for one MCU: only with a scan for each component.
ONLY_ALONE = {"4x4": [(4, 4), (1, 1), (1, 1)], "all_22": SAMPLINGS.pop("all_22"), "all_42": [(4, 2), (4, 2), (2, 1)]}
ALONE = [([p], None, 0, 0) for p in range(3)]
SCANS = {
    "one": None,
    "alone": ALONE,
    "y_then_c": [([0], None, 0, 0), ([1, 2], None, 0, 0)],
    "c_then_y": [([1, 2], None, 0, 0), ([0], None, 0, 0)],
    "y_last": [([1], None, 0, 0), ([2], None, 0, 0), ([0], None, 0, 0)],
    "y_in_the_middle": [([2], None, 0, 0), ([0], None, 0, 0), ([1], None, 0, 0)],
    "progressive": progressive_scans(3),
    "progressive_alone": progressive_scans(3, interleaved_dc=False),
    "progressive_bands": progressive_scans(3, refine=False),
}
RESTARTS = {"": {}, "_rst1": {"restart": 1}, "_rst3": {"restart": 3}, "_rst_per_scan": {"restart": 2, "restart_per_scan": True}}


def sweep(sizes):
    """(name, bytes) of every layout in every size."""
    for width, height in sizes:
        size = f"{width}x{height}"
        for (sampling, components), (scans, given), (restarts, options) in itertools.product(
            (SAMPLINGS | ONLY_ALONE).items(), SCANS.items(), RESTARTS.items()
        ):
            together = any(len(scan[0]) > 1 for scan in given or [((0, 0),)])
            if sampling in ONLY_ALONE and together:
                continue
            progressive = scans.startswith("progressive")
            data = jpeg(width, height, components, scans=given, progressive=progressive, app=JFIF, **options)
            yield f"ycc_{sampling}_{scans}{restarts}_{size}.jpg", data
        for restarts, options in RESTARTS.items():
            for name, sampling in (("11", (1, 1)), ("22", (2, 2)), ("12", (1, 2)), ("41", (4, 1))):
                yield f"gray_{name}{restarts}_{size}.jpg", jpeg(width, height, [sampling], app=JFIF, **options)
                scans = progressive_scans(1)
                data = jpeg(width, height, [sampling], app=JFIF, scans=scans, progressive=True, **options)
                yield f"gray_{name}_progressive{restarts}_{size}.jpg", data
            colors = {
                "rgb_adobe": (3, adobe(0), None),
                "ycc_adobe": (3, adobe(1), None),
                "ycc_adobe_2": (3, adobe(2), None),
                "rgb_ids": (3, b"", list(b"RGB")),
                "ycc_rgb_ids": (3, JFIF, list(b"RGB")),
                "ycc_no_app": (3, b"", None),
                "ycc_ids_0": (3, b"", [0, 1, 2]),
                "ycc_ids_turned": (3, b"", [2, 1, 3]),
                "ycc_jfif_adobe_0": (3, JFIF + adobe(0), None),
                "cmyk": (4, b"", None),
                "cmyk_adobe": (4, adobe(0), None),
                "ycck": (4, adobe(2), None),
                "ycck_1": (4, adobe(1), None),
            }
            for (name, (count, app, ids)), sampled, progressive in itertools.product(
                colors.items(), ("444", "422", "420"), (False, True)
            ):
                components = SAMPLINGS[sampled] + ([SAMPLINGS[sampled][0]] if count == 4 else [])
                more = {"scans": progressive_scans(count)} if progressive else {}
                data = jpeg(width, height, components, ids=ids, app=app, progressive=progressive, **more, **options)
                yield f"{name}_{sampled}{'_progressive' if progressive else ''}{restarts}_{size}.jpg", data
                if count == 4 and not progressive:
                    scans = [([p], None, 0, 0) for p in (3, 0, 1, 2)]
                    yield f"{name}_{sampled}_alone{restarts}_{size}.jpg", jpeg(
                        width, height, components, ids=ids, app=app, scans=scans, **options
                    )


def headers():
    """(name, bytes): what may stand between the segments, and other headers."""
    plain = jpeg(40, 24, SAMPLINGS["420"], app=JFIF)
    alone = jpeg(40, 24, SAMPLINGS["420"], app=JFIF, scans=ALONE)
    restarts = jpeg(40, 24, SAMPLINGS["420"], app=JFIF, restart=1)
    progressive = jpeg(40, 24, SAMPLINGS["420"], app=JFIF, scans=progressive_scans(3), progressive=True)
    for name, file in (("plain", plain), ("alone", alone), ("progressive", progressive)):
        scan = file.index(b"\xff\xda")
        last = file.rindex(b"\xff\xda")
        yield f"zeros_{name}.jpg", file[:scan] + bytes(3) + file[scan:]
        yield f"many_zeros_{name}.jpg", file[:scan] + bytes(300) + file[scan:]
        yield f"text_{name}.jpg", file[:20] + b"\n\r text" + file[20:]
        yield f"stuffed_{name}.jpg", file[:scan] + b"\xff\0\xff\0" + file[scan:]
        yield f"fill_{name}.jpg", file[:scan] + b"\xff" * 5 + file[scan:]
        yield f"fill_before_last_scan_{name}.jpg", file[:last] + b"\xff" * 5 + file[last:]
        yield f"fill_before_end_{name}.jpg", file[:-2] + b"\xff" * 5 + file[-2:]
        yield f"end_in_comment_{name}.jpg", file[:2] + segment(0xFE, b"x\xff\xd9y") + file[2:]
        yield f"comment_before_last_scan_{name}.jpg", file[:last] + segment(0xFE, b"x\xff\xd9y") + file[last:]
        yield f"unknown_app_{name}.jpg", file[:2] + segment(0xEC, bytes(40)) + file[2:]
        yield f"app14_of_another_{name}.jpg", file[:2] + segment(0xEE, b"http://ns.adobe.com/xap/1.0/\0<x/>") + file[2:]
        yield f"app14_short_{name}.jpg", file[:2] + segment(0xEE, b"Ado") + file[2:]
        yield f"adobe_short_{name}.jpg", file[:2] + segment(0xEE, b"Adobe\0\x64") + file[2:]
        yield f"bad_profile_{name}.jpg", file[:2] + segment(0xE2, b"ICC_PROFILE\0\x05\x02bad") + file[2:]
        yield f"empty_app1_{name}.jpg", file[:2] + segment(0xE1, b"") + file[2:]
        yield f"twice_{name}.jpg", file + file
        yield f"text_behind_{name}.jpg", file + b"SEFH" + bytes(1000)
        if name != "progressive":
            yield f"zeros_behind_data_{name}.jpg", file[:-2] + bytes(40) + file[-2:]
    scan = restarts.index(b"\xff\xda")
    filled = restarts[scan:]
    for number in range(8):
        filled = filled.replace(bytes([0xFF, 0xD0 + number]), bytes([0xFF, 0xFF, 0xFF, 0xD0 + number]))
    yield "fill_before_restarts.jpg", restarts[:scan] + filled
    for sampled in ("444", "420"):
        yield f"extended_{sampled}.jpg", jpeg(40, 24, SAMPLINGS[sampled], app=JFIF, sof=0xC1)
        yield f"wide_tables_{sampled}.jpg", jpeg(40, 24, SAMPLINGS[sampled], app=JFIF, sof=0xC1, wide_tables=True)
        yield f"restart_0_{sampled}.jpg", jpeg(40, 24, SAMPLINGS[sampled], app=JFIF + segment(0xDD, b"\0\0"))
        # Motion JPEG leaves its Huffman tables out.
        buffer = io.BytesIO()
        Image.fromarray(picture(40, 24, 3).astype(np.uint8)).save(
            buffer, "JPEG", subsampling={"444": 0, "420": 2}[sampled], quality=90
        )
        parts, file = [], buffer.getvalue()
        at = 2
        while file[at + 1] != 0xDA:
            length = 2 + struct.unpack(">H", file[at + 2 : at + 4])[0]
            parts += [file[at : at + length]] if file[at + 1] != 0xC4 else []
            at += length
        yield f"motion_{sampled}.jpg", file[:2] + b"".join(parts) + file[at:]


def refused():
    """(name, bytes, words of the refusal): what no decoder of the program reads, or what is no whole file."""
    plain = jpeg(40, 24, SAMPLINGS["420"], app=JFIF)
    frame = plain.index(b"\xff\xc0")
    kinds = {0xC3: "a lossless JPEG", 0xC5: "a hierarchical JPEG", 0xC7: "a hierarchical JPEG", 0xC9: "arithmetic coding",
             0xCA: "arithmetic coding", 0xCB: "a lossless JPEG with arithmetic coding", 0xCE: "a hierarchical JPEG",
             0xDE: "a hierarchical JPEG", 0xF7: "a JPEG-LS file"}
    for marker, words in kinds.items():
        yield f"frame_{marker:02x}.jpg", plain[: frame + 1] + bytes([marker]) + plain[frame + 2 :], words
    yield "12_bits.jpg", plain[: frame + 4] + b"\x0c" + plain[frame + 5 :], "a JPEG of 12 bits per value"
    yield "height_later.jpg", plain[: frame + 5] + b"\0\0" + plain[frame + 7 :], "gives its height after its first scan"
    yield "two_components.jpg", jpeg(40, 24, [(1, 1), (1, 1)]), "a JPEG of 2 components"
    yield "3x1_beside_2x1.jpg", jpeg(40, 24, [(3, 1), (2, 1), (1, 1)]), "sampled 2×1 beside 3×1"
    yield "no_table.jpg", plain.replace(b"\xff\xdb", b"\xff\xfe", 1), "without a quantization table"
    yield "turned.jpg", jpeg(40, 24, SAMPLINGS["420"], order=[2, 0, 1]), "not in the order of the frame"
    scan = plain.index(b"\xff\xda")
    yield "no_end.jpg", plain[:-2], "truncated: no JPEG end-of-image marker"
    yield "no_scan.jpg", plain[: scan + 8], "truncated: the file ends within the JPEG header"
    for name, options in {"one": {}, "alone": {"scans": ALONE}, "restarts": {"restart": 1},
                          "progressive": {"scans": progressive_scans(3), "progressive": True}}.items():
        file = jpeg(40, 24, SAMPLINGS["420"], app=JFIF, **options)
        cut = file.rindex(b"\xff\xda") + 14
        yield f"cut_{name}.jpg", file[:cut] + b"\xff\xd9", ""
        last = file.rindex(b"\xff\xda")
        if name in ("alone", "progressive"):
            yield f"last_scan_lost_{name}.jpg", file[:last] + b"\xff\xd9", "without its last scans"
    file = jpeg(40, 24, SAMPLINGS["444"], app=JFIF, scans=ALONE, restart=2)
    yield "restarts_swapped.jpg", file.replace(b"\xff\xd0", b"\xff\xd5", 1), "restarts are out of order"


def by_cjpeg(sizes):
    """(name, bytes) of the layouts that cjpeg writes."""
    scripts = {"alone": "0;1;2;", "y_then_c": "0;1 2;", "y_last": "1;2;0;"}
    for (width, height), sampling in itertools.product(
        sizes, ("1x1", "2x1", "1x2", "2x2", "4x1", "4x2", "1x4", "2x4", "3x1", "1x1,2x2,2x2", "2x2,2x1,2x1")
    ):
        pixels = picture(width, height, 3).astype(np.uint8)
        ppm = b"P6 %d %d 255\n" % (width, height) + pixels.tobytes()
        sampled = sampling if "," in sampling else sampling + ",1x1,1x1"
        modes = {"base": [], "opt": ["-optimize"], "rst": ["-restart", "1B"], "prog": ["-progressive"],
                 "prog_rst": ["-progressive", "-restart", "1"]}
        for name, script in scripts.items():
            Path("/tmp", f"jpeg_sweep_{name}").write_text(script)
            modes |= {name: ["-scans", f"/tmp/jpeg_sweep_{name}"]}
            modes |= {f"{name}_rst": ["-scans", f"/tmp/jpeg_sweep_{name}", "-restart", "2B"]}
        for mode, options in modes.items():
            made = subprocess.run(["cjpeg", "-quality", "92", "-sample", sampled, *options], input=ppm, capture_output=True)
            if made.returncode == 0:
                yield f"cjpeg_{sampling.replace(',', '_')}_{mode}_{width}x{height}.jpg", made.stdout


def reference(data):
    """Pixels that libjpeg-turbo gives, RGB or gray; CMYK becomes light as Pillow does it."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def write_small(path):
    """A few hundred layouts, chosen by a fixed seed so that every value of every axis is there in every company of two."""
    # Mostly 33 x 21 px: neither is a multiple of a block, and every sampling has an MCU that is not full.
    cases = dict(sweep([(33, 21)]))
    kept, seen, names = [], set(), sorted(cases)
    random.Random(17).shuffle(names)
    for name in names:
        words = name.rsplit("_", 1)[0].split("_")
        pairs = set(itertools.combinations([" ".join(words[: i + 1]) for i in range(2)] + words, 2))
        if pairs - seen:
            kept.append(name)
            seen |= pairs
    files = {name: cases[name] for name in sorted(kept)} | dict(headers())
    for extra in ((1, 1), (3, 4), (4, 3), (16, 17), (40, 24)):
        for name, data in sweep([extra]):
            if "rst" not in name and name.split("_")[1] in ("444", "422", "440", "420", "411", "11") and "adobe" not in name:
                if "_one_" in name or "_alone_" in name or "_progressive_" in name:
                    files[name] = data
    pictures, lines = {}, []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:

        def add(name, data):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)

        for name, data in files.items():
            pixels = reference(data)
            key = (pixels.shape, pixels.tobytes())
            if key not in pictures:
                pictures[key] = f"{len(pictures):03}.{'x'.join(map(str, pixels.shape))}.raw"
            lines.append(f"{name} {pictures[key]}\n")
            add(name, data)
        for (_, pixels), name in pictures.items():
            add(name, pixels)
        for name, data, words in refused():
            lines.append(f"{name} refused {words}\n")
            add(name, data)
        add("index.txt", "".join(lines))
    print(f"{len(lines)} files, {len(pictures)} pictures, {Path(path).stat().st_size} bytes")


def main():
    if sys.argv[1:2] == ["--small"]:
        write_small(sys.argv[2])
        return
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    sizes = [(1, 1), (2, 2), (3, 4), (4, 3), (5, 3), (8, 8), (9, 17), (16, 16), (33, 21), (40, 24), (48, 32), (65, 65)]
    made = itertools.chain(sweep(sizes), headers(), ((name, data) for name, data, _ in refused()))
    if shutil.which("cjpeg"):
        made = itertools.chain(made, by_cjpeg([*sizes, (100, 75), (129, 67)]))
    count = 0
    for count, (name, data) in enumerate(made, 1):
        (out / name).write_bytes(data)
    print(f"{count} files")


if __name__ == "__main__":
    main()
