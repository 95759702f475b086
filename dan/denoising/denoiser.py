"""A trained generator as a function on recordings: any length, any sample rate, piece by piece."""

import warnings
from math import gcd

import numpy as np
import torch
from scipy import ndimage, signal

from dan.signals.audio_files import LOUDEST, PIECE, are_far_apart, is_transposed, resample, zero_of
from dan.training.checkpoints import load_generator

BLOCK_SECONDS = 16  # of what is denoised at a time
CHANNELS = 4  # of a block that go through the network together
ROWS = 64  # of an array that are denoised together
FADE = 256  # samples over which a block gives way to the next
LEAST = 1e-20  # power
TOP = 0.5  # of the denoiser's band: above this share of it lies the top, which tells the gain
GAIN_SECONDS = 0.02  # over which the gain of what lies above the band is taken


class Denoiser:
    """A trained generator as a function on signals of any length and sample rate.

    Of a recording at a higher rate than its own, what lies above its band is attenuated as the top
    of the band is, moment by moment, so that a voice stays bright; with `narrow` it is left out.
    """

    def __init__(self, generator, data, narrow=False):
        """generator: a network of `models.py`; data: the DataConfig it was trained with."""
        self.generator, self.sample_rate = generator.eval(), data.sample_rate
        self.narrow = narrow
        self.device = next(generator.parameters()).device
        if generator.context is None:
            # The network knows signals of one length alone: blocks of just that length.
            self.block, self.grid = data.length, 1
            self.overlap = self.fade = data.length // 2
        else:
            # Blocks begin where frames do, and overlap so far that what a block lacks beyond its
            # ends does not reach into the fade.
            self.grid, self.fade = generator.hop, FADE
            self.overlap = round_up(2 * generator.context + FADE, self.grid)
            self.block = self.overlap + round_up(BLOCK_SECONDS * self.sample_rate, self.grid)

    @classmethod
    def load(cls, path, device="cpu", narrow=False):
        """The denoiser in a checkpoint of train_gan.py; raises UserError if it is none."""
        generator, config = load_generator(path, device)
        return cls(generator, config.data, narrow)

    def __call__(self, array, sample_rate=None):
        """Denoise numbers of shape (..., samples); returns the same shape and type.

        sample_rate: in Hz, a whole number; without it the denoiser's own is assumed, with a
        warning. Whole numbers are rounded and clipped to their type; unsigned ones have their zero
        in the middle, at 128 for uint8. What is not finite counts as zero. Both are warned of. A
        mean that is larger than the deviation is best taken away before.
        Raises TypeError for an array that holds no real numbers, ValueError for an invalid
        sample rate, or for channels that stand last, as soundfile has them.
        """
        array = np.asarray(array)
        if array.dtype.kind not in "fiu" or not array.ndim:
            raise TypeError(f"expected an array of real numbers, not {array.dtype} {array.shape}")
        if is_transposed(array):
            raise ValueError(
                f"an array {array.shape} looks like (samples, channels), as soundfile "
                "reads; give its transpose, (channels, samples)"
            )
        if sample_rate is None:
            warnings.warn(
                f"no sample_rate was given, so the denoiser's own, {self.sample_rate:,} "
                "Hz, is assumed; at any other rate the result is wrong",
                stacklevel=2,
            )
        rate = self.sample_rate if sample_rate is None else sample_rate
        if rate % 1 or are_far_apart(rate, self.sample_rate):
            raise ValueError(
                f"sample_rate={sample_rate} is not whole, or too far from the denoiser's own {self.sample_rate:,} Hz"
            )
        if not array.size:
            return array.copy()
        rows = array.reshape(-1, array.shape[-1])
        unusable = array.size - np.count_nonzero(is_usable(rows))
        denoised, clipped = as_type(self.denoise_rows(rows, int(rate)), array.dtype)
        if unusable:
            warnings.warn(
                f"{unusable:,} of {array.size:,} values were not finite, or beyond {LOUDEST:g}, and count as zero",
                stacklevel=2,
            )
        if clipped:
            warnings.warn(
                f"{clipped:,} of {array.size:,} denoised values were clipped to the range of {array.dtype}",
                stacklevel=2,
            )
        return denoised.reshape(array.shape)

    def denoise_rows(self, rows, sample_rate, watch=iter):
        """Denoise an array (channels, samples), some channels at a time, to float32 like it.

        watch: is given the pieces of a recording, and gives them on.
        """
        denoised = np.empty(rows.shape, np.float32)
        for first in range(0, len(rows), ROWS):
            group, position = slice(first, first + ROWS), 0
            pieces = watch(pieces_of(rows[group]))
            for piece in self.stream(pieces, sample_rate):
                end = position + piece.shape[1]
                denoised[group, position:end] = piece
                position = end
        return denoised

    def stream(self, pieces, sample_rate):
        """Denoise a recording piece by piece: arrays (channels, samples) in and out, float32.

        The memory that is used does not depend on the recording's length, and the result does not
        depend on how it is cut into pieces.
        """
        waiting = []  # the pieces that have gone in, of which nothing has come out

        def kept():
            for piece in pieces:
                waiting.append(as_finite(piece))
                yield waiting[-1]

        wide = sample_rate > self.sample_rate and not self.narrow
        apply = self.apply_with_gain if wide else self.apply
        low = self.denoised(resampled(kept(), sample_rate, self.sample_rate), apply)
        for piece in resampled(low, self.sample_rate, sample_rate):
            # There and back again may round up the number of samples.
            recorded = take(waiting, piece.shape[1])
            piece = piece[:, : recorded.shape[1]]
            if wide:
                piece, in_band, gain = np.split(piece, 3)
                piece = piece + gain * (recorded - in_band)
            yield piece

    def denoised(self, pieces, apply):
        """Denoise pieces at the denoiser's own rate, in overlapping blocks that are cross-faded."""
        last, given = None, 0  # given: samples of `last` that are given out
        for block, advance in blocks(pieces, self.block, self.block - self.overlap, self.grid):
            current, done = apply(block), 0
            if last is not None:
                overlap = last.shape[1] - advance
                fade = min(self.fade, overlap)
                done = (overlap - fade) // 2  # the fade lies in the middle of the overlap
                yield last[:, given : advance + done]
                rising = np.linspace(0, 1, fade + 2, dtype=np.float32)[1:-1]
                faded = slice(advance + done, advance + done + fade)
                current[:, done : done + fade] *= rising
                current[:, done : done + fade] += (1 - rising) * last[:, faded]
            last, given = current, done
        if last is not None:
            yield last[:, given:]

    @torch.inference_mode()
    def apply(self, block):
        """The network on a block (channels, samples), some channels at a time."""
        parts = torch.from_numpy(block).unsqueeze(1).split(CHANNELS)
        denoised = [self.generator(part.to(self.device)).cpu() for part in parts]
        return torch.cat(denoised)[:, 0].numpy()

    def apply_with_gain(self, block):
        """Denoised, as it was, and the gain of the top of the band: (3 · channels, samples).

        The gain is the root of the ratio of energies, after and before, above half of the band.
        """
        denoised = self.apply(block)
        highpass = signal.butter(4, TOP, "high", output="sos")
        size = max(1, round(GAIN_SECONDS * self.sample_rate))
        before, after = (
            ndimage.uniform_filter1d(signal.sosfilt(highpass, x).astype(np.float64) ** 2, size)
            for x in (block, denoised)
        )
        # A moving sum of squares may fall below zero by rounding.
        gain = np.sqrt(np.clip((after + LEAST) / (before + LEAST), 0, 1))
        return np.concatenate([denoised, block, gain.astype(np.float32)])


def take(pieces, count):
    """The first `count` samples out of a list of arrays (channels, samples), or all that are left."""
    taken = []
    while pieces and count:
        piece = pieces.pop(0)
        taken.append(piece[:, :count])
        if piece.shape[1] > count:
            pieces.insert(0, piece[:, count:])
        count -= taken[-1].shape[1]
    return np.concatenate(taken, axis=1) if taken else np.empty((1, 0), np.float32)


def round_up(number, multiple):
    return -(-number // multiple) * multiple


def blocks(pieces, length, step, grid=1):
    """(block, advance): overlapping blocks of a recording, and how far behind the last each begins.

    Blocks of `length` samples, one every `step`; the last one ends where the recording does, and
    is longer by less than `grid`, so that every block begins at a multiple of it. A recording of
    less than that is one block.
    """
    pieces, buffer, advance, ended = iter(pieces), None, 0, False
    while True:
        # So far ahead that the block after this one is either whole or the last.
        while not ended and (buffer is None or buffer.shape[1] < length + step):
            piece = next(pieces, None)
            ended = piece is None
            if not ended:
                buffer = piece if buffer is None else np.concatenate([buffer, piece], axis=1)
        if buffer is None or not buffer.shape[1]:
            return
        if buffer.shape[1] < length + grid:
            yield buffer, advance
            return
        yield buffer[:, :length], advance
        advance = min(step, (buffer.shape[1] - length) // grid * grid)
        buffer = buffer[:, advance:]


def windows(pieces, step, margin):
    """(window, count): windows of step + 2 · margin samples, one every `step`, zeros at both ends.

    The first begins `margin` before the first sample; as many as it takes to cover all samples.
    count: how many samples between the margins there are.
    """
    pieces, width = iter(pieces), step + 2 * margin
    buffer, ended, length, position = None, False, 0, 0
    while True:
        while not ended and (buffer is None or buffer.shape[1] < width):
            piece = next(pieces, None)
            ended = piece is None
            if not ended:
                if buffer is None:
                    buffer = np.zeros((len(piece), margin), np.float32)
                buffer = np.concatenate([buffer, piece], axis=1)
                length += piece.shape[1]
        if ended and position >= length:
            return
        missing = max(0, width - buffer.shape[1])
        window = np.pad(buffer[:, :width], ((0, 0), (0, missing)))
        yield window, min(step, length - position) if ended else step
        buffer, position = buffer[:, step:], position + step


def resampled(pieces, from_rate, to_rate):
    """Polyphase resampling of pieces (channels, samples), as if they were one."""
    if from_rate == to_rate:
        yield from pieces
        return
    common = gcd(from_rate, to_rate)
    up, down = to_rate // common, from_rate // common
    # scipy's filter reaches 10 periods of the lower rate to either side.
    periods = -(-10 * max(up, down) // (up * down)) + 1
    steps = max(1, PIECE // max(up, down))
    for window, count in windows(pieces, steps * down, periods * down):
        first = periods * up
        yield resample(window, from_rate, to_rate)[:, first : first - (-count * up // down)]


def as_finite(samples):
    """Samples as float32 around zero; those that are not usable are zero."""
    signed = samples.astype(np.float64) - zero_of(samples.dtype)
    return np.where(is_usable(samples), signed, 0).astype(np.float32)


def is_usable(samples):
    """Which samples are finite, and not so large that a power overflows."""
    return np.abs(samples.astype(np.float64) - zero_of(samples.dtype)) <= LOUDEST


def pieces_of(rows):
    """An array (channels, samples) in pieces."""
    return (rows[:, start : start + PIECE] for start in range(0, rows.shape[1], PIECE))


def as_type(samples, dtype):
    """(samples as another type of number, how many of them were clipped to its range).

    Whole numbers are rounded; unsigned ones have their zero in the middle.
    """
    samples = samples.astype(np.float64)
    if dtype.kind == "f":
        limits = np.finfo(dtype)
    else:
        samples, limits = np.rint(samples) + zero_of(dtype), np.iinfo(dtype)
    clipped = np.clip(samples, limits.min, limits.max)
    return clipped.astype(dtype), np.count_nonzero(clipped != samples)
