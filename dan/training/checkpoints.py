"""Checkpoints: writing and reading them, and the generators in them.

    python -m dan.training.checkpoints checkpoints/speech/best.pt pretrained/speech.pt    # the generator alone

A checkpoint is a dictionary of plain values and tensors: `format`, `config` (as nested dictionaries), `epoch` (the last
one finished), `history` (a list of one dictionary an epoch), `seconds` (of training so far), `precision` (for each
network the one chosen, and the reason), `data` (the fingerprint of the training signals), `threads` (of the process
that trained), and the state dictionaries of both networks, of both optimisers and, where the loss has one, of the
pretrained `feature_network`. Those in pretrained/ denoise only: they have `format`, `config` and `generator` alone.
"""

import io
import sys
from dataclasses import replace
from pathlib import Path
from pickletools import genops
from zipfile import ZIP_STORED, ZipFile

import torch

from config import REPOSITORY, PathsConfig
from dan.checks import is_finite
from dan.configuration import from_dict, to_dict
from dan.errors import ConfigurationError, UserError, is_lack_of_memory, run
from dan.files import check_regular, write_bytes
from models import build_generator

PRETRAINED = REPOSITORY / "pretrained/speech.pt"  # the denoiser for speech that is shipped
FORMAT = 3
GENERATOR_CONTENTS = {"format": int, "config": dict, "generator": dict}
TRAINING_CONTENTS = GENERATOR_CONTENTS | {
    "epoch": int,
    "history": list,
    "seconds": float,
    "precision": dict,
    "data": str,
    "discriminator": dict,
    "generator_optimizer": dict,
    "discriminator_optimizer": dict,
}
MAX_PICKLE_BYTES = 20_000_000  # room for the history of 80,000 epochs
MAX_TUPLES = 20_000  # deeper ones overflow the stack of the processor when they are hashed
MAX_REPEATED_TUPLES = 20  # each may double the time that hashing takes
GLOBALS = (
    "collections OrderedDict",
    "torch FloatStorage",
    "torch LongStorage",
    "torch._utils _rebuild_tensor_v2",
)  # all that a pickle of state dictionaries names


def main():
    if len(sys.argv) != 3:
        raise ConfigurationError("name a checkpoint, and the file for its generator alone")
    checkpoint, alone = map(Path, sys.argv[1:])
    if alone.exists():
        raise UserError(f"{alone} exists; choose another name")
    generator, config = load_generator(checkpoint)
    config = replace(config, paths=PathsConfig())  # those of the training are of its machine
    write_checkpoint(alone, {"config": to_dict(config), "generator": generator.state_dict()})
    print(f"wrote {alone}, {alone.stat().st_size:,} bytes")


def write_checkpoint(path, checkpoint):
    """Replace the checkpoint at `path` at once, never in part."""
    content = io.BytesIO()
    torch.save({"format": FORMAT, **checkpoint}, content)
    write_bytes(path, content.getbuffer())


def load_generator(path, device="cpu"):
    """The generator in a checkpoint, in evaluation mode, and its Config; raises UserError as `read_checkpoint` does."""
    checkpoint = read_checkpoint(path, device, of_training=False)
    generator = build_generator(checkpoint["config"]).to(device)
    load_weights(generator, checkpoint["generator"], path)
    return generator.eval(), checkpoint["config"]


def read_checkpoint(path, device="cpu", of_training=True):
    """The dictionary in a checkpoint, its tensors on `device`, its `config` as a Config.

    of_training: whether it must hold a training, and not a generator alone. Only data are read, never code. Raises
    UserError if the file is missing, damaged, of another format version, or not a checkpoint of this project.
    """
    path = Path(path)
    try:
        check_regular(path)
    except UserError as error:
        raise UserError(f"{error}; run train_gan.py first, or name another file") from None
    try:
        check_archive(path)
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # damaged bytes lead the unpickler to errors of any kind
        if is_lack_of_memory(error):
            raise
        raise UserError(f"{path} is damaged or not a checkpoint; train again or restore it") from error
    version = checkpoint.get("format") if isinstance(checkpoint, dict) else None
    if isinstance(version, int) and version != FORMAT:
        raise UserError(f"{path} has format {version}, this version reads {FORMAT}; train again")
    if version is None or GENERATOR_CONTENTS.keys() - checkpoint.keys():
        raise UserError(f"{path} is not a checkpoint of this project; train again")
    if of_training and TRAINING_CONTENTS.keys() - checkpoint.keys():
        raise UserError(f"{path} holds a generator alone, without its training; train again")
    for key, kind in TRAINING_CONTENTS.items():
        if key in checkpoint and not (isinstance(checkpoint[key], kind) and is_valid(key, checkpoint)):
            raise UserError(f"{path} has no valid {key}; train again or restore it")
    try:
        checkpoint["config"] = from_dict(checkpoint["config"])
    except ConfigurationError as error:
        raise UserError(f"{path}: {error}; train again") from error
    return checkpoint


def check_archive(path):
    """Raise an error unless the file is a whole zip file as torch.save writes it, of state dictionaries.

    It then takes memory in proportion to its size. torch.load itself checks no checksums.
    """
    with ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError("torch.save compresses nothing")
            if member.filename.endswith(".pkl"):
                if member.file_size > MAX_PICKLE_BYTES:
                    raise ValueError("too large a pickle")
                check_pickle(archive.read(member))
        if archive.testzip():
            raise ValueError("a checksum does not fit")


def check_pickle(pickled):
    """Raise ValueError where a pickle names anything but tensors, or holds too many tuples.

    A tuple may be the key of a dictionary, which is hashed.
    """
    tuples, repeated, in_memo, newest = 0, 0, set(), ""
    for code, argument, _ in genops(pickled):
        if code.name == "GLOBAL" and argument not in GLOBALS:
            raise ValueError(f"{argument} is not a part of state dictionaries")
        if "PUT" in code.name:  # keeps the newest thing for a GET of the same number
            if "TUPLE" in newest:
                in_memo.add(argument)
            continue
        newest = "TUPLE" if "GET" in code.name and argument in in_memo else code.name
        tuples += "TUPLE" in newest
        repeated += "GET" in code.name and argument in in_memo
    if tuples > MAX_TUPLES or repeated > MAX_REPEATED_TUPLES:
        raise ValueError("too many tuples")


def is_valid(key, checkpoint):
    """Whether a part of a checkpoint, of the right type, could have been written by train_gan.py."""
    value, epoch = checkpoint[key], checkpoint.get("epoch", 0)
    if key == "precision":
        return value.keys() == {"generator", "discriminator"} and all(map(is_choice_of_precision, value.values()))
    if key == "history":  # that of a generator that was trained on begins with epoch 0
        first = epoch + 1 - len(value)
        return first in (0, 1) and all(is_epoch(row, number) for number, row in enumerate(value, first))
    if key == "seconds":
        return is_finite(value) and (value > 0 or not epoch)
    return True


def is_choice_of_precision(choice):
    """Whether it is a precision with the reason."""
    return (
        isinstance(choice, tuple)
        and len(choice) == 2
        and all(isinstance(text, str) for text in choice)
        and choice[0] in ("float32", "bfloat16")
    )


def is_epoch(row, number):
    """Whether a row of the history is that of an epoch: its number and phase, and finite numbers."""
    if not isinstance(row, dict) or row.get("phase") not in ("pretraining", "adversarial"):
        return False
    measured = {name: value for name, value in row.items() if name != "phase"}
    return (
        all(isinstance(name, str) for name in measured)
        and all(isinstance(value, int | float) and is_finite(value) for value in measured.values())
        and type(row.get("epoch")) is int
        and row["epoch"] == number
        and {"validation_reconstruction_loss", "validation_snr_db"} < measured.keys()
    )


def load_weights(network, weights, path):
    """Load a state dictionary out of the checkpoint at `path` into a network.

    Raises UserError unless the weights fit the network, are of its types of number and finite, and no variance is
    below zero.
    """
    try:
        for name, wanted in network.state_dict().items():
            if weights[name].dtype != wanted.dtype:
                raise TypeError(f"{name} is of type {weights[name].dtype}")
        network.load_state_dict(weights)
    except Exception as error:  # damaged ones lead torch to errors of any kind
        raise UserError(f"{path} has weights that do not fit its settings; train again") from error
    for name, values in network.state_dict().items():
        if not values.isfinite().all():
            raise UserError(f"{path} has weights that are not finite ({name}); train again")
        if name.endswith("running_var") and (values < 0).any():
            raise UserError(f"{path} has a variance below zero ({name}); train again")


if __name__ == "__main__":
    run(main)
