"""Measure the trained denoiser against the input and a lowpass filter.

    python evaluate.py
    python evaluate.py --preset dan-small

On the validation signals, and on fresh test signals that no decision of the training saw. Prints
a table, writes checkpoints/<preset>/evaluation.json and figures to images/<preset>/.
"""

import json

import plots
from checkpoints import read_checkpoint
from command_line import parse_arguments
from dataset import SignalDataset
from faults import ConfigurationFault, run
from files import write_atomically
from models import count_parameters, denoise, load_generator
from signals import (
    band_noise_reduction,
    draw,
    lowpass,
    mean_absolute_error,
    residual_spectrum_db,
    si_sdr,
    snr_db,
    summary,
)

# Column titles; for each, which of a metric's values is the worst.
METRICS = {
    "snr_db": ("SNR in dB", min),
    "snr_improvement_db": ("improvement", min),
    "si_sdr_db": ("SI-SDR in dB", min),
    "mean_absolute_error": ("mean abs. error", max),
    "noise_reduction_in_band_db": ("in-band red. dB", min),
    "noise_reduction_out_of_band_db": ("out-of-band dB", min),
}


def main():
    config, _ = parse_arguments(__doc__)
    path = config.checkpoint_folder / "best.pt"
    generator, trained = load_generator(path)
    check_sample_rate(config, trained, path)
    validation = SignalDataset(config, "validation")
    clean, _, mixed = draw(config.data, "test", config.evaluation.num_test)
    signals = {
        "validation": (validation.clean[:, 0].numpy(), validation.mixed[:, 0].numpy()),
        "test": (clean, mixed),
    }
    last = read_checkpoint(config.checkpoint_folder / "last.pt")
    results = {
        "preset": config.preset,
        "parameters": count_parameters(generator),
        "epochs": last["epoch"],
        "training_seconds": last["seconds"],
        "signals": {},
    }
    for split, (clean, mixed) in signals.items():
        estimates = {
            "input": mixed,
            "lowpass": lowpass(mixed, config.data.sample_rate, config.evaluation),
            "denoiser": denoise(generator, mixed),
        }
        values = {
            method: measure(clean, mixed, estimate, config.data)
            for method, estimate in estimates.items()
        }
        results["signals"][split] = {"count": len(clean), "methods": summarise(values)}
        print_table(f"{len(clean)} {split} signals", results["signals"][split]["methods"])
    # The figures show the last split, the test signals.
    draw_figures(config, clean, estimates, values)
    path = config.checkpoint_folder / "evaluation.json"
    with write_atomically(path) as file:
        file.write(json.dumps(results, indent=1).encode())
    print(f"preset {config.preset}: {results['parameters']:,} parameters, {last['epoch']} epochs, "
          f"{last['seconds']:.0f} s of training\nwrote {path} and {config.image_folder}")


def check_sample_rate(config, trained, path):
    """Raise ConfigurationFault where the denoiser was trained at another sampling rate."""
    if trained.data.sample_rate != config.data.sample_rate:
        raise ConfigurationFault(
            f"{path} was trained with data.sample_rate={trained.data.sample_rate}, this run has "
            f"{config.data.sample_rate}; evaluate at the rate of the training"
        )


def measure(clean, mixed, estimate, data):
    """Every metric of one method: {metric: array of one value a signal}."""
    in_band, out_of_band = band_noise_reduction(clean, mixed, estimate, data)
    return {
        "snr_db": snr_db(clean, estimate),
        "snr_improvement_db": snr_db(clean, estimate) - snr_db(clean, mixed),
        "si_sdr_db": si_sdr(clean, estimate),
        "mean_absolute_error": mean_absolute_error(clean, estimate),
        "noise_reduction_in_band_db": in_band,
        "noise_reduction_out_of_band_db": out_of_band,
    }


def summarise(values):
    """Mean, confidence interval, median and worst of every method's metrics."""
    return {
        method: {name: summary(array, METRICS[name][1]) for name, array in metrics.items()}
        for method, metrics in values.items()
    }


def print_table(title, methods):
    """Three lines a method: mean ± 95 % confidence interval, median, worst."""
    print(f"\n{title}\n{'':<18}" + "".join(f"{heading:>18}" for heading, _ in METRICS.values()))
    for method, metrics in methods.items():
        rows = {
            f"{method} mean": lambda m: f"{m['mean']:.3f} ± {m['confidence_95']:.3f}",
            "  median": lambda m: f"{m['median']:.3f}",
            "  worst": lambda m: f"{m['worst']:.3f}",
        }
        for label, text in rows.items():
            print(f"{label:<18}" + "".join(f"{text(metrics[name]):>18}" for name in METRICS))
    print()


def draw_figures(config, clean, estimates, values):
    """The distribution of the SNR improvement and the mean residual spectrum of each method."""
    signals = f"{len(clean)} test signals"
    improvements = {
        method: metrics["snr_improvement_db"]
        for method, metrics in values.items()
        if method != "input"
    }
    plots.save(plots.improvement_distribution(improvements, signals),
               config.image_folder / "snr_improvement.png")
    spectra = {m: residual_spectrum_db(clean, estimate) for m, estimate in estimates.items()}
    plots.save(plots.residual_spectra(spectra, config.data, signals),
               config.image_folder / "residual_spectrum.png")


if __name__ == "__main__":
    run(main)
