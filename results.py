"""Measure the numbers in README.md and docs/ anew, and fill them in.

    python results.py sines               # one part, or several
    python results.py                     # every part whose code has changed since it was measured
    python results.py --texts             # only fill the numbers of docs/results/ into the texts
    python results.py --list              # the parts, when they were measured and how long that took

Trains what is missing, with three seeds, into checkpoints/results/, measures, writes docs/results/PART.json and
figures in docs/figures/PART/, and fills in the texts. Goes on where it was stopped. Started several times at once,
the processes share the trainings. Parts "speech" and "own" need recordings: docs/speech_corpus.py says which.
"""

import argparse
import os
import time

import torch
from PIL import Image

from config import REPOSITORY
from dan.configuration import Parser
from dan.errors import ConfigurationError, run
from dan.files import InUseError, locked
from dan.output import saving
from dan.results import ablations, adversary, any_number, floor, own, records, sines, speech, speed, texts, trainings

PARTS = {
    "sines": sines,
    "floor": floor,
    "any": any_number,
    "adversary": adversary,
    "ablation": ablations,
    "speech": speech,
    "own": own,
    "speed": speed,
}
TABLES = {name: part.TABLES for name, part in PARTS.items()}


def main():
    options = parse_options()
    if options.list:
        list_parts()
        return
    if not options.texts:
        started = time.time()
        for name in options.parts or [name for name in PARTS if is_stale(name)]:
            measure(name, started)
    for path in [*draw_figures(), *texts.fill(TABLES)]:
        print(f"wrote {path.relative_to(REPOSITORY)}")


def parse_options():
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser(description=__doc__, formatter_class=layout, allow_abbrev=False)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--texts", action="store_true", help="measure nothing")
    parser.add_argument("--list", action="store_true", help="list the parts, and end")
    options = parser.parse_args()
    for name in options.parts:
        if name not in PARTS:
            raise ConfigurationError(f"there is no part {name}; choose from: {', '.join(PARTS)}")
    return options


def is_stale(name):
    """Whether a part was never measured, or its code has changed since."""
    record = records.read(name)
    return record is None or bool(records.changed_since(record))


def list_parts():
    for name in PARTS:
        print(f"{name:<10} {duration(name)}")


def duration(name):
    record = records.read(name)
    if record is None:
        return "was never measured"
    made, changed = record["made"], "; its code has changed since" * is_stale(name)
    return f"took {made['minutes']:.0f} min of one process on {made['date']} ({made['processor']}){changed}"


def measure(name, started):
    """Train what a part needs, measure it, and write its record and figures.

    Two processes share the trainings, and one of them measures. started: when this process began, in s.
    """
    part, path = PARTS[name], records.FOLDER / f"{name}.json"
    print(f"{name}: {duration(name)}", flush=True)
    configs = part.trainings()
    trainings.share(configs.values(), getattr(part, "finish", trainings.train_missing), name)
    try:
        with locked(REPOSITORY / "checkpoints/results" / f".{name}"):
            if path.exists() and path.stat().st_mtime > started:
                print(f"{name}: another process measured it")
                return
            torch.set_num_threads(1)
            before = sum(os.times()[:4])
            values = part.measure(configs)
            minutes = trainings.minutes(configs.values()) + (sum(os.times()[:4]) - before) / 60
            code = trainings.code_of(configs.values()) | records.fingerprints(part.CODE)
            records.write(name, code, values, minutes)
    except InUseError:
        print(f"{name}: another process measures it")
        return
    print(f"wrote {path.relative_to(REPOSITORY)}")


def draw_figures():
    """Draw the figures that are not of the records as they are now; returns their paths."""
    drawn = []
    for name, part in PARTS.items():
        record = records.read(name)
        if record is None or is_drawn(name, record):
            continue
        for title, figure in part.draw_figures(record["values"]).items():
            path = figure_folder(name) / f"{title}.png"
            saving.save(figure, path, records.fingerprint_of(record["values"]))
            drawn.append(path)
    return drawn


def is_drawn(name, record):
    """Whether the figures of a part were all drawn from its record."""
    source = records.fingerprint_of(record["values"])
    paths = [figure_folder(name) / f"{title}.png" for title in PARTS[name].FIGURES]
    return all(path.exists() and Image.open(path).info.get("Source") == source for path in paths)


def figure_folder(name):
    return REPOSITORY / "docs/figures" / name


if __name__ == "__main__":
    run(main)
