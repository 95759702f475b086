"""Measure trained denoisers against other estimators and the limit of all of them.

    python evaluate.py
    python evaluate.py --name my-training
    python evaluate.py --compare dan spectral dan/earlier-1      # trainings by name, in one table
    python evaluate.py --compare my-speech pretrained/speech.pt  # or checkpoints, on the same data
    python evaluate.py --list                                    # all trainings

On the validation signals, and on test signals that no decision of a training saw: sines are drawn
afresh; of recordings create_data.py has kept some for the test. Prints a table, writes
evaluation.json and figures to images/<name>/, and there, in sounds/, the first signals as WAV files:
clean, mixed and denoised. With --compare, prints in which settings the trainings differ and writes
all to images/comparisons/A+B/, with sweeps over the input SNR, the spacing and the number of sines.
The data are those of --preset or, where it is not given, of the (first) training's preset.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np

from config import REPOSITORY
from dan.configuration import parse_arguments, preset_in_words, resolve
from dan.errors import ConfigurationError, UserError, run
from dan.evaluation.baselines import lowpass, pywt, wavelet_shrinkage, wiener
from dan.evaluation.metrics import residual_spectrum_db, table_columns
from dan.evaluation.recordings import measure_costs, measure_groups, print_costs, print_groups, write_examples
from dan.evaluation.sine_fits import MOST_SINES, general_oracle, matching_pursuit, sinusoid_oracle, with_known_numbers
from dan.evaluation.speech_baselines import speech_baselines
from dan.evaluation.sweeps import BOUND, measure_outside, sweep_number, sweep_snr, sweep_snr_by_number, sweep_spacing
from dan.evaluation.tables import estimate_all, print_distances, print_outside, print_table, summarise
from dan.files import write_bytes
from dan.output import plots, saving
from dan.output.listening import write_wavs
from dan.signals.sines import count_sines, draw, unknowns_per_sine
from dan.signals.store import as_created, load_signals, signal_groups
from dan.training.checkpoints import load_generator, read_checkpoint
from dan.training.overview import list_trainings, print_differences
from models import apply_generator, count_parameters

NUM_SOUNDS = 5  # signals that are written as WAV files
NUM_WIENER_EXAMPLES = 2000  # streamed signals that the Wiener filter learns from
LONGEST_WIENER = 1024  # samples; covariances grow with the square of the length


def main():
    config, options = parse_arguments(__doc__, add_options)
    if options.list:
        list_trainings(REPOSITORY / config.paths.checkpoints)
        return
    paths = checkpoint_paths(config, options)
    if (options.compare or options.name) and not options.preset:
        first = load_generator(next(iter(paths.values())))[1].preset
        config = resolve(first, options.overrides, options.name)
    print(preset_in_words(config))
    config = as_created(config, options.overrides)
    denoisers, configs = load_denoisers(config, paths)
    folder = config.image_folder
    if options.compare:
        folder = REPOSITORY / config.paths.images / "comparisons" / joined(denoisers)
    saving.refuse_foreign(folder)
    results = {"made_by": saving.MARK, "preset": config.preset, "denoisers": describe(denoisers, paths)}
    estimators = all_estimators(config, denoisers)
    results |= measure(config, denoisers, estimators, folder)
    if options.compare:
        results |= compare(config, configs, paths, estimators, results, folder)
    write_bytes(folder / "evaluation.json", json.dumps(results, indent=1, allow_nan=False).encode())
    for name, facts in results["denoisers"].items():
        training = "" if facts["epochs"] is None else f", {facts['epochs']} epochs, {facts['training_seconds']:.0f} s"
        print(f"{name}: {facts['parameters']:,} parameters{training}")
    print(f"wrote evaluation.json, figures and sounds to {folder}")


def add_options(parser):
    parser.add_argument(
        "--compare",
        nargs="+",
        metavar="NAME",
        help="compare trainings of these names, or checkpoints; what is missing is left out",
    )
    parser.add_argument("--list", action="store_true", help="list all trainings, and end")


def checkpoint_paths(config, options):
    """{name: checkpoint} of the denoisers to measure; raises UserError if there is none."""
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


def load_denoisers(config, paths):
    """({name: generator}, {name: Config}) of trained generators."""
    denoisers, configs = {}, {}
    for name, path in paths.items():
        denoisers[name], configs[name] = load_generator(path)
        trained, rate = configs[name].data.sample_rate, config.data.sample_rate
        if trained != rate:
            raise ConfigurationError(
                f"{path} was trained with data.sample_rate={trained}, this run has {rate}; "
                "evaluate at the rate of the training"
            )
    return denoisers, configs


def describe(denoisers, paths):
    """{name: size of the generator, epochs and seconds of its training, where that is there}."""
    facts = {}
    for name, path in paths.items():
        last = read_checkpoint(path.with_name("last.pt")) if has_training(path) else {"epoch": None, "seconds": None}
        facts[name] = {
            "parameters": count_parameters(denoisers[name]),
            "epochs": last["epoch"],
            "training_seconds": last["seconds"],
        }
    return facts


def has_training(path):
    """Whether beside a checkpoint lies the training that it comes from."""
    return path.name in ("best.pt", "last.pt") and path.with_name("last.pt").exists()


def all_estimators(config, denoisers):
    """{method: function(mixed, snr_db, numbers) that estimates the clean signals}.

    numbers: of the sines in each signal. The Wiener filter takes part where signals are short
    enough for their covariance, fits of sines where they are made of sines, of not too many for
    the oracles, and the oracle that knows amplitudes and phases where those are known.
    """
    data, short, recorded = config.data, config.data.length <= LONGEST_WIENER, config.data.is_recorded
    estimators = {
        "input": lambda mixed, snr, numbers: mixed,
        "lowpass": lambda mixed, snr, numbers: lowpass(mixed, data.sample_rate, config.evaluation),
    }
    if short and not (recorded and data.stream):
        examples = clean_examples(config)
        estimators["Wiener"] = lambda mixed, snr, numbers: wiener(mixed, examples, snr)
    if recorded:
        for name, denoise in speech_baselines(data.sample_rate).items():
            estimators[name] = lambda mixed, snr, numbers, f=denoise: f(mixed, data.sample_rate)
    if pywt:
        wavelet = "sym8" if recorded else "db20"  # a longer filter tells sines apart
        estimators["wavelet"] = lambda mixed, snr, numbers: wavelet_shrinkage(mixed, wavelet)
    if short and not recorded:
        estimators["NOMP"] = lambda mixed, snr, numbers: matching_pursuit(mixed, data)
    for name, generator in denoisers.items():
        if name in (*estimators, "oracle", "general oracle"):
            raise ConfigurationError(f"a training cannot be called {name}, as another method is")
        estimators[name] = lambda mixed, snr, numbers, g=generator: apply_generator(g, mixed)
    if short and not recorded and np.max(data.num_components) <= MOST_SINES:
        oracles = {"general oracle": general_oracle} | (
            {"oracle": sinusoid_oracle} if unknowns_per_sine(data) == 1 else {}
        )
        for name, fit in oracles.items():
            estimators[name] = lambda mixed, snr, numbers, f=fit: with_known_numbers(f, mixed, numbers, data)
    return estimators


def clean_examples(config):
    """Clean training signals, stored or, where they are streamed, drawn as if they were stored."""
    if config.data.stream:
        return draw(config.data, "train", NUM_WIENER_EXAMPLES)[0]
    return load_signals(config, "train", "clean")[:, 0].numpy()


def measure(config, denoisers, estimators, folder):
    """Measure, print, draw and write examples; returns {"signals": …, and "groups" of recordings}."""
    columns, results = table_columns(config.data), {"signals": {}}
    for split, (clean, mixed) in load_splits(config).items():
        data = config.test_data if split == "test" else config.data
        numbers = None if data.is_recorded else count_sines(data, split, len(clean))
        estimates, values, seconds = estimate_all(clean, mixed, numbers, estimators, columns)
        result = summarise(clean, mixed, numbers, estimates, values, seconds, columns, data)
        print_table(split, result, columns)
        results["signals"][split] = result
    # Figures, sounds and groups are of the last split, the test signals.
    draw_figures(folder, config.data, f"{len(clean)} {split} signals", clean, estimates, values)
    heard = {"clean": clean, "mixed": mixed} | {f"denoised_{name}": estimates[name] for name in denoisers}
    for number in range(min(NUM_SOUNDS, len(clean))):
        sounds = {kind: x[number] for kind, x in heard.items()}
        paths = {kind: folder / f"sounds/{number + 1:02d}_{kind.replace('/', '.')}.wav" for kind in sounds}
        write_wavs(paths, sounds, config.data.sample_rate)
    if config.data.is_recorded:
        names = signal_groups(config)
        kinds = names.get("by kind of noise")
        results["groups"] = measure_groups(values, clean, mixed, names)
        print_groups(results["groups"], columns)
        results["costs"] = measure_costs(result["methods"], denoisers, config.data)
        print_costs(results["costs"])
        name, page = next(iter(denoisers)), folder / "listening.html"
        write_examples(page, clean, mixed, estimates, values, name, kinds, columns, config.data.sample_rate)
        print(f"listen to {page}")
    return results


def load_splits(config):
    """{split: (clean, mixed)} of validation and test, arrays (count, length)."""
    recorded = config.data.is_recorded
    splits = {
        split: [load_signals(config, split, kind)[:, 0].numpy() for kind in ("clean", "mixed")]
        for split in (("validation", "test") if recorded else ("validation",))
    }
    if not recorded:
        clean, _, mixed = draw(config.test_data, "test", config.evaluation.num_test)
        splits["test"] = clean, mixed
    return splits


def draw_figures(folder, data, signals, clean, estimates, values):
    """The distribution of the SNR improvement and the mean residual spectrum of each method."""
    improvements = {method: metrics["snr_improvement_db"] for method, metrics in values.items() if method != "input"}
    saving.save(plots.improvement_distribution(improvements, signals), folder / "snr_improvement.png")
    spectra = {method: residual_spectrum_db(clean, estimate) for method, estimate in estimates.items()}
    saving.save(plots.residual_spectra(spectra, data, signals), folder / "residual_spectrum.png")


def compare(config, configs, paths, estimators, results, folder):
    """The rest of a comparison: differing settings, figures, and for sines {"sweeps", "outside"}."""
    if len(paths) > 1:
        print_differences(configs)
    trainings = {name: read_checkpoint(path.with_name("last.pt")) for name, path in paths.items() if has_training(path)}
    if trainings:
        saving.save(plots.training_curves(trainings), folder / "training_curves.png")
    saving.save(plots.comparison(results["signals"]["test"], "test"), folder / "comparison.png")
    if config.data.is_recorded:
        return {}
    sweeps = draw_sweeps(folder, config, estimators)
    outside = measure_outside(estimators, config.test_data, config.evaluation.num_sweep)
    print_outside(outside)
    return {"sweeps": sweeps, "outside": outside}


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
        saving.save(figure, folder / f"sweep_{name}.png")
    if isinstance(config.data.num_components, tuple):
        family = sweep_snr_by_number(estimators, config.test_data, count)
        for number, (values, snr) in family.items():
            results[f"snr of {number} sines"] = {"values": values, "total_snr_db": snr}
        print_distances(family, BOUND)
        saving.save(plots.sweep_by_number(family, f"{count} signals a point"), folder / "sweep_snr_by_number.png")
    return results


if __name__ == "__main__":
    run(main)
