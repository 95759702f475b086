"""Train the denoiser: the generator alone first, then generator against discriminator.

    python train_gan.py
    python train_gan.py --preset dan-small training.max_epochs=60
    python train_gan.py --resume            # go on from checkpoints/<preset>/last.pt
    python train_gan.py --restart           # begin anew; the earlier training is moved aside

Writes best.pt, last.pt and history.csv to checkpoints/<preset>/ and the figures to
images/<preset>/. Next: python evaluate.py
"""

import csv
import io
import os
import time

import torch
from tqdm import tqdm

import plots
from baselines import lowpass
from checkpoints import read_checkpoint, write_checkpoint
from command_line import parse_arguments
from dataset import loaders
from faults import ConfigurationFault, Fault, run, stopped_by, uninterrupted
from files import locked, remove_leftovers, write_bytes
from game import (
    check_finite,
    learning_rate_factor,
    new_game,
    probed_precision,
    train_epoch,
    validate,
)
from models import count_parameters, denoise, load_generator
from settings import settings

NUM_PLOTTED = 8
OUTPUTS = ("best.pt", "last.pt", "history.csv", "evaluation.json")
# What may differ between a training and its continuation.
FREE_ON_RESUME = ("training.max_epochs", "training.patience", "training.device", "paths.",
                  "evaluation.")


def main():
    config, options = parse_arguments(__doc__, add_options)
    if options.resume and options.restart:
        raise ConfigurationFault("--resume goes on and --restart begins anew; choose one")
    make_deterministic()
    device = choose_device(config.training.device)
    folder = config.checkpoint_folder
    if options.resume and not (folder / "last.pt").exists():
        raise Fault(f"{folder / 'last.pt'} is missing; there is no training to resume")
    if not options.resume and not options.restart:
        refuse_to_replace(folder)
    plots.refuse_to_replace(figure_paths(config))
    train_loader, validation_loader = loaders(config, device)
    game = new_game(config, device)
    with locked(folder):
        # What another process may have written meanwhile is looked at under the lock alone.
        for name in OUTPUTS:
            remove_leftovers(folder / name)
        if options.resume:
            resume(game, config, train_loader.dataset.fingerprint)
        else:
            game.data = train_loader.dataset.fingerprint
            game.precision = probed_precision(game, train_loader.dataset, config.training)
            move_aside(folder) if options.restart else refuse_to_replace(folder)
        print(f"preset {config.preset} on {device}: generator "
              f"{count_parameters(game.generator):,} parameters, discriminator "
              f"{count_parameters(game.discriminator):,}")
        print("precision:", ", ".join(f"{network} {precision} ({reason})"
                                      for network, (precision, reason) in game.precision.items()))
        try:
            train(game, train_loader, validation_loader, config)
        except KeyboardInterrupt as stop:
            saved = f"epoch {game.epoch} is saved; go on with --resume"
            raise type(stop)(
                f"{stopped_by(stop)}; {saved if game.epoch else 'no epoch was finished'}"
            ) from None
        draw_figures(config, validation_loader.dataset, game.history)
    best = best_epoch(game.history)
    print(f"{game.epoch} epochs in {game.seconds:.0f} s; best epoch {best['epoch']}: validation "
          f"SNR {best['validation_snr_db']:.2f} dB\nwrote {folder} and {config.image_folder}")


def add_options(parser):
    parser.add_argument("--resume", action="store_true",
                        help="go on from last.pt instead of beginning; training.max_epochs may be "
                             "another, but the learning rates then follow another schedule")
    parser.add_argument("--restart", action="store_true",
                        help="begin anew where there is a training, which is moved aside")


def refuse_to_replace(folder):
    """Raise Fault if there is a training in the folder, finished or not."""
    if any((folder / name).exists() for name in OUTPUTS):
        raise Fault(f"{folder} holds a training; go on with --resume, or begin anew with "
                    "--restart, which moves it aside")


def move_aside(folder):
    """Move the files of a training in the folder to one of its own, `earlier-1`, -2 and so on."""
    present = [folder / name for name in OUTPUTS if (folder / name).exists()]
    if not present:
        return
    number = 1
    while (aside := folder / f"earlier-{number}").exists():
        number += 1
    aside.mkdir()
    for path in present:
        path.rename(aside / path.name)
    print(f"moved the earlier training to {aside}")


def train(game, train_loader, validation_loader, config):
    """Play epochs until `max_epochs` or until patience ends, saving after each."""
    training, folder = config.training, config.checkpoint_folder
    begin = game.epoch + 1
    if game.history:
        write_history(game.history, folder)  # a run may have died between last.pt and this
    bar = tqdm(range(begin, training.max_epochs + 1), desc="training", unit="epoch",
               initial=game.epoch, total=training.max_epochs)
    for epoch in bar:
        if patience_is_over(game.history, training):
            bar.write(f"no better validation loss for {training.patience} adversarial epochs")
            break
        started = time.perf_counter()
        adversarial = epoch > training.pretrain_epochs
        train_loader.sampler.set_epoch(epoch)
        train_loader.dataset.set_epoch(epoch)
        trained = train_epoch(game, train_loader, training, epoch)
        validated = validate(game, validation_loader, training, adversarial)
        check_finite(validated.values(), training, f"epoch {epoch}, on the validation signals")
        # Whatever stops the run finds an epoch counted if and only if it is saved.
        with uninterrupted():
            game.history.append({
                "epoch": epoch,
                "phase": "adversarial" if adversarial else "pretraining",
                **{f"train_{name}": value for name, value in trained.items()},
                **{f"validation_{name}": value for name, value in validated.items()},
            })
            game.seconds += time.perf_counter() - started
            save(game, config, folder)
        bar.set_postfix_str(progress(game.history[-1]))


def best_epoch(history):
    """The epoch with the lowest validation reconstruction loss.

    The one loss that an adversarial game leaves comparable from epoch to epoch.
    """
    return min(history, key=lambda row: row["validation_reconstruction_loss"])


def patience_is_over(history, training):
    """Whether `patience` adversarial epochs have passed without a new best epoch."""
    if not history:
        return False
    since = max(best_epoch(history)["epoch"], training.pretrain_epochs)
    return history[-1]["epoch"] - since >= training.patience


def progress(row):
    text = f"{row['phase']}, loss {row['validation_reconstruction_loss']:.4f}, " \
           f"SNR {row['validation_snr_db']:.2f} dB"
    if row["phase"] == "adversarial":
        text += f", pass as clean {row['validation_passed_as_clean']:.0%}"
    return text


def save(game, config, folder):
    """Write best.pt if the last epoch is the best, last.pt, and history.csv."""
    checkpoint = game.checkpoint(config)
    if best_epoch(game.history) is game.history[-1]:
        write_checkpoint(folder / "best.pt", checkpoint)
    write_checkpoint(folder / "last.pt", checkpoint)
    write_history(game.history, folder)


def write_history(history, folder):
    """Write history.csv, a row an epoch."""
    # An epoch of pretraining has fewer columns than an adversarial one; the rest stay empty.
    columns = dict.fromkeys(name for row in history for name in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(history)
    write_bytes(folder / "history.csv", text.getvalue().encode())


def resume(game, config, fingerprint):
    """Bring a new game to where last.pt was taken.

    Raises Fault if that training had other settings or other data, or if the file is damaged.
    """
    path = config.checkpoint_folder / "last.pt"
    checkpoint = read_checkpoint(path, next(game.generator.parameters()).device)
    stored = {key: value for key, value, _ in settings(checkpoint["config"])}
    for key, value, _ in settings(config):
        if stored.get(key) != value and not key.startswith(FREE_ON_RESUME):
            raise ConfigurationFault(
                f"{path} was trained with {key}={stored.get(key)}, this run has {value}; resume "
                "with the same settings, or train anew with --restart"
            )
    if checkpoint["data"] != fingerprint:
        raise Fault(f"{path} was trained on other signals than those in {config.data_folder}; "
                    "create the same again, or train anew with --restart")
    game.restore(checkpoint, path)
    before, after = checkpoint["config"].training, config.training
    if before.max_epochs != after.max_epochs:
        factors = [learning_rate_factor(training, game.epoch) for training in (before, after)]
        print(f"training.max_epochs was {before.max_epochs} and is {after.max_epochs}: the "
              "learning rates follow the new schedule from here on, so this is not the "
              f"training that {after.max_epochs} epochs from the start would be (now "
              f"{factors[1]:.2g} of their peak, before {factors[0]:.2g})")


def choose_device(name):
    """The torch device of that name; `auto` takes CUDA, else MPS, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # some names are known and hold no numbers
    except Exception as error:  # torch has errors of every kind for a device that is not there
        raise ConfigurationFault(
            f"training.device={name} is not available here; use auto, cpu, cuda or mps"
        ) from error
    return device


def make_deterministic():
    """The same seed gives the same result on one machine."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS's condition for it
    torch.use_deterministic_algorithms(True, warn_only=True)


def figure_paths(config):
    """The figures that a training draws."""
    names = ("performance_plot", *(f"denoised_against_lowpass_{number:02d}"
                                   for number in range(1, NUM_PLOTTED + 1)))
    return [config.image_folder / f"{name}.png" for name in names]


def draw_figures(config, validation, history):
    """The learning curves, and the best generator on validation signals against the lowpass."""
    curves, *examples = figure_paths(config)
    training = config.training
    figure = plots.performance(history, training.pretrain_epochs, best_epoch(history)["epoch"])
    plots.save(figure, curves)
    generator, _ = load_generator(config.checkpoint_folder / "best.pt")
    clean, mixed = (x[:NUM_PLOTTED, 0].cpu().numpy() for x in (validation.clean, validation.mixed))
    shown = {
        "clean": clean,
        "mixed": mixed,
        "denoised": denoise(generator, mixed),
        "lowpass": lowpass(mixed, config.data.sample_rate, config.evaluation),
    }
    for number, path in zip(range(len(clean)), examples, strict=False):
        example = {name: signals[number] for name, signals in shown.items()}
        plots.save(plots.denoised_against_lowpass(example, config.data.sample_rate), path)


if __name__ == "__main__":
    run(main)
