"""The convolutions through the Fourier transform against torch's own in float64."""

import pytest
import torch
from conftest import described
from torch import nn
from torch.nn import functional

from dan.fourier_convolutions import LONGEST, LongConv1d, LongConvTranspose1d
from models import build_discriminator, build_generator

LENGTHS = [2, 6, 16, 100, 128, 256]


def reference(layer, signals):
    """The output of torch's layer, in float64."""
    weight, bias = layer.weight.double(), layer.bias.double()
    if isinstance(layer, nn.ConvTranspose1d):
        return functional.conv_transpose1d(
            signals.double(), weight, bias, stride=2, padding=layer.padding, output_padding=layer.output_padding
        )
    size = layer.kernel_size[0]
    padded = functional.pad(signals.double(), ((size - 1) // 2, size // 2))
    return functional.conv1d(padded, weight, bias, stride=layer.stride)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kernel_size", [2, 3, 5, 31, 32, 63, 64])
def test_results_are_those_of_torch(kernel_size, length):
    torch.manual_seed(0)
    signals = torch.randn(2, 3, length)
    for layer in (
        LongConv1d(3, 4, kernel_size, 1),
        LongConv1d(3, 4, kernel_size, 2),
        LongConvTranspose1d(3, 4, kernel_size),
    ):
        expected = reference(layer, signals)
        torch.testing.assert_close(layer(signals).double(), expected, atol=1e-5, rtol=1e-5)
        layer.fourier = False
        torch.testing.assert_close(layer(signals).double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [LongConv1d(3, 4, 64, 2), LongConv1d(3, 4, 64, 1), LongConvTranspose1d(3, 4, 64)])
def test_gradients_are_those_of_torch(layer):
    torch.manual_seed(0)
    signals = torch.randn(2, 3, 64, requires_grad=True)
    inputs = (signals, layer.weight, layer.bias)
    output = layer(signals)
    direction = torch.randn_like(output)
    gradients = torch.autograd.grad(output, inputs, direction)
    expected = torch.autograd.grad(reference(layer, signals), inputs, direction.double())
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("preset", ["dan", "dan-small"])
@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_both_ways_share_weights_and_results(build, preset):
    torch.manual_seed(0)
    off = [f"{section}.fourier=false" for section in ("generator", "discriminator")]
    fast, plain = build(described(preset)).eval(), build(described(preset, *off)).eval()
    plain.load_state_dict(fast.state_dict())
    signals = torch.randn(4, 1, 256)
    torch.testing.assert_close(fast(signals), plain(signals), atol=2e-5, rtol=1e-4)


def test_a_long_signal_goes_torchs_way():
    layer = LongConv1d(1, 2, 64)
    signals = torch.randn(1, 1, 4 * LONGEST)
    assert torch.equal(layer(signals), nn.Conv1d.forward(layer, functional.pad(signals, (31, 32))))


def test_what_was_used_in_inference_can_train_afterwards():
    layer, signals = LongConv1d(1, 2, 62, 2), torch.randn(1, 1, 74)
    with torch.inference_mode():
        layer(signals)
    layer(signals.requires_grad_()).sum().backward()
    assert signals.grad.isfinite().all()
