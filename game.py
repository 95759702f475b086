"""The adversarial game: both networks, their optimisers, and an epoch of training them.

In a step the discriminator learns first to tell clean from denoised signals, then the generator
learns to denoise, and to be taken for clean. Each learns by its own optimiser alone.
"""

import math
from collections import defaultdict
from dataclasses import asdict, dataclass, field

import torch
from torch import nn
from tqdm import tqdm

from faults import Fault
from losses import RECONSTRUCTION_LOSSES, adversarial_loss, discriminator_loss
from models import build_discriminator, build_generator, load_weights
from precision import autocast, choose_precision
from signals import snr_db

NETWORKS = ("generator", "discriminator")


@dataclass
class Game:
    """Both networks, their optimisers and how far their training has come."""

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    history: list = field(default_factory=list)
    seconds: float = 0.0
    # For each network the precision of its training, and the reason.
    precision: dict = field(default_factory=lambda: dict.fromkeys(NETWORKS, ("float32", "unset")))
    data: str = ""  # the fingerprint of the signals that it is trained on

    PARTS = (*NETWORKS, "generator_optimizer", "discriminator_optimizer")

    @property
    def epoch(self):
        """The last finished epoch, from 1; 0 before the first."""
        return self.history[-1]["epoch"] if self.history else 0

    def checkpoint(self, config):
        states = {part: getattr(self, part).state_dict() for part in self.PARTS}
        return {"config": asdict(config), "epoch": self.epoch, "history": self.history,
                "seconds": self.seconds, "precision": self.precision, "data": self.data, **states}

    def restore(self, checkpoint, path):
        """Go back to where the checkpoint at `path` was taken; raises Fault if it does not fit."""
        for network in NETWORKS:
            load_weights(getattr(self, network), checkpoint[network], path)
        try:
            for part in set(self.PARTS) - set(NETWORKS):
                getattr(self, part).load_state_dict(checkpoint[part])
        except Exception as error:  # what is wrong in them leads torch to errors of any kind
            raise Fault(f"{path} does not fit the networks of its settings; train anew with "
                        "--restart") from error
        for fact in ("history", "seconds", "precision", "data"):
            setattr(self, fact, checkpoint[fact])


def new_game(config, device):
    """Networks with new weights, drawn from `training.seed`, and their optimisers."""
    torch.manual_seed(config.training.seed)
    generator = build_generator(config).to(device)
    discriminator = build_discriminator(config).to(device)
    optimizers = (
        torch.optim.Adam(network.parameters(), betas=(0.9, config.training.adam_beta2), fused=True)
        for network in (generator, discriminator)
    )
    return Game(generator, discriminator, *optimizers)


def probed_precision(game, dataset, training):
    """{network: (precision, reason)}, each tried on a batch of the first training signals."""
    clean, mixed = dataset[: training.batch_size]
    both = torch.cat([clean, mixed])
    labels = (torch.arange(len(both), device=both.device) < len(clean)).float()
    return {
        "generator": choose_precision(training.precision, game.generator, mixed, clean),
        "discriminator": choose_precision(training.precision, game.discriminator, both, labels),
    }


def train_epoch(game, loader, training, epoch):
    """One pass over the training pairs; returns the mean of every loss and rate."""
    totals = defaultdict(float)
    adversarial = epoch > training.pretrain_epochs
    game.generator.train()
    # Shown only where an epoch takes long.
    bar = tqdm(loader, desc=f"epoch {epoch}", unit="step", leave=False, delay=3)
    for step, (clean, mixed) in enumerate(bar):
        set_learning_rates(game, training, epoch - 1 + step / len(loader))
        with autocast(game.precision["generator"][0], mixed.device):
            denoised = game.generator(mixed).float()
        measured = {}
        if adversarial:
            measured |= discriminator_step(game, clean, denoised.detach(), training)
        measured |= generator_step(game, clean, denoised, training, adversarial)
        measured = {name: value.detach() for name, value in measured.items()}
        check_finite(measured.values(), training, f"epoch {epoch}, step {step + 1}")
        add(totals, measured, len(clean))
    return means(totals, len(loader.dataset))


def discriminator_step(game, clean, denoised, training):
    """Teach the discriminator; `denoised` is detached, so the generator gets no gradient."""
    game.discriminator.train()
    # Both kinds in one batch, so that batch normalisation cannot tell them apart by the batch.
    with autocast(game.precision["discriminator"][0], clean.device):
        logits = game.discriminator(torch.cat([clean, denoised])).float()
    clean_logits, denoised_logits = logits.split(len(clean))
    loss = discriminator_loss(clean_logits, denoised_logits)
    game.discriminator_optimizer.zero_grad()
    loss.backward()
    game.discriminator_optimizer.step()
    return {"discriminator_loss": loss, **accuracies(clean_logits, denoised_logits)}


def generator_step(game, clean, denoised, training, adversarial):
    """Teach the generator; the discriminator only judges: evaluation mode, no gradients."""
    precision = game.precision["discriminator"][0]
    loss, measured = generator_losses(game, clean, denoised, training, adversarial, precision)
    game.generator_optimizer.zero_grad()
    loss.backward()
    game.generator_optimizer.step()
    return measured


def generator_losses(game, clean, denoised, training, adversarial, precision="float32"):
    """The generator's weighted loss, and its parts by name."""
    reconstruction = RECONSTRUCTION_LOSSES[training.reconstruction_loss](denoised, clean)
    loss, measured = training.reconstruction_weight * reconstruction, {}
    if adversarial:
        game.discriminator.eval().requires_grad_(False)
        with autocast(precision, clean.device):
            logits = game.discriminator(denoised).float()
        game.discriminator.requires_grad_(True)
        fooling = adversarial_loss(logits)
        loss = loss + training.adversarial_weight * fooling
        measured = {"adversarial_loss": fooling, "passed_as_clean": (logits > 0).float().mean()}
    return loss, {"reconstruction_loss": reconstruction, "generator_loss": loss, **measured}


@torch.inference_mode()
def validate(game, loader, training, adversarial):
    """Losses, rates and the mean SNR in dB on the validation pairs, in evaluation mode.

    In float32 whatever the training's precision: it is what a user of the denoiser gets.
    """
    totals = defaultdict(float)
    game.generator.eval()
    game.discriminator.eval()
    for clean, mixed in loader:
        denoised = game.generator(mixed)
        _, measured = generator_losses(game, clean, denoised, training, adversarial)
        measured["snr_db"] = snr_db(clean, denoised).mean()
        if adversarial:
            logits = game.discriminator(clean), game.discriminator(denoised)
            measured |= {"discriminator_loss": discriminator_loss(*logits), **accuracies(*logits)}
        add(totals, measured, len(clean))
    return means(totals, len(loader.dataset))


def accuracies(clean_logits, denoised_logits):
    """Shares of clean and of denoised signals that the discriminator recognises."""
    return {
        "accuracy_clean": (clean_logits > 0).float().mean(),
        "accuracy_denoised": (denoised_logits <= 0).float().mean(),
    }


def check_finite(measured, training, place):
    """Raise Fault if a loss or rate is not finite: from here on the weights would be spoilt."""
    if math.isfinite(float(sum(measured))):  # one look at the device, not one a value
        return
    cause = f"training.generator_lr={training.generator_lr:g} or training.discriminator_lr=" \
            f"{training.discriminator_lr:g} is too high"
    if training.precision == "bfloat16":
        cause += ", or training.precision=bfloat16 too coarse"
    raise Fault(f"the loss is no longer finite in {place}; probably {cause}; lower it and train "
                "anew with --restart; the last good epoch stays saved")


def add(totals, measured, weight):
    """Add a batch's means, weighted by its size; tensors stay on the device, unread."""
    for name, value in measured.items():
        totals[name] += weight * value


def means(totals, count):
    return {name: (total / count).item() for name, total in totals.items()}


def set_learning_rates(game, training, epochs_done):
    """Both learning rates, a function of the (fractional) number of epochs done alone."""
    factor = learning_rate_factor(training, epochs_done)
    game.generator_optimizer.param_groups[0]["lr"] = factor * training.generator_lr
    game.discriminator_optimizer.param_groups[0]["lr"] = factor * training.discriminator_lr


def learning_rate_factor(training, epochs_done):
    """What the learning rates are multiplied by.

    One-cycle: a linear warm-up to 1, then half a cosine to 0 (after Smith, Topin,
    "Super-Convergence", 2018). Halving: the published recipe.
    """
    if training.schedule == "halving":
        return 0.5 ** (int(epochs_done) // training.lr_halving_epochs)
    progress = epochs_done / training.max_epochs
    if progress < training.warmup:
        return max(progress / training.warmup, 0.01)
    return 0.5 + 0.5 * math.cos(math.pi * (progress - training.warmup) / (1 - training.warmup))
