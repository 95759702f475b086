"""The sound of videos and other containers, read by PyAV, whose packages hold the libraries of ffmpeg."""

import numpy as np

from dan.errors import UserError
from dan.files import check_regular

try:
    import av
except ImportError:  # which is said when such a file comes
    av = None

# The name that ffmpeg has for the container of a file, by the file's suffix.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".m4a": "mp4", ".m4b": "mp4", ".mov": "mov", ".3gp": "3gp"}
CONTAINERS |= {".webm": "webm", ".mkv": "matroska", ".mka": "matroska", ".wma": "asf", ".wmv": "asf", ".avi": "avi"}
CONTAINERS |= {".aac": "adts", ".flv": "flv", ".ts": "mpegts", ".mts": "mpegts", ".ogv": "ogg", ".wv": "wv"}
LEAST_GAP = 0.05  # seconds; times are rounded, and less is no gap


def check_av(path):
    """Raise UserError, naming the file that needs it, unless PyAV is installed."""
    if av is None:
        raise UserError(f"{path} needs av, which reads and writes such files: pip install -r requirements-video.txt")


def open_container(path):
    """A container opened for reading, an av.container.InputContainer; raises UserError if it cannot be read."""
    check_av(path)
    check_regular(path)
    try:
        # The whole path, because "a:b.mp4" would be taken for an address.
        return av.open(str(path.absolute()), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"{path} is unreadable ({error.strerror or error})") from error


def find_sound(container):
    """The stream of a container that is its sound, the best if it has several; None if it has none."""
    return container.streams.best("audio")


class Sound:
    """The sound of a container, which is read as an open soundfile.SoundFile is.

    What is missing, between two times or because it is damaged, is silent, so that the sound stays
    as long as the picture.
    """

    def __init__(self, path):
        """Raises UserError if there is no sound, or none that can be decoded."""
        self.name, self.container = path, open_container(path)
        self.stream = find_sound(self.container)
        if self.stream is None:
            self.container.close()
            raise UserError(f"{path} has no sound")
        self.subtype, self.bit_rate = self.stream.codec_context.codec.canonical_name, self.stream.codec_context.bit_rate
        self.decoded, self.ready, self.damaged = self.decode(), [], 0
        # What the header says may be wrong (AAC may have twice its rate); the first frame is right.
        first = next(self.decoded, None)
        if first is None:
            self.container.close()
            raise UserError(f"{path} is damaged: its sound cannot be decoded")
        self.samplerate, self.layout, self.channels = first.sample_rate, first.layout.name, first.layout.nb_channels
        self.format, self.start = first.format.name, time_of(first) or 0
        promised = (self.stream.start_time or 0) * self.stream.time_base
        if self.start - promised > LEAST_GAP:
            self.start = promised  # a decoder of WMA leaves out what comes first
        self.frames = 0  # that are sure to come, and end the sound, where the container says so to the sample
        if self.stream.duration and "mp4" in self.container.format.name:
            self.frames = round(self.stream.duration * self.stream.time_base * self.samplerate)
        self.seconds = max(0, self.end() - float(self.start))
        self.pieces = self.as_pieces(first)

    def read(self, count, dtype="float32", always_2d=True):
        """The next `count` samples, or those that are left: (samples, channels)."""
        pieces, missing = self.ready, count - sum(map(len, self.ready))
        while missing > 0 and (piece := next(self.pieces, None)) is not None:
            pieces.append(piece)
            missing -= len(piece)
        joined = np.concatenate(pieces or [np.zeros((0, self.channels), np.float32)])
        self.ready = [joined[count:]]
        return joined[:count].astype(dtype, copy=False)

    def as_pieces(self, frame):
        """This frame and those after it, float32 (samples, channels), with silence in the gaps."""
        held = frame.format.name, frame.sample_rate, frame.layout.name
        end, done = self.end(), 0
        while frame is not None:
            if held != (frame.format.name, frame.sample_rate, frame.layout.name):
                raise UserError(f"{self.name} changes its sample rate or channels midway; have ffmpeg convert it")
            time = time_of(frame)
            # A damaged time may lie years ahead.
            if time is not None and time < end:
                missing = round((time - self.start) * self.samplerate) - done
                if missing > LEAST_GAP * self.samplerate:
                    done += missing
                    yield from silence(missing, self.samplerate, self.channels)
            samples = as_float(frame)
            if self.frames:
                samples = samples[: max(0, self.frames - done)]  # the last frame is filled up
            done += len(samples)
            yield samples
            frame = next(self.decoded, None)

    def end(self):
        """When the container ends, in seconds, as far as it says; 0 if it does not."""
        return ((self.container.start_time or 0) + (self.container.duration or 0)) / 1_000_000

    def decode(self):
        """The frames that can be decoded."""
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise UserError(f"{self.name} is damaged") from error
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.damaged += 1  # and on, as every player does
                continue
            yield from frames

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()


def time_of(frame):
    """When a frame begins, in seconds, as a fraction; None if it does not say."""
    return None if frame.pts is None else frame.pts * frame.time_base


def as_float(frame):
    """The samples of a frame, float32 (samples, channels), where whole numbers reach from -1 to 1."""
    array = frame.to_ndarray()
    samples = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    if array.dtype.kind == "u":
        return (samples.astype(np.float32) - 128) / 128
    if array.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(array.dtype).min)
    return samples.astype(np.float32)


def silence(count, size, channels):
    """So many samples of silence in pieces, float32 (≤ size, channels)."""
    for done in range(0, count, size):
        yield np.zeros((min(size, count - done), channels), np.float32)
