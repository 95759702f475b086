"""Tables of a measurement: every estimator by every metric, printed and as JSON.

A metric is a title, which of a method's values is the worst (min or max), and a function of clean,
mixed, estimate and the DataConfig that gives one value for each signal.
"""

import time

import numpy as np

from dan.errors import UserError
from dan.evaluation.baselines import cramer_rao_bound_db
from dan.evaluation.metrics import summary, total_snr_db, total_snr_interval
from dan.progress import track
from dan.signals.sines import unknowns_per_sine

PART = 2**19  # samples that an estimator gets at once


def estimate_all(clean, mixed, numbers, estimators, metrics, data):
    """Every estimator on the signals (count, length), and every metric of what it gives.

    Returns {method: estimate}, {method: {metric: array of one value for each signal}} and
    {method: seconds for 1,000 signals}. Estimators get as many signals as PART allows at once: some
    need a hundred times their memory.
    """
    snr, estimates, seconds = total_snr_db(clean, mixed), {}, {}
    size = max(1, PART // mixed.shape[-1])
    parts = [slice(first, first + size) for first in range(0, len(mixed), size)]
    for name, estimator in estimators.items():  # they have bars of their own
        started = time.perf_counter()
        estimates[name] = np.concatenate(
            [estimator(mixed[part], snr, None if numbers is None else numbers[part]) for part in parts]
        )
        seconds[name] = 1000 / len(mixed) * (time.perf_counter() - started)
        if not np.isfinite(estimates[name]).all():
            raise UserError(f"{name} gives values that are not finite; train it again")
    values = {
        name: {key: function(clean, mixed, estimate, data) for key, (_, _, function) in metrics.items()}
        for name, estimate in track(estimates.items(), desc="measuring", delay=3, leave=False)
    }
    return estimates, values, seconds


def summarise(clean, mixed, numbers, estimates, values, seconds, metrics, data):
    """What is printed and stored; sines have a bound, and every method a distance to it."""
    methods = {
        method: {name: summary(array, metrics[name][1]) for name, array in measured.items()}
        for method, measured in values.items()
    }
    for method, estimate in estimates.items():
        methods[method]["total_snr_db"] = total_snr_db(clean, estimate)
        methods[method]["total_snr_confidence_95"] = total_snr_interval(clean, estimate)
        methods[method]["seconds_per_1000_signals"] = seconds[method]
    result = {"count": len(clean), "methods": methods}
    if numbers is not None:
        unknowns = numbers * unknowns_per_sine(data)
        bound, mean = cramer_rao_bound_db(clean, mixed, unknowns)
        result["bound_db"], result["mean_at_bound_db"] = bound, mean
        for measured in methods.values():
            measured["distance_to_bound_db"] = bound - measured["total_snr_db"]
    return result


def print_table(split, result, metrics):
    """Three lines a method: mean ± 95 % confidence interval, median, worst."""
    bound = ""
    if "bound_db" in result:
        bound = (
            f"; Cramér–Rao bound on the total SNR: {result['bound_db']:.2f} dB (mean of the "
            f"signals' dB there: {result['mean_at_bound_db']:.2f})"
        )
    headings = [*(heading for heading, _, _ in metrics.values()), "total SNR in dB"]
    headings += ["to the bound"] if bound else []
    headings += ["s per 1,000"]
    print(f"\n{result['count']} {split} signals{bound}\n{'':<20}" + "".join(f"{heading:>17}" for heading in headings))
    for method, measured in result["methods"].items():
        rows = {
            f"{method} mean": lambda m: with_interval(m["mean"], m["confidence_95"]),
            "  median": lambda m: with_interval(m["median"], None),
            "  worst": lambda m: with_interval(m["worst"], None),
        }
        for label, text in rows.items():
            cells = [text(measured[name]) for name in metrics]
            if label.endswith("mean"):
                cells += [with_interval(measured["total_snr_db"], measured["total_snr_confidence_95"], 2)]
                cells += [f"{measured['distance_to_bound_db']:.2f}"] if bound else []
                cells += [f"{measured['seconds_per_1000_signals']:.2f}"]
            print(f"{label:<20}" + "".join(f"{cell:>17}" for cell in cells))
    print()


def with_interval(value, half_width, digits=3):
    """A value with its confidence interval, which a single signal has not; – for none."""
    if value is None:
        return "–"
    interval = "" if half_width is None else f" ± {half_width:.{digits}f}"
    return f"{value:.{digits}f}{interval}"
