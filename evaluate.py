"""Measure trained denoisers against other estimators and the limit of all of them.

    python evaluate.py
    python evaluate.py --name my-training
    python evaluate.py --compare dan spectral dan/earlier-1      # trainings by name, in one table
    python evaluate.py --compare my-speech pretrained/speech.pt  # or checkpoints, on the same data
    python evaluate.py --list                                    # all trainings

On the validation signals, and on test signals that no decision of a training saw: sines are drawn
afresh; of recordings create_data.py has kept some for the test. Prints a table, writes
evaluation.json to checkpoints/<name>/, and to images/<name>/ figures and, in sounds/, the first
signals as WAV files: clean, mixed and denoised. With --compare, prints in which settings the
trainings differ and writes all to images/comparisons/A+B/, with sweeps over the input SNR, the
spacing and the number of sines. The data are those of --preset or, where it is not given, of the
(first) training's preset.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np

from config import REPOSITORY
from dan.configuration import parse_arguments, resolve
from dan.errors import ConfigurationError, UserError, run
from dan.evaluation.baselines import lowpass, pywt, wavelet_shrinkage, wiener
from dan.evaluation.metrics import band_noise_reduction, mean_absolute_error, residual_spectrum_db, si_sdr, snr_db
from dan.evaluation.recordings import (
    measure_groups,
    print_groups,
    recorded_estimators,
    recorded_metrics,
    write_examples,
)
from dan.evaluation.sine_fits import MOST_SINES, general_oracle, matching_pursuit, sinusoid_oracle, with_known_numbers
from dan.evaluation.sweeps import BOUND, measure_outside, sweep_number, sweep_snr, sweep_snr_by_number, sweep_spacing
from dan.evaluation.tables import estimate_all, print_table, summarise
from dan.files import write_bytes
from dan.output import figures, plots
from dan.output.listening import write_wavs
from dan.signals.sines import count_sines, draw, unknowns_per_sine
from dan.signals.store import as_created, load_signals, noise_kinds
from dan.training.checkpoints import read_checkpoint
from dan.training.listing import list_trainings, print_differences
from dan.training.trained_generator import apply_generator, load_generator
from models import count_parameters

NUM_SOUNDS = 5  # signals that are written as WAV files
NUM_EXAMPLES = 2000  # streamed signals that the Wiener filter learns from
PAGE = "listening.html"
FIGURES = [
    f"{name}.png"
    for name in (
        "snr_improvement",
        "residual_spectrum",
        "training_curves",
        "comparison",
        "sweep_snr",
        "sweep_spacing",
        "sweep_number",
        "sweep_snr_by_number",
    )
]
LONGEST_WIENER = 1024  # samples; covariances grow with the square of the length
# For each column of the table its title, which of a method's values is the worst, and the function
# that gives one value for each signal.
METRICS = {
    "snr_db": ("SNR in dB", min, lambda clean, mixed, estimate, data: snr_db(clean, estimate)),
    "snr_improvement_db": (
        "improvement",
        min,
        lambda clean, mixed, estimate, data: snr_db(clean, estimate) - snr_db(clean, mixed),
    ),
    "si_sdr_db": ("SI-SDR in dB", min, lambda clean, mixed, estimate, data: si_sdr(clean, estimate)),
    "mean_absolute_error": (
        "mean abs. error",
        max,
        lambda clean, mixed, estimate, data: mean_absolute_error(clean, estimate),
    ),
    "noise_reduction_in_band_db": (
        "in-band red. dB",
        min,
        lambda clean, mixed, estimate, data: band_noise_reduction(clean, mixed, estimate, data)[0],
    ),
    "noise_reduction_out_of_band_db": (
        "out-of-band dB",
        min,
        lambda clean, mixed, estimate, data: band_noise_reduction(clean, mixed, estimate, data)[1],
    ),
}


def main():
    config, options = parse_arguments(__doc__, add_options)
    if options.list:
        list_trainings(REPOSITORY / config.paths.checkpoints)
        return
    paths = denoiser_paths(config, options)
    if (options.compare or options.name) and not options.preset:
        first = load_generator(next(iter(paths.values())))[1].preset
        config = resolve(first, options.overrides, options.name)
    config = as_created(config, options.overrides)
    denoisers, configs, results = load_denoisers(config, paths)
    image_folder = config.image_folder
    json_path = config.checkpoint_folder / "evaluation.json"
    if options.compare:
        image_folder = REPOSITORY / config.paths.images / "comparisons" / joined(denoisers)
        json_path = image_folder / "evaluation.json"
    sounds = sound_paths(image_folder / "sounds", denoisers)
    figures.refuse_to_replace(
        [
            json_path,
            *(image_folder / name for name in (*FIGURES, PAGE)),
            *(path for paths in sounds for path in paths.values()),
        ]
    )
    recorded = config.data.is_recorded
    signals = {
        split: [load_signals(config, split, kind)[:, 0].numpy() for kind in ("clean", "mixed")]
        for split in ("validation", "test")[: 1 + recorded]
    }
    metrics = recorded_metrics(config.data) if recorded else METRICS
    if not recorded:
        clean, _, mixed = draw(config.test_data, "test", config.evaluation.num_test)
        signals["test"] = clean, mixed
    estimators = all_estimators(config, recorded, denoisers)
    for split, (clean, mixed) in signals.items():
        data = config.test_data if split == "test" else config.data
        numbers = None if recorded else count_sines(data, split, len(clean))
        estimates, values, seconds = estimate_all(clean, mixed, numbers, estimators, metrics, config.data)
        results["signals"][split] = summarise(clean, mixed, numbers, estimates, values, seconds, metrics, config.data)
        print_table(split, results["signals"][split], metrics)
    # The figures show the last split, the test signals.
    draw_figures(image_folder, config.data, f"{len(clean)} {split} signals", clean, estimates, values)
    for number, files in enumerate(sounds[: len(clean)]):
        heard = {"clean": clean, "mixed": mixed, **{f"denoised_{name}": estimates[name] for name in denoisers}}
        write_wavs(files, {kind: x[number] for kind, x in heard.items()}, config.data.sample_rate)
    if recorded:
        kinds = noise_kinds(config)
        results["groups"] = measure_groups(values, clean, mixed, kinds)
        print_groups(results["groups"], metrics)
        write_examples(
            image_folder / PAGE, clean, mixed, estimates, values, kinds, metrics, config.data, next(iter(denoisers))
        )
    if options.compare:
        checkpoints = {
            name: read_checkpoint(path.with_name("last.pt")) for name, path in paths.items() if has_training(path)
        }
        if len(paths) > 1:
            print_differences(configs)
        if checkpoints:
            figures.save(plots.training_curves(checkpoints), image_folder / "training_curves.png")
        figures.save(plots.comparison(results["signals"][split], split), image_folder / "comparison.png")
        if not recorded:
            results["sweeps"] = draw_sweeps(image_folder, config, estimators)
            results["outside"] = measure_outside(estimators, config.test_data, config.evaluation.num_sweep)
            print_outside(results["outside"])
    write_bytes(json_path, json.dumps(results, indent=1, allow_nan=False).encode())
    for name, facts in results["denoisers"].items():
        trained = (
            ""
            if facts["epochs"] is None
            else (f", {facts['epochs']} epochs, {facts['training_seconds']:.0f} s of training")
        )
        print(f"{name}: {facts['parameters']:,} parameters{trained}")
    print(f"wrote {json_path} and {image_folder}" + f"; open {PAGE} there" * recorded)


def add_options(parser):
    parser.add_argument(
        "--compare",
        nargs="+",
        metavar="NAME",
        help="compare trainings of these names, or checkpoints; what is missing is left out",
    )
    parser.add_argument("--list", action="store_true", help="list all trainings, and end")


def denoiser_paths(config, options):
    """{name: checkpoint} of what is to be measured; raises UserError if none of it is there."""
    if not options.compare:
        return {config.name: config.checkpoint_folder / "best.pt"}
    paths = {}
    for given in options.compare:
        name, path = given, REPOSITORY / config.paths.checkpoints / given / "best.pt"
        if given.endswith(".pt"):
            path = Path(given)
            name = path.parent.name if path.stem in ("best", "last") else path.stem
        if not path.exists():
            print(f"left out {given}, which is not trained: {path} is missing", file=sys.stderr)
        elif name in paths:
            raise ConfigurationError(f"two of those to compare are called {name}; rename one")
        else:
            paths[name] = path
    if not paths:
        raise UserError(f"none of {', '.join(options.compare)} is trained; run train_gan.py")
    return paths


def joined(names):
    """Names as one that file systems allow."""
    name = "+".join(names).replace("/", ".")
    return name if len(name) <= 200 else f"{name[:190]}+{zlib.crc32(name.encode()):08x}"


def sound_paths(folder, denoisers):
    """For each of the first signals the WAV files {"clean", "mixed" or "denoised_NAME": path}."""
    kinds = "clean", "mixed", *(f"denoised_{name}" for name in denoisers)
    return [
        {kind: folder / f"{number:02d}_{kind.replace('/', '.')}.wav" for kind in kinds}
        for number in range(1, NUM_SOUNDS + 1)
    ]


def load_denoisers(config, paths):
    """({name: generator}, {name: Config}, results to be) of trained generators."""
    denoisers, configs = {}, {}
    results = {"made_by": figures.MARK, "preset": config.preset, "denoisers": {}, "signals": {}}
    for name, path in paths.items():
        generator, trained = load_generator(path)
        if trained.data.sample_rate != config.data.sample_rate:
            raise ConfigurationError(
                f"{path} was trained with data.sample_rate={trained.data.sample_rate}, this run "
                f"has {config.data.sample_rate}; evaluate at the rate of the training"
            )
        last = {"epoch": None, "seconds": None}
        if has_training(path):
            last = read_checkpoint(path.with_name("last.pt"))
        denoisers[name], configs[name] = generator, trained
        results["denoisers"][name] = {
            "parameters": count_parameters(generator),
            "epochs": last["epoch"],
            "training_seconds": last["seconds"],
        }
    return denoisers, configs, results


def has_training(path):
    """Whether beside a checkpoint lies the training that it comes from."""
    return path.name in ("best.pt", "last.pt") and path.with_name("last.pt").exists()


def all_estimators(config, recorded, denoisers):
    """{method: function(mixed, snr_db, numbers) that estimates the clean signals}.

    numbers: of the sines in each signal. The Wiener filter takes part where signals are short
    enough for their covariance, fits of sines where they are made of sines, of not too many for
    the oracles, and the oracle that knows amplitudes and phases where those are known.
    """
    data = config.data
    estimators = {
        "input": lambda mixed, snr, numbers: mixed,
        "lowpass": lambda mixed, snr, numbers: lowpass(mixed, data.sample_rate, config.evaluation),
    }
    if data.length <= LONGEST_WIENER and not (recorded and data.stream):
        examples = clean_examples(config)
        estimators["Wiener"] = lambda mixed, snr, numbers: wiener(mixed, examples, snr)
    if recorded:
        estimators |= recorded_estimators(data)
    if pywt:
        wavelet = "sym8" if recorded else "db20"  # a longer filter tells sines apart
        estimators["wavelet"] = lambda mixed, snr, numbers: wavelet_shrinkage(mixed, wavelet)
    if not recorded and data.length <= LONGEST_WIENER:
        estimators["NOMP"] = lambda mixed, snr, numbers: matching_pursuit(mixed, data)
    for name, generator in denoisers.items():
        if name in (*estimators, "oracle", "general oracle"):
            raise ConfigurationError(f"a training cannot be called {name}, as another method is")
        estimators[name] = lambda mixed, snr, numbers, g=generator: apply_generator(g, mixed)
    if not recorded and data.length <= LONGEST_WIENER and np.max(data.num_components) <= MOST_SINES:
        estimators["general oracle"] = lambda mixed, snr, numbers: with_known_numbers(
            general_oracle, mixed, numbers, data
        )
        if unknowns_per_sine(data) == 1:
            estimators["oracle"] = lambda mixed, snr, numbers: with_known_numbers(sinusoid_oracle, mixed, numbers, data)
    return estimators


def clean_examples(config):
    """Clean training signals, stored or, where they are streamed, drawn as if they were stored."""
    if config.data.stream:
        return draw(config.data, "train", NUM_EXAMPLES)[0]
    return load_signals(config, "train", "clean")[:, 0].numpy()


def draw_figures(folder, data, signals, clean, estimates, values):
    """The distribution of the SNR improvement and the mean residual spectrum of each method."""
    improvements = {method: metrics["snr_improvement_db"] for method, metrics in values.items() if method != "input"}
    figures.save(plots.improvement_distribution(improvements, signals), folder / "snr_improvement.png")
    spectra = {m: residual_spectrum_db(clean, estimate) for m, estimate in estimates.items()}
    figures.save(plots.residual_spectra(spectra, data, signals), folder / "residual_spectrum.png")


def draw_sweeps(folder, config, estimators):
    """Sweeps with a figure each; returns {sweep: {"values", "total_snr_db"}}.

    Where the number of sines is a range, the input SNR is swept for some numbers as well.
    """
    sweeps = {
        "snr": (sweep_snr, "input SNR in dB"),
        "spacing": (sweep_spacing, "distance of two neighbouring sines in Hz"),
        "number": (sweep_number, "number of sines"),
    }
    results, count = {}, config.evaluation.num_sweep
    for name, (sweep, label) in sweeps.items():
        values, snr = sweep(estimators, config.test_data, count)
        if not values:
            print(f"left out the sweep over the {label}, for which the band is too narrow")
            continue
        results[name] = {"values": values, "total_snr_db": snr}
        figure = plots.sweep(values, snr, label, f"{count} signals a point")
        figures.save(figure, folder / f"sweep_{name}.png")
    if isinstance(config.data.num_components, tuple):
        family = sweep_snr_by_number(estimators, config.test_data, count)
        for number, (values, snr) in family.items():
            results[f"snr of {number} sines"] = {"values": values, "total_snr_db": snr}
        print_distances(family)
        figures.save(plots.sweep_by_number(family, f"{count} signals a point"), folder / "sweep_snr_by_number.png")
    return results


def print_distances(family):
    """Each method's distance to the bound by number of sines and input SNR, a table a method."""
    methods = [method for method in next(iter(family.values()))[1] if method not in ("input", BOUND)]
    for method in methods:
        values = next(iter(family.values()))[0]
        print(
            f"{method}: distance to the Cramér–Rao bound in dB\n{'input SNR in dB':<20}"
            + "".join(f"{value:>7.0f}" for value in values)
        )
        for number, (_, snr) in family.items():
            distances = np.subtract(snr[BOUND], snr[method])
            print(
                f"{number} sine{'s' * (number > 1)}".ljust(20) + "".join(f"{distance:>7.2f}" for distance in distances)
            )
        print()


def print_outside(outside):
    """The table of what lies outside the family, one line for each method."""
    print(
        "outside the family: output SNR in dB, ratio of total energies\n"
        + " " * 20
        + "".join(f"{name:>22}" for name in outside)
    )
    for method in next(iter(outside.values())):
        print(f"{method:<20}" + "".join(f"{snr[method]:>22.2f}" for snr in outside.values()))
    print()


if __name__ == "__main__":
    run(main)
