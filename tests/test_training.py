"""The adversarial training: gradients, modes, patience, determinism, resuming."""

import csv
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import described
from torch.utils.data import DataLoader, TensorDataset

import train_gan
from config import REPOSITORY
from create_data import create_data
from dan.configuration import resolve
from dan.errors import UserError
from dan.training.checkpoints import load_generator, read_checkpoint
from dan.training.folder import resume
from dan.training.state import Training, best_epoch, decide, learning_rate_factor, new_training, patience_is_over
from dataset import loaders
from models import build_discriminator, build_generator
from train_gan import train, train_epoch, validate

CPU = torch.device("cpu")


@pytest.fixture
def data(config):
    create_data(config)


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def trained(config, state=None):
    state = state or new_training(config, CPU)
    train(state, *loaders(config), config)
    return state


def one_step(config, **changed):
    """The state after one adversarial step on one batch, with some settings of training changed."""
    settings = replace(config.training, pretrain_epochs=0, batch_size=40, **changed)
    config = replace(config, training=settings)
    state = new_training(config, CPU)
    train_epoch(state, loaders(config)[0], settings, epoch=1)
    return state


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("dan", []),
        ("dan", ["training.adversary=latent"]),
        ("spectral", ["training.feature_weight=1"]),
        ("audio", ["training.reconstruction_loss=speech"]),
    ],
)
def test_no_step_waits_for_the_accelerator(preset, settings, monkeypatch):
    """On a device that has shapes and no numbers, a look at a number raises an error."""
    nowhere = torch.device("meta")
    config = described(
        preset, *settings, "training.adversary=signal", "training.pretrain_epochs=0", "training.batch_size=4", *settings
    )
    networks = [build(config).to(nowhere) for build in (build_generator, build_discriminator)]
    state = Training(*networks, *(torch.optim.SGD(n.parameters()) for n in networks))
    pairs = torch.zeros(2, 4, 1, config.data.length, device=nowhere)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    monkeypatch.setattr(train_gan, "check_finite", lambda *_: None)  # between the steps
    monkeypatch.setattr(train_gan, "means", lambda totals, _: totals)
    loader = DataLoader(TensorDataset(*pairs), batch_sampler=[range(4)])
    totals = train_epoch(state, loader, config.training, epoch=1)
    assert {"reconstruction_loss", "adversarial_loss"} < set(totals)
    assert all(value.device == nowhere for value in totals.values())


def test_a_compiler_that_is_missing_is_an_error_of_one_line(config, data, monkeypatch):
    class NoCompiler(RuntimeError):
        __module__ = "torch._inductor.exc"

    def failing(network):
        def forward(signals):
            raise NoCompiler("no compiler\nand a long story")

        return forward

    monkeypatch.setattr(torch, "compile", failing)
    state = new_training(config, CPU)
    message = r"does not work here \(no compiler\); give training\.compile=false"
    with pytest.raises(UserError, match=message), state.sharing(compiles=True):
        train_epoch(state, loaders(config)[0], config.training, epoch=1)
    assert state.shared == (state.generator, state.discriminator)


def test_the_discriminators_loss_leaves_the_generator_alone(config, data):
    before = dict(new_training(config, CPU).generator.named_parameters())
    state = one_step(config, reconstruction_weight=0.0, adversarial_weight=0.0)
    assert all(torch.equal(value, before[name]) for name, value in state.generator.named_parameters())
    assert any(p.grad.any() for p in state.discriminator.parameters())


def test_the_generators_loss_leaves_the_discriminator_alone(config, data):
    """Its batch statistics too: whatever the generator gets from it, it ends the step the same."""
    one, other = one_step(config, adversarial_weight=0.0), one_step(config, adversarial_weight=9.0)
    assert same(one.discriminator.state_dict(), other.discriminator.state_dict())
    assert all(
        torch.equal(p.grad, q.grad)
        for p, q in zip(one.discriminator.parameters(), other.discriminator.parameters(), strict=True)
    )
    assert all(p.requires_grad for p in one.discriminator.parameters())


def test_the_adversarial_loss_moves_the_generator(config, data):
    one, other = one_step(config, adversarial_weight=0.0), one_step(config, adversarial_weight=9.0)
    assert not same(weights(one.generator), weights(other.generator))


def test_pretraining_leaves_the_discriminator_alone(config, data):
    before = weights(new_training(config, CPU).discriminator)
    state = new_training(config, CPU)
    train_epoch(state, loaders(config)[0], config.training, epoch=2)
    assert same(before, state.discriminator.state_dict())


def test_validation_changes_nothing(config, data):
    state = new_training(config, CPU)
    train_loader, validation_loader = loaders(config)
    train_epoch(state, train_loader, config.training, epoch=3)
    before = weights(state.generator) | weights(state.discriminator)
    first = validate(state, validation_loader, config.training, adversarial=True)
    assert same(before, weights(state.generator) | weights(state.discriminator))
    assert first == validate(state, validation_loader, config.training, adversarial=True)
    assert first["passed_as_clean"] == pytest.approx(1 - first["accuracy_denoised"])


def test_validation_does_not_depend_on_its_batches(config, data, overrides):
    """Evaluation mode: a signal's result is its own, whatever stands beside it."""
    state = new_training(config, CPU)
    other = resolve("dan", [*overrides, "training.batch_size=5"])
    one, two = (validate(state, loaders(c)[1], c.training, True) for c in (config, other))
    assert one == pytest.approx(two, rel=1e-4)


def test_patience_counts_adversarial_epochs_without_a_better_loss():
    training = described("dan", "training.pretrain_epochs=3", "training.patience=2").training

    def over(*losses):
        history = [{"epoch": number, "validation_reconstruction_loss": loss} for number, loss in enumerate(losses, 1)]
        return patience_is_over(history, training)

    assert not over()
    assert not over(1, 2, 2)  # pretraining does not count
    assert not over(1, 2, 2, 2)
    assert over(1, 2, 2, 2, 2)
    assert not over(3, 3, 3, 3, 2)
    assert over(3, 3, 3, 2, 2, 2)


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ([9, 3, 2.0, 2.2], 4),  # the last is within a twentieth of what was learnt, 7
        ([9, 3, 2.0, 2.5], 3),  # and here it is not
        ([9, 3, 2.0], 3),
        ([9, 2, 2.1], 2),  # not at its end yet, so not annealed
    ],
)
def test_the_last_epoch_is_kept_unless_an_earlier_one_is_clearly_better(losses, kept):
    settings = ["training.schedule=one-cycle", "training.max_epochs=4"]
    history = [{"epoch": number, "validation_reconstruction_loss": loss} for number, loss in enumerate(losses, 1)]
    training = described("dan", "training.pretrain_epochs=1", *settings).training
    for number in range(1, len(history) + 1):
        decide(history[:number], training)
    assert best_epoch(history)["epoch"] == kept
    if kept == 3 and len(losses) == 4:  # of four signals the lowest says next to nothing
        few = [dict(row) for row in history]
        decide(few, training, num_validation=4)
        assert best_epoch(few)["epoch"] == 4
    # What is kept stays so when the training goes on under another schedule.
    longer = replace(training, max_epochs=9)
    history.append({"epoch": len(history) + 1, "validation_reconstruction_loss": 2.3})
    decide(history, longer)
    assert best_epoch(history)["epoch"] == kept


def test_the_same_seed_gives_the_same_result(config, data):
    first, second = trained(config), trained(config)
    assert first.history == second.history
    assert same(first.generator.state_dict(), second.generator.state_dict())


def interrupt_after(stop, monkeypatch):
    """Ctrl-C in the middle of the epoch after `stop`."""
    original = train_gan.train_epoch

    def train_epoch(state, loader, training, epoch):
        result = original(state, loader, training, epoch)
        if epoch == stop + 1:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(train_gan, "train_epoch", train_epoch)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_training_equals_an_uninterrupted_one(stop, config, overrides, data, tmp_path, monkeypatch):
    whole = trained(config)
    history = (config.checkpoint_folder / "history.csv").read_bytes()
    config = resolve("dan", [*overrides, f"paths.checkpoints={tmp_path / 'elsewhere'}"])
    interrupt_after(stop, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        trained(config)
    state = new_training(config, CPU)
    path = config.checkpoint_folder / "last.pt"
    state.restore(read_checkpoint(path), path)
    assert state.epoch == stop
    trained(config, state)
    assert same(whole.generator.state_dict(), state.generator.state_dict())
    assert same(whole.discriminator.state_dict(), state.discriminator.state_dict())
    assert (config.checkpoint_folder / "history.csv").read_bytes() == history


def test_a_training_says_its_batches_and_learning_rates(overrides, data, capsys):
    train_gan.run_training(resolve("dan", [*overrides, "training.generator_lr=0.02"]))
    assert "batches of 8 signals; peak learning rates: generator 0.02" in capsys.readouterr().out


def test_an_import_changes_nothing():
    program = (
        "import os, sys; before = dict(os.environ), sys.stdout, sys.stderr\n"
        "import create_data, dataset, denoise, evaluate, train_gan\n"
        "print((dict(os.environ), sys.stdout, sys.stderr) == before)"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert result.stdout == "True\n"


def first_state(checkpoint):
    return checkpoint["generator_optimizer"]["state"][0]


DAMAGES = {
    "optimiser": [
        lambda checkpoint: first_state(checkpoint).update(exp_avg=torch.zeros(2)),
        lambda checkpoint: first_state(checkpoint).update(exp_avg_sq=torch.tensor(1.0)),
        lambda checkpoint: first_state(checkpoint).update(step=torch.tensor(1)),
        lambda checkpoint: first_state(checkpoint)["exp_avg"].fill_(torch.nan),
        lambda checkpoint: first_state(checkpoint)["exp_avg_sq"].fill_(-1),
        lambda checkpoint: first_state(checkpoint).pop("exp_avg"),
        lambda checkpoint: checkpoint["generator_optimizer"]["state"].pop(0),
        lambda checkpoint: checkpoint["discriminator_optimizer"]["state"].clear(),
        lambda checkpoint: checkpoint["discriminator_optimizer"].pop("state"),
    ],
    "history": [
        lambda checkpoint: checkpoint["history"][1].update(train_generator_loss=torch.nan),
        lambda checkpoint: checkpoint["history"][1].update(train_generator_loss="0.1"),
        lambda checkpoint: checkpoint["history"][1].pop("phase"),
        lambda checkpoint: checkpoint["history"][3].update(epoch=4.0),
        lambda checkpoint: checkpoint["history"].pop(),
    ],
    "precision": [lambda checkpoint: checkpoint["precision"].update(generator=("float7", ""))],
    "seconds": [
        lambda checkpoint: checkpoint.update(seconds=torch.nan),
        lambda checkpoint: checkpoint.update(seconds=0.0),
    ],
    "preset renamed": [lambda checkpoint: checkpoint["config"].update(preset="renamed")],
}


def test_a_state_that_no_training_left_is_not_resumed(config, data):
    trained(config)
    path = config.checkpoint_folder / "last.pt"
    sound = path.read_bytes()
    for name, damages in DAMAGES.items():
        for damage in damages:
            path.write_bytes(sound)
            checkpoint = torch.load(path, weights_only=True)
            damage(checkpoint)
            torch.save(checkpoint, path)
            with pytest.raises(UserError, match=rf"last\.pt .*{name}"):
                resume(new_training(config, CPU), config, checkpoint["data"])
    assert load_generator(path)  # whose preset has another name


def test_an_optimisers_settings_are_those_of_the_run(config, data):
    """And its memory its own, not what a file says where it lies."""
    state = trained(config)
    path = config.checkpoint_folder / "last.pt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["generator_optimizer"]["param_groups"][0].update(eps=-1.0, betas=(2.0, 2.0))
    moments = first_state(checkpoint)
    moments["exp_avg"] = torch.zeros(1).expand_as(moments["exp_avg"])
    torch.save(checkpoint, path)
    again = new_training(config, CPU)
    resume(again, config, checkpoint["data"])
    for name in ("eps", "betas"):
        assert again.generator_optimizer.param_groups[0][name] == state.generator_optimizer.param_groups[0][name]
    first = next(iter(again.generator_optimizer.state.values()))["exp_avg"]
    assert first.is_contiguous() and not first.any()


def test_a_history_that_a_person_edited_is_not_replaced(config, data):
    fingerprint = trained(config).fingerprint
    path = config.checkpoint_folder / "history.csv"
    written = path.read_bytes()
    path.write_bytes(written + b"my notes\r\n")
    with pytest.raises(UserError, match=r"history\.csv is not as the training wrote it.*move it"):
        resume(new_training(config, CPU), config, fingerprint)
    assert path.read_bytes() == written + b"my notes\r\n"
    # A run may have died before it wrote the last row, or anything.
    short = b"".join(written.splitlines(keepends=True)[:-1])
    for left in (written, short, None):
        path.unlink()
        if left:
            path.write_bytes(left)
        resume(new_training(config, CPU), config, fingerprint)
        assert path.read_bytes() == written


def test_another_number_of_threads_is_said(config, overrides, data, capsys):
    try:
        for threads, resumes in ((1, False), (2, True)):
            more = [f"training.threads={threads}", f"training.max_epochs={2 + threads}"]
            train_gan.run_training(resolve("dan", [*overrides, *more]), resumes)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    assert "number of threads was 1 and is 2" in capsys.readouterr().out


def test_checkpoints_hold_the_best_and_the_last_epoch(config, data):
    state = trained(config)
    last = read_checkpoint(config.checkpoint_folder / "last.pt")
    best = read_checkpoint(config.checkpoint_folder / "best.pt")
    assert last["epoch"] == 4 and last["history"] == state.history
    assert best["epoch"] == best_epoch(state.history)["epoch"]
    generator, stored = load_generator(config.checkpoint_folder / "best.pt")
    assert stored == config and not generator.training
    assert same(best["generator"], generator.state_dict())


def test_history_has_the_described_columns(config, data):
    trained(config)
    with open(config.checkpoint_folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == ["pretraining"] * 2 + ["adversarial"] * 2
    names = [
        "reconstruction_loss",
        "generator_loss",
        "adversarial_loss",
        "discriminator_loss",
        "accuracy_clean",
        "accuracy_denoised",
        "passed_as_clean",
    ]
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
    training = described(
        "dan", "training.max_epochs=100", "training.warmup=0.2", "training.schedule=one-cycle"
    ).training
    factor = partial(learning_rate_factor, training)
    assert factor(10) == pytest.approx(0.5) and factor(20) == 1
    assert factor(60) == pytest.approx(0.5) and factor(100) == pytest.approx(0, abs=1e-12)
    assert 0 < factor(0) < 0.02
    only_warm_up = described(
        "dan", "training.max_epochs=10", "training.warmup=1", "training.schedule=one-cycle"
    ).training
    assert learning_rate_factor(only_warm_up, 10) == 1


def test_the_published_recipe_halves_the_learning_rate():
    training = described("dan", "training.schedule=halving", "training.lr_halving_epochs=50").training
    assert [learning_rate_factor(training, e) for e in (0, 49.9, 50, 100, 199)] == [1, 1, 0.5, 0.25, 0.125]
