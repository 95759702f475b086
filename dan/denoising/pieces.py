"""Pieces of recordings, arrays (channels, samples): cutting, joining, and making other numbers of them."""

import numpy as np

from dan.signals.audio_files import LOUDEST


def take(pieces, count):
    """Take the first `count` samples out of a list of arrays (channels, samples), or all of them."""
    joined = np.concatenate(pieces, axis=1)
    pieces[:] = [joined[:, count:]]
    return joined[:, :count]


def round_up(number, multiple):
    return -(-number // multiple) * multiple


def split_into_blocks(pieces, length, step, grid=1):
    """(block, advance): overlapping blocks of a recording, and how far behind the last each begins.

    Blocks of `length` samples, one every `step`; the last one ends where the recording does, and
    is longer by less than `grid`, so that every block begins at a multiple of it. A recording of
    less than that is one block.
    """
    buffer, advance = None, 0
    for piece in pieces:
        buffer = piece if buffer is None else np.concatenate([buffer, piece], axis=1)
        while buffer.shape[1] >= length + step:  # the next block is whole, too
            yield buffer[:, :length], advance
            buffer, advance = buffer[:, step:], step
    if buffer is None or not buffer.shape[1]:
        return
    if buffer.shape[1] >= length + grid:
        yield buffer[:, :length], advance
        advance = (buffer.shape[1] - length) // grid * grid
        buffer = buffer[:, advance:]
    yield buffer, advance


def as_finite(samples):
    """(Samples as float32, how many of them are not finite or too large and became zero)."""
    usable = np.abs(samples.astype(np.float64)) <= LOUDEST  # false for NaN, too
    return np.where(usable, samples, 0).astype(np.float32), usable.size - np.count_nonzero(usable)


def as_type(samples, dtype):
    """(Samples as another type of number, how many of them were clipped to its range)."""
    samples = samples.astype(np.float64)
    if dtype.kind == "f":
        limits = np.finfo(dtype)
    else:
        samples, limits = np.rint(samples), np.iinfo(dtype)
    clipped = np.clip(samples, limits.min, limits.max)
    return clipped.astype(dtype), np.count_nonzero(clipped != samples)
