"""Speed and memory, as ratios wherever two things can be compared in one run.

    python tests/benchmark.py

Absolute times hold for this machine and this moment; the ratios travel.
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config import resolve
from create_data import create_data
from dataset import loaders
from losses import reconstruction_loss
from models import denoise
from signals import draw
from train_gan import choose_device, new_game, train_epoch, validate


def main():
    with tempfile.TemporaryDirectory() as folder:
        config = resolve("dan", [f"paths.data={folder}/data"])
        print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch "
              f"{torch.__version__}, preset {config.preset}\n")
        seconds = timed(lambda: create_data(config))
        row("data creation, 1,800 signals", f"{seconds:.2f} s", "asked: at most 3 s")
        train_loader, validation_loader = loaders(config)
        device = choose_device("auto")
        game = new_game(config, device)
        time_steps(game, train_loader, config, device)
        time_epochs(game, train_loader, validation_loader, config, device)
        time_inference(game.generator, config)
    row("peak memory of this process", f"{peak_memory_mb():.0f} MB")


def time_steps(game, loader, config, device):
    """A generator step by itself, and its forward pass."""
    clean, mixed = (x.to(device) for x in next(iter(loader)))

    def forward():
        return game.generator(mixed)

    def step():
        loss = reconstruction_loss(forward(), clean)
        game.generator_optimizer.zero_grad()
        loss.backward()
        game.generator_optimizer.step()

    both = median_of(step, 10)
    row("generator step, batch 50", f"{1e3 * both:.0f} ms",
        f"forward is {median_of(forward, 10) / both:.0%} of it")


def time_epochs(game, train_loader, validation_loader, config, device):
    """Epochs of both phases, what validation adds, and what per-signal loading would cost."""
    training = config.training
    pretraining = timed(lambda: train_epoch(game, train_loader, training, device, False))
    adversarial = timed(lambda: train_epoch(game, train_loader, training, device, True))
    validation = timed(lambda: validate(game, validation_loader, training, device, True))
    row("epoch of pretraining", f"{pretraining:.2f} s")
    row("epoch of both networks", f"{adversarial:.2f} s",
        f"{adversarial / pretraining:.2f} × pretraining")
    share = validation / adversarial
    row("validation an epoch", f"{validation:.2f} s", f"{share:.0%} of an epoch of both")
    dataset = train_loader.dataset
    itemwise = DataLoader(dataset, config.training.batch_size, shuffle=True)
    ratio = timed(lambda: list(itemwise)) / timed(lambda: list(train_loader))
    row("loading an epoch", f"{timed(lambda: list(train_loader)):.3f} s",
        f"one signal at a time takes {ratio:.0f} × as long")


def time_inference(generator, config):
    _, _, mixed = draw(config.data, "test", 1000)
    generator = generator.cpu().eval()
    seconds = median_of(lambda: denoise(generator, mixed), 3)
    row("denoising 1,000 signals", f"{seconds:.2f} s", f"{1000 / seconds:.0f} × real time")


def row(what, value, remark=""):
    print(f"{what:<34}{value:>12}   {remark}", flush=True)


def timed(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def median_of(function, repetitions):
    function()
    return sorted(timed(function) for _ in range(repetitions))[repetitions // 2]


def peak_memory_mb():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
