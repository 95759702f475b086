"""Fits of sines to mixed signals in torch, one sine more at a time, for a network to judge."""

import math

import torch
from torch.nn import functional

STEPS = 8  # Gauss–Newton steps after each new sine
OVERSAMPLING = 4  # of the periodogram
RIDGE = 1e-5  # of a row's energy, so that sines that coincide are not singular in float32
DAMPING = 0.02  # likewise of a shift in frequency; without it shifts overshoot at high SNRs


@torch.no_grad()
def pursue(mixed, sines, band, steps=STEPS):
    """Least-squares fits of 1, 2 … `sines` sines to signals (batch, length): (batch, sines, length), float32.

    band: the lowest and the highest frequency, over the sample rate. The sines may have any amplitude and phase. The
    highest peak of the residual's zero-padded periodogram is a new sine; then damped Gauss–Newton steps, on
    frequencies and amplitudes of all sines together, refine them. Mamandipoor, Ramasamy, Madhow, "Newtonized
    orthogonal matching pursuit" (2016); dan/evaluation/sine_fits.py has it with a rule of when to end.
    Signals of fewer than 3·(sines + 1) samples get fewer sines, and the last fit again. No gradient passes.
    """
    length = mixed.shape[-1]
    time = 2 * math.pi * (torch.arange(length, device=mixed.device) - (length - 1) / 2)
    size = OVERSAMPLING * length
    lowest = math.ceil(band[0] * size)
    highest = max(lowest, math.floor(band[1] * size))
    frequency, amplitudes = mixed.new_zeros(len(mixed), 0), mixed.new_zeros(len(mixed), 0, 2)
    fits = [torch.zeros_like(mixed)]
    for _ in range(min(sines, max(0, length // 3 - 1))):
        spectrum = torch.fft.rfft(mixed - fits[-1], size)[:, lowest : highest + 1]
        peak = lowest + torch.view_as_real(spectrum).square().sum(-1).argmax(1, keepdim=True)
        frequency = torch.cat([frequency, peak / size], 1)
        amplitudes = functional.pad(amplitudes, (0, 0, 0, 1))
        for _ in range(steps):
            cosine, sine = waves(frequency, time)
            a, b = amplitudes.split(1, 2)
            weights = solve(torch.cat([cosine, sine, time * (b * cosine - a * sine)], 1), mixed, shifts=len(a[0]))
            a, b, step = weights.chunk(3, 1)
            amplitudes = torch.cat([a, b], 2)
            frequency = (frequency + step[..., 0].clamp(-0.5 / length, 0.5 / length)).clamp(*band)
        basis = torch.cat(waves(frequency, time), 1)
        weights = solve(basis, mixed)
        amplitudes = torch.cat(weights.chunk(2, 1), 2)
        fits.append((weights.mT @ basis)[:, 0])
    fits += fits[-1:] * (sines + 1 - len(fits))
    return torch.stack(fits[1:], 1)


def waves(frequency, time):
    """Cosines and sines of frequencies (batch, sines), each (batch, sines, length)."""
    angle = frequency.unsqueeze(-1) * time
    return angle.cos(), angle.sin()


def solve(basis, mixed, shifts=0):
    """Least-squares weights (batch, rows, 1) of the rows of basis (batch, rows, length); the last `shifts` are damped.

    By the normal equations; a row of zeros gets a weight of zero.
    """
    gram = basis @ basis.mT
    diagonal = gram.diagonal(dim1=1, dim2=2)
    diagonal.mul_(1 + RIDGE).add_(1e-6 * mixed.shape[-1])
    diagonal[:, len(diagonal[0]) - shifts :].mul_(1 + DAMPING)
    factor, _ = torch.linalg.cholesky_ex(gram)
    return torch.cholesky_solve(basis @ mixed.unsqueeze(-1), factor)
