"""Part "speed": time and memory, measured by tests/benchmark.py, on a machine that does nothing else meanwhile."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from config import REPOSITORY
from dan.results.tables import markdown, number
from dan.results.trainings import CODE as TRAINING_CODE

CODE = (
    *TRAINING_CODE,
    *(f"tests/{name}.py" for name in ("benchmark", "measuring", "scaling", "threads")),
    *(f"dan/evaluation/{name}.py" for name in ("baselines", "sine_fits")),
    *(f"dan/denoising/{name}.py" for name in ("denoiser", "export")),
    *(f"dan/signals/{name}.py" for name in ("npy_files", "store")),
    "create_data.py",
    "dan/results/speed.py",
)
LENGTHS = "4,096 samples", "65,536 samples"  # of the table "growth"


def trainings():
    return {}


def measure(configs):
    """The values of the record: {"rows": {row: number}, "training": …, "threads": …, "growth": …}."""
    usual, scaling = benchmark(), benchmark("--scaling")
    return usual | scaling | {"rows": usual["rows"] | scaling["rows"]}


def benchmark(*options):
    """What tests/benchmark.py measures with these options."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values.json"
        command = [sys.executable, "tests/benchmark.py", *options, "--json", str(path)]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        return json.loads(path.read_bytes())


def recipe(values, records):
    """`dan` against a plain loop of the same networks, and against the published recipe."""
    own, published = (values["training"][preset] for preset in ("dan", "dan-published"))
    whole = f"the whole training, {own['epochs']} epochs against {published['epochs']} of `dan-published`"
    phases = {
        "pretraining": "an epoch of pretraining, against a plain `DataLoader` loop on one thread",
        "adversarial": "an epoch with the discriminator, likewise",
    }
    faster = {phase: values["rows"][f"dan against a plain loop, {phase}"] for phase in phases}
    return markdown(
        ["", "measured"],
        [
            *([title, f"{number(faster[phase], 1)} × faster"] for phase, title in phases.items()),
            [whole, f"{number(own['time over dan-published'], 2)} of the time"],
        ],
    )


def threads(values, records):
    """Milliseconds of a training step, with one thread and two, on an idle machine and beside an endless loop."""
    columns = [(title, place) for place in ("idle", "beside a loop") for title in ("one thread", "two threads")]
    rows = []
    for step, by_threads in values["threads"].items():
        preset, comma, phase = step.partition(",")
        cells = (number(by_threads[title][place], 0) for title, place in columns)
        rows.append([f"`{preset}`{comma}{phase}", *cells])
    return markdown(["a step in ms", *(f"{title}, {place}" for title, place in columns)], rows)


def growth(values, records):
    """Time and memory of a training step by generator, batch and length, and the exponents of the length."""
    rows = []
    for preset, batches in values["growth"].items():
        for batch, points in batches.items():
            cells = (
                f"{number(points[length]['ms'], 0)} ms, {number(points[length]['MB'], 0)} MB" for length in LENGTHS
            )
            exponents = (number(points["exponents"][name], 1) for name in ("time", "memory"))
            rows.append([f"`{preset}`", batch.removeprefix("batch "), *cells, *exponents])
    return markdown(["generator", "batch", *LENGTHS, "time grows as length to the", "memory to the"], rows)


TABLES = {"recipe": recipe, "threads": threads, "growth": growth}
FIGURES = ()
