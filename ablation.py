"""Train with each switch of the adversarial game, and measure its effect.

    python ablation.py                       # dan and spectral: one to two hours on two cores
    python ablation.py --preset spectral --seeds 1

Goes on where it was stopped. Trains with shortened schedules into checkpoints/ablation/, and writes
images/ablation/switches.png and, for each preset, denoised_<preset>.png. Started twice at once, the two processes share
the trainings.
"""

import json
from typing import NamedTuple

import numpy as np

from config import WaveformGeneratorConfig
from dan.configuration import parse_arguments, resolve, to_dict
from dan.errors import ConfigurationError, UserError, run
from dan.evaluation.metrics import table_columns, total_snr_db
from dan.evaluation.realism import realism_score
from dan.evaluation.tables import estimate_all
from dan.files import write_bytes
from dan.output import plots, saving
from dan.results.records import over_seeds
from dan.results.tables import markdown, with_spread
from dan.results.trainings import SEEDS, share, train_missing
from dan.signals.sines import draw
from dan.training.checkpoints import load_generator
from models import apply_generator

SHORTENED = {
    "dan": ["training.pretrain_epochs=8", "training.max_epochs=24"],
    "spectral": ["training.pretrain_epochs=3", "training.max_epochs=10"],
}
# Settings of every training, unless its switch says otherwise.
COMMON = [
    "training.adversary=signal",
    "training.gan_loss=bce",
    "training.reconstruction_loss=L1",
    "training.feature_weight=0",
    "training.feature_network=discriminator",
]
NO_ADVERSARY = "no adversary"
SWITCHES = {
    NO_ADVERSARY: ["training.adversary=none"],
    "signal, bce": [],
    "signal, least-squares": ["training.gan_loss=least-squares"],
    "signal, hinge": ["training.gan_loss=hinge"],
    "latent, bce": ["training.adversary=latent"],
    "latent, no weight": ["training.adversary=latent", "training.adversarial_weight=0"],
    "signal, bce, discriminator's features": ["training.feature_weight=3"],
    "signal, bce, pretrained features": ["training.feature_weight=3", "training.feature_network=pretrained"],
    "no adversary, pretrained features": [
        "training.adversary=none",
        "training.feature_weight=3",
        "training.feature_network=pretrained",
    ],
    "no adversary, L2": ["training.adversary=none", "training.reconstruction_loss=L2"],
    "no adversary, log-cosh": ["training.adversary=none", "training.reconstruction_loss=log-cosh"],
    "signal, bce, L2": ["training.reconstruction_loss=L2"],
}
WEIGHTS = (0.1, 0.5, 3)  # of the adversarial loss, beside none
SNRS_DB = (-2, -8)
LABELS = {"total_snr_db": "output SNR in dB", "realism": "told from clean in % (50: by chance)"}
COLUMNS = {
    "total_snr_db": "output SNR in dB",
    "snr_db": "mean of dB",
    "si_sdr_db": "SI-SDR in dB",
    "noise_reduction_in_band_db": "in-band reduction in dB",
    "noise_reduction_out_of_band_db": "out-of-band reduction in dB",
    "realism": "told from clean in %",
}


class Trial(NamedTuple):
    """One training of the ablation."""

    preset: str
    snr_db: float  # of the input
    name: str  # of its switch, or of its weight of the adversarial loss
    seed: int


def main():
    config, options = parse_arguments(__doc__, add_options)
    check_options(config, options)
    presets = [options.preset] if options.preset else list(SHORTENED)
    folder = config.image_folder.parent / "ablation"
    saving.refuse_foreign(folder)
    configs = {
        trial: configuration(trial, config.paths, options.overrides)
        for preset in presets
        for trial in planned(preset, SEEDS[: options.seeds])
    }
    share(configs.values(), finished, "ablation")
    results = collected(configs)
    print(as_table(results))
    saving.save(plots.switches(results, LABELS), folder / "switches.png")
    for preset in presets:
        saving.save(draw_example(preset, configs), folder / f"denoised_{preset}.png")
    print(f"wrote {folder}")


def add_options(parser):
    seeds = f"trainings of each kind (default: {len(SEEDS)})"
    parser.add_argument("--seeds", type=int, choices=range(1, len(SEEDS) + 1), default=len(SEEDS), help=seeds)


def check_options(config, options):
    """Raise ConfigurationError for settings that the ablation sets itself, or that it cannot measure."""
    if options.preset and options.preset not in SHORTENED:
        raise ConfigurationError(
            f"--preset {options.preset} has no shortened schedule in ablation.py; choose from: {', '.join(SHORTENED)}"
        )
    if config.data.clean_source or config.data.noise_source:
        raise ConfigurationError(
            "ablation.py measures on sines under white noise; leave out data.clean_source and data.noise_source"
        )
    own = {text.partition("=")[0] for overrides in (COMMON, *SWITCHES.values()) for text in overrides}
    own |= {"training.adversarial_weight", "training.seed", "data.snr_db"}
    for text in options.overrides:
        if (key := text.partition("=")[0]) in own:
            raise ConfigurationError(f"{key} is set by ablation.py itself; leave it out")


def planned(preset, seeds):
    """The trials of a preset: every switch at the first input SNR, no adversary and the weights at every one."""
    has_bottleneck = isinstance(resolve(preset).generator, WaveformGeneratorConfig)
    switches = [name for name in SWITCHES if has_bottleneck or "training.adversary=latent" not in SWITCHES[name]]
    for seed in seeds:
        for snr in SNRS_DB:
            for name in (*(switches if snr == SNRS_DB[0] else [NO_ADVERSARY]), *weight_names()):
                yield Trial(preset, snr, name, seed)


def weight_names():
    """{name of the trial: weight of the adversarial loss}"""
    return {f"signal, bce, weight {weight:g}": weight for weight in WEIGHTS}


def configuration(trial, paths, overrides):
    """The configuration of a trial, in folders of its own below those of `paths`."""
    data = f"ablation/{trial.preset}/{trial.snr_db:g} dB"
    weights = weight_names()
    own = [f"training.adversarial_weight={weights[trial.name]}"] if trial.name in weights else SWITCHES[trial.name]
    return resolve(
        trial.preset,
        [
            *SHORTENED[trial.preset],
            *overrides,
            *COMMON,
            *own,
            f"data.snr_db={trial.snr_db}",
            f"training.seed={trial.seed}",
            f"paths.data={paths.data}/{data}",
            f"paths.checkpoints={paths.checkpoints}/{data}/{trial.name}/seed {trial.seed}",
        ],
    )


def collected(configs):
    """{preset: {input SNR: {training: {measure: its mean and range over the seeds}}}} of finished trainings."""
    found = {}
    for trial, config in configs.items():
        row = found.setdefault(trial.preset, {}).setdefault(f"{trial.snr_db:g} dB", {}).setdefault(trial.name, {})
        for name, value in read_result(config.checkpoint_folder / "ablation.json", config).items():
            row.setdefault(name, {})[trial.seed] = value
    return {
        preset: {
            snr: {
                name: {column: over_seeds(values, config.evaluation.num_test) for column, values in row.items()}
                for name, row in rows.items()
            }
            for snr, rows in by_snr.items()
        }
        for preset, by_snr in found.items()
    }


def finished(config):
    """Train where that is missing, and measure; raises UserError where that was done with other settings."""
    path = config.checkpoint_folder / "ablation.json"
    if not path.exists():
        train_missing(config)
        content = {"config": to_dict(config), "measured": measure(config)}
        write_bytes(path, json.dumps(content).encode())
    read_result(path, config)


def read_result(path, config):
    """The measurements in `path`; raises UserError if it is damaged or of other settings."""
    cure = f"move {path.parent} away"
    try:
        result = json.loads(path.read_bytes())
        before = dict(result["config"])
        measured = {name: float(result["measured"][name]) for name in COLUMNS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; {cure}") from error
    wanted = json.loads(json.dumps(to_dict(config)))
    for section, settings in wanted.items():
        if section != "paths" and before.get(section) != settings:
            raise UserError(f"{path} was measured with other settings of {section}; {cure}")
    return measured


def measure(config):
    """{column: value} of a trained generator on new signals.

    Of the last epoch: the best one is chosen by the reconstruction alone, against the adversary.
    """
    generator, _ = load_generator(config.checkpoint_folder / "last.pt")
    clean, _, mixed = draw(config.test_data, "test", config.evaluation.num_test)

    def denoise(mixed, *_):
        return apply_generator(generator, mixed)

    columns = table_columns(config.data)
    estimates, values, _ = estimate_all(clean, mixed, None, {"it": denoise}, columns)
    means = {name: float(np.mean(values["it"][name])) for name in COLUMNS if name in columns}
    return means | {
        "total_snr_db": total_snr_db(clean, estimates["it"]),
        "realism": 100 * realism_score(denoise, config.data, config.training.seed),
    }


def as_table(results):
    """What `collected` gives as a table in Markdown."""
    rows = [
        [preset, snr, name, *(with_spread(row[column], 2) for column in COLUMNS)]
        for preset, by_snr in results.items()
        for snr, trainings in by_snr.items()
        for name, row in trainings.items()
    ]
    return markdown(["preset", "input SNR", "training", *COLUMNS.values()], rows)


def draw_example(preset, configs):
    """A test signal of the lowest SNR, denoised with and without an adversary, side by side."""
    names = [NO_ADVERSARY, *list(weight_names())[1:]]
    chosen = {name: configs[Trial(preset, SNRS_DB[-1], name, SEEDS[0])] for name in names}
    config = chosen[NO_ADVERSARY]
    clean, _, mixed = draw(config.test_data, "test", 1)
    example = {"clean": clean[0], "mixed": mixed[0]}
    for name in names:
        generator, _ = load_generator(chosen[name].checkpoint_folder / "last.pt")
        example[name] = apply_generator(generator, mixed)[0]
    title = f"{preset} at an input SNR of {SNRS_DB[-1]} dB: a test signal"
    return plots.side_by_side(example, config.data.sample_rate, title)


if __name__ == "__main__":
    run(main)
