"""Clean recordings with a trained denoiser: files and folders, of any length and sample rate.

    python denoise.py noisy.wav -o clean.wav
    python denoise.py recordings more.flac -o cleaned --dry 0.1
    python denoise.py noisy.wav -o clean.wav --checkpoint my/best.pt --figure clean.png

The same from Python:

    from denoise import Denoiser
    denoiser = Denoiser.load("checkpoints/audio/best.pt")
    clean = denoiser(noisy, sample_rate)    # (..., samples), of any type; the same comes back
"""

import io
import os
import sys
import time
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import torch
from tqdm import tqdm

import plots
from command_line import parse_arguments
from faults import ConfigurationFault, Fault, run
from files import write_atomically, write_bytes
from models import load_generator
from recordings import (
    LOUDEST,
    PIECE,
    SUFFIXES,
    are_far_apart,
    as_file_name,
    find_recordings,
    map_array,
    open_audio,
    read_pieces,
    resample,
)

BLOCK_SECONDS = 16  # of what is denoised at a time
CHANNELS = 4  # of a block that go through the network together
ROWS = 64  # of an array that are denoised together
FADE = 256  # samples over which a block gives way to the next
FIGURE_SECONDS = 20
FULL_SCALE = 0.999
CLIPPED_SHARE = 1e-3


def main():
    config, options = parse_arguments(__doc__, add_options, default_preset="audio",
                                      takes_files=True)
    if not options.inputs or not options.output:
        raise ConfigurationFault("name what to denoise, and with -o where to write it; see --help")
    checkpoint = options.checkpoint or config.checkpoint_folder / "best.pt"
    if not 0 <= options.dry <= 1:
        raise ConfigurationFault(f"--dry {options.dry} is impossible; it must be from 0 to 1")
    jobs = plan(options.inputs, options.output, options.overwrite)
    if options.figure:
        check_figure(Path(options.figure), jobs, options.overwrite)
    denoiser = Denoiser.load(checkpoint)
    # An .npy array says nothing of its rate.
    array_rate = config.data.source_rate or denoiser.sample_rate
    failed, band_told = 0, False
    for source, target in jobs:
        try:
            rate = denoise_file(denoiser, source, target, options.dry, array_rate)
        except Fault as fault:
            if len(jobs) == 1:
                raise
            print(f"error: {fault}", file=sys.stderr)
            failed += 1
            continue
        if rate > denoiser.sample_rate and not band_told:
            print(f"  the denoiser works at {denoiser.sample_rate:,} Hz, so what it gives back "
                  f"ends at {denoiser.sample_rate / 2:,.0f} Hz")
            band_told = True
        if options.figure:
            draw_figure(source, target, array_rate, Path(options.figure))
    if failed:
        raise Fault(f"{failed} of {len(jobs)} recordings were not denoised, as said above")


def add_options(parser):
    parser.add_argument("inputs", nargs="*", metavar="INPUT",
                        help=f"recordings ({', '.join(SUFFIXES)}) and folders of them")
    parser.add_argument("-o", "--output", metavar="OUTPUT",
                        help="file for one recording; folder for several, which mirrors theirs")
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="the trained denoiser (default: best.pt of the preset)")
    parser.add_argument("--dry", type=float, default=0.0, metavar="0..1",
                        help="share of the recording as it was that is mixed back in (default: 0)")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace outputs that exist; inputs are never replaced")
    parser.add_argument("--figure", metavar="FILE",
                        help="also draw waveform and spectrogram, before and after, as PNG")


class Denoiser:
    """A trained generator as a function on signals of any length and sample rate."""

    def __init__(self, generator, data):
        """generator: a network of `models.py`; data: the DataConfig it was trained with."""
        self.generator, self.sample_rate = generator.eval(), data.sample_rate
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
    def load(cls, path, device="cpu"):
        """The denoiser in a checkpoint of train_gan.py; raises Fault if it is none."""
        generator, config = load_generator(path, device)
        return cls(generator, config.data)

    def __call__(self, array, sample_rate=None):
        """Denoise numbers of shape (..., samples); returns the same shape and type.

        sample_rate: in Hz, a whole number; the denoiser's own where it is not given. Whole numbers
        are rounded and clipped to their type. What is not finite counts as zero. Raises TypeError
        for an array that holds no real numbers, ValueError for an impossible sample rate.
        """
        array = np.asarray(array)
        if array.dtype.kind not in "fiu" or not array.ndim:
            raise TypeError(f"expected an array of real numbers, not {array.dtype} {array.shape}")
        rate = self.sample_rate if sample_rate is None else sample_rate
        if rate % 1 or are_far_apart(rate, self.sample_rate):
            raise ValueError(f"sample_rate={sample_rate} is no whole number, or too far from the "
                             f"denoiser's own {self.sample_rate:,} Hz")
        if not array.size:
            return array.copy()
        rows = array.reshape(-1, array.shape[-1])
        return self.denoise_rows(rows, int(rate)).reshape(array.shape)

    def denoise_rows(self, rows, sample_rate, watch=iter):
        """Denoise an array (channels, samples), some channels at a time, to one like it.

        watch: is given the pieces of a recording, and gives them on.
        """
        denoised = np.empty(rows.shape, rows.dtype)
        for first in range(0, len(rows), ROWS):
            group, position = slice(first, first + ROWS), 0
            pieces = watch(pieces_of(rows[group]))
            for piece in self.stream(pieces, sample_rate):
                end = position + piece.shape[1]
                denoised[group, position:end] = as_type(piece, rows.dtype)
                position = end
        return denoised

    def stream(self, pieces, sample_rate):
        """Denoise a recording piece by piece: arrays (channels, samples) in and out, float32.

        The memory that is used does not depend on the recording's length, and the result does not
        depend on how it is cut into pieces.
        """
        received = given = 0

        def counted():
            nonlocal received
            for piece in pieces:
                received += piece.shape[1]
                yield as_finite(piece)

        low = resampled(counted(), sample_rate, self.sample_rate)
        for piece in resampled(self.denoised(low), self.sample_rate, sample_rate):
            # There and back again may round up the number of samples.
            piece = piece[:, : received - given]
            given += piece.shape[1]
            yield piece

    def denoised(self, pieces):
        """Denoise pieces at the denoiser's own rate, in overlapping blocks that are cross-faded."""
        last, given = None, 0  # given: samples of `last` that are given out
        for block, advance in blocks(pieces, self.block, self.block - self.overlap, self.grid):
            current, done = self.apply(block), 0
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
    """Samples as float32; what is not finite is zero, and nothing so large that a power overflows.
    """
    zeroed = np.nan_to_num(samples.astype(np.float64), nan=0, posinf=0, neginf=0)
    return np.clip(zeroed, -LOUDEST, LOUDEST).astype(np.float32)


def pieces_of(rows):
    """An array (channels, samples) in pieces."""
    return (rows[:, start : start + PIECE] for start in range(0, rows.shape[1], PIECE))


def as_type(samples, dtype):
    """Samples as another type of number; whole numbers are rounded, and clipped to their range."""
    if dtype.kind == "f":
        return samples.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(samples.astype(np.float64)), limits.min, limits.max).astype(dtype)


def plan(inputs, output, overwrite):
    """Pairs (source, target) of what to denoise; raises Fault before anything is written."""
    output, jobs = Path(output), []
    for given in map(Path, inputs):
        if given.is_dir():
            inside, mirror = find_recordings(given), real(output)
            if real(given) in mirror.parents:  # results of an earlier run are no inputs
                inside = [path for path in inside if not real(path).is_relative_to(mirror)]
            jobs += [(path, output / path.relative_to(given)) for path in inside]
        elif not given.exists():
            raise Fault(f"{given} does not exist")
        elif len(inputs) == 1 and output.suffix and not output.is_dir():
            jobs.append((given, output))
        else:
            jobs.append((given, output / given.name))
    sources = {real(source): source for source, _ in jobs}
    taken = {}
    for source, target in jobs:
        place = real(target)
        if place in sources:
            raise Fault(f"{target} is an input, which is never replaced; choose another output")
        if place in taken:
            raise Fault(f"{source} and {taken[place]} would both become {target}; denoise them "
                        "into different folders")
        if os.path.lexists(target) and not overwrite:
            raise Fault(f"{target} exists; replace it with --overwrite, or choose another output")
        if (source.suffix.lower() == ".npy") != (target.suffix.lower() == ".npy"):
            raise Fault(f"{source} cannot become {target}; .npy stays .npy, and audio audio")
        taken[place] = source
    if not jobs:
        raise Fault(f"{', '.join(inputs)} holds no recording but those in {output}")
    return jobs


def real(path):
    """The path without links; links in a circle stay as they are."""
    return Path(os.path.realpath(path))


def check_figure(path, jobs, overwrite):
    """Raise Fault unless a figure may be written to `path` beside what `jobs` read and write."""
    if len(jobs) > 1:
        raise ConfigurationFault(f"--figure shows one recording, and here are {len(jobs)}")
    if real(path) in map(real, jobs[0]):
        raise Fault(f"{path} is a recording; choose another name for the figure")
    if os.path.lexists(path) and not overwrite:
        raise Fault(f"{path} exists; replace it with --overwrite, or choose another name")


def denoise_file(denoiser, source, target, dry, array_rate):
    """Denoise one recording into a file of the same rate, channels and format; returns the rate.

    Prints a line, and what was odd in the recording. Raises Fault, naming the file.
    """
    started = time.perf_counter()
    if source.suffix.lower() == ".npy":
        channels, length, rate, seen = denoise_array(denoiser, source, target, dry, array_rate)
    else:
        channels, length, rate, seen = denoise_audio(denoiser, source, target, dry)
    seconds, spent = length / rate, time.perf_counter() - started
    print(f"{source} → {target}: {seconds:.1f} s, {channels} channel{'s' * (channels > 1)} at "
          f"{rate:,} Hz, {seconds / spent:.0f} × real time")
    for remark in remarks(seen, channels * length):
        print(f"  {remark}")
    return rate


def denoise_array(denoiser, source, target, dry, rate):
    array = map_array(source)
    rows = np.atleast_2d(array)
    if not rows.size:
        raise Fault(f"{source} is empty")
    seen = new_watch()
    denoised = denoiser.denoise_rows(
        rows, rate, lambda pieces: watched(pieces, source.name, rows.shape[1], rate, seen)
    )
    denoised = as_type(mix_back(rows, denoised, dry), array.dtype)
    content = io.BytesIO()
    np.save(content, denoised.reshape(array.shape))
    write_bytes(target, content.getbuffer())
    return *rows.shape, rate, seen


def denoise_audio(denoiser, source, target, dry):
    with open_audio(source) as before, open_audio(source) as again:
        length, rate, channels = before.frames, before.samplerate, before.channels
        if not length:
            raise Fault(f"{source} is empty")
        if are_far_apart(rate, denoiser.sample_rate):
            raise Fault(f"{source} has {rate:,} samples per second, too far from the denoiser's "
                        f"{denoiser.sample_rate:,}; use a denoiser for that rate")
        seen = new_watch()
        channels_first = (piece.T for piece in read_pieces(before))
        passing = watched(channels_first, source.name, length, rate, seen)
        with write_atomically(target) as file:
            try:
                with create_audio(file.name, before, target) as after:
                    for piece in denoiser.stream(passing, rate):
                        mixed = again.read(piece.shape[1], dtype="float32", always_2d=True).T
                        after.write(mix_back(mixed, piece, dry).T)
            except (soundfile.SoundFileError, AssertionError) as error:
                # What was read before has passed; soundfile asserts that all is written.
                raise OSError(f"not all samples could be written {error}".rstrip()) from error
    return channels, length, rate, seen


def create_audio(path, like, target):
    """The file of an audio `target` at `path`, with the rate, channels and format of another."""
    format = target.suffix[1:].upper()
    if format not in soundfile.available_formats():
        raise Fault(f"{target} names no audio format; choose from {', '.join(SUFFIXES)}")
    subtype = like.subtype if soundfile.check_format(format, like.subtype) else None
    return soundfile.SoundFile(as_file_name(path), "w", like.samplerate, like.channels, subtype,
                               format=format)


def mix_back(mixed, denoised, dry):
    """dry · mixed + (1 − dry) · denoised; what was not finite in `mixed` counts as zero."""
    if not dry:
        return denoised
    return dry * as_finite(mixed) + (1 - dry) * denoised


def new_watch():
    """What `watched` is to learn about a recording."""
    return {"broken": 0, "clipped": 0, "lowest": np.inf, "highest": -np.inf}


def watched(pieces, name, length, rate, seen):
    """The pieces as they are; `seen` learns what they hold while they pass, a bar how far it is."""
    with tqdm(total=round(length / rate), desc=name, unit="s", leave=False) as bar:
        for piece in pieces:
            finite = np.isfinite(piece)
            seen["broken"] += finite.size - int(finite.sum())
            seen["clipped"] += int((np.abs(piece) >= FULL_SCALE).sum())
            if finite.any():
                seen["lowest"] = min(seen["lowest"], piece[finite].min())
                seen["highest"] = max(seen["highest"], piece[finite].max())
            yield piece
            bar.update(round(piece.shape[1] / rate))


def remarks(seen, values):
    """What was odd in a recording of so many values, in words."""
    if seen["broken"]:
        yield f"{seen['broken']:,} of {values:,} values were not finite and count as zero"
    if seen["lowest"] >= seen["highest"]:
        yield f"it is constant ({seen['highest']:g}): there is nothing to denoise"
    elif seen["clipped"] > CLIPPED_SHARE * values:
        yield f"{seen['clipped'] / values:.1%} of the values are at full scale: it was clipped"


def draw_figure(source, target, array_rate, path):
    """The beginning of the first channel, before and after, as waveform and spectrogram."""
    beginnings = {}
    for name, recording in (("before", source), ("after", target)):
        if recording.suffix.lower() == ".npy":
            rate = array_rate
            samples = np.atleast_2d(map_array(recording))[0, : FIGURE_SECONDS * rate]
        else:
            with open_audio(recording) as file:
                rate = file.samplerate
                samples = file.read(FIGURE_SECONDS * rate, dtype="float32", always_2d=True)[:, 0]
        beginnings[name] = as_finite(samples)
    plots.save(plots.before_and_after(beginnings, rate, source.name), path, replace_any=True)
    print(f"wrote {path}")


if __name__ == "__main__":
    run(main)
