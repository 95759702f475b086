"""Clips to measure denoisers on: recordings of a corpus, cut and mixed by create_data.py, none of them trained on.

The corpus is that of docs/speech_corpus.py, in data/results/corpus.
"""

import os
import shutil

import numpy as np

from config import REPOSITORY
from dan.configuration import resolve
from dan.errors import UserError
from dan.files import locked
from dan.results.trainings import create_missing
from dan.signals.store import load_signals

CORPUS = REPOSITORY / "data/results/corpus"
PACKAGES = (
    "asterisk-core-sounds-es-g722 asterisk-core-sounds-ru-g722 asterisk-prompt-es-co hedgewars-data klettres-data "
    "0ad-data codec2-examples widelands-data lincity-ng-data searchandrescue-data phone"
)
SETTINGS = (
    "data.noise_speed=1",
    "data.clean_speed=1",
    "data.vary_clean=false",
    "data.bare_share=0",
    "data.stream=false",
    "data.white_share=0",
    "data.num_train=1",
)


def unseen(kind):
    """The folder of the corpus that is for tests: "voices", "phone" or "noise"; raises UserError without one."""
    folder = CORPUS / "unseen" / kind
    if not folder.exists():
        raise UserError(f"{folder} is missing; run python docs/speech_corpus.py {CORPUS} {PACKAGES}")
    return folder


def gather(name, folders, first=0, last=None):
    """A folder data/results/NAME that links the recordings first to last of each of the folders."""
    gathered = REPOSITORY / "data/results" / name
    with locked(gathered.parent / ".gathering", waits=True):
        if not gathered.exists():
            part = gathered.with_name(f"{name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for folder in folders:
                for path in sorted(folder.iterdir())[first:last]:
                    os.link(path, part / f"{folder.name}-{path.name}")
            part.rename(gathered)
    return gathered


def clips(name, preset, clean, noise, *overrides):
    """(config, clean, mixed) of clips, arrays (count, length), cut from two folders into data/results/NAME.

    Both halves of what create_data.py calls validation and test: neither is known to anyone here.
    """
    folders = [f"paths.data=data/results/{name}", f"data.clean_source={clean}", f"data.noise_source={noise}"]
    config = resolve(preset, [*folders, *SETTINGS, *overrides])
    create_missing(config)
    kinds = ("clean", "mixed")
    halves = [[load_signals(config, split, kind)[:, 0].numpy() for split in ("validation", "test")] for kind in kinds]
    return config, *map(np.concatenate, halves)
