"""Shared by the tests: configurations that do not hang on config.py, and running a script."""

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

# The tests' networks are so small that a second thread only costs; read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import train_gan
from dan.configuration import resolve
from dan.errors import run

# Where the tests run in the background, Ctrl-C is ignored, and would be in what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is described and published, so that the tests stay green when a person edits config.py.
SINES = [
    "data.sample_rate=256",
    "data.duration=1",
    "data.num_components=3",
    "data.low_freq=10",
    "data.high_freq=64",
    "data.amplitude_spread=0",
    "data.random_phase=false",
    "data.noise_std=0.5",
    "data.snr_db=-2",
    "data.num_train=1600",
    "data.num_validation=200",
    "data.seed=42",
    "data.stream=false",
    "evaluation.lowpass_passband=64",
    "evaluation.lowpass_stopband=100",
    "evaluation.lowpass_ripple_db=0.05",
    "evaluation.lowpass_attenuation_db=60",
]
DISCRIMINATOR = [
    "discriminator.filters=8",
    "discriminator.depth=2",
    "discriminator.kernel_size=32",
    "discriminator.hidden_units=16",
    "discriminator.negative_slope=0.01",
]
WAVEFORM = [
    "generator.encoder_filters=16",
    "generator.decoder_filters=32",
    "generator.depth=4",
    "generator.kernel_size=64",
    "generator.negative_slope=0.1",
    *DISCRIMINATOR,
]
DESCRIBED = {
    "dan": [*SINES, *WAVEFORM],
    "dan-published": [*SINES, *WAVEFORM],
    "dan-small": [
        *SINES,
        *WAVEFORM,
        "generator.encoder_filters=6",
        "generator.decoder_filters=16",
        "generator.depth=2",
        "discriminator.filters=2",
        "discriminator.hidden_units=8",
    ],
    "spectral": [
        *SINES,
        *DISCRIMINATOR,
        "generator.channels=32",
        "generator.blocks=4",
        "generator.kernel_size=5",
        "generator.zero_padding=2",
        "generator.dilated=false",
        "generator.normalise=false",
    ],
    "spectral-any": [
        *SINES,
        *DISCRIMINATOR,
        "generator.channels=48",
        "generator.blocks=6",
        "generator.kernel_size=5",
        "generator.sines=5",
    ],
    "audio": [
        "data.sample_rate=8000",
        "data.duration=1",
        "generator.levels=4",
        "generator.frame_length=256",
        "data.low_freq=100",
        "data.high_freq=2000",
        "evaluation.lowpass_passband=2000",
        "evaluation.lowpass_stopband=2500",
    ],
}
REDUCED = [
    *DESCRIBED["dan"],
    "data.num_train=40",
    "data.num_validation=12",
    "training.batch_size=8",
    "training.pretrain_epochs=2",
    "training.max_epochs=4",
    "training.patience=50",
    "training.remix=true",
    "training.slowest=0.8",
    "training.schedule=one-cycle",
    "training.generator_lr=0.01",
    "training.reconstruction_loss=L1",
    "training.precision=auto",
    "training.device=cpu",
    "evaluation.num_test=20",
    "evaluation.num_sweep=3",
    "generator.depth=2",
    "generator.encoder_filters=4",
    "generator.decoder_filters=4",
    "generator.kernel_size=16",
]


def described(preset="dan", *more):
    """A preset's configuration with the data and the sizes that README describes."""
    return resolve(preset, [*DESCRIBED[preset], *more])


@pytest.fixture(autouse=True)
def few_figures(monkeypatch):
    """Trainings within the tests' own process draw one example, which saves seconds each time."""
    monkeypatch.setattr(train_gan, "NUM_PLOTTED", 1)


@pytest.fixture
def overrides(tmp_path):
    """Overrides of a run that takes a second and stays in the temporary folder."""
    folders = [f"paths.{name}={tmp_path / name}" for name in ("data", "images", "checkpoints")]
    return REDUCED + folders


@pytest.fixture
def config(overrides):
    return resolve("dan", overrides)


@pytest.fixture
def script(monkeypatch, capsys):
    """Run a script as from a terminal: script("create_data", *arguments) -> code, out, err."""

    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            run(importlib.import_module(name).main)
        except SystemExit as end:
            code = end.code
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


def one_error(err):
    """The single error line on standard error, without what a progress bar left there."""
    lines = [line for line in err.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in err, err
    return lines[0]
