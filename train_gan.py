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
import time
from collections import defaultdict
from dataclasses import replace

import torch

from dan import processes
from dan.configuration import parse_arguments
from dan.errors import ConfigurationError, UserError, run, stopped_by, uninterrupted
from dan.evaluation.baselines import lowpass
from dan.evaluation.metrics import snr_db
from dan.files import locked
from dan.losses import GAN_LOSSES, RECONSTRUCTION_LOSSES, feature_loss
from dan.output import figures, plots
from dan.progress import track
from dan.signals.store import as_created, check_manifest, fingerprint
from dan.training.feature_network import build_feature_network, train_feature_network, uses_feature_network
from dan.training.run_folder import clear_leftovers, move_aside, refuse_to_replace, resume, save
from dan.training.state import (
    best_epoch,
    choose_device,
    decide,
    is_adversarial,
    make_deterministic,
    new_training,
    patience_is_over,
    probe_precision,
)
from dan.training.trained_generator import apply_generator, load_generator, take_generator
from dataset import batches_of, first_batch, loaders, set_epoch, size_of_batch
from models import count_parameters

NUM_PLOTTED = 8
LEAST_TOLD = 2  # seconds; a shorter epoch may be slow by chance
LOOK_EVERY = 20  # steps


def main():
    config, options = parse_arguments(__doc__, add_options)
    if options.resume and (options.restart or options.begin_with):
        raise ConfigurationError(
            "--resume goes on with the training that is there, while --restart and --from begin one; choose"
        )
    if options.resume and not (config.checkpoint_folder / "last.pt").exists():
        raise UserError(f"{config.checkpoint_folder / 'last.pt'} is missing; there is no training to resume")
    if not options.resume and not options.restart:
        refuse_to_replace(config.checkpoint_folder)
    figures.refuse_foreign(config.image_folder)
    config = as_created(config, options.overrides)
    state = run_training(config, options.resume, options.restart, options.begin_with, draws=True)
    best, signals = best_epoch(state.history), state.epoch * config.data.num_train
    print(
        f"{state.epoch} epochs in {state.seconds:.0f} s, {signals / state.seconds:,.0f} signals "
        f"a second; best epoch by the loss {best['epoch']}, validation SNR "
        f"{best['validation_snr_db']:.2f} dB"
    )
    if state.history[0]["epoch"] == 0:
        print(gained(state.history[0], best))
    print(f"wrote {config.checkpoint_folder} and {config.image_folder}")


def run_training(config, resumes=False, restarts=False, begin_with=None, draws=False):
    """Train as configured, saving every epoch; returns the state.

    resumes: go on from last.pt; restarts: move an earlier training aside, instead of refusing;
    begin_with: a checkpoint whose generator is trained on, instead of one with new weights;
    draws: draw the figures in the end.
    """
    make_deterministic()
    config = replace(config, data=config.data.by_last_names())
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    processes.check_batch(min(config.training.batch_size, config.data.num_train))
    device = processes.device_of(choose_device(config.training.device))
    folder = config.checkpoint_folder
    train_loader, validation_loader = loaders(config, device)
    state, signals = new_training(config, device), fingerprint(check_manifest(config))
    if begin_with:
        take_generator(state.generator, config, begin_with)
    if not resumes:  # each by itself, before the processes join: a network in common would wait
        precision = probe_precision(state, first_batch(train_loader), config.training)
    if uses_feature_network(config.training):
        state.feature_network = build_feature_network(config).to(device)
    with processes.together(device), processes.first_only(locked(folder)):
        # What another process may have written meanwhile is looked at under the lock alone.
        if processes.is_first():
            clear_leftovers(folder)
        if resumes:
            resume(state, config, signals)
        else:
            if processes.is_first():
                move_aside(folder) if restarts else refuse_to_replace(folder)
            state.data = signals
            if state.feature_network:
                train_feature_network(state.feature_network, config)
            state.precision = processes.as_first(lambda: precision)
        with state.sharing(config.training.compile):
            describe(state, config)
            if begin_with and not resumes:
                finish_epoch(state, 0, {}, validation_loader, config)
            try:
                train(state, train_loader, validation_loader, config)
            except KeyboardInterrupt as stop:
                saved = f"epoch {state.epoch} is saved; go on with --resume"
                raise type(stop)(f"{stopped_by(stop)}; {saved if state.history else 'no epoch was finished'}") from None
        if draws and processes.is_first():
            draw_figures(config, validation_loader.dataset, state.history)
    return state


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


def describe(state, config):
    """Print what is trained, and how precisely."""
    sizes = (
        f"{name} {count_parameters(network):,} parameters"
        for name, network in (("generator", state.generator), ("discriminator", state.discriminator))
    )
    print(config.data.in_words)
    print(f"preset {config.preset} on {state.device}: {', '.join(sizes)}")
    training = config.training
    print(
        f"batches of {training.batch_size} signals; peak learning rates: generator "
        f"{training.generator_lr:g}, discriminator {training.discriminator_lr:g}; "
        f"{torch.get_num_threads()} threads"
    )
    if processes.count() > 1:
        print(f"{processes.count()} processes, each with its share of every batch")
    print(
        "precision:",
        ", ".join(f"{network} {precision} ({reason})" for network, (precision, reason) in state.precision.items()),
    )


def train(state, train_loader, validation_loader, config):
    """Train epoch by epoch until `max_epochs` or until patience ends, saving after each."""
    settings = config.training
    bar = track(
        range(state.epoch + 1, settings.max_epochs + 1),
        desc="training",
        unit="epoch",
        initial=state.epoch,
        total=settings.max_epochs,
    )
    seconds, told = [math.inf, math.inf], False  # of the fastest epoch of each phase
    for epoch in bar:
        if patience_is_over(state.history, settings):
            bar.write(f"no better validation loss for {settings.patience} epochs")
            break
        started = time.perf_counter()
        set_epoch(train_loader, epoch)
        trained = train_epoch(state, train_loader, settings, epoch)
        spent = time.perf_counter() - started
        phase = is_adversarial(settings, epoch)
        fastest = seconds[phase] = min(spent, seconds[phase])
        if not told and is_slow(spent, fastest):
            cure = "; beside other work training.threads=1 is fastest"
            bar.write(
                f"epoch {epoch} took {spent:.0f} s, an earlier one {fastest:.0f}: something "
                "else uses the processor" + cure * (torch.get_num_threads() > 1)
            )
            told = True
        finish_epoch(state, epoch, trained, validation_loader, config, started)
        bar.set_postfix_str(progress(state.history[-1]))


def is_slow(spent, fastest):
    """Whether an epoch took so much longer than another, in seconds, that a person should know."""
    return spent > max(2 * fastest, LEAST_TOLD)


def finish_epoch(state, epoch, trained, validation_loader, config, started=None):
    """Validate, add the epoch to the history, and save.

    epoch: 0 for a generator that was trained elsewhere, before it is trained on; trained: the
    losses and rates of training; started: when the epoch began, by time.perf_counter.
    """
    settings, started = config.training, started or time.perf_counter()
    adversarial = is_adversarial(settings, epoch)
    validated = processes.as_first(validate, state, validation_loader, settings, adversarial)
    check_finite(validated.values(), settings, f"epoch {epoch}, on the validation signals")
    # Whatever stops the run finds an epoch counted if and only if it is saved.
    with uninterrupted():
        state.history.append(
            {
                "epoch": epoch,
                "phase": "adversarial" if adversarial else "pretraining",
                **{f"train_{name}": value for name, value in trained.items()},
                **{f"validation_{name}": value for name, value in validated.items()},
            }
        )
        state.seconds += time.perf_counter() - started
        decide(state.history, settings, len(validation_loader.dataset))
        if processes.is_first():
            save(state, config)


def train_epoch(state, loader, settings, epoch):
    """One pass over the training pairs; returns the mean of every loss and rate.

    In a step the discriminator, if there is one, learns first to tell clean from denoised signals;
    then the generator learns to denoise, and to be taken for clean.
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
        # What is pinned, for CUDA, need not be waited for.
        clean, mixed = (signals.to(state.device, non_blocking=signals.is_pinned()) for signals in pairs)
        share = len(clean), size_of_batch(step, len(loader.dataset), settings.batch_size)
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
            processes.share_of_loss(loss, *share).backward()
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
        processes.share_of_loss(loss, *share).backward()
        state.generator_optimizer.step()

        measured |= losses | {"generator_loss": loss}
        add(totals, {name: value.detach() for name, value in measured.items()}, len(clean))
        # Not in every step: a look at the numbers waits for the device.
        if step % LOOK_EVERY == 0 or step + 1 == len(loader):
            check_finite(totals.values(), settings, f"epoch {epoch}, step {step + 1}")
    return means(processes.sums(totals, state.device), len(loader.dataset))


def generate(generator, clean, mixed, settings):
    """(outputs, what the discriminator sees of the clean signals, and of the denoised ones).

    outputs: a tuple of the denoised signals alone; with a latent adversary, which sees what passes
    the generator's bottleneck, of the clean signals as well, which are to come out as they went in.
    """
    if settings.adversary != "latent":
        denoised = generator(mixed).float()
        return (denoised,), clean, denoised
    # In one batch again: the generator is to know the clean by what they are, not by the batch.
    outputs, latents = generator(torch.cat([mixed, clean]), with_latents=True)
    latents_of_mixed, latents_of_clean = latents.float().chunk(2)
    return outputs.float().chunk(2), latents_of_clean, latents_of_mixed


def loss_weights(settings):
    """What the parts of the generator's loss are weighted by."""
    return {
        "reconstruction_loss": settings.reconstruction_weight,
        "feature_loss": settings.feature_weight,
        "adversarial_loss": settings.adversarial_weight,
    }


@torch.inference_mode()
def validate(state, loader, settings, adversarial):
    """Losses, rates and the mean SNR in dB on the validation pairs, in evaluation mode.

    In float32 whatever the training's precision: it is what a user of the denoiser gets.
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
    cause = (
        f"training.generator_lr={settings.generator_lr:g} or training.discriminator_lr="
        f"{settings.discriminator_lr:g} is too high"
    )
    if settings.precision == "bfloat16":
        cause += ", or training.precision=bfloat16 too coarse"
    raise UserError(
        f"the loss is no longer finite in {place}; probably {cause}; lower it and "
        "train anew with --restart; the last good epoch stays saved"
    )


def add(totals, measured, weight):
    """Add a batch's means, weighted by its size; tensors stay on the device, unread."""
    for name, value in measured.items():
        totals[name] += weight * value


def means(totals, count):
    return {name: (total / count).item() for name, total in totals.items()}


def progress(row):
    """An epoch of the history in a few words."""
    text = f"{row['phase']}, loss {row['validation_reconstruction_loss']:.4f}, SNR {row['validation_snr_db']:.2f} dB"
    if row["phase"] == "adversarial":
        text += f", pass as clean {row['validation_passed_as_clean']:.0%}"
    return text


def gained(before, best):
    """What training a generator on has brought, from its row in the history to the best one."""
    if best is before:
        return "no epoch was better than the generator that was trained on; best.pt holds that one"
    changes = (
        f"{what} {before[name]:.{digits}f} → {best[name]:.{digits}f}"
        for what, name, digits in (
            ("validation SNR in dB", "validation_snr_db", 2),
            ("loss", "validation_reconstruction_loss", 4),
        )
    )
    return f"training on brought: {', '.join(changes)}"


def draw_figures(config, validation, history):
    """The learning curves, and the best generator on validation signals against the lowpass."""
    folder = config.image_folder
    performance = plots.performance(history, config.training, best_epoch(history)["epoch"])
    figures.save(performance, folder / "performance_plot.png")
    generator, _ = load_generator(config.checkpoint_folder / "best.pt")
    clean, mixed = (x[:NUM_PLOTTED, 0].cpu().numpy() for x in (validation.clean, validation.mixed))
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
