#!/usr/bin/env python3
"""A tone of 440 Hz and half the full scale, a quarter of a second, as libsndfile writes it in every format that is read.

    pip install soundfile numpy && python3 make.py
"""

import pathlib

import numpy as np
import soundfile

FOLDER = pathlib.Path(__file__).parent


def tone(rate, channels=1):
    x = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 4) / rate)
    return np.stack([x, -0.5 * x][:channels], axis=1)


for name, rate, channels, subtype in [
    ("u8.wav", 8000, 1, "PCM_U8"),
    ("i16.wav", 8000, 1, "PCM_16"),
    ("i24.wav", 8000, 1, "PCM_24"),
    ("f32.wav", 8000, 1, "FLOAT"),
    ("stereo.flac", 8000, 2, "PCM_16"),
    ("tone.flac", 8000, 1, "PCM_16"),
    ("tone.ogg", 8000, 1, "VORBIS"),
    ("tone.mp3", 8000, 1, "MPEG_LAYER_III"),
    ("rate.ogg", 44100, 1, "VORBIS"),
]:
    soundfile.write(FOLDER / name, tone(rate, channels), rate, subtype=subtype)

# Of several pages, so that it can be cut amid one.
noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
soundfile.write(FOLDER / "noise.ogg", noise, 8000, subtype="VORBIS")
