"""Part "any": one network for any number of sines of unknown amplitudes and phases, beside NOMP and the floor."""

from dataclasses import replace

import numpy as np

from dan.configuration import resolve
from dan.evaluation.floor import NUM_SIGNALS, SNRS_DB
from dan.evaluation.sweeps import BOUND, compare, drawn_case, measure_outside, sweep_number, sweep_spacing
from dan.output import plots
from dan.results import records
from dan.results.records import over_seeds
from dan.results.tables import markdown, number
from dan.results.trainings import SEEDS, of_presets, trained
from evaluate import all_estimators

PRESET = "spectral-any"
CODE = (
    *(f"dan/evaluation/{name}.py" for name in ("baselines", "metrics", "sine_fits", "sweeps")),
    "evaluate.py",
    "dan/results/any_number.py",
)
NUMBERS = 1, 2, 3, 4, 5
FLOOR = "posterior mean"

FIGURES = "sweep_snr_by_number", "sweep_spacing", "sweep_number"


def trainings():
    return of_presets(PRESET)


def measure(configs):
    """The values of the record; configs: as `trainings` gives them, trained."""
    config = resolve(PRESET)
    data, count = config.test_data, config.evaluation.num_sweep
    floor = records.read("floor")["values"]
    names = {PRESET if seed == SEEDS[0] else f"{PRESET}, seed {seed}": key for key in configs for seed in [key[1]]}
    estimators = all_estimators(config, {name: trained(configs[key]) for name, key in names.items()})
    first = {name: estimator for name, estimator in estimators.items() if "seed" not in name}
    grid = {}
    for sines in NUMBERS:  # on the signals that the floor was measured on
        points = floor[f"{sines} sines"]
        cases = [drawn_case(replace(data, num_components=sines, snr_db=float(snr)), NUM_SIGNALS) for snr in SNRS_DB]
        grid[sines] = compare(estimators, cases, data, f"{sines} sines")
        grid[sines][FLOOR] = [points[f"{snr}"]["floor_db"] for snr in SNRS_DB]
    distances = {name: np.array([np.subtract(snr[FLOOR], snr[name]) for snr in grid.values()]) for name in estimators}

    def over_grid(reduce):
        found = {key[1]: float(reduce(distances[name])) for name, key in names.items()}
        return {PRESET: over_seeds(found, NUM_SIGNALS), "NOMP": float(reduce(distances["NOMP"]))}

    return {
        "SNRs": list(SNRS_DB),
        "signals a point": NUM_SIGNALS,
        "output SNR": {str(sines): {name: snr[name] for name in (*first, BOUND, FLOOR)} for sines, snr in grid.items()},
        "seeds' output SNR": {str(sines): {name: snr[name] for name in names} for sines, snr in grid.items()},
        "mean distance": over_grid(np.mean),
        "largest distance": over_grid(np.max),
        "least lead over NOMP": float((distances["NOMP"] - distances[PRESET]).min()),
        "lead over NOMP": lead(distances["NOMP"] - distances[PRESET]),
        "sweeps": {
            name: {"values": values, "signals": count, "output SNR": snr}
            for name, sweep in {"spacing": sweep_spacing, "number": sweep_number}.items()
            for values, snr in [sweep(first, data, count)]
        },
        "outside": measure_outside(first, data, count),
    }


def lead(gains):
    """{input SNR: the least and the most that the network is ahead of NOMP, over the numbers of sines}."""
    return {
        f"{snr} dB": {"least": float(g.min()), "most": float(g.max())} for snr, g in zip(SNRS_DB, gains.T, strict=True)
    }


def draw_figures(values):
    """{name: figure} out of the record's values."""
    signals = f"{values['signals a point']} signals a point"
    labels = {"spacing": "distance of two neighbouring sines in Hz", "number": "number of sines"}
    family = {int(sines): (values["SNRs"], snr) for sines, snr in values["output SNR"].items()}
    return {
        "sweep_snr_by_number": plots.sweep_by_number(family, signals),
        **{
            f"sweep_{name}": plots.sweep(s["values"], s["output SNR"], labels[name], signals)
            for name, s in values["sweeps"].items()
        },
    }


def distances(values, _):
    """The distance to the floor of the network and of NOMP, by number of sines and input SNR."""
    rows = []
    for sines, snr in values["output SNR"].items():
        pairs = zip(*(np.subtract(snr[FLOOR], snr[name]) for name in (PRESET, "NOMP")), strict=True)
        rows.append([sines, *(f"{number(ours, 1)}, {number(nomp, 1)}" for ours, nomp in pairs)])
    titles = [f"{number(snr, 0)} dB" for snr in values["SNRs"]]
    return markdown(["sines", f"{titles[0]}: network, NOMP", *titles[1:]], rows)


def outside(values, _):
    """Output SNR of signals unlike those of the training."""
    families = list(values["outside"])
    rows = [
        [f"`{method}`" if method == PRESET else method, *(number(values["outside"][f][method], 1) for f in families)]
        for method in values["outside"][families[0]]
    ]
    return markdown(["method", *families], rows)


TABLES = {"distances": distances, "outside": outside}
