"""How step time and memory grow with the signals, for each kind of generator.

Called by `benchmark.py --scaling`, and by itself for a single point of the table.
"""

import os
import resource
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from measuring import row, run_alone, timed

from dan.configuration import resolve
from dan.losses import l1_loss
from models import build_generator

PRESETS = ("dan", "spectral", "audio")
LENGTHS = (256, 1024, 4096, 16_384, 65_536)
BATCHES = (16,)
STEPS = 3
SECOND = 44_100  # samples, of sound as it is usually recorded


def measure_scaling():
    """Print the table of steps with one thread, and a second of sound.

    Returns the table: {generator: {"batch 16": {"256 samples": {"ms", "MB"}, …, "exponents": {"time", "memory"}}, …}}.
    """
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, steps with one thread\n")
    print(f"| generator | batch | {' | '.join(f'{length:,}' for length in LENGTHS)} | grows as |")
    print("|---" * (len(LENGTHS) + 3) + "|")
    table = {preset: {f"batch {batch}": growth(preset, batch) for batch in BATCHES} for preset in PRESETS}
    print()
    for preset in PRESETS:
        row(f"a second at 44.1 kHz, {preset}", point(preset, SECOND, BATCHES[-1])["ms"] / 1000, "s", "a step of 16")
    return table


def growth(preset, batch):
    """A row of the table; the exponents of time and memory in the length are over the longest three lengths."""
    points = {f"{length:,} samples": point(preset, length, batch) for length in LENGTHS}
    longest = list(points.values())[-3:]
    exponents = {
        name: float(np.polyfit(np.log(LENGTHS[-3:]), np.log([p[unit] for p in longest]), 1)[0])
        for name, unit in (("time", "ms"), ("memory", "MB"))
    }
    cells = [f"{p['ms']:,.0f} ms, {p['MB']:,.0f} MB" for p in points.values()]
    grows = f"length^{exponents['time']:.1f}, memory^{exponents['memory']:.1f}"
    print(f"| `{preset}` | {batch} | {' | '.join(cells)} | {grows} |", flush=True)
    return points | {"exponents": exponents}


def point(preset, length, batch):
    """{"ms": of a training step, "MB": beyond those of a tiny one}.

    In a process of its own, since memory is never given back.
    """
    output, _ = run_alone(__file__, preset, str(length), str(batch))
    return dict(zip(("ms", "MB"), map(float, output.split()), strict=True))


def measure_point(preset, length, batch):
    torch.set_num_threads(1)
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
    seconds = min(timed(lambda: step(length, batch)) for _ in range(STEPS))
    print(1000 * seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


if __name__ == "__main__":
    measure_point(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
