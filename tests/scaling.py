"""How step time and memory grow with the signals, for each kind of generator; and two processes.

Called by `benchmark.py --scaling`, and by itself for a single point of the table.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config import REPOSITORY
from dan.configuration import resolve
from dan.losses import l1_loss
from dan.training.checkpoints import read_checkpoint
from models import build_generator

PRESETS = ("dan", "spectral", "audio")
LENGTHS = (256, 1024, 4096, 16_384, 65_536)
BATCHES = (4, 16)
STEPS = 3


def measure_scaling():
    """Print the table of steps, and two processes beside one."""
    print(
        f"{os.cpu_count()} cores, torch {torch.__version__}\n\n| generator | batch | "
        + " | ".join(f"{length:,}" for length in LENGTHS)
        + " | grows as |"
    )
    print("|---" * (len(LENGTHS) + 3) + "|")
    for preset in PRESETS:
        for batch in BATCHES:
            points = [point(preset, length, batch) for length in LENGTHS]
            cells = [f"{1000 * seconds:,.0f} ms, {memory:,.0f} MB" for seconds, memory in points]
            print(f"| `{preset}` | {batch} | {' | '.join(cells)} | {growth(points)} |", flush=True)
    compare_processes()


def point(preset, length, batch):
    """(seconds of a training step, megabytes beyond those of a tiny one).

    In a process of its own, since memory is never given back.
    """
    output = subprocess.run(
        [sys.executable, __file__, preset, str(length), str(batch)], capture_output=True, text=True, check=True
    ).stdout
    return tuple(map(float, output.split()))


def measure_point(preset, length, batch):
    generator = build_generator(resolve(preset)).train()
    optimizer = torch.optim.Adam(generator.parameters(), fused=True)

    def step(length, batch):
        clean, mixed = torch.randn(2, batch, 1, length)
        optimizer.zero_grad()
        l1_loss(generator(mixed), clean).backward()
        optimizer.step()

    step(64, 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(length, batch)
    seconds = []
    for _ in range(STEPS):
        started = time.perf_counter()
        step(length, batch)
        seconds.append(time.perf_counter() - started)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(min(seconds), memory)


def growth(points):
    """The exponents of time and memory in the length, over the longest three lengths."""
    time_of, memory_of = (
        np.polyfit(np.log(LENGTHS[-3:]), np.log([p[part] for p in points[-3:]]), 1)[0] for part in (0, 1)
    )
    return f"length^{time_of:.1f}, memory^{memory_of:.1f}"


def compare_processes():
    """Seconds of an epoch: two processes of one thread against one process of two threads."""
    with tempfile.TemporaryDirectory() as folder:
        for preset in ("dan", "spectral"):
            settings = [
                "--preset",
                preset,
                "training.max_epochs=4",
                "training.pretrain_epochs=2",
                f"paths.data={folder}/data",
                f"paths.images={folder}/images",
                "training.threads=0",
            ]
            run("create_data.py", *settings)
            seconds = {}
            torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
            for name, starter, threads in (("one", [], "2"), ("two", torchrun, "1")):
                run(*starter, "train_gan.py", *settings, f"paths.checkpoints={folder}/{name}", threads=threads)
                last = read_checkpoint(Path(folder) / name / preset / "last.pt")
                seconds[name] = last["seconds"] / last["epoch"]
            print(
                f"\n{preset}: {seconds['one']:.2f} s an epoch with one process of two threads, "
                f"{seconds['two']:.2f} s with two processes of one thread"
            )


def run(*command, threads="2"):
    subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": threads},
    )


if __name__ == "__main__":
    measure_point(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
