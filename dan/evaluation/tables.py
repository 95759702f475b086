"""Tables of a measurement: every estimator by every metric, printed and as JSON.

Metrics are the columns that metrics.py describes.
"""

import time

import numpy as np

from dan.errors import UserError
from dan.evaluation.baselines import cramer_rao_bound_db
from dan.evaluation.metrics import summary, total_snr_db, total_snr_interval
from dan.progress import track
from dan.signals.sines import unknowns_per_sine

ESTIMATED_AT_ONCE = 2**19  # samples


def estimate_all(clean, mixed, numbers, estimators, metrics):
    """Every estimator on the signals (count, length), and every metric of what it gives.

    Returns {method: estimate}, {method: {metric: array of one value for each signal}} and
    {method: processor seconds for 1,000 signals}. Estimators get as many signals as ESTIMATED_AT_ONCE
    allows at once: some need a hundred times their memory.
    """
    snr, estimates, seconds = total_snr_db(clean, mixed), {}, {}
    size = max(1, ESTIMATED_AT_ONCE // mixed.shape[-1])
    parts = [slice(first, first + size) for first in range(0, len(mixed), size)]
    for name, estimator in estimators.items():  # they have bars of their own
        started = time.process_time()
        estimates[name] = np.concatenate(
            [estimator(mixed[part], snr, None if numbers is None else numbers[part]) for part in parts]
        )
        seconds[name] = 1000 / len(mixed) * (time.process_time() - started)
        if not np.isfinite(estimates[name]).all():
            raise UserError(f"{name} gives values that are not finite; train it again")
    values = {
        name: {key: function(clean, mixed, estimate) for key, (_, _, function) in metrics.items()}
        for name, estimate in track(estimates.items(), desc="measuring", delay=3, leave=False)
    }
    return estimates, values, seconds


def summarise(clean, mixed, numbers, estimates, values, seconds, metrics, data):
    """The results to print and store; sines have a bound, and every method a distance to it."""
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
    """Print three lines a method: mean ± 95 % confidence interval, median, worst."""
    titles = [*(title for title, _, _ in metrics.values()), "total SNR in dB"]
    print(f"\n{result['count']} {split} signals", end="")
    if "bound_db" in result:
        titles.append("to the bound")
        print(
            f"; Cramér–Rao bound on the total SNR: {result['bound_db']:.2f} dB (mean of the signals' dB there: "
            f"{result['mean_at_bound_db']:.2f})",
            end="",
        )
    print()
    print_row("", [*titles, "s per 1,000"], 17)
    for method, measured in result["methods"].items():
        cells = [with_interval(measured[name]["mean"], measured[name]["confidence_95"]) for name in metrics]
        cells.append(with_interval(measured["total_snr_db"], measured["total_snr_confidence_95"], 2))
        if "bound_db" in result:
            cells.append(f"{measured['distance_to_bound_db']:.2f}")
        print_row(f"{method} mean", [*cells, f"{measured['seconds_per_1000_signals']:.2f}"], 17)
        for statistic in ("median", "worst"):
            print_row(f"  {statistic}", [with_interval(measured[name][statistic], None) for name in metrics], 17)
    print()


def print_row(label, cells, width):
    """Print a line of a table: its label, and cells of one width."""
    print(f"{label:<20}" + "".join(f"{cell:>{width}}" for cell in cells))


def print_distances(family, bound):
    """Print each method's distance to the bound by number of sines and input SNR, a table a method.

    family: {number of sines: (input SNRs in dB, {method: output SNRs in dB})}; bound: its name.
    """
    values, results = next(iter(family.values()))
    for method in [name for name in results if name not in ("input", bound)]:
        print(f"{method}: distance to the {bound} in dB")
        print_row("input SNR in dB", [f"{value:.0f}" for value in values], 7)
        for number, (_, snr) in family.items():
            distances = np.subtract(snr[bound], snr[method])
            print_row(f"{number} sine{'s' * (number > 1)}", [f"{distance:.2f}" for distance in distances], 7)
        print()


def print_outside(outside):
    """Print output SNRs outside the family, {what: {method: dB}}, a line a method."""
    print("outside the family: output SNR in dB, ratio of total energies")
    print_row("", outside, 22)
    for method in next(iter(outside.values())):
        print_row(method, [f"{snr[method]:.2f}" for snr in outside.values()], 22)
    print()


def with_interval(value, half_width, digits=3):
    """A value with its confidence interval, which a single signal has not; – for none."""
    if value is None:
        return "–"
    interval = "" if half_width is None else f" ± {half_width:.{digits}f}"
    return f"{value:.{digits}f}{interval}"
