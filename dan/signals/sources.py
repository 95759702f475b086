"""Sources: folders of recordings, and synthesised noise, as the signals of a data set.

No signal of one split is heard in another: recordings are shared out, or, where they are few, cut
in time. What cannot be used is named and left out.
"""

import re
import sys
from functools import partial
from itertools import chain
from math import ceil
from typing import NamedTuple

import numpy as np

from dan.errors import UserError
from dan.progress import track
from dan.signals import noises
from dan.signals.audio_files import find_recordings, is_silent, read_recording, resample, root_mean_square
from dan.signals.augmentation import varied
from dan.signals.sines import SPLITS, draw_clean, draw_range, mix

SHARE = 0.1  # of the units, for the validation, and as much again for the test
ENDS = {"train": 0.8, "validation": 0.9, "test": 1.0}  # of the splits of a recording cut in time
GAP = 0.02  # of a recording cut in time: the longest gap between two splits
MOST_NAMED = 3  # units
LARGE_MEAN = 0.3  # of the standard deviation; its power is a tenth of that of the rest
SPEED_STEPS = 50  # speeds are multiples of 1/50, which keeps the filters of resampling short
TRIES = 20
PAUSE = 0.3  # seconds of silence after each of the clean recordings that are streamed from
NEARLY_CLEAN = 20.0, 60.0  # dB: the SNR of signals under next to no noise


class Recording(NamedTuple):
    name: str  # what sounds, by the name of the file without its number
    samples: np.ndarray  # float32 (samples,)


def read_splits(folder, data, remarks):
    """{split: iterator over Recordings, which reads them one by one}; nothing serves two splits.

    Folders in the folder, such as of one speaker or place, and files beside them are shared out
    whole. Where they are fewer than three, the files are; and where those are, each is split in
    time. remarks: {what is odd: list of examples}, which grows while recordings are read. Raises
    UserError where a split gets no recording.
    """
    paths = find_recordings(folder)
    places = units_of(paths, lambda path: path.relative_to(folder).parts[0])
    units = places if len(places) >= len(SPLITS) else units_of(paths, lambda path: str(path.relative_to(folder)))
    text = f"{folder}: {len(paths)} recording{'s' * (len(paths) > 1)}"
    if len(units) >= len(SPLITS):
        splits, names = share_out(units, data, remarks)
        whole = f" in {len(units)} undivided folders and files" * (len(units) < len(paths))
        shares = ", ".join(f"{split} {len(own)}{listed(own)}" for split, own in names.items())
        print(f"{text}{whole}: {shares}")
    else:
        splits = split_in_time(list(read_files(paths, data, folder, remarks)), data.length)
        seconds = sum(len(samples) for _, samples in splits["test"]) / data.sample_rate
        print(
            f"{text}, split in time: the first 80 % for the training, a tenth for the validation "
            f"and the last tenth ({seconds:.1f} s in all) for the test"
        )
        splits = {split: begun(iter(recordings)) for split, recordings in splits.items()}
    for split, recordings in splits.items():
        if recordings is None:
            raise UserError(
                f"{folder} has no recording for the {split} signals ({len(paths)} "
                "found); add recordings, or longer ones; move unusable ones away"
            )
    if len(places) < len(SPLITS):
        print("  so figures hold for these recordings alone; another speaker or place may come out worse")
    return splits


def units_of(paths, name_of):
    """{name: paths of that name}, the units that are never divided between splits."""
    units = {}
    for path in paths:
        units.setdefault(name_of(path), []).append(path)
    return units


def share_out(units, data, remarks):
    """({split: iterator over Recordings}, {split: names of its units}), drawn from `data.seed`.

    Validation and test get a tenth of the units each, at least one; and, where training signals
    are stored and not streamed, as many as they have of the signals. The training gets the rest,
    with the largest. None for an iterator where nothing is usable.
    """
    rng = np.random.default_rng([data.seed, 4])
    largest = max(units, key=lambda name: sum(path.lstat().st_size for path in units[name]))
    left = [list(units)[index] for index in rng.permutation(len(units))]
    left.sort(key=largest.__eq__)  # to the end
    share = SHARE if data.stream else max(SHARE, data.num_validation / (data.num_train + 2 * data.num_validation))
    number = min(max(1, round(share * len(units))), (len(units) - 1) // 2)
    splits, names = dict.fromkeys(SPLITS), dict.fromkeys(SPLITS, ())
    for split in ("validation", "test", "train"):
        least = int(split != "train")  # left for the training
        while splits[split] is None and len(left) > least:
            count = min(number, len(left) - 1) if least else len(left)
            names[split], left = left[:count], left[count:]
            paths = [path for name in names[split] for path in units[name]]
            paths = [paths[index] for index in rng.permutation(len(paths))]
            splits[split] = begun(read_files(paths, data, f"recordings for {split}", remarks))
    return splits, names


def listed(names):
    """Some names in brackets; nothing for many."""
    return f" ({', '.join(names)})" if 0 < len(names) <= MOST_NAMED else ""


def begun(iterator):
    """The same with its first value ready, or None if there is none."""
    first = next(iterator, None)
    return None if first is None else chain([first], iterator)


def split_in_time(recordings, length):
    """{split: Recordings}: of each the first 80 % for the training, a tenth, and the last tenth.

    Between two splits lies a gap of as many samples as a signal has, or of 2 % if that is less.
    """
    splits = {split: [] for split in SPLITS}
    for name, samples in recordings:
        start, gap = 0, min(length, round(GAP * len(samples)))
        for split, share in ENDS.items():
            end = round(share * len(samples))
            part = samples[start : end if share == 1 else end - gap]
            if not is_silent(part, root_mean_square(samples)):
                splits[split].append(Recording(name, part))
            start = end
    return splits


def read_files(paths, data, title, remarks):
    """The Recordings in files, one by one; what is unusable is named and left out.

    title: of the bar; remarks: as in `read_splits`.
    """
    bar = track(paths, desc=f"reading {title}", unit="file", leave=False)
    for path in bar:
        try:
            found = read_recording(path, data.sample_rate, npy_rate(data))
        except UserError as error:
            reason = str(error).removeprefix(f"{path} ")
            bar.write(f"skipped {path}: {reason}", file=sys.stderr)
            remarks[f"skipped, {reason}"].append(path.name)
            continue
        for samples in found:
            mean, deviation = (f(samples, dtype=np.float64) for f in (np.mean, np.std))
            if abs(mean) > LARGE_MEAN * deviation:
                remarks["a large mean, which counts as signal in the SNR; take it away first"].append(
                    f"{path.name} ({mean:.3g} at a deviation of {deviation:.3g})"
                )
            yield Recording(kind_of(path), samples)


def enough_of(recordings, samples):
    """The first Recordings that have so many samples together, in a list."""
    chosen = []
    for recording in recordings:
        chosen.append(recording)
        samples -= len(recording.samples)
        if samples <= 0:
            break
    return chosen


def kind_of(path):
    """What sounds in a file, by its name: birds1.wav and birds-2.wav hold birds."""
    return re.sub(r"[\W\d_]+$", "", path.stem) or path.stem


def npy_rate(data):
    """The sample rate of .npy recordings in Hz."""
    return data.source_rate or data.sample_rate


def cut_segments(recordings, count, data):
    """Segments float32 (≤ count, length) of clean Recordings, and the number of each one's source.

    Cut one after the other; the last of a recording ends where the recording does. What is shorter
    is filled up with zeros. Silent segments are left out. Asks for no more recordings than needed.
    """
    segments, numbers, silent = [], [], 0
    for number, (_, samples) in enumerate(recordings):
        level, last = root_mean_square(samples), max(0, len(samples) - data.length)
        for start in [*range(0, last, data.length), last]:
            segment = samples[start : start + data.length]
            if is_silent(segment, level):
                silent += 1
            else:
                segments.append(np.pad(segment, (0, data.length - len(segment))))
                numbers.append(number)
        if len(segments) >= count:
            break
    found = len(segments[:count])
    print(
        f"{found} segment{'s' * (found != 1)} of {data.duration:g} s from {number + 1} "
        f"recording{'s' * (number > 0)}; {silent} silent left out"
    )
    return np.array(segments[:count], np.float32), np.array(numbers[:count])


def stored_noise(recordings, clean, split, count, data):
    """Noise (count, length), float32, of a split that is stored, and the kind of each, as names.

    recordings: Recordings of noise, or none; clean: the split's clean signals, for babble.
    """
    rng = np.random.default_rng([data.seed, 6, SPLITS.index(split)])

    def another_voice(number):
        other = (number + rng.integers(1, count)) % count
        return np.roll(clean[other], rng.integers(data.length))

    passages, kinds = np.empty((count, data.length), np.float32), []
    for number, passage in enumerate(track(passages, desc=f"drawing noise for {split}", unit="signal", leave=False)):
        has_others = clean is not None and count > 1
        passage[:], kind = draw_noise(recordings, data, rng, partial(another_voice, number) if has_others else None)
        kinds.append(kind)
    return passages, kinds


def draw_noise(recordings, data, rng, draw_voice=None):
    """One signal of noise (length,) and its kind, as `data.noise_source` says.

    A share `data.white_share` is Gaussian white noise instead.
    """
    if not data.noise_source or rng.random() < data.white_share:
        return rng.normal(0, data.noise_std, data.length), "white"
    draw_recording = partial(draw_passage, recordings, data, rng) if recordings else None
    if data.synthesises_noise:
        return noises.draw_noise(data.length, data.sample_rate, rng, draw_voice, draw_recording)
    return draw_recording()


def draw_passage(recordings, data, rng):
    """A passage (length,) of a recording, and its name; not silent, as far as tries can find one.

    Place and speed are drawn. Longer recordings are drawn more often, by the root of their length;
    one that is shorter than the passage is looped.
    """
    weights = np.sqrt([len(samples) for _, samples in recordings])
    for _ in range(TRIES):
        name, samples = recordings[rng.choice(len(recordings), p=weights / weights.sum())]
        steps = max(1, round(SPEED_STEPS * draw_range(data.noise_speed, None, rng)))
        needed = ceil(data.length * steps / SPEED_STEPS)
        if len(samples) < needed:
            samples = np.resize(samples, needed)
        start = rng.integers(len(samples) - needed + 1)
        # As if it had been sampled at another rate: that many times as fast, the pitch with it.
        passage = resample(samples[start : start + needed], steps, SPEED_STEPS)[: data.length]
        if not is_silent(passage):
            break
    return passage, name


def draw_pairs(voices, noise, data, count, rng):
    """Clean and mixed signals for training, drawn on the fly, each float32 (count, length).

    voices: recordings in a row, float32 (samples,), or None for sines; noise: Recordings. A share
    `data.bare_share` of the signals is next to clean, and as many are noise alone.
    """

    def draw_voice():
        return draw_clean_signal(voices, data, rng)

    clean, mixed = np.empty((2, count, data.length))
    for number in range(count):
        clean[number] = draw_voice()
        babbler = None if voices is None else draw_voice
        passage, _ = draw_noise(noise, data, rng, babbler)
        kind = rng.random()
        if kind < data.bare_share:
            clean[number], mixed[number] = 0, passage
        else:
            bare = kind < 2 * data.bare_share
            snr = draw_range(NEARLY_CLEAN if bare else data.snr_db, None, rng)
            mixed[number] = mix(clean[number], passage, snr)
    return clean.astype(np.float32), mixed.astype(np.float32)


def draw_clean_signal(voices, data, rng):
    """A clean signal (length,) drawn out of recordings in a row, varied as configured; or sines."""
    if voices is None:
        return draw_clean(data, 1, rng)[0]

    def draw_some(size):
        for _ in range(TRIES):
            start = rng.integers(max(1, len(voices) - size + 1))
            passage = np.resize(voices[start : start + size], size)
            if not is_silent(passage):
                break
        return passage

    return varied(draw_some, data, rng)
