"""Part "floor": the output SNR of the posterior mean, which no estimator exceeds on average, beside NOMP's."""

import json

from config import REPOSITORY
from dan.evaluation.floor import measure_floor
from dan.results.records import fingerprint_of, fingerprints
from dan.results.tables import markdown, number

CODE = (
    *(f"dan/evaluation/{name}.py" for name in ("baselines", "floor", "posterior", "sine_fits")),
    "dan/signals/sines.py",
    "dan/results/floor.py",
)
FIGURES = ()


def trainings():
    return {}


def measure(_):
    """The values of the record; goes on where the same code was stopped, one input SNR after the other."""
    path = REPOSITORY / f"checkpoints/results/floor-{fingerprint_of(fingerprints(CODE))}.json"
    measure_floor(path)
    return json.loads(path.read_bytes())["values"]


def gaps(values, records):
    """The floor, and how far the bound lies above it, by number of sines and input SNR."""
    rows, snrs = [], list(values["1 sines"])
    for name in [name for name in values if name.endswith("sines")]:
        rows.append([name.split()[0], *(cell(values[name][snr]) for snr in snrs)])
    return markdown(["sines", *(f"{number(float(snr), 0)} dB" for snr in snrs)], rows)


def cell(found):
    """The floor with its interval, and the bound's distance from it."""
    floor, interval, bound = (found[key] for key in ("floor_db", "floor_interval_db", "cramer_rao_db"))
    return f"{number(floor, 1)} ± {number(interval, 1)}, {'+' * (bound > floor)}{number(bound - floor, 1)}"


TABLES = {"gaps": gaps}
