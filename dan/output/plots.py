"""Every plot of the project: a function each, which draws and returns a figure."""

import numpy as np

from dan.output.saving import new_figure

# The colours of Okabe and Ito, which colour-blind readers tell apart.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#888888"
# Colour, line and marker of each kind of signal and each method: limits have no marker, lines of other methods are
# broken, those of networks whole.
STYLES = {
    "clean": (BLACK, "-", None),
    "noise": (PURPLE, "-", None),
    "mixed": (GREY, "-", None),
    "denoised": (BLUE, "-", None),
    "input": (GREY, "-", None),
    "Cramér–Rao bound": (BLACK, "--", None),
    "posterior mean": (BLACK, "-", None),
    "oracle": (BLACK, ":", None),
    "general oracle": (BLACK, "-.", None),
    "lowpass": (ORANGE, "--", "s"),
    "Wiener": (SKY, "--", "^"),
    "wavelet": (VERMILLION, "--", "v"),
    "NOMP": (GREEN, "--", "D"),
    "dan": (BLUE, "-", "o"),
    "dan-published": (SKY, "-", "s"),
    "dan-small": (GREEN, "-", "^"),
    "spectral": (PURPLE, "-", "D"),
    "spectral-any": (VERMILLION, "-", "o"),
}
SPARE_STYLES = [(colour, "-", marker) for marker in "Xp*" for colour in (BLUE, VERMILLION, GREEN, PURPLE, ORANGE)]
SPECTROGRAM_SECONDS = 0.032
SPECTROGRAM_COLUMNS = 1500


def style_of(name):
    """The style of a kind of signal or of a method; trainings with other names get a spare one."""
    colour, line, marker = STYLES.get(name, SPARE_STYLES[sum(name.encode()) % len(SPARE_STYLES)])
    return {"color": colour, "linestyle": line, "marker": marker}


def colour_of(name):
    return style_of(name)["color"]


def created_data(examples, sample_rate):
    """The first signal of each split: train and validation × clean, noise and mixed.

    examples: {split: {kind: array (length,)}}.
    """
    kinds = list(next(iter(examples.values())))
    figure, axes = new_figure(len(kinds), len(examples), figsize=(10, 6), sharex=True, sharey=True, squeeze=False)
    for column, (split, example) in zip(axes.T, examples.items(), strict=True):
        for axis, kind in zip(column, kinds, strict=True):
            time = np.arange(len(example[kind])) / sample_rate
            axis.plot(time, example[kind], color=colour_of(kind), linewidth=0.9)
            axis.set_title(f"{split}: {kind}")
            axis.grid(alpha=0.3)
        column[-1].set_xlabel("time in s")
    for axis in axes[:, 0]:
        axis.set_ylabel("amplitude")
    figure.suptitle("Created data: the first signal of each split")
    return figure


def side_by_side(example, sample_rate, title):
    """One signal, a column for each kind or estimate: over time above, its spectrum below.

    example: {kind: array (length,)}; "clean" is among them.
    """
    figure, (over_time, over_frequency) = new_figure(2, len(example), figsize=(13, 5.5), sharex="row", sharey="row")
    for column, (kind, signal) in enumerate(example.items()):
        time = np.arange(len(signal)) / sample_rate
        frequency = np.fft.rfftfreq(len(signal), 1 / sample_rate)
        amplitude = 2 / len(signal) * np.abs(np.fft.rfft(signal))
        over_time[column].plot(time, signal, color=colour_of(kind), linewidth=0.9)
        over_frequency[column].plot(frequency, amplitude, color=colour_of(kind), linewidth=1.1)
        if kind != "clean":
            clean = np.abs(np.fft.rfft(example["clean"])) * 2 / len(signal)
            over_frequency[column].plot(frequency, clean, color="black", linewidth=0.7, linestyle=":", label="clean")
            over_frequency[column].legend(loc="upper right")
        over_time[column].set(title=kind, xlabel="time in s")
        over_frequency[column].set(xlabel="frequency in Hz")
        for axis in (over_time[column], over_frequency[column]):
            axis.grid(alpha=0.3)
    over_time[0].set_ylabel("amplitude")
    over_frequency[0].set_ylabel("amplitude of the sines")
    figure.suptitle(title)
    return figure


def performance(history, settings, best_epoch):
    """Losses and rates of both networks over the epochs, training against validation.

    history: a list of one dictionary an epoch, as train_gan.py keeps it; settings: a
    TrainingConfig. Without an adversarial epoch the panels of the discriminator are left out.
    """
    panels = {
        "reconstruction loss": ["reconstruction_loss", "feature_loss"],
        "output SNR": ["snr_db"],
        "adversarial losses": ["adversarial_loss", "discriminator_loss"],
        "discriminator's rates": ["accuracy_clean", "accuracy_denoised", "passed_as_clean"],
    }
    rows = 2 if any(row["phase"] == "adversarial" for row in history) else 1
    figure, axes = new_figure(rows, 2, figsize=(13, 3.75 * rows), sharex=True, squeeze=False)
    epochs = [row["epoch"] for row in history]
    colours = (BLUE, VERMILLION, GREEN)
    for axis, (title, names) in zip(axes.flat, panels.items(), strict=False):
        for name, colour in zip(names, colours, strict=False):
            label = name.replace("_", " ").replace("snr db", "SNR")
            for split, style in (("train", ":"), ("validation", "-")):
                values = [row.get(f"{split}_{name}", np.nan) for row in history]
                measured = np.isfinite(values).sum()
                if measured:
                    # A curve of one epoch is a point, which only a marker shows.
                    axis.plot(
                        epochs,
                        values,
                        style,
                        color=colour,
                        linewidth=1.4,
                        marker="o" if measured == 1 else None,
                        label=f"{split}: {label}",
                    )
        if title == "adversarial losses" and settings.gan_loss == "bce":
            axis.axhline(np.log(2), color="black", linewidth=0.9, linestyle=":", label="chance (ln 2)")
        if rows == 2 and settings.pretrain_epochs:
            axis.axvline(
                settings.pretrain_epochs + 0.5, color="black", linestyle="--", linewidth=0.9, label="end of pretraining"
            )
        axis.axvline(best_epoch, color=PURPLE, linewidth=0.9, label=f"best epoch, {best_epoch}")
        axis.set_title(title)
        axis.grid(alpha=0.3)
        # Beside the axes, where it covers no curve.
        axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    # A part of these is a logarithm of the error.
    below = settings.reconstruction_loss in ("improvement", "SNR+spectrum", "speech")
    axes[0, 0].set_ylabel("loss (may fall below zero)" if below else "loss")
    axes[0, 1].set_ylabel("dB")
    if rows == 2:
        axes[1, 0].set_ylabel("loss")
        axes[1, 1].set(ylabel="share of signals", ylim=(-0.02, 1.02))
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle("Training: losses and rates, training against validation")
    return figure


def improvement_distribution(improvements, signals):
    """Cumulative distribution of the SNR improvement of every method.

    improvements: {method: array of one value in dB a signal}; signals: what they are, in words.
    """
    figure, axis = new_figure(figsize=(9, 4.5))
    for method, values in improvements.items():
        label = f"{method}: mean {values.mean():.1f} dB, worst {values.min():.1f} dB"
        style = style_of(method) | {"marker": None}
        axis.ecdf(values, **style, linewidth=1.6, label=label)
    axis.axvline(0, color="black", linewidth=0.9)
    axis.set(title=f"SNR improvement on {signals}", xlabel="output SNR − input SNR in dB")
    axis.set_ylabel("share of signals with less")
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def residual_spectra(spectra, data, signals):
    """Mean spectrum of what each method leaves of the noise, and of what it spoils.

    spectra: {method: array (length // 2 + 1,) in dB}; data: a DataConfig, for rate and band.
    """
    figure, axis = new_figure(figsize=(10.5, 4.5))
    for method, spectrum in spectra.items():
        frequency = np.linspace(0, data.sample_rate / 2, len(spectrum))
        axis.plot(frequency, spectrum, **style_of(method) | {"marker": None}, linewidth=1.5, label=method)
    axis.axvspan(data.low_freq, data.high_freq, color="black", alpha=0.07, label="signal band")
    axis.set(
        title=f"Mean spectrum of the residual (estimate − clean), {signals}",
        xlabel="frequency in Hz",
        ylabel="energy per bin in dB",
    )
    axis.set_ylim(bottom=max(axis.get_ylim()[0], -60))
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def training_curves(checkpoints):
    """Validation SNR over epochs and over training time, a curve for each preset.

    checkpoints: {preset: checkpoint with `history` and `seconds`}. The time of an epoch is taken
    as its share of the whole.
    """
    figure, axes = new_figure(1, 2, figsize=(12, 4.5), sharey=True)
    for preset, checkpoint in checkpoints.items():
        epochs = np.array([row["epoch"] for row in checkpoint["history"]])
        snr = [row["validation_snr_db"] for row in checkpoint["history"]]
        for axis, x in zip(axes, (epochs, epochs / epochs[-1] * checkpoint["seconds"]), strict=True):
            axis.plot(x, snr, **style_of(preset), markevery=0.1, markersize=4, linewidth=1.4, label=preset)
            axis.grid(alpha=0.3)
    axes[0].set(xlabel="epoch", ylabel="validation SNR in dB")
    axes[1].set(xlabel="training time in s", xscale="log")
    axes[0].legend()
    figure.suptitle("Training: output SNR on each preset's own validation signals")
    return figure


def comparison(result, split):
    """Output SNR of every method, total energies and mean of decibels, against the bound if any.

    result: {"count", "bound_db", "methods": {method: {"total_snr_db", "snr_db": {"mean"}}}}.
    """
    methods, bound = result["methods"], result.get("bound_db")
    figure, axis = new_figure(figsize=(9, 0.5 * len(methods) + 1.8))
    ranked = sorted(methods, key=lambda method: methods[method]["total_snr_db"])
    totals = [methods[method]["total_snr_db"] for method in ranked]
    means = [methods[method]["snr_db"]["mean"] for method in ranked]
    axis.barh(ranked, totals, color=[colour_of(method) for method in ranked], height=0.6)
    for place, (total, mean) in enumerate(zip(totals, means, strict=True)):
        axis.text(max(total, mean, 0) + 0.3, place, f"{total:.1f} dB", va="center")
    axis.plot(means, ranked, "|", color="black", markersize=14, label="mean of the signals' dB")
    if bound is not None:
        axis.axvline(
            bound,
            color="black",
            linestyle="--",
            linewidth=1,
            label=f"Cramér–Rao bound on total energies, {bound:.1f} dB",
        )
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(title=f"Output SNR on {result['count']} {split} signals", xlabel="SNR in dB (bar: total energies)")
    axis.set_xlim(right=max(bound or 0, *means, *totals) + 3)
    axis.grid(alpha=0.3, axis="x")
    axis.legend(loc="lower right")
    return figure


def sweep(values, results, label, signals):
    """Output SNR of every method over one property of the signals.

    results: {method: list of the ratio of total energies in dB at each of `values`}.
    """
    figure, axis = new_figure(figsize=(10.5, 5.5))
    draw_methods(axis, values, results)
    if values[0] > 0 and values[-1] / values[0] > 20:
        axis.set_xscale("log")
        axis.set_xticks(values, [f"{value:g}" for value in values], minor=False)
        axis.minorticks_off()
    else:
        axis.set_xticks(values)
    axis.set(
        title=f"Output SNR over the {label} ({signals})",
        xlabel=label,
        ylabel="output SNR in dB, ratio of total energies",
    )
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def sweep_by_number(family, signals):
    """Output SNR of every method over the input SNR: the fewest, the middle and the most sines.

    family: {number: (input SNRs in dB, {method: output SNR at each of them})}.
    """
    numbers = list(family)
    shown = sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]})
    family = {number: family[number] for number in shown}
    figure, axes = new_figure(1, len(family), figsize=(4.2 * len(family) + 1.8, 4.8), sharey=True, squeeze=False)
    for axis, (number, (values, results)) in zip(axes[0], family.items(), strict=True):
        draw_methods(axis, values, results)
        axis.set(title=f"{number} sine{'s' * (number > 1)}", xlabel="input SNR in dB")
    axes[0, 0].set_ylabel("output SNR in dB, ratio of total energies")
    figure.suptitle(f"Output SNR over input SNR ({signals})")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


def draw_methods(axis, values, results):
    """A curve for each method of {method: list of one number at each of `values`}."""
    for method, snr in results.items():
        axis.plot(values, snr, **style_of(method), markersize=4, linewidth=1.5, label=method)
    axis.grid(alpha=0.3)


def switches(results, labels):
    """Each training's measures with the range of its seeds: a row for each preset and input SNR, a column a measure.

    results: {preset: {input SNR: {training: {measure: {"value", "low", "high"}}}}}; labels: {measure: label}.
    """
    rows = [(preset, snr, each) for preset, by_snr in results.items() for snr, each in by_snr.items()]
    heights = [len(each) + 3 for *_, each in rows]
    size, ratios = (11, 0.24 * sum(heights)), {"height_ratios": heights}
    figure, axes = new_figure(len(rows), len(labels), figsize=size, sharey="row", squeeze=False, gridspec_kw=ratios)
    for (preset, snr, each), line in zip(rows, axes, strict=True):
        for axis, (measure, label) in zip(line, labels.items(), strict=True):
            means, low, high = (
                np.array([row[measure][key] for row in each.values()]) for key in ("value", "low", "high")
            )
            spread = np.array([means - low, high - means]).clip(0)
            axis.errorbar(means, list(each), xerr=spread, fmt="o", color=colour_of(preset), markersize=4, capsize=2)
            axis.axvline(means[0], color="black", linewidth=0.8, linestyle=":")
            axis.set(xlabel=label, title=f"{preset}, input at {snr}")
            axis.grid(alpha=0.3)
        line[0].invert_yaxis()
    figure.suptitle("What each switch is worth: mean and range of the seeds (dotted: the first row)")
    return figure


def before_and_after(recordings, sample_rate, name):
    """Waveform and spectrogram, a column for each of `recordings`.

    recordings: {"before", "after": array (samples,)}; name: what it is called in the title.
    """
    figure, axes = new_figure(2, len(recordings), figsize=(12, 6), sharex=True, sharey="row")
    for (title, samples), axis in zip(recordings.items(), axes[0], strict=True):
        time = np.arange(len(samples)) / sample_rate
        axis.plot(time, samples, color=colour_of({"before": "mixed"}.get(title, "denoised")), linewidth=0.5)
        axis.set_title(title)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("amplitude")
    draw_spectrograms(figure, axes[1], recordings, sample_rate)
    title = f"Before and after denoising: {name}"
    # A name may hold dollar signs, which are no mathematics, and bytes that are no text.
    figure.suptitle(title.encode(errors="replace").decode(), parse_math=False)
    return figure


def spectrograms(sounds, sample_rate):
    """The spectrograms of {name: array (samples,)} in a row, with common levels."""
    size = max(12, 3 * len(sounds)), 3.2
    figure, axes = new_figure(1, len(sounds), figsize=size, sharex=True, sharey=True)
    axes = np.atleast_1d(axes)
    for name, axis in zip(sounds, axes, strict=True):
        axis.set_title(name)
    draw_spectrograms(figure, axes, sounds, sample_rate)
    return figure


def draw_spectrograms(figure, axes, sounds, sample_rate):
    """A spectrogram of each sound into each of the axes, over 80 dB below the loudest."""
    spectra = [spectrogram_db(samples, sample_rate) for samples in sounds.values()]
    loudest = max(level.max() for _, _, level in spectra)
    for axis, (times, frequencies, level) in zip(axes, spectra, strict=True):
        image = axis.pcolormesh(
            times, frequencies, level, vmin=loudest - 80, vmax=loudest, cmap="magma", shading="nearest", rasterized=True
        )
        axis.set_xlabel("time in s")
    axes[0].set_ylabel("frequency in Hz")
    figure.colorbar(image, ax=list(axes), label="level in dB", aspect=15)


def spectrogram_db(samples, sample_rate):
    """Times in s, frequencies in Hz and levels in dB of a Hann-windowed spectrogram."""
    size = min(len(samples), max(16, 2 ** round(np.log2(sample_rate * SPECTROGRAM_SECONDS))))
    hop = max(1, size // 4, len(samples) // SPECTROGRAM_COLUMNS)
    frames = range(0, len(samples) - size + 1, hop)
    window = np.hanning(size + 2)[1:-1]
    spectra = np.array([np.fft.rfft(window * samples[at : at + size]) for at in frames])
    level = 20 * np.log10(np.abs(spectra).T / window.sum() + 1e-10)
    times = (np.array(frames) + size / 2) / sample_rate
    return times, np.fft.rfftfreq(size, 1 / sample_rate), level
