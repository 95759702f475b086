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
from pickletools import genops, markobject
from zipfile import ZIP_STORED, ZipFile

import torch

from dan.checks import is_finite
from dan.configuration import from_dict
from dan.errors import ConfigurationError, UserError, is_lack_of_memory
from dan.files import check_regular, write_bytes

FORMAT = 3
READ_FROM_HISTORY = ("validation_reconstruction_loss", "validation_snr_db")
CONTENTS = {
    "format": int,
    "config": dict,
    "epoch": int,
    "history": list,
    "seconds": float,
    "precision": dict,
    "data": str,
    "generator": dict,
    "discriminator": dict,
    "generator_optimizer": dict,
    "discriminator_optimizer": dict,
}
DENOISES = ("format", "config", "generator")  # what it takes to denoise
MOST_PARTS = 5_000_000  # of a pickle: room for the history of 100,000 epochs
HEAVIEST = 1000  # of a pickle's tuples: those of torch.save weigh less than 100
TENSORS = (
    "collections OrderedDict",
    "torch FloatStorage",
    "torch LongStorage",
    "torch._utils _rebuild_tensor_v2",
)  # all that a pickle of state dictionaries names


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
        raise UserError(
            f"{error}; run train_gan.py with the same preset and settings first, or name another file"
        ) from None
    try:
        check_archive(path)
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # damaged bytes lead the unpickler to errors of any kind
        if is_lack_of_memory(error):
            raise
        raise UserError(f"{path} is damaged or no checkpoint; train again or restore it") from error
    version = checkpoint.get("format") if isinstance(checkpoint, dict) else None
    if isinstance(version, int) and version != FORMAT:
        raise UserError(f"{path} has format {version}, this version reads {FORMAT}; train again")
    if version is None or set(DENOISES) - checkpoint.keys():
        raise UserError(f"{path} is not a checkpoint of this project; train again")
    if of_training and CONTENTS.keys() - checkpoint.keys():
        raise UserError(f"{path} holds a generator alone, and no training; train again")
    for key, kind in CONTENTS.items():
        if key in checkpoint and not (isinstance(checkpoint[key], kind) and is_valid(key, checkpoint)):
            raise UserError(f"{path} has no valid {key}; train again or restore it")
    try:
        checkpoint["config"] = from_dict(checkpoint["config"])
    except ConfigurationError as error:
        raise UserError(f"{path}: {error}; train again") from error
    return checkpoint


def check_archive(path):
    """Raise an error unless the file is a whole zip file as torch.save writes it, for such data.

    To read it then takes time and memory in proportion to its size. And its tensors are as they
    were written: torch.load does not check their checksums.
    """
    with ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError("torch.save compresses nothing")
            if member.filename.endswith(".pkl"):
                check_pickle(archive.read(member))
        if archive.testzip():
            raise ValueError("a checksum does not fit")


def check_pickle(pickled):
    """Raise an error where a pickle names anything but tensors, or is too large or too deep.

    It is gone through with the weights of things in their place. A tuple weighs twice what is in
    it: as a key of a dictionary it would be hashed through and through, however deep it is and
    however often the same things are in it.
    """
    stack, marks, memo = [], [], {}
    for number, (code, argument, _) in enumerate(genops(pickled)):
        if number > MOST_PARTS or (code.name == "GLOBAL" and argument not in TENSORS):
            raise ValueError("no state dictionaries and plain values")
        if "GET" in code.name:
            stack.append(memo[argument])
        elif "PUT" in code.name:
            memo[argument] = stack[-1]
        elif code.name == "MARK":
            marks.append(len(stack))
        else:
            takes = code.stack_before
            first = marks.pop() - takes.index(markobject) if markobject in takes else len(stack) - len(takes)
            weight = 1 + 2 * sum(stack[first:]) if code.name.startswith("TUPLE") else 1
            if weight > HEAVIEST:
                raise ValueError("a tuple that is too deep or too long")
            stack[first:] = [weight] * len(code.stack_after)


def is_valid(key, checkpoint):
    """Whether what a checkpoint has under the key, of the right type, is what train_gan.py wrote."""
    value = checkpoint[key]
    if key == "precision":
        return is_precision(value)
    if key == "history":  # of a generator that was trained on, it has one row more, of epoch 0
        first = 0 if len(value) == checkpoint.get("epoch", 0) + 1 else 1
        return len(value) == checkpoint.get("epoch", 0) + 1 - first and all(
            isinstance(row, dict) and is_epoch(row, number) for number, row in enumerate(value, first)
        )
    if key == "seconds":
        return is_finite(value) and (value > 0 or not checkpoint.get("epoch"))
    return True


def is_precision(precision):
    """Whether it has, for both networks, a precision and the reason."""
    return precision.keys() == {"generator", "discriminator"} and all(
        isinstance(chosen, tuple)
        and len(chosen) == 2
        and isinstance(chosen[1], str)
        and chosen[0] in ("float32", "bfloat16")
        for chosen in precision.values()
    )


def is_epoch(row, number):
    """Whether a row of the history is that of an epoch: its number and phase, and finite numbers."""
    return (
        type(row.get("epoch")) is int
        and row["epoch"] == number
        and row.get("phase") in ("pretraining", "adversarial")
        and all(isinstance(row.get(name), float) for name in READ_FROM_HISTORY)
        and all(isinstance(name, str) for name in row)
        and all(isinstance(value, int | float) and is_finite(value) for name, value in row.items() if name != "phase")
    )
