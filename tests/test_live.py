"""Live sound: block by block in Python, and through pipes; how much of the recording stays."""

import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import soundfile
import torch
from conftest import described, one_error

from config import REPOSITORY
from dan.configuration import resolve
from dan.denoising.denoiser import Denoiser
from dan.denoising.pipes import PipedInput, PipedOutput, Raw, denoise_to_pipe, parse_raw
from dan.errors import UserError
from dan.signals.resampling import REACH, resample_pieces
from dan.training.checkpoints import write_checkpoint
from dan.training.state import new_training

SMALL = ["generator.channels=8", "generator.bands=6", "generator.blocks=2", "generator.shared_units=16"]
RATE = 16_000


def noise(seconds, rate=RATE, channels=()):
    shape = (*channels, round(seconds * rate))
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of a small causal network whose random weights do something to a signal."""
    torch.manual_seed(0)
    config = resolve("speech", [*SMALL, "training.device=cpu"])
    path = tmp_path_factory.mktemp("checkpoints") / "best.pt"
    write_checkpoint(path, new_training(config, torch.device("cpu")).checkpoint(config))
    return path


@pytest.fixture
def denoiser(checkpoint):
    return Denoiser.load(checkpoint)


def in_blocks(live, signal, longest, seed=0):
    """What a live denoiser gives for a signal in blocks of random lengths, some of them empty."""
    rng, begin, given = np.random.default_rng(seed), 0, []
    while begin < signal.shape[-1]:
        end = begin + rng.integers(longest + 1)
        given.append(live(signal[..., begin:end]))
        assert given[-1].shape == signal[..., begin:end].shape
        begin = end
    return np.concatenate(given, axis=-1)


@pytest.mark.parametrize("channels", [(), (2,)])
@pytest.mark.parametrize(
    ("rate", "options"),
    [
        (8000, {}),
        (16_000, {}),
        (44_100, {}),
        (48_000, {}),
        (22_254, {}),
        (48_000, {"narrow": True}),
        (44_100, {"dry": 0.3}),
        (16_000, {"most": 12}),
    ],
)
def test_blocks_give_what_the_whole_gives(rate, channels, options, checkpoint):
    denoiser = Denoiser.load(checkpoint, **options)
    mixed = noise(1.1, rate, channels)
    whole = denoiser(mixed, rate)
    for longest in (1, 300, 3000):
        live, part = denoiser.live(rate), mixed[..., : 2500 * longest]
        given = in_blocks(live, part, longest)
        assert not given[..., : live.latency].any()
        expected = whole[..., : part.shape[-1] - live.latency]
        np.testing.assert_allclose(given[..., live.latency :], expected, atol=1e-5)
        assert np.abs(expected).max() > 0.05


@pytest.mark.parametrize(("rate", "latency"), [(8000, 383), (16_000, 511), (44_100, 1761), (48_000, 1917)])
def test_the_latency_is_that_of_the_network_and_of_two_resamplers(rate, latency, denoiser):
    kept = denoiser.generator.latency - 1 + (0 if rate == RATE else 2 * REACH * RATE / min(rate, RATE))
    live = denoiser.live(rate)
    assert live.latency == latency == int(kept * rate / RATE)
    # It is the least that is enough: once in a while nothing more is ready.
    left = [live(block) is None or live.ready[0].shape[1] for block in np.split(noise(0.2, rate), round(0.2 * rate))]
    assert min(left) == 0


@pytest.mark.parametrize("rates", [(48_000, 16_000), (16_000, 44_100), (8000, 16_000), (22_254, 16_000)])
def test_a_resampler_keeps_no_more_back_than_its_filter_reaches(rates):
    lower, taken, given = min(rates), 0, 0
    pieces = np.array_split(noise(0.1, rates[0], (2,)), 300, axis=1)
    for piece, resampled in zip(pieces, resample_pieces(pieces, *rates), strict=False):
        taken, given = taken + piece.shape[1], given + resampled.shape[1]
        assert -1 < lower * (taken / rates[0] - given / rates[1]) <= REACH + 1e-9


@pytest.mark.parametrize("odd", [0, np.nan, -np.inf, 1, np.finfo(np.float32).max])
def test_anything_goes_through_for_as_long_as_one_likes(odd, denoiser):
    live, block = denoiser.live(48_000), np.full(24_000, odd, np.float32)
    tracemalloc.start()
    used = []
    for _ in range(2):
        for _ in range(20):
            assert np.isfinite(live(block)).all()
        used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert used[1] < used[0] + 20_000  # bytes; ten seconds of sound have two million
    assert live(noise(0.5, 48_000)).std() > 0.01


def test_values_that_are_not_finite_count_as_zero(denoiser):
    holes = noise(0.5)
    holes[1000:2000] = 0
    given = denoiser.live(RATE)(holes)
    holes[1000:2000] = np.nan
    np.testing.assert_array_equal(denoiser.live(RATE)(holes), given)


@pytest.mark.parametrize("dtype", [np.float64, np.int16])
def test_blocks_keep_their_type(dtype, denoiser):
    mixed = (3000 * noise(0.4, channels=(2,))).astype(dtype)
    live = denoiser.live(RATE)
    given = in_blocks(live, mixed, 700)
    assert given.dtype == dtype
    expected = denoiser(mixed, RATE)[:, : -live.latency]
    np.testing.assert_allclose(given[:, live.latency :], expected, atol=1)


def test_a_denoiser_that_listens_ahead_is_refused():
    config = described("audio", "generator.channels=4", "generator.blocks=2")
    ahead = Denoiser(new_training(config, torch.device("cpu")).generator, config.data)
    with pytest.raises(UserError, match=r"use a causal one, such as pretrained/speech\.pt"):
        ahead.live(8000)


def test_blocks_that_do_not_belong_together_are_refused(denoiser):
    live = denoiser.live(48_000)
    live(noise(0.02, 48_000, (2,)))
    with pytest.raises(ValueError, match="1 channels follow 2"):
        live(noise(0.02, 48_000))
    with pytest.raises(ValueError, match="transpose"):
        live(noise(0.02, 48_000, (2,)).T)
    with pytest.raises(TypeError, match="signed numbers"):
        live(np.ones(9, complex))
    with pytest.raises(ValueError, match="sample_rate"):
        denoiser.live(44_100.5)


class Silencing(torch.nn.Module):
    """Stands for a generator: it takes everything away."""

    context, hop = 300, 128

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.zeros(()))

    def forward(self, mixed):
        return self.factor * mixed


def test_at_most_so_many_decibels_quieter():
    mixed, data = noise(1, 8000), described("audio").data
    for most in (0, 6, 12):
        quieter = Denoiser(Silencing(), data, most=most)(mixed, 8000)
        np.testing.assert_allclose(20 * np.log10(mixed.std() / quieter.std()), most, atol=1e-4)
    for options in ({"dry": 0.1, "most": 12}, {"most": -1}, {"dry": 2}):
        with pytest.raises(ValueError, match="most"):
            Denoiser(Silencing(), data, **options)


def test_most_is_another_way_to_say_dry(script, checkpoint, tmp_path):
    soundfile.write(tmp_path / "in.wav", noise(0.5), RATE, "FLOAT")
    for name, option in (("most", ("--most", 12)), ("dry", ("--dry", 10 ** (-12 / 20)))):
        given = tmp_path / "in.wav", "-o", tmp_path / f"{name}.wav", "--checkpoint", checkpoint, *option
        assert script("denoise", *given)[0] == 0
    assert (tmp_path / "most.wav").read_bytes() == (tmp_path / "dry.wav").read_bytes()
    for options, told in ((("--dry", 0.1, "--most", 12), "not allowed with"), (("--most", -3), "at least 0 dB")):
        code, _, err = script("denoise", tmp_path / "in.wav", *options)
        assert code == 2 and told in one_error(err)


def wav(samples, rate, subtype="PCM_16", size=0xFFFFFFFF):
    """A WAV file as ffmpeg writes it into a pipe: of unknown length, with a chunk of text before the samples."""
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, subtype, "LITTLE", "RAW")
    channels, bits = len(samples), {"PCM_16": 16, "PCM_24": 24, "FLOAT": 32}[subtype]
    form = 3 if subtype == "FLOAT" else 1
    layout = struct.pack("<HHIIHH", form, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    text = b"INFOISFT\x05\x00\x00\x00Lavf\x00\x00"
    header = b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + struct.pack("<I", len(layout)) + layout
    header += b"LIST" + struct.pack("<I", len(text)) + text + b"data" + struct.pack("<I", size)
    return header + file.getvalue()


def stream(content=b""):
    """A text stream over bytes, as sys.stdin is."""
    return io.TextIOWrapper(io.BytesIO(content))


def written(output, offset=44):
    """The numbers of 16 bits in what was written after the header."""
    return np.frombuffer(output.buffer.getvalue()[offset:], "<i2")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_pipe_gives_what_a_file_gives(subtype, denoiser, monkeypatch, capsys):
    mixed = noise(1.03, 44_100, (2,))
    monkeypatch.setattr(sys, "stdin", stream(wav(mixed, 44_100, subtype)))
    output = stream()
    denoise_to_pipe(denoiser, "-", output)
    assert "1.0 s" in capsys.readouterr().out
    content = output.buffer.getvalue()
    assert content[4:8] == b"\xff" * 4  # nothing is said of the length
    denoised, rate = soundfile.read(io.BytesIO(content), always_2d=True)
    assert rate == 44_100 and soundfile.info(io.BytesIO(content)).subtype == subtype
    np.testing.assert_allclose(denoised.T, denoiser(mixed, 44_100), atol=1e-4)


def test_a_file_goes_into_a_pipe_and_a_pipe_into_a_file(denoiser, script, checkpoint, monkeypatch, tmp_path):
    mixed = noise(0.5, channels=(2,))
    soundfile.write(tmp_path / "in.flac", mixed.T, RATE)
    output = stream()
    denoise_to_pipe(denoiser, tmp_path / "in.flac", output)
    monkeypatch.setattr(sys, "stdin", stream(wav(mixed, RATE)))
    code, out, err = script("denoise", "-", "-o", tmp_path / "out.flac", "--checkpoint", checkpoint)
    assert code == 0 and "- → " in out, err
    denoised = soundfile.read(tmp_path / "out.flac", dtype="int16")[0]
    np.testing.assert_allclose(denoised.ravel(), written(output), atol=2)


def test_raw_samples_come_and_go(denoiser, monkeypatch):
    mixed = noise(0.5, 48_000, (2,))
    for text, dtype, scale in (("s16le,48000,2", "<i2", 32_768), ("f32le,48000,2", "<f4", 1)):
        content = (scale * mixed.T).astype(dtype).tobytes()
        monkeypatch.setattr(sys, "stdin", stream(content + b"\x01"))  # cut in the middle of a sample
        output = stream()
        denoise_to_pipe(denoiser, "-", output, parse_raw(text))
        denoised = np.frombuffer(output.buffer.getvalue(), dtype).reshape(-1, 2) / scale
        np.testing.assert_allclose(denoised.T, denoiser(mixed, 48_000), atol=1e-3)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 2000])
def test_a_header_that_knows_how_long_it_is_is_believed(size):
    mixed = noise(0.5, channels=(1,))
    read = PipedInput(stream(wav(mixed, RATE, size=size))).read(10_000)
    assert read.shape == (1000 if size == 2000 else 8000, 1)
    np.testing.assert_allclose(read[:1000, 0], mixed[0, :1000], atol=1e-4)


class Ticking(io.BytesIO):
    """Bytes that tell, each time some are read, how many samples have gone in and come out."""

    def __init__(self, content, output):
        super().__init__(content)
        self.output, self.seen = output, []

    def read(self, size=-1):
        self.seen.append((self.tell() // 4, len(self.output.buffer.getvalue()) // 4))
        return super().read(size)


def test_what_is_written_comes_at_once(denoiser, monkeypatch):
    output, raw = stream(), Raw("PCM_16", 48_000, 2)
    ticking = Ticking((32_768 * noise(1, 48_000, (2,)).T).astype("<i2").tobytes(), output)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(ticking))
    denoise_to_pipe(denoiser, "-", output, raw)
    assert len(ticking.seen) == 51  # blocks of 20 ms
    assert all(0 <= taken - given <= denoiser.live(48_000).latency for taken, given in ticking.seen)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not WAV"),
        (b"ID3" + bytes(99), "not WAV"),
        (wav(noise(0.1, channels=(1,)), RATE)[:30], "its header has no end"),
        (b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x7f", "its header has no end"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "damaged"),
    ],
)
def test_what_is_not_wav_is_one_line(content, told, script, checkpoint, monkeypatch):
    monkeypatch.setattr(sys, "stdin", stream(content))
    code, out, err = script("denoise", "-", "-o", "-", "--checkpoint", checkpoint)
    assert code == 1 and told in one_error(err) and not out


def test_samples_that_need_a_decoder_are_named(monkeypatch):
    file = io.BytesIO()
    soundfile.write(file, noise(0.1), RATE, "IMA_ADPCM", format="WAV")
    with pytest.raises(UserError, match="holds IMA_ADPCM; have ffmpeg decode it"):
        PipedInput(stream(file.getvalue()))


def test_raw_is_what_the_recording_is(denoiser, tmp_path):
    soundfile.write(tmp_path / "in.wav", noise(0.1), RATE)
    with pytest.raises(UserError, match="16000,1; give --raw these"):
        denoise_to_pipe(denoiser, tmp_path / "in.wav", stream(), parse_raw("s16le,48000,2"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-"], "name the result with -o"),
        (["-", "a.wav", "-o", "-"], "a pipe takes one recording"),
        (["a.wav", "b.wav", "-o", "-"], "a pipe takes one recording"),
        (["-", "-o", "-", "--listen", "page.html"], "need files"),
        (["-", "-o", "-", "--skip"], "need files"),
        (["a.wav", "-o", "b.wav", "--raw", "s16le,48000,2"], "--raw says what is in a pipe"),
        (["-", "-o", "-", "--raw", "mp3,48000,2"], "'mp3,48000,2' is not format,rate,channels"),
        (["-", "-o", "-", "--raw", "s16le,48000"], "is not format,rate,channels"),
        (["-", "-o", "-", "--raw", "s16le,0,2"], "is not format,rate,channels"),
    ],
)
def test_what_cannot_be_piped_is_refused(arguments, told, script):
    code, _, err = script("denoise", *arguments)
    assert code == 2 and told in one_error(err)


def test_a_terminal_is_no_pipe(monkeypatch, denoiser):
    terminal = stream(wav(noise(0.1, channels=(1,)), RATE))
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    with pytest.raises(UserError, match="input is a terminal"):
        PipedInput(terminal)
    with pytest.raises(UserError, match="output is a terminal"):
        PipedOutput(terminal, PipedInput(stream(wav(noise(0.1, channels=(1,)), RATE))))


def start(checkpoint, *more):
    """denoise.py in a process of its own, between pipes."""
    command = [sys.executable, "denoise.py", "-", "-o", "-", "--raw", "s16le,16000,1", "--checkpoint", checkpoint]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command, *more], cwd=REPOSITORY, **pipes)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT of one process")
def test_sound_comes_while_more_is_awaited_and_ctrl_c_ends_it(checkpoint):
    with start(checkpoint) as process:
        process.stdin.write(bytes(2 * RATE))
        process.stdin.flush()
        assert len(process.stdout.read(2 * (RATE - 511))) == 2 * (RATE - 511)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130 and "stopped by Ctrl-C" in one_error(err.decode())


def test_a_reader_that_has_heard_enough_ends_it_quietly(checkpoint):
    with start(checkpoint) as process:
        process.stdin.write(bytes(2 * RATE))
        process.stdin.flush()
        process.stdout.read(1000)
        process.stdout.close()
        with suppress(BrokenPipeError):
            while process.stdin.write(bytes(2 * RATE)):
                process.stdin.flush()
        with suppress(BrokenPipeError):
            process.stdin.close()
        err = process.stderr.read().decode()
    assert process.returncode == 0 and "error" not in err and "Traceback" not in err, err


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg")
def test_ffmpeg_and_denoise_py_understand_each_other(denoiser, monkeypatch, tmp_path):
    soundfile.write(tmp_path / "in.flac", noise(0.5, 44_100, (2,)).T, 44_100)
    ffmpeg = ["ffmpeg", "-loglevel", "error", "-i"]
    piped = subprocess.run([*ffmpeg, tmp_path / "in.flac", "-f", "wav", "-"], capture_output=True, check=True).stdout
    monkeypatch.setattr(sys, "stdin", stream(piped))
    output = stream()
    denoise_to_pipe(denoiser, "-", output)
    back = [*ffmpeg, "-", "-f", "s16le", "-"]
    decoded = subprocess.run(back, input=output.buffer.getvalue(), capture_output=True, check=True)
    np.testing.assert_array_equal(np.frombuffer(decoded.stdout, "<i2"), written(output))
    assert not decoded.stderr
