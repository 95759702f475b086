"""A training step with one thread and with two, on an idle machine and beside an endless loop.

Called by `benchmark.py`.
"""

import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from statistics import median

import torch
from measuring import ROUNDS
from torch.utils.data import DataLoader, TensorDataset

from dan.configuration import resolve
from dan.processes import choose_device
from dan.signals.sines import draw_batch
from dan.training.precision import choose_precisions
from dan.training.state import new_training
from train_gan import train_epoch

# The preset and the epoch of each step.
STEPS = {
    "dan, pretraining": ("dan", 40),
    "dan, adversarial": ("dan", 41),
    "dan-small": ("dan-small", 1),
    "spectral": ("spectral", 1),
    "spectral-any": ("spectral-any", 1),
    "audio": ("audio", 1),
}
THREADS = {"one thread": 1, "two threads": 2}
SECONDS = 0.5  # of steps, at least, in each round


def measure_threads():
    """Milliseconds of a step, medians of the rounds: {step: {"one thread": {"idle", "beside a loop"}, …}}."""
    before, seconds = torch.get_num_threads(), {}
    steps = {name: training_step(*step) for name, step in STEPS.items()}
    for _ in range(ROUNDS):
        for place, load in (("idle", nullcontext), ("beside a loop", endless_loop)):
            with load():
                for title, threads in THREADS.items():
                    torch.set_num_threads(threads)
                    for name, step in steps.items():
                        seconds.setdefault((name, title, place), []).append(mean_seconds(step))
    torch.set_num_threads(before)
    found = {}
    for (name, title, place), times in seconds.items():
        found.setdefault(name, {}).setdefault(title, {})[place] = 1000 * median(times)
    for name, by_threads in found.items():
        texts = (
            f"{title} {', '.join(f'{ms:,.0f} ms {place}' for place, ms in by_threads[title].items())}"
            for title in THREADS
        )
        print(f"a step of {name + ':':<18} {'; '.join(texts)}", flush=True)
    return found


def training_step(preset, epoch):
    """A function that takes one step of a preset's training, on signals of its kind that are there already."""
    config = resolve(preset)
    device = choose_device("auto")
    clean, mixed = draw_batch(config.data, config.training.batch_size, torch.Generator().manual_seed(0))
    state, loader = new_training(config, device), DataLoader(TensorDataset(clean, mixed), config.training.batch_size)
    state.precision = choose_precisions(state, (clean, mixed), config.training)
    return lambda: train_epoch(state, loader, config.training, epoch)


def mean_seconds(step):
    """The mean over the steps of SECONDS."""
    started, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - started) < SECONDS:
        step()
        count += 1
    return seconds / count


@contextmanager
def endless_loop():
    """Another process that keeps a core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
