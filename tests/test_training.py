"""The adversarial training: gradients, modes, patience, determinism, resuming."""

import csv
from functools import partial

import pytest
import torch

import train_gan
from checkpoints import read_checkpoint
from config import resolve
from create_data import create_data
from dataset import loaders
from game import (
    discriminator_step,
    generator_step,
    learning_rate_factor,
    new_game,
    train_epoch,
    validate,
)
from models import load_generator
from train_gan import best_epoch, patience_is_over, train

CPU = torch.device("cpu")


@pytest.fixture
def data(config):
    create_data(config)


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def trained(config, game=None):
    game = game or new_game(config, CPU)
    train(game, *loaders(config), config)
    return game


def test_discriminator_step_leaves_the_generator_alone(config):
    game = new_game(config, CPU)
    clean, denoised = torch.randn(2, 8, 1, 256)
    before = weights(game.generator), weights(game.discriminator)
    discriminator_step(game, clean, denoised, config.training)
    assert same(before[0], game.generator.state_dict())
    assert not same(before[1], game.discriminator.state_dict())
    assert all(p.grad is None for p in game.generator.parameters())


def test_generator_step_leaves_the_discriminator_alone(config):
    game = new_game(config, CPU)
    clean, mixed = torch.randn(2, 8, 1, 256)
    before = weights(game.generator), weights(game.discriminator)
    generator_step(game, clean, game.generator(mixed), config.training, adversarial=True)
    assert not same(before[0], game.generator.state_dict())
    assert same(before[1], game.discriminator.state_dict())  # batch statistics among them
    assert all(p.grad is None for p in game.discriminator.parameters())
    assert all(p.requires_grad for p in game.discriminator.parameters())


def test_the_adversarial_loss_moves_the_generator(config):
    clean, mixed = torch.randn(2, 8, 1, 256)
    results = []
    for adversarial in (False, True):
        game = new_game(config, CPU)
        generator_step(game, clean, game.generator(mixed), config.training, adversarial)
        results.append([p.grad.clone() for p in game.generator.parameters()])
    assert not all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_validation_changes_nothing(config, data):
    game = new_game(config, CPU)
    train_loader, validation_loader = loaders(config)
    train_epoch(game, train_loader, config.training, epoch=3)
    before = weights(game.generator) | weights(game.discriminator)
    first = validate(game, validation_loader, config.training, adversarial=True)
    assert same(before, weights(game.generator) | weights(game.discriminator))
    assert first == validate(game, validation_loader, config.training, adversarial=True)
    assert first["passed_as_clean"] == pytest.approx(1 - first["accuracy_denoised"])


def test_validation_does_not_depend_on_its_batches(config, data, overrides):
    """Evaluation mode: a signal's result is its own, whatever stands beside it."""
    game = new_game(config, CPU)
    other = resolve("dan", [*overrides, "training.batch_size=5"])
    one, two = (validate(game, loaders(c)[1], c.training, True) for c in (config, other))
    assert one == pytest.approx(two, rel=1e-4)


def test_patience_counts_adversarial_epochs_without_a_better_loss():
    training = resolve("dan", ["training.pretrain_epochs=3", "training.patience=2"]).training

    def over(*losses):
        history = [{"epoch": number, "validation_reconstruction_loss": loss}
                   for number, loss in enumerate(losses, 1)]
        return patience_is_over(history, training)

    assert not over()
    assert not over(1, 2, 2)  # pretraining does not count
    assert not over(1, 2, 2, 2)
    assert over(1, 2, 2, 2, 2)
    assert not over(3, 3, 3, 3, 2)
    assert over(3, 3, 3, 2, 2, 2)


def test_the_same_seed_gives_the_same_result(config, data):
    first, second = trained(config), trained(config)
    assert first.history == second.history
    assert same(first.generator.state_dict(), second.generator.state_dict())


def interrupt_after(stop, monkeypatch):
    """Ctrl-C in the middle of the epoch after `stop`."""
    original = train_gan.train_epoch

    def train_epoch(game, loader, training, epoch):
        result = original(game, loader, training, epoch)
        if epoch == stop + 1:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(train_gan, "train_epoch", train_epoch)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_training_equals_an_uninterrupted_one(
    stop, config, overrides, data, tmp_path, monkeypatch
):
    whole = trained(config)
    history = (config.checkpoint_folder / "history.csv").read_bytes()
    config = resolve("dan", [*overrides, f"paths.checkpoints={tmp_path / 'elsewhere'}"])
    interrupt_after(stop, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        trained(config)
    game = new_game(config, CPU)
    path = config.checkpoint_folder / "last.pt"
    game.restore(read_checkpoint(path), path)
    assert game.epoch == stop
    trained(config, game)
    assert same(whole.generator.state_dict(), game.generator.state_dict())
    assert same(whole.discriminator.state_dict(), game.discriminator.state_dict())
    assert (config.checkpoint_folder / "history.csv").read_bytes() == history


def test_checkpoints_hold_the_best_and_the_last_epoch(config, data):
    game = trained(config)
    last = read_checkpoint(config.checkpoint_folder / "last.pt")
    best = read_checkpoint(config.checkpoint_folder / "best.pt")
    assert last["epoch"] == 4 and last["history"] == game.history
    assert best["epoch"] == best_epoch(game.history)["epoch"]
    generator, stored = load_generator(config.checkpoint_folder / "best.pt")
    assert stored == config and not generator.training
    assert same(best["generator"], generator.state_dict())


def test_history_has_the_described_columns(config, data):
    trained(config)
    with open(config.checkpoint_folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == ["pretraining"] * 2 + ["adversarial"] * 2
    names = ["reconstruction_loss", "generator_loss", "adversarial_loss", "discriminator_loss",
             "accuracy_clean", "accuracy_denoised", "passed_as_clean"]
    for name in [f"{split}_{name}" for split in ("train", "validation") for name in names]:
        assert float(rows[-1][name]) >= 0
    assert float(rows[0]["validation_snr_db"]) < 20 and rows[0]["train_discriminator_loss"] == ""


def test_training_learns(data, overrides):
    """A few steps lift even a tiny network's validation SNR well above the input's −2 dB."""
    faster = ["training.pretrain_epochs=20", "training.max_epochs=20"]
    history = trained(resolve("dan", [*overrides, *faster])).history
    assert history[-1]["validation_snr_db"] > 0
    assert history[-1]["train_reconstruction_loss"] < 0.9 * history[0]["train_reconstruction_loss"]


def test_one_cycle_warms_up_and_ends_at_zero():
    training = resolve("dan", ["training.max_epochs=100", "training.warmup=0.2"]).training
    factor = partial(learning_rate_factor, training)
    assert factor(10) == pytest.approx(0.5) and factor(20) == 1
    assert factor(60) == pytest.approx(0.5) and factor(100) == pytest.approx(0, abs=1e-12)
    assert 0 < factor(0) < 0.02


def test_the_published_recipe_is_kept():
    config = resolve("dan-published")
    assert [learning_rate_factor(config.training, e) for e in (0, 49.9, 50, 100, 199)] == [
        1, 1, 0.5, 0.25, 0.125
    ]
    assert config.training == resolve("dan", [
        "training.generator_lr=1e-3", "training.discriminator_lr=1e-4", "training.batch_size=50",
        "training.pretrain_epochs=40", "training.max_epochs=200", "training.patience=50",
        "training.adversarial_weight=3", "training.reconstruction_weight=9",
        "training.adam_beta2=0.999", "training.seed=42",
        "training.schedule=halving", "training.lr_halving_epochs=50", "training.remix=false",
        "training.precision=float32", "training.slowest=1",
    ]).training
    assert config.data == resolve("dan").data
