"""The losses against values computed by hand and, where it has them, PyTorch's own."""

import numpy as np
import pytest
import scipy
import torch
from torch.nn import functional

from dan.losses import GAN_LOSSES, RECONSTRUCTION_LOSSES, feature_loss

CLEAN_LOGITS = torch.tensor([-1.5, 0.5, 3.0], dtype=torch.float64)
DENOISED_LOGITS = torch.tensor([-2.0, -0.5, 1.0], dtype=torch.float64)


def both_sides(name):
    loss = GAN_LOSSES[name]
    return (loss.discriminator(CLEAN_LOGITS, DENOISED_LOGITS).item(), loss.generator(DENOISED_LOGITS).item())


@pytest.mark.parametrize("name", [*RECONSTRUCTION_LOSSES, *GAN_LOSSES])
def test_no_loss_waits_for_the_accelerator(name):
    """On a device that has shapes and no numbers, a look at a number raises an error."""
    nowhere = torch.device("meta")
    if name in GAN_LOSSES:
        loss, logits = GAN_LOSSES[name], torch.zeros(2, 4, device=nowhere)
        found = loss.discriminator(*logits), loss.generator(logits[0])
    else:
        found = [RECONSTRUCTION_LOSSES[name](*torch.zeros(3, 4, 1, 4000, device=nowhere))]
    assert all(value.shape == () and value.device == nowhere for value in found)


def test_binary_cross_entropy():
    clean, denoised = torch.sigmoid(CLEAN_LOGITS), torch.sigmoid(DENOISED_LOGITS)
    entropy = functional.binary_cross_entropy
    discriminator, generator = both_sides("bce")
    assert discriminator == pytest.approx(
        (entropy(clean, torch.ones_like(clean)) + entropy(denoised, torch.zeros_like(clean))) / 2
    )
    assert generator == pytest.approx(entropy(denoised, torch.ones_like(denoised)).item())


def test_least_squares():
    """(2.5² + 0.5² + 2² and 1² + 0.5² + 2²) / 6; and (3² + 1.5² + 0²) / 3."""
    assert both_sides("least-squares") == pytest.approx((15.75 / 6, 11.25 / 3))


def test_hinge():
    """(2.5 + 0.5 + 0 and 0 + 0.5 + 2) / 6; minus the mean of −2, −0.5 and 1."""
    assert both_sides("hinge") == pytest.approx((5.5 / 6, 0.5))


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_a_gan_loss_pulls_both_networks_the_right_way(name):
    """Near the border the discriminator wants clean up and denoised down; the generator, up."""
    clean, denoised = (torch.zeros(2, requires_grad=True) for _ in range(2))
    GAN_LOSSES[name].discriminator(clean, denoised).backward()
    assert (clean.grad < 0).all() and (denoised.grad > 0).all()
    wanted = torch.zeros(2, requires_grad=True)
    GAN_LOSSES[name].generator(wanted).backward()
    assert (wanted.grad < 0).all()


def test_reconstruction_losses():
    clean = torch.tensor([[[0.0, 1.0, -1.0, 2.0]]], dtype=torch.float64)
    denoised = clean + torch.tensor([[[0.5, -1.0, 0.0, 3.0]]])
    error = (denoised - clean).numpy()
    wanted = {"L1": np.abs(error).mean(), "L2": (error**2).mean(), "log-cosh": np.log(np.cosh(error)).mean()}
    for name, value in wanted.items():
        measured = RECONSTRUCTION_LOSSES[name](denoised, clean, clean)
        assert measured.item() == pytest.approx(value), name


@pytest.mark.parametrize(("error", "wanted"), [(2e4, 2e4), (1e-4, 5e-9)])
def test_log_cosh_holds_for_large_and_for_small_errors(error, wanted):
    signals = torch.full((1, 1, 2), error), torch.zeros(1, 1, 2)
    assert RECONSTRUCTION_LOSSES["log-cosh"](*signals).item() == pytest.approx(wanted, rel=0.01)


def test_the_feature_loss_weighs_all_layers_alike():
    """1 on average in a layer of four values, 3 in one of two."""
    clean = [torch.zeros(1, 2, 2), torch.zeros(1, 1, 2)]
    denoised = [torch.tensor([[[1.0, -1.0], [2.0, 0.0]]]), torch.tensor([[[-3.0, 3.0]]])]
    assert feature_loss(denoised, clean).item() == 2


def test_the_speech_loss_is_its_formula():
    rng = np.random.default_rng(0)
    clean = np.sin(np.arange(4000) / 7)
    denoised, mixed = (clean + scale * rng.normal(size=4000) for scale in (0.1, 0.5))
    level = np.sqrt((clean**2).mean() + 0.01 * (mixed**2).mean())
    expected = 0.5 * np.log10(((denoised - clean) ** 2).mean() / level**2 + 1e-3)
    for size in (1024, 512, 256):
        spectra = []
        for x in (denoised / level, clean / level):
            window = scipy.signal.windows.hann(size, sym=False)
            frames = [x[at : at + size] * window for at in range(0, 4000 - size + 1, size // 2)]
            spectra.append(np.fft.rfft(frames) / size**0.5)
        magnitudes = [(np.abs(x) ** 2 + 1e-6) ** 0.15 for x in spectra]
        compressed = [x * (np.abs(x) ** 2 + 1e-6) ** -0.35 for x in spectra]
        missing = magnitudes[1] - magnitudes[0]
        distance = (missing**2).mean() + 3 * (np.maximum(missing, 0) ** 2).mean()
        # Real and imaginary parts are means of their own.
        expected += 5 / 3 * (distance + (np.abs(compressed[0] - compressed[1]) ** 2).mean() / 2)
    denoised, clean, mixed = (torch.from_numpy(x).float().view(1, 1, -1) for x in (denoised, clean, mixed))
    assert RECONSTRUCTION_LOSSES["speech"](denoised, clean, mixed).item() == pytest.approx(expected, rel=1e-4)


def test_the_speech_loss_weighs_what_is_missing_more():
    clean = torch.randn(2, 1, 4000)
    mixed = clean + torch.randn(2, 1, 4000)
    loss = RECONSTRUCTION_LOSSES["speech"]
    assert loss(0.8 * clean, clean, mixed) > loss(1.2 * clean, clean, mixed)


def test_the_speech_loss_wants_silence_where_there_is_no_speech():
    noise = torch.randn(2, 1, 16_000, generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros_like(noise)
    losses = [RECONSTRUCTION_LOSSES["speech"](gain * noise, nothing, noise).item() for gain in (1, 0.1, 0.01)]
    assert losses[0] > losses[1] + 1 > losses[2] + 1.5
    for level in (1e-3, 1e3):  # the same at every level
        same = RECONSTRUCTION_LOSSES["speech"](0.1 * level * noise, nothing, level * noise)
        assert same.item() == pytest.approx(losses[1], rel=1e-3)
