"""Part "sines": three sines at −2 dB, by every preset for them, and where each method breaks."""

from dataclasses import replace

import numpy as np

from dan.configuration import resolve
from dan.denoising.denoiser import Denoiser
from dan.evaluation.metrics import snr_db, table_columns, total_snr_db
from dan.evaluation.sweeps import BOUND, sweep_number, sweep_snr, sweep_spacing
from dan.evaluation.tables import estimate_all, summarise
from dan.output import plots
from dan.results.records import over_seeds, over_signals
from dan.results.tables import markdown, with_spread
from dan.results.trainings import SEEDS, of_presets, trained
from dan.signals.sines import count_sines, draw
from evaluate import all_estimators
from models import count_parameters

PRESETS = "dan-published", "dan-small", "dan", "spectral-any", "spectral"
CODE = (
    *(f"dan/evaluation/{name}.py" for name in ("baselines", "metrics", "sine_fits", "sweeps", "tables")),
    "evaluate.py",
    "dan/results/sines.py",
)
MEASURES = {"output SNR": "total_snr_db", "to the bound": "distance_to_bound_db"}
MEANS = {"mean of dB": "snr_db", "in-band noise reduction": "noise_reduction_in_band_db"}
SECONDS = {
    "spectral": (0.5, 0.9, 1.0, 1.1, 2.0, 4.0),
    "dan": (0.5, 0.9, 1.0, 1.1, 2.0, 4.0),
    "spectral-any": (1.0, 2.0, 4.0),
}
KNOW_LESS = "NOMP", "spectral-any", "general oracle"  # than that amplitudes are equal and phases zero

FIGURES = "example", "sweep_SNR", "sweep_spacing", "sweep_number"


def trainings():
    return of_presets(*PRESETS)


def measure(configs):
    """The values of the record; configs: as `trainings` gives them, trained."""
    config = resolve("dan")
    data = config.test_data
    generators = {key: trained(own) for key, own in configs.items()}
    named = {preset if seed == SEEDS[0] else f"{preset}, seed {seed}": g for (preset, seed), g in generators.items()}
    estimators = all_estimators(config, named)
    clean, _, mixed = draw(data, "test", config.evaluation.num_test)
    numbers, columns = count_sines(data, "test", len(clean)), table_columns(data)
    estimated = estimate_all(clean, mixed, numbers, estimators, columns)
    result = summarise(clean, mixed, numbers, *estimated, columns, data)
    first = {name: estimator for name, estimator in estimators.items() if "seed" not in name}
    shown = {"clean": clean, "mixed": mixed, **{name: estimated[0][name] for name in ("spectral", "lowpass")}}
    return {
        "bound": result["bound_db"],
        "mean of dB at the bound": result["mean_at_bound_db"],
        "bound of three unknowns": result["bound_db"] - 10 * np.log10(3),
        "parameters": {preset: count_parameters(generators[preset, SEEDS[0]]) for preset in PRESETS},
        "methods": {name: by_seed(result["methods"], name, generators, len(clean)) for name in first},
        "sweeps": {
            name: {"values": values, "signals": config.evaluation.num_sweep, "output SNR": snr}
            for name, sweep in {"SNR": sweep_snr, "spacing": sweep_spacing, "number": sweep_number}.items()
            for values, snr in [sweep(first, data, config.evaluation.num_sweep)]
        },
        "example": {name: signals[0].round(4).tolist() for name, signals in shown.items()},
        "lengths": {
            preset: by_length(generators[preset, SEEDS[0]], configs[preset, SEEDS[0]], data, lengths)
            for preset, lengths in SECONDS.items()
        },
    }


def by_seed(methods, name, generators, signals):
    """{measure: its number} of a method: over its seeds where it was trained, else over the signals."""
    if (name, SEEDS[0]) in generators:
        names = {seed: name if seed == SEEDS[0] else f"{name}, seed {seed}" for seed in SEEDS}
        totals = {title: {s: methods[names[s]][key] for s in SEEDS} for title, key in MEASURES.items()}
        means = {title: {s: methods[names[s]][key]["mean"] for s in SEEDS} for title, key in MEANS.items()}
        return {title: over_seeds(values, signals) for title, values in (totals | means).items()}
    found = methods[name]
    half_width = found["total_snr_confidence_95"]
    totals = {title: over_signals(found[key], half_width, signals) for title, key in MEASURES.items()}
    return totals | {
        title: over_signals(found[key]["mean"], found[key]["confidence_95"], signals) for title, key in MEANS.items()
    }


def by_length(generator, config, data, lengths, count=200):
    """{"0.5 s": {"output SNR", "mean of dB"}} of signals of other lengths, denoised in blocks as denoise.py does."""
    denoiser, found = Denoiser(generator, config.data), {}
    for seconds in lengths:
        clean, _, mixed = draw(replace(data, duration=seconds), "test", count)
        denoised = denoiser(mixed, data.sample_rate)
        mean = float(snr_db(clean, denoised).mean())
        found[f"{seconds:g} s"] = {"output SNR": total_snr_db(clean, denoised), "mean of dB": mean}
    return found


def draw_figures(values):
    """{name: figure} out of the record's values."""
    labels = {
        "SNR": "input SNR in dB",
        "spacing": "distance of two neighbouring sines in Hz",
        "number": "number of sines",
    }
    example = {name: np.array(signal) for name, signal in values["example"].items()}
    title = "Denoised against lowpass: a test signal, over time and over frequency"
    return {"example": plots.side_by_side(example, resolve("dan").data.sample_rate, title)} | {
        f"sweep_{name}": plots.sweep(
            swept["values"], swept["output SNR"], labels[name], f"{swept['signals']} signals a point"
        )
        for name, swept in values["sweeps"].items()
    }


def overview(values, records):
    """README's table: what was trained, what it takes and where it comes to."""
    speed = records["speed"]["values"]["training"]
    rows = []
    for name in ranked(values, ("dan-published", "dan-small", "dan", "NOMP", "spectral-any", "spectral", "oracle")):
        found, of = values["methods"][name], values["parameters"].get(name)
        time = f"{speed[name]['time over dan-published']:.2f}" if name in speed else ""
        star = "*" * (name in KNOW_LESS)
        title = f"`{name}`{star}" if of else f"{name}{star}"
        cells = (
            f"{of:,}" if of else "",
            time,
            with_spread(found["output SNR"], 1, " dB"),
            f"{found['to the bound']['value']:.1f} dB",
        )
        rows.append([title, *cells])
    rows.append([BOUND, "", "", f"{values['bound']:.1f} dB", "0"])
    return markdown(["method", "parameters", "training time", "output SNR", "to the bound"], rows)


def methods(values, records):
    """Every method, by every measure."""
    titles = *MEASURES, *MEANS
    rows = []
    for name in ranked(values, values["methods"]):
        found = values["methods"][name]
        cells = [
            with_spread(found[title], 2, " dB") if title != "to the bound" else f"{found[title]['value']:.2f} dB"
            for title in titles
        ]
        rows.append([f"`{name}`" if name in values["parameters"] else name, *cells])
    return markdown(["method", *titles], rows)


def lengths(values, records):
    """Mean of decibels by the signals' length."""
    columns = list(values["lengths"]["dan"])
    rows = [
        [f"`{preset}`", *(f"{values['lengths'][preset][length]['mean of dB']:.1f}" for length in columns)]
        for preset in ("spectral", "dan")
    ]
    return markdown(["seconds", *(length.removesuffix(" s") for length in columns)], rows)


def ranked(values, names):
    return sorted(names, key=lambda name: values["methods"][name]["output SNR"]["value"])


TABLES = {"overview": overview, "methods": methods, "lengths": lengths}
