"""The floor of all estimators: the mean squared error of the posterior mean, by number of sines and SNR.

    python -m dan.evaluation.floor docs/results/floor.json

goes on where it was stopped, point by point.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dan.configuration import resolve
from dan.evaluation.baselines import cramer_rao_bound_db
from dan.evaluation.metrics import ratio_interval_db
from dan.evaluation.posterior import posterior_mean
from dan.evaluation.sine_fits import matching_pursuit
from dan.files import write_bytes
from dan.progress import track
from dan.signals.sines import count_sines, draw, unknowns_per_sine

SNRS_DB = -10.0, -6.0, -2.0, 2.0, 6.0, 14.0, 22.0, 30.0
CHAINS = 4
SWEEPS = 400, 1600, 6400  # the later ones for signals whose chains do not agree
AGREEMENT = 0.17  # the most variance between chains, over that of the posterior: Gelman and Rubin's factor is 1.1


def measure_floor(path, count=200, sweeps=SWEEPS):
    """Write the floor to a JSON file: {"values": {"1 sines": {"-10": {…}, …}, …, "dan": {…}}}.

    The signals are the first `count` test signals of the presets `spectral-any`, for each number of
    sines and input SNR, and `dan`. What the file holds already is not measured again.
    """
    path = Path(path)
    values = json.loads(path.read_text())["values"] if path.exists() else {}
    for name, key, data, prior in track(points(), desc="measuring the floor", unit="point"):
        if key not in values.setdefault(name, {}):
            values[name][key] = measure_point(data, prior, count, sweeps)
            write_bytes(path, json.dumps({"values": values}, indent=1).encode() + b"\n")


def points():
    """(name, input SNR, the signals' DataConfig, that of the family that is known beforehand)."""
    family, three = resolve("spectral-any").data, resolve("dan").data
    fewest, most = family.num_components
    found = [("dan", f"{three.snr_db:g}", three, three)]
    for snr in SNRS_DB:
        for number in range(fewest, most + 1):
            found.append((f"{number} sines", f"{snr:g}", replace(family, num_components=number, snr_db=snr), family))
    return found


def measure_point(data, prior, count, sweeps):
    """The floor for signals of `data`, when all that is known of them is the family `prior`.

    Output SNRs in dB are ratios of total energies, with half-widths of 95 % intervals over the signals.
    `floor_db` is that of the posterior mean, without the error of finite chains: the mean product of
    the errors of two chains. `chain_db` has that error, `expected_db` is the posterior's variance, which
    the chains find without knowing the clean signals. `between_chains` is the variance of a chain's
    mean over the squared error.
    """
    clean, _, mixed = (x.astype(np.float64) for x in draw(data, "test", count))
    sigma = np.sqrt(((mixed - clean) ** 2).mean(1))
    means, distance = np.empty((count, CHAINS, data.length)), np.empty((count, CHAINS))
    signals, rounds = np.arange(count), []
    for index, number in enumerate(sweeps):
        means[signals], distance[signals] = posterior_mean(mixed[signals], sigma[signals], prior, CHAINS, number, index)
        rounds.append({"sweeps": number, "signals": len(signals)})
        between = means.var(1, ddof=1).sum(1)
        variance = distance.mean(1) - products_of_chains(mixed[:, None] - means)
        signals = np.flatnonzero(between > AGREEMENT * variance)
        if not len(signals):
            break
    error = clean[:, None] - means
    floor, energy = products_of_chains(error), (clean**2).sum(1)
    mean_error = ((clean - means.mean(1)) ** 2).sum(1)
    nomp = ((clean - matching_pursuit(mixed, prior)) ** 2).sum(1)
    unknowns = count_sines(data, "test", count) * unknowns_per_sine(data)
    total, mean = cramer_rao_bound_db(clean, mixed, unknowns)
    return {
        "floor_db": ratio_db(energy, floor),
        "floor_interval_db": ratio_interval_db(energy, floor),
        "floor_mean_of_db": float((10 * np.log10(energy / mean_error)).mean()),
        "expected_db": ratio_db(energy, variance),
        "expected_over_floor_db": ratio_db(variance, floor),
        "expected_over_floor_interval_db": ratio_interval_db(variance, floor),
        "chain_db": ratio_db(energy, (error**2).sum(2).mean(1)),
        "annealed_db": ratio_db(energy, products_of_chains(error[:, 0::2])),
        "fitted_db": ratio_db(energy, products_of_chains(error[:, 1::2])),
        "between_chains": float(between.sum() / floor.sum()),
        "signals": count,
        "signals_not_agreeing": len(signals),
        "chains": CHAINS,
        "rounds": rounds,
        "nomp_db": ratio_db(energy, nomp),
        "nomp_interval_db": ratio_interval_db(energy, nomp),
        "nomp_to_floor_db": ratio_db(nomp, floor),
        "nomp_to_floor_interval_db": ratio_interval_db(nomp, floor),
        "cramer_rao_db": total,
        "cramer_rao_mean_of_db": mean,
        "sums": {name: float(x.sum()) for name, x in (("energy", energy), ("squared_error", floor))},
    }


def products_of_chains(x):
    """The mean product of two different chains, for (count, chains, length); (count,).

    Without bias for the squared norm of what the chains estimate, since their errors are independent.
    """
    chains = x.shape[1]
    return ((x.sum(1) ** 2).sum(1) - (x**2).sum((1, 2))) / (chains * (chains - 1))


def ratio_db(energy, other_energy):
    """The ratio of total energies in dB."""
    return float(10 * np.log10(energy.sum() / other_energy.sum()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure_floor(sys.argv[1])
