"""The signal mathematics: sums of sines, mixing with noise, and slowing down.

Signals are arrays of shape (..., length); functions of clean, noise and mixed work on numpy
arrays and on torch tensors alike where their docstring says so.
"""

import math
from functools import cache

import numpy as np
import torch

SPLITS = ("train", "validation", "test")
SAMPLES_AT_ONCE = 2**24  # of the signals that are drawn or measured together


def signals_at_once(data):
    """How many signals are drawn, or measured, at once."""
    return max(1, SAMPLES_AT_ONCE // data.length)


def draw(data, split, count, clean=None, noise=None):
    """Clean signals, noise and mixtures of one split, each float32 of shape (count, length).

    data: a DataConfig. clean, noise: cut from recordings; sines and Gaussian white noise where
    they are not given. Each split draws from random streams of its own, which depend on
    `data.seed` and the split alone, so that no split shares a draw with another.
    """
    drawn = list(draw_in_parts(data, split, count, clean, noise))
    return drawn[0] if len(drawn) == 1 else tuple(map(np.concatenate, zip(*drawn, strict=True)))


def draw_in_parts(data, split, count, clean=None, noise=None):
    """The signals of `draw`, part by part, so that they need not fit into memory."""
    for chosen, (for_clean, for_noise, for_snr) in parts(data, split, count):
        size = chosen.stop - chosen.start
        some = draw_clean(data, size, for_clean) if clean is None else clean[chosen]
        other = for_noise.normal(0, data.noise_std, (size, data.length)) if noise is None else noise[chosen]
        mixed = mix(some, other, draw_range(data.snr_db, (size, 1), for_snr))
        yield tuple(x.astype(np.float32, copy=False) for x in (some, other, mixed))


def parts(data, split, count):
    """The parts of a split: a slice, and random streams for clean signals, noise and SNR."""
    size = signals_at_once(data)
    for part, first in enumerate(range(0, count, size)):
        yield slice(first, min(count, first + size)), streams(data, split, part)


def streams(data, split, part=0):
    """The random streams of a part of a split: for the clean signals, the noise and the SNR."""
    sequence = np.random.SeedSequence([data.seed, SPLITS.index(split), *([part] if part else [])])
    return [np.random.default_rng(child) for child in sequence.spawn(3)]


def draw_clean(data, count, rng):
    """`count` sums of sines, divided by their number; float64 of shape (count, length)."""
    return sum_of_sines(*draw_components(data, count, rng), data)


def draw_components(data, count, rng):
    """Frequencies in Hz, amplitudes and phases of `count` signals, each (count, most sines).

    Frequencies are uniform in [low_freq, high_freq], amplitudes uniform in 1 ± amplitude_spread
    over the number of sines, phases zero or uniform on the circle. A signal with fewer sines than
    another has amplitudes of zero.
    """
    components = np.broadcast_to(data.num_components, 2)
    present = rng.integers(components[0], components[1] + 1, (count, 1))
    shape = (count, components[1])
    frequency = rng.uniform(data.low_freq, data.high_freq, shape)
    amplitude = 1 + data.amplitude_spread * rng.uniform(-1, 1, shape)
    phase = rng.uniform(0, 2 * np.pi, shape) * data.random_phase
    amplitude = np.where(np.arange(components[1]) < present, amplitude / present, 0)
    return frequency, amplitude, phase


def count_sines(data, split, count):
    """The number of sines in each clean signal that `draw` gives for these arguments, (count,)."""
    return np.concatenate(
        [
            (draw_components(data, chosen.stop - chosen.start, for_clean)[1] > 0).sum(1)
            for chosen, (for_clean, _, _) in parts(data, split, count)
        ]
    )


def unknowns_per_sine(data):
    """Free parameters of a sine: its frequency, and amplitude and phase where those vary."""
    return 1 + (data.amplitude_spread > 0) + data.random_phase


def sum_of_sines(frequency, amplitude, phase, data):
    """Σₖ aₖ·sin(2πfₖt + φₖ) for frequencies in Hz, each argument (count, sines)."""
    time = np.arange(data.length) / data.sample_rate
    clean = np.zeros((len(frequency), data.length))
    for f, a, p in zip(frequency.T, amplitude.T, phase.T, strict=True):
        clean += a[:, None] * np.sin(2 * np.pi * f[:, None] * time + p[:, None])
    return clean


def draw_batch(data, count, generator):
    """Clean and mixed signals, tensors (count, 1, length), float32, on the generator's device.

    The same family of signals as `draw` gives, with new noise, from a torch.Generator.
    """

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(shape, generator=generator, device=device)

    device = generator.device
    # A sine of 2 kHz goes round thousands of times a second; float32 would lose its phase.
    exact = torch.float32 if device.type == "mps" else torch.float64
    fewest, most = np.broadcast_to(data.num_components, 2)
    present = torch.randint(int(fewest), int(most) + 1, (count, 1), generator=generator, device=device)
    frequency = uniform(data.low_freq, data.high_freq, count, int(most), 1).to(exact)
    amplitude = 1 + data.amplitude_spread * uniform(-1, 1, count, int(most))
    amplitude = amplitude * (torch.arange(int(most), device=device) < present) / present
    phase = uniform(0, 1, count, int(most), 1) * data.random_phase
    time = torch.arange(data.length, dtype=exact, device=device) / data.sample_rate
    turns = (frequency * time + phase).frac().float()
    clean = (amplitude.unsqueeze(-1) * torch.sin(2 * math.pi * turns)).sum(1, keepdim=True)
    noise = torch.randn(clean.shape, generator=generator, device=device)
    low_snr, high_snr = np.broadcast_to(data.snr_db, 2)
    return clean, mix(clean, noise, uniform(float(low_snr), float(high_snr), count, 1, 1))


def draw_range(value, shape, rng):
    """`value` itself where it is one number; uniform draws of `shape` where it is (low, high)."""
    return rng.uniform(*value, shape) if isinstance(value, tuple) else value


def mix(clean, noise, snr_db):
    """clean + g·noise with g such that each mixture has exactly `snr_db`; numpy or torch.

    g = sqrt(clean power / (noise power · 10^(snr_db / 10))), powers over the last axis.
    """
    clean_power = (clean**2).mean(-1)[..., None]
    noise_power = (noise**2).mean(-1)[..., None]
    gain = (clean_power / (noise_power + 1e-20) * 10 ** (-snr_db / 10)) ** 0.5
    return clean + gain * noise


def slowing_matrix(length, factor):
    """The matrix M with M @ x the signal x(factor · t), for a signal x of `length` samples.

    factor: at most 1, so that nothing beyond the signal's end is asked for. The least-squares
    fit of sines up to 86 % of the Nyquist frequency, in steps of half a bin, evaluated at the
    slower times; exact to rounding for signals in that band, at the edges too.
    """
    return _sines(length, factor) @ _inverse_sines(length)


def _sines(length, factor):
    angle = np.pi * np.outer(np.arange(length) * factor, np.arange(0, 0.86, 1 / length))
    return np.hstack([np.cos(angle), np.sin(angle)])


@cache
def _inverse_sines(length):
    return np.linalg.pinv(_sines(length, 1), rcond=1e-7)
