"""The losses of the adversarial game, small pure functions of signals, logits and activations."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional

SPECTRUM_FRAME = 512  # samples


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


def snr_spectrum_loss(denoised, clean, mixed=None):
    """Error energy over clean energy in decades, plus the distance of the compressed spectra.

    Signals (batch, 1, length). Both parts stay the same when both signals get louder. The first
    is the negative output SNR in bels, averaged over the signals, and hardly rewards more than
    40 dB; the second, the mean squared difference of short-time magnitudes to the power of 0.3,
    weighs what is quiet nearly as much as what is loud, as hearing does: Wilson et al.,
    "Exploring tradeoffs in models for low-latency speech enhancement" (2018).
    """
    level = clean.square().mean(-1, keepdim=True).clamp_min(1e-20).sqrt()
    denoised, clean = denoised / level, clean / level
    error = (denoised - clean).square().mean(-1)
    distance = compressed_spectrum(denoised) - compressed_spectrum(clean)
    return torch.log10(error + 1e-4).mean() + distance.square().mean()


def compressed_spectrum(signals):
    """Short-time magnitudes to the power of 0.3 of signals (batch, 1, length) of unit power."""
    size = min(SPECTRUM_FRAME, signals.shape[-1])
    window = torch.hann_window(size, device=signals.device)
    spectrum = torch.stft(signals.squeeze(1), size, max(1, size // 4), window=window,
                          center=False, return_complex=True) / size**0.5
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


# What `training.reconstruction_loss` chooses from: functions of denoised, clean and mixed.
RECONSTRUCTION_LOSSES = {
    "L1": l1_loss, "L2": l2_loss, "log-cosh": log_cosh_loss, "improvement": improvement_loss,
    "SNR+spectrum": snr_spectrum_loss,
}


def feature_loss(denoised_activations, clean_activations):
    """Mean absolute distance of a network's activations, averaged over its layers.

    Two lists of one tensor a layer. The deep feature loss of Germain, Chen, Koltun, "Speech
    Denoising with Deep Feature Losses" (2018), with equal weights: normalised in batches, the
    activations of all layers are of one size.
    """
    distances = [functional.l1_loss(denoised, clean)
                 for denoised, clean in zip(denoised_activations, clean_activations, strict=True)]
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
    return functional.binary_cross_entropy_with_logits(
        denoised_logits, torch.ones_like(denoised_logits)
    )


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
    """What clean lacks to 1 and denoised to −1, averaged over both: Lim, Ye, "Geometric GAN" (2017)
    """
    return (functional.relu(1 - clean_logits).mean()
            + functional.relu(1 + denoised_logits).mean()) / 2


def hinge_generator_loss(denoised_logits):
    """Minus the mean logit of denoised signals."""
    return -denoised_logits.mean()


# What `training.gan_loss` chooses from.
GAN_LOSSES = {
    "bce": GanLoss(bce_discriminator_loss, bce_generator_loss),
    "least-squares": GanLoss(least_squares_discriminator_loss, least_squares_generator_loss),
    "hinge": GanLoss(hinge_discriminator_loss, hinge_generator_loss),
}
