"""Choosing the precision of training: bfloat16 only where it is right, and faster.

On some processors, bfloat16 convolutions of some shapes return garbage without a word, and a
training goes wrong that looks well. So nothing is taken on trust: the very networks are tried.
"""

import copy
import time

import torch
from torch.nn import functional

LARGEST_ERROR = 0.02
LEAST_SPEEDUP = 1.1
REPETITIONS = 2


def choose_precision(wanted, generator, discriminator, clean, mixed):
    """("float32" or "bfloat16", the reason) for training these networks on such signals.

    wanted: the setting `training.precision`. With `auto`, bfloat16 is taken if for each network
    its outputs and its gradients on the batch (clean, mixed), each (batch, 1, length), have a
    relative error of at most 2 % against float32, and it is at least 1.1 times faster.
    """
    if wanted != "auto":
        return wanted, "as set in training.precision"
    both = torch.cat([clean, mixed])
    labels = torch.arange(len(both), device=both.device) < len(clean)
    tasks = (generator, mixed, clean), (discriminator, both, labels.float())
    full = half = 0.0
    for network, inputs, targets in tasks:
        name = type(network).__name__
        output, gradient, seconds = probe(network, inputs, targets, "float32")
        output_half, gradient_half, seconds_half = probe(network, inputs, targets, "bfloat16")
        errors = {
            "outputs": relative_error(output_half, output),
            "gradients": relative_error(gradient_half, gradient),
        }
        for what, error in errors.items():
            if not error <= LARGEST_ERROR:
                return "float32", (f"bfloat16 is wrong here: relative error {error:.2g} in the "
                                   f"{what} of {name}")
        full, half = full + seconds, half + seconds_half
    if full < LEAST_SPEEDUP * half:
        return "float32", f"bfloat16 is no faster here: {full / half:.2f} × the speed"
    return "bfloat16", f"agrees within {LARGEST_ERROR:.0%} and has {full / half:.1f} × the speed"


def autocast(precision, device):
    """The context in which the networks compute with this precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def probe(network, inputs, targets, precision):
    """Outputs, gradients of all parameters (flat) and the least seconds of a step.

    The gradients are of the squared error to the targets, which is smooth: those of L1 jump with
    the sign of a tiny error, and would tell rounding from a fault no more.
    """
    network = copy.deepcopy(network).train()
    parameters = list(network.parameters())
    seconds = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        with autocast(precision, inputs.device):
            output = network(inputs).float()
        loss = functional.mse_loss(output, targets)
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        gradient = torch.cat([g.flatten().float() for g in gradients])
        _ = gradient.sum().item()  # waits for an accelerator
        seconds.append(time.perf_counter() - started)
    return output.detach(), gradient, min(seconds)


def relative_error(values, reference):
    """‖values − reference‖ / ‖reference‖."""
    return ((values - reference).norm() / reference.norm()).item()
