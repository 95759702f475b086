"""Part "speech": the shipped denoiser beside others, on voices and noises that it never heard."""

import numpy as np
import soundfile

from config import REPOSITORY
from dan.denoising.denoiser import Denoiser
from dan.errors import UserError
from dan.evaluation.metrics import si_sdr, summary, table_columns
from dan.evaluation.recordings import measure_costs
from dan.evaluation.speech_peers import RATE, SIZES_AND_LATENCIES
from dan.evaluation.tables import estimate_all, summarise
from dan.output import plots
from dan.results.clips import clips, gather, unseen
from dan.results.records import over_signals
from dan.results.tables import markdown, number, with_spread
from dan.training.checkpoints import load_generator
from evaluate import all_estimators
from models import apply_generator

CODE = (
    "pretrained/speech.pt",
    "dan/causal.py",
    *(f"dan/evaluation/{name}.py" for name in ("metrics", "recordings", "speech_baselines", "speech_peers", "tables")),
    "dan/signals/noises.py",
    "dan/results/clips.py",
    "dan/results/speech.py",
    "docs/speech_corpus.py",
)
OURS = "speech"
KINDS = {"voices": "voices", "telephone voices": "phone"}
MOST = 30  # recordings of a voice
MIXTURE = "data.duration=5", "data.snr_db=-5,5", "data.num_validation=100"
MEASURES = {"SI-SDR improvement": "si_sdr_improvement_db", "STOI": "stoi", "PESQ": "pesq", "DNSMOS OVRL": "dnsmos_ovrl"}
LEFT_OUT = "lowpass", "wavelet"
OTHERS = {"noisereduce", *SIZES_AND_LATENCIES}
INSTALL = "pip install -r requirements-benchmark.txt, and with --no-deps -r requirements-peers.txt"
NUM_CLEAN = 40
LEAST_SI_SDR, LEAST_REDUCTION = 25, 20  # dB, of clean speech and of noise alone


def trainings():
    return {}


def measure(_):
    """The values of the record."""
    generator, _ = load_generator(REPOSITORY / "pretrained/speech.pt")
    noise, found = gather("noise", sorted(unseen("noise").iterdir())), {}
    for title, kind in KINDS.items():
        voices = gather(f"{kind}-voices", sorted(unseen(kind).iterdir()), last=MOST)
        config, clean, mixed = clips(kind, OURS, voices, noise, *MIXTURE)
        found[title] = compare(config, clean, mixed, {OURS: generator})
        if kind == "voices":
            found |= alone(generator, clean[:NUM_CLEAN], (mixed - clean)[:NUM_CLEAN])
    return found


def compare(config, clean, mixed, generators):
    """{method: {measure: its number, "worst", costs}} of all methods for recordings, and of ours.

    Raises UserError where other methods are not installed.
    """
    estimators = {n: e for n, e in all_estimators(config, generators).items() if n not in LEFT_OUT}
    if missing := (OTHERS if config.data.sample_rate == RATE else {"RNNoise"}) - estimators.keys():
        raise UserError(f"{', '.join(sorted(missing))} missing; {INSTALL}")
    columns = table_columns(config.data)
    result = summarise(clean, mixed, None, *estimate_all(clean, mixed, None, estimators, columns), columns, config.data)
    costs = measure_costs(result["methods"], generators, config.data)
    return {
        method: {
            **{
                title: over_signals(values[key]["mean"], values[key]["confidence_95"], len(clean))
                for title, key in MEASURES.items()
                if key in values
            },
            "worst": values["si_sdr_improvement_db"]["worst"],
            **costs[method],
        }
        for method, values in result["methods"].items()
    }


def alone(generator, clean, noise):
    """What the denoiser does to clean speech, and to noise without any."""
    kept = si_sdr(clean, apply_generator(generator, clean))
    quieter = 10 * np.log10((noise**2).sum(-1) / ((apply_generator(generator, noise) ** 2).sum(-1) + 1e-20))
    return {"clean speech": facts(kept, LEAST_SI_SDR), "noise alone": facts(quieter, LEAST_REDUCTION)}


def facts(values, least):
    found = summary(values)
    mean = over_signals(found["mean"], found["confidence_95"], len(values))
    return {"mean": mean, "worst": found["worst"], "fewer": int((values < least).sum()), "of": len(values)}


def table(voices, costs):
    """A table of the methods, by SI-SDR improvement; with what they cost."""
    rows = []
    for name, found in sorted(voices.items(), key=lambda item: item[1]["SI-SDR improvement"]["value"]):
        is_input, title = name == "input", f"**`{name}`**" if name == OURS else name
        improvement = (
            ["", ""] if is_input else [with_spread(found["SI-SDR improvement"], 1, " dB"), number(found["worst"], 1)]
        )
        rest = [with_spread(found[key], digits) for key, digits in (("STOI", 3), ("PESQ", 2), ("DNSMOS OVRL", 2))]
        rows.append([title, *(cost_cells(found, is_input) if costs else []), *improvement, *rest])
    titles = ["parameters", "latency", "× real time"] if costs else []
    return markdown(["method", *titles, "SI-SDR improvement", "worst", "STOI", "PESQ", "DNSMOS OVRL"], rows)


def cost_cells(found, is_input):
    parameters = f"{found['parameters'] / 1000:,.0f} k" if found["parameters"] else ""
    latency = f"{found['latency_ms']:.0f} ms" if found["latency_ms"] else ""
    return [parameters, latency, "" if is_input else f"{found['times_real_time']:.0f}"]


TABLES = {
    "voices": lambda values, records: table(values["voices"], costs=True),
    "telephone voices": lambda values, records: table(values["telephone voices"], costs=False),
}
FIGURES = ("before_and_after",)


def draw_figures(_):
    """{name: figure}: the example of `make demo`, by the network that the record is of."""
    noisy, rate = soundfile.read(REPOSITORY / "demo/noisy.flac", always_2d=True)
    denoised = Denoiser.load(REPOSITORY / "pretrained/speech.pt")(noisy.T, rate)
    sounds = {"before": noisy[:, 0], "after": denoised[0]}
    return {"before_and_after": plots.before_and_after(sounds, rate, "noisy.flac, first channel")}
