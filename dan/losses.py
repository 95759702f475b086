"""The losses of the adversarial game, small pure functions of signals, logits and activations."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional

SPECTRUM_FRAME = 512  # samples
SPEECH_FRAMES = 1024, 512, 256  # samples
MISSING_WEIGHT = 3  # more, for what was taken away from speech


def l1_loss(denoised, clean, mixed=None):
    """Mean absolute error of signals (batch, 1, length)."""
    return functional.l1_loss(denoised, clean)


def l2_loss(denoised, clean, mixed=None):
    """Mean squared error of signals (batch, 1, length); the conditional mean has the least."""
    return functional.mse_loss(denoised, clean)


def log_cosh_loss(denoised, clean, mixed=None):
    """Mean of log cosh of the error: half its square where it is small, else nearly its size.

    Signals (batch, 1, length). log cosh x = |x| + log(1 + (e^(−2|x|) − 1) / 2) neither overflows
    nor loses small errors to rounding.
    """
    error = (denoised - clean).abs()
    return (error + torch.log1p(torch.expm1(-2 * error) / 2)).mean()


def snr_spectrum_loss(denoised, clean, mixed):
    """Error energy over clean energy in decades, plus the distance of the compressed spectra.

    Signals (batch, 1, length). Both parts stay the same when both signals get louder. The first
    is the negative output SNR in bels, averaged over the signals, and hardly rewards more than
    40 dB; the second is the mean squared difference of short-time magnitudes to the power of 0.3,
    in which quiet parts weigh nearly as much as loud ones, as in hearing: Wilson et al.,
    "Exploring tradeoffs in models for low-latency speech enhancement" (2018).
    """
    denoised, clean = levelled(denoised, clean, mixed)
    error = (denoised - clean).square().mean(-1)
    distance = compressed_spectrum(denoised) - compressed_spectrum(clean)
    return torch.log10(error + 1e-4).mean() + distance.square().mean()


def speech_loss(denoised, clean, mixed):
    """Output SNR, and compressed complex spectra in which what is missing counts more than what is left over.

    Signals (batch, 1, length); the same at every level. To half the negative output SNR in bels come,
    five times, the mean squared differences of short-time magnitudes to the power of 0.3, four times where speech was
    taken away, and of the complex spectra with those magnitudes, at three lengths of frames. After Braun, Tashev,
    "A consolidated view of loss functions for supervised deep learning-based speech enhancement" (2021), and Wang et
    al., "VoiceFilter-Lite" (2020), for the asymmetry.
    """
    denoised, clean = levelled(denoised, clean, mixed)
    error, distance = (denoised - clean).square().mean(-1), 0
    for size in SPEECH_FRAMES:
        (spectrum, magnitude), (clean_spectrum, clean_magnitude) = (
            compressed_complex_spectrum(signals, size) for signals in (denoised, clean)
        )
        missing = clean_magnitude - magnitude
        distance = distance + missing.square().mean() + MISSING_WEIGHT * functional.relu(missing).square().mean()
        distance = distance + (spectrum - clean_spectrum).square().mean()
    return 0.5 * torch.log10(error + 1e-3).mean() + 5 * distance / len(SPEECH_FRAMES)


def compressed_complex_spectrum(signals, size):
    """(real and imaginary part, magnitude) of short-time spectra, magnitudes to the power of 0.3.

    Of signals (batch, 1, length) of unit power, in frames of at most `size` samples.
    """
    size = min(size, signals.shape[-1])
    window = torch.hann_window(size, device=signals.device)
    spectrum = torch.view_as_real(
        torch.stft(signals.squeeze(1), size, max(1, size // 2), window=window, center=False, return_complex=True)
        / size**0.5
    )
    power = spectrum.square().sum(-1) + 1e-6
    scale = power**-0.35
    return spectrum * scale.unsqueeze(-1), scale * power.sqrt()


def levelled(denoised, clean, mixed):
    """Denoised and clean over the root of the clean power plus a hundredth of the mixed one.

    For mixtures this is nearly the clean level. Where there is noise alone it is a tenth of the noise, so that the
    loss rewards silence.
    """
    clean_power = clean.square().mean(-1, keepdim=True)
    mixed_power = mixed.square().mean(-1, keepdim=True)
    level = (clean_power + 0.01 * mixed_power + 1e-20).sqrt()
    return denoised / level, clean / level


def compressed_spectrum(signals):
    """Short-time magnitudes to the power of 0.3 of signals (batch, 1, length) of unit power."""
    size = min(SPECTRUM_FRAME, signals.shape[-1])
    window, hop = torch.hann_window(size, device=signals.device), max(1, size // 4)
    spectrum = torch.stft(signals.squeeze(1), size, hop, window=window, center=False, return_complex=True) / size**0.5
    power = spectrum.real.square() + spectrum.imag.square()
    return (power + 1e-6) ** 0.15


def improvement_loss(denoised, clean, mixed):
    """Error energy over noise energy r, in decades and plainly: log10(r + 0.001) + 3·r.

    Signals (batch, 1, length); the mean over them. In decades it is the negative SNR improvement in
    bels, which counts signals of all input SNRs alike; plainly it makes the few signals count that
    are denoised badly, as they do in a ratio of total energies. (With the first part alone the
    worst of 15 families of sines was 0.7 dB farther from the bound.)
    """
    error, noise = ((x - clean).square().mean(-1) for x in (denoised, mixed))
    ratio = error / noise.clamp_min(1e-20)
    return torch.log10(ratio + 1e-3).mean() + 3 * ratio.mean()


# The choices of `training.reconstruction_loss`: functions of denoised, clean and mixed.
RECONSTRUCTION_LOSSES = {
    "L1": l1_loss,
    "L2": l2_loss,
    "log-cosh": log_cosh_loss,
    "improvement": improvement_loss,
    "SNR+spectrum": snr_spectrum_loss,
    "speech": speech_loss,
}


def feature_loss(denoised_activations, clean_activations):
    """Mean absolute distance of a network's activations, averaged over its layers.

    Two lists of one tensor a layer. The deep feature loss of Germain, Chen, Koltun, "Speech
    Denoising with Deep Feature Losses" (2018), with equal weights: normalised in batches, the
    activations of all layers are of one size.
    """
    distances = [
        functional.l1_loss(denoised, clean)
        for denoised, clean in zip(denoised_activations, clean_activations, strict=True)
    ]
    return sum(distances) / len(distances)


class GanLoss(NamedTuple):
    """The two sides of an adversarial game; both are taken of logits (batch,), clean positive."""

    discriminator: Callable  # of clean_logits and denoised_logits
    generator: Callable  # of denoised_logits


def bce_discriminator_loss(clean_logits, denoised_logits):
    """Binary cross-entropy of clean against denoised, averaged over both."""
    logits = torch.cat([clean_logits, denoised_logits])
    labels = torch.cat([torch.ones_like(clean_logits), torch.zeros_like(denoised_logits)])
    return functional.binary_cross_entropy_with_logits(logits, labels)


def bce_generator_loss(denoised_logits):
    """Binary cross-entropy of denoised signals against the label "clean".

    The non-saturating loss of Goodfellow et al., "Generative Adversarial Networks" (2014):
    minimise −log D instead of log(1 − D), which has no gradient while the discriminator wins.
    """
    return functional.binary_cross_entropy_with_logits(denoised_logits, torch.ones_like(denoised_logits))


def least_squares_discriminator_loss(clean_logits, denoised_logits):
    """Squared distance to 1 for clean and to −1 for denoised, averaged over both.

    Mao et al., "Least Squares Generative Adversarial Networks" (2017), with labels such that 0
    lies between the kinds, as with the other losses.
    """
    return ((clean_logits - 1).square().mean() + (denoised_logits + 1).square().mean()) / 2


def least_squares_generator_loss(denoised_logits):
    """Squared distance of denoised signals to 1, the label of clean ones."""
    return (denoised_logits - 1).square().mean()


def hinge_discriminator_loss(clean_logits, denoised_logits):
    """Shortfall of clean logits below 1 and of denoised ones above −1, averaged: Lim, Ye, "Geometric GAN" (2017)."""
    return (functional.relu(1 - clean_logits).mean() + functional.relu(1 + denoised_logits).mean()) / 2


def hinge_generator_loss(denoised_logits):
    """Minus the mean logit of denoised signals."""
    return -denoised_logits.mean()


# The choices of `training.gan_loss`.
GAN_LOSSES = {
    "bce": GanLoss(bce_discriminator_loss, bce_generator_loss),
    "least-squares": GanLoss(least_squares_discriminator_loss, least_squares_generator_loss),
    "hinge": GanLoss(hinge_discriminator_loss, hinge_generator_loss),
}
