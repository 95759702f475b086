"""Recordings: finding the files in a folder, and reading them, at any sample rate."""

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from dan.errors import UserError
from dan.files import check_regular
from dan.signals.resampling import PIECE, resample
from dan.signals.video_files import CONTAINERS, Sound

# The name that libsndfile has for the format of a file, by the file's suffix.
FORMATS = {f".{name.lower()}": name for name in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "RF64", "W64")}
FORMATS |= {".aif": "AIFF", ".aifc": "AIFF", ".oga": "OGG", ".opus": "OGG", ".snd": "AU", ".sph": "NIST"}
SUFFIXES = (*FORMATS, *CONTAINERS, ".npy")
SILENT = 1e-10  # root mean square; .npy recordings may be in any unit
SILENT_SHARE = 0.01  # of the recording's root mean square
FARTHEST_RATES = 1000  # the largest ratio of two sample rates; resampling beyond it would not end
LOUDEST = 1e15  # the power of more than 1e19 overflows
MOST_CHANNELS, LEAST_SAMPLES = 64, 256  # of an array that is plainly (samples, channels)


def find_recordings(folder):
    """The paths of all recordings in the folder and the folders in it, sorted, links not followed.

    Raises UserError if there is no such folder or no recording in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name one of recordings ({', '.join(SUFFIXES)})")
    paths = sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=refuse)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    )
    if not paths:
        raise UserError(f"{folder} has no recordings; these are read: {', '.join(SUFFIXES)}")
    return paths


def refuse(error):
    """Raise the error of a folder that cannot be read, which os.walk would leave out."""
    raise error


def read_recording(path, sample_rate, npy_rate):
    """The signals in a file, a list of float32 arrays (samples,) at `sample_rate`.

    The channels of an audio file are averaged to one signal; an .npy array has one signal, or one
    per row, at `npy_rate`. Raises UserError if it is unreadable, empty, silent or not finite.
    """
    if path.suffix.lower() == ".npy":
        signals, rate = list(np.atleast_2d(map_array(path)).astype(np.float32)), npy_rate
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


def read_pieces(file, size=PIECE):
    """An open audio file in pieces, float32 (samples, channels); or UserError if it is damaged."""
    while len(piece := read_samples(file, size)):
        yield piece


def read_samples(file, count):
    """The next samples of an open audio file, float32 (≤ count, channels); UserError if damaged."""
    try:
        with quiet():
            return file.read(count, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise UserError(f"{os.fsdecode(file.name)} is damaged") from error


def open_audio(path):
    """An audio file, or the sound of a video, opened for reading; raises UserError if it cannot be read."""
    if path.suffix.lower() in CONTAINERS:
        return Sound(path)
    check_regular(path)
    try:
        path.open("rb").close()  # says why it cannot be opened, which libsndfile does not
        with quiet():
            return soundfile.SoundFile(as_file_name(path))
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        reason = str(getattr(error, "error_string", getattr(error, "strerror", error)))
        if "does not exist" in reason:  # it does; libsndfile says so of MP3 that it cannot read
            reason = "damaged, or not audio"
        raise UserError(f"{path} is unreadable ({reason})") from error


@contextmanager
def quiet():
    """Drop what libmpg123 prints about damaged MP3; it writes to the descriptor of standard error."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def as_file_name(path):
    """A path as soundfile takes it, whatever bytes its name is made of."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def is_transposed(array):
    """Whether an array is plainly (samples, channels), as soundfile reads, not the other way."""
    return array.ndim > 1 and array.shape[-1] <= MOST_CHANNELS < LEAST_SAMPLES <= array.shape[-2]


def map_array(path):
    """An .npy array of one signal, or one per row, as it lies on the disk, read when it is used.

    Raises UserError for anything else, and for an array that is plainly (samples, channels).
    """
    check_regular(path)
    try:
        # Mapped, so that a header that promises more than the file holds takes no memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damaged headers lead numpy to errors of any kind
        raise UserError(f"{path} is unreadable (no .npy array)") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fi" or array.ndim not in (1, 2):
        raise UserError(f"{path} is not an array of signed numbers with one signal, or one per row")
    if is_transposed(array):
        raise UserError(f"{path} {array.shape} looks like (samples, channels); store its transpose, a signal per row")
    return array


def are_far_apart(rate, other):
    """Whether two sample rates differ so much that resampling between them would never end."""
    return not 1 / FARTHEST_RATES <= rate / other <= FARTHEST_RATES


def is_silent(samples, relative_to=0.0):
    """Whether the root mean square is next to nothing, or below 1 % of another one."""
    return root_mean_square(samples) < max(SILENT, SILENT_SHARE * relative_to)


def root_mean_square(samples):
    return np.sqrt(np.square(samples, dtype=np.float64).mean()) if samples.size else 0.0
