"""The state of a training: both networks, their optimisers, their precision, and the history."""

import math
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from dan.configuration import to_dict
from dan.errors import ConfigurationError, UserError
from dan.processes import shared
from dan.training.checkpoints import load_generator, load_weights
from dan.training.feature_network import build_feature_network
from dan.training.precision import autocast
from models import build_discriminator, build_generator

OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")
CLEAR_MARGIN = 0.05  # share of the whole fall of the loss, by which an earlier epoch must be better than the last


@dataclass
class Training:
    """Both networks, their optimisers and how far they have come."""

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    feature_network: nn.Module | None = None  # the pretrained one, where the loss asks for it
    history: list = field(default_factory=list)
    seconds: float = 0.0
    # {network: (precision, reason)}
    precision: dict = field(default_factory=lambda: dict.fromkeys(("generator", "discriminator"), ("float32", "unset")))
    fingerprint: str = ""  # of the training signals
    shared: tuple = ()  # both networks, as processes train them together

    def __post_init__(self):
        self.shared = self.generator, self.discriminator

    @property
    def epoch(self):
        """The last finished epoch, from 1; 0 before the first."""
        return self.history[-1]["epoch"] if self.history else 0

    @property
    def device(self):
        return next(self.generator.parameters()).device

    @property
    def networks(self):
        """{name: network} of those that a checkpoint keeps."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return networks | ({"feature_network": self.feature_network} if self.feature_network else {})

    @contextmanager
    def sharing(self, compiles=False):
        """While it lasts, both networks train together with the other processes, if there are any.

        compiles: through torch.compile. Raises UserError where that does not work.
        """
        networks = map(torch.compile, self.shared) if compiles else self.shared
        self.shared = tuple(shared(network, self.device) for network in networks)
        try:
            yield
        except RuntimeError as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = str(error).partition("\n")[0]
                raise UserError(f"torch.compile does not work here ({reason}); give training.compile=false") from error
            raise
        finally:
            self.shared = self.generator, self.discriminator

    def autocast(self, network):
        """The context in which "generator" or "discriminator" trains."""
        return autocast(self.precision[network][0], self.device)

    def activations(self, settings, adversarial):
        """The function that gives the features of signals for the feature loss; None without one.

        Those of the discriminator are useless before it trains.
        """
        if not settings.feature_weight:
            return None
        if self.feature_network:
            return self.feature_network.activations
        return self.discriminator.activations if adversarial else None

    def set_learning_rates(self, settings, epochs_done):
        """Both learning rates, a function of the (fractional) number of epochs done alone."""
        factor = learning_rate_factor(settings, epochs_done)
        self.generator_optimizer.param_groups[0]["lr"] = factor * settings.generator_lr
        self.discriminator_optimizer.param_groups[0]["lr"] = factor * settings.discriminator_lr

    def checkpoint(self, config):
        """The contents of a checkpoint; see dan/training/checkpoints.py."""
        return {
            "config": to_dict(config),
            "epoch": self.epoch,
            "history": self.history,
            "seconds": self.seconds,
            "precision": self.precision,
            "data": self.fingerprint,
            "threads": torch.get_num_threads(),
            **{name: network.state_dict() for name, network in self.networks.items()},
            **{name: getattr(self, name).state_dict() for name in OPTIMIZERS},
        }

    def restore(self, checkpoint, path):
        """Go back to where the checkpoint at `path` was taken; raises UserError if it does not fit."""
        for name, network in self.networks.items():
            load_weights(network, checkpoint.get(name), path)
        self.history, self.seconds = checkpoint["history"], checkpoint["seconds"]
        self.precision, self.fingerprint = checkpoint["precision"], checkpoint["data"]
        try:
            has_stepped = self.epoch > 0, any(row["phase"] == "adversarial" for row in self.history)
            for name, stepped in zip(OPTIMIZERS, has_stepped, strict=True):
                restore_optimizer(getattr(self, name), checkpoint[name]["state"], stepped)
        except Exception as error:  # damaged ones lead to errors of any kind
            raise UserError(
                f"{path} has an optimiser that is damaged or does not fit its networks; train anew with --restart"
            ) from error


def new_training(config, device):
    """Networks with new weights, drawn from `training.seed`, and their optimisers."""
    torch.manual_seed(config.training.seed)
    networks = [build(config).to(device) for build in (build_generator, build_discriminator)]
    optimizers = [
        torch.optim.Adam(network.parameters(), betas=(0.9, config.training.adam_beta2), fused=True)
        for network in networks
    ]
    pretrained = config.training.feature_weight and config.training.feature_network == "pretrained"
    return Training(*networks, *optimizers, build_feature_network(config).to(device) if pretrained else None)


def take_generator(generator, config, path):
    """Load the weights of the checkpoint at `path` into a generator, to train it on.

    Raises ConfigurationError where it is of another size, or for another sample rate.
    """
    source, stored = load_generator(path)
    rates = stored.data.sample_rate, config.data.sample_rate
    if stored.generator != config.generator or rates[0] != rates[1]:
        raise ConfigurationError(
            f"{path} has another generator than this run (preset {stored.preset}, {rates[0]:,} samples per second; "
            f"here {config.preset}, {rates[1]:,}); give the preset and the generator.* that it was trained with"
        )
    generator.load_state_dict(source.state_dict())


@torch.no_grad()
def restore_optimizer(optimizer, stored, stepped):
    """Give Adam its stored state of each parameter, if it has stepped; its settings stay those of this run.

    Raises ValueError or another error where that is missing, of another shape or type than the parameter, not finite
    or, of squares and numbers of steps, below zero.
    """
    restored = optimizer.state_dict()
    parameters = optimizer.param_groups[0]["params"] if stepped else []
    if stored.keys() != set(range(len(parameters))):
        raise ValueError("not one state for each parameter")
    for number, parameter in enumerate(parameters):
        expected = {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}
        for name, like in expected.items():
            values = stored[number][name]
            if values.shape != like.shape or values.dtype != like.dtype:
                raise ValueError(f"{name} is of another shape or type")
            if not values.isfinite().all() or (name != "exp_avg" and (values < 0).any()):
                raise ValueError(f"{name} is not finite, or below zero")
            # In memory of its own: the fused optimiser trusts that there is all of it.
            expected[name] = torch.empty_like(like).copy_(values)
        restored["state"][number] = expected
    optimizer.load_state_dict(restored)


def learning_rate_factor(settings, epochs_done):
    """The factor of both learning rates after so many epochs.

    One-cycle: a linear warm-up to 1, then half a cosine to 0 (after Smith, Topin, "Super-Convergence", 2018). Halving:
    the published recipe.
    """
    if settings.schedule == "halving":
        return 0.5 ** (int(epochs_done) // settings.lr_halving_epochs)
    progress = min(1, epochs_done / settings.max_epochs)
    if progress < settings.warmup or settings.warmup == 1:
        return max(progress / settings.warmup, 0.01)
    return 0.5 + 0.5 * math.cos(math.pi * (progress - settings.warmup) / (1 - settings.warmup))


def is_adversarial(settings, epoch):
    """Whether both networks train in this epoch, and not the generator alone."""
    return settings.adversary != "none" and epoch > settings.pretrain_epochs


def best_epoch(history):
    """The epoch whose generator is kept in best.pt: the last one that `decide` decided for."""
    kept = [row for row in history if row.get("kept")]
    return kept[-1] if kept else min(history, key=loss_of)


def decide(history, settings, num_validation=math.inf):
    """Note in the last row of the history whether its generator is kept.

    It is kept if its validation reconstruction loss is the lowest so far: in an adversarial game only this loss can be
    compared from epoch to epoch. The last epoch of a one-cycle training, whose learning rates are annealed, is kept
    unless the best one so far is clearly better: by a twentieth of the whole fall of the loss, or by 1 /
    √num_validation of it, since few validation signals tell little about the order of the last epochs.
    """
    *earlier, last = history
    if not earlier:
        last["kept"] = True
        return
    best = best_epoch(earlier)
    ended = settings.schedule == "one-cycle" and last["epoch"] >= settings.max_epochs
    share = max(CLEAR_MARGIN, num_validation**-0.5) if ended else 0
    margin = share * (loss_of(history[0]) - loss_of(best))
    last["kept"] = loss_of(last) < loss_of(best) + margin


def loss_of(row):
    """The loss by which epochs are compared."""
    return row["validation_reconstruction_loss"]


def patience_is_over(history, settings):
    """Whether `patience` epochs have passed without a new best one, adversarial ones if there are."""
    if not history:
        return False
    pretraining = 0 if settings.adversary == "none" else settings.pretrain_epochs
    since = max(best_epoch(history)["epoch"], pretraining)
    return history[-1]["epoch"] - since >= settings.patience
