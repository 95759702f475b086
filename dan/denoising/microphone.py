"""A causal denoiser between a microphone and a sound output, through PortAudio.

One loop reads a block, denoises it and writes it; PortAudio buffers on both sides. (A callback of
PortAudio would have to wait for Python, and for the network.) What is lost is counted.
"""

import shutil
import sys
from typing import NamedTuple

import numpy as np
import torch

from dan.errors import ConfigurationError, Terminated, UserError
from dan.signals.audio_files import are_far_apart

RATES = 48_000, 44_100, 16_000  # in Hz; the first that both devices take
BLOCK_SECONDS = 0.01
BUFFER_SECONDS = 0.04  # of the devices; so long the machine may do other work
MOST_GROWTH = 0.02  # seconds by which the delay may grow before sound is left out
WATCHED = 100  # blocks in which the least that waits tells the delay: devices take and give in bursts
METER_SECONDS = 0.2
LOWEST = -60  # dB, where the meter's bars begin
BAR = 8  # characters
LEAST_POWER = 1e-12  # what the meter shows of silence


class Devices(NamedTuple):
    """Two sound devices and what they are opened with."""

    input: int
    output: int
    rate: int
    channels: int  # of the output, all of which get the same


def load_sounddevice():
    """The module sounddevice; raises UserError, which says how to install it."""
    try:
        import sounddevice
    except ImportError:
        raise UserError("live sound needs sounddevice: pip install -r requirements-live.txt") from None
    except OSError:
        raise UserError("live sound needs PortAudio; on Debian and Ubuntu: apt-get install libportaudio2") from None
    return sounddevice


def list_devices():
    """Print the sound devices, with the numbers and names that --live takes. Raises UserError if there are none."""
    devices = load_sounddevice().query_devices()
    if not len(devices):
        raise UserError("PortAudio finds no sound device; connect one, or start a sound server")
    print(devices)


def find_devices(text):
    """The Devices that IN,OUT names, by numbers or parts of names; what is left empty is the default.

    Raises ConfigurationError for another text, and UserError if there is no such device, or no sample rate that
    both devices take.
    """
    sounddevice = load_sounddevice()
    names = text.split(",") if text else ["", ""]
    if len(names) != 2:
        raise ConfigurationError(f"--live {text} is invalid; write IN,OUT, such as 3,5; --devices lists them")
    source, target = (
        find_device(sounddevice, name.strip(), kind) for name, kind in zip(names, ("input", "output"), strict=True)
    )
    channels = min(2, target["max_output_channels"])
    usual = [int(device["default_samplerate"]) for device in (source, target)]
    for rate in (*RATES, *usual):
        try:
            sounddevice.check_input_settings(source["index"], 1, "float32", samplerate=rate)
            sounddevice.check_output_settings(target["index"], channels, "float32", samplerate=rate)
        except sounddevice.PortAudioError as error:
            refusal = error
            continue
        return Devices(source["index"], target["index"], rate, channels)
    raise UserError(f"'{source['name']}' and '{target['name']}' cannot be used together ({refusal}); see --devices")


def find_device(sounddevice, name, kind):
    """What sounddevice knows of one device; kind: "input" or "output"."""
    try:
        return sounddevice.query_devices(int(name) if name.isdecimal() else name or None, kind)
    except (sounddevice.PortAudioError, ValueError) as error:
        told = str(error).splitlines()[0].rstrip(":")
        raise UserError(f"there is no {kind} device '{name or 'default'}' ({told}); see --devices") from None


def denoise_live(denoiser, devices):
    """Denoise the Devices' sound until Ctrl-C, with a meter on standard error; prints a summary at the end.

    Raises UserError if the denoiser is not causal, or a device fails.
    """
    sounddevice = load_sounddevice()
    if are_far_apart(devices.rate, denoiser.sample_rate):
        raise UserError(f"the devices have {devices.rate:,} samples per second; use a denoiser for such a rate")
    torch.set_num_threads(1)  # a block is too short to share
    block = round(BLOCK_SECONDS * devices.rate)
    denoiser.live(devices.rate)(np.zeros(devices.rate, np.float32))  # the first blocks take torch longest
    live = denoiser.live(devices.rate)
    common = {"samplerate": devices.rate, "blocksize": block, "dtype": "float32", "latency": BUFFER_SECONDS}
    try:
        with (
            sounddevice.InputStream(device=devices.input, channels=1, **common) as source,
            sounddevice.OutputStream(device=devices.output, channels=devices.channels, **common) as target,
        ):
            passage = Passage(live, source, target, block)
            print(f"{passage.latency_in_words()}; Ctrl-C ends it", flush=True)
            follow(passage, Meter(devices.rate))
    except sounddevice.PortAudioError as error:
        raise UserError(f"a sound device failed ({error}); see --devices") from error


def follow(passage, meter):
    """Take block after block through until Ctrl-C, show the meter, and print a summary, whatever the end."""
    try:
        while True:
            meter.show(*passage.turn(), passage.drop_outs)
    except Terminated:
        raise
    except KeyboardInterrupt:
        pass
    finally:
        meter.end()
        print(passage.summary())


class Passage:
    """The way of blocks from an open input of sounddevice through a Live denoiser to an open output.

    The output's buffer begins full of silence: so long the network may take. After a drop-out it is
    filled again, and what came meanwhile is left out, so that the delay stays what it was.
    """

    def __init__(self, live, source, target, block):
        """block: samples."""
        self.live, self.source, self.target, self.block = live, source, target, block
        self.blocks = self.overflows = self.underflows = self.skips = 0
        self.ahead = target.write_available
        self.begin()

    def begin(self):
        """Leave out what waits at the input, and fill the output's buffer."""
        self.source.read(self.block)  # at first this waits until the device runs
        while self.source.read_available >= self.block:
            self.source.read(self.block)
        self.target.write(np.zeros((self.target.write_available, self.target.channels), np.float32))
        self.waited, self.usual = [], None

    def has_grown(self):
        """Whether the delay has grown: the devices' clocks differ, and not every device tells that it overflowed."""
        self.waited.append(self.source.read_available - self.target.write_available)
        if len(self.waited) < WATCHED:
            return False
        least, self.waited = min(self.waited), []
        if self.usual is None:
            self.usual = least
        return least - self.usual > MOST_GROWTH * self.source.samplerate

    def turn(self):
        """Take the next block through; returns it before and after, float32 (samples,)."""
        recorded, overflowed = self.source.read(self.block)
        denoised = self.live(recorded[:, 0])
        underflowed = self.target.write(np.repeat(denoised[:, None], self.target.channels, axis=1))
        grown = self.has_grown()
        self.blocks += 1
        self.overflows += overflowed
        self.underflows += underflowed
        self.skips += grown and not (overflowed or underflowed)
        if overflowed or underflowed or grown:
            self.begin()
        return recorded[:, 0], denoised

    @property
    def drop_outs(self):
        return self.overflows + self.underflows + self.skips

    def latency_in_words(self):
        parts = self.live.latency, self.block, self.ahead
        total, *parts = (f"{1000 * samples / self.source.samplerate:.0f}" for samples in (sum(parts), *parts))
        return f"latency {total} ms (denoiser {parts[0]}, block {parts[1]}, buffer {parts[2]}) and the devices' own"

    def summary(self):
        return (
            f"{self.blocks * self.block / self.source.samplerate:.1f} s, {self.drop_outs} drop-outs "
            f"(input overflowed: {self.overflows}, output underflowed: {self.underflows}, "
            f"sound left out to keep the delay: {self.skips}), {self.latency_in_words()}"
        )


class Meter:
    """A line at a terminal that shows the level before and after, the gain, and the drop-outs."""

    def __init__(self, sample_rate):
        """sample_rate: in Hz."""
        self.samples = round(METER_SECONDS * sample_rate)
        self.shown = sys.stderr.isatty()
        self.clear()

    def clear(self):
        self.count, self.energies = 0, np.zeros(2)

    def show(self, before, after, drop_outs):
        """Take two blocks, (samples,), and draw the line once in a while."""
        self.count += len(before)
        self.energies += [np.square(block, dtype=np.float64).sum() for block in (before, after)]
        if self.count < self.samples:
            return
        before, after = 10 * np.log10(self.energies / self.count + LEAST_POWER)
        self.clear()
        if self.shown:
            line = f"before {bar(before)} after {bar(after)} gain {after - before:5.1f} dB, drop-outs {drop_outs}"
            print("\r" + line[: shutil.get_terminal_size().columns - 1], end="", file=sys.stderr, flush=True)

    def end(self):
        if self.shown:
            print(file=sys.stderr)


def bar(level):
    """A level in dB as a bar and a number."""
    filled = round(BAR * min(1, max(0, 1 - level / LOWEST)))
    return f"|{'#' * filled:{BAR}}| {level:4.0f} dB"
