"""Denoising a file into another: a recording of the same sample rate, channels and format."""

import io
import time

import numpy as np
import soundfile

from dan.denoising.denoiser import as_finite, as_type, is_usable
from dan.errors import UserError
from dan.files import write_atomically, write_bytes
from dan.signals.audio_files import (
    FORMATS,
    LOUDEST,
    are_far_apart,
    as_file_name,
    is_transposed,
    map_array,
    open_audio,
    read_pieces,
    read_samples,
)

FULL_SCALE = 0.999
CLIPPED_SHARE = 1e-3
CUT_SHARE = 0.01  # of a recording; some MP3 only estimate how long they are
UNCLIPPED = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_III")  # hold more than full scale
FRAME_SECONDS = 0.05
FLOOR = 0.1  # the share of the frames that are no louder than the noise floor
LEAST_KEPT = 0.1  # of the energy above the noise floor


def seconds_in(source, array_rate):
    """The length of a recording, or all rows of an array together; 0 if it cannot be read."""
    try:
        if source.suffix.lower() == ".npy":
            return map_array(source).size / array_rate
        with open_audio(source) as file:
            return file.frames / file.samplerate
    except (UserError, OSError):
        return 0.0  # what is wrong is said when its turn comes


def denoise_file(denoiser, source, target, dry, array_rate, bar):
    """Denoise one recording into a file of the same rate, channels and format; returns the rate.

    Prints a line, and what was odd in the recording. Raises UserError, naming the file.
    """
    started = time.perf_counter()
    if source.suffix.lower() == ".npy":
        channels, rate, seen = denoise_array(denoiser, source, target, dry, array_rate, bar)
    else:
        channels, rate, seen = denoise_audio(denoiser, source, target, dry, bar)
    seconds, spent = seen["values"] / channels / rate, time.perf_counter() - started
    bar.write(
        f"{source} → {target}: {seconds:.1f} s, {channels} channel{'s' * (channels > 1)} at "
        f"{rate:,} Hz, {seconds / spent:.0f} × real time"
    )
    for remark in remarks(seen):
        bar.write(f"  {remark}")
    return rate


def denoise_array(denoiser, source, target, dry, rate, bar):
    array = map_array(source)
    rows = np.atleast_2d(array)
    if not rows.size:
        raise UserError(f"{source} is empty")
    if is_transposed(rows):
        raise UserError(
            f"{source} has {rows.shape} values, which looks like (samples, channels); "
            "store its transpose, a row for each signal"
        )
    seen = new_watch(rows.size)
    denoised = denoiser.denoise_rows(
        rows, rate, lambda pieces: watched(pieces, seen, bar, lambda piece: piece.size / rate)
    )
    compare(seen, rows, denoised, rate)
    denoised, seen["beyond"] = as_type(mix_back(rows, denoised, dry), array.dtype)
    seen["clipped"] = 0  # an array has no full scale
    content = io.BytesIO()
    np.save(content, denoised.reshape(array.shape))
    write_bytes(target, content.getbuffer())
    return len(rows), rate, seen


def denoise_audio(denoiser, source, target, dry, bar):
    with open_audio(source) as before, open_audio(source) as again:
        rate, channels = before.samplerate, before.channels
        if are_far_apart(rate, denoiser.sample_rate):
            raise UserError(
                f"{source} has {rate:,} samples per second, too far from the "
                f"denoiser's {denoiser.sample_rate:,}; use a denoiser for that rate"
            )
        seen = new_watch(before.frames * channels)
        channels_first = (piece.T for piece in read_pieces(before))
        passing = watched(channels_first, seen, bar, lambda piece: piece.shape[1] / rate)
        with write_atomically(target) as file:
            try:
                with create_audio(file.name, before, target) as after:
                    for piece in denoiser.stream(passing, rate):
                        mixed = read_samples(again, piece.shape[1]).T
                        compare(seen, mixed, piece, rate)
                        piece = mix_back(mixed, piece, dry)
                        if after.subtype not in UNCLIPPED:
                            seen["beyond"] += np.count_nonzero(np.abs(piece) > 1)
                        after.write(piece.T)
                if not seen["values"]:
                    raise UserError(f"{source} is empty")
            except (soundfile.SoundFileError, AssertionError) as error:
                # What was read before has passed; soundfile asserts that all is written.
                raise OSError(f"not all samples could be written {error}".rstrip()) from error
    return channels, rate, seen


def create_audio(path, like, target):
    """The file of an audio `target` at `path`, with the rate, channels and format of another.

    Where its kind of file has no such sample format, it takes its usual one. Raises UserError if
    it has no such sample rate or so many channels either.
    """
    format = FORMATS.get(target.suffix.lower())
    if not format:
        raise UserError(f"{target} names no audio format that can be written; choose from {', '.join(FORMATS)}")
    usual = "OPUS" if target.suffix.lower() == ".opus" else soundfile.default_subtype(format)
    # Only trying tells: a WAV file might hold MP3, but libsndfile writes none.
    for subtype in dict.fromkeys((like.subtype, usual)):
        try:
            return soundfile.SoundFile(as_file_name(path), "w", like.samplerate, like.channels, subtype, format=format)
        except (soundfile.LibsndfileError, ValueError) as error:  # ValueError: no such pair
            reason = getattr(error, "error_string", error)
    channels = f"{like.channels} channel{'s' * (like.channels > 1)}"
    raise UserError(
        f"{target} cannot hold {channels} at {like.samplerate:,} Hz ({reason}); choose another format, such as .wav"
    )


def mix_back(mixed, denoised, dry):
    """dry · mixed + (1 − dry) · denoised; what was not finite in `mixed` counts as zero."""
    if not dry:
        return denoised
    return dry * as_finite(mixed) + (1 - dry) * denoised


def new_watch(promised):
    """What `watched` and `compare` are to learn about a recording of so many values."""
    return {
        "promised": promised,
        "values": 0,
        "broken": 0,
        "clipped": 0,
        "lowest": np.inf,
        "highest": -np.inf,
        "beyond": 0,
        "sum": 0.0,
        "squares": 0.0,
        "before": [],
        "after": [],
    }


def watched(pieces, seen, bar, seconds_of):
    """The pieces as they are; while they pass, `seen` learns what they hold, and the bar moves on."""
    for piece in pieces:
        usable = is_usable(piece)
        seen["values"] += usable.size
        seen["broken"] += usable.size - np.count_nonzero(usable)
        seen["clipped"] += np.count_nonzero(usable & (np.abs(piece) >= FULL_SCALE))
        if usable.any():
            seen["lowest"] = min(seen["lowest"], piece[usable].min())
            seen["highest"] = max(seen["highest"], piece[usable].max())
        yield piece
        seconds = seconds_of(piece)
        bar.total = max(bar.total, bar.n + seconds)  # a recording may have grown
        bar.update(seconds)


def compare(seen, mixed, denoised, rate):
    """Add a piece, before and after, to what is `seen`: its sums, the energies of its frames."""
    mixed = as_finite(mixed)
    seen["sum"] += mixed.sum(dtype=np.float64)
    seen["squares"] += np.square(mixed, dtype=np.float64).sum()
    seen["before"].append(frame_energies(mixed, rate))
    seen["after"].append(frame_energies(denoised, rate))


def frame_energies(samples, rate):
    """The variances of the whole frames of 50 ms in all channels, float64 (frames,)."""
    size = max(2, round(FRAME_SECONDS * rate))
    whole = samples[:, : samples.shape[1] // size * size]
    return whole.reshape(-1, size).var(axis=1, dtype=np.float64)


def above_floor(energies):
    """The sum of what frames have more than the noise floor, the quietest tenth of them."""
    energies = np.concatenate(energies)
    if not len(energies):
        return 0.0
    return np.maximum(energies - np.quantile(energies, FLOOR), 0).sum()


def remarks(seen):
    """What was odd in a recording, in words."""
    values = seen["values"]
    if values < (1 - CUT_SHARE) * seen["promised"]:
        yield (f"it ends early, cut or damaged: {values / seen['promised']:.0%} of what its header says is there")
    if seen["broken"]:
        yield (f"{seen['broken']:,} of {values:,} values were not finite, or beyond {LOUDEST:g}, and count as zero")
    if seen["lowest"] == seen["highest"]:
        yield f"it is constant ({seen['highest']:g}): there is nothing to denoise"
        return
    largest = max(float(seen["highest"]), -float(seen["lowest"]))
    if seen["clipped"] > CLIPPED_SHARE * values and largest <= 1:
        yield f"{seen['clipped'] / values:.1%} of the values are at full scale: it was clipped"
    if seen["beyond"]:
        yield (
            f"{seen['beyond']:,} of {values:,} denoised values were clipped: the format holds "
            "none so large; make the recording quieter first"
        )
    mean, before, after = seen["sum"] / values, *map(above_floor, (seen["before"], seen["after"]))
    deviation = np.sqrt(max(0, seen["squares"] / values - mean**2))
    if abs(mean) > deviation:
        yield f"its mean is {mean:g} at a deviation of {deviation:g}; take the mean away first"
    elif after < LEAST_KEPT * before:
        yield (
            f"{after / before:.1%} of what is louder than the noise floor is left: it is nearly "
            "all noise, or the denoiser is made for other sounds"
        )
