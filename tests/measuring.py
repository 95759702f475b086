"""Timing, and the rows of the benchmark: each a number with its unit, printed and collected."""

import subprocess
import sys
import time
from statistics import median

from config import REPOSITORY

ROUNDS = 3  # in which things that are compared take turns
SMALL_STARTER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
rows = {}


def row(name, value, unit="", remark=""):
    """Print a number and keep it in `rows` under its name, in which docs/results/ refers to it."""
    rows[name] = float(value)
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    print(f"{name:<44}{value:>10,.{digits}f} {unit:<4} {remark}".rstrip(), flush=True)


def timed(function):
    """Seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def median_of(function, repetitions):
    """The median of the seconds of so many calls, after one that does not count."""
    function()
    return median(timed(function) for _ in range(repetitions))


def in_turns(functions, rounds=ROUNDS):
    """{name: median of its seconds} of {name: function}, called in turns: a slow moment meets all of them alike."""
    found = [{name: timed(function) for name, function in functions.items()} for _ in range(rounds)]
    return {name: median(seconds[name] for seconds in found) for name in functions}


def run_alone(*command):
    """(what a Python script prints, its peak memory in MB).

    A small process starts it, since Linux counts the memory of the starter as the script's own.
    """
    started = [sys.executable, "-c", SMALL_STARTER, sys.executable, *command]
    result = subprocess.run(started, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    *lines, peak = result.stdout.splitlines()
    return "\n".join(lines), int(peak) / (2**20 if sys.platform == "darwin" else 2**10)
