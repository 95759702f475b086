"""The sines in a denoised signal: frequencies, amplitudes and phases, and how exact they are."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from dan.evaluation.sine_fits import NEWTON_STEPS, highest_peak, refine, solve, waves

MOST_SINES = 20
# A sine takes at least so many times 2σ² of energy out of the denoised signal, which is a²N / 4σ²
# of amplitude a and N samples. With the network of spectral-any, 3 finds the right number a little
# more often below 0 dB, but takes four times as often noise alone for a sine; above 0 dB all from
# 2 to 6 find it as often.
LEAST_GAIN = 5.0
LEAST_AMPLITUDE = 1e-3  # over that of one sine as strong as the signal; less is rounding, if there is no noise
LEAST_SAMPLES = 8


class Sine(NamedTuple):
    """a·sin(2πft + φ), with t = 0 at the first sample, and the Cramér–Rao bounds of the three.

    frequency in Hz, amplitude in the unit of the signal, phase in radians from 0 to 2π; the errors
    are standard deviations.
    """

    frequency: float
    frequency_error: float
    amplitude: float
    amplitude_error: float
    phase: float
    phase_error: float


def read_sines(mixed, denoised, sample_rate):
    """The sines of one signal, a list of Sine by frequency, at most MOST_SINES of them.

    mixed, denoised: (length,); sample_rate in Hz. The noise counts as white. Sines are found in
    the denoised signal, the strongest first, as by Newtonized orthogonal matching pursuit
    (Mamandipoor, Ramasamy, Madhow, 2016), until the next one is not significant. Then one
    Gauss–Newton step takes them to the mixed signal, since the denoised one has lost some of
    what tells their frequencies. Sines within a bin of 0 Hz or of half the sample rate are not
    looked for: their amplitudes and phases cannot be told apart.
    """
    mixed, denoised = (np.asarray(signal, np.float64)[None] for signal in (mixed, denoised))
    length = mixed.shape[-1]
    if length < LEAST_SAMPLES:
        return []
    width = sample_rate / length
    band = SimpleNamespace(sample_rate=sample_rate, low_freq=width, high_freq=sample_rate / 2 - width)
    noise_power = ((mixed - denoised) ** 2).mean()
    least = max(2 * noise_power * LEAST_GAIN, LEAST_AMPLITUDE**2 * (denoised**2).sum())
    frequency, fitted = np.zeros((1, 0)), np.zeros_like(mixed)
    for _ in range(min(MOST_SINES, length // 3 - 1)):
        found = highest_peak(denoised - fitted, band)
        more, better = refine(denoised, np.hstack([frequency, found[:, None]]), band, NEWTON_STEPS)
        gain = ((denoised - fitted) ** 2).sum() - ((denoised - better) ** 2).sum()
        if not gain > least:
            break
        frequency, fitted = more, better
    if not frequency.size:
        return []
    frequency, fitted = refine(mixed, frequency, band, 1)
    # The sines have taken the noise of three dimensions each, one for each unknown.
    noise_power = ((mixed - fitted) ** 2).sum() / (length - 3 * frequency.size)
    frequency = np.sort(frequency)
    weights = solve(np.concatenate(waves(frequency, np.arange(length) / sample_rate), 1), mixed)
    cosine, sine = np.split(weights[0], 2)
    amplitude, phase = np.hypot(cosine, sine), np.arctan2(cosine, sine) % (2 * np.pi)
    errors = cramer_rao_errors(frequency[0], amplitude, phase, noise_power, length, sample_rate)
    columns = frequency[0], errors[0], amplitude, errors[1], phase, errors[2]
    return [Sine(*row) for row in np.stack(columns, 1).tolist()]


def cramer_rao_errors(frequency, amplitude, phase, noise_power, length, sample_rate):
    """The least standard deviations of unbiased estimates of sines in white Gaussian noise.

    Frequencies in Hz, amplitudes and phases in radians, each (sines,), give three such arrays: the
    roots of the diagonal of (JᵀJ / σ²)⁻¹, J being the slopes of the sum of the sines by all of its
    3 · sines unknowns. Kay, "Fundamentals of Statistical Signal Processing: Estimation Theory"
    (1993), chapter 3.
    """
    time = np.arange(length) / sample_rate
    angle = 2 * np.pi * np.outer(frequency, time) + phase[:, None]
    swing = amplitude[:, None] * np.cos(angle)
    slopes = np.concatenate([2 * np.pi * time * swing, np.sin(angle), swing])
    # Rows of one size, and a ridge as in `solve`: sines that coincide have large errors, not none.
    size = np.linalg.norm(slopes, axis=1) + 1e-300
    slopes /= size[:, None]
    inverse = np.linalg.inv(slopes @ slopes.T + 1e-12 * np.eye(len(slopes)))
    return np.split(np.sqrt(noise_power * inverse.diagonal()) / size, 3)
