"""The floor of all estimators: the mean squared error of the posterior mean, by number of sines and SNR."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from dan.configuration import resolve
from dan.evaluation.baselines import cramer_rao_bound_db
from dan.evaluation.metrics import ratio_interval_db
from dan.evaluation.posterior import posterior_mean
from dan.evaluation.sine_fits import matching_pursuit
from dan.files import write_bytes
from dan.progress import track
from dan.signals.sines import count_sines, draw, unknowns_per_sine

SNRS_DB = -10, -6, -2, 2, 6, 14, 22, 30
NUM_SIGNALS = 200  # at each point
CHAINS = 2
SWEEPS = 400, 1600, 4800  # the later ones for signals whose chains have not converged
AGREEMENT = 0.17  # the most variance between chains, over that of the posterior: Gelman and Rubin's factor is 1.1
MISFIT = 1.15  # the most energy that a chain leaves, over that of the noise
BLOCK = 200  # signals at once, which fit into a processor's cache


def measure_floor(path, count=NUM_SIGNALS, sweeps=SWEEPS):
    """Write the floor to a JSON file: {"values": {"1 sines": {"-10": {…}, …}, …, "dan": {…}}}.

    The signals are the first `count` test signals of the preset `dan`, and of `spectral-any` for each
    number of sines and input SNR. What the file holds already is not measured again.
    """
    path = Path(path)
    values = json.loads(path.read_text())["values"] if path.exists() else {}
    family, three = resolve("spectral-any").data, resolve("dan").data
    fewest, most = family.num_components
    cases = [(three, {"dan": three})]
    for snr in SNRS_DB:
        numbers = range(fewest, most + 1)
        cases.append((family, {f"{k} sines": replace(family, num_components=k, snr_db=float(snr)) for k in numbers}))
    for prior, kinds in track(cases, desc="measuring the floor", unit="SNR"):
        if not all(f"{data.snr_db:g}" in values.get(name, {}) for name, data in kinds.items()):
            found = measure(list(kinds.values()), prior, count, sweeps)
            for (name, data), value in zip(kinds.items(), found, strict=True):
                values.setdefault(name, {})[f"{data.snr_db:g}"] = value
            write_bytes(path, json.dumps({"values": values}, indent=1).encode() + b"\n")


def measure(kinds, prior, count, sweeps):
    """The floor for the signals of each DataConfig of `kinds`, as `summarise` gives it.

    prior: the family that is all that is known of them.
    """
    drawn = [draw(data, "test", count) for data in kinds]
    clean, _, mixed = (np.concatenate(x).astype(np.float64) for x in zip(*drawn, strict=True))
    sigma = np.sqrt(((mixed - clean) ** 2).mean(1))
    means, distance = np.empty((len(clean), CHAINS, prior.length)), np.empty((len(clean), CHAINS))
    lengths, waiting = np.zeros(len(clean), int), np.arange(len(clean))
    for index, number in enumerate(sweeps):
        for first in range(0, len(waiting), BLOCK):
            some = waiting[first : first + BLOCK]
            means[some], distance[some] = posterior_mean(mixed[some], sigma[some], prior, CHAINS, number, index)
        lengths[waiting] = number
        variance = distance.mean(1) - products_of_chains(mixed[:, None] - means)
        disagree = means.var(1, ddof=1).sum(1) > AGREEMENT * variance
        misfit = distance.max(1) > MISFIT * sigma**2 * prior.length
        waiting = np.flatnonzero(disagree | misfit)
        if not len(waiting):
            break
    left = np.isin(np.arange(len(clean)), waiting)
    parts = (np.split(x, len(kinds)) for x in (clean, mixed, means, variance, lengths, left))
    return [summarise(data, prior, *part) for data, *part in zip(kinds, *parts, strict=True)]


def summarise(data, prior, clean, mixed, means, variance, lengths, left):
    """Output SNRs in dB, ratios of total energies with half-widths of 95 % intervals over the signals.

    means: of each chain (count, chains, length); variance: the posterior's, by the chains, (count,);
    lengths: sweeps of each signal's chains; left: whether they have not converged.

    `floor_db` is that of the posterior mean, without the error of finite chains: the mean product of
    the errors of two chains; where they have not converged, the least error of a chain or of matching
    pursuit stands in. `annealed_db` and `fitted_db` are those of one chain each, by their start,
    and have that error. `expected_db` is the posterior's variance, which the chains find without the
    clean signals; both agree on average over the numbers of sines and over SNRs, but not at each, since
    the posterior knows neither. `between_chains` is the variance of a chain's mean over the squared error.
    """
    error, energy = clean[:, None] - means, (clean**2).sum(1)
    floor, annealed, fitted = products_of_chains(error), (error[:, 0] ** 2).sum(1), (error[:, 1] ** 2).sum(1)
    mean_error = ((clean - means.mean(1)) ** 2).sum(1)
    nomp = ((clean - matching_pursuit(mixed, prior)) ** 2).sum(1)
    # Chains that are stuck tell nothing; on average the posterior mean's error is no larger than any of these.
    floor[left] = np.minimum(np.minimum(annealed, fitted), nomp)[left]
    unknowns = count_sines(data, "test", len(clean)) * unknowns_per_sine(data)
    bound, bound_mean = cramer_rao_bound_db(clean, mixed, unknowns)
    results = {"signals": len(clean), "chains": CHAINS, "not_converged": int(left.sum())}
    results["signals_by_sweeps"] = {str(n): int((lengths == n).sum()) for n in np.unique(lengths)}
    results["between_chains"] = float(means.var(1, ddof=1).sum() / floor.sum())
    for name, error_energy in (
        ("floor", floor),
        ("expected", variance),
        ("annealed", annealed),
        ("fitted", fitted),
        ("nomp", nomp),
    ):
        results[f"{name}_db"] = ratio_db(energy, error_energy)
        results[f"{name}_interval_db"] = ratio_interval_db(energy, error_energy)
    results["cramer_rao_db"] = bound
    for name, numerator, denominator in (("nomp_to_floor", nomp, floor), ("expected_over_floor", variance, floor)):
        results[f"{name}_db"] = ratio_db(numerator, denominator)
        results[f"{name}_interval_db"] = ratio_interval_db(numerator, denominator)
    results["floor_mean_of_db"] = float((10 * np.log10(energy / mean_error)).mean())
    results["cramer_rao_mean_of_db"] = bound_mean
    results["sums"] = {"energy": float(energy.sum()), "squared_error": float(floor.sum())}
    return results


def products_of_chains(x):
    """The mean product of two different chains, for (count, chains, length); (count,).

    Without bias for the squared norm of what the chains estimate, since their errors are independent.
    """
    chains = x.shape[1]
    return ((x.sum(1) ** 2).sum(1) - (x**2).sum((1, 2))) / (chains * (chains - 1))


def ratio_db(energy, other_energy):
    """The ratio of total energies in dB."""
    return float(10 * np.log10(energy.sum() / other_energy.sum()))
