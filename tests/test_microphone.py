"""Live sound from a microphone: options, the meter, counted drop-outs, and a real sound server without hardware."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import one_error
from scipy.signal import correlate

from config import REPOSITORY
from dan.denoising import microphone
from dan.denoising.denoiser import Denoiser
from dan.signals.resampling import resample
from dan.training.checkpoints import PRETRAINED

RATE, BLOCK = 48_000, 480


class PortAudioError(Exception):
    pass


class Stream:
    """Stands for an open stream of sounddevice; where nothing is ready, time goes on by a block."""

    def __init__(self, sound, device=None, channels=1, samplerate=RATE, blocksize=BLOCK, dtype="float32", latency=None):
        self.sound, self.channels, self.samplerate = sound, channels, samplerate

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class InputStream(Stream):
    @property
    def read_available(self):
        return self.sound.backlog

    def read(self, count):
        overflowed = self.sound.turn()
        if self.sound.backlog < count:
            self.sound.wait()
        self.sound.backlog -= count
        return self.sound.rng.normal(0, 0.1, (count, 1)).astype(np.float32), overflowed


class OutputStream(Stream):
    write_available = property(lambda self: self.sound.room)

    def write(self, samples):
        assert samples.shape[1] == self.channels and samples.dtype == np.float32
        self.sound.written.append(samples)
        while self.sound.room < len(samples):
            self.sound.wait()
        self.sound.room -= len(samples)
        return "underflow" in self.sound.now


class Sound:
    """Stands for the module sounddevice: a microphone, a loudspeaker, and what happens in which turn.

    events: {turn: "overflow", "underflow", "backlog", "unplugged" or "ctrl-c"}.
    """

    PortAudioError = PortAudioError
    devices = (("Laptop, built-in", 2, 0), ("USB headset", 1, 2), ("Speaker", 0, 8))

    def __init__(self, events=None, rates=(48_000,)):
        self.events, self.rates, self.turns, self.now = events or {}, rates, 0, ""
        self.backlog, self.room, self.written, self.rng = 0, 3 * BLOCK, [], np.random.default_rng(0)
        self.InputStream = lambda **options: InputStream(self, **options)
        self.OutputStream = lambda **options: OutputStream(self, **options)

    def wait(self):
        """A block comes from the microphone, and one is played."""
        self.backlog, self.room = self.backlog + BLOCK, min(3 * BLOCK, self.room + BLOCK)

    def turn(self):
        self.turns += 1
        self.now = self.events.get(self.turns, "")
        if self.now == "unplugged":
            raise PortAudioError("Device unavailable")
        if self.now == "ctrl-c":
            raise KeyboardInterrupt
        if self.now == "backlog":
            self.backlog += 4 * BLOCK
        return self.now == "overflow"

    def query_devices(self, device=None, kind=None):
        if kind is None and device is None:
            return "\n".join(name for name, *_ in self.devices)
        if device is None:
            device = 0 if kind == "input" else 2
        if isinstance(device, str):
            found = [n for n, (name, *_) in enumerate(self.devices) if device.lower() in name.lower()]
            if not found:
                raise ValueError(f"No {kind} device matching '{device}'")
            if len(found) > 1:
                raise ValueError(f"Multiple {kind} devices found for '{device}':\n[0] …")
            device = found[0]
        if device >= len(self.devices):
            raise PortAudioError(f"Error querying device {device}")
        name, inputs, outputs = self.devices[device]
        if kind and not (inputs if kind == "input" else outputs):
            raise ValueError(f"Not an {kind} device: '{name}'")
        known = {"max_input_channels": inputs, "max_output_channels": outputs, "default_samplerate": 44_100.0}
        return {"index": device, "name": name, **known}

    def check_input_settings(self, device, channels, dtype, samplerate):
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate")

    check_output_settings = check_input_settings


@pytest.fixture
def sound(monkeypatch):
    """Put a Sound in place of sounddevice: sound(events, rates)."""

    def put(*arguments):
        fake = Sound(*arguments)
        monkeypatch.setitem(sys.modules, "sounddevice", fake)
        return fake

    return put


class Through:
    """Stands for a live denoiser: half as loud, and not late."""

    latency = 0

    def __call__(self, block):
        return block / 2


def passage(sound):
    return microphone.Passage(Through(), sound.InputStream(), sound.OutputStream(channels=2), BLOCK)


def test_ctrl_c_ends_it_with_a_summary(script, sound):
    fake = sound({130: "ctrl-c"})
    code, out, err = script("denoise", "--live", "--most", 12)
    assert code == 0 and "error" not in err
    assert "latency 80 ms (denoiser 40, block 10, buffer 30)" in out
    assert "1.3 s, 0 drop-outs" in out.splitlines()[-1]
    # The buffer is filled with silence once; each block goes to both channels.
    assert [len(samples) for samples in fake.written] == [3 * BLOCK] + 128 * [BLOCK]
    assert fake.written[100].any() and (fake.written[100][:, 0] == fake.written[100][:, 1]).all()
    assert script("denoise", "--live", "--checkpoint", "none.pt")[0] == 1


def test_drop_outs_are_counted_and_the_delay_stays(sound):
    fake = sound({5: "overflow", 10: "underflow", 150: "backlog", 330: "overflow"})
    through = passage(fake)
    while fake.turns < 350:
        through.turn()
    assert (through.overflows, through.underflows, through.skips) == (2, 1, 1)
    assert fake.backlog == fake.room == 0 and "4 drop-outs" in through.summary()


def test_the_meter_shows_levels_gain_and_drop_outs(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    meter = microphone.Meter(RATE)
    loud = np.full(BLOCK, 0.1, np.float32)
    for _ in range(20):
        meter.show(loud, loud / 10, 3)
    assert capsys.readouterr().err == "\rbefore |#####   |  -20 dB after |###     |  -40 dB gain -20.0 dB, drop-outs 3"
    for _ in range(20):
        meter.show(0 * loud, 0 * loud, 3)
    assert "before |        | -120 dB" in capsys.readouterr().err


def test_devices_are_listed_and_found_by_number_or_name(script, sound):
    sound()
    assert "USB headset" in script("denoise", "--devices")[1]
    for text, expected in (("", (0, 2, 2)), ("usb,1", (1, 1, 2)), (",usb", (0, 1, 2)), (" 0 , speaker ", (0, 2, 2))):
        devices = microphone.find_devices(text)
        assert (devices.input, devices.output, devices.channels) == expected and devices.rate == RATE
    sound({}, (44_100, 16_000))
    assert microphone.find_devices("").rate == 44_100


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--live", "3"], 2, "write IN,OUT"),
        (["--live", "phone,"], 1, "no input device 'phone' (No input device matching 'phone'); see --devices"),
        (["--live", "e,"], 1, "Multiple input devices found for 'e'"),
        (["--live", "7,"], 1, "Error querying device 7"),
        (["--live", ",0"], 1, "Not an output device"),
        (["--live", "0,1", "noisy.wav"], 2, "--live denoises no files"),
        (["--live", "--devices"], 2, "choose"),
    ],
)
def test_what_is_not_a_device_is_one_line(arguments, code, told, script, sound):
    sound()
    ended, _, err = script("denoise", *arguments)
    assert ended == code and told in one_error(err)


def test_devices_that_fail_are_one_line(script, sound):
    sound({3: "unplugged"})
    code, out, err = script("denoise", "--live")
    assert code == 1 and "a sound device failed (Device unavailable)" in one_error(err) and "0 drop-outs" in out
    sound({}, ())
    code, _, err = script("denoise", "--live")
    assert code == 1 and "cannot be used together (Invalid sample rate)" in one_error(err)


def test_what_is_not_installed_is_named(script, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, _, err = script("denoise", "--live")
    assert code == 1 and "pip install -r requirements-live.txt" in one_error(err)
    monkeypatch.delitem(sys.modules, "sounddevice")
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    code, _, err = script("denoise", "--devices")
    assert code == 1 and "apt-get install libportaudio2" in one_error(err)
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(query_devices=lambda: []))
    code, _, err = script("denoise", "--devices")
    assert code == 1 and "no sound device" in one_error(err)


# A stereo room without hardware: the microphone hears its left, the loudspeaker plays on its right.
ROOM = """
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=room format=float32le rate=48000 channels=2
load-module module-remap-source master=room.monitor channels=1 channel_map=mono master_channel_map=front-left remix=no
load-module module-remap-sink master=room channels=1 channel_map=mono master_channel_map=front-right remix=no
set-default-source room.monitor.remapped
set-default-sink room.remapped
"""
ROOM_FORMAT = ["-d", "room", "--raw", "--format=float32le", "--rate=48000", "--channels=2"]
MOST_LATE = round(0.4 * RATE)


@pytest.fixture
def room(monkeypatch):
    """Run PulseAudio with the room; yields a function that starts a program of it."""
    pytest.importorskip("sounddevice", exc_type=(ImportError, OSError))
    if not all(map(shutil.which, ("pulseaudio", "pactl", "pacat"))):
        pytest.skip("needs PulseAudio")
    programs = []

    def start(*command, **options):
        programs.append(subprocess.Popen(command, cwd=REPOSITORY, **options))
        return programs[-1]

    with tempfile.TemporaryDirectory() as folder:  # whose name is short enough for a socket
        socket = Path(folder, "native")
        Path(folder, "room.pa").write_text(ROOM.format(socket=socket))
        for name in ("HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH"):
            monkeypatch.setenv(name, folder)
        monkeypatch.setenv("PULSE_SERVER", f"unix:{socket}")
        server = "pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm"
        start(*server, "-F", f"{folder}/room.pa", stderr=subprocess.DEVNULL)
        for _ in range(100):
            if subprocess.run(["pactl", "info"], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        yield start
        for program in reversed(programs):
            program.terminate()
            program.wait()


def test_a_sound_server_plays_what_a_file_gives(room, tmp_path):
    noisy, rate = soundfile.read(REPOSITORY / "demo" / "noisy.flac", dtype="float32")
    seconds = float(os.environ.get("LIVE_SECONDS", "5"))
    left = np.tile(resample(noisy[None], rate, RATE)[0], 20 + int(seconds / 3))
    np.stack([left, 0 * left], 1).tofile(tmp_path / "noisy")
    with open(tmp_path / "noisy", "rb") as played, open(tmp_path / "recorded", "wb") as recorded:
        room("pacat", "--playback", *ROOM_FORMAT, stdin=played)
        room("pacat", "--record", "-d", "room.monitor", *ROOM_FORMAT[2:], "--latency-msec=50", stdout=recorded)
        live = room(sys.executable, "denoise.py", "--live", stdout=subprocess.PIPE, text=True)
        while "Ctrl-C" not in live.stdout.readline():
            assert live.poll() is None
        time.sleep(seconds)
        live.send_signal(signal.SIGINT)
        summary = live.communicate()[0]
        assert live.returncode == 0
    if " 0 drop-outs" not in summary:
        pytest.skip(f"the machine is too busy: {summary}")
    heard, given = np.fromfile(tmp_path / "recorded", "<f4").reshape(-1, 2).T
    first, last = np.flatnonzero(given)[[0, -1]]
    given = given[first : last + 1 - RATE // 10]
    assert len(given) > (seconds - 2) * RATE
    # The sample that came out first had gone in `delay` before.
    denoiser = Denoiser.load(PRETRAINED)
    rough = denoiser(heard[first - MOST_LATE : first + 2 * RATE], RATE)
    delay = MOST_LATE - np.argmax(correlate(rough, given[: 2 * RATE], "valid", "fft"))
    expected = denoiser(heard[first - delay : first + len(given)], RATE)[: len(given)]
    print(f"delay {1000 * delay / RATE:.1f} ms; {summary}")
    np.testing.assert_allclose(given, expected, atol=1e-4)
    assert 0.04 * RATE < delay < MOST_LATE
