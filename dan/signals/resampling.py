"""Resampling, of whole recordings and piece by piece, with no more delay than its filter has.

Between 8 and 48 kHz that is 4 or 8 ms; soxr, whose output comes in lumps, keeps 37 to 116 ms back at its usual quality.
"""

from functools import lru_cache
from math import gcd

import numpy as np
from scipy import signal

REACH = 64  # samples of the lower rate, on either side, that a resampled one depends on
CUTOFF = 0.95  # of the lower Nyquist frequency: the middle of the slope from 0.9, which stays, to 1, which goes
ATTENUATION_DB = 100
RUN, LONGEST_RUN = 64, 1024  # samples that are resampled at once
PIECE = 2**16  # samples of a whole recording that are resampled at a time


def resample(signals, from_rate, to_rate):
    """Resample along the last axis; float32, ceil(samples · to_rate / from_rate) samples."""
    signals = signals.astype(np.float32, copy=False)
    pieces = (signals[..., at : at + PIECE] for at in range(0, max(1, signals.shape[-1]), PIECE))
    return np.concatenate(list(resample_pieces(pieces, from_rate, to_rate)), axis=-1)


def resample_pieces(pieces, from_rate, to_rate):
    """Resample a recording in pieces, float32 (..., samples) each; nothing is done for equal rates.

    Gives a piece, which may be empty, for each that it takes, and the rest at the end: in all
    ceil(samples · to_rate / from_rate) samples, however the recording is cut. Of what it has taken
    it keeps at most REACH samples of the lower rate back.
    """
    if from_rate == to_rate:
        yield from pieces
        return
    resampler = Resampler(from_rate, to_rate)
    for piece in pieces:
        yield resampler(piece)
    if resampler.buffer is not None:
        yield resampler.rest()


class Resampler:
    """A low-pass filter between two rates: called with a recording's pieces, gives all samples that they suffice for.

    Times are whole numbers: a sample of the recording lasts for `up`, one that is given for `down`,
    and depends on what is at most `half` away. Samples are computed in runs of `size`, each by a
    matrix from `span` samples of the recording. The matrices of a `cycle` of runs differ.
    """

    def __init__(self, from_rate, to_rate):
        divisor = gcd(from_rate, to_rate)
        self.up, self.down = to_rate // divisor, from_rate // divisor
        self.half = REACH * max(self.up, self.down)
        # A multiple of `up` needs one matrix alone, which would be too large for rates such as 22,254.
        self.size = -(-RUN // self.up) * self.up if self.up <= LONGEST_RUN else RUN
        self.cycle = self.up // gcd(self.up, self.size)
        self.span = ((self.size - 1) * self.down + 2 * self.half) // self.up + 1
        self.buffer, self.begin = None, self.first(0)  # the samples that are still needed, from which on
        self.given = 0

    def __call__(self, piece):
        if self.buffer is None:
            # Silence before the recording. In double precision, so that no rounding depends on the pieces.
            self.buffer = np.zeros((*piece.shape[:-1], -self.begin))
        self.buffer = np.concatenate([self.buffer, piece], axis=-1)
        return self.up_to(ceil_divide(self.end() * self.up - self.half, self.down))

    def rest(self):
        """The last samples, after which there is silence."""
        return self.up_to(ceil_divide(self.end() * self.up, self.down))

    def end(self):
        """How long the recording is so far."""
        return self.begin + self.buffer.shape[-1]

    def first(self, run):
        """The number of the first sample that a run depends on; below 0, one before the recording."""
        return ceil_divide(run * self.size * self.down - self.half, self.up)

    def up_to(self, end):
        """The samples from the last one that was given to `end`."""
        if end <= self.given:
            return self.buffer[..., :0].astype(np.float32)
        runs = range(self.given // self.size, ceil_divide(end, self.size))
        starts = np.array([self.first(run) for run in runs])
        self.buffer, self.begin = self.buffer[..., starts[0] - self.begin :], starts[0]
        channels, missing = self.buffer.shape[:-1], max(0, starts[-1] + self.span - self.end())
        padded = np.concatenate([self.buffer, np.zeros((*channels, missing))], axis=-1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.span, axis=-1)
        resampled = np.empty((*channels, len(runs), self.size), np.float32)
        for place, run in enumerate(runs[: self.cycle]):
            offset = run * self.size * self.down - starts[place] * self.up
            weights = matrix(self.up, self.down, self.size, self.span, int(offset))
            same = slice(place, None, self.cycle)
            resampled[..., same, :] = windows[..., starts[same] - self.begin, :] @ weights
        begin, self.given = self.given, end
        computed = resampled.reshape(*channels, -1)
        return computed[..., begin - runs[0] * self.size : end - runs[0] * self.size]


@lru_cache(32)
def matrix(up, down, size, span, offset):
    """Weights (span, size) of each sample in each that is given; the first of these is `offset` later."""
    taps = low_pass(up, down)
    half = len(taps) // 2
    time = offset + down * np.arange(size) - up * np.arange(span)[:, None]
    return np.where(np.abs(time) <= half, taps[np.clip(half + time, 0, 2 * half)], 0)


@lru_cache(8)
def low_pass(up, down):
    """The filter, a sinc in Kaiser's window: (2 · half + 1,)."""
    slower = max(up, down)
    window = "kaiser", signal.kaiser_beta(ATTENUATION_DB)
    return up * signal.firwin(2 * REACH * slower + 1, CUTOFF / slower, window=window)


def ceil_divide(number, by):
    return -(-number // by)
