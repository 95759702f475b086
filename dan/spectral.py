"""Generators on the spectrum of whole signals: convolutions along frequency."""

import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from dan.initial_weights import initialise
from dan.pursuit import STEPS, pursue

DILATIONS = 4  # of dilated blocks: 1, 2, 4, 8, and again
MIN_SIGNAL_LEVEL = 1e-15  # that a signal is divided by
TRAINING_STEPS = 4  # of a fit: up to 22 dB they are enough, and take half the time
LARGEST_RATIO = 1.3  # of the mean power left over to its median
MIN_NOISE_POWER = 1e-10  # of that of the signal
ZERO_PADDING = 2  # of the spectra that judge fits
MARGIN = 4  # bins of a transform without padding, to either side of the band


class SpectralGenerator(nn.Module):
    """Residual convolutions on the spectrum: mixed (batch, 1, length) to denoised, the same shape.

    A zero-padded Fourier transform gives the spectrum of the whole signal; the network sees its
    real and imaginary part, the logarithm of its power, and the frequency. For each bin it gives a
    gate from 0 to 1, which multiplies the spectrum, and a complex correction, which is added to it:
    where there is little noise, the open gate lets the signal through as it is, and the correction
    only has to be small. The inverse transform gives the signal.

    In the spectrum a sine is a peak of known shape wherever it lies, so one kernel finds them all.
    With `normalise` a signal is divided by its level first, so the output is as much louder as the
    input is; without, the network can know how large a sine is. Any length in, the same length out.
    """

    context = None

    def __init__(self, channels, blocks, kernel_size, dilated, zero_padding, normalise):
        super().__init__()
        self.zero_padding, self.normalise = zero_padding, normalise
        convolution = partial(nn.Conv2d, kernel_size=(1, kernel_size), padding="same")
        self.first = convolution(4, channels)
        self.blocks = nn.ModuleList(
            SpectralBlock(channels, kernel_size, 2 ** (block % DILATIONS) if dilated else 1) for block in range(blocks)
        )
        self.last = nn.Sequential(nn.SiLU(), convolution(channels, 3))
        initialise(self)
        self.to(memory_format=torch.channels_last)  # convolutions are a sixth faster with it

    def forward(self, mixed):
        length = mixed.shape[-1]
        # Transforms stay in float32, whatever the precision of the convolutions.
        with torch.autocast(mixed.device.type, enabled=False):
            level = 1.0
            if self.normalise:
                level = mixed.float().square().mean(-1, keepdim=True).sqrt() + MIN_SIGNAL_LEVEL
            spectrum = self.transform(mixed.float() / level)
            power = spectrum.real.square() + spectrum.imag.square()
            frequency = torch.linspace(-1, 1, spectrum.shape[-1], device=mixed.device)
            features = torch.stack(
                [spectrum.real, spectrum.imag, torch.log10(power + 1e-6), frequency.expand(spectrum.shape)], dim=1
            )
        hidden = self.first(features.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            hidden = block(hidden)
        real, imaginary, gate = self.last(hidden).float().unbind(1)
        with torch.autocast(mixed.device.type, enabled=False):
            denoised = gate.sigmoid() * spectrum + torch.complex(real, imaginary)
            return level * self.inverse(denoised, length)

    def transform(self, signals):
        """(batch, 1, length) to complex (batch, 1, bins), white noise of power 1 staying so."""
        size = self.zero_padding * signals.shape[-1]
        return torch.fft.rfft(signals, size) / signals.shape[-1] ** 0.5

    def inverse(self, spectrum, length):
        """Complex (batch, 1, bins) to (batch, 1, length), undoing `transform`."""
        size = self.zero_padding * length
        return torch.fft.irfft(spectrum * length**0.5, size)[..., :length]


class SpectralBlock(nn.Module):
    """A convolution along frequency and a mean over all bins, both added to the input.

    By the mean each place knows what there is elsewhere, such as how many sines were found: so a
    peak of the noise passes less often for one. Input and output are (batch, channels, 1, bins).
    After He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks" (2016), and Cao et al.,
    "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond" (2019).
    """

    def __init__(self, channels, kernel_size, dilation):
        super().__init__()
        self.activation = nn.Sequential(nn.BatchNorm2d(channels), nn.SiLU())
        self.local = nn.Conv2d(channels, channels, (1, kernel_size), padding="same", dilation=(1, dilation))
        self.everywhere = nn.Linear(channels, channels)

    def forward(self, hidden):
        active = self.activation(hidden)
        overall = self.everywhere(active.mean((2, 3)))
        return hidden + self.local(active) + overall[:, :, None, None]


class PursuitGenerator(nn.Module):
    """A network that judges fits of sines: mixed (batch, 1, length) to denoised, the same shape.

    Matching pursuit takes a signal apart: into what each sine more explains, and what is left over. The network sees
    the spectra of these parts and of the whole, in units of the noise, and how much each sine explains. For each bin
    it gives a gate from 0 to 1 for each part, and a complex correction; denoised is the sum of the gated parts and
    the correction. Where there is little noise, all gates but those of what is left over open, and the least-squares
    fit remains; its error and the correction are in units of the noise at every level. Where there is much, the
    network weighs what may be a sine. In training some signals get fewer fits, so that it learns to denoise what no
    fit explains. Only bins in the band go through the network: the gates of the outermost hold for those outside.

    band: lowest and highest frequency over the sample rate. Any length in, the same length out; the output is as much
    louder as the input is.
    """

    context = None

    def __init__(self, channels, blocks, kernel_size, sines, band):
        super().__init__()
        self.sines, self.band = sines, band
        convolution = partial(nn.Conv2d, kernel_size=(1, kernel_size), padding="same")
        self.first = convolution(3 * sines + 6, channels)
        self.blocks = nn.ModuleList(
            SpectralBlock(channels, kernel_size, 2 ** (block % DILATIONS)) for block in range(blocks)
        )
        self.last = nn.Sequential(nn.SiLU(), convolution(channels, sines + 3))
        initialise(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, mixed):
        length = mixed.shape[-1]
        # Fits and transforms stay in float32, whatever the precision of the convolutions.
        with torch.autocast(mixed.device.type, enabled=False):
            level = mixed.float().square().mean(-1, keepdim=True).sqrt() + MIN_SIGNAL_LEVEL
            parts, noise, gain = self.take_apart((mixed.float() / level).squeeze(1))
            spectra = torch.fft.rfft(parts / noise, ZERO_PADDING * length) / length**0.5
            inside = self.bins_inside(length)
            outside = inside.start, spectra.shape[-1] - inside.stop
            features = self.features(spectra[..., inside], gain).unsqueeze(2)
        hidden = self.first(features.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            hidden = block(hidden)
        real, imaginary, *logits = self.last(hidden).float().squeeze(2).unbind(1)
        with torch.autocast(mixed.device.type, enabled=False):
            prior = functional.pad(log_odds(gain), (1, 0)).unsqueeze(-1)
            gates = functional.pad((torch.stack(logits, 1) + prior).sigmoid(), outside, mode="replicate")
            correction = functional.pad(torch.complex(real, imaginary), outside)
            denoised = (gates * spectra).sum(1) + correction
            signals = torch.fft.irfft(denoised * length**0.5, ZERO_PADDING * length)[:, None, :length]
            return level * noise * signals

    def take_apart(self, signals):
        """Parts of signals (batch, length), the level of the noise and the gain of each sine.

        The parts, (batch, 1 + sines, length), are what is left over and what each sine adds to the fit; their sum is
        the signal. The level, (batch, 1, 1), is the root of the mean power left over per free parameter, or of the
        median over the spectrum where it is far below: there, more is left over than noise. The gain, (batch, sines),
        is by how much each sine lowers the energy left over, over the noise's power.
        """
        steps = TRAINING_STEPS if self.training else STEPS
        fits = functional.pad(pursue(signals, self.sines, self.band, steps), (0, 0, 1, 0))
        if self.training:
            fits = with_fewer(fits)
        left = signals.unsqueeze(1) - fits
        energy = left.square().sum(-1)
        power = energy[:, -1:] / max(1, signals.shape[-1] - 3 * self.sines)
        spectrum = torch.view_as_real(torch.fft.rfft(left[:, -1])).square().sum(-1) / signals.shape[-1]
        median = spectrum.quantile(0.5, dim=1, keepdim=True) / math.log(2)
        power = torch.minimum(power, LARGEST_RATIO * median) + MIN_NOISE_POWER
        gain = (energy.diff(dim=1).neg() / power).clamp_min(0)
        return torch.cat([left[:, -1:], fits.diff(dim=1)], 1), power.sqrt().unsqueeze(-1), gain

    def bins_inside(self, length):
        """The slice of bins that lie in the band, or MARGIN widths of a peak from it."""
        size = ZERO_PADDING * length
        first = max(0, math.floor(self.band[0] * size) - MARGIN * ZERO_PADDING)
        return slice(first, min(size // 2, math.ceil(self.band[1] * size) + MARGIN * ZERO_PADDING) + 1)

    def features(self, spectra, gain):
        """Spectra (batch, parts, bins) and gains (batch, sines) to (batch, features, bins).

        Real and imaginary parts with the magnitude to the power of 0.3, as those of hearing, of all parts and their
        sum; the logarithm of the sum's power and of the gains; and the frequency.
        """
        spectra = torch.cat([spectra, spectra.sum(1, keepdim=True)], 1)
        power = spectra.real.square() + spectra.imag.square()
        compressed = spectra * (1 + power) ** -0.35
        shape = len(spectra), -1, spectra.shape[-1]
        frequency = torch.linspace(-1, 1, spectra.shape[-1], device=spectra.device)
        return torch.cat(
            [
                compressed.real,
                compressed.imag,
                torch.log10(power[:, -1:] + 1e-3),
                torch.log1p(gain).unsqueeze(-1).expand(shape) / 3,
                frequency.expand(len(spectra), 1, -1),
            ],
            dim=1,
        )


def with_fewer(fits):
    """Fits (batch, 1 + sines, length) of 0, 1, 2 … sines: none for the first signal, one at most for the second …"""
    numbers, most = (torch.arange(size, device=fits.device) for size in (fits.shape[1], len(fits)))
    chosen = torch.minimum(numbers, most.unsqueeze(1))
    return fits.gather(1, chosen.unsqueeze(-1).expand(fits.shape))


def log_odds(gain):
    """ln of the odds that a sine is not noise, of the energy it explains over the noise's power; at most 20, or −20.

    That of the likelihood is half the gain; a sine of three unknowns costs 1.5·ln(gain) and a constant:
    `improbability` in dan/evaluation/sine_fits.py. The network, whose logits are added, learns the rest.
    """
    return (gain / 2 - 1.5 * torch.log1p(gain) - 4).clamp(-20, 20)
