"""A trained generator as a function on recordings: any length, any sample rate, piece by piece."""

import warnings

import numpy as np
import torch
from scipy import signal

from dan.denoising.live import Live
from dan.denoising.pieces import as_finite, as_type, round_up, split_into_blocks, take
from dan.errors import UserError
from dan.signals.audio_files import LOUDEST, are_far_apart, is_transposed
from dan.signals.resampling import PIECE, resample_pieces
from dan.training.checkpoints import load_generator

BLOCK_SECONDS = 16  # of what is denoised at a time
BATCH = 4  # channels that go through the network together
FADE = 256  # samples over which a block gives way to the next
TOP_BEGINS = 0.5  # of the denoiser's range of frequencies: the part above tells the gain
GAIN_SECONDS = 0.01  # the time constant of that gain
LEAST_POWER = 1e-20  # added to both powers, so that the gain of silence is 1


class Denoiser:
    """A trained generator as a function on signals of any length and sample rate.

    Frequencies above the denoiser's range get the same attenuation as the top of its range, moment
    by moment, so that a voice stays bright; with `narrow` they are left out. `dry` is the share of
    the recording that is mixed back in, from 0 to 1. `most` says it in dB: what the denoiser would
    remove gets that much quieter instead.
    """

    def __init__(self, generator, data, narrow=False, dry=0.0, most=None):
        """generator: a network of `models.py`; data: the DataConfig it was trained with.

        Raises ValueError for `dry` and `most` together, or out of range.
        """
        if most is not None:
            if dry:
                raise ValueError(f"dry={dry} and most={most} are two ways to say one thing; give one")
            dry = 10 ** (-most / 20)
        if not 0 <= dry <= 1:
            raise ValueError(f"dry={dry} must be from 0 to 1, or most at least 0 dB")
        self.generator, self.sample_rate = generator.eval(), data.sample_rate
        self.narrow, self.dry = narrow, dry
        self.device = next(generator.parameters()).device
        self.is_causal = hasattr(generator, "step")
        if self.is_causal:  # it needs no blocks: its state holds all that came before
            return
        if generator.context is None:
            # The network knows signals of one length alone: blocks of just that length.
            self.block, self.grid = data.length, 1
            self.overlap = self.fade = data.length // 2
        else:
            # Blocks begin where frames do. They overlap so far that the fade between two blocks
            # lies where neither misses context beyond its end.
            self.grid, self.fade = generator.hop, FADE
            self.overlap = round_up(2 * generator.context + FADE, self.grid)
            self.block = self.overlap + round_up(BLOCK_SECONDS * self.sample_rate, self.grid)

    @classmethod
    def load(cls, path, device="cpu", **options):
        """The denoiser in a checkpoint of train_gan.py; raises UserError if there is none."""
        generator, config = load_generator(path, device)
        return cls(generator, config.data, **options)

    def __call__(self, array, sample_rate=None):
        """Denoise numbers of shape (..., samples); returns the same shape and type.

        sample_rate: in Hz, a whole number; without it the denoiser's own is assumed, with a
        warning. Values that are not finite count as zero, and whole numbers are rounded and clipped
        to their type; both are warned of. If the mean is larger than the deviation, it is best
        taken away before.
        Raises TypeError for an array that does not hold signed numbers, ValueError for an invalid
        sample rate, or for channels that stand last, as soundfile has them.
        """
        array = np.asarray(array)
        rate = self.sample_rate if sample_rate is None else sample_rate
        self.check(array, rate)
        if sample_rate is None:
            warn(f"no sample_rate was given, so the denoiser's own, {rate:,} Hz, is assumed")
        if not array.size:
            return array.copy()
        rows, unusable = as_finite(array.reshape(-1, array.shape[-1]))
        denoised = np.empty(rows.shape, np.float32)
        for place, piece in self.denoise_rows(rows, int(rate)):
            denoised[place] = piece
        denoised, clipped = as_type(denoised, array.dtype)
        if unusable:
            warn(f"{unusable:,} of {array.size:,} values were not finite, or beyond {LOUDEST:g}, and count as zero")
        if clipped:
            warn(f"{clipped:,} of {array.size:,} denoised values were clipped to the range of {array.dtype}")
        return denoised.reshape(array.shape)

    def live(self, sample_rate):
        """The denoiser on live sound at `sample_rate` Hz: `denoised = live(block)`, `live.latency` samples late.

        Raises ValueError for an invalid sample rate, and UserError unless the denoiser is causal.
        """
        if not self.is_causal:
            raise UserError(
                "this denoiser listens ahead too far for live sound; use a causal one, such as pretrained/speech.pt"
            )
        self.check_rate(sample_rate)
        return Live(self, int(sample_rate))

    def check(self, array, rate):
        """Raise TypeError or ValueError unless this is an array of signals at a possible rate."""
        if array.dtype.kind not in "fi" or not array.ndim:
            raise TypeError(f"expected an array of real, signed numbers, not {array.dtype} {array.shape}")
        if is_transposed(array):
            raise ValueError(f"an array {array.shape} looks like (samples, channels); give its transpose")
        self.check_rate(rate)

    def check_rate(self, rate):
        """Raise ValueError unless this is a possible sample rate."""
        if rate % 1 or are_far_apart(rate, self.sample_rate):
            raise ValueError(
                f"sample_rate={rate} is not whole, or too far from the denoiser's own {self.sample_rate:,}"
            )

    def denoise_rows(self, rows, sample_rate):
        """Denoise an array, float32 (channels, samples): yields (place in the array, denoised)."""
        for first in range(0, len(rows), BATCH):
            channels, begin = slice(first, first + BATCH), 0
            pieces = (rows[channels, at : at + PIECE] for at in range(0, rows.shape[1], PIECE))
            for _, piece in self.stream(pieces, sample_rate):
                end = begin + piece.shape[1]
                yield (channels, slice(begin, end)), piece
                begin = end

    def stream(self, pieces, sample_rate):
        """Denoise a recording piece by piece: yields pairs (recorded, denoised).

        pieces: finite, float32 (channels, samples), and so are the two. The memory that is used
        does not depend on the recording's length, and the result does not depend on how it is cut
        into pieces. A causal denoiser gives a pair, which may be empty, for each piece that it
        takes, and one more at the end.
        """
        waiting = []  # the pieces that have gone in, of which nothing has come out

        def kept():
            for piece in pieces:
                waiting.append(piece)
                yield piece

        in_range = resample_pieces(kept(), sample_rate, self.sample_rate)
        blocks = self.denoise_in_order(in_range) if self.is_causal else self.denoise_blocks(in_range)
        wide = sample_rate > self.sample_rate and not self.narrow
        # Only the gain needs the range as it was before; what is not needed is not resampled.
        blocks = map(GainAbove(self.sample_rate), blocks) if wide else (block[:1] for block in blocks)
        for denoised, *above in resample_pieces(blocks, self.sample_rate, sample_rate):
            # There and back again the recording has become longer by some samples.
            recorded = take(waiting, denoised.shape[-1])
            count = recorded.shape[1]
            denoised = denoised[:, :count]
            if wide:
                before, gain = above
                denoised = denoised + gain[:, :count] * (recorded - before[:, :count])
            yield recorded, self.dry * recorded + (1 - self.dry) * denoised

    def denoise_in_order(self, pieces):
        """Denoise pieces by a causal network, with its state: yields (2, channels, samples), denoised and before.

        One for each piece, which may be empty, and one more at the end.
        """
        state, late, rest, waiting = None, self.generator.delay, None, []

        def step(samples):
            nonlocal state, late
            if not samples.shape[1]:
                return np.stack([samples, samples])
            with torch.inference_mode():
                denoised, state = self.generator.step(torch.from_numpy(samples).unsqueeze(1).to(self.device), state)
            denoised, late = denoised[:, 0, late:].cpu().numpy(), max(0, late - samples.shape[1])
            before = take(waiting, denoised.shape[1])
            return np.stack([denoised[:, : before.shape[1]], before])

        for piece in pieces:
            waiting.append(piece)
            rest = piece if rest is None else np.concatenate([rest, piece], axis=1)
            whole = rest.shape[1] // self.generator.hop * self.generator.hop
            yield step(rest[:, :whole])
            rest = rest[:, whole:]
        if waiting:
            missing = round_up(rest.shape[1] + self.generator.delay, self.generator.hop) - rest.shape[1]
            yield step(np.pad(rest, ((0, 0), (0, missing))))

    def denoise_blocks(self, pieces):
        """Denoise pieces in overlapping blocks that are cross-faded; yields as `denoise_in_order` does."""
        last, given = None, 0  # given: samples of `last` that are given out
        for block, advance in split_into_blocks(pieces, self.block, self.block - self.overlap, self.grid):
            current, done = self.apply(block), 0
            if last is not None:
                overlap = last.shape[-1] - advance
                fade = min(self.fade, overlap)
                done = (overlap - fade) // 2  # the fade lies in the middle of the overlap
                yield last[..., given : advance + done]
                rising = np.linspace(0, 1, fade + 2, dtype=np.float32)[1:-1]
                current[..., done : done + fade] *= rising
                current[..., done : done + fade] += (1 - rising) * last[..., advance + done : advance + done + fade]
            last, given = current, done
        if last is not None:
            yield last[..., given:]

    @torch.inference_mode()
    def apply(self, block):
        """The network on a block (channels, samples), some channels at a time: (2, …), denoised and before."""
        parts = torch.from_numpy(block).unsqueeze(1).split(BATCH)
        denoised = [self.generator(part.to(self.device)).cpu() for part in parts]
        return np.stack([torch.cat(denoised)[:, 0].numpy(), block])


class GainAbove:
    """The gain for frequencies above the denoiser's range: the root of the ratio of powers in the range's top.

    Called with a recording's blocks (2, channels, samples), denoised and before, one after the
    other; returns them with the gain as the third.
    """

    def __init__(self, sample_rate):
        self.highpass = signal.butter(4, TOP_BEGINS, "high", output="sos")
        kept = np.exp(-1 / (GAIN_SECONDS * sample_rate))
        self.smoothing = [1 - kept], [1, -kept]
        self.state = None

    def __call__(self, block):
        if not block.shape[-1]:
            return np.concatenate([block, block[:1]])
        if self.state is None:
            self.state = np.zeros((len(self.highpass), *block.shape[:2], 2)), np.zeros((*block.shape[:2], 1))
        top, of_highpass = signal.sosfilt(self.highpass, block.astype(np.float64), zi=self.state[0])
        (after, before), of_smoothing = signal.lfilter(*self.smoothing, top**2, zi=self.state[1])
        self.state = of_highpass, of_smoothing
        gain = np.sqrt(np.clip((after + LEAST_POWER) / (before + LEAST_POWER), 0, 1))
        return np.concatenate([block, gain[None].astype(np.float32)])


def warn(message):
    """Warn the caller of a Denoiser."""
    warnings.warn(message, stacklevel=3)
