"""Part "own": trainings on recordings of one's own – a voice, any sound at 8 kHz, an ECG."""

import numpy as np
import soundfile

from config import REPOSITORY
from dan.evaluation.baselines import pywt, wavelet_shrinkage
from dan.evaluation.metrics import snr_db
from dan.results import speech
from dan.results.clips import clips, gather, unseen
from dan.results.records import over_seeds
from dan.results.tables import markdown, number, with_spread
from dan.results.trainings import SEEDS, minutes, train_missing, trained, training
from dan.signals.sines import mix
from dan.training.checkpoints import load_generator
from models import apply_generator

CODE = (*speech.CODE, "dan/evaluation/baselines.py", "dan/results/own.py")
PRETRAINED = REPOSITORY / "pretrained/speech.pt"
VOICES = {"own-voice": ("phone", "avatar-es"), "audio": ("voices", "asterisk-ru-IvrvoiceRU")}  # trained on
HEARD_NOISE = "lincity"  # trained on, beside synthesised noise; the other folders of unseen noise are for measuring
ECG_RATE, ECG_TRAINED = 360, 720  # samples per second; the first of them, of 1,024
SNRS_DB = -5, 0, 5, 10
NUM_DRAWS = 50


def trainings():
    """{(what, seed): Config}; the voices are shared out between training and measuring."""
    sources = {}
    for what, (kind, voice) in VOICES.items():
        half = len(list((unseen(kind) / voice).iterdir())) // 2
        sources[what] = gather(f"{what}-trained", [unseen(kind) / voice], last=half)
    noise = f"synthetic,{gather('own-noise', [unseen('noise') / HEARD_NOISE])}"
    settings = {
        "own-voice": ("speech-own", [f"data.clean_source={sources['own-voice']}", f"data.noise_source={noise}"]),
        "audio": (
            "audio",
            [f"data.clean_source={sources['audio']}", f"data.noise_source={noise}", "training.threads=1"],
        ),
        "ecg": ("audio", [f"data.clean_source={ecg_folder()}", f"data.sample_rate={ECG_RATE}", "training.threads=1"]),
    }
    return {
        (what, seed): training(preset, seed, *own, name=what, data=what)
        for what, (preset, own) in settings.items()
        for seed in SEEDS
    }


def ecg_folder():
    """A folder with the samples of the ECG that are trained on."""
    folder = REPOSITORY / "data/results/ecg-trained"
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "ecg.wav", ecg()[:ECG_TRAINED], ECG_RATE, "FLOAT")
    return folder


def ecg():
    """An electrocardiogram of 1,024 samples, its mean taken away, within ±1."""
    samples = pywt.data.ecg().astype(np.float32)
    samples -= samples.mean()
    return samples / np.abs(samples).max()


def finish(config):
    """Train what is missing: a voice from the shipped network on, the others from new weights."""
    train_missing(config, PRETRAINED if config.preset == "speech-own" else None)


def measure(configs):
    """The values of the record; configs: as `trainings` gives them, trained."""
    noise = gather("other-noise", [f for f in sorted(unseen("noise").iterdir()) if f.name != HEARD_NOISE])
    generators = {key: trained(config) for key, config in configs.items()}
    return {
        "voice": measure_voice(generators, noise),
        "audio": measure_audio(generators, noise),
        "ecg": measure_ecg(generators),
        "minutes": {what: minutes([configs[what, SEEDS[0]]]) for what in ("own-voice", "audio", "ecg")},
    }


def of(what, generators):
    """{name of a table: generator} of the seeds of a training."""
    return {f"{what}, seed {seed}": generator for (name, seed), generator in generators.items() if name == what}


def over(found, what, measure, count):
    """The mean and the range over the seeds of a training."""
    return over_seeds({seed: found[f"{what}, seed {seed}"][measure]["value"] for seed in SEEDS}, count)


def measure_voice(generators, noise):
    """{"input", "shipped", "trained on": {measure: its number}} of other prompts of the voice, under other noise."""
    kind, voice = VOICES["own-voice"]
    folder = unseen(kind) / voice
    others = gather("own-voice-others", [folder], first=len(list(folder.iterdir())) // 2)
    mixture = "data.duration=5", "data.snr_db=0,7", "data.num_validation=20"
    config, clean, mixed = clips("own-voice-clips", "speech-own", others, noise, *mixture)
    shipped = {"shipped": load_generator(PRETRAINED)[0]}
    found = speech.compare(config, clean, mixed, shipped | of("own-voice", generators))
    measures = [name for name in speech.MEASURES if name in found["input"]]
    return {
        "input": {name: found["input"][name] for name in measures},
        "shipped": {name: found["shipped"][name] for name in measures},
        "trained on": {name: over(found, "own-voice", name, len(clean)) for name in measures},
    }


def measure_audio(generators, noise):
    """{input SNR: {method: {measure: its number}}} of another voice under other noise."""
    voices, found = gather("audio-others", [unseen("voices") / "asterisk-es-Allison"], last=100), {}
    for snr in (0, 5):
        mixture = "data.duration=2.5", f"data.snr_db={snr}", "data.num_validation=100"
        config, clean, mixed = clips(f"audio-clips/{snr}", "audio", voices, noise, *mixture)
        methods = speech.compare(config, clean, mixed, of("audio", generators))
        measures = [name for name in speech.MEASURES if name in methods["input"]]
        found[f"{snr} dB"] = {
            **{name: each for name, each in methods.items() if "seed" not in name},
            "audio": {name: over(methods, "audio", name, len(clean)) for name in measures},
        }
        gain = {s: methods[f"audio, seed {s}"]["STOI"]["value"] - methods["input"]["STOI"]["value"] for s in SEEDS}
        found[f"{snr} dB"]["audio"]["STOI gain"] = over_seeds(gain, len(clean))
    return found


def measure_ecg(generators):
    """{input SNR: {"audio", "wavelet": gain in dB}} on the rest of the record, under draws of white noise."""
    clean = np.repeat(ecg()[None, ECG_TRAINED:], NUM_DRAWS, 0)
    noise = np.random.default_rng(42).normal(size=clean.shape)
    found = {}
    for snr in SNRS_DB:
        mixed = mix(clean, noise, snr).astype(np.float32)
        gains = {
            seed: float((snr_db(clean, apply_generator(generators["ecg", seed], mixed)) - snr).mean()) for seed in SEEDS
        }
        wavelet = float((snr_db(clean, wavelet_shrinkage(mixed, "sym8")) - snr).mean())
        found[f"{snr} dB"] = {"audio": over_seeds(gains, NUM_DRAWS), "wavelet": wavelet}
    return found


def voice(values, records):
    """The shipped denoiser and what training on makes of it."""
    titles = list(values["voice"]["shipped"])
    digits = {"SI-SDR improvement": 1, "STOI": 3}
    rows = [
        [name, *(with_spread(found[title], digits.get(title, 2)) for title in titles)]
        for name, found in values["voice"].items()
    ]
    return markdown(["", *titles], rows)


def audio(values, records):
    """The network of 8 kHz beside others."""
    rows = []
    for method in values["audio"]["0 dB"]:
        cells = [
            f"{with_spread(found[method]['SI-SDR improvement'], 1, ' dB')}, {number(found[method]['STOI']['value'], 3)}"
            for found in values["audio"].values()
        ]
        rows.append([f"`{method}`" if method == "audio" else method, *cells])
    return markdown(["method", *(f"SI-SDR improvement and STOI at {snr}" for snr in values["audio"])], rows)


def ecg_gains(values, records):
    """The gain on an ECG, by input SNR."""
    rows = [
        [snr, with_spread(found["audio"], 1, " dB"), f"{number(found['wavelet'], 1)} dB"]
        for snr, found in values["ecg"].items()
    ]
    return markdown(["input SNR", "`audio`", "wavelet shrinkage"], rows)


TABLES = {"voice": voice, "audio": audio, "ecg": ecg_gains}
FIGURES = ()
