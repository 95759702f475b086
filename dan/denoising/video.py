"""Writing sound into a container, such as MP4 or WebM; all else in it is copied from another one, bit by bit."""

from contextlib import contextmanager, suppress
from fractions import Fraction
from math import inf

import numpy as np

from dan.errors import UserError
from dan.signals.video_files import CONTAINERS, Sound, find_sound, open_container

LEAST_BIT_RATE = 64_000  # a second and channel; what is encoded a second time needs no less
FRAME = 4096  # samples that are encoded at a time
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
        import av

        self.others, self.next_copy, self.left_out, self.source = iter(()), None, [], None
        self.rate, self.layout = like.samplerate, getattr(like, "layout", f"{like.channels}c")
        self.position = round(getattr(like, "start", 0) * self.rate)  # in samples
        self.output = av.open(str(path), "w", format=CONTAINERS[target.suffix.lower()])
        try:
            self.encoding = choose_encoding(self.output, like, target)
            self.subtype = "FLOAT" if self.encoding["format"].startswith(("flt", "dbl")) else "PCM"
            if isinstance(like, Sound):
                self.copy_streams(open_container(like.name))
            else:
                self.sound = self.add_sound()
        except BaseException:
            self.close()
            raise

    def add_sound(self):
        """The stream for the sound."""
        settings = dict(self.encoding)
        return self.output.add_stream(settings.pop("codec"), settings.pop("rate"), **settings)

    def copy_streams(self, source):
        """Make a stream for each of another container, and copy tags and chapters."""
        self.source, streams = source, {}
        sound = find_sound(source)
        for stream in source.streams:
            if stream is sound:
                self.sound = added = self.add_sound()
            else:
                added = self.add_copy(stream)
            if added:
                streams[stream.index] = added
                added.metadata.update(fresh(stream.metadata))
                added.disposition = stream.disposition
        self.output.metadata.update(fresh(source.metadata))
        self.output.set_chapters(source.chapters())
        copied = [stream for stream in source.streams if stream.index in streams and stream is not sound]
        if copied:
            self.others = self.copied_packets(source.demux(*copied), streams)
            self.next_copy = next(self.others, None)

    def add_copy(self, stream):
        """A stream for the packets of another one; None where the container has no such streams."""
        if stream.type == "data":  # chapters, which are copied as such, or what only a camera's maker knows
            return None
        try:
            copy = self.output.add_stream_from_template(stream, opaque=True)
        except ValueError:
            self.left_out.append(f"{stream.type} ({stream.name})")
            return None
        if copy.codec_context and self.output.format.name in self.source.format.name.split(","):
            copy.codec_context.codec_tag = stream.codec_context.codec_tag  # players may know just one
        return copy

    def copied_packets(self, packets, streams):
        """(When, packet) of everything but the sound."""
        for packet in packets:
            if packet.dts is not None:
                when = packet.dts * packet.time_base
                packet.stream = streams[packet.stream.index]
                yield when, packet

    def write(self, samples):
        """Encode samples (samples, channels), and copy what belongs beside them."""
        import av

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
            self.copy_until(packet.dts * packet.time_base)
            self.output.mux(packet)

    def copy_until(self, when):
        """Copy all packets of the others up to that second."""
        while self.next_copy and self.next_copy[0] <= when:
            self.output.mux(self.next_copy[1])
            self.next_copy = next(self.others, None)

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        try:
            if error is None:
                with as_os_error():
                    self.mux(self.sound.encode(None))
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


def choose_encoding(output, like, target):
    """The settings of the stream for the sound: the first codec, of its own and the usual one, that takes it.

    Where the codec has no such sample rate, it is the next one above. Raises UserError if none takes it.
    """
    import av

    layout = getattr(like, "layout", f"{like.channels}c")
    for name in (like.subtype, output.default_audio_codec):
        codec = find_encoder(name)
        if codec is None or codec.name not in output.supported_codecs:
            continue
        formats = [format.name for format in codec.audio_formats]
        format = next(
            (format for format in ("fltp", "flt", getattr(like, "format", None)) if format in formats), formats[0]
        )
        rates = sorted(codec.audio_rates or [like.samplerate])
        rate = next((rate for rate in rates if rate >= like.samplerate), rates[-1])
        bit_rate = max(getattr(like, "bit_rate", None) or 0, LEAST_BIT_RATE * like.channels)
        for rate_of_bits in ({"bit_rate": bit_rate}, {}):
            settings = {"rate": rate, "layout": layout, "format": format, **rate_of_bits}
            trial = av.CodecContext.create(codec)
            for key, value in settings.items():
                setattr(trial, key, value)
            with suppress(av.FFmpegError, ValueError):
                trial.open()
                return {"codec": codec.name, **settings}
    raise UserError(f"{target} cannot hold {like.channels} channels at {like.samplerate:,} Hz; choose another format")


def find_encoder(name):
    """The encoder of that codec, an av.Codec; None if there is none that is ready for use."""
    import av

    try:
        codec = av.Codec(name, "w")
    except (av.FFmpegError, ValueError, RuntimeError):
        return None
    return None if codec.experimental or codec.type != "audio" else codec


def fresh(tags):
    """The tags that hold for the new file, too."""
    return {name: value for name, value in tags.items() if not name.lower().startswith(STALE)}


@contextmanager
def as_os_error():
    """Raise what ffmpeg refuses as the OSError that it is."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error
