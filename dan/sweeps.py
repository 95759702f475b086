"""Sweeps: where each method breaks, as the noise, the spacing or the number of sines changes.

A sweep returns (values, {method: output SNR in dB at each value}), the ratio of total energies,
which is what the Cramér–Rao bound bounds. Estimators are called as
`estimator(mixed, snr_db, num_components)`.
"""

from dataclasses import replace

import numpy as np
from tqdm import tqdm

from dan.baselines import cramer_rao_bound_db
from dan.metrics import total_snr_db
from dan.signals import (
    count_unknowns,
    draw,
    draw_components,
    mix,
    sum_of_sines,
    unknowns_per_sine,
)

SNRS_DB = range(-10, 11, 2)
SPACINGS_HZ = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0)
NUMBERS = (1, 2, 3, 4, 5)
BOUND = "Cramér–Rao bound"


def sweep_snr(estimators, data, count):
    """Over the input SNR in dB; the sines are those of the configuration."""
    cases = []
    for snr in SNRS_DB:
        clean, _, mixed = draw(replace(data, snr_db=float(snr)), "test", count)
        unknowns = count_unknowns(data, "test", count)
        cases.append((clean, mixed, float(snr), data.num_components, unknowns))
    return list(SNRS_DB), compare(estimators, cases, "sweeping the SNR")


def sweep_spacing(estimators, data, count):
    """Over the distance of two neighbouring sines in Hz; a third lies well apart from both.

    At least 10 Hz off, or a fifth of the band where that is less; spacings of more than a third of
    the band are left out. Amplitudes and phases are those of the configuration.
    """
    rng = np.random.default_rng([data.seed, 3])
    band, snr = data.high_freq - data.low_freq, float(np.mean(data.snr_db))
    apart, spacings = min(10, band / 5), [s for s in SPACINGS_HZ if s <= band / 3]
    three = replace(data, num_components=3)
    unknowns = np.full(count, 3 * unknowns_per_sine(data))
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
        clean, mixed = (x.astype(np.float32) for x in (clean, mix(clean, noise, snr)))
        cases.append((clean, mixed, snr, 3, unknowns))
    return spacings, compare(estimators, cases, "sweeping the spacing")


def sweep_number(estimators, data, count):
    """Over the number of sines; amplitudes and phases are those of the configuration."""
    cases = []
    for number in NUMBERS:
        family = replace(data, num_components=number)
        clean, _, mixed = draw(family, "test", count)
        unknowns = count_unknowns(family, "test", count)
        cases.append((clean, mixed, total_snr_db(clean, mixed), number, unknowns))
    return list(NUMBERS), compare(estimators, cases, "sweeping the number of sines")


def compare(estimators, cases, title):
    """Output SNR of every estimator, and the bound, in each case.

    cases: (clean, mixed, SNR in dB, number of sines, free parameters of each signal).
    """
    results = {name: [] for name in estimators} | {BOUND: []}
    for clean, mixed, snr, number, unknowns in tqdm(cases, desc=title, unit="step", leave=False):
        for name, estimator in estimators.items():
            results[name].append(total_snr_db(clean, estimator(mixed, snr, number)))
        results[BOUND].append(cramer_rao_bound_db(clean, mixed, unknowns)[0])
    return results
