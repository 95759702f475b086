"""Recordings in pipes: standard input and output, as WAV, whose length nobody need know, or as raw samples.

A recording for standard output is read, denoised and written in blocks of 20 ms.
"""

import argparse
import errno
import io
import os
import struct
import sys
from contextlib import nullcontext
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from dan.denoising.pieces import as_finite
from dan.errors import UserError, silence
from dan.signals.audio_files import are_far_apart, open_audio, read_pieces

PIPE = "-"  # stands for standard input or output
BLOCKS = 50  # in a second
# The bytes of each number, in the sample formats of WAV that need no decoder.
SIZES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}
RAW_FORMATS = {"s16le": "PCM_16", "f32le": "FLOAT"}
LONGEST_CHUNK = 2**20  # bytes of a part of the header; a longer one is damaged
UNKNOWN = 0x7FFFF000  # bytes of samples: a header that says so many, or none, does not know
NO_SIZE = b"\xff" * 4


class Raw(NamedTuple):
    """Samples without a header."""

    subtype: str  # as soundfile calls it
    rate: int
    channels: int


def parse_raw(text):
    """The Raw that s16le,48000,2 stands for."""
    format, *numbers = text.split(",")
    if format not in RAW_FORMATS or len(numbers) != 2 or not all(x.isdecimal() and int(x) for x in numbers):
        choices = " or ".join(RAW_FORMATS)
        raise argparse.ArgumentTypeError(f"'{text}' is not format,rate,channels, such as s16le,48000,2 ({choices})")
    return Raw(RAW_FORMATS[format], *map(int, numbers))


def open_recording(source, raw=None):
    """An audio file, or "-", standard input, opened for reading; raises UserError if it cannot be read."""
    return nullcontext(PipedInput(sys.stdin, raw)) if str(source) == PIPE else open_audio(Path(source))


def denoise_to_pipe(denoiser, source, output, raw=None):
    """Denoise an audio file, or "-", standard input, into a pipe, such as sys.stdout; ends where its reader ends.

    raw: of what is in pipes, which is WAV without it. Prints a line. Raises UserError, naming the file.
    """
    with open_recording(source, raw) as before:
        rate, samples = before.samplerate, 0
        if are_far_apart(rate, denoiser.sample_rate):
            raise UserError(f"{source} has {rate:,} samples per second; use a denoiser for such a rate")
        pieces = (as_finite(piece.T)[0] for piece in read_pieces(before, -(-rate // BLOCKS)))
        try:
            after = PipedOutput(output, before, raw)
            for _, denoised in denoiser.stream(pieces, rate):
                after.write(denoised.T)
                samples += denoised.shape[1]
        except KeyboardInterrupt:
            silence(output)
            raise
        except OSError as error:
            if not is_closed_pipe(error):
                raise
            silence(output)
    print(f"{source} → {PIPE}: {samples / rate:.1f} s")


def is_closed_pipe(error):
    """Whether an OSError says that a pipe's reader has gone; Windows has no word of its own for it."""
    return isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)


class PipedInput:
    """A recording from a pipe, which is read as an open soundfile.SoundFile is."""

    frames = 0  # that are sure to come

    def __init__(self, stream, raw=None):
        """stream: of text, over one of bytes, as sys.stdin is. Raises UserError for what is not WAV, or not `raw`."""
        if stream.isatty():
            raise UserError("standard input is a terminal; pipe a recording into it")
        self.stream, self.left = stream, inf
        if not raw:
            header, self.left = self.read_header()
            raw = parse_header(header)
        self.subtype, self.samplerate, self.channels = raw

    def read(self, count, dtype="float32", always_2d=True):
        """The next `count` samples, or those that are left: (samples, channels)."""
        size = SIZES[self.subtype] * self.channels
        content = self.take(min(count * size, self.left))
        self.left -= len(content)
        content = content[: len(content) // size * size]
        if not content:
            return np.zeros((0, self.channels), dtype)
        told = {"samplerate": self.samplerate, "channels": self.channels, "subtype": self.subtype}
        return soundfile.read(
            io.BytesIO(content), dtype=dtype, always_2d=always_2d, format="RAW", endian="LITTLE", **told
        )[0]

    def read_header(self):
        """(All that comes before the samples, how many bytes of samples there are)."""
        header = self.take(12)
        if header[:4] not in (b"RIFF", b"RF64") or header[8:] != b"WAVE":
            raise UserError(
                "standard input is not WAV; have ffmpeg make it, with -f wav -, or say what it is with --raw"
            )
        while len(part := self.take(8)) == 8:
            name, size = struct.unpack("<4sI", part)
            header += part
            if name == b"data":
                return header, size if 0 < size < UNKNOWN else inf
            if size > LONGEST_CHUNK:
                break
            header += self.take(size + size % 2)
        raise UserError("standard input is damaged: its header has no end")

    def take(self, size):
        """The next bytes, fewer only at the end."""
        try:
            return self.stream.buffer.read(size)
        except OSError as error:
            raise UserError(f"standard input cannot be read ({error.strerror or error})") from error


class PipedOutput:
    """A recording into a pipe; what is written is on its way at once."""

    def __init__(self, stream, like, raw=None):
        """stream: of text, over one of bytes, as sys.stdout is; like: the recording whose rate and channels it has.

        Raises UserError for a terminal, and if `raw` says something else.
        """
        if stream.isatty():
            raise UserError("standard output is a terminal; send it to a file or a program")
        kept = like.subtype if like.subtype in SIZES else "PCM_16"
        self.stream, self.raw = stream, raw or Raw(kept, like.samplerate, like.channels)
        if self.raw[1:] != (like.samplerate, like.channels):
            raise UserError(f"the recording has rate and channels {like.samplerate},{like.channels}; give --raw these")
        if not raw:
            header = self.encoded(np.zeros((0, like.channels), np.float32), "WAV")
            # Of the number of bytes nothing is known, neither of all nor, at the end, of the samples.
            self.send(header[:4] + NO_SIZE + header[8:-4] + NO_SIZE)

    def write(self, samples):
        """Write samples (samples, channels); what is beyond the range of the format is clipped."""
        if len(samples):
            self.send(self.encoded(samples, "RAW"))

    def encoded(self, samples, format):
        """The bytes of a file with these samples."""
        file = io.BytesIO()
        soundfile.write(file, samples, self.raw.rate, self.raw.subtype, "LITTLE", format)
        return file.getvalue()

    def send(self, content):
        self.stream.buffer.write(content)
        self.stream.buffer.flush()


def parse_header(header):
    """The Raw that the header of a WAV file describes; raises UserError for samples that need a decoder."""
    try:
        with soundfile.SoundFile(io.BytesIO(header)) as file:
            found = Raw(file.subtype, file.samplerate, file.channels)
    except soundfile.SoundFileError as error:
        raise UserError(f"standard input is damaged ({getattr(error, 'error_string', error)})") from error
    if found.subtype not in SIZES:
        raise UserError(f"standard input holds {found.subtype}; have ffmpeg decode it, with -c:a pcm_s16le -f wav -")
    return found
