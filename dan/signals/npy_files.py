"""Files of one signal each: writing them, and reading many of them in parallel into one array."""

import io
import os
import tempfile
from functools import cache
from multiprocessing.pool import ThreadPool

import numpy as np

from dan.errors import UserError
from dan.files import cannot_write
from dan.progress import track

CURE = "run create_data.py with the same preset and settings"
FILES_PER_TASK = 500  # so many that handing them to a thread takes no time beside reading them
MOST_BYTES_IN_MEMORY = 2**30  # of an array; a larger one lies in a file


@cache
def npy_header(length):
    """The first bytes of an .npy file of float32 (length,)."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f4", "fortran_order": False, "shape": (length,)})
    return content.getvalue()


def save_signal(path, signal):
    """Write a float32 signal (length,) to a new .npy file; raises UserError where there is one already.

    It is not flushed by itself: without its manifest the data set is none.
    """
    content = npy_header(len(signal)) + signal.tobytes()
    try:
        with open(path, "xb") as file:
            file.write(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def read_signals(folder, names, length, title):
    """The signals in these files of a folder and no others, float32 of shape (count, length).

    title: of the bar. Raises UserError for a missing, surplus, unreadable or misshapen file.
    """
    surplus = {path.name for path in folder.glob("*.npy")}.difference(names)
    if surplus:
        raise UserError(f"{folder / min(surplus)} is not in the manifest; move it away")
    signals = new_array((len(names), length), folder)

    def read_into(index):
        signals[index] = read_signal(folder / names[index], length)

    with ThreadPool() as threads:
        done = threads.imap_unordered(read_into, range(len(names)), FILES_PER_TASK)
        for _ in track(done, total=len(names), desc=title, unit="file", leave=False):
            pass
    return signals


def read_signal(path, length):
    """The signal in a file that `save_signal` wrote, float32 (length,), ten times as fast as np.load.

    Raises UserError for any other file.
    """
    header = npy_header(length)
    size = len(header) + 4 * length
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read(size + 1)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {CURE}") from None
    except OSError as error:
        raise UserError(f"{path} is unreadable ({error.strerror}); {CURE}") from error
    if len(content) != size or not content.startswith(header):
        raise UserError(f"{path} is not a float32 signal of {length} samples; {CURE}")
    return np.frombuffer(content, "<f4", offset=len(header))


def new_array(shape, folder):
    """An array of float32; one that would fill the memory lies in a nameless file in the folder."""
    size = 4 * int(np.prod(shape))
    if size < MOST_BYTES_IN_MEMORY:
        return np.empty(shape, np.float32)
    try:
        file = tempfile.TemporaryFile(dir=folder if os.access(folder, os.W_OK) else None)  # noqa: SIM115 the array's
        if hasattr(os, "posix_fallocate"):  # a full disk is then noticed now, not while the array is used
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, np.float32, shape=shape)
    except OSError as error:
        raise cannot_write(folder, error) from error
