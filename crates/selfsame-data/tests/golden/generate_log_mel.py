#!/usr/bin/env python3
"""Writes log_mel.json: pictures of short signals in f64, by the formula in src/signal/log_mel.rs and a plain Fourier sum.

    pip install numpy
    python3 generate_log_mel.py

With `--torchaudio` (pip install torchaudio) the pictures are compared with torchaudio's, which are to be the same.
"""

import json
import pathlib
import sys

import numpy as np

CASES = [
    dict(rate=8000, window_ms=25.0, hop_ms=10.0, bands=16, floor=1e-5, steps=1000),
    dict(rate=11025, window_ms=23.3, hop_ms=7.1, bands=24, floor=1e-3, steps=700),
    dict(rate=8000, window_ms=32.0, hop_ms=16.0, bands=12, floor=1e-5, steps=40),
    dict(rate=8000, window_ms=16.0, hop_ms=5.0, bands=8, floor=0.5, steps=300),
]


def signal(steps, rate, seed):
    """A rising tone, and noise, that fades; whole multiples of 1/1024."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps) / rate
    tone = np.sin(2 * np.pi * (200 * t + 9000 * t**2)) + 0.05 * rng.standard_normal(steps)
    return np.round(1024 * 0.5 * tone * np.linspace(1, 0.02, steps))


def picture(x, rate, window_ms, hop_ms, bands, floor):
    width, hop = round(rate * window_ms / 1000), round(rate * hop_ms / 1000)
    size = 1
    while size < width:
        size *= 2
    window = np.zeros(size)
    before = (size - width) // 2
    window[before : before + width] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)
    padded = np.pad(x, size // 2, mode="reflect")
    n = np.arange(size)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(size // 2 + 1), n) / size)
    frames = 1 + len(x) // hop
    power = np.stack([np.abs(waves @ (window * padded[t * hop : t * hop + size])) ** 2 for t in range(frames)], axis=1)
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    f = np.arange(size // 2 + 1) * rate / size
    up = (f[None] - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    down = (corners[2:, None] - f[None]) / (corners[2:] - corners[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(up, down))
    return np.log(np.maximum(floor, filters @ power)), (size, width, hop)


def main():
    cases = []
    for seed, case in enumerate(CASES):
        steps = case.pop("steps")
        whole = signal(steps, case["rate"], seed)
        x = whole / 1024
        made, (size, width, hop) = picture(x, **case)
        if "--torchaudio" in sys.argv and steps > size // 2:
            import torch
            import torchaudio

            mel = torchaudio.transforms.MelSpectrogram(
                case["rate"], n_fft=size, win_length=width, hop_length=hop, n_mels=case["bands"]
            ).double()
            theirs = mel(torch.tensor(x)).clamp(min=case["floor"]).log().numpy()
            print(case, "largest difference from torchaudio:", np.abs(theirs - made).max())
        cases.append(case | {"signal": [int(v) for v in whole], "picture": [float(f"{v:.9g}") for v in made.ravel()]})
    text = "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"
    pathlib.Path(__file__).with_name("log_mel.json").write_text(text)


if __name__ == "__main__":
    main()
