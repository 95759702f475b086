"""How torch's threads wait for each other, and how many they are.

On Linux they spin while they wait, for milliseconds: the fastest way on an idle machine. Where
something else wants to compute, they take its time, and lose their own turn when they have work:
three quarters of a training's speed, of which sleeping threads lose half. What came out of that is
in docs/results.md. It changes no result.
"""

import os
import time
from pathlib import Path

SPINS = 2000  # until a thread sleeps; 300,000 without a word
CROWDED = 1 / 8  # other processes at work for each core, from which on threads sleep at once
LOOKS = 3


def choose_waiting():
    """Tell OpenMP, which reads it when torch is imported, unless the environment says it."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        crowded = others_at_work() >= CROWDED * (os.cpu_count() or 1)
        os.environ["GOMP_SPINCOUNT"] = "0" if crowded else str(SPINS)


def others_at_work():
    """How many other processes want to compute just now; 0 where the system does not say."""
    return min(running() for _ in range(LOOKS)) - 1


def running():
    """The number of processes at work, with this one among them."""
    time.sleep(0.002)  # so that one that is at work for a moment does not count
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("procs_running")).split()[1])
    except (OSError, ValueError, StopIteration, IndexError):
        return 1
