"""Choosing the precision of training, network by network: bfloat16 where it is fast and right.

On some processors, bfloat16 convolutions of some shapes return garbage without a word, and a
training goes wrong that looks well. So each network is tried first.
"""

import copy

import torch
from torch.nn import functional

LARGEST_ERROR = 0.02
LONG_KERNEL = 64  # samples; from here on the Fourier transform beats bfloat16 without AMX


def choose_precisions(state, pairs, settings):
    """{network: (precision, reason)} for both networks of a Training, each tried on a batch of (clean, mixed)."""
    clean, mixed = (signals.to(state.device) for signals in pairs)
    both = torch.cat([clean, mixed])
    if settings.adversary == "latent":
        with torch.no_grad():
            both = state.generator.eval().encode(both)
    labels = (torch.arange(len(both), device=both.device) < len(clean)).float()
    return {
        "generator": choose_precision(settings.precision, state.generator, mixed, clean),
        "discriminator": choose_precision(settings.precision, state.discriminator, both, labels),
    }


def choose_precision(wanted, network, inputs, targets):
    """("float32" or "bfloat16", the reason) for training this network on such inputs.

    wanted: the setting `training.precision`. With `auto`, bfloat16 is taken if this machine
    computes fast with it and if the network's outputs and gradients have a relative error of at
    most 2 % against float32. No time is measured, so the choice is the same in every run on one
    machine, whatever else it computes.
    """
    if wanted != "auto":
        return wanted, "as set in training.precision"
    if not is_fast(network, inputs.device):
        return "float32", "bfloat16 is not faster here"
    output, gradient = probe(network, inputs, targets, "float32")
    output_half, gradient_half = probe(network, inputs, targets, "bfloat16")
    errors = {"outputs": relative_error(output_half, output), "gradients": relative_error(gradient_half, gradient)}
    for what, error in errors.items():
        if not error <= LARGEST_ERROR:  # NaN, too
            return "float32", f"safer: in bfloat16 the {what} are off by {error:.0%}"
    return "bfloat16", f"faster here, off by {max(errors.values()):.1%}"


def is_fast(network, device):
    """Whether the processor computes this network faster in bfloat16 than in float32.

    Measured on two cores: with AMX every network is (1.4 to 2 ×). With AVX-512-BF16 alone those
    without long Fourier convolutions are (1.2 to 1.4 ×): with kernels of 64 samples these are
    faster still in float32, with the discriminator's 32 slower (5.6 against 4.3 ms).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("amx_bf16"):
        return True
    has_long = any(
        getattr(module, "fourier", False) and module.kernel_size[0] >= LONG_KERNEL for module in network.modules()
    )
    return bool(capabilities.get("avx512_bf16")) and not has_long


def autocast(precision, device):
    """The context in which a network computes with this precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def probe(network, inputs, targets, precision):
    """Outputs, and gradients of all parameters (flat).

    The gradients are of the squared error to the targets, which is smooth: those of L1 jump with
    the sign of a tiny error, so that rounding would look like a fault.
    """
    network = copy.deepcopy(network).train()
    with autocast(precision, inputs.device):
        output = network(inputs).float()
    gradients = torch.autograd.grad(
        functional.mse_loss(output, targets), list(network.parameters()), materialize_grads=True
    )
    return output.detach(), torch.cat([g.flatten().float() for g in gradients])


def relative_error(values, reference):
    """‖values − reference‖ / ‖reference‖."""
    return ((values - reference).norm() / reference.norm()).item()
