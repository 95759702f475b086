"""Part "adversary": what the adversarial loss costs `dan`, which is trained without its weight as well."""

from dan.configuration import resolve
from dan.evaluation.metrics import snr_db
from dan.results.records import over_seeds
from dan.results.tables import markdown, number
from dan.results.trainings import SEEDS, of_presets, trained, training
from dan.signals.sines import draw
from models import apply_generator

CODE = "dan/evaluation/metrics.py", "dan/results/adversary.py"
WITHOUT = "without the weight of the adversarial loss"
FIGURES = ()


def trainings():
    without = {(WITHOUT, s): training("dan", s, "training.adversarial_weight=0", name="dan-weight-0") for s in SEEDS}
    return of_presets("dan") | without


def measure(configs):
    """The values of the record; configs: as `trainings` gives them, trained."""
    config = resolve("dan")
    clean, _, mixed = draw(config.test_data, "test", config.evaluation.num_test)
    means = {}
    for (name, seed), own in configs.items():
        denoised = apply_generator(trained(own), mixed)
        means.setdefault(name, {})[seed] = float(snr_db(clean, denoised).mean())
    cost = {seed: means[WITHOUT][seed] - value for seed, value in means["dan"].items()}
    found = {name: over_seeds(by_seed, len(clean)) for name, by_seed in means.items()}
    return found | {"cost": over_seeds(cost, len(clean))}


def by_seed(values, _):
    """Mean of decibels with and without, by seed."""
    columns = "dan", WITHOUT, "cost"
    seeds = values["dan"]["seeds"]
    rows = [
        [str(seed), *(f"{number(values[name]['by_seed'][place], 2)} dB" for name in columns)]
        for place, seed in enumerate(seeds)
    ]
    return markdown(["seed", "`dan`", WITHOUT, "cost"], rows)


TABLES = {"by seed": by_seed}
