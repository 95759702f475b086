"""Trained generators: loading one out of a checkpoint, with checks, and applying it to arrays.

python -m dan.training.trained_generator checkpoints/speech/best.pt pretrained/speech.pt    # the generator alone

from dan.training.trained_generator import load_generator
generator, config = load_generator("checkpoints/dan/best.pt")
denoised = generator(mixed)                    # (batch, 1, length), float32
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from config import REPOSITORY, PathsConfig
from dan.configuration import to_dict
from dan.errors import ConfigurationError, UserError, run
from dan.training.checkpoints import read_checkpoint, write_checkpoint
from models import build_generator

PRETRAINED = REPOSITORY / "pretrained/speech.pt"  # the denoiser for speech that is shipped


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


def load_generator(path, device="cpu"):
    """The generator stored in a checkpoint, in evaluation mode, and its Config.

    Raises UserError if the file is missing, damaged or of another kind.
    """
    checkpoint = read_checkpoint(path, device, of_training=False)
    config = checkpoint["config"]
    generator = build_generator(config).to(device)
    load_weights(generator, checkpoint["generator"], path)
    return generator.eval(), config


def take_generator(generator, config, path):
    """Load the weights of the checkpoint at `path` into a generator, to train it on.

    Raises ConfigurationError where it is of another size, or for another sample rate.
    """
    trained, stored = load_generator(path)
    rates = stored.data.sample_rate, config.data.sample_rate
    if stored.generator != config.generator or rates[0] != rates[1]:
        raise ConfigurationError(
            f"{path} has another generator than this run (preset {stored.preset}, {rates[0]:,} "
            f"samples per second; here {config.preset}, {rates[1]:,}); give the preset and the "
            "generator.* that it was trained with"
        )
    generator.load_state_dict(trained.state_dict())


def load_weights(network, weights, path):
    """Load a state dictionary out of the checkpoint at `path` into a network.

    Raises UserError unless the weights fit the network, are of its types of number, finite, and
    such as a training could have left: no variance below zero, no layer of nothing but zeros.
    """
    try:
        for name, wanted in network.state_dict().items():
            if weights[name].dtype != wanted.dtype:
                raise TypeError(f"{name} is of type {weights[name].dtype}")
        network.load_state_dict(weights)
    except Exception as error:  # what is wrong in them leads torch to errors of any kind
        raise UserError(f"{path} has weights that do not fit its settings; train again") from error
    for name, values in network.state_dict().items():
        if not values.isfinite().all():
            raise UserError(f"{path} has weights that are not finite ({name}); train again")
        if name.endswith("running_var") and (values < 0).any():
            raise UserError(f"{path} has a variance below zero ({name}); train again")
        if values.ndim > 1 and not values.any():
            raise UserError(f"{path} has a layer of nothing but zeros ({name}); train again")


@torch.inference_mode()
def apply_generator(generator, mixed, batch_size=500):
    """Denoise an array (count, length) of float32 in batches; returns the same shape."""
    device = next(generator.parameters()).device
    batches = torch.from_numpy(mixed).unsqueeze(1).split(batch_size)
    return torch.cat([generator(batch.to(device)).cpu() for batch in batches]).squeeze(1).numpy()


if __name__ == "__main__":
    run(main)
