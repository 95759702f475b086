"""The losses of the adversarial game, small pure functions of signals and logits."""

import torch
from torch.nn import functional

SPECTRUM_FRAME = 512  # samples


def l1_loss(denoised, clean, mixed=None):
    """Mean absolute error of signals (batch, 1, length)."""
    return functional.l1_loss(denoised, clean)


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
    "L1": l1_loss, "improvement": improvement_loss, "SNR+spectrum": snr_spectrum_loss,
}


def adversarial_loss(denoised_logits):
    """Binary cross-entropy of denoised signals against the label "clean".

    The non-saturating loss of Goodfellow et al., "Generative Adversarial Networks" (2014):
    minimise −log D instead of log(1 − D), which has no gradient while the discriminator wins.
    """
    return functional.binary_cross_entropy_with_logits(
        denoised_logits, torch.ones_like(denoised_logits)
    )


def discriminator_loss(clean_logits, denoised_logits):
    """Binary cross-entropy of clean against denoised, averaged over both."""
    logits = torch.cat([clean_logits, denoised_logits])
    labels = torch.cat([torch.ones_like(clean_logits), torch.zeros_like(denoised_logits)])
    return functional.binary_cross_entropy_with_logits(logits, labels)
