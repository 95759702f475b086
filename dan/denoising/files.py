"""Denoising a file into another: a recording of the same sample rate, channels and format."""

import io
import time

import numpy as np
import soundfile

from dan.denoising.inspection import Inspection
from dan.denoising.pieces import as_finite, as_type
from dan.denoising.pipes import open_recording
from dan.denoising.video import SoundWriter
from dan.errors import UserError
from dan.files import write_atomically, write_bytes
from dan.signals.audio_files import FORMATS, are_far_apart, as_file_name, map_array, open_audio, read_pieces
from dan.signals.video_files import CONTAINERS, Sound

UNCLIPPED = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_III")  # hold more than full scale


def seconds_in(source, array_rate):
    """The length of a recording, or all rows of an array together; 0 if it cannot be read."""
    try:
        if source.suffix.lower() == ".npy":
            return map_array(source).size / array_rate
        with open_audio(source) as file:
            return file.seconds if isinstance(file, Sound) else file.frames / file.samplerate
    except (UserError, OSError):
        return 0.0  # the reason is said when its turn comes


def denoise_file(denoiser, source, target, array_rate, bar, raw=None):
    """Denoise one recording into a file of the same rate, channels and format; returns the rate.

    array_rate: of .npy files, in Hz; raw: of standard input, which is the source called "-". Prints
    a line, and what is odd about the recording. Raises UserError, naming the file.
    """
    started = time.perf_counter()
    if source.suffix.lower() == ".npy":
        inspection = denoise_array(denoiser, source, target, array_rate, bar)
    else:
        inspection = denoise_audio(denoiser, source, target, bar, raw)
    seconds, rate, channels = inspection.seconds(), inspection.rate, count_channels(inspection.channels)
    speed = seconds / (time.perf_counter() - started)
    bar.write(f"{source} → {target}: {seconds:.1f} s, {channels} at {rate:,} Hz, {speed:.0f} × real time")
    for remark in inspection.remarks():
        bar.write(f"  {remark}")
    return rate


def count_channels(channels):
    """A number of channels in words."""
    return f"{channels} channel{'s' * (channels > 1)}"


def denoise_array(denoiser, source, target, rate, bar):
    """Denoise an .npy file; returns its Inspection."""
    array = map_array(source)
    if not array.size:
        raise UserError(f"{source} is empty")
    rows, unusable = as_finite(np.atleast_2d(array))
    inspection = Inspection(len(rows), rate, array.size)
    inspection.unusable = unusable
    denoised = np.empty(rows.shape, np.float32)
    for place, piece in denoiser.denoise_rows(rows, rate):
        denoised[place] = piece
        inspection.add(rows[place], piece)
        advance(bar, piece.size / rate)
    denoised, inspection.clipped = as_type(denoised, array.dtype)
    content = io.BytesIO()
    np.save(content, denoised.reshape(array.shape))
    write_bytes(target, content.getbuffer())
    return inspection


def denoise_audio(denoiser, source, target, bar, raw):
    """Denoise an audio file; returns its Inspection."""
    with open_recording(source, raw) as before:
        rate, channels = before.samplerate, before.channels
        if are_far_apart(rate, denoiser.sample_rate):
            raise UserError(f"{source} has {rate:,} samples per second; use a denoiser for such a rate")
        inspection = Inspection(channels, rate, before.frames * channels)
        with write_atomically(target) as file:
            try:
                with create_audio(file.name, before, target) as after:
                    copy_denoised(denoiser, before, after, inspection, bar)
                    if isinstance(after, SoundWriter):
                        inspection.notes = list(after.notes())
            except (soundfile.SoundFileError, AssertionError) as error:
                # Reading raises UserError instead; soundfile asserts that all is written.
                raise OSError(f"not all samples could be written {error}".rstrip()) from error
            if not inspection.values:
                raise UserError(f"{source} is empty")
    return inspection


def copy_denoised(denoiser, before, after, inspection, bar):
    """Denoise one open audio file into another one."""

    def usable_pieces():
        for piece in read_pieces(before):
            samples, unusable = as_finite(piece.T)
            inspection.unusable += unusable
            yield samples

    for recorded, denoised in denoiser.stream(usable_pieces(), before.samplerate):
        if after.subtype not in UNCLIPPED:
            inspection.clipped += np.count_nonzero(np.abs(denoised) > 1)
        after.write(denoised.T)
        inspection.add(recorded, denoised)
        advance(bar, denoised.shape[1] / before.samplerate)


def create_audio(path, like, target):
    """The file of an audio `target` at `path`, with the rate, channels and format of another.

    Where its kind of file has no such sample format, it takes its usual one. Raises UserError if
    it has no such sample rate or so many channels either.
    """
    if target.suffix.lower() in CONTAINERS:
        return SoundWriter(path, like, target)
    format = FORMATS.get(target.suffix.lower())
    if not format:
        raise UserError(
            f"{target} names no audio format that can be written; choose from {', '.join((*FORMATS, *CONTAINERS))}"
        )
    usual = "OPUS" if target.suffix.lower() == ".opus" else soundfile.default_subtype(format)
    # Only trying tells: a WAV file might hold MP3, but libsndfile writes none.
    for subtype in dict.fromkeys((like.subtype, usual)):
        try:
            return soundfile.SoundFile(as_file_name(path), "w", like.samplerate, like.channels, subtype, format=format)
        except (soundfile.LibsndfileError, ValueError) as error:  # ValueError: no such pair
            reason = getattr(error, "error_string", error)
    held = f"{count_channels(like.channels)} at {like.samplerate:,} Hz"
    raise UserError(f"{target} cannot hold {held} ({reason}); choose another format, such as .wav")


def advance(bar, seconds):
    """Move the progress bar on; a recording may have grown since the bar was made."""
    bar.total = max(bar.total, bar.n + seconds)
    bar.update(seconds)
