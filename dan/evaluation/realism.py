"""The realism score: how well a new classifier, trained for it alone, tells denoised from clean."""

from dataclasses import replace

import numpy as np
import torch

from dan.losses import bce_discriminator_loss
from dan.progress import track
from dan.signals.sines import draw
from models import Discriminator

# Wider and deeper than the discriminators of the presets.
CLASSIFIER_SIZES = {
    "filters": 16,
    "depth": 4,
    "kernel_size": 16,
    "hidden_units": 64,
    "negative_slope": 0.1,
    "fourier": True,
}
NUM_TRAIN, NUM_TEST = 8000, 2000  # signals of either kind
EPOCHS, BATCH_SIZE, PEAK_RATE = 6, 100, 3e-3


def realism_score(denoise, data, seed=0):
    """The classifier's accuracy on new signals; 0.5 is chance: they cannot be told apart.

    denoise: a function of mixed signals, arrays (count, length).
    Clean and denoised signals are of one family, and no clean signal is shown denoised as well.
    The sines, their noise, the weights and the order depend on `seed` and `data` alone.
    """
    rng = np.random.default_rng([data.seed, seed, 8])
    family = replace(data, seed=int(rng.integers(2**63)))
    clean, _, mixed = draw(family, "test", 2 * (NUM_TRAIN + NUM_TEST))
    kinds = [torch.from_numpy(x).unsqueeze(1) for x in (clean[::2], denoise(mixed[1::2]))]
    torch.manual_seed(seed)
    network = Discriminator(**CLASSIFIER_SIZES, length=data.length)
    train_classifier(network, [kind[NUM_TEST:] for kind in kinds], rng)
    with torch.inference_mode():
        clean_logits, denoised_logits = (network(kind[:NUM_TEST]) for kind in kinds)
    return ((clean_logits > 0).float().mean() + (denoised_logits <= 0).float().mean()).item() / 2


def train_classifier(network, kinds, rng):
    """Train a network to tell two kinds of signals apart, each (count, 1, length)."""
    steps = EPOCHS * NUM_TRAIN // BATCH_SIZE
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, steps)
    order = torch.from_numpy(np.concatenate([rng.permutation(NUM_TRAIN) for _ in range(EPOCHS)]))
    for chosen in track(order.split(BATCH_SIZE), desc="realism", unit="step", leave=False):
        # Both kinds in one batch, as in train_gan.py.
        logits = network.train()(torch.cat([kind[chosen] for kind in kinds]))
        loss = bce_discriminator_loss(*logits.chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
