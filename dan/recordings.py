"""Recordings: finding and reading them, at any rate, and cutting training signals out of them.

A folder of recordings, with folders in it or not, becomes the clean signals or the noise of a data
set. What cannot be used is named and left out. No recording serves two splits.
"""

import os
import sys
from collections import Counter
from math import ceil, gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal
from tqdm import tqdm

from dan.errors import UserError
from dan.files import check_regular
from dan.signals import SPLITS, draw_range

PIECE = 2**16  # samples that are read at a time
AUDIO = (".wav", ".flac", ".ogg")
SUFFIXES = (*AUDIO, ".npy")
SILENT = 1e-10  # root mean square; .npy recordings may be in any unit
SILENT_SHARE = 0.01  # of the recording's root mean square
SPEED_STEPS = 50  # speeds are multiples of 1/50, which keeps the filters of resampling short
TRIES = 20
FARTHEST_RATES = 1000  # the ratio of two sample rates beyond which resampling has no end
LOUDEST = 1e15  # the power of more than 1e19 overflows


def find_recordings(folder):
    """The paths of all recordings in the folder and the folders in it, sorted, links not followed.

    Raises UserError if there is no such folder or no recording in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; name one of recordings ({', '.join(SUFFIXES)})")
    paths = sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    )
    if not paths:
        raise UserError(f"{folder} holds no recording; what is read is {', '.join(SUFFIXES)}")
    return paths


def read_recording(path, sample_rate, npy_rate):
    """The signals in a file, a list of float32 arrays (samples,) at `sample_rate`.

    The channels of an audio file are averaged to one signal; an .npy array has one signal, or one
    per row, at `npy_rate`. Raises UserError for what is unreadable, empty, silent or not finite.
    """
    if path.suffix.lower() == ".npy":
        signals, rate = read_rows(path), npy_rate
    else:
        signals, rate = read_channels_averaged(path)
    if not sum(map(len, signals)):
        raise UserError(f"{path} is empty")
    if not all(np.isfinite(x).all() for x in signals):
        raise UserError(f"{path} holds values that are not finite")
    if max(np.abs(x).max() for x in signals if len(x)) > LOUDEST:
        raise UserError(f"{path} holds values beyond {LOUDEST:g}; scale it down")
    if are_far_apart(rate, sample_rate):
        raise UserError(f"{path} has {rate:,} samples per second, too far from {sample_rate:,}")
    signals = [resample(x, rate, sample_rate) for x in signals]
    if all(is_silent(x) for x in signals):
        raise UserError(f"{path} is silent")
    return signals


def read_channels_averaged(path):
    """([float32 (samples,)], sample rate) of an audio file."""
    with open_audio(path) as file:
        # In pieces, so that a damaged header that promises more takes no memory.
        pieces = [piece.mean(1, dtype=np.float32) for piece in read_pieces(file)]
        return [np.concatenate(pieces)] if pieces else [], file.samplerate


def read_pieces(file):
    """An open audio file in pieces, float32 (samples, channels); or UserError if it is damaged."""
    while True:
        try:
            piece = file.read(PIECE, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise UserError(f"{os.fsdecode(file.name)} is damaged") from error
        if not len(piece):
            return
        yield piece


def open_audio(path):
    """An audio file opened for reading; raises UserError if it is none."""
    check_regular(path)
    try:
        return soundfile.SoundFile(as_file_name(path))
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        reason = getattr(error, "error_string", error)
        raise UserError(f"{path} is unreadable ({reason})") from error


def as_file_name(path):
    """A path as soundfile takes it, whatever bytes its name is made of."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def read_rows(path):
    """The rows of an .npy file, float32 (samples,) each; or UserError if it holds no signals."""
    return list(np.atleast_2d(map_array(path)).astype(np.float32))


def map_array(path):
    """An .npy array of one signal, or one per row, as it lies on the disk, read when it is used."""
    check_regular(path)
    try:
        # Mapped, so that a header that promises more than the file holds takes no memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damaged headers lead numpy to errors of any kind
        raise UserError(f"{path} is unreadable (no .npy array)") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim > 2 \
            or array.ndim == 0:
        raise UserError(f"{path} is no array of numbers with one signal, or one per row")
    return array


def are_far_apart(rate, other):
    """Whether two sample rates differ so much that resampling between them would never end."""
    return not 1 / FARTHEST_RATES <= rate / other <= FARTHEST_RATES


def resample(signals, from_rate, to_rate):
    """Polyphase resampling along the last axis; float32. Nothing is done where the rates agree."""
    if from_rate == to_rate:
        return signals.astype(np.float32, copy=False)
    common = gcd(from_rate, to_rate)
    return signal.resample_poly(
        signals, to_rate // common, from_rate // common, axis=-1
    ).astype(np.float32)


def is_silent(samples, relative_to=0.0):
    """Whether the root mean square is next to nothing, or below 1 % of another one."""
    return root_mean_square(samples) < max(SILENT, SILENT_SHARE * relative_to)


def root_mean_square(samples):
    return np.sqrt(np.square(samples, dtype=np.float64).mean()) if samples.size else 0.0


def read_splits(folder, wanted, data):
    """{split: list of signals}, each split from recordings of its own, in an order that is drawn.

    wanted: {split: number of signals}. A split gets recordings in proportion to its number, at
    least one, and no more are read than it needs. Names what is left out, and why.
    """
    paths = find_recordings(folder)
    rng = np.random.default_rng([data.seed, 4])
    left = [paths[index] for index in rng.permutation(len(paths))]
    signals, skipped = {}, Counter()
    # The smallest split first: of few recordings, it gets at least one.
    for split in sorted(wanted, key=wanted.get):
        share = 1 if len(signals) + 1 == len(wanted) else wanted[split] / sum(wanted.values())
        number, samples = max(1, round(share * len(paths))), wanted[split] * data.length
        with tqdm(total=min(number, len(left)), desc=f"reading {folder} for {split}", unit="file",
                  leave=False) as bar:
            signals[split] = read_some(left, number, samples, data, skipped, bar)
        if not signals[split]:
            raise UserError(
                f"{folder} has no recording left for the {split} signals ({len(paths)} found, "
                f"{skipped.total()} unusable); it takes one for each split, so add recordings, or "
                "cut a long one into several files"
            )
    reasons = "; ".join(f"{reason}: {count}" for reason, count in skipped.items())
    print(f"{folder}: {len(paths)} recordings, of which skipped: {reasons or 'none'}")
    return signals


def read_some(paths, number, samples, data, skipped, bar):
    """The signals of the first `number` usable recordings of `paths`, or of as many samples.

    Takes what it reads out of `paths`, names what is unusable and counts it by reason in `skipped`.
    """
    signals, read = [], 0
    while paths and read < number and sum(map(len, signals)) < samples:
        path = paths.pop(0)
        try:
            signals += read_recording(path, data.sample_rate, npy_rate(data))
            read += 1
        except UserError as error:
            reason = str(error).removeprefix(f"{path} ")
            tqdm.write(f"skipped {path}: {reason}", file=sys.stderr)
            skipped[reason] += 1
        bar.update()
    return signals


def npy_rate(data):
    """The sample rate of .npy recordings in Hz."""
    return data.source_rate or data.sample_rate


def clean_segments(data, wanted):
    """Segments {split: float32 (count, length)} and {split: their recordings' numbers (count,)}.

    Cut one after the other out of `data.clean_source`. The end of a recording is filled up with
    zeros; silent segments are left out. Training segments that are fewer than `wanted` are used
    again, to go with other noise at other speeds.
    """
    segments, recordings = {}, {}
    for split, signals in read_splits(data.clean_source, wanted, data).items():
        cuts = [cut(samples, data.length) for samples in signals]
        found = np.concatenate([kept for kept, _ in cuts])[: wanted[split]]
        numbers = np.repeat(np.arange(len(cuts)), [len(kept) for kept, _ in cuts])[: len(found)]
        if not len(found):
            raise UserError(f"{data.clean_source} holds only silence for the {split} signals")
        print(f"{split}: {len(found)} segments of {data.duration:g} s from {len(signals)} "
              f"recordings; {sum(silent for _, silent in cuts)} silent segments left out")
        if split == "train":
            found = np.resize(found, (wanted[split], data.length))
        segments[split], recordings[split] = found, np.resize(numbers, len(found))
    return segments, recordings


def cut(samples, length):
    """Consecutive segments (count, length), the last one filled up, and how many were silent."""
    level = root_mean_square(samples)
    segments = np.pad(samples, (0, -len(samples) % length)).reshape(-1, length)
    loud = [not is_silent(segment, level) for segment in segments]
    return segments[loud], len(segments) - sum(loud)


def noise_passages(data, counts):
    """{split: float32 (count, length)}: passages drawn out of `data.noise_source`.

    Each from a recording, place and speed that are drawn; a recording shorter than a passage is
    looped. A share `data.white_share` is Gaussian white noise instead.
    """
    passages = {}
    for split, signals in read_splits(data.noise_source, counts, data).items():
        rng = np.random.default_rng([data.seed, 6, SPLITS.index(split)])
        passages[split] = np.empty((counts[split], data.length), np.float32)
        for passage in tqdm(passages[split], desc=f"drawing noise for {split}", unit="signal",
                            leave=False):
            white = rng.random() < data.white_share
            passage[:] = (rng.normal(0, data.noise_std, data.length) if white
                          else draw_passage(signals, data, rng))
    return passages


def draw_passage(signals, data, rng):
    """One passage (length,) that is not silent, as far as some tries can find one."""
    for _ in range(TRIES):
        recording = signals[rng.integers(len(signals))]
        steps = max(1, round(SPEED_STEPS * draw_range(data.noise_speed, None, rng)))
        needed = ceil(data.length * steps / SPEED_STEPS)
        if len(recording) < needed:
            recording = np.resize(recording, needed)
        start = rng.integers(len(recording) - needed + 1)
        # As if it had been sampled at another rate: that many times as fast, the pitch with it.
        passage = resample(recording[start : start + needed], steps, SPEED_STEPS)[: data.length]
        if not is_silent(passage):
            break
    return passage
