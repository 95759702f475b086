"""What the sections of a configuration derive from their settings, and what they refuse.

The settings themselves, with meanings, ranges and defaults, stand in config.py.
"""

import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from dan.settings import check_all, check_setting, list_settings, refuse

REPOSITORY = Path(__file__).resolve().parent.parent
MOST_SAMPLES = 2**24  # of a signal
MOST_STORED = 1_000_000  # signals of a split
MOST_LOWPASS_ORDER = 200
SYNTHETIC = "synthetic"  # what data.noise_source calls synthesised noise


class Section:
    def check(self):
        """Raise ConfigurationError for settings of the section that do not go together."""


class DataSection(Section):
    @property
    def length(self):
        """Samples in one signal."""
        return round(self.sample_rate * self.duration)

    @property
    def nyquist(self):
        """Half the sample rate, in Hz."""
        return self.sample_rate / 2

    @property
    def is_recorded(self):
        """Whether the clean signals or the noise come from sources."""
        return bool(self.clean_source or self.noise_source)

    @property
    def synthesises_noise(self):
        return SYNTHETIC in self.noise_source.split(",")

    @property
    def noise_folder(self):
        """The folder that `noise_source` names; empty without one."""
        return ",".join(part for part in self.noise_source.split(",") if part != SYNTHETIC)

    def by_last_names(self):
        """The same, its folders of recordings by their last names, which tell of no machine."""
        named = {}
        for key, folder in (("clean_source", self.clean_source), ("noise_source", self.noise_folder)):
            if folder:
                name = os.path.basename(os.path.abspath(folder))
                named[key] = getattr(self, key).replace(folder, name)
        return replace(self, **named)

    @property
    def in_words(self):
        """What the signals are made of."""
        clean = (
            f"recordings in {self.clean_source}"
            if self.clean_source
            else (f"sums of sines from {self.low_freq:g} to {self.high_freq:g} Hz")
        )
        return (
            f"clean signals: {clean}; noise: {self.noise_source or 'Gaussian white noise'}; "
            f"{self.sample_rate:,} samples per second"
        )

    def check(self):
        check_all(self.check_band, self.check_size)

    def check_band(self):
        """Of sines; with recordings there are none."""
        if self.clean_source:
            return
        if self.low_freq >= self.high_freq:
            refuse("data.low_freq", self.low_freq, f"below data.high_freq={self.high_freq:g}")
        if self.high_freq > self.nyquist:
            refuse(
                "data.high_freq",
                self.high_freq,
                f"at most {self.nyquist:g} Hz, the Nyquist frequency; 0 takes just that",
            )

    def check_size(self):
        if not self.stream and self.num_train > MOST_STORED:
            refuse("data.num_train", self.num_train, f"at most {MOST_STORED:,}, or streamed with data.stream=true")
        if self.length > MOST_SAMPLES:
            refuse(
                "data.duration",
                self.duration,
                f"at most {MOST_SAMPLES / self.sample_rate:.9g}, which is {MOST_SAMPLES:,} samples",
            )


class GeneratorSection(Section):
    """The settings of a kind of generator."""

    halvings = 0  # how often the network halves the length of a signal
    has_bottleneck = False  # that all it knows of a signal passes through


class WaveformGeneratorSection(GeneratorSection):
    has_bottleneck = True

    @property
    def halvings(self):
        return self.depth

    def latent_shape(self, length):
        """Channels and length of what passes the bottleneck of a signal of this length."""
        return self.encoder_filters, -(-length // 2**self.depth)


class ShortTimeGeneratorSection(GeneratorSection):
    def check(self):
        if 2 ** (self.levels + 1) > self.frame_length:
            refuse("generator.levels", self.levels, "so small that 2^(levels + 1) is at most generator.frame_length")


class EvaluationSection(Section):
    def lowpass_order(self, sample_rate):
        """The order of the Butterworth lowpass, a real number that is to be rounded up.

        Oppenheim, Schafer, "Discrete-Time Signal Processing" (2010), section 7.3: the bilinear
        transform takes both edges to the tangent of half their angle.
        """
        edges = self.lowpass_stopband, self.lowpass_passband
        stop, passed = (math.tan(math.pi * edge / sample_rate) for edge in edges)
        losses = self.lowpass_attenuation_db, self.lowpass_ripple_db
        attenuation, ripple = (10 ** (decibels / 10) - 1 for decibels in losses)
        steepness = math.log10(stop / passed)
        return math.log10(attenuation / ripple) / (2 * steepness) if steepness > 0 else math.inf


class WholeConfig:
    @property
    def data_folder(self):
        return REPOSITORY / self.paths.data

    @property
    def image_folder(self):
        return REPOSITORY / self.paths.images / self.name

    @property
    def checkpoint_folder(self):
        return REPOSITORY / self.paths.checkpoints / self.name

    @property
    def test_data(self):
        """The DataConfig that fresh test signals are drawn with."""
        return replace(self.data, seed=self.evaluation.seed)

    def filled(self):
        """The same with what follows the sample rate where a setting is 0."""
        data, evaluation = self.data, self.evaluation
        passband = evaluation.lowpass_passband or data.nyquist / 2
        return replace(
            self,
            data=replace(data, high_freq=data.high_freq or data.nyquist),
            evaluation=replace(
                evaluation, lowpass_passband=passband, lowpass_stopband=evaluation.lowpass_stopband or 1.25 * passband
            ),
        )

    def check(self):
        """Raise ConfigurationError for all settings that no run could use."""
        self.check_ranges()
        check_all(self.data.check, self.generator.check, self.check_adversary, self.check_length, self.check_lowpass)

    def check_ranges(self):
        """Each setting by itself."""
        check_all(*(partial(check_setting, key, value, item) for key, value, item in list_settings(self)))

    def check_adversary(self):
        training = self.training
        if training.adversary == "latent" and not self.generator.has_bottleneck:
            refuse(
                "training.adversary",
                "latent",
                "signal or none with this generator: it has no bottleneck, as those of dan and dan-small have",
            )
        if training.feature_weight and training.feature_network == "discriminator" and training.adversary != "signal":
            refuse(
                "training.feature_network",
                "discriminator",
                f"pretrained where the discriminator sees no signals (training.adversary={training.adversary})",
            )

    def check_length(self):
        """A signal is halved by the discriminator, and normalised in batches by the generator."""
        data, depth = self.data, self.discriminator.depth
        least = 2 ** (depth + 1)
        if data.length < least:
            refuse(
                "data.duration",
                data.duration,
                f"at least {least / data.sample_rate:.9g}, which is {least} samples, for the "
                f"discriminator to halve it {depth} times",
            )
        halvings = self.generator.halvings
        batch = min(self.training.batch_size, data.num_train)
        if -(-data.length // 2**halvings) * batch < 2:
            refuse(
                "generator.depth",
                halvings,
                "smaller, or the batch or the signals larger: "
                "batch normalisation needs at least two values in the deepest layer",
            )

    def check_lowpass(self):
        evaluation, data = self.evaluation, self.data
        if evaluation.lowpass_passband >= evaluation.lowpass_stopband:
            refuse(
                "evaluation.lowpass_passband",
                evaluation.lowpass_passband,
                f"below evaluation.lowpass_stopband={evaluation.lowpass_stopband:g}",
            )
        if evaluation.lowpass_stopband >= data.nyquist:
            refuse(
                "evaluation.lowpass_stopband",
                evaluation.lowpass_stopband,
                f"below the Nyquist frequency {data.nyquist:g} Hz",
            )
        order = evaluation.lowpass_order(data.sample_rate)
        if not order <= MOST_LOWPASS_ORDER:
            refuse(
                "evaluation.lowpass_stopband",
                evaluation.lowpass_stopband,
                f"farther from evaluation.lowpass_passband={evaluation.lowpass_passband:g}: the "
                f"filter would have an order of {order:,.0f}, and {MOST_LOWPASS_ORDER} is the "
                "most",
            )
