"""Measuring denoisers of recordings: by kind of noise and by input SNR, as people hear it.

Signals from recordings have no model, so there is no bound and nothing that fits them.
"""

import numpy as np

from dan.evaluation.metrics import pesq, pystoi, si_sdr, snr_db, speech_quality, stoi
from dan.evaluation.speech_baselines import all_recorded_baselines
from dan.output.listening import Example, write_page

# What the tables by group show: of which metric, and whether as a gain over the input.
GROUPED = {"si_sdr_improvement_db": False, "stoi": True, "pesq": True}
SPEECH_RATES = 8000, 16_000
MOST_GROUPS = 16
SNR_STEP = 5  # dB, the width of a group of input SNRs
NUM_EXAMPLES = 6


def recorded_metrics(data):
    """As METRICS in evaluate.py; STOI and PESQ for rates of speech, where they are installed."""
    metrics = {
        "snr_db": ("SNR in dB", min, lambda clean, mixed, estimate, data: snr_db(clean, estimate)),
        "snr_improvement_db": (
            "improvement",
            min,
            lambda clean, mixed, estimate, data: snr_db(clean, estimate) - snr_db(clean, mixed),
        ),
        "si_sdr_improvement_db": (
            "SI-SDR improv.",
            min,
            lambda clean, mixed, estimate, data: si_sdr(clean, estimate) - si_sdr(clean, mixed),
        ),
    }
    if pystoi and data.sample_rate >= SPEECH_RATES[0]:
        metrics["stoi"] = ("STOI", min, lambda clean, mixed, estimate, data: stoi(clean, estimate, data.sample_rate))
    if pesq and data.sample_rate in SPEECH_RATES:
        metrics["pesq"] = (
            "PESQ",
            min,
            lambda clean, mixed, estimate, data: speech_quality(clean, estimate, data.sample_rate),
        )
    return metrics


def recorded_estimators(data):
    """{method: function(mixed, snr_db, numbers)} of the other denoisers that can be measured."""
    return {
        name: lambda mixed, snr, numbers, denoise=denoise: denoise(mixed, data.sample_rate)
        for name, denoise in all_recorded_baselines(data.sample_rate).items()
    }


def measure_groups(values, clean, mixed, kinds):
    """{"by kind of noise", "by input SNR": {group: {"count", method: {metric: mean}}}}.

    values: {method: {metric: one value a signal}}; kinds: the kind of noise of each signal, or
    None. STOI and PESQ are given as gains over the input.
    """
    floors = SNR_STEP * np.floor(np.round(snr_db(clean, mixed), 2) / SNR_STEP).astype(int)
    labels = {"by input SNR": [f"{floor} to {floor + SNR_STEP} dB" for floor in floors]}
    if kinds:
        labels = {"by kind of noise": kinds} | labels
    groups = {}
    for title, names in labels.items():
        # SNRs in their order, kinds by their names.
        order = names if title == "by kind of noise" else np.array(names)[np.argsort(floors)]
        found = sorted(set(names)) if order is names else list(dict.fromkeys(order))
        groups[title] = {name: mean_of(values, np.equal(names, name)) for name in found}
    return groups


def mean_of(values, chosen):
    """{"count", method: {metric: mean over the chosen signals}}, as GROUPED says."""
    means = {"count": int(chosen.sum())}
    for method, metrics in values.items():
        means[method] = {}
        for name, is_gain in GROUPED.items():
            if name in metrics:
                array = metrics[name] - values["input"][name] * is_gain
                kept = array[chosen & ~np.isnan(array)]
                means[method][name] = float(kept.mean()) if len(kept) else None
    return means


def print_groups(groups, metrics):
    """A table for each grouping and metric; of many groups those with the most signals."""
    for title, means in groups.items():
        shown = sorted(means, key=lambda name: -means[name]["count"])[:MOST_GROUPS]
        shown = [name for name in means if name in shown]
        some = f" ({len(shown)} of {len(means)})" if len(shown) < len(means) else ""
        methods = [method for method in next(iter(means.values())) if method != "count"]
        for metric, is_gain in GROUPED.items():
            if metric in metrics:
                gain = " gain" * is_gain
                print(
                    f"{metrics[metric][0]}{gain} {title}{some}\n{'':<20}"
                    + "".join(f"{name[:13]:>14}" for name in shown)
                    + f"\n{'signals':<20}"
                    + "".join(f"{means[name]['count']:>14}" for name in shown)
                )
                for method in methods:
                    cells = [means[name][method][metric] for name in shown]
                    print(f"{method:<20}" + "".join(f"{'–' if cell is None else f'{cell:.3f}':>14}" for cell in cells))
                print()


def write_examples(path, clean, mixed, estimates, values, kinds, metrics, data, denoiser):
    """A listening page of some signals, of as many kinds of noise as possible, to `path`."""
    order = np.argsort(snr_db(clean, mixed), kind="stable")
    by_kind = {kinds[index] if kinds else index: index for index in order}
    places = np.linspace(0, len(by_kind) - 1, min(NUM_EXAMPLES, len(by_kind))).astype(int)
    chosen = [list(by_kind.values())[place] for place in places]
    examples = []
    for index in chosen:
        sounds = {"noisy": mixed[index], "denoised": estimates[denoiser][index], "clean": clean[index]}
        facts = {
            metrics[name][0]: f"{values['input'][name][index]:.2f} → {array[index]:.2f}"
            for name, array in values[denoiser].items()
            if "improvement" not in name
        }
        name = f"{kinds[index] if kinds else 'signal'}, {snr_db(clean, mixed)[index]:.0f} dB"
        examples.append(Example(name, data.sample_rate, sounds, facts))
    write_page(path, f"{denoiser} on test signals", examples)
