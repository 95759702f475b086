"""The losses of the adversarial game, small pure functions of signals and logits."""

import torch
from torch.nn import functional


def reconstruction_loss(denoised, clean):
    """Mean absolute error (L1) of signals (batch, 1, length)."""
    return functional.l1_loss(denoised, clean)


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
