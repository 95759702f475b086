"""Sources: folders of recordings, and synthesised noise, as the signals of a data set.

No signal of one split is heard in another: recordings are shared out, or, where they are few, cut
in time. Files that cannot be used are named and left out.
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
from dan.signals.audio_files import find_recordings, is_silent, read_recording, resample, root_mean_square
from dan.signals.augmentation import SPEED_STEPS, varied
from dan.signals.noises import draw_mixed_noise
from dan.signals.sines import SPLITS, draw_clean, draw_range, mix

HELD_OUT_SHARE = 0.1  # of the recordings, for the validation, and as much again for the test
SPLIT_ENDS = {"train": 0.8, "validation": 0.9, "test": 1.0}  # of a recording that is cut in time
LARGEST_GAP = 0.02  # of a recording that is cut in time, between two splits
MOST_NAMED = 3  # recordings of a split that are named
FEW_SIGNALS = 20  # of the validation or the test, with which figures are rough
LARGE_MEAN = 0.3  # of the standard deviation; its power is a tenth of that of the rest
MOST_TRIES = 20  # to find a passage that is not silent
PAUSE_SECONDS = 0.3  # of silence after each of the clean recordings that are streamed from
NEARLY_CLEAN_DB = 20.0, 60.0  # the SNR of signals under next to no noise


class Recording(NamedTuple):
    name: str  # what sounds, by the name of the file without its number
    samples: np.ndarray  # float32 (samples,)


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

    Validation and test get a tenth of the units each, at least one; and, where training signals
    are stored and not streamed, as many as they have of the signals. The training gets the rest,
    with the largest.
    """
    rng = np.random.default_rng([data.seed, 4])
    largest = max(units, key=lambda name: sum(path.lstat().st_size for path in units[name]))
    shuffled = [list(units)[index] for index in rng.permutation(len(units))]
    names = [name for name in shuffled if name != largest] + [largest]
    signals = data.num_train + 2 * data.num_validation
    share = HELD_OUT_SHARE if data.stream else max(HELD_OUT_SHARE, data.num_validation / signals)
    number = min(max(1, round(share * len(units))), (len(units) - 1) // 2)
    shares = {"validation": names[:number], "test": names[number : 2 * number], "train": names[2 * number :]}
    splits = {}
    for split, own in shares.items():
        paths = [path for name in own for path in units[name]]
        paths = [paths[index] for index in rng.permutation(len(paths))]
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
    for name, samples in read_files(paths, data, "recordings"):
        for split, part in cut_in_time(samples, data.length).items():
            if not is_silent(part, root_mean_square(samples)):
                splits[split].append(Recording(name, part))
    seconds = sum(len(samples) for _, samples in splits["test"]) / data.sample_rate
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
            yield Recording(name, samples)


def cut_splits(recordings, counts, data):
    """Clean signals for the splits that are stored, and how many there are.

    recordings: as `read_splits` gives them, None for sines; counts: {split: number that is asked
    for}. Returns {split: number}, {split: float32 (number, length)} and, for each training signal,
    the number of the recording it comes from.
    """
    clean, numbers_of_train = {}, []
    if recordings is None:
        return counts, clean, numbers_of_train
    for split, count in counts.items():
        print(f"{split}: ", end="")
        clean[split], numbers = cut_segments(recordings[split], count, data)
        if split == "train":  # used again, to go with other noise at other speeds
            clean[split] = np.resize(clean[split], (count, data.length))
            numbers_of_train = np.resize(numbers, count).tolist()
        elif len(numbers) < FEW_SIGNALS:
            print(f"  so few {split} signals ({len(numbers)}) make for rough figures")
    return {split: len(signals) for split, signals in clean.items()}, clean, numbers_of_train


def cut_segments(recordings, count, data):
    """Segments float32 (≤ count, length) of clean Recordings, and the number of each one's source.

    Cut one after the other; the last of a recording ends where the recording does. Shorter ones
    are filled up with zeros. Silent segments are left out. Asks for no more recordings than needed.
    Raises UserError if all are silent.
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
    if not segments:
        raise UserError(f"{data.clean_source} holds only silence for one of the splits; add recordings")
    segments = segments[:count]
    print(
        f"{len(segments)} segment{'s' * (len(segments) != 1)} of {data.duration:g} s from {number + 1} "
        f"recording{'s' * (number > 0)}; {silent} silent left out"
    )
    return np.array(segments, np.float32), np.array(numbers[:count])


def draw_noise_splits(recordings, clean, counts, data):
    """Noise for the splits that are stored, {split: float32 (count, length)}, and the kinds of the test's.

    recordings: as `read_splits` gives them, or None; clean: {split: clean signals}, for babble.
    Nothing and None for Gaussian white noise, which needs no source.
    """
    noise, kinds = {}, None
    if not data.noise_source:
        return noise, kinds
    for split, count in counts.items():
        some = recordings and take_samples(recordings[split], count * data.length)
        noise[split], kinds = draw_stored_noise(some, clean.get(split), split, count, data)
    return noise, kinds  # of the last split, the test


def take_samples(recordings, number):
    """The first Recordings that have so many samples together, in a list."""
    taken = []
    for recording in recordings:
        taken.append(recording)
        number -= len(recording.samples)
        if number <= 0:
            break
    return taken


def draw_stored_noise(recordings, clean, split, count, data):
    """Noise (count, length), float32, of a split, and the kind of each, as names.

    recordings: a list of Recordings of noise, or None; clean: the split's clean signals, for babble,
    or None.
    """
    rng = np.random.default_rng([data.seed, 6, SPLITS.index(split)])

    def another_voice(number):
        other = (number + rng.integers(1, count)) % count
        return np.roll(clean[other], rng.integers(data.length))

    passages, kinds = np.empty((count, data.length), np.float32), []
    for number, passage in enumerate(track(passages, desc=f"drawing noise for {split}", unit="signal", leave=False)):
        draw_voice = partial(another_voice, number) if clean is not None and count > 1 else None
        passage[:], kind = draw_noise(recordings, data, rng, draw_voice)
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
        return draw_mixed_noise(data.length, data.sample_rate, rng, draw_voice, draw_recording)
    return draw_recording()


def draw_passage(recordings, data, rng):
    """A passage (length,) of a recording, and its name; not silent, as far as tries can find one.

    Place and speed are drawn. Longer recordings are drawn more often, by the root of their length;
    one that is shorter than the passage is looped.
    """
    weights = np.sqrt([len(samples) for _, samples in recordings])
    for _ in range(MOST_TRIES):
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
            snr = draw_range(NEARLY_CLEAN_DB if bare else data.snr_db, None, rng)
            mixed[number] = mix(clean[number], passage, snr)
    return clean.astype(np.float32), mixed.astype(np.float32)


def draw_clean_signal(voices, data, rng):
    """A clean signal (length,) drawn out of recordings in a row, varied as configured; or sines."""
    if voices is None:
        return draw_clean(data, 1, rng)[0]

    def draw_some(size):
        for _ in range(MOST_TRIES):
            start = rng.integers(max(1, len(voices) - size + 1))
            passage = np.resize(voices[start : start + size], size)
            if not is_silent(passage):
                break
        return passage

    return varied(draw_some, data, rng)
