"""The folder of a training: resuming what is in it, moving it aside, and saving epochs."""

import csv
import io

import torch

from dan.errors import ConfigurationError, UserError
from dan.files import write_bytes
from dan.processes import is_first
from dan.settings import as_text, list_settings
from dan.training.checkpoints import read_checkpoint, write_checkpoint
from dan.training.state import best_epoch, learning_rate_factor

OUTPUTS = ("best.pt", "last.pt", "history.csv", "settings.txt")
FREE_SECTIONS = ("evaluation", "paths")  # have no part in a training


def refuse_to_replace(folder):
    """Raise UserError if there is a training in the folder, finished or not."""
    if any((folder / name).exists() for name in OUTPUTS):
        raise UserError(
            f"{folder} holds a training; go on with --resume, or begin anew with --restart, which moves it aside"
        )


def move_aside(folder):
    """Move the files of a training in the folder to one of its own, `earlier-1`, -2 and so on."""
    present = [folder / name for name in OUTPUTS if (folder / name).exists()]
    if not present:
        return
    number = 1
    while (aside := folder / f"earlier-{number}").exists():
        number += 1
    aside.mkdir()
    for path in present:
        path.rename(aside / path.name)
    print(f"moved the earlier training to {aside}")


def resume(state, config, fingerprint):
    """Bring a new training to where last.pt was taken; call it under the lock.

    fingerprint: of the training signals. Raises UserError if that training had other settings or other signals, or if
    the file is missing or damaged.
    """
    path = config.checkpoint_folder / "last.pt"
    checkpoint = read_checkpoint(path, state.device)
    check_settings(config, checkpoint["config"], path)
    if checkpoint["data"] != fingerprint:
        raise UserError(
            f"{path} was trained on other signals than those in {config.data_folder}; "
            "create the same again, or train anew with --restart"
        )
    state.restore(checkpoint, path)
    tell_differences(state.epoch, checkpoint, config.training)
    if state.history and is_first():
        check_history(state.history, path.parent)
        write_history(state.history, path.parent)  # a run may have died between last.pt and this


def check_settings(config, stored, path):
    """Raise ConfigurationError for a setting that the training at `path`, of the Config `stored`, had otherwise."""
    if stored.preset != config.preset:
        raise ConfigurationError(
            f"{path} was trained with preset {stored.preset}, this run has {config.preset}; "
            "resume with the same, or train anew with --restart"
        )
    before = {key: value for key, value, _ in list_settings(stored)}
    for key, value, item in list_settings(config):
        free = key.split(".")[0] in FREE_SECTIONS or item.metadata.get("free_on_resume")
        if not free and before.get(key) != value:
            raise ConfigurationError(
                f"{path} was trained with {key}={before.get(key)}, this run has {value}; "
                "resume with the same settings, or train anew with --restart"
            )


def tell_differences(epoch, checkpoint, settings):
    """Print the differences from the training in the checkpoint that are allowed, and change the result."""
    threads, before = checkpoint.get("threads"), checkpoint["config"].training
    if isinstance(threads, int) and threads != torch.get_num_threads():
        print(
            f"the number of threads was {threads} and is {torch.get_num_threads()}, so the last "
            "bits may differ; training.threads sets it"
        )
    if before.max_epochs != settings.max_epochs and epoch < settings.max_epochs:
        print(
            f"training.max_epochs was {before.max_epochs} and is {settings.max_epochs}: the learning rates follow the "
            f"new schedule from here on (now {learning_rate_factor(settings, epoch):.2g} of their peak, before "
            f"{learning_rate_factor(before, epoch):.2g}); the result is not that of {settings.max_epochs} epochs "
            "from the start"
        )


def save(state, config):
    """Write best.pt if the last epoch is the best, last.pt, history.csv and, once, settings.txt."""
    folder, checkpoint = config.checkpoint_folder, state.checkpoint(config)
    if len(state.history) == 1:
        lines = [f"{key}={as_text(value)}" for key, value, _ in list_settings(config)]
        text = "\n".join([f"--preset {config.preset} --name {config.name}", *lines, ""])
        write_bytes(folder / "settings.txt", text.encode())
    if best_epoch(state.history) is state.history[-1]:
        write_checkpoint(folder / "best.pt", checkpoint)
    write_checkpoint(folder / "last.pt", checkpoint)
    write_history(state.history, folder)


def check_history(history, folder):
    """Raise UserError if history.csv is there and not as `save` left it, whole or an epoch short."""
    path = folder / "history.csv"
    if path.exists() and path.read_bytes() not in (as_csv(history), as_csv(history[:-1])):
        raise UserError(
            f"{path} is not as the training wrote it, so it is not replaced; move it away, and it is written anew"
        )


def write_history(history, folder):
    """Write history.csv, one row an epoch."""
    write_bytes(folder / "history.csv", as_csv(history))


def as_csv(history):
    """The bytes of history.csv."""
    # An epoch of pretraining has fewer columns than an adversarial one; the rest stay empty.
    columns = dict.fromkeys(name for row in history for name in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()
