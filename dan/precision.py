"""Choosing the precision of training, network by network: bfloat16 where it is fast and right.

On some processors, bfloat16 convolutions of some shapes return garbage without a word, and a
training goes wrong that looks well. So nothing is taken on trust: each network is tried.
"""

import copy
import os
import time

import torch
from torch.nn import functional

LARGEST_ERROR = 0.02
REPETITIONS = 2


def choose_precision(wanted, network, inputs, targets):
    """("float32" or "bfloat16", the reason) for training this network on such inputs.

    wanted: the setting `training.precision`. With `auto`, bfloat16 is taken if this machine
    computes fast with it and if the network's outputs and gradients have a relative error of at
    most 2 % against float32. The time is measured for the reason alone: what is chosen is the same
    in every run on one machine.
    """
    if wanted != "auto":
        return wanted, "as set in training.precision"
    if not is_fast(network, inputs.device):
        return "float32", "bfloat16 is not faster here"
    output, gradient, seconds = probe(network, inputs, targets, "float32")
    output_half, gradient_half, seconds_half = probe(network, inputs, targets, "bfloat16")
    errors = {"outputs": relative_error(output_half, output),
              "gradients": relative_error(gradient_half, gradient)}
    for what, error in errors.items():
        if not error <= LARGEST_ERROR:  # NaN, too
            return "float32", f"safer: in bfloat16 the {what} are off by {error:.0%}"
    return "bfloat16", f"{seconds / seconds_half:.1f} × as fast, off by {max(errors.values()):.1%}"


def is_fast(network, device):
    """Whether the processor computes this network faster in bfloat16 than in float32.

    Measured on two cores: with AMX every network is (1.4 to 2 ×). With AVX-512-BF16 alone only one
    without Fourier convolutions is (1.2 to 1.4 ×), since those are faster still in float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    # oneDNN, which does the convolutions, can be told to leave out the newer instructions.
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    allowed = limit in ("ALL", "DEFAULT")
    if capabilities.get("amx_bf16") and (allowed or "AMX" in limit):
        return True
    uses_fourier = any(getattr(module, "fourier", False) for module in network.modules())
    return bool(capabilities.get("avx512_bf16") and not uses_fourier
                and (allowed or "AMX" in limit or "BF16" in limit))


def autocast(precision, device):
    """The context in which a network computes with this precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def probe(network, inputs, targets, precision):
    """Outputs, gradients of all parameters (flat) and the least seconds of a training step.

    The gradients are of the squared error to the targets, which is smooth: those of L1 jump with
    the sign of a tiny error, so that rounding would look like a fault.
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
