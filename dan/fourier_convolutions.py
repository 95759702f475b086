"""Convolutions with long kernels through the Fourier transform: the layers of torch, faster.

`LongConv1d` and `LongConvTranspose1d` have the parameters and the results (to rounding) of
`torch.nn`'s layers. On a CPU in float32 they multiply spectra instead of sliding kernels: with a
kernel of 64 samples that is an order of magnitude fewer multiplications. A stride of 2 is taken
apart into two interleaved signals of half the length (polyphase). The signals are so short that a
Fourier transform is fastest as one product with its matrix.
"""

import math
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional

# The matrices of the transforms grow with the square of the length; beyond this, torch's own
# convolution is as fast and takes less memory.
LONGEST = 1024


class LongConv1d(nn.Conv1d):
    """(batch, in, length) to (batch, out, length / stride), padded with zeros; stride 1 or 2.

    fourier: whether to take the way through the spectrum where it pays off.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, fourier=True):
        super().__init__(in_channels, out_channels, kernel_size, stride)
        self.fourier = fourier

    def forward(self, signals):
        size, stride = self.kernel_size[0], self.stride[0]
        before = (size - 1) // 2  # an even kernel has one more sample of padding behind
        if not (self.fourier and pays_off(signals)) or signals.shape[-1] % stride:
            return super().forward(functional.pad(signals, (before, size // 2)))
        weight = self.weight
        if stride == 2:
            # The first tap lies `before` samples to the left; a zero tap makes that even.
            signals = split_phases(signals)
            weight = split_phases(functional.pad(weight, (before % 2, (size + before) % 2)))
            before = (before + 1) // 2
        return correlate(signals, weight, before) + self.bias[:, None]


class LongConvTranspose1d(nn.ConvTranspose1d):
    """(batch, in, length) to (batch, out, 2 · length): the transpose of LongConv1d of stride 2."""

    def __init__(self, in_channels, out_channels, kernel_size, fourier=True):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=2,
            padding=(kernel_size - 1) // 2,
            output_padding=kernel_size % 2,
        )
        self.fourier = fourier

    def forward(self, signals):
        if not (self.fourier and pays_off(signals)):
            return super().forward(signals)
        size, before = self.kernel_size[0], self.padding[0]
        weight = functional.pad(self.weight, (before % 2, (size + before) % 2))
        # Two kernels, one for the even and one for the odd output samples; turned round, since a
        # transposed correlation is a convolution: (in, out, taps) to (out · 2, in, taps / 2).
        weight = weight.unflatten(-1, (-1, 2)).flip(2).permute(1, 3, 0, 2).flatten(0, 1)
        phases = correlate(signals, weight, weight.shape[-1] - 1 - (before + 1) // 2)
        interleaved = phases.unflatten(1, (-1, 2)).transpose(2, 3).flatten(2)
        return interleaved + self.bias[:, None]


def pays_off(signals):
    """Whether the Fourier transform is the faster way for these signals."""
    return signals.device.type == "cpu" and signals.shape[-1] <= LONGEST and not torch.is_autocast_enabled("cpu")


def split_phases(signals):
    """Even and odd samples as channels: (batch, channels, 2n) to (batch, channels · 2, n)."""
    return signals.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(1, 2)


def correlate(signals, kernels, before):
    """y[m] = Σₖ kernel[k] · x[m + k − before], summed over input channels, zeros beyond the ends.

    signals (batch, in, length), kernels (out, in, taps) -> (batch, out, length). The correlation
    theorem on spectra of real signals, with enough zeros that nothing wraps into the result:
    Oppenheim, Schafer, "Discrete-Time Signal Processing" (2010), section 8.7.
    """
    batch, channels, length = signals.shape
    outputs, _, taps = kernels.shape
    size = length + max(before, taps - 1 - before, 0)
    size += size % 2
    analysis = fourier_matrix(size, 0, length)
    spectrum = analysis @ signals.reshape(batch * channels, length).T
    response = fourier_matrix(size, before - taps + 1, taps) @ kernels.reshape(-1, taps).flip(1).T
    real, imaginary = spectrum.view(2, -1, batch, channels)
    kernel_real, kernel_imaginary = response.view(2, -1, outputs, channels).transpose(-1, -2)
    product = torch.stack(
        [
            torch.baddbmm(real @ kernel_real, imaginary, kernel_imaginary, alpha=-1),
            torch.baddbmm(real @ kernel_imaginary, imaginary, kernel_real),
        ]
    )
    synthesis = inverse_fourier_matrix(size, length)
    return (product.view(-1, batch * outputs).T @ synthesis).view(batch, outputs, length)


@lru_cache(128)
@torch.inference_mode(False)  # a matrix that is first made in inference serves training later
def fourier_matrix(size, first, count):
    """Real parts above imaginary parts of the transform of samples first … first + count − 1.

    Of shape (2 · bins, count) for a transform of `size` samples and size // 2 + 1 bins.
    """
    bins = torch.arange(size // 2 + 1, dtype=torch.float64)
    samples = torch.arange(first, first + count, dtype=torch.float64)
    angle = 2 * math.pi / size * torch.outer(bins, samples)
    return torch.cat([angle.cos(), -angle.sin()]).float()


@lru_cache(128)
@torch.inference_mode(False)
def inverse_fourier_matrix(size, count):
    """The inverse transform to the first `count` samples, (2 · bins, count); `size` is even."""
    # Every bin stands for two, itself and its conjugate, but for the first and the last.
    weight = torch.full((size // 2 + 1, 1), 2 / size)
    weight[0] = weight[-1] = 1 / size
    return weight.repeat(2, 1) * fourier_matrix(size, 0, count)
