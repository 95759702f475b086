"""The feature network: it learns to analyse clean signals; the feature loss compares its activations.

Its labels come for free. Of sines: how many a signal has, and where they lie. Of recordings: which
one a signal was cut from. After Germain, Chen, Koltun, "Speech Denoising with Deep Feature Losses"
(2018), where a network that had learnt to classify sounds judged denoised speech.
"""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from dan.errors import UserError
from dan.progress import track
from dan.signals.sines import draw_components, sum_of_sines
from dan.signals.store import load_signals, stored_recordings
from models import Discriminator, build

SIZES = {"filters": 32, "depth": 4, "kernel_size": 16, "hidden_units": 128, "negative_slope": 0.1, "fourier": True}
BANDS = 64  # of equal width, that a sine may lie in
FEWEST_SINES = 6  # up to which numbers are told apart, even where data.num_components is smaller
STEPS, BATCH_SIZE, PEAK_RATE = 600, 64, 3e-3


def build_feature_network(config):
    """A feature network with new weights, drawn from `training.seed`, frozen.

    Raises UserError if all signals come from one recording, which cannot be told from others.
    """
    recordings = stored_recordings(config)
    outputs = BANDS + most_sines(config.data) if recordings is None else max(recordings) + 1
    if outputs < 2:
        raise UserError(
            "the clean signals come from one recording alone, and training.feature_network=pretrained learns to tell "
            "several apart; add recordings, or take the discriminator"
        )
    torch.manual_seed(config.training.seed)
    sizes = SIZES | {"length": config.data.length, "outputs": outputs}
    cure = "take shorter signals, or training.feature_network=discriminator"
    network = build("feature network", Discriminator, sizes, cure)
    return network.eval().requires_grad_(False)


def train_feature_network(network, config):
    """Train it on clean signals with their labels, then freeze it again."""
    device = next(network.parameters()).device
    recordings = stored_recordings(config)
    batches = (
        sine_batches(config.data, config.training.seed, device)
        if recordings is None
        else recorded_batches(config, recordings, device)
    )
    network.train().requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, STEPS)
    with track(zip(range(STEPS), batches, strict=False), desc="feature network", unit="step", total=STEPS) as bar:
        for step, (signals, labels) in bar:
            loss = label_loss(network(signals), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 50 == 49:
                bar.set_postfix_str(f"loss {loss.item():.3f}")
    network.eval().requires_grad_(False)


def most_sines(data):
    return max(FEWEST_SINES, int(np.max(data.num_components)))


def sine_batches(data, seed, device):
    """Endless batches of clean signals (batch, 1, length) with labels (batch, BANDS + numbers).

    A label is 1 for every band with a sine in it, and for the number of sines.
    """
    rng = np.random.default_rng([data.seed, seed, 7])
    many = replace(data, num_components=(1, most_sines(data)))
    while True:
        frequency, amplitude, phase = draw_components(many, BATCH_SIZE, rng)
        place = (frequency - data.low_freq) / (data.high_freq - data.low_freq) * BANDS
        labels = np.zeros((BATCH_SIZE, BANDS + most_sines(data)), np.float32)
        row, sine = np.nonzero(amplitude)
        labels[row, np.minimum(place[row, sine].astype(int), BANDS - 1)] = 1
        labels[np.arange(BATCH_SIZE), BANDS - 1 + (amplitude > 0).sum(1)] = 1
        signals = sum_of_sines(frequency, amplitude, phase, data).astype(np.float32)
        yield tuple(torch.from_numpy(x).to(device) for x in (signals[:, None], labels))


def recorded_batches(config, recordings, device):
    """Endless batches of clean signals (batch, 1, length) with the numbers of their recordings."""
    clean = load_signals(config, "train", "clean", device)
    recordings = torch.from_numpy(recordings).to(device)
    rng = np.random.default_rng([config.data.seed, config.training.seed, 7])
    while True:
        chosen = torch.from_numpy(rng.integers(len(clean), size=BATCH_SIZE)).to(device)
        yield clean[chosen], recordings[chosen]


def label_loss(logits, labels):
    """Cross-entropy of recordings (batch,); of sines (batch, outputs) that of each label alone."""
    if labels.ndim == 1:
        return functional.cross_entropy(logits, labels)
    return functional.binary_cross_entropy_with_logits(logits, labels)
