"""The trainings that results are measured on: made once, shared by several processes, gone on with."""

import contextlib
import io
import json
from dataclasses import replace

from create_data import create_data
from dan.configuration import resolve
from dan.errors import ConfigurationError, UserError, stopped_by
from dan.files import InUseError, locked, write_bytes
from dan.progress import track
from dan.results import records
from dan.signals.store import manifest_path, read_manifest
from dan.training.checkpoints import load_generator, read_checkpoint
from dan.training.folder import check_settings
from dan.training.state import patience_is_over
from train_gan import run_training

SEEDS = (42, 1, 2)
# What a training depends on, beside its settings.
CODE = (
    "models.py",
    "train_gan.py",
    "dataset.py",
    "dan/losses.py",
    "dan/causal.py",
    "dan/initial_weights.py",
    "dan/pursuit.py",
    "dan/spectral.py",
    "dan/fourier_convolutions.py",
    "dan/signals/sines.py",
    "dan/signals/augmentation.py",
    "dan/training/state.py",
    "dan/training/precision.py",
)
# Folders of the presets' data; of the others "sines".
DATA = {"dan-published": "stored", "spectral-any": "any"}


def training(preset, seed, *overrides, name=None, data=None):
    """The Config of a training of a preset with this seed, in folders that only results use."""
    return resolve(
        preset,
        [
            f"training.seed={seed}",
            f"paths.data=data/results/{data or DATA.get(preset, 'sines')}",
            "paths.checkpoints=checkpoints/results",
            "paths.images=images/results",
            *overrides,
        ],
        f"{name or preset}-seed-{seed}",
    )


def of_presets(*presets):
    """{(preset, seed): Config} of every seed."""
    return {(preset, seed): training(preset, seed) for preset in presets for seed in SEEDS}


def share(configs, finish, title):
    """`finish(config)` for each of the configs; what another process has in hand is waited for in the end."""
    later = []
    try:
        for config in track(configs, desc=title, unit="training"):
            try:
                finish(config)
            except InUseError:
                later.append(config)
        for config in later:
            with locked(config.checkpoint_folder, waits=True):
                pass
            finish(config)
    except KeyboardInterrupt as stop:
        raise type(stop)(f"{stopped_by(stop)}; run the same again to go on") from None


def train_missing(config, begin_with=None):
    """Train, or go on where the training was stopped; does nothing where it is finished.

    A training of other settings is moved aside. What trained it is kept beside it, in code.json. begin_with: a
    checkpoint whose generator is trained on.
    """
    create_missing(config)
    last = config.checkpoint_folder / "last.pt"
    stored = read_checkpoint(last) if last.exists() else None
    if stored and not has_settings(config, stored["config"]):
        stored = None
    if stored and is_over(stored, config.training):
        return
    code = records.fingerprints(CODE)
    with contextlib.redirect_stdout(io.StringIO()):
        run_training(config, resumes=bool(stored), restarts=not stored, begin_with=None if stored else begin_with)
    write_bytes(config.checkpoint_folder / "code.json", json.dumps(code).encode())


def create_missing(config):
    """Create the data of a training where they are missing; a second process waits for the first."""
    with locked(config.data_folder, waits=True):
        if not manifest_path(config.data_folder).exists() or not read_manifest(config.data_folder).get("complete"):
            create_data(config)


def has_settings(config, stored):
    """Whether a stored Config is of the same training."""
    try:
        check_settings(replace(config, data=config.data.by_last_names()), stored, config.checkpoint_folder)
    except ConfigurationError:
        return False
    return True


def is_over(last, settings):
    """Whether the training in a checkpoint has come to its end."""
    return last["epoch"] >= settings.max_epochs or patience_is_over(last["history"], settings)


def trained(config):
    """The generator of a finished training: of its best epoch, as people get it."""
    return load_generator(config.checkpoint_folder / "best.pt")[0]


def code_of(configs):
    """{path: fingerprint} of what trained them; None for a path that was not always the same."""
    stored = [read_code(config.checkpoint_folder / "code.json") for config in configs]
    paths = {path for code in stored for path in code}
    found = {path: {code.get(path) for code in stored} for path in sorted(paths)}
    return {path: hashes.pop() if len(hashes) == 1 else None for path, hashes in found.items()}


def read_code(path):
    """{path: fingerprint} of what made a training; raises UserError if the file is missing or damaged."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is missing or damaged; move {path.parent} away, and it is trained anew") from error


def minutes(configs):
    """What the trainings took, all together."""
    return sum(read_checkpoint(config.checkpoint_folder / "last.pt")["seconds"] for config in configs) / 60
