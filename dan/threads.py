"""How torch's threads wait for each other.

On Linux they spin for milliseconds before they sleep: the fastest way on an idle machine. Where
something else computes they take its time, and lose their own turn when they have work; there they
are to sleep at once. What either costs is in docs/results.md. No result depends on it.
"""

import os
import time
from pathlib import Path

CROWDED = 1 / 8  # threads sleep at once where so many other processes compute, for each core
LOOKS = 3


def choose_waiting():
    """Tell OpenMP, which reads it when torch is imported, unless the environment says it."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys() \
            and others_at_work() >= CROWDED * (os.cpu_count() or 1):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def others_at_work():
    """How many other processes compute just now; 0 where the system does not say."""
    return min(at_work() for _ in range(LOOKS)) - 1


def at_work():
    """The number of processes that compute, with this one among them."""
    time.sleep(0.002)  # so that one that computes for a moment alone does not count
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("procs_running")).split()[1])
    except (OSError, ValueError, StopIteration, IndexError):
        return 1
