"""The preset `audio` on speech it never heard, beside other denoisers; called by benchmark.py.

Trains on a folder of speech and on the first 70 % of every noise recording; measures on other
speech under the last 30 %, at 2.5 dB. Other denoisers take part as far as they are installed
(requirements-benchmark.txt).
"""

import subprocess
import sys
import time
from collections import defaultdict

import numpy as np
import soundfile
from scipy import signal

from dan.configuration import resolve
from dan.errors import UserError
from dan.metrics import si_sdr
from dan.recordings import find_recordings, read_recording, resample
from dan.sections import REPOSITORY
from dan.signals import mix
from denoise import Denoiser

RATE = 8000
SNR_DB = 2.5
TRAINED_SHARE = 0.7
PIECE_SECONDS = 1.1  # of the training noise: recordings are split by file, so one is not enough
CLIPS = 30  # of each folder with unseen speech
CLIP_SECONDS = (1.5, 6)


def measure_recordings(speech, unseen, noise, folder):
    """Train `audio`, and print the SI-SDR improvement of every denoiser under every noise.

    unseen: folders of speech, a language or a speaker each; folder: where to work.
    """
    passages = split_noise(noise, folder / "noise")
    paths = [f"paths.{name}={folder / name}" for name in ("data", "images", "checkpoints")]
    run("create_data.py", *paths, f"data.clean_source={speech}",
        f"data.noise_source={folder / 'noise'}")
    started = time.perf_counter()
    run("train_gan.py", *paths)
    print(f"audio was trained in {time.perf_counter() - started:.0f} s, figures included\n")
    denoisers = all_denoisers(resolve("audio", paths).checkpoint_folder / "best.pt")
    clips = [clip for place in unseen for clip in draw_clips(place)]
    improvements = defaultdict(dict)
    for name, passage in passages.items():
        pairs = list(make_pairs(clips, passage))
        for method, denoise in denoisers.items():
            improvements[method][name] = float(np.mean([
                si_sdr(clean, denoise(mixed)) - si_sdr(clean, mixed) for clean, mixed in pairs
            ]))
    print(f"SI-SDR improvement in dB at {SNR_DB} dB on {len(clips)} clips of unseen speech\n"
          f"{'':<28}" + "".join(f"{name:>10}" for name in passages))
    for method, values in improvements.items():
        print(f"{method:<28}" + "".join(f"{value:>10.2f}" for value in values.values()))
    longest = np.concatenate(clips)
    started = time.perf_counter()
    denoisers["audio"](longest)
    print(f"\naudio denoises {len(longest) / RATE / (time.perf_counter() - started):.0f} × as fast "
          "as real time")
    return improvements


def run(script, *arguments):
    subprocess.run([sys.executable, script, "--preset", "audio", *arguments], cwd=REPOSITORY,
                   check=True)


def split_noise(source, target):
    """Write the first part of every noise recording in pieces to `target`; returns the rest.

    {kind: samples}, recordings whose names differ in a number alone being of one kind; and "white".
    """
    target.mkdir()
    rest = defaultdict(list)
    for path in find_recordings(source):
        samples = read_recording(path, RATE, RATE)[0]
        end = int(TRAINED_SHARE * len(samples))
        pieces = max(1, round(end / RATE / PIECE_SECONDS))
        for number, piece in enumerate(np.array_split(samples[:end], pieces)):
            soundfile.write(target / f"{path.stem}_{number}.wav", piece, RATE, "FLOAT")
        rest[path.stem.rstrip("0123456789")].append(samples[end:])
    return {"white": None} | {kind: np.concatenate(parts) for kind, parts in rest.items()}


def draw_clips(folder):
    """Clips of middle length out of a folder of speech, drawn."""
    rng, clips = np.random.default_rng(0), []
    paths = find_recordings(folder)
    for index in rng.permutation(len(paths)):
        try:
            clip = read_recording(paths[index], RATE, RATE)[0]
        except UserError:  # silence, which speech folders hold too
            continue
        if CLIP_SECONDS[0] <= len(clip) / RATE <= CLIP_SECONDS[1]:
            clips.append(clip)
        if len(clips) == CLIPS:
            break
    return clips


def make_pairs(clips, passage):
    """(clean, mixed) of every clip, the passage looped from a random place; None is white noise."""
    rng = np.random.default_rng(1)
    for clean in clips:
        if passage is None:
            noise = rng.normal(size=len(clean))
        else:
            noise = np.resize(np.roll(passage, rng.integers(len(passage))), len(clean))
        yield clean, mix(clean, noise, SNR_DB).astype(np.float32)


def all_denoisers(checkpoint):
    """{method: function of mixed (samples,) at RATE}, those that are installed."""
    denoisers = {
        "audio": Denoiser.load(checkpoint),
        "scipy.signal.wiener": lambda mixed: signal.wiener(mixed, 15),
        "lowpass 2 kHz": lambda mixed: signal.sosfiltfilt(
            signal.butter(8, 2000, fs=RATE, output="sos"), mixed
        ),
    }
    try:
        import noisereduce
        denoisers["noisereduce"] = lambda mixed: noisereduce.reduce_noise(y=mixed, sr=RATE)
    except ImportError:
        print("noisereduce is not installed and left out")
    try:
        from pyrnnoise import rnnoise
        denoisers["RNNoise (pretrained)"] = lambda mixed: apply_rnnoise(rnnoise, mixed)
    except (ImportError, OSError):
        print("pyrnnoise is not installed and left out")
    return denoisers


def apply_rnnoise(rnnoise, mixed):
    """RNNoise works at 48 kHz, on 16-bit samples and in frames, and gives them some frames late."""
    high = np.clip(resample(mixed, RATE, 48_000) * 32767, -32768, 32767).astype(np.int16)
    size, late = rnnoise.FRAME_SIZE, 4 * rnnoise.FRAME_SIZE
    frames = np.pad(high, (0, late + -len(high) % size)).reshape(-1, size)
    state = rnnoise.create()
    output = np.concatenate([rnnoise.process_mono_frame(state, frame)[0] for frame in frames])
    rnnoise.destroy(state)
    lags = signal.correlate(output.astype(np.float32), high.astype(np.float32), "valid")
    lag = int(lags[: late + 1].argmax())  # by which it fits the input best
    return resample(output[lag : lag + len(high)] / np.float32(32767), 48_000, RATE)[: len(mixed)]
