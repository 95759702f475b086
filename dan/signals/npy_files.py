"""Files of one signal each: writing them, and reading many of them in parallel, with checks."""

import io
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from dan.errors import UserError
from dan.files import cannot_write
from dan.progress import track
from dan.signals.audio_files import map_array

CURE = "run create_data.py with the same preset and settings"
# Such that opening a pipe does not wait, and that Windows leaves the bytes as they are.
READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
FILES_AT_ONCE = 500  # that a reader takes
LARGEST_IN_MEMORY = 2**30  # bytes of an array; what is larger lies in a file


def save_signal(path, array):
    """Write one .npy file, unless it is there already, as a run that was cut short left it.

    Not flushed each by each: without its manifest the data set is none.
    """
    if array.ndim == 1 and not path.is_symlink() and is_stored(path, array):
        return
    try:
        path.unlink(missing_ok=True)  # a link in its place would lead to someone else's file
        with open(path, "wb") as file:
            np.save(file, array)
    except OSError as error:
        raise cannot_write(path, error) from error


def read_signals(place, names, length, title):
    """The signals in these files of a folder and no others, float32 of shape (count, length).

    title: of the bar. Raises UserError for a missing, surplus, unreadable, misshapen or non-finite
    file.
    """
    present = os.listdir(place) if place.is_dir() else ()
    surplus = {name for name in present if name.endswith(".npy")}.difference(names)
    if surplus:
        raise UserError(f"{place / min(surplus)} is not in the manifest; move it away")
    count = len(names)
    signals = new_array((count, length), place)

    def read_some(numbers):
        for index in numbers:
            signals[index] = read_signal(place / names[index], length)
        return len(numbers)

    starts = range(0, count, FILES_AT_ONCE)
    parts = (range(start, min(count, start + FILES_AT_ONCE)) for start in starts)
    with ThreadPoolExecutor() as readers, track(total=count, desc=title, unit="file", leave=False) as bar:
        for done in readers.map(read_some, parts):
            bar.update(done)
    return signals


def read_signal(path, length):
    """One stored signal, float32 of shape (length,); raises UserError for anything else."""
    array = read_plainly(path, length)
    if array is not None and np.isfinite(array).all():
        return array
    try:
        array = map_array(path)
    except UserError as error:
        raise UserError(f"{error}; {CURE}") from error
    if array.dtype != np.float32 or array.shape != (length,):
        raise UserError(f"{path} is not a float32 signal of {length} samples; {CURE}")
    if not np.isfinite(array).all():
        raise UserError(f"{path} holds values that are not finite; {CURE}")
    return array


def read_plainly(path, length):
    """The float32 (length,) in a file that `save_signal` wrote, ten times as fast as np.load.

    None if it is anything else.
    """
    header = header_of(length)
    size = len(header) + 4 * length
    try:
        file = os.open(path, READING)
        try:
            content = os.read(file, size + 1)
        finally:
            os.close(file)
    except OSError:
        return None
    if len(content) != size or not content.startswith(header):
        return None
    return np.frombuffer(content, "<f4", offset=len(header))


@cache
def header_of(length):
    """The first bytes of an .npy file of float32 (length,)."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f4", "fortran_order": False, "shape": (length,)})
    return content.getvalue()


def is_stored(path, array):
    """Whether the file at `path` holds just this signal already."""
    stored = read_plainly(path, len(array))
    return stored is not None and stored.tobytes() == array.tobytes()


def new_array(shape, folder):
    """An array of float32; one that would fill the memory lies in a nameless file in the folder."""
    if 4 * np.prod(shape) < LARGEST_IN_MEMORY:
        return np.empty(shape, np.float32)
    try:
        place = folder if os.access(folder, os.W_OK) else None
        file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 it lasts as long as the array
        if hasattr(os, "posix_fallocate"):  # a disk that is full says so now, not while it is used
            os.posix_fallocate(file.fileno(), 0, 4 * int(np.prod(shape)))
        return np.memmap(file, np.float32, shape=shape)
    except OSError as error:
        raise cannot_write(folder, error) from error
