"""Checkpoints: what is in them, and writing and reading them.

A checkpoint is a dictionary of plain values and tensors: `format`, `config` (as nested
dictionaries), `epoch` (the last one finished), `history` (a list of one dictionary an epoch),
`seconds` (of training so far), `precision` (for each network the one chosen, and the reason),
`data` (the fingerprint of the signals that it is trained on), `threads` (of the process that
trained), and the state dictionaries of both networks, of both optimisers and, where the loss has
one, of the pretrained `feature_network`.
One that only denoises, as those in pretrained/ do, has `format`, `config` and `generator` alone.
"""

import io
from pathlib import Path
from zipfile import is_zipfile

import torch

from dan.configuration import from_dict
from dan.errors import ConfigurationError, UserError
from dan.files import check_regular, write_bytes

FORMAT = 3
READ_FROM_HISTORY = ("validation_reconstruction_loss", "validation_snr_db")
CONTENTS = {
    "format": int, "config": dict, "epoch": int, "history": list, "seconds": float,
    "precision": dict, "data": str, "generator": dict, "discriminator": dict,
    "generator_optimizer": dict, "discriminator_optimizer": dict,
}
DENOISES = ("format", "config", "generator")  # what it takes to denoise


def write_checkpoint(path, checkpoint):
    """Replace the checkpoint at `path` at once, never in part."""
    content = io.BytesIO()
    torch.save({"format": FORMAT, **checkpoint}, content)
    write_bytes(path, content.getbuffer())


def read_checkpoint(path, device="cpu", of_training=True):
    """The dictionary in a checkpoint, its tensors on `device`, its `config` as a Config.

    of_training: whether it must hold a training, and not a generator alone. Only data are read,
    never code. Raises UserError if the file is missing, damaged, of another format version, or no
    checkpoint of this project.
    """
    path = Path(path)
    try:
        check_regular(path)
    except UserError as error:
        raise UserError(f"{error}; run train_gan.py with the same preset and settings first, "
                        "or name another file") from None
    try:
        if not is_zipfile(path):
            path.open("rb").close()
            raise ValueError("torch.save writes zip files")
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # damaged bytes lead the unpickler to errors of any kind
        raise UserError(f"{path} is damaged or no checkpoint; train again or restore it") from error
    version = checkpoint.get("format") if isinstance(checkpoint, dict) else None
    if isinstance(version, int) and version != FORMAT:
        raise UserError(f"{path} has format {version}, this version reads {FORMAT}; train again")
    if version is None or set(DENOISES) - checkpoint.keys():
        raise UserError(f"{path} is no checkpoint of this project; train again")
    if of_training and CONTENTS.keys() - checkpoint.keys():
        raise UserError(f"{path} holds a generator alone, and no training; train again")
    for key, kind in CONTENTS.items():
        if key in checkpoint and not isinstance(checkpoint[key], kind):
            raise UserError(f"{path} has no valid {key}; train again or restore it")
    if "precision" in checkpoint and not is_precision(checkpoint["precision"]):
        raise UserError(f"{path} has no valid precision; train again or restore it")
    if "history" in checkpoint and not is_history(checkpoint["history"], checkpoint.get("epoch")):
        raise UserError(f"{path} has no valid history; train again or restore it")
    try:
        checkpoint["config"] = from_dict(checkpoint["config"])
    except ConfigurationError as error:
        raise UserError(f"{path}: {error}; train again") from error
    return checkpoint


def is_precision(precision):
    """Whether it has, for both networks, a precision and the reason."""
    return precision.keys() == {"generator", "discriminator"} and all(
        isinstance(chosen, tuple) and len(chosen) == 2 and all(isinstance(x, str) for x in chosen)
        for chosen in precision.values()
    )


def is_history(history, epochs):
    """Whether the history has one dictionary an epoch, with numbers where train_gan.py reads some.

    A generator that was trained on has one more at its head, of epoch 0.
    """
    first = 0 if len(history) == epochs + 1 else 1
    return len(history) == epochs + 1 - first and all(
        isinstance(row, dict)
        and row.get("epoch") == number
        and all(isinstance(row.get(name), float) for name in READ_FROM_HISTORY)
        and all(isinstance(name, str) for name in row)
        for number, row in enumerate(history, first)
    )
