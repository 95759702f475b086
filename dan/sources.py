"""Sources: folders of recordings, and synthesised noise, as the signals of a data set.

No signal of one split is heard in another: recordings are shared out, or, where they are few, cut
in time. What cannot be used is named and left out.
"""

import re
import sys
from collections import Counter
from functools import partial
from math import ceil, inf
from typing import NamedTuple

import numpy as np

from dan import noises
from dan.augmentation import varied
from dan.errors import UserError
from dan.progress import track
from dan.recordings import find_recordings, is_silent, read_recording, resample, root_mean_square
from dan.signals import SPLITS, draw_clean, draw_range, mix

FEW = 10  # recordings, below which they are split in time
LAST_SHARE = 0.1  # of each of few recordings, kept for the validation
LEAST_SHARE = 0.05  # of many recordings, kept for the validation
SPEED_STEPS = 50  # speeds are multiples of 1/50, which keeps the filters of resampling short
TRIES = 20
PAUSE = 0.3  # seconds between recordings that are joined
NEARLY_CLEAN = 20.0, 60.0  # dB: the SNR of signals under next to no noise


class Recording(NamedTuple):
    name: str  # what sounds, by the name of the file without its number
    samples: np.ndarray  # float32 (samples,)


def read_splits(folder, wanted, data):
    """{split: list of Recordings}, in an order that is drawn; nothing serves two splits.

    wanted: {split: number of signals}. A split gets recordings in proportion to its number, at
    least a twentieth, and no more are read than it needs. Fewer than ten are split in time, each:
    the last tenth for the validation, with a gap before it. Names what is left out, and why.
    """
    paths, skipped = find_recordings(folder), Counter()
    rng = np.random.default_rng([data.seed, 4])
    left = [paths[index] for index in rng.permutation(len(paths))]
    share = max(LEAST_SHARE, wanted["validation"] / sum(wanted.values()))
    if data.stream and share < 0.5:  # the number of signals says nothing of the recordings then
        share = min(share, LAST_SHARE)
    shares = {"validation": share, "train": 1 - share}
    if len(paths) < FEW:
        with track(total=len(paths), desc=f"reading {folder}", unit="file", leave=False) as bar:
            found = read_some(left, len(paths), inf, data, skipped, bar)
        recordings = shared_out(found, shares, rng) if len(found) >= FEW else split_in_time(
            found, data.length)
    else:
        recordings = {}
        for split, share in shares.items():
            number = min(max(1, round(share * len(paths))), len(paths) - 1)
            with track(total=min(number, len(left)), desc=f"reading {folder} for {split}",
                       unit="file", leave=False) as bar:
                recordings[split] = read_some(left, number, wanted[split], data, skipped, bar)
    for split, chosen in recordings.items():
        if not chosen:
            raise UserError(f"{folder} has no recording for the {split} signals ({len(paths)} "
                            f"found, {skipped.total()} unusable); add recordings, or longer ones")
    reasons = "; ".join(f"{reason}: {count}" for reason, count in skipped.items())
    in_time = len(paths) < FEW and len(found) < FEW
    seconds = sum(len(x) for _, x in recordings["validation"]) / data.sample_rate
    how = ("each split in time, its last tenth" if in_time else
           f"{len(recordings['train'])} for the training, {len(recordings['validation'])}")
    print(f"{folder}: {len(paths)} recordings, {how} ({seconds:.1f} s in all) for the validation; "
          f"skipped: {reasons or 'none'}")
    if in_time:
        print("  so what is measured in the validation holds for these recordings; others may come "
              "out worse")
    return recordings


def shared_out(recordings, shares, rng):
    """{split: Recordings}, whole ones, in proportion to `shares`, at least one each."""
    order = [recordings[index] for index in rng.permutation(len(recordings))]
    number = min(max(1, round(shares["validation"] * len(order))), len(order) - 1)
    return {"validation": order[:number], "train": order[number:]}


def split_in_time(recordings, length):
    """{split: Recordings}: of each its last tenth for the validation, the rest for the training.

    Between them lies a gap of as many samples as a signal has, or of a twentieth if that is less.
    """
    splits = {"validation": [], "train": []}
    for name, samples in recordings:
        end = len(samples) - round(LAST_SHARE * len(samples))
        gap = min(length, len(samples) // 20)
        for split, part in (("train", samples[: end - gap]), ("validation", samples[end:])):
            if not is_silent(part, root_mean_square(samples)):
                splits[split].append(Recording(name, part))
    return splits


def read_some(paths, number, signals, data, skipped, bar):
    """The Recordings in the first `number` usable files of `paths`, or as many as fill `signals`.

    Takes what it reads out of `paths`, names what is unusable and counts it by reason in `skipped`.
    """
    recordings, read, samples = [], 0, 0
    while paths and read < number and samples < signals * data.length:
        path = paths.pop(0)
        try:
            found = read_recording(path, data.sample_rate, npy_rate(data))
            recordings += [Recording(kind_of(path), x) for x in found if len(x)]
            samples += sum(map(len, found))
            read += 1
        except UserError as error:
            reason = str(error).removeprefix(f"{path} ")
            bar.write(f"skipped {path}: {reason}", file=sys.stderr)
            skipped[reason] += 1
        bar.update()
    return recordings


def kind_of(path):
    """What sounds in a file, by its name: birds1.wav and birds-2.wav hold birds."""
    return re.sub(r"[\W\d_]+$", "", path.stem) or path.stem


def npy_rate(data):
    """The sample rate of .npy recordings in Hz."""
    return data.source_rate or data.sample_rate


def cut_segments(recordings, count, data):
    """Segments float32 (≤ count, length) of clean Recordings, and the number of each one's source.

    Cut one after the other; the last of a recording ends where the recording does. What is shorter
    is filled up with zeros. Silent segments are left out.
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
    print(f"{found} segment{'s' * (found != 1)} of {data.duration:g} s from {len(recordings)} "
          f"recording{'s' * (len(recordings) != 1)}; {silent} silent left out")
    return np.array(segments[:count], np.float32), np.array(numbers[:count])


def joined(recordings, pause):
    """All samples of Recordings in a row, with `pause` zeros after each, float32 (samples,)."""
    silence = np.zeros(pause, np.float32)
    return np.concatenate([part for _, samples in recordings for part in (samples, silence)])


def stored_noise(recordings, clean, split, count, data):
    """Noise (count, length), float32, of a split that is stored, and the kind of each, as names.

    recordings: Recordings of noise, or none; clean: the split's clean signals, for babble.
    """
    rng = np.random.default_rng([data.seed, 6, SPLITS.index(split)])

    def another_voice(number):
        other = (number + rng.integers(1, count)) % count
        return np.roll(clean[other], rng.integers(data.length))

    passages, kinds = np.empty((count, data.length), np.float32), []
    for number, passage in enumerate(track(passages, desc=f"drawing noise for {split}",
                                           unit="signal", leave=False)):
        has_others = clean is not None and count > 1
        passage[:], kind = draw_noise(recordings, data, rng,
                                      partial(another_voice, number) if has_others else None)
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

    voices: samples in a row, as `joined` gives them, or None for sines; noise: Recordings. A share
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
