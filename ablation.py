"""Train with each switch of the adversarial game, and measure what it is worth.

    python ablation.py                       # dan and spectral: one to two hours on two cores
    python ablation.py --preset spectral --seeds 1

Goes on where it was stopped; started twice at once, it shares the work. Trains with shortened
schedules into checkpoints/ablation/, and writes images/ablation/table.md, trade_off.png and, for
each preset, denoised_<preset>.png.
"""

import json
from dataclasses import dataclass

import numpy as np

from config import WaveformGeneratorConfig
from create_data import create_data
from dan.configuration import parse_arguments, resolve, to_dict
from dan.errors import ConfigurationError, UserError, run, stopped_by
from dan.evaluation.metrics import table_columns, total_snr_db
from dan.evaluation.realism import realism_score
from dan.evaluation.tables import estimate_all
from dan.files import InUseError, locked, write_bytes
from dan.output import figures, plots
from dan.progress import track
from dan.settings import as_text
from dan.signals.sines import draw
from dan.signals.store import manifest_path, read_manifest
from dan.training.checkpoints import load_generator
from models import apply_generator
from train_gan import run_training

SHORTENED = {
    "dan": ["training.pretrain_epochs=8", "training.max_epochs=24"],
    "spectral": ["training.pretrain_epochs=3", "training.max_epochs=10"],
}
# What every training has unless its switch says otherwise.
USUAL = [
    "training.adversary=signal",
    "training.gan_loss=bce",
    "training.reconstruction_loss=L1",
    "training.feature_weight=0",
    "training.feature_network=discriminator",
]
WITHOUT = "no adversary"
SWITCHES = {
    WITHOUT: ["training.adversary=none"],
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
SEEDS = (42, 1, 2)
COLUMNS = {
    "total_snr_db": "output SNR in dB",
    "snr_db": "mean of dB",
    "si_sdr_db": "SI-SDR in dB",
    "noise_reduction_in_band_db": "in-band reduction in dB",
    "noise_reduction_out_of_band_db": "out-of-band reduction in dB",
    "realism": "told from clean in %",
}


@dataclass(frozen=True)
class Run:
    """One training of the ablation: a preset, an input SNR, a switch or a weight, and a seed."""

    preset: str
    snr_db: float
    name: str
    overrides: tuple
    seed: int

    def config(self, base, overrides):
        """Its configuration, in folders of its own below the ablation's."""
        data = f"ablation/{self.preset}/{self.snr_db:g} dB"
        training = f"{data}/{self.name}/seed {self.seed}"
        return resolve(
            self.preset,
            [
                *SHORTENED[self.preset],
                *overrides,
                *USUAL,
                *self.overrides,
                f"data.snr_db={self.snr_db}",
                f"training.seed={self.seed}",
                f"paths.data={base.paths.data}/{data}",
                f"paths.checkpoints={base.paths.checkpoints}/{training}",
            ],
        )


def main():
    config, options = parse_arguments(__doc__, add_options)
    check(config, options)
    presets = [options.preset] if options.preset else list(SHORTENED)
    configs = {
        each: each.config(config, options.overrides)
        for preset in presets
        for each in planned(preset, SEEDS[: options.seeds])
    }
    folder = config.image_folder.parent / "ablation"
    table, curves = folder / "table.md", folder / "trade_off.png"
    examples = {preset: folder / f"denoised_{preset}.png" for preset in presets}
    figures.refuse_foreign(folder)
    create_all_data(configs.values())
    results = {}
    # The second time for what another process was at the first time.
    for title in ("ablation", "what was left"):
        left = [each for each in configs if each not in results]
        for each in track(left, desc=title, unit="training"):
            try:
                results[each] = finished(configs[each])
            except InUseError:
                pass
            except KeyboardInterrupt as stop:
                raise type(stop)(f"{stopped_by(stop)}; run ablation.py again to go on") from None
    if len(results) < len(configs):
        print(
            f"another process is at {len(configs) - len(results)} of the trainings; run this "
            "again when it has ended, for the table and the figures"
        )
        return
    results = {each: results[each] for each in configs}  # in the order of the plan again
    text = draw_table(results)
    print(text)
    write_bytes(table, f"<!-- {figures.MARK} -->\n{text}".encode())
    labels = "signals told from clean in % (50: by chance)", "output SNR in dB"
    figures.save(plots.trade_off(trade_offs(results), labels), curves)
    for preset, path in examples.items():
        figures.save(draw_example(preset, configs), path)
    print(f"wrote {folder}")


def add_options(parser):
    parser.add_argument(
        "--seeds",
        type=int,
        choices=range(1, len(SEEDS) + 1),
        default=len(SEEDS),
        help=f"trainings of each kind (default: {len(SEEDS)})",
    )


def check(config, options):
    """Raise ConfigurationError for what the ablation sets itself, or cannot measure."""
    if options.preset and options.preset not in SHORTENED:
        raise ConfigurationError(
            f"--preset {options.preset} has no shortened schedule in ablation.py; choose from: {', '.join(SHORTENED)}"
        )
    if config.data.clean_source or config.data.noise_source:
        raise ConfigurationError(
            "ablation.py measures on sines under white noise; leave out data.clean_source and data.noise_source"
        )
    own = {text.partition("=")[0] for switches in (USUAL, *SWITCHES.values()) for text in switches}
    own |= {"training.adversarial_weight", "training.seed", "data.snr_db"}
    for text in options.overrides:
        if (key := text.partition("=")[0]) in own:
            raise ConfigurationError(f"{key} is among what ablation.py sets itself; leave it out")


def create_all_data(configs):
    """Create what is missing of the data; a second process waits for the first."""
    for folder, config in {config.data_folder: config for config in configs}.items():
        with locked(folder, waits=True):
            if not manifest_path(folder).exists() or not read_manifest(folder).get("complete"):
                create_data(config)


def planned(preset, seeds):
    """The trainings of a preset: every switch as it is, and the weights at every input SNR."""
    has_bottleneck = isinstance(resolve(preset).generator, WaveformGeneratorConfig)
    switches = {
        name: overrides
        for name, overrides in SWITCHES.items()
        if has_bottleneck or "training.adversary=latent" not in overrides
    }
    weighed = {weight_name(weight): [f"training.adversarial_weight={weight}"] for weight in WEIGHTS}
    for seed in seeds:
        for snr in SNRS_DB:
            names = switches if snr == SNRS_DB[0] else {WITHOUT: switches[WITHOUT]}
            for name, overrides in (names | weighed).items():
                yield Run(preset, snr, name, tuple(overrides), seed)


def weight_name(weight):
    return f"signal, bce, weight {weight:g}"


def finished(config):
    """What was measured of one training, which is done already, gone on with, or done now."""
    folder = config.checkpoint_folder
    path = folder / "ablation.json"
    if not path.exists():
        with locked(folder.parent):
            resumes = (folder / "last.pt").exists()
            run_training(config, resumes, restarts=not resumes)
            content = {"config": to_dict(config), "measured": measure(config)}
            write_bytes(path, json.dumps(content).encode())
    return read_result(path, config)


def read_result(path, config):
    """What was measured, from `path`; raises UserError if it is damaged or of other settings."""
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


def collected(results):
    """{(preset, SNR, name): {column: one value a seed}}, in the order of the runs."""
    found = {}
    for each, measured in results.items():
        kind = each.preset, each.snr_db, each.name
        row = found.setdefault(kind, {name: [] for name in COLUMNS})
        for name in COLUMNS:
            row[name].append(measured[name])
    return found


def draw_table(results):
    """The table in Markdown: the mean over the seeds, and the range from the least to the most."""
    lines = [
        "| preset | input SNR | training | " + " | ".join(COLUMNS.values()) + " |",
        "|---" * (3 + len(COLUMNS)) + "|",
    ]
    for (preset, snr, name), row in collected(results).items():
        cells = [f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in row.values()]
        lines.append(f"| `{preset}` | {as_text(snr)} dB | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def trade_offs(results):
    """What plots.trade_off draws: {preset: {curve: [(weight, realism, output SNR), ...]}}."""
    curves, found = {}, collected(results)
    names = {WITHOUT: "none", **{weight_name(weight): f"{weight:g}" for weight in WEIGHTS}}
    for preset, snr, name in found:
        if name in names:
            row = found[preset, snr, name]
            curve = curves.setdefault(preset, {}).setdefault(f"input at {snr} dB", [])
            curve.append((names[name], row["realism"], row["total_snr_db"]))
    return curves


def draw_example(preset, configs):
    """A test signal of the lowest SNR, denoised with and without an adversary, side by side."""
    chosen = {
        each.name: config
        for each, config in configs.items()
        if (each.preset, each.snr_db, each.seed) == (preset, SNRS_DB[-1], SEEDS[0])
    }
    config = chosen[WITHOUT]
    clean, _, mixed = draw(config.test_data, "test", 1)
    example = {"clean": clean[0], "mixed": mixed[0]}
    for name in (WITHOUT, *(weight_name(weight) for weight in WEIGHTS[1:])):
        generator, _ = load_generator(chosen[name].checkpoint_folder / "last.pt")
        example[name] = apply_generator(generator, mixed)[0]
    return plots.side_by_side(
        example, config.data.sample_rate, f"{preset} at an input SNR of {SNRS_DB[-1]} dB: a test signal"
    )


if __name__ == "__main__":
    run(main)
