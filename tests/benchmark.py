"""Speed and memory, as ratios wherever two things can be compared in one run.

    python tests/benchmark.py              # four minutes on two cores; --quick: one
    python tests/benchmark.py --scaling    # against the signals' length, and with two processes

Absolute times hold for this machine and this moment; the ratios travel.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scaling import measure_scaling

from config import REPOSITORY
from create_data import create_data
from dan.configuration import resolve
from dan.denoising.denoiser import Denoiser
from dan.denoising.export import HopNetwork, write_onnx
from dan.evaluation.speech_peers import session
from dan.initial_weights import CONVOLUTIONS
from dan.losses import improvement_loss, l1_loss
from dan.processes import choose_device
from dan.signals.sines import draw
from dan.training.checkpoints import load_generator
from dan.training.precision import choose_precisions
from dan.training.state import new_training
from dataset import StoredPairs, StreamedPairs, loaders, set_epoch
from models import apply_generator
from train_gan import train_epoch, validate

PLAIN = ["generator.fourier=false", "discriminator.fourier=false", "training.precision=float32"]
# Epochs until patience ended the published recipe, and all of dan's.
EPOCHS = {"dan-published": 157, "dan": 160}
TRANSPOSED = nn.ConvTranspose1d | nn.ConvTranspose2d
QUALITIES_DB = (5.5, 8, 10)
ROUNDS = 3


def main():
    if "--scaling" in sys.argv:
        measure_scaling()
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(folder)


def measure(folder):
    paths = [f"paths.{name}={folder}/{name}" for name in ("data", "images", "checkpoints")]
    config = resolve("dan", paths)
    device = choose_device("auto")
    torch.set_num_threads(config.training.threads or torch.get_num_threads())
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, device {device}\n")
    seconds = timed(lambda: create_data(config))
    row("data creation, 1,800 signals", f"{seconds:.2f} s", "asked: at most 3 s")
    time_steps(config, resolve("dan", paths + PLAIN), device)
    time_epochs(config, paths, device)
    time_against_peak()
    time_drawing(paths)
    time_inference(config)
    time_speech(Path(folder))
    time_hops(Path(folder))
    memory = peak_memory_mb(["train_gan.py", *paths, "training.max_epochs=3", "training.pretrain_epochs=1"])
    row("peak memory of train_gan.py", f"{memory:.0f} MB", "asked: at most 1000 MB")
    if "--quick" not in sys.argv:
        time_to_quality(config, device)


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
            f"{1e3 * seconds[name][0]:.0f} ms",
            f"forward {1e3 * seconds[name][1]:.0f} ms",
        )
    ratio = seconds["torch"][0] / seconds["Fourier"][0]
    row("  convolutions through Fourier", f"{ratio:.1f} ×", "faster; kept because at least 1.5")


def time_epochs(config, paths, device):
    """Epochs of dan, of dan-published, and of a plain DataLoader loop of the same networks."""
    plain = resolve("dan", paths + PLAIN)
    one_by_one = DataLoader(StoredPairs(plain, "train"), plain.training.batch_size, shuffle=True)
    published = resolve("dan-published", paths)
    players = {}
    for name, settings, loader in (
        ("dan", config, loaders(config, device)[0]),
        ("dan-published", published, loaders(published, device)[0]),
        ("a plain loop", plain, one_by_one),
    ):
        state, training = new_training(settings, device), settings.training
        players[name] = state, loader, training
        if name == "dan":
            state.precision = choose_precisions(state, next(iter(loader)), training)
            for network, (precision, reason) in state.precision.items():
                print(f"  {network} {precision}: {reason}")
    # In turns, so that a slow moment of the machine meets all of them alike.
    rounds = [
        {name: [timed(lambda e=e, p=player: train_epoch(*p, e)) for e in (40, 41)] for name, player in players.items()}
        for _ in range(ROUNDS)
    ]
    seconds = {name: [median(times[name][phase] for times in rounds) for phase in (0, 1)] for name in players}
    for name, (pretraining, adversarial) in seconds.items():
        row(f"epoch of {name}", f"{pretraining:.2f} s", f"of pretraining; {adversarial:.2f} s with the discriminator")
    ratios = [plain / dan for plain, dan in zip(seconds["a plain loop"], seconds["dan"], strict=True)]
    row(
        "  epoch against the plain loop",
        f"{ratios[0]:.1f} ×",
        f"faster; {ratios[1]:.1f} × with the discriminator; asked: 5 with AMX, else 3",
    )
    whole = {name: 40 * seconds[name][0] + (epochs - 40) * seconds[name][1] for name, epochs in EPOCHS.items()}
    row(
        "  whole training, dan",
        f"1/{whole['dan-published'] / whole['dan']:.1f}",
        "of dan-published's time; asked: 1/4 with AMX, else 1/3",
    )
    whole_seconds = seconds["dan"][1]
    row(
        "  signals per second",
        f"{config.data.num_train / whole_seconds:,.0f}",
        f"with the discriminator; the GPU is busy {gpu_share(players['dan'], whole_seconds)}",
    )
    validation = loaders(config, device)[1]
    state = players["dan"][0]
    share = timed(lambda: validate(state, validation, config.training, True)) / seconds["dan"][1]
    row("  validation", f"{share:.0%}", "of an epoch")


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
    row("peak of one thread", f"{peak / 1e9:.0f} billion", "multiplications a second, float32")
    for preset in ("dan", "dan-small", "spectral", "spectral-any", "audio", "speech-own"):
        config = resolve(preset)
        generator = new_training(config, torch.device("cpu")).generator.train()
        signals = torch.randn(config.training.batch_size, 1, config.data.length)
        count = 3 * multiplications(generator, signals)  # forward, and backward twice as many
        seconds = median_of(lambda g=generator, x=signals: g(x).square().mean().backward(), 3)
        row(
            f"  a step of {preset}",
            f"{count / seconds / peak:.0%}",
            f"of the peak: {count / 1e9:.2f} billion in {1e3 * seconds:.0f} ms",
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


def time_drawing(paths):
    """Drawing a batch of streamed signals, against the training step that it is for."""
    config = resolve("spectral-any", paths)
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
    row("drawing a streamed batch", f"{share:.0%}", "of a step of spectral-any; asked: at most 20 %")


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
    row("speech: drawing over a whole step", f"{drawing / epoch:.0%}", "asked: at most 20 %")
    minute = rng.normal(0, 0.1, 16_000 * 60).astype(np.float32)
    denoiser = Denoiser.load(REPOSITORY / "pretrained/speech.pt")
    row("speech: denoising over real time", f"{60 / timed(lambda: denoiser(minute)):.0f} ×", "asked: at least 25 ×")


def time_hops(folder):
    """The shipped denoiser a hop at a time on one thread, as for live sound: exported to ONNX, and in torch."""
    if not (find_spec("onnxscript") and find_spec("onnxruntime")):
        row("speech by hops: ONNX over torch", "not run", "needs requirements-export.txt")
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
    # In turns, so that a slow moment of the machine meets both alike.
    rounds = [(timed(in_onnx), timed(in_torch)) for _ in range(9)]
    torch.set_num_threads(threads)
    sound = hops.numel() / config.data.sample_rate
    fast, slow = (sound / median(seconds) for seconds in zip(*rounds, strict=True))
    row("speech by hops: ONNX over torch", f"{fast / slow:.1f} ×", f"{fast:.0f} × and {slow:.0f} × real time")


def time_inference(config):
    _, _, mixed = draw(config.data, "test", 1000)
    generator = new_training(config, torch.device("cpu")).generator.eval()
    seconds = median_of(lambda: apply_generator(generator, mixed), 3)
    row("denoising 1,000 signals", f"{seconds:.2f} s", f"{1000 / seconds:.0f} × real time")


def time_to_quality(config, device):
    """Seconds of training, validation left out, until the validation SNR passes some values."""
    train_loader, validation_loader = loaders(config, device)
    state = new_training(config, device)
    state.precision = choose_precisions(state, next(iter(train_loader)), config.training)
    spent, wanted = 0.0, list(QUALITIES_DB)
    for epoch in range(1, config.training.max_epochs + 1):
        set_epoch(train_loader, epoch)
        spent += timed(lambda e=epoch: train_epoch(state, train_loader, config.training, e))
        snr = validate(state, validation_loader, config.training, False)["snr_db"]
        while wanted and snr > wanted[0]:
            row(f"dan passes {wanted.pop(0)} dB", f"{spent:.0f} s", f"epoch {epoch}")
        if not wanted:
            break


def row(what, value, remark=""):
    print(f"{what:<34}{value:>12}   {remark}", flush=True)


def timed(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def median_of(function, repetitions):
    function()
    return sorted(timed(function) for _ in range(repetitions))[repetitions // 2]


def peak_memory_mb(command):
    """The largest memory of one of this project's scripts, run by itself."""
    subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=True, capture_output=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
