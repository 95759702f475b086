"""Checkpoints: what is in them, and writing and reading them.

A checkpoint is a dictionary of plain values and tensors: `format`, `config` (as nested
dictionaries), `epoch` (the last one finished), `history` (a list of one dictionary an epoch),
`seconds` (of training so far), `precision` (the one chosen, and the reason), and the state
dictionaries of both networks and both optimisers.
"""

from pathlib import Path
from zipfile import is_zipfile

import torch

from config import from_dict
from faults import ConfigurationFault, Fault
from files import write_atomically

FORMAT = 1
KEYS = {
    "format", "config", "epoch", "history", "seconds", "precision",
    "generator", "discriminator", "generator_optimizer", "discriminator_optimizer",
}


def write_checkpoint(path, checkpoint):
    """Replace the checkpoint at `path` at once, never in part."""
    with write_atomically(path) as file:
        torch.save({"format": FORMAT, **checkpoint}, file)


def read_checkpoint(path, device="cpu"):
    """The dictionary in a checkpoint, its tensors on `device`, its `config` as a Config.

    Only data are read, never code. Raises Fault if the file is missing, damaged, of another
    format version, or no checkpoint of this project.
    """
    path = Path(path)
    try:
        if not is_zipfile(path):
            path.open("rb").close()
            raise ValueError("torch.save writes zip files")
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise Fault(f"{path} is missing; run train_gan.py with the same preset first") from None
    except Exception as error:  # damaged bytes lead the unpickler to errors of any kind
        raise Fault(f"{path} is damaged or no checkpoint; train again or restore it") from error
    if not isinstance(checkpoint, dict) or KEYS - checkpoint.keys():
        raise Fault(f"{path} is no checkpoint of this project; train again")
    if checkpoint["format"] != FORMAT:
        raise Fault(f"{path} has format {checkpoint['format']}, this version reads {FORMAT}; "
                    "train again")
    try:
        checkpoint["config"] = from_dict(checkpoint["config"])
    except ConfigurationFault as fault:
        raise Fault(f"{path}: {fault}; train again") from fault
    return checkpoint
