#!/usr/bin/env python3
"""Golden values for the augmentations of signals and of log-mel images, at given draws.

Regenerate: python3 generate_signal_augmentations.py > signal_augmentations.json   (needs numpy)
Everything is in float64 and written from the papers' descriptions. Draws hold seeds: the numbers that follow from them come
from a ChaCha8 stream (20 lines below), with the purpose "noise" (7) in its key, so they are held against the reference too.
A signal is listed [time][channels], an image [height][width]; images are on the 0..1 scale of `range`.
"""
import json, sys
import numpy as np

MASK = 0xFFFFFFFF


class Stream:
    """ChaCha8 under the key seed, 0, 0, 0, 7: 32 bits after 32 bits."""

    def __init__(self, seed):
        key = int(seed).to_bytes(8, "little") + bytes(16) + (0).to_bytes(4, "little") + (7).to_bytes(4, "little")
        self.key = [int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4)]
        self.words, self.block = [], 0

    def refill(self):
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *self.key, self.block & MASK, self.block >> 32, 0, 0]
        s = list(start)

        def quarter(a, b, c, d):
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                s[x] = (s[x] + s[y]) & MASK
                s[z] ^= s[x]
                s[z] = ((s[z] << turn) | (s[z] >> (32 - turn))) & MASK

        for _ in range(4):
            for i in range(4):
                quarter(i, 4 + i, 8 + i, 12 + i)
            for i in range(4):
                quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        self.words = [(a + b) & MASK for a, b in zip(s, start)]
        self.block += 1

    def bits(self):
        if not self.words:
            self.refill()
        return self.words.pop(0)

    def unit(self):
        return (self.bits() >> 8) / 2**24

    def below(self, n):
        """Lemire 2019: a product, and rejection on its low word."""
        while True:
            product = self.bits() * n
            if (product & MASK) >= (2**32 - n) % n:
                return product >> 32

    def normal(self):
        """Box and Muller, the cosine alone."""
        radius = np.sqrt(-2 * np.log(1 - self.unit()))
        return radius * np.cos(2 * np.pi * self.unit())

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
        return items


def curve(knots, sigma, length, stream):
    """A natural cubic spline through knots + 2 values from N(1, sigma²) at even distances."""
    y = np.array([1 + sigma * stream.normal() for _ in range(knots + 2)])
    n = len(y)
    a, b = np.eye(n), np.zeros(n)
    for i in range(1, n - 1):
        a[i, i - 1 : i + 2] = 1, 4, 1
        b[i] = 6 * (y[i - 1] - 2 * y[i] + y[i + 1])
    m = np.linalg.solve(a, b)
    x = np.linspace(0, n - 1, length)
    i = np.minimum(x.astype(int), n - 2)
    right = x - i
    left = 1 - right
    return left * y[i] + right * y[i + 1] + ((left**3 - left) * m[i] + (right**3 - right) * m[i + 1]) / 6


def cubic(x):
    """Keys 1981, a = -0.5."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def resize(signal, length):
    scale = len(signal) / length
    centers = (np.arange(length) + 0.5) * scale
    weights = cubic((np.arange(len(signal)) + 0.5 - centers[:, None]) / max(scale, 1))
    return weights / weights.sum(1, keepdims=True) @ signal


def random_crop(x, draw, length):
    start, covered = map(int, draw)
    return resize(x[start : start + covered], length)


def jitter(x, draw):
    stream, y = Stream(draw[1]), x.T.copy().ravel()  # channel after channel
    for i in range(0, len(y), 2):
        distance = draw[0] * np.sqrt(-2 * np.log(1 - stream.unit()))
        turn = 2 * np.pi * stream.unit()
        y[i : i + 2] += distance * np.array([np.cos(turn), np.sin(turn)])[: len(y) - i]
    return y.reshape(x.T.shape).T


def scaling(x, draw):
    stream = Stream(draw[1])
    return x * np.array([1 + draw[0] * stream.normal() for _ in range(x.shape[1])])


def random_gain(x, draw):
    return x * 10 ** (draw[0] / 20)


def magnitude_warp(x, draw):
    stream = Stream(draw[2])
    return x * np.stack([curve(int(draw[1]), draw[0], len(x), stream) for _ in range(x.shape[1])], 1)


def time_warp(x, draw):
    speed = np.maximum(curve(int(draw[1]), draw[0], len(x), Stream(draw[2])), 0.1)
    places = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    places *= (len(x) - 1) / places[-1]
    return np.stack([np.interp(places, np.arange(len(x)), c) for c in x.T], 1)


def permutation(x, draw):
    n = int(draw[0])
    bounds = [i * len(x) // n for i in range(n + 1)]
    pieces = [x[a:b] for a, b in zip(bounds, bounds[1:])]
    return np.concatenate([pieces[i] for i in Stream(draw[1]).shuffle(list(range(n)))])


def time_shift(x, draw):
    return np.roll(x, int(draw[0]), 0)


def channel_dropout(x, draw):
    stream, y = Stream(draw[1]), x.copy()
    stays = stream.below(x.shape[1])
    for c in range(x.shape[1]):
        if c != stays and stream.unit() < draw[0]:
            y[:, c] = 0
    return y


def time_mask(x, draw):
    start, length = map(int, draw)
    y = x.copy()
    if x.ndim == 2 and x is not IMAGE:
        y[start : start + length] = x.mean(0)
    else:
        y[:, start : start + length] = x.mean()
    return y


def frequency_mask(x, draw):
    first, bands = map(int, draw)
    y = x.copy()
    y[first : first + bands] = x.mean()
    return y


def band_stop(x, draw):
    omega = np.pi * draw[0]
    alpha = np.sin(omega) * np.sinh(np.log(2) / 2 * draw[1] * omega / np.sin(omega))
    b = np.array([1, -2 * np.cos(omega), 1]) / (1 + alpha)
    a = np.array([-2 * np.cos(omega), 1 - alpha]) / (1 + alpha)
    padded = np.concatenate([x[:1], x[:1], x])
    y = padded.copy()
    for t in range(2, len(padded)):
        y[t] = b[0] * padded[t] + b[1] * padded[t - 1] + b[2] * padded[t - 2] - a[0] * y[t - 1] - a[1] * y[t - 2]
    return y[2:]


def mix_background(x, draw):
    low, high = RANGE
    sound, other = (low + (high - low) * v for v in (x, OTHERS[Stream(draw[1]).below(len(OTHERS))]))
    return (np.log((1 - draw[0]) * np.exp(sound) + draw[0] * np.exp(other)) - low) / (high - low)


def rounded(x):
    return [[round(float(v), 6) for v in row] for row in x]


t = np.arange(41)[:, None]
SIGNAL = np.round(np.sin(0.31 * t * (1 + 0.7 * np.arange(3)) + np.arange(3)) + 0.4 * np.cos(2.3 * t + np.arange(3)), 6)
RANGE = [-9.0, 1.5]
rows, columns = np.arange(10)[:, None], np.arange(14)
IMAGE, *OTHERS = (np.round(0.5 + 0.5 * np.sin(0.6 * rows * (1 + 0.2 * k) + 0.4 * columns + 2 * k), 6) for k in range(4))

cases = []


def case(operation, draw, *extra, x=SIGNAL):
    # What a draw holds is float32.
    draw = [float(np.float32(v)) for v in draw]
    output = globals()[operation](x, draw, *extra)
    of = "signal" if x is SIGNAL else "image"
    cases.append({"operation": operation, "input": of, "draw": draw, "output": rounded(output)})


case("random_crop", [3, 30], 30)
case("random_crop", [5, 17], 29)
case("random_crop", [0, 41], 24)
case("jitter", [0.1, 1234567])
case("jitter", [2.0, 16777215])
case("scaling", [0.1, 42])
case("scaling", [0.5, 7654321])
case("random_gain", [-6.0])
case("random_gain", [3.3])
case("magnitude_warp", [0.2, 4, 99])
case("magnitude_warp", [0.5, 1, 123])
case("time_warp", [0.2, 4, 5])
case("time_warp", [0.9, 6, 11111])
case("permutation", [2, 1])
case("permutation", [5, 3])
case("permutation", [41, 4])
case("time_shift", [7])
case("time_shift", [-10])
case("channel_dropout", [0.5, 3])
case("channel_dropout", [1.0, 8])
case("time_mask", [5, 12])
case("time_mask", [4, 6], x=IMAGE)
case("frequency_mask", [7, 3], x=IMAGE)
case("band_stop", [0.1, 1.0])
case("band_stop", [0.8, 0.3])
case("mix_background", [0.4, 21], x=IMAGE)
case("mix_background", [0.05, 22], x=IMAGE)
json.dump(
    {
        "generator": "generate_signal_augmentations.py",
        "signal": rounded(SIGNAL),
        "image": rounded(IMAGE),
        "range": RANGE,
        "others": [rounded(other) for other in OTHERS],
        "cases": cases,
    },
    sys.stdout,
)
