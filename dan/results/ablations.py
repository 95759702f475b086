"""Part "ablation": what each switch of the adversarial game is worth, as ablation.py measures it."""

from ablation import LABELS, SHORTENED, collected, configuration, finished, planned
from dan.configuration import resolve
from dan.output import plots
from dan.results.trainings import SEEDS

CODE = (
    "ablation.py",
    "dan/evaluation/metrics.py",
    "dan/evaluation/realism.py",
    "dan/training/feature_network.py",
    "dan/results/ablations.py",
)
TABLES = {}
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
