"""Part "ablation": what each switch of the adversarial game is worth, as ablation.py measures it."""

from ablation import LABELS, SHORTENED, collected, configuration, finished, planned
from dan.configuration import resolve
from dan.output import plots
from dan.results.tables import markdown, with_spread
from dan.results.trainings import SEEDS

CODE = (
    "ablation.py",
    "dan/evaluation/metrics.py",
    "dan/evaluation/realism.py",
    "dan/training/feature_network.py",
    "dan/results/ablations.py",
)
FIGURES = ("switches",)
finish = finished


def trainings():
    paths = resolve("dan").paths
    return {trial: configuration(trial, paths, []) for preset in SHORTENED for trial in planned(preset, SEEDS)}


def measure(configs):
    """The values of the record; configs: as `trainings` gives them, finished."""
    return collected(configs)


def draw_figures(values):
    """{name: figure} out of the record's values."""
    return {"switches": plots.switches(values, LABELS)}


def adversary(values, _):
    """Output SNR and signals told from clean, without an adversary and with it, at the first input SNR."""
    rows = []
    for preset, by_snr in values.items():
        trainings = next(iter(by_snr.values()))
        for name in ("no adversary", "signal, bce", "signal, bce, weight 0.1"):
            found = trainings[name]
            cells = with_spread(found["total_snr_db"], 2, " dB"), with_spread(found["realism"], 0, " %")
            rows.append([f"`{preset}`", name, *cells])
    return markdown(["preset", "training", "output SNR", "told from clean"], rows)


TABLES = {"adversary": adversary}
