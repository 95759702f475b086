"""Sweeps: where each method breaks, as the noise, the spacing or the number of sines changes.

A sweep returns (values, {method: output SNR in dB at each value}), the ratio of total energies,
which is what the Cramér–Rao bound bounds. Estimators are called as
`estimator(mixed, snr_db, numbers)`, with the number of sines of each signal.
"""

from dataclasses import replace

import numpy as np

from dan.evaluation.baselines import cramer_rao_bound_db
from dan.evaluation.metrics import total_snr_db
from dan.progress import track
from dan.signals.sines import count_sines, draw, draw_components, mix, sum_of_sines, unknowns_per_sine

SNRS_DB = range(-10, 11, 2)
SPACINGS_HZ = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0)
NUMBERS = (1, 2, 3, 4, 5)
MOST_NUMBERS = 5  # of sines that the SNR is swept for
BOUND = "Cramér–Rao bound"


def sweep_snr(estimators, data, count):
    """Over the input SNR in dB; the sines are those of the configuration.

    Beyond a range that the configuration draws it from by 10 dB, if that is wider.
    """
    high = max(SNRS_DB[-1], int(np.max(data.snr_db)) + 10 if isinstance(data.snr_db, tuple) else 0)
    snrs = [float(snr) for snr in range(SNRS_DB[0], high + 1, 2 if high <= 10 else 4)]
    cases = [drawn_case(replace(data, snr_db=snr), count) for snr in snrs]
    return snrs, compare(estimators, cases, data, "sweeping the SNR")


def sweep_number(estimators, data, count):
    """Over the number of sines; amplitudes and phases are those of the configuration."""
    cases = [drawn_case(replace(data, num_components=number), count) for number in NUMBERS]
    return list(NUMBERS), compare(estimators, cases, data, "sweeping the number of sines")


def drawn_case(data, count):
    """(clean, mixed, number of sines of each signal), as `draw` gives them for testing."""
    clean, _, mixed = draw(data, "test", count)
    return clean, mixed, count_sines(data, "test", count)


def sweep_spacing(estimators, data, count):
    """Over the distance of two neighbouring sines in Hz; a third lies well apart from both.

    At least 10 Hz off, or a fifth of the band where that is less; spacings of more than a third of
    the band are left out. Amplitudes and phases are those of the configuration.
    """
    rng = np.random.default_rng([data.seed, 3])
    band, snr = data.high_freq - data.low_freq, float(np.mean(data.snr_db))
    apart, spacings = min(10, band / 5), [s for s in SPACINGS_HZ if s <= band / 3]
    three = replace(data, num_components=3)
    cases = []
    for spacing in spacings:
        lower = rng.uniform(data.low_freq, data.high_freq - spacing, count)
        third = rng.uniform(data.low_freq, data.high_freq, count)
        while (near := np.abs(third - lower - spacing / 2) < apart + spacing / 2).any():
            third[near] = rng.uniform(data.low_freq, data.high_freq, near.sum())
        frequency = np.stack([lower, lower + spacing, third], 1)
        _, amplitude, phase = draw_components(three, count, rng)
        clean = sum_of_sines(frequency, amplitude, phase, data)
        noise = rng.normal(0, data.noise_std, clean.shape)
        cases.append(mixed_case(clean, noise, snr, 3))
    return spacings, compare(estimators, cases, data, "sweeping the spacing")


def sweep_snr_by_number(estimators, data, count):
    """`sweep_snr` for some numbers of sines of a range, fewest to most: {number: its results}."""
    low, high = data.num_components
    numbers = sorted({round(number) for number in np.linspace(low, high, MOST_NUMBERS)})
    return {number: sweep_snr(estimators, replace(data, num_components=number), count) for number in numbers}


def measure_outside(estimators, data, count):
    """Output SNRs outside the family that `data` describes: {what: {method: output SNR in dB}}.

    At the mean of the configured SNRs. Output SNRs are ratios of total energies; no bound holds.
    """
    rng = np.random.default_rng([data.seed, 5])
    snr = float(np.mean(data.snr_db))
    at_mean = replace(data, snr_db=snr)
    most = int(np.max(data.num_components))
    families = {f"{most + 1} to {most + 3} sines": replace(at_mean, num_components=(most + 1, most + 3))}
    if data.low_freq > 0:
        families["sines below the band"] = replace(at_mean, low_freq=0.2 * data.low_freq, high_freq=data.low_freq)
    if data.high_freq < data.nyquist:
        families["sines above the band"] = replace(
            at_mean, low_freq=data.high_freq, high_freq=0.5 * (data.high_freq + data.nyquist)
        )
    cases = {name: drawn_case(family, count) for name, family in families.items()}
    time = np.arange(data.length) / data.sample_rate
    first, last = rng.uniform(data.low_freq, data.high_freq, (2, count, 1))
    chirp = np.sin(2 * np.pi * (first * time + (last - first) * time**2 / (2 * data.duration)))
    cases["a chirp"] = mixed_case(chirp, rng.normal(size=chirp.shape), snr, 1)
    clean, _, numbers = drawn_case(at_mean, count)
    spectrum = np.fft.rfft(rng.normal(size=clean.shape))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 1)), clean.shape[1])
    cases["pink noise"] = *mixed_case(clean, pink, snr, 1)[:2], numbers
    results = compare(estimators, cases.values(), at_mean, "measuring outside the family")
    return {
        name: {method: values[index] for method, values in results.items() if method != BOUND}
        for index, name in enumerate(cases)
    }


def mixed_case(clean, noise, snr, number):
    """(clean, mixed, number of sines of each signal) of clean signals and noise."""
    clean, mixed = (x.astype(np.float32) for x in (clean, mix(clean, noise, snr)))
    return clean, mixed, np.full(len(clean), number)


def compare(estimators, cases, data, title):
    """Output SNR of every estimator, and the bound, in each case (clean, mixed, numbers)."""
    results = {name: [] for name in estimators} | {BOUND: []}
    for clean, mixed, numbers in track(cases, desc=title, unit="step", leave=False):
        snr = total_snr_db(clean, mixed)
        for name, estimator in estimators.items():
            results[name].append(total_snr_db(clean, estimator(mixed, snr, numbers)))
        unknowns = numbers * unknowns_per_sine(data)
        results[BOUND].append(cramer_rao_bound_db(clean, mixed, unknowns)[0])
    return results
