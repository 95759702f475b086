"""Inspects a recording while it is denoised, and says in words what is odd about it."""

import numpy as np

from dan.signals.audio_files import LOUDEST

FULL_SCALE = 0.999
CLIPPED_SHARE = 1e-3  # of the values at full scale; fewer may be chance
CUT_SHARE = 0.01  # of a recording; some MP3 only estimate how long they are
FRAME_SECONDS = 0.05
FLOOR_SHARE = 0.1  # of the frames, which are no louder than the noise floor
LEAST_KEPT = 0.1  # of the energy above the noise floor


class Inspection:
    """Counts, sums and frame energies of one recording; `add` takes its pieces, `remarks` tells."""

    def __init__(self, channels, rate, promised):
        """rate: in Hz; promised: the number of values that there are by the header."""
        self.channels, self.rate = channels, rate
        self.promised, self.values, self.unusable, self.at_full_scale, self.clipped = promised, 0, 0, 0, 0
        self.peak, self.sum, self.squares = 0.0, 0.0, 0.0
        self.before, self.after = [], []  # energies of frames
        self.notes = []  # sentences about what else is in the file

    def add(self, recorded, denoised):
        """Add a piece, float32 (channels, samples), before and after."""
        size = np.abs(recorded)
        self.values += recorded.size
        self.at_full_scale += np.count_nonzero(size >= FULL_SCALE)
        self.peak = max(self.peak, size.max(initial=0))
        self.sum += recorded.sum(dtype=np.float64)
        self.squares += np.square(recorded, dtype=np.float64).sum()
        self.before.append(frame_energies(recorded, self.rate))
        self.after.append(frame_energies(denoised, self.rate))

    def seconds(self):
        """The length of what was added."""
        return self.values / self.channels / self.rate

    def remarks(self):
        """A sentence for everything that is odd."""
        yield from self.notes
        values = self.values
        if values < (1 - CUT_SHARE) * self.promised:
            yield f"it ends early, cut or damaged: {values / self.promised:.0%} of what its header says is there"
        if self.unusable:
            yield f"{self.unusable:,} of {values:,} values were not finite, or beyond {LOUDEST:g}, and count as zero"
        if not self.peak:
            yield "it is silent: there is nothing to denoise"
            return
        if self.at_full_scale > CLIPPED_SHARE * values and self.peak <= 1:
            yield f"{self.at_full_scale / values:.1%} of the values are at full scale: it was clipped"
        if self.clipped:
            yield (
                f"{self.clipped:,} of {values:,} denoised values were clipped: they are too large for "
                "the format; make the recording quieter first"
            )
        mean = self.sum / values
        deviation = np.sqrt(max(0, self.squares / values - mean**2))
        before, after = energy_above_floor(self.before), energy_above_floor(self.after)
        if abs(mean) > deviation:
            yield f"its mean is {mean:g} at a deviation of {deviation:g}; take the mean away first"
        elif after < LEAST_KEPT * before:
            yield (
                f"{after / before:.1%} of what is louder than the noise floor is left: it is nearly "
                "all noise, or the denoiser is made for other sounds"
            )


def frame_energies(samples, rate):
    """The variances of the whole frames of 50 ms in all channels, float64 (frames,)."""
    size = max(2, round(FRAME_SECONDS * rate))
    whole = samples[:, : samples.shape[1] // size * size]
    return whole.reshape(-1, size).var(axis=1, dtype=np.float64)


def energy_above_floor(energies):
    """The sum of what frames have more than the noise floor, the quietest tenth of them."""
    energies = np.concatenate(energies)
    if not len(energies):
        return 0.0
    return np.maximum(energies - np.quantile(energies, FLOOR_SHARE), 0).sum()
