"""A causal denoiser on live sound, block by block."""

from fractions import Fraction
from math import floor, prod

import numpy as np

from dan.denoising.pieces import as_finite, as_type, take
from dan.signals.resampling import REACH


class Live:
    """A causal Denoiser on live sound: `denoised = live(block)`, of the same length, `latency` samples late.

    After its first `latency` samples, what is given is what the Denoiser gives for a whole
    recording, however that is cut into blocks.
    """

    def __init__(self, denoiser, sample_rate):
        """denoiser: a causal Denoiser; sample_rate: of the blocks, in Hz."""
        self.denoiser, self.sample_rate = denoiser, sample_rate
        # What the network and the two resamplers keep back at most of what they have taken.
        seconds = Fraction(denoiser.generator.latency - 1, denoiser.sample_rate)
        if sample_rate != denoiser.sample_rate:
            seconds += Fraction(2 * REACH, min(sample_rate, denoiser.sample_rate))
        self.latency = floor(seconds * sample_rate)  # in samples of the blocks
        self.block, self.ready = None, None
        self.results = denoiser.stream(self.blocks(), sample_rate)

    def __call__(self, block):
        """Denoise the next numbers of shape (..., samples); returns the same shape and type.

        Values that are not finite count as zero. Raises TypeError for what is not an array of signed numbers, and
        ValueError for channels that stand last, or are not as many as those of the block before.
        """
        block = np.asarray(block)
        self.denoiser.check(block, self.sample_rate)
        rows, _ = as_finite(block.reshape(prod(block.shape[:-1]), block.shape[-1]))
        if self.ready is None:
            self.ready = [np.zeros((len(rows), self.latency), np.float32)]
        if len(rows) != len(self.ready[0]):
            raise ValueError(f"{len(rows)} channels follow {len(self.ready[0])}; begin anew, with denoiser.live")
        self.block = rows
        _, denoised = next(self.results)
        self.ready.append(denoised)
        return as_type(take(self.ready, rows.shape[1]), block.dtype)[0].reshape(block.shape)

    def blocks(self):
        """The blocks without end, each as `__call__` has taken it."""
        while True:
            yield self.block
