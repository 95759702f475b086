"""Shared by the tests: a reduced configuration in a temporary folder, and running a script."""

import importlib
import os
import signal
import sys
from pathlib import Path

import matplotlib
import pytest

# The tests' networks are so small that a second thread only costs; read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
matplotlib.use("Agg")

import train_gan
from config import resolve
from faults import run

# Where the tests run in the background, Ctrl-C is ignored, and would be in what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

REDUCED = [
    "data.num_train=40", "data.num_validation=12", "training.batch_size=8",
    "training.pretrain_epochs=2", "training.max_epochs=4", "training.device=cpu",
    "evaluation.num_test=20", "evaluation.num_sweep=3", "generator.depth=2",
    "generator.encoder_filters=4", "generator.decoder_filters=4", "generator.kernel_size=16",
]


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
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        capsys.readouterr()
        code = 0
        try:
            run(importlib.import_module(name).main)
        except SystemExit as end:
            code = end.code
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


def one_error(err):
    """The single error line on standard error, without what a progress bar left there."""
    lines = [line for line in err.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in err, err
    return lines[0]
