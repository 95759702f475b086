"""Speed and memory, as ratios wherever two things can be compared in one run.

    python tests/benchmark.py                 # for some minutes; --quick leaves out what takes longest
    python tests/benchmark.py --scaling       # against the signals' length
    python tests/benchmark.py --json FILE     # also writes the numbers; `results.py speed` keeps them

Only on a machine that does nothing else: beside other work a step with two threads takes seconds.
Absolute times hold for this machine and this moment; the ratios travel.
"""

import argparse
import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from measuring import in_turns, median_of, row, rows, run_alone, timed
from scaling import measure_scaling
from threads import measure_threads

from config import REPOSITORY
from create_data import create_data
from dan.configuration import resolve
from dan.denoising.denoiser import Denoiser
from dan.denoising.export import HopNetwork, write_onnx
from dan.evaluation.speech_peers import session
from dan.initial_weights import CONVOLUTIONS
from dan.losses import improvement_loss, l1_loss
from dan.processes import choose_device
from dan.signals.sines import count_sines, draw
from dan.training.checkpoints import load_generator
from dan.training.precision import choose_precisions
from dan.training.state import new_training
from dataset import StoredPairs, StreamedPairs, first_batch, loaders, set_epoch
from evaluate import all_estimators
from models import apply_generator
from train_gan import train_epoch, validate

PLAIN = ["generator.fourier=false", "discriminator.fourier=false", "training.precision=float32"]
PRESETS = ("dan-published", "dan-small", "dan", "spectral-any", "spectral")
LAST_EPOCH = {"dan-published": 157}  # in which patience ended the published recipe; of the others all
STREAMED = 3200  # signals of spectral-any in a timed epoch, a tenth of the preset's
TRANSPOSED = nn.ConvTranspose1d | nn.ConvTranspose2d


def main():
    options = parse_options()
    if options.scaling:
        values = {"growth": measure_scaling()}
    else:
        with tempfile.TemporaryDirectory() as folder:
            values = measure(folder, options.quick)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows} | values, indent=1))


def parse_options():
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="leave out what takes long")
    parser.add_argument("--scaling", action="store_true", help="measure how time and memory grow instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers: rows by name, and the tables")
    return parser.parse_args()


def measure(folder, quick):
    """Print all that is measured; returns what is not a row: {"training": …, "threads": …}."""
    paths = [f"paths.{name}={folder}/{name}" for name in ("images", "checkpoints")]
    configs = {preset: resolve(preset, [*paths, f"paths.data={folder}/{preset}"]) for preset in PRESETS}
    of_any = [*paths, f"paths.data={folder}/spectral-any", f"data.num_train={STREAMED}"]
    configs["spectral-any"] = resolve("spectral-any", of_any)
    config, stored = configs["dan"], configs["dan-published"]
    plain = resolve("dan", [*paths, f"paths.data={stored.data_folder}", "data.stream=false", *PLAIN])
    device = choose_device("auto")
    torch.set_num_threads(config.training.threads or torch.get_num_threads())
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, device {device}\n")
    row("data creation, 1,800 signals", timed(lambda: create_data(stored)), "s", "asked: at most 3 s")
    for each in configs.values():
        if each is not stored:
            create_data(each)
    time_steps(config, plain, device)
    training = time_epochs(configs, plain, device)
    time_against_peak()
    time_drawing(configs["spectral-any"])
    time_estimators(configs["spectral-any"])
    time_inference(config)
    time_speech(Path(folder))
    time_hops(Path(folder))
    _, memory = run_alone(
        "train_gan.py",
        *paths,
        f"paths.data={config.data_folder}",
        "training.max_epochs=3",
        "training.pretrain_epochs=1",
    )
    row("peak memory of train_gan.py", memory, "MB", "asked: at most 1000 MB")
    if quick:
        return {"training": training}
    return {"training": training, "threads": measure_threads()}


def time_steps(config, plain, device):
    """A generator step: through the Fourier transform, and with torch's own layers."""
    seconds = {}
    for name, settings in (("Fourier", config), ("torch", plain)):
        state = new_training(settings, device)
        clean, mixed = (x.to(device) for x in next(iter(loaders(settings)[0])))

        def step(state=state, clean=clean, mixed=mixed):
            loss = l1_loss(state.generator(mixed), clean)
            state.generator_optimizer.zero_grad()
            loss.backward()
            state.generator_optimizer.step()

        def forward(state=state, mixed=mixed):
            with torch.inference_mode():
                state.generator(mixed)

        seconds[name] = median_of(step, 10), median_of(forward, 10)
        row(
            f"generator step, batch 50, {name}",
            1e3 * seconds[name][0],
            "ms",
            f"forward {1e3 * seconds[name][1]:.0f} ms",
        )
    ratio = seconds["torch"][0] / seconds["Fourier"][0]
    row("convolutions through Fourier", ratio, "×", "faster; kept because at least 1.5")


def time_epochs(configs, plain, device):
    """Epochs of every preset, and of a plain DataLoader loop of dan's networks.

    Returns what whole trainings come to, validation left out: {preset: {"epochs", "minutes", "time over
    dan-published"}}.
    """
    trainings = {name: (loaders(config, device)[0], config) for name, config in configs.items()}
    trainings["a plain loop"] = DataLoader(StoredPairs(plain, "train"), plain.training.batch_size, shuffle=True), plain
    players, epochs = {}, {}
    for name, (loader, config) in trainings.items():
        state, settings = new_training(config, device), config.training
        state.precision = choose_precisions(state, first_batch(loader), settings)
        players[name] = state, loader, settings
        epochs[name, "pretraining"] = settings.pretrain_epochs
        if settings.max_epochs > settings.pretrain_epochs:
            epochs[name, "adversarial"] = settings.pretrain_epochs + 1
    for network, (precision, reason) in players["dan"][0].precision.items():
        print(f"  {network} of dan {precision}: {reason}")

    def one_epoch(name, epoch):
        set_epoch(players[name][1], epoch)
        train_epoch(*players[name], epoch)

    seconds = in_turns({key: lambda k=key, e=epoch: one_epoch(k[0], e) for key, epoch in epochs.items()})
    for (name, phase), epoch in seconds.items():
        row(f"epoch of {name}, {phase}", epoch, "s")
    for phase in ("pretraining", "adversarial"):
        ratio = seconds["a plain loop", phase] / seconds["dan", phase]
        row(f"dan against a plain loop, {phase}", ratio, "×", "faster; asked: 5 with AMX, else 3")
    signals = len(players["dan"][1].dataset) / seconds["dan", "adversarial"]
    busy = gpu_share(players["dan"], seconds["dan", "adversarial"])
    row("signals per second", signals, "", f"of dan, adversarial; the GPU is busy {busy}")
    state, _, settings = players["dan"]
    _, validation_loader = loaders(configs["dan"], device)
    validation = timed(lambda: validate(state, validation_loader, settings, True))
    row("validation of dan", 100 * validation / seconds["dan", "adversarial"], "%", "of an epoch, adversarial")
    return whole_trainings(configs, seconds)


def whole_trainings(configs, seconds):
    """As `time_epochs` returns it; seconds: {(preset, phase): of an epoch}."""
    whole = {}
    for name, config in configs.items():
        settings, last = config.training, LAST_EPOCH.get(name, config.training.max_epochs)
        epochs = {"pretraining": settings.pretrain_epochs, "adversarial": last - settings.pretrain_epochs}
        total = sum(count * seconds[name, phase] for phase, count in epochs.items() if count)
        scale = resolve(name).data.num_train / config.data.num_train
        whole[name] = {"epochs": last, "minutes": scale * total / 60}
    for name, found in whole.items():
        found["time over dan-published"] = found["minutes"] / whole["dan-published"]["minutes"]
        print(
            f"all {found['epochs']} epochs of {name}: {found['minutes']:.1f} min, "
            f"{found['time over dan-published']:.2f} of dan-published's time",
            flush=True,
        )
    return whole


def gpu_share(player, seconds):
    """The share of an epoch in which the GPU computes; "not run" without one."""
    if not torch.cuda.is_available():
        return "not run: none here"
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        train_epoch(*player, 41)
    busy = sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6
    return f"{busy / seconds:.0%} of the time"


def time_against_peak():
    """How much of what the processor can multiply a step of each generator does, on one thread.

    The peak is that of a large product of float32 matrices. Counted are the multiplications of the
    direct convolutions, also where a step takes fewer: so a share may exceed 100 %.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    matrix = torch.randn(1024, 1024)
    peak = 1024**3 / median_of(lambda: matrix @ matrix, 10)
    row("peak of one thread", peak / 1e9, "", "billion multiplications a second, float32")
    for preset in ("dan", "dan-small", "spectral", "spectral-any", "audio", "speech-own"):
        config = resolve(preset)
        generator = new_training(config, torch.device("cpu")).generator.train()
        signals = torch.randn(config.training.batch_size, 1, config.data.length)
        count = 3 * multiplications(generator, signals)  # forward, and backward twice as many
        seconds = median_of(lambda g=generator, x=signals: g(x).square().mean().backward(), 3)
        row(
            f"share of the peak, {preset}",
            100 * count / seconds / peak,
            "%",
            f"a step is {count / 1e9:.2f} billion in {1e3 * seconds:.0f} ms",
        )
    torch.set_num_threads(threads)


@torch.no_grad()
def multiplications(network, signals):
    """How many multiplications the direct convolutions and linear layers of a network take."""
    counts = []

    def count(layer, inputs, output):
        # Each value that a transposed convolution takes meets a whole kernel.
        values = inputs[0] if isinstance(layer, TRANSPOSED) else output
        counts.append(values.numel() * layer.weight[0].numel())

    hooks = [
        layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, CONVOLUTIONS | nn.Linear)
    ]
    network(signals)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def time_drawing(config):
    """Drawing a batch of streamed signals, against the training step that it is for."""
    pairs, state = StreamedPairs(config), new_training(config, torch.device("cpu"))
    state.precision = choose_precisions(state, pairs[0], config.training)
    clean, mixed = pairs[0]

    def step():
        with state.autocast("generator"):
            denoised = state.generator(mixed).float()
        state.generator_optimizer.zero_grad()
        improvement_loss(denoised, clean, mixed).backward()
        state.generator_optimizer.step()

    share = median_of(lambda: pairs[1], 20) / median_of(step, 20)
    row("drawing a streamed batch", 100 * share, "%", "of a step of spectral-any; asked: at most 20 %")


def time_estimators(config):
    """Other methods for any number of sines, against the network; its weights do not matter."""
    generator = new_training(config, torch.device("cpu")).generator.eval()
    clean, _, mixed = draw(config.test_data, "test", 200)
    numbers, snr = count_sines(config.test_data, "test", len(clean)), np.zeros(len(clean))
    estimators = all_estimators(config, {"spectral-any": generator})
    names = "spectral-any", "NOMP", "general oracle"
    seconds = in_turns({name: lambda e=estimators[name]: e(mixed, snr, numbers) for name in names})
    for name in names[1:]:
        row(f"{name} against spectral-any", seconds[name] / seconds["spectral-any"], "×", "as long")


def time_speech(folder):
    """The share of a step of `speech-own` that drawing takes, and how fast the shipped denoiser is."""
    (folder / "voices").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        soundfile.write(folder / f"voices/{number}.wav", rng.normal(0, 0.1, 16_000 * 30), 16_000)
    config = resolve(
        "speech-own",
        [
            *(f"paths.{name}={folder / 'speech' / name}" for name in ("data", "images", "checkpoints")),
            f"data.clean_source={folder / 'voices'}",
            "data.num_validation=4",
            "data.num_train=80",
        ],
    )
    create_data(config)
    device = choose_device("auto")
    state, pairs = new_training(config, device), StreamedPairs(config, device)
    state.precision = choose_precisions(state, pairs[0], config.training)
    drawing = timed(lambda: [pairs[number] for number in range(10)])
    epoch = timed(lambda: train_epoch(state, loaders(config, device)[0], config.training, 1))
    row("speech, drawing", 100 * drawing / epoch, "%", "of a whole step; asked: at most 20 %")
    minute = rng.normal(0, 0.1, 16_000 * 60).astype(np.float32)
    denoiser = Denoiser.load(REPOSITORY / "pretrained/speech.pt")
    row("speech, whole files", 60 / timed(lambda: denoiser(minute, 16_000)), "×", "real time; asked: at least 25 ×")


def time_hops(folder):
    """The shipped denoiser a hop at a time on one thread, as for live sound: exported to ONNX, and in torch."""
    if not (find_spec("onnxscript") and find_spec("onnxruntime")):
        print("speech by hops: not run; needs requirements-export.txt")
        return
    generator, config = load_generator(REPOSITORY / "pretrained/speech.pt")
    write_onnx(generator, config.data, folder / "speech.onnx")
    network, first = session(folder / "speech.onnx"), HopNetwork(generator).first_state.numpy()
    hops, threads = torch.randn(200, 1, 1, generator.hop), torch.get_num_threads()

    def in_onnx():
        state = first
        for mixed in hops.numpy():
            _, state = network(mixed=mixed, state=state)

    @torch.inference_mode()
    def in_torch():
        state = None
        for mixed in hops:
            _, state = generator.step(mixed, state)

    torch.set_num_threads(1)
    seconds = in_turns({"torch": in_torch, "ONNX": in_onnx}, rounds=9)
    torch.set_num_threads(threads)
    for name, spent in seconds.items():
        row(f"speech by hops, {name}", hops.numel() / config.data.sample_rate / spent, "×", "real time")
    row("speech by hops, ONNX over torch", seconds["torch"] / seconds["ONNX"], "×", "faster")


def time_inference(config):
    _, _, mixed = draw(config.data, "test", 1000)
    generator = new_training(config, torch.device("cpu")).generator.eval()
    seconds = median_of(lambda: apply_generator(generator, mixed), 3)
    row("denoising 1,000 signals", seconds, "s", f"{1000 / seconds:.0f} × real time")


if __name__ == "__main__":
    main()
