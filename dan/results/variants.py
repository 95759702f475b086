"""Part "variants": `dan` without the adversary's weight, and on 1,600 stored signals."""

from dan.configuration import resolve
from dan.evaluation.metrics import snr_db, total_snr_db
from dan.results.records import over_seeds
from dan.results.tables import markdown, number
from dan.results.trainings import SEEDS, of_presets, trained, training
from dan.signals.sines import draw
from models import apply_generator

CODE = "dan/evaluation/metrics.py", "dan/results/variants.py"
VARIANTS = {
    "without the adversary's weight": {"overrides": ["training.adversarial_weight=0"], "name": "dan-weight-0"},
    "on stored signals": {"overrides": ["data.stream=false"], "name": "dan-stored", "data": "stored"},
}


def trainings():
    own = {
        (name, seed): training("dan", seed, *variant["overrides"], name=variant["name"], data=variant.get("data"))
        for name, variant in VARIANTS.items()
        for seed in SEEDS
    }
    return of_presets("dan") | own


def measure(configs):
    """The values of the record; configs: as `trainings` gives them, trained."""
    config = resolve("dan")
    clean, _, mixed = draw(config.test_data, "test", config.evaluation.num_test)
    found = {}
    for (name, seed), own in configs.items():
        denoised = apply_generator(trained(own), mixed)
        measured = {"output SNR": total_snr_db(clean, denoised), "mean of dB": float(snr_db(clean, denoised).mean())}
        for measure, value in measured.items():
            found.setdefault(name, {}).setdefault(measure, {})[seed] = value
    without = found["without the adversary's weight"]["mean of dB"]
    cost = {seed: without[seed] - value for seed, value in found["dan"]["mean of dB"].items()}
    means = {name: {m: over_seeds(v, len(clean)) for m, v in measures.items()} for name, measures in found.items()}
    return means | {"cost of the adversary": over_seeds(cost, len(clean))}


def by_seed(values, records):
    """Mean of decibels of each variant by seed."""
    columns = "dan", *VARIANTS
    seeds = values["dan"]["mean of dB"]["seeds"]
    rows = [
        [str(seed), *(f"{number(values[name]['mean of dB']['by_seed'][place], 2)} dB" for name in columns)]
        for place, seed in enumerate(seeds)
    ]
    return markdown(["seed", "`dan`", *VARIANTS], rows)


TABLES = {"by seed": by_seed}
FIGURES = ()
