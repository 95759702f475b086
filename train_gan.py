"""Train the denoiser: the generator alone first, then generator against discriminator.

    python train_gan.py
    python train_gan.py --preset dan-small training.max_epochs=60
    python train_gan.py --resume            # go on from checkpoints/<name>/last.pt
    python train_gan.py --restart           # begin anew; the earlier training is moved aside
    python train_gan.py --preset speech-own --from pretrained/speech.pt     # train that on

Writes best.pt, last.pt, history.csv and settings.txt to checkpoints/<name>/ and the figures to
images/<name>/. Next: python evaluate.py
"""

import math
import os
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace

import torch

from dan import processes
from dan.configuration import parse_arguments, preset_in_words
from dan.errors import ConfigurationError, UserError, run, stopped_by, uninterrupted
from dan.evaluation.baselines import lowpass
from dan.evaluation.metrics import snr_db
from dan.files import locked
from dan.losses import GAN_LOSSES, RECONSTRUCTION_LOSSES, feature_loss
from dan.output import figures, plots
from dan.progress import track
from dan.signals.store import as_created, check_manifest, fingerprint, load_signals
from dan.training.checkpoints import load_generator
from dan.training.feature_network import train_feature_network
from dan.training.folder import move_aside, refuse_to_replace, resume, save
from dan.training.precision import choose_precisions
from dan.training.state import best_epoch, decide, is_adversarial, new_training, patience_is_over, take_generator
from dataset import batches_of, first_batch, loaders, set_epoch, size_of_batch
from models import apply_generator, count_parameters

NUM_PLOTTED = 8
STEPS_BETWEEN_CHECKS = 20


def main():
    config, options = parse_arguments(__doc__, add_options)
    check_options(config, options)
    config = as_created(config, options.overrides)
    state = run_training(config, options.resume, options.restart, options.begin_with)
    if processes.is_first():
        draw_figures(config, state.history)
    print_summary(state, config)


def add_options(parser):
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from last.pt instead of beginning; training.max_epochs may be "
        "another, but the learning rates then follow another schedule",
    )
    parser.add_argument(
        "--from",
        metavar="FILE",
        dest="begin_with",
        help="train the generator in this checkpoint on, with all that the preset says of data and training",
    )
    parser.add_argument(
        "--restart", action="store_true", help="begin anew where there is a training, which is moved aside"
    )


def check_options(config, options):
    """Raise UserError for options that clash, or that do not fit the files that are there."""
    if options.resume and (options.restart or options.begin_with):
        raise ConfigurationError(
            "--resume goes on with the training that is there, while --restart and --from begin one; choose"
        )
    if options.resume and not (config.checkpoint_folder / "last.pt").exists():
        raise UserError(f"{config.checkpoint_folder / 'last.pt'} is missing; there is no training to resume")
    if not options.resume and not options.restart:
        refuse_to_replace(config.checkpoint_folder)
    figures.refuse_foreign(config.image_folder)


def run_training(config, resumes=False, restarts=False, begin_with=None):
    """Train as configured, saving every epoch; returns the state.

    resumes: go on from last.pt; restarts: move an earlier training aside, instead of refusing; begin_with: a
    checkpoint whose generator is trained on, instead of one with new weights.
    """
    prepare_torch(config.training.threads)
    config = replace(config, data=config.data.by_last_names())
    processes.check_batch(min(config.training.batch_size, config.data.num_train))
    device = processes.choose_device(config.training.device)
    train_loader, validation_loader = loaders(config, device)
    state, signals = new_training(config, device), fingerprint(check_manifest(config))
    with processes.together(device), processes.first_only(locked(config.checkpoint_folder)):
        if resumes:
            resume(state, config, signals)
        else:
            begin(state, config, signals, train_loader, restarts, begin_with)
        describe(state, config)
        if begin_with and not resumes:
            finish_epoch(state, 0, {}, validation_loader, config, time.perf_counter())
        train(state, train_loader, validation_loader, config)
    return state


def prepare_torch(threads):
    """Make results depend on the seed and on the machine alone; threads: 0 takes torch's own number."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS's condition for it
    torch.use_deterministic_algorithms(True, warn_only=True)
    if threads:
        torch.set_num_threads(threads)


def begin(state, config, signals, train_loader, restarts, begin_with):
    """Prepare a new training; call it under the lock, since another process may have written to the folder.

    signals: the fingerprint of the training signals; restarts, begin_with: as in `run_training`.
    """
    if begin_with:
        take_generator(state.generator, config, begin_with)
    state.fingerprint = signals
    state.precision = processes.as_first(choose_precisions, state, first_batch(train_loader), config.training)
    if processes.is_first():
        move_aside(config.checkpoint_folder) if restarts else refuse_to_replace(config.checkpoint_folder)
    if state.feature_network:
        train_feature_network(state.feature_network, config)


def describe(state, config):
    """Print the signals, both networks, the learning rates and the precision."""
    settings, parameters = config.training, count_parameters
    print(f"{preset_in_words(config)}\n{config.data.in_words}")
    print(
        f"on {state.device}: generator {parameters(state.generator):,} parameters, "
        f"discriminator {parameters(state.discriminator):,} parameters\n"
        f"batches of {settings.batch_size} signals; peak learning rates: generator {settings.generator_lr:g}, "
        f"discriminator {settings.discriminator_lr:g}; {torch.get_num_threads()} threads"
    )
    if processes.count() > 1:
        print(f"{processes.count()} processes, each with its share of every batch")
    choices = (f"{network} {precision} ({reason})" for network, (precision, reason) in state.precision.items())
    print(f"precision: {', '.join(choices)}")


def train(state, train_loader, validation_loader, config):
    """Train epoch by epoch until `max_epochs` or until patience ends, saving after each."""
    settings = config.training
    epochs = range(state.epoch + 1, settings.max_epochs + 1)
    bar = track(epochs, desc="training", unit="epoch", initial=state.epoch, total=settings.max_epochs)
    with state.sharing(settings.compile), telling_what_is_saved(state):
        for epoch in bar:
            if patience_is_over(state.history, settings):
                bar.write(f"no better validation loss for {settings.patience} epochs")
                break
            started = time.perf_counter()
            set_epoch(train_loader, epoch)
            train_means = train_epoch(state, train_loader, settings, epoch)
            finish_epoch(state, epoch, train_means, validation_loader, config, started)
            bar.set_postfix_str(in_brief(state.history[-1]))


@contextmanager
def telling_what_is_saved(state):
    """Let a Ctrl-C or SIGTERM say which epoch is saved."""
    try:
        yield
    except KeyboardInterrupt as stop:
        saved = f"epoch {state.epoch} is saved; go on with --resume" if state.history else "no epoch was finished"
        raise type(stop)(f"{stopped_by(stop)}; {saved}") from None


def finish_epoch(state, epoch, train_means, validation_loader, config, started):
    """Validate, add the epoch to the history, and save.

    epoch: 0 for a generator that was trained elsewhere, before it is trained on; train_means: the losses and rates of
    training; started: when the epoch began, by time.perf_counter.
    """
    settings = config.training
    adversarial = is_adversarial(settings, epoch)
    validation_means = processes.as_first(validate, state, validation_loader, settings, adversarial)
    check_finite(validation_means.values(), settings, f"epoch {epoch}, on the validation signals")
    # Whatever stops the run finds an epoch counted if and only if it is saved.
    with uninterrupted():
        state.history.append(
            {
                "epoch": epoch,
                "phase": "adversarial" if adversarial else "pretraining",
                **{f"train_{name}": value for name, value in train_means.items()},
                **{f"validation_{name}": value for name, value in validation_means.items()},
            }
        )
        state.seconds += time.perf_counter() - started
        decide(state.history, settings, len(validation_loader.dataset))
        if processes.is_first():
            save(state, config)


def train_epoch(state, loader, settings, epoch):
    """One pass over the training pairs; returns the mean of every loss and rate.

    In each step the discriminator, if there is one, learns first to tell clean from denoised signals. Then the
    generator learns to denoise, and to produce signals that pass as clean.
    """
    generator, discriminator = state.generator, state.discriminator
    shared_generator, shared_discriminator = state.shared
    reconstruction_loss = RECONSTRUCTION_LOSSES[settings.reconstruction_loss]
    gan_loss, weights = GAN_LOSSES[settings.gan_loss], loss_weights(settings)
    adversarial, totals = is_adversarial(settings, epoch), defaultdict(float)
    activations = state.activations(settings, adversarial)
    generator.train()
    # The bar is shown only where an epoch takes long.
    bar = track(batches_of(loader), total=len(loader), desc=f"epoch {epoch}", unit="step", leave=False, delay=3)
    for step, pairs in enumerate(bar):
        # Pinned memory, for CUDA, is copied without waiting.
        clean, mixed = (signals.to(state.device, non_blocking=signals.is_pinned()) for signals in pairs)
        factor = processes.loss_factor(len(clean), size_of_batch(step, len(loader.dataset), settings.batch_size))
        state.set_learning_rates(settings, epoch - 1 + step / len(loader))
        with state.autocast("generator"):
            outputs, seen_clean, seen_denoised = generate(shared_generator, clean, mixed, settings)
        measured = {}

        if adversarial:
            # Both kinds in one batch, so that batch normalisation cannot tell them apart by the
            # batch; detached, so that the generator gets no gradient.
            discriminator.train()
            with state.autocast("discriminator"):
                both = torch.cat([seen_clean, seen_denoised]).detach()
                logits = shared_discriminator(both).float()
            clean_logits, denoised_logits = logits.chunk(2)
            loss = gan_loss.discriminator(clean_logits, denoised_logits)
            state.discriminator_optimizer.zero_grad()
            (factor * loss).backward()
            state.discriminator_optimizer.step()
            measured = {"discriminator_loss": loss, **accuracies(clean_logits, denoised_logits)}

        # Now the discriminator only judges: evaluation mode, no gradients of its own.
        discriminator.eval().requires_grad_(False)
        errors = [reconstruction_loss(output, clean, mixed) for output in outputs]
        losses = {"reconstruction_loss": sum(errors) / len(errors)}
        if activations:
            losses["feature_loss"] = feature_loss(activations(outputs[0]), activations(clean))
        if adversarial:
            with state.autocast("discriminator"):
                logits = discriminator(seen_denoised).float()
            losses["adversarial_loss"] = gan_loss.generator(logits)
            measured["passed_as_clean"] = (logits > 0).float().mean()
        discriminator.requires_grad_(True)
        loss = sum(weights[name] * value for name, value in losses.items())
        state.generator_optimizer.zero_grad()
        (factor * loss).backward()
        state.generator_optimizer.step()

        measured |= losses | {"generator_loss": loss}
        add(totals, {name: value.detach() for name, value in measured.items()}, len(clean))
        # Not in every step: reading the numbers waits for the device.
        if step % STEPS_BETWEEN_CHECKS == 0 or step + 1 == len(loader):
            check_finite(totals.values(), settings, f"epoch {epoch}, step {step + 1}")
    return means(processes.sums(totals, state.device), len(loader.dataset))


def generate(generator, clean, mixed, settings):
    """(outputs, the discriminator's input for clean signals, its input for denoised ones).

    outputs: a tuple of the denoised signals; with a latent adversary, which judges the generator's latents, also of
    the generator's output for clean signals, which it must leave as they are.
    """
    if settings.adversary != "latent":
        denoised = generator(mixed).float()
        return (denoised,), clean, denoised
    # In one batch again, so that batch normalisation cannot tell them apart by the batch.
    outputs, latents = generator(torch.cat([mixed, clean]), with_latents=True)
    latents_of_mixed, latents_of_clean = latents.float().chunk(2)
    return outputs.float().chunk(2), latents_of_clean, latents_of_mixed


def loss_weights(settings):
    """Weights of the parts of the generator's loss."""
    return {
        "reconstruction_loss": settings.reconstruction_weight,
        "feature_loss": settings.feature_weight,
        "adversarial_loss": settings.adversarial_weight,
    }


@torch.inference_mode()
def validate(state, loader, settings, adversarial):
    """Losses, rates and the mean SNR in dB on the validation pairs, in evaluation mode.

    Always in float32, as in use, whatever the training's precision.
    """
    generator, discriminator = state.generator.eval(), state.discriminator.eval()
    reconstruction_loss = RECONSTRUCTION_LOSSES[settings.reconstruction_loss]
    gan_loss, weights = GAN_LOSSES[settings.gan_loss], loss_weights(settings)
    activations, totals = state.activations(settings, adversarial), defaultdict(float)
    for clean, mixed in loader:
        (denoised, *_), seen_clean, seen_denoised = generate(generator, clean, mixed, settings)
        measured = {"snr_db": snr_db(clean, denoised).mean()}
        losses = {"reconstruction_loss": reconstruction_loss(denoised, clean, mixed)}
        if activations:
            losses["feature_loss"] = feature_loss(activations(denoised), activations(clean))
        if adversarial:
            clean_logits, denoised_logits = discriminator(seen_clean), discriminator(seen_denoised)
            losses["adversarial_loss"] = gan_loss.generator(denoised_logits)
            measured |= {
                "passed_as_clean": (denoised_logits > 0).float().mean(),
                "discriminator_loss": gan_loss.discriminator(clean_logits, denoised_logits),
                **accuracies(clean_logits, denoised_logits),
            }
        loss = sum(weights[name] * value for name, value in losses.items())
        add(totals, measured | losses | {"generator_loss": loss}, len(clean))
    return means(totals, len(loader.dataset))


def accuracies(clean_logits, denoised_logits):
    """Shares of clean and of denoised signals that the discriminator recognises."""
    return {
        "accuracy_clean": (clean_logits > 0).float().mean(),
        "accuracy_denoised": (denoised_logits <= 0).float().mean(),
    }


def check_finite(measured, settings, place):
    """Raise UserError if a loss or rate is not finite: from here on the weights would be spoilt."""
    if math.isfinite(float(sum(measured))):  # one look at the device, not one for each value
        return
    coarse = ", or training.precision=bfloat16 too coarse" if settings.precision == "bfloat16" else ""
    raise UserError(
        f"the loss is no longer finite in {place}; probably training.generator_lr={settings.generator_lr:g} or "
        f"training.discriminator_lr={settings.discriminator_lr:g} is too high{coarse}; lower it and train anew with "
        "--restart; the last good epoch stays saved"
    )


def add(totals, measured, weight):
    """Add a batch's means, weighted by its size; tensors stay on the device, unread."""
    for name, value in measured.items():
        totals[name] += weight * value


def means(totals, count):
    return {name: (total / count).item() for name, total in totals.items()}


def in_brief(row):
    """An epoch of the history in a few words."""
    text = f"{row['phase']}, loss {row['validation_reconstruction_loss']:.4f}, SNR {row['validation_snr_db']:.2f} dB"
    if row["phase"] == "adversarial":
        text += f", pass as clean {row['validation_passed_as_clean']:.0%}"
    return text


def print_summary(state, config):
    """Print the time, the best epoch, the gain over a generator that was trained on, and the folders."""
    first, best, signals = state.history[0], best_epoch(state.history), state.epoch * config.data.num_train
    print(
        f"{state.epoch} epochs in {state.seconds:.0f} s, {signals / state.seconds:,.0f} signals a second; "
        f"best epoch by the loss {best['epoch']}, validation SNR {best['validation_snr_db']:.2f} dB"
    )
    if best["epoch"] == 0:
        print("no epoch was better than the generator that was trained on; best.pt holds that one")
    elif first["epoch"] == 0:
        print(
            f"training on brought: validation SNR in dB {first['validation_snr_db']:.2f} → "
            f"{best['validation_snr_db']:.2f}, loss {first['validation_reconstruction_loss']:.4f} → "
            f"{best['validation_reconstruction_loss']:.4f}"
        )
    print(f"wrote {config.checkpoint_folder} and {config.image_folder}")


def draw_figures(config, history):
    """The learning curves, and the best generator on validation signals against the lowpass."""
    folder = config.image_folder
    performance = plots.performance(history, config.training, best_epoch(history)["epoch"])
    figures.save(performance, folder / "performance_plot.png")
    generator, _ = load_generator(config.checkpoint_folder / "best.pt")
    clean, mixed = (load_signals(config, "validation", kind)[:NUM_PLOTTED, 0].numpy() for kind in ("clean", "mixed"))
    shown = {
        "clean": clean,
        "mixed": mixed,
        "denoised": apply_generator(generator, mixed),
        "lowpass": lowpass(mixed, config.data.sample_rate, config.evaluation),
    }
    title = "Denoised against lowpass: one validation signal, over time and over frequency"
    for number in range(len(clean)):
        example = {name: signals[number] for name, signals in shown.items()}
        figure = plots.side_by_side(example, config.data.sample_rate, title)
        figures.save(figure, folder / f"denoised_against_lowpass_{number + 1:02d}.png")


if __name__ == "__main__":
    run(main)
