"""Signals out of recordings and synthesised noise: stored ones, and pairs for training drawn on the fly."""

from functools import partial
from math import ceil

import numpy as np

from dan.errors import UserError
from dan.progress import track
from dan.signals.audio_files import is_silent, root_mean_square
from dan.signals.augmentation import SPEED_STEPS, varied
from dan.signals.noises import draw_mixed_noise
from dan.signals.resampling import resample
from dan.signals.sines import SPLITS, draw_clean, draw_range, mix

MOST_TRIES = 20  # to find a passage that is not silent
NEARLY_CLEAN_DB = 20.0, 60.0  # the SNR of signals under next to no noise


def cut_splits(recordings, counts, data):
    """Clean signals for the splits that are stored, and how many there are.

    recordings: as `read_splits` gives them, None for sines; counts: {split: number that is asked
    for}. Returns {split: number}, {split: float32 (number, length)}, for each training signal the
    number of the recording it comes from, and for each test signal the folder, such as of a speaker.
    """
    clean, numbers_of_train, places = {}, [], None
    if recordings is None:
        return counts, clean, numbers_of_train, places
    for split, count in counts.items():
        print(f"{split}: ", end="")
        clean[split], numbers, places = cut_segments(recordings[split], count, data)
        if split == "train":  # used again, to go with other noise at other speeds
            clean[split] = np.resize(clean[split], (count, data.length))
            numbers_of_train = np.resize(numbers, count).tolist()
    return {split: len(signals) for split, signals in clean.items()}, clean, numbers_of_train, places


def cut_segments(recordings, count, data):
    """Segments float32 (≤ count, length) of clean Recordings, and number and place of each one's source.

    Cut one after the other; the last of a recording ends where the recording does. Shorter ones
    are filled up with zeros. Silent segments are left out. Asks for no more recordings than needed.
    Raises UserError if all are silent.
    """
    segments, numbers, places, silent = [], [], [], 0
    for number, recording in enumerate(recordings):
        samples = recording.samples
        level, last = root_mean_square(samples), max(0, len(samples) - data.length)
        for start in [*range(0, last, data.length), last]:
            segment = samples[start : start + data.length]
            if is_silent(segment, level):
                silent += 1
            else:
                segments.append(np.pad(segment, (0, data.length - len(segment))))
                numbers.append(number)
                places.append(recording.place)
        if len(segments) >= count:
            break
    if not segments:
        raise UserError(f"{data.clean_source} holds only silence for one of the splits; add recordings")
    segments = segments[:count]
    print(
        f"{len(segments)} segment{'s' * (len(segments) != 1)} of {data.duration:g} s from {number + 1} "
        f"recording{'s' * (number > 0)}; {silent} silent left out"
    )
    return np.array(segments, np.float32), np.array(numbers[:count]), places[:count]


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
    noise, kinds = np.empty((count, data.length), np.float32), []

    def draw_other_voice():
        other = (len(kinds) + rng.integers(1, count)) % count
        return np.roll(clean[other], rng.integers(data.length))

    draw_voice = draw_other_voice if clean is not None and count > 1 else None
    for signal in track(noise, desc=f"drawing noise for {split}", unit="signal", leave=False):
        signal[:], kind = draw_noise_signal(recordings, data, rng, draw_voice)
        kinds.append(kind)
    return noise, kinds


def draw_noise_signal(recordings, data, rng, draw_voice=None):
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

    Recording, place and speed are drawn.
    """
    for _ in range(MOST_TRIES):
        steps = max(1, round(SPEED_STEPS * draw_range(data.noise_speed, None, rng)))
        name, passage = cut_passage(recordings, ceil(data.length * steps / SPEED_STEPS), rng)
        # As if it had been sampled at another rate: that many times as fast, the pitch with it.
        passage = resample(passage, steps, SPEED_STEPS)[: data.length]
        if not is_silent(passage):
            break
    return passage, name


def cut_passage(recordings, size, rng):
    """The name of one of the Recordings, and a passage (size,) of it.

    Longer recordings are drawn more often, by the root of their length, so that nobody who speaks
    for long drowns the others; one that is shorter than the passage is looped.
    """
    weights = np.sqrt([len(recording.samples) for recording in recordings])
    name, samples, _ = recordings[rng.choice(len(recordings), p=weights / weights.sum())]
    if len(samples) < size:
        samples = np.resize(samples, size)
    start = rng.integers(len(samples) - size + 1)
    return name, samples[start : start + size]


def draw_pairs(voices, noise, data, count, rng):
    """Clean and mixed signals for training, drawn on the fly, each float32 (count, length).

    voices: Recordings, one of each speaker, or None for sines; noise: Recordings. A share
    `data.bare_share` of the signals is next to clean, and as many are noise alone.
    """

    def draw_voice():
        return draw_clean_signal(voices, data, rng)

    clean, mixed = np.empty((2, count, data.length))
    for number in range(count):
        clean[number] = draw_voice()
        babbler = None if voices is None else draw_voice
        passage, _ = draw_noise_signal(noise, data, rng, babbler)
        kind = rng.random()
        if kind < data.bare_share:
            clean[number], mixed[number] = 0, passage
        else:
            bare = kind < 2 * data.bare_share
            snr = draw_range(NEARLY_CLEAN_DB if bare else data.snr_db, None, rng)
            mixed[number] = mix(clean[number], passage, snr)
    return clean.astype(np.float32), mixed.astype(np.float32)


def draw_clean_signal(voices, data, rng):
    """A clean signal (length,) drawn out of Recordings, varied as configured; or sines."""
    if voices is None:
        return draw_clean(data, 1, rng)[0]

    def draw_some(size):
        for _ in range(MOST_TRIES):
            _, passage = cut_passage(voices, size, rng)
            if not is_silent(passage):
                break
        return passage

    return varied(draw_some, data, rng)
