"""Variations of clean recordings, so that a few voices stand for many: speed, colour, room.

All of it is drawn from a numpy Generator; signals are (length,).
"""

import numpy as np
from scipy import signal

from dan.signals.noises import equalised
from dan.signals.sines import draw_range

SPEED_STEPS = 50  # speeds are multiples of 1/50, which keeps resampling fast
ROOM_SHARE = 0.3
EQUALISED_SHARE = 0.5
LOWPASS_SHARE = 0.1


def varied(draw_passage, data, rng):
    """A passage (length,) of a recording at a speed drawn from `data.clean_speed`, and varied.

    draw_passage: a function of the number of samples that gives a passage. Speed changes the pitch
    along with the tempo, as a larger or smaller speaker would. With `data.vary_clean` some are
    recoloured, and some sound as in a room.
    """
    rate, speed = data.sample_rate, draw_range(data.clean_speed, None, rng)
    size = round(data.length * round(speed * SPEED_STEPS) / SPEED_STEPS)
    samples = draw_passage(size)
    if size != data.length:
        samples = signal.resample(samples, data.length)
    if not data.vary_clean:
        return samples
    if rng.random() < EQUALISED_SHARE:
        samples = equalised(samples, rate, 6, rng)
    if rng.random() < LOWPASS_SHARE:  # as a telephone, or a file that was stored small
        cutoff = rng.uniform(0.4, 0.9)
        samples = signal.sosfilt(signal.butter(4, cutoff, output="sos"), samples)
    if rng.random() < ROOM_SHARE:
        samples = in_room(samples, rate, rng)
    return samples


def in_room(samples, rate, rng):
    """The samples with an echo that decays by 60 dB in 0.1 to 0.6 s, 3 to 20 dB below the direct sound.

    Exponentially decaying noise: Polack's model of late reverberation (1988).
    """
    size = int(rng.uniform(0.1, 0.6) * rate)
    tail = rng.normal(size=size) * 10 ** (-3 * np.arange(size) / size)
    tail[: int(rng.uniform(0.001, 0.02) * rate)] = 0
    tail *= 10 ** (-rng.uniform(3, 20) / 20) / (np.linalg.norm(tail) + 1e-12)
    return samples + signal.fftconvolve(samples, tail)[: len(samples)]
