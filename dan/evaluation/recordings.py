"""Measuring denoisers of recordings: by voice, kind of noise and input SNR, as people hear it.

Signals from recordings have no model, so there is no bound and nothing that fits them.
"""

import numpy as np

from dan.evaluation.metrics import snr_db, summary
from dan.evaluation.speech_peers import SIZES_AND_LATENCIES
from dan.evaluation.tables import print_row, with_interval
from dan.output.listening import Example, write_page
from models import count_parameters

# The metrics of the tables by group, and whether they are shown as a gain over the input.
GROUPED = {"si_sdr_improvement_db": False, "stoi": True, "pesq": True, "dnsmos_ovrl": True}
MOST_GROUPS = 16
SNR_STEP = 5  # dB, the width of a group of input SNRs
NUM_HEARD = 6
HEARD_PEERS = "RNNoise", "DTLN", "DeepFilterNet 3"


def measure_groups(values, clean, mixed, names):
    """{"by voice", "by kind of noise", "by input SNR": {group: {"count", method: {metric: summary}}}}.

    values: {method: {metric: one value a signal}}; names: {"by voice", …: a name for each signal}.
    STOI, PESQ and DNSMOS are given as gains over the input.
    """
    groups = {
        title: {name: summaries(values, np.equal(each, name)) for name in sorted(set(each))}
        for title, each in names.items()
    }
    floors = SNR_STEP * np.floor(np.round(snr_db(clean, mixed), 2) / SNR_STEP).astype(int)
    groups["by input SNR"] = {
        f"{floor} to {floor + SNR_STEP} dB": summaries(values, floors == floor) for floor in np.unique(floors)
    }
    return groups


def summaries(values, chosen):
    """{"count", method: {metric: mean, interval and so on over the chosen signals}}, as GROUPED says."""
    means = {"count": int(chosen.sum())}
    for method, metrics in values.items():
        means[method] = {}
        for name, is_gain in GROUPED.items():
            if name in metrics:
                array = metrics[name] - values["input"][name] * is_gain
                means[method][name] = summary(array[chosen])
    return means


def print_groups(groups, metrics):
    """Print a table for each grouping and metric; of many groups those with the most signals."""
    for title, means in groups.items():
        shown = sorted(means, key=lambda name: -means[name]["count"])[:MOST_GROUPS]
        shown = [name for name in means if name in shown]
        some = f" ({len(shown)} of {len(means)})" if len(shown) < len(means) else ""
        methods = [method for method in means[shown[0]] if method != "count"]
        for metric in [name for name in GROUPED if name in metrics]:
            print(f"{metrics[metric][0]}{' gain' if GROUPED[metric] else ''} {title}{some}")
            print_row("", [name[:15] for name in shown], 16)
            print_row("signals", [means[name]["count"] for name in shown], 16)
            for method in methods:
                print_row(method, [in_cell(means[name][method][metric]) for name in shown], 16)
            print()


def measure_costs(methods, generators, data):
    """{method: {"parameters", "latency_ms", "times_real_time"}} of methods for speech, None where unknown.

    methods: as `tables.summarise` gives them; generators: {method: network of ours}. The speed is
    that of the processor time, of all threads together.
    """
    costs = {}
    for method, measured in methods.items():
        parameters, latency = SIZES_AND_LATENCIES.get(method, (None, None))
        if method in generators:
            generator = generators[method]
            # A network without a latency of its own sees the whole of a signal.
            samples = getattr(generator, "latency", data.length)
            parameters, latency = count_parameters(generator), 1000 * samples / data.sample_rate
        speed = 1000 * data.duration / max(measured["seconds_per_1000_signals"], 1e-9)
        costs[method] = {"parameters": parameters, "latency_ms": latency, "times_real_time": speed}
    return costs


def print_costs(costs):
    """Print the costs, a line a method."""
    print_row("", ["parameters", "latency in ms", "× real time"], 16)
    for method, cost in costs.items():
        if method != "input":
            cells = [cost["parameters"], cost["latency_ms"], cost["times_real_time"]]
            print_row(method, ["–" if cell is None else f"{cell:,.0f}" for cell in cells], 16)
    print()


def in_cell(summary):
    return with_interval(summary["mean"], summary["confidence_95"], 2)


def write_examples(path, clean, mixed, estimates, values, method, kinds, metrics, sample_rate):
    """Write a listening page of some signals, of as many kinds of noise as possible, to `path`.

    method: whose estimates are heard, beside those of HEARD_PEERS that took part. The other arguments
    are as `measure_groups` and `tables.estimate_all` have them.
    """
    input_snr, before, after = snr_db(clean, mixed), values["input"], values[method]
    by_kind = {kinds[index] if kinds else index: index for index in np.argsort(input_snr, kind="stable")}
    places = np.linspace(0, len(by_kind) - 1, min(NUM_HEARD, len(by_kind))).astype(int)
    examples = []
    for index in (list(by_kind.values())[place] for place in places):
        shown = [name for name in after if "improvement" not in name]
        facts = {metrics[name][0]: f"{before[name][index]:.2f} → {after[name][index]:.2f}" for name in shown}
        peers = {name: estimates[name][index] for name in HEARD_PEERS if name in estimates}
        sounds = {"noisy": mixed[index], "denoised": estimates[method][index], **peers, "clean": clean[index]}
        title = f"{kinds[index] if kinds else 'signal'}, {input_snr[index]:.0f} dB"
        examples.append(Example(title, sample_rate, sounds, facts))
    write_page(path, f"{method} on test signals", examples)
