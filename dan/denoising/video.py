"""Writing sound into a container, such as MP4 or WebM; all else in it is copied from another one, bit by bit."""

from contextlib import contextmanager, suppress
from fractions import Fraction
from math import inf

import numpy as np

from dan.errors import UserError
from dan.signals.video_files import CONTAINERS, Sound, av, check_av, find_sound, open_container

LEAST_BIT_RATE = 64_000  # a second and channel; what is encoded a second time needs no less
FRAME = 4096  # samples that are encoded at a time
FLOATS = ("fltp", "flt")  # ffmpeg's sample formats of encoders that clip nothing
BRANDS = {".m4a": "M4A ", ".m4b": "M4B "}
KEEP_DELAY = ("mp4", "mov", "3gp", "webm", "matroska", "ogg")  # say where the sound begins in what the encoder made
# Tags that tell of the sound as it was encoded, and of the container that it was in.
STALE = ("encoder", "duration", "bps", "number_of_", "_statistics", "major_brand", "minor_version", "compatible_brands")


class SoundWriter:
    """A container into which sound is written, as into an open soundfile.SoundFile.

    The sound gets the codec that it had, or the container's usual one; everything else is copied
    from the container that the sound comes from, beside the sound of the same time.
    """

    def __init__(self, path, like, target):
        """path: of the file, which will be called `target`; like: the open recording whose sound it takes.

        Raises UserError if the container cannot hold such sound.
        """
        check_av(target)
        self.like, self.target, self.source, self.left_out = like, target, None, []
        self.others, self.next_copy = iter(()), None
        self.rate, self.layout = like.samplerate, getattr(like, "layout", f"{like.channels}c")
        self.start = self.position = round(getattr(like, "start", 0) * self.rate)  # in samples
        suffix = target.suffix.lower()
        options = {"brand": BRANDS[suffix]} if suffix in BRANDS else {}
        self.output = av.open(str(path), "w", format=CONTAINERS[suffix], options=options)
        try:
            if isinstance(like, Sound):
                self.copy_streams(open_container(like.name))
            else:
                self.sound = self.add_sound()
        except BaseException:
            self.close()
            raise
        encoder = self.sound.codec_context
        self.subtype = "FLOAT" if encoder.format.name in FLOATS else "PCM"
        self.keeps_delay = CONTAINERS[suffix] in KEEP_DELAY

    def add_sound(self):
        """The stream for the sound, of the first codec, of its own and the usual one, that takes it."""
        for codec in (self.like.subtype, self.output.default_audio_codec):
            settings = choose_settings(codec, self.like, self.layout)
            with suppress(ValueError):  # the container does not take this codec
                if settings:
                    return self.output.add_stream(**settings)
        raise UserError(
            f"{self.target} cannot hold {self.like.channels} channels at {self.rate:,} Hz; choose another format"
        )

    def copy_streams(self, source):
        """Make a stream for each of another container, and copy tags and chapters."""
        self.source, sound, copies = source, find_sound(source), {}
        for stream in source.streams:
            if stream is sound:
                copy = self.sound = self.add_sound()
            else:
                copy = copies[stream.index] = self.add_copy(stream)
            if copy:
                copy.metadata.update(fresh(stream.metadata))
                copy.disposition = stream.disposition
        self.output.metadata.update(fresh(source.metadata))
        self.output.set_chapters(source.chapters())
        copied = [stream for stream in source.streams if copies.get(stream.index)]
        if copied:
            self.others = copied_packets(source.demux(*copied), copies)
            self.next_copy = next(self.others, None)

    def add_copy(self, stream):
        """A stream for the packets of another one; None where the container has no such streams."""
        copy = None
        if stream.type != "data":  # which a container may refuse only later, and everything with it
            with suppress(ValueError):
                copy = self.output.add_stream_from_template(stream, opaque=True)
        if copy is None:
            if stream.discard != av.stream.Discard.all:  # as chapters are, which are copied as such
                self.left_out.append(f"{stream.type} ({stream.name})" if stream.name else stream.type)
            return None
        if copy.codec_context and self.output.format.name in self.source.format.name:
            copy.codec_context.codec_tag = stream.codec_context.codec_tag  # players may know just one
        return copy

    def write(self, samples):
        """Encode samples (samples, channels), and copy what belongs beside them."""
        with as_os_error():
            for begin in range(0, len(samples), FRAME):
                planes = np.ascontiguousarray(samples[begin : begin + FRAME].T, np.float32)
                frame = av.AudioFrame.from_ndarray(planes, "fltp", self.layout)
                frame.sample_rate, frame.time_base, frame.pts = self.rate, Fraction(1, self.rate), self.position
                self.position += frame.samples
                self.mux(self.sound.encode(frame))

    def mux(self, packets):
        """Write packets of sound, each after what is due before it."""
        for packet in packets:
            if not self.keeps_delay and packet.pts * packet.time_base < Fraction(self.start, self.rate):
                continue  # it is the encoder's delay, at most with some samples of sound
            self.copy_until(packet.dts * packet.time_base)
            self.output.mux(packet)

    def mux_last(self, packets):
        """Write the last packets of sound, without what the encoder has added to fill its frames."""
        for packet in packets:
            left = round(Fraction(self.position, self.rate) / packet.time_base) - packet.pts
            if left > 0:
                packet.duration = min(packet.duration, left)
                self.mux([packet])

    def copy_until(self, when):
        """Copy all packets of the others up to that second."""
        while self.next_copy and self.next_copy[0] <= when:
            self.output.mux(self.next_copy[1])
            self.next_copy = next(self.others, None)

    def notes(self):
        """A sentence for everything that is not as it was."""
        codec = self.sound.codec_context.codec.canonical_name
        if isinstance(self.like, Sound):
            if codec != self.like.subtype:
                yield f"its sound was {self.like.subtype}, and is {codec} now"
            others = len(self.source.streams.audio) - 1
            if others:
                yield f"one track of its sound is denoised; {others} more stay as they were"
            if self.like.damaged:
                yield f"{self.like.damaged:,} packets of its sound are damaged, and silent"
        if self.left_out:
            yield f"left out, because it cannot be copied into {self.target.suffix}: {', '.join(self.left_out)}"

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        try:
            if error is None:
                with as_os_error():
                    self.mux_last(self.sound.encode(None))
                    self.copy_until(inf)
                    self.output.close()
        finally:
            self.close()

    def close(self):
        """Let go of the files, whatever is in them."""
        with suppress(Exception):  # it is only an end after an error
            self.output.close()
        if self.source:
            self.source.close()


def choose_settings(codec, like, layout):
    """The settings of a stream for sound, by the name of a codec; None if it does not take such sound.

    Where the codec has no such sample rate, it is the next one above.
    """
    encoder = find_encoder(codec)
    if not encoder:
        return None
    formats = [format.name for format in encoder.audio_formats]
    wanted = (*FLOATS, getattr(like, "format", None))
    format = next((format for format in wanted if format in formats), formats[0])
    rates = sorted(encoder.audio_rates or [like.samplerate])
    rate = next((rate for rate in rates if rate >= like.samplerate), rates[-1])
    settings = {"rate": rate, "layout": layout, "format": format}
    bit_rate = max(getattr(like, "bit_rate", None) or 0, LEAST_BIT_RATE * like.channels)
    for more in ({"bit_rate": bit_rate}, {}):  # some rates are too low for so many bits
        trial = av.CodecContext.create(encoder)
        for name, value in (settings | more).items():
            setattr(trial, name, value)
        with suppress(av.FFmpegError, ValueError):
            trial.open()
            return {"codec_name": encoder.name, **settings, **more}
    return None


def find_encoder(name):
    """The encoder of that codec, an av.Codec; None if there is none that is ready for use."""
    try:
        codec = av.Codec(name, "w")
    except (av.FFmpegError, ValueError, RuntimeError):
        return None
    return None if codec.experimental or codec.type != "audio" else codec


def copied_packets(packets, copies):
    """(When, packet) of each packet that is copied, in its new stream; copies: {index: new stream}."""
    when = -inf
    for packet in packets:
        if packet.size:  # not the end
            if packet.dts is not None:
                when = packet.dts * packet.time_base
            packet.stream = copies[packet.stream.index]
            yield when, packet


def fresh(tags):
    """The tags that hold for the new file, too."""
    return {name: value for name, value in tags.items() if not name.lower().startswith(STALE)}


@contextmanager
def as_os_error():
    """Raise what ffmpeg refuses as the OSError that it is."""
    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error
