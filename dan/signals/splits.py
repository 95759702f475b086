"""Recordings shared out between training, validation and test, and read one by one.

No recording of one split is heard in another: recordings are shared out, or, where they are few,
cut in time. Files that cannot be used are named and left out.
"""

import re
import sys
from itertools import chain
from typing import NamedTuple

import numpy as np

from dan.errors import UserError
from dan.progress import track
from dan.signals.audio_files import find_recordings, is_silent, read_recording, root_mean_square
from dan.signals.sines import SPLITS

HELD_OUT_SHARE = 0.1  # of the folders or files, for the validation, and as much again for the test
MOST_HELD_OUT = 8  # of them for each, where training signals are streamed: enough to judge by
SPLIT_ENDS = {"train": 0.8, "validation": 0.9, "test": 1.0}  # of a recording that is cut in time
LARGEST_GAP = 0.02  # of a recording that is cut in time, between two splits
MOST_NAMED = 3  # recordings of a split that are named
LARGE_MEAN = 0.3  # of the standard deviation; its power is a tenth of that of the rest


class Recording(NamedTuple):
    name: str  # what sounds, by the name of the file without its number
    samples: np.ndarray  # float32 (samples,)
    place: str = ""  # the folder of the file, such as of one speaker


def read_splits(folder, data):
    """{split: iterator over Recordings, which reads them one by one}; nothing serves two splits.

    Folders in the folder, such as of one speaker or place, and files beside them are shared out
    whole. Where they are fewer than three, the files are; and where those are, each is split in
    time. Raises UserError where a split gets no recording.
    """
    paths = find_recordings(folder)
    units = places = group_by(paths, lambda path: path.relative_to(folder).parts[0])
    if len(places) < len(SPLITS):
        units = group_by(paths, lambda path: str(path.relative_to(folder)))
    print(f"{folder}: {len(paths)} recording{'s' * (len(paths) > 1)}", end="")
    splits = share_out(units, data) if len(units) >= len(SPLITS) else split_in_time(paths, data)
    if len(places) < len(SPLITS):
        print("  so figures hold for these recordings alone; another speaker or place may come out worse")
    return {split: not_empty(recordings, folder, split) for split, recordings in splits.items()}


def group_by(paths, name_of):
    """{name: paths of that name}."""
    groups = {}
    for path in paths:
        groups.setdefault(name_of(path), []).append(path)
    return groups


def not_empty(recordings, folder, split):
    """The same iterator over Recordings; raises UserError if there is none."""
    first = next(recordings, None)
    if first is None:
        raise UserError(
            f"{folder} has no recording for the {split} signals; add recordings, or longer ones; "
            "move unusable ones away"
        )
    return chain([first], recordings)


def share_out(units, data):
    """{split: iterator over Recordings}, drawn from `data.seed`; units: {name: paths}, never divided.

    Validation and test get a tenth of the units each, at least one. Where training signals are
    streamed, eight are enough; where they are stored, it is at least the share that they have of
    the signals. The training gets the rest, with the largest.
    """
    rng = np.random.default_rng([data.seed, 4])
    largest = max(units, key=lambda name: sum(path.lstat().st_size for path in units[name]))
    shuffled = [list(units)[index] for index in rng.permutation(len(units))]
    names = [name for name in shuffled if name != largest] + [largest]
    signals = data.num_train + 2 * data.num_validation
    share = HELD_OUT_SHARE * len(units)
    share = min(share, MOST_HELD_OUT) if data.stream else max(share, len(units) * data.num_validation / signals)
    number = min(max(1, round(share)), (len(units) - 1) // 2)
    shares = {"validation": names[:number], "test": names[number : 2 * number], "train": names[2 * number :]}
    splits = {}
    for split, own in shares.items():
        paths = [path for name in own for path in units[name]]
        paths = [paths[index] for index in rng.permutation(len(paths))]
        if data.stream and split == "train":  # all that is of one folder in a row
            paths.sort(key=lambda path: path.parent)
        splits[split] = read_files(paths, data, f"recordings for {split}")
    print(f" in {len(units)} undivided folders and files: " + ", ".join(map(in_words, SPLITS, map(shares.get, SPLITS))))
    return splits


def in_words(split, names):
    """The share of a split: how many, and which where they are few."""
    return f"{split} {len(names)}" + (f" ({', '.join(names)})" if len(names) <= MOST_NAMED else "")


def split_in_time(paths, data):
    """{split: iterator over Recordings}: of each file the first 80 % for the training, a tenth, and the last tenth.

    Between two splits lies a gap of as many samples as a signal has, or of 2 % if that is less.
    """
    splits = {split: [] for split in SPLITS}
    for recording in read_files(paths, data, "recordings"):
        for split, part in cut_in_time(recording.samples, data.length).items():
            if not is_silent(part, root_mean_square(recording.samples)):
                splits[split].append(recording._replace(samples=part))
    seconds = sum(len(recording.samples) for recording in splits["test"]) / data.sample_rate
    print(
        f", split in time: the first 80 % for the training, a tenth for the validation "
        f"and the last tenth ({seconds:.1f} s in all) for the test"
    )
    return {split: iter(recordings) for split, recordings in splits.items()}


def cut_in_time(samples, length):
    """{split: its part of the samples of one recording}."""
    start, gap, parts = 0, min(length, round(LARGEST_GAP * len(samples))), {}
    for split, share in SPLIT_ENDS.items():
        end = round(share * len(samples))
        parts[split] = samples[start : end if share == 1 else end - gap]
        start = end
    return parts


def read_files(paths, data, title):
    """The Recordings in files, one by one; unusable ones are named on standard error and left out.

    title: of the bar.
    """
    bar = track(paths, desc=f"reading {title}", unit="file", leave=False)
    for path in bar:
        try:
            signals = read_recording(path, data.sample_rate, data.source_rate or data.sample_rate)
        except UserError as error:
            bar.write(f"skipped {path}: {str(error).removeprefix(f'{path} ')}", file=sys.stderr)
            continue
        if any(abs(np.mean(x, dtype=np.float64)) > LARGE_MEAN * np.std(x, dtype=np.float64) for x in signals):
            bar.write(
                f"{path} has a large mean, which counts as signal in the SNR; take it away first", file=sys.stderr
            )
        # birds1.wav and birds-2.wav both hold birds.
        name = re.sub(r"[\W\d_]+$", "", path.stem) or path.stem
        for samples in signals:
            yield Recording(name, samples, path.parent.name)
