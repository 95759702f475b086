"""A generator as an ONNX file, for use without torch; docs/elsewhere.md has programs that use one."""

import logging
import os
import warnings
from copy import deepcopy

import torch
from torch import nn

from dan.causal import RecurrentLayer
from dan.errors import ConfigurationError, UserError
from dan.files import write_bytes
from dan.fourier_convolutions import LongConv1d, LongConvTranspose1d
from dan.spectral import PursuitGenerator

SINGLE = ("samples", "level", "heard", "spectra", "late")  # parts of a causal network's state, beside its memories


def check_onnx(path, overwrite):
    """Raise UserError unless a network may be written to `path`, and the package for it is installed."""
    if path.suffix != ".onnx":
        raise ConfigurationError(f"--export {path} is invalid; the name must end in .onnx")
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{path} exists; replace it with --overwrite, or choose another name")
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("--export needs onnxscript: pip install -r requirements-export.txt") from None


def write_onnx(generator, data, path):
    """Write a generator of `models.py` as an ONNX file; data: the DataConfig it was trained with.

    A causal network takes a hop of samples and its state, as HopNetwork says: `mixed` and `state` give `denoised`
    and `next_state`. The others take whole signals, `mixed` (1, 1, length) to `denoised`, the same shape: of any
    length if they have a context, else of the length in training. All numbers are float32. The metadata are
    `sample_rate` in Hz and, of a causal network, in samples: `hop`; `delay`, by which the output is later than the
    input; and `latency`, the two together. Raises UserError if the file cannot be written, or for a PursuitGenerator.
    """
    if isinstance(generator, PursuitGenerator):
        raise UserError(
            "--export cannot write this network: it solves systems of equations, which ONNX has no word for"
        )
    generator, metadata = deepcopy(generator).eval(), {"sample_rate": data.sample_rate}
    if hasattr(generator, "step"):
        metadata |= {name: getattr(generator, name) for name in ("hop", "delay", "latency")}
        network = HopNetwork(generator)
        inputs = {"mixed": torch.zeros(1, 1, generator.hop), "state": network.first_state}
        program = trace(network, inputs, custom_translation_table=translations_for_a_hop())
    else:
        for layer in generator.modules():
            if isinstance(layer, LongConv1d | LongConvTranspose1d):
                layer.fourier = False  # ONNX has convolutions of its own
        lengths = {"mixed": {2: "length"}} if generator.context else None
        program = trace(generator, {"mixed": torch.zeros(1, 1, data.length)}, dynamic_shapes=lengths)
    program.model.metadata_props.update((name, str(number)) for name, number in metadata.items())
    write_bytes(path, program.model_proto.SerializeToString())


class HopNetwork(nn.Module):
    """A causal network for one hop: mixed (1, 1, hop) and state (numbers,) to denoised (1, 1, hop) and the next state.

    The state is one row of real numbers; zeros are silence, the state before a signal.
    """

    def __init__(self, generator):
        super().__init__()
        self.generator = generator
        with torch.no_grad():
            _, state = generator.step(torch.zeros(1, 1, generator.hop))
        self.packed = state["packed"]
        self.shapes = [part.shape for part in parts_of(state)]
        self.sizes = [shape.numel() for shape in self.shapes]
        self.first_state = torch.zeros(sum(self.sizes))

    def forward(self, mixed, state):
        parts = (part.view(shape) for part, shape in zip(state.split(self.sizes), self.shapes, strict=True))
        whole = {name: next(parts) for name in SINGLE}
        whole["spectra"] = torch.view_as_complex(whole["spectra"])
        whole["memories"] = [next(parts) if isinstance(x, RecurrentLayer) else None for x in self.generator.blocks]
        denoised, following = self.generator.step(mixed, whole | {"packed": self.packed})
        return denoised, torch.cat([part.flatten() for part in parts_of(following)])


def parts_of(state):
    """The parts of a causal network's state that change, as a list of real tensors."""
    single = [torch.view_as_real(state[name]) if name == "spectra" else state[name] for name in SINGLE]
    return single + [memory for memory in state["memories"] if memory is not None]


def trace(network, inputs, **options):
    """The torch.onnx.ONNXProgram of a network that takes these tensors by name."""
    from onnxscript import optimizer

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            kwargs=inputs,
            input_names=list(inputs),
            output_names=["denoised", "next_state"][: len(inputs)],
            opset_version=20,
            # The exporter's own optimisation leaves out additions of numbers below 1e-8: silence would become NaN.
            optimize=False,
            dynamo=True,
            verbose=False,
            **options,
        )
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where it stands in this program, with the paths of this machine
    return program


def translations_for_a_hop():
    """Operations of torch in ONNX, shorter than the exporter has them: a hop takes two thirds of the time."""
    from onnxscript import opset20 as onnx

    def lerp(start, end, share):
        return onnx.Add(start, onnx.Mul(share, onnx.Sub(end, start)))

    return {torch.ops.aten.lerp.Tensor: lerp}
