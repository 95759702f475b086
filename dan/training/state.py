"""The state of a training: both networks, their optimisers, their precision, and the history."""

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from dan.configuration import to_dict
from dan.errors import ConfigurationError, UserError
from dan.processes import shared, synchronised
from dan.training.precision import autocast, choose_precision
from dan.training.trained_generator import load_weights
from models import build_discriminator, build_generator

NETWORKS = ("generator", "discriminator")
OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")
CLEARLY = 0.05  # of what was learnt: by so much, at least, an earlier epoch is better than the last


@dataclass
class Training:
    """Both networks, their optimisers and how far they have come."""

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    history: list = field(default_factory=list)
    seconds: float = 0.0
    # For each network the precision that it trains with, and the reason.
    precision: dict = field(default_factory=lambda: dict.fromkeys(NETWORKS, ("float32", "unset")))
    feature_network: nn.Module | None = None  # the pretrained one, where the loss asks for it
    data: str = ""  # the fingerprint of the signals that it is trained on
    shared: tuple = ()  # both networks, as processes train them together

    @property
    def epoch(self):
        """The last finished epoch, from 1; 0 before the first."""
        return self.history[-1]["epoch"] if self.history else 0

    @property
    def device(self):
        return next(self.generator.parameters()).device

    def __post_init__(self):
        self.shared = self.generator, self.discriminator

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

    @property
    def networks(self):
        """The names of those that a checkpoint keeps."""
        return NETWORKS if self.feature_network is None else (*NETWORKS, "feature_network")

    def autocast(self, network):
        """The context in which "generator" or "discriminator" trains."""
        return autocast(self.precision[network][0], self.device)

    def activations(self, settings, adversarial):
        """The function that gives the features of signals for the feature loss; None without one.

        The discriminator's are worth nothing before it trains.
        """
        if not settings.feature_weight:
            return None
        if settings.feature_network == "pretrained":
            return self.feature_network.activations
        return self.discriminator.activations if adversarial else None

    def set_learning_rates(self, settings, epochs_done):
        """Both learning rates, a function of the (fractional) number of epochs done alone."""
        factor = learning_rate_factor(settings, epochs_done)
        self.generator_optimizer.param_groups[0]["lr"] = factor * settings.generator_lr
        self.discriminator_optimizer.param_groups[0]["lr"] = factor * settings.discriminator_lr

    def checkpoint(self, config):
        """What a checkpoint holds of it; see dan/training/checkpoints.py."""
        states = {part: getattr(self, part).state_dict() for part in self.networks + OPTIMIZERS}
        return {
            "config": to_dict(config),
            "epoch": self.epoch,
            "history": self.history,
            "seconds": self.seconds,
            "precision": self.precision,
            "data": self.data,
            "threads": torch.get_num_threads(),
            **states,
        }

    def restore(self, checkpoint, path):
        """Go back to where the checkpoint at `path` was taken; raises UserError if it does not fit."""
        for network in self.networks:
            load_weights(getattr(self, network), checkpoint.get(network), path)
        for fact in ("history", "seconds", "precision", "data"):
            setattr(self, fact, checkpoint[fact])
        try:
            adversarial = any(row["phase"] == "adversarial" for row in checkpoint["history"])
            for name, trained in zip(OPTIMIZERS, (self.epoch, adversarial), strict=True):
                restore_optimizer(getattr(self, name), checkpoint[name]["state"], trained)
        except Exception as error:  # what is wrong in them leads to errors of any kind
            raise UserError(
                f"{path} has an optimiser that is damaged or does not fit its networks; train anew with --restart"
            ) from error


def new_training(config, device):
    """Networks with new weights, drawn from `training.seed`, and their optimisers."""
    torch.manual_seed(config.training.seed)
    networks = [synchronised(build(config).to(device), device) for build in (build_generator, build_discriminator)]
    optimizers = [
        torch.optim.Adam(network.parameters(), betas=(0.9, config.training.adam_beta2), fused=True)
        for network in networks
    ]
    return Training(*networks, *optimizers)


@torch.no_grad()
def restore_optimizer(optimizer, stored, trained):
    """Give Adam what a checkpoint holds of each parameter, if there was a step; no setting of it.

    Raises ValueError or another error where that is missing, of another shape or type than the
    parameter, not finite or, of squares and numbers of steps, below zero.
    """
    restored = optimizer.state_dict()
    parameters = optimizer.param_groups[0]["params"] if trained else []
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


def probe_precision(state, pairs, settings):
    """{network: (precision, reason)}, each tried on a batch of pairs (clean, mixed)."""
    clean, mixed = (signals.to(state.device) for signals in pairs)
    both = torch.cat([clean, mixed])
    if settings.adversary == "latent":
        with torch.no_grad():
            both = state.generator.eval().encode(both)
    labels = (torch.arange(len(both), device=both.device) < len(clean)).float()
    return {
        "generator": choose_precision(settings.precision, state.generator, mixed, clean),
        "discriminator": choose_precision(settings.precision, state.discriminator, both, labels),
    }


def learning_rate_factor(settings, epochs_done):
    """What the learning rates are multiplied by.

    One-cycle: a linear warm-up to 1, then half a cosine to 0 (after Smith, Topin,
    "Super-Convergence", 2018). Halving: the published recipe.
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

    It is if its validation reconstruction loss is the lowest so far: the one loss that an
    adversarial game leaves comparable from epoch to epoch. And the last epoch of a one-cycle
    training is kept unless the best one so far is clearly better, by a twentieth of what was learnt
    in all, or by 1 / √num_validation of it: its learning rates are annealed, and which of the last
    epochs is lowest says more of the validation signals than of the generators, the more the fewer
    they are.
    """
    *earlier, last = history
    if not earlier:
        last["kept"] = True
        return
    best = best_epoch(earlier)
    ended = settings.schedule == "one-cycle" and last["epoch"] >= settings.max_epochs
    share = max(CLEARLY, num_validation**-0.5) if ended else 0
    margin = share * (loss_of(history[0]) - loss_of(best))
    last["kept"] = loss_of(last) < loss_of(best) + margin


def loss_of(row):
    """What epochs are compared by."""
    return row["validation_reconstruction_loss"]


def patience_is_over(history, settings):
    """Whether `patience` epochs have passed without a new best one, adversarial ones if there are."""
    if not history:
        return False
    pretraining = 0 if settings.adversary == "none" else settings.pretrain_epochs
    since = max(best_epoch(history)["epoch"], pretraining)
    return history[-1]["epoch"] - since >= settings.patience


def choose_device(name):
    """The torch device of that name; `auto` takes CUDA, else MPS, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # some names are known and hold no numbers
    except Exception as error:  # torch has errors of every kind for a device that is not there
        raise ConfigurationError(f"training.device={name} is not available here; use auto, cpu, cuda or mps") from error
    return device


def make_deterministic():
    """The same seed gives the same result on one machine."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS's condition for it
    torch.use_deterministic_algorithms(True, warn_only=True)
