"""Writes sweep.zip: small TIFFs of every layout, with the pixels that the program must give for each.

Python 3.11+, tifffile 2026.3.3, imagecodecs 2026.3.6, Pillow 13.0.0 (fax.py), numpy. `python make_sweep.py` writes the part that is committed, in which each
pair of choices occurs; `python make_sweep.py all OUT.zip` the whole product.

Each file is read back with tifffile, whose values must be those that were written (JPEG and WebP: whose values are the reference), so
that no fault of this script becomes a truth. What the pixels become is computed here, from the TIFF 6.0 specification:
integers of up to 16 bits are spread over 8 or 16, all other numbers keep their values, alpha is put over BACKGROUND.
"""

import io
import itertools
import json
import random
import sys
import zipfile

import fax
import numpy as np
import tifffile

W, H = 19, 17
BACKGROUND = np.array([30, 120, 250], float) / 255
rng = np.random.default_rng(0)
# Few different values, so that the archive is small; none of them with the same bytes.
BASE = np.concatenate([[0.0, 1.0], rng.random(6)])[rng.integers(0, 8, (H, W, 8))]
BASE[4:10] = BASE[4:5, 3:4]

LAYOUTS = {"strip": {}, "strips": {"rowsperstrip": 5}, "tiles": {"tile": (16, 16)}}
COMPRESSIONS = [None, "lzw", "deflate", "adobe_deflate", "packbits", "zstd"]
LOSSY = ["jpeg", "webp"]
UNREAD = {
    "lzma": "LZMA",
    "jpeg2000": "JPEG 2000",
    "jpegxl": "JPEG XL",
    "lerc": "LERC",
    "png": "PNG",
    "jpegxr": "JPEG XR",
}
KINDS = {
    **{f"u{b}": (np.uint8 if b <= 8 else np.uint16, b) for b in range(1, 17)},
    "u32": (np.uint32, 32),
    "u64": (np.uint64, 64),
    **{f"i{b}": (np.dtype(f"i{b // 8}").type, b) for b in (8, 16, 32, 64)},
    **{f"f{b}": (np.dtype(f"f{b // 8}").type, b) for b in (16, 32, 64)},
}
# Name: photometric, samples, extra samples.
COLORS = {
    "gray": ("minisblack", 1, []),
    "white": ("miniswhite", 1, []),
    "gray_alpha": ("minisblack", 2, ["unassalpha"]),
    "rgb": ("rgb", 3, []),
    "rgba": ("rgb", 4, ["unassalpha"]),
    "rgba_premultiplied": ("rgb", 4, ["assocalpha"]),
    "rgb_and_band": ("rgb", 4, ["unspecified"]),
    "bands5": ("minisblack", 5, ["unspecified"] * 4),
    "cmyk": ("separated", 4, []),
    "palette": ("palette", 1, []),
}


def is_packed(kind):
    return KINDS[kind][1] not in (8, 16, 32, 64)


def stored(kind, samples, color):
    """Values to be written, [H, W, samples]."""
    dtype, bits = KINDS[kind]
    unit = BASE[..., :samples].copy()
    if color == "rgba_premultiplied":
        unit[..., :3] *= unit[..., 3:]
    if kind[0] == "f":
        return unit.astype(dtype)
    if kind[0] == "i":
        return np.round((unit - 0.5) * 2.0 ** min(bits - 1, 40)).astype(dtype)
    return np.round(unit * (2.0 ** min(bits, 40) - 1)).astype(dtype)


def spread(values, kind):
    """As the program holds them: u8, u16 or f32."""
    _, bits = KINDS[kind]
    if kind[0] != "u" or bits > 16:
        return values.astype(np.float32)
    most = 255 if bits <= 8 else 65535
    own = 2**bits - 1
    return ((values.astype(np.int64) * most + own // 2) // own).astype(np.uint8 if bits <= 8 else np.uint16)


def full(values):
    return {np.uint8: 255.0, np.uint16: 65535.0}.get(values.dtype.type, 1.0)


def rounded(unit, like):
    if like.dtype == np.float32:
        return unit.astype(np.float32)
    return np.clip(np.floor(unit * full(like) + 0.5), 0, full(like)).astype(like.dtype)


def expected(values, kind, color, colormap=None):
    """[H, W, channels] for as many channels as the color has, and the number to ask for."""
    if color == "palette":
        return (colormap[:, values[..., 0]] >> 8).astype(np.uint8).transpose(1, 2, 0), 3
    values = spread(values, kind)
    unit = values.astype(np.float64) / full(values)
    if color == "white":
        return (int(full(values)) - values.astype(np.int64)).astype(values.dtype), 1
    if color == "gray_alpha":
        return rounded(unit[..., :1] * unit[..., 1:] + BACKGROUND * (1 - unit[..., 1:]), values), 3
    if color == "rgba":
        return rounded(unit[..., :3] * unit[..., 3:] + BACKGROUND * (1 - unit[..., 3:]), values), 3
    if color == "rgba_premultiplied":
        return rounded(unit[..., :3] + BACKGROUND * (1 - unit[..., 3:]), values), 3
    if color == "rgb_and_band":
        return values[..., :3], 3
    if color == "cmyk":
        return rounded((1 - unit[..., :3]) * (1 - unit[..., 3:]), values), 3
    return values, values.shape[2]


def colormap(bits):
    return rng.integers(0, 256, (3, 2**bits)).astype(np.uint16) * 257


def reverse_bits(data):
    """Reverses the bits of all strips or tiles, and says so: the private tag 65000 becomes FillOrder, in its place."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        places = list(zip(page.dataoffsets, page.databytecounts))
        order, big, start = "little" if file.byteorder == "<" else "big", file.is_bigtiff, page.offset
    data = bytearray(data)
    head, width = (8, 20) if big else (2, 12)
    count = int.from_bytes(data[start : start + head], order)
    entries = [data[start + head + i * width :][:width] for i in range(count)]
    for entry in entries:
        if int.from_bytes(entry[:2], order) == 65000:
            entry[:2] = (266).to_bytes(2, order)
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], order))
    data[start + head : start + head + count * width] = b"".join(entries)
    table = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    for offset, count in places:
        data[offset : offset + count] = data[offset : offset + count].translate(table)
    return bytes(data)


def write_packed(values, kind, color, layout, compression, order, fill, big, orientation, maps):
    """One sample of fewer bits, which tifffile does not compress: rows of bytes are written, and called what they are."""
    bits = KINDS[kind][1]
    stream = (values[..., 0].astype(np.uint32)[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(stream.reshape(H, -1).astype(np.uint8), axis=1)
    extratags = [(274, 3, 1, orientation, True)] + ([(65000, 3, 1, 2, True)] if fill == 2 else [])
    if maps is not None:
        extratags.append((320, 3, maps.size, maps.ravel().tolist(), True))
    out = io.BytesIO()
    tifffile.imwrite(out, rows, photometric="minisblack", compression=compression, byteorder=order, bigtiff=big,
                     extratags=extratags, metadata=None, **LAYOUTS[layout])
    data = bytearray(out.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags, order = file.pages[0].tags, "little" if order == "<" else "big"
        photometric = {"white": 0, "palette": 3}.get(color, 1)
        for tag, value in [(256, W), (258, bits), (262, photometric)]:
            width = 4 if tags[tag].dtype == 4 else 2
            data[tags[tag].valueoffset : tags[tag].valueoffset + width] = value.to_bytes(width, order)
    return reverse_bits(bytes(data)) if fill == 2 else bytes(data)


def write(values, kind, color, layout, planar, compression, predictor, order, fill, big, orientation, maps=None, **more):
    photometric, samples, extra = COLORS[color]
    bits = KINDS[kind][1]
    if is_packed(kind) and (compression or color == "palette"):
        return write_packed(values, kind, color, layout, compression, order, fill, big, orientation, maps)
    data = values[..., 0] if samples == 1 else (values.transpose(2, 0, 1) if planar else values)
    extratags = [(274, 3, 1, orientation, True)] if orientation != 1 else []
    extratags += [(65000, 3, 1, 2, True)] if fill == 2 else []
    arguments = dict(photometric=photometric, compression=compression, predictor=predictor, byteorder=order, bigtiff=big)
    arguments |= dict(extratags=extratags, metadata=None, **LAYOUTS[layout], **more)
    if samples > 1:
        arguments["planarconfig"] = "separate" if planar else "contig"
    if extra:
        arguments["extrasamples"] = extra
    if maps is not None:
        arguments["colormap"] = maps
    if is_packed(kind):
        arguments["bitspersample"] = bits
        if bits > 8 and order == ">":
            # tifffile packs the bytes of big-endian values as if they were little-endian.
            data = data.byteswap()
    out = io.BytesIO()
    tifffile.imwrite(out, data, **arguments)
    return reverse_bits(out.getvalue()) if fill == 2 else out.getvalue()


def read_back(data, planar, samples):
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        values = file.pages[0].asarray()
    if samples == 1:
        return values[..., None]
    return values.transpose(1, 2, 0) if planar else values


def turned(image, orientation):
    """TIFF 6.0: which side of the picture row 0 and column 0 of the file are."""
    return {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: a.transpose(1, 0, 2)[::-1],
    }[orientation](image)


def possible(kind, color, layout, planar, compression, predictor, fill):
    bits = KINDS[kind][1]
    samples = COLORS[color][1]
    integers = kind[0] == "u" and bits <= 16
    if planar and samples == 1:
        return False
    if predictor == 2 and (bits not in (8, 16, 32, 64) or kind[0] == "f"):
        return False
    if predictor == 3 and kind[0] != "f":
        return False
    if predictor and compression not in ("lzw", "deflate", "zstd"):
        return False
    if color in ("white", "cmyk") and not integers:
        return False
    if color == "palette" and not (integers and bits in (1, 2, 4, 8)):
        return False
    if is_packed(kind) and (compression or color == "palette") and (samples > 1 or layout == "tiles"):
        return False
    if color in ("gray_alpha", "rgba", "rgba_premultiplied") and not (integers or kind[0] == "f"):
        return False
    return True


def main():
    every = sys.argv[1:2] == ["all"]
    path = sys.argv[2] if every else "sweep.zip"
    axes = [
        list(COLORS),
        list(KINDS),
        list(LAYOUTS),
        [False, True],
        COMPRESSIONS,
        [None, 2, 3],
        ["<", ">"],
        [1, 2],
        [False, True],
        list(range(1, 9)),
    ]
    product = []
    for choice in itertools.product(*axes[:8]):
        color, kind, layout, planar, compression, predictor, order, fill = choice
        if possible(kind, color, layout, planar, compression, predictor, fill):
            product.append(choice)
    draw = random.Random(0)
    draw.shuffle(product)
    if not every:
        # Each pair of choices twice, as far as it is possible.
        seen, chosen = {}, []
        for choice in product:
            pairs = list(itertools.combinations(enumerate(choice), 2))
            if any(seen.get(pair, 0) < 2 for pair in pairs):
                chosen.append(choice)
                for pair in pairs:
                    seen[pair] = seen.get(pair, 0) + 1
        product = chosen
    cases, references, files, unwritten = [], {}, [], {}

    def reference(array):
        array = np.ascontiguousarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in references:
            references[key] = (f"r{len(references)}", array)
        return references[key][0]

    def add(name, data, **case):
        files.append(data)
        cases.append({"name": name, **case})

    for number, choice in enumerate(product):
        color, kind, layout, planar, compression, predictor, order, fill = choice
        big, orientation = number % 3 == 0, number % 8 + 1 if number % 2 else 1
        samples = COLORS[color][1]
        maps = colormap(KINDS[kind][1]) if color == "palette" else None
        values = stored(kind, samples, color)
        name = f"{color} {kind} {layout}{' planar' if planar else ''} {compression} p{predictor} {order} fill{fill}"
        name += f"{' big' if big else ''} o{orientation}"
        try:
            data = write(values, kind, color, layout, planar, compression, predictor, order, fill, big, orientation, maps)
        except Exception as error:
            unwritten.setdefault(f"{type(error).__name__}: {error}"[:80], []).append(name)
            continue
        found = read_back(data, planar, samples)
        assert found.shape == values.shape and (found == values).all(), f"tifffile reads other values: {name}"
        image, channels = expected(values, kind, color, maps)
        add(name, data, channels=channels, reference=reference(turned(image, orientation)), tolerance=0)

    # Bands as they are stored: all, and some in another order.
    for kind, planar, layout in itertools.product(["u8", "u16", "i16", "f32"], [False, True], LAYOUTS):
        values = spread(stored(kind, 5, "bands5"), kind)
        data = write(stored(kind, 5, "bands5"), kind, "bands5", layout, planar, "deflate", None, "<", 1, False, 1)
        add(f"bands 4 3 2 {kind} {planar} {layout}", data, bands=[4, 3, 2], reference=reference(values[..., [3, 2, 1]]), tolerance=0)
        add(f"too few {kind}", data, channels=3, refused="has 5 channels, data.channels is 3; data.channels = 5 takes all")
        add(f"too many {kind}", data, bands=[6], refused="has 5 bands, data.bands asks for band 6")
    values = stored("u8", 4, "rgba")
    data = write(values, "u8", "rgba", "strip", False, None, None, "<", 1, False, 1)
    add("rgba with its alpha", data, channels=4, reference=reference(values), tolerance=0)
    values = stored("u8", 4, "rgba_premultiplied")
    data = write(values, "u8", "rgba_premultiplied", "strip", False, None, None, "<", 1, False, 1)
    alpha = np.maximum(values[..., 3:].astype(float), 1e-9)
    straight = np.where(values[..., 3:] > 0, np.floor(np.minimum(values[..., :3] / alpha, 1) * 255 + 0.5), 0).astype(np.uint8)
    straight = np.concatenate([straight, values[..., 3:]], -1)
    add("premultiplied with its alpha", data, channels=4, reference=reference(straight), tolerance=0)

    # Codecs of pictures: what libjpeg-turbo and libwebp give, through tifffile.
    for compression, layout, color, order, planar in itertools.product(LOSSY, LAYOUTS, ["gray", "rgb", "rgba", "ycbcr"], "<>", [False, True]):
        if compression == "webp" and (color in ("gray", "ycbcr") or planar) or color in ("gray", "ycbcr") and planar:
            continue
        photometric, samples, extra = COLORS.get(color, ("ycbcr", 3, []))
        smooth = np.stack([np.sin((np.mgrid[0:H, 0:W][i % 2] + 3 * i) / 5) * 100 + 128 for i in range(samples)], -1).astype(np.uint8)
        out = io.BytesIO()
        arguments = dict(photometric=photometric, compression=compression, byteorder=order, metadata=None, **LAYOUTS[layout])
        if layout == "strips" and compression == "jpeg":
            arguments["rowsperstrip"] = 8
        if extra:
            arguments["extrasamples"] = extra
        if samples > 1:
            arguments["planarconfig"] = "separate" if planar else "contig"
        name = f"{color} {layout}{' planar' if planar else ''} {compression} {order}"
        try:
            tifffile.imwrite(out, smooth.transpose(2, 0, 1) if planar else smooth[..., 0] if samples == 1 else smooth, **arguments)
        except Exception as error:
            unwritten.setdefault(f"{type(error).__name__}: {error}"[:80], []).append(name)
            continue
        found = read_back(out.getvalue(), planar, samples)
        image = expected(found, "u8", color if color in COLORS else "rgb")[0]
        add(name, out.getvalue(), channels=1 if color == "gray" else 3, reference=reference(image), tolerance=4)
    # Luma and chroma that are packed without a JPEG, by hand: units of luma, then both chromas.
    for across, down in itertools.product([1, 2, 4], [1, 2, 4]):
        units_down, units_across = -(-H // down), -(-W // across)
        luma = (BASE[..., 0] * 255).astype(np.uint8)
        luma = np.pad(luma, ((0, units_down * down - H), (0, units_across * across - W)))
        chroma = (BASE[:units_down, :units_across, 1:3] * 200 + 28).astype(np.uint8)
        units = luma.reshape(units_down, down, units_across, across).transpose(0, 2, 1, 3).reshape(units_down, units_across, -1)
        packed = np.concatenate([units, chroma], -1).tobytes()
        entries = [(256, 3, W), (257, 3, H), (258, 3, 8), (259, 3, 1), (262, 3, 6), (273, 4, 8), (277, 3, 3), (278, 3, H)]
        entries += [(279, 4, len(packed)), (530, 3, across | down << 16)]
        data = b"II*\0" + (8 + len(packed)).to_bytes(4, "little") + packed + len(entries).to_bytes(2, "little")
        for tag, type_, value in entries:
            count = 2 if tag == 530 else 1
            data += tag.to_bytes(2, "little") + type_.to_bytes(2, "little") + count.to_bytes(4, "little") + value.to_bytes(4, "little")
        data += bytes(4)
        y = luma[:H, :W].astype(float)
        cb, cr = [chroma.repeat(down, 0).repeat(across, 1)[:H, :W, i].astype(float) - 128 for i in range(2)]
        rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1)
        image = np.clip(np.floor(rgb + 0.5), 0, 255).astype(np.uint8)
        add(f"ycbcr units {across}x{down}", data, channels=3, reference=reference(image), tolerance=1)
    for compression, word in UNREAD.items():
        out = io.BytesIO()
        try:
            tifffile.imwrite(out, stored("u8", 3, "rgb"), photometric="rgb", compression=compression, metadata=None)
        except Exception as error:
            unwritten.setdefault(f"{type(error).__name__}: {error}"[:80], []).append(compression)
            continue
        add(f"rgb {compression}", out.getvalue(), channels=3, refused=f"{word} compression is not read")
    for name, data, gray, orientation in fax.cases(every):
        add(name, data, channels=1, reference=reference(turned(gray[..., None], orientation)), tolerance=0)
    # By the tag alone: kinds that nothing here writes.
    base = write(stored("u8", 1, "gray"), "u8", "gray", "strip", False, None, None, "<", 1, False, 1)

    def patched(tag, value):
        with tifffile.TiffFile(io.BytesIO(base)) as file:
            at = file.pages[0].tags[tag].valueoffset
        return base[:at] + value.to_bytes(2, "little") + base[at + 2 :]

    for tag, value, words in [
        (259, 2, "fax compression and 1 × 8 bits is not read"),
        (259, 3, "fax compression and 1 × 8 bits is not read"),
        (259, 4, "fax compression and 1 × 8 bits is not read"),
        (259, 32771, "word-aligned CCITT (fax) compression is not read"),
        (259, 6, "old-style JPEG compression is not read"),
        (259, 9, "JBIG compression is not read"),
        (259, 777, "the compression number 777 is not read"),
        (262, 4, "a transparency mask is not read"),
        (262, 8, "CIE L*a*b* is not read"),
        (262, 32803, "the raw mosaic of a sensor is not read"),
        (262, 777, "the photometric interpretation 777 is not read"),
        (258, 24, "24-bit integers is not read"),
        (277, 3, "has 3 channels, data.channels is 1"),
        (277, 0, "0 values per pixel"),
    ]:
        add(f"tag {tag} is {value}", patched(tag, value), channels=1, refused=words)

    # One stream for all files and one for all references: so they are smallest.
    place = 0
    for case, data in zip(cases, files, strict=True):
        case["file"], place = [place, len(data)], place + len(data)
    place, places = 0, {}
    for name, array in references.values():
        places[name], place = [array.dtype.name, *array.shape, place], place + array.nbytes
    for case in cases:
        if "reference" in case:
            case["reference"] = places[case["reference"]]
    little = [array.astype(array.dtype.newbyteorder("<")).tobytes() for _, array in references.values()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in [("cases.json", json.dumps(cases)), ("files", b"".join(files)), ("references", b"".join(little))]:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
    print(len(cases), "cases,", len(references), "references; not written:")
    for problem, names in unwritten.items():
        print(f"  {len(names)} × {problem} ({names[0]})")


main()
