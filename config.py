"""Every setting of the project, with its unit and meaning.

Edit a value here and the next run uses it, or override it for one run:

    python train_gan.py --preset dan-small training.max_epochs=5 data.snr_db=0
    python config.py --preset dan-small     # print the resolved settings and the parameter counts
"""

import difflib
import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from faults import ConfigurationFault

REPOSITORY = Path(__file__).resolve().parent
Range = tuple[float, float]
IntRange = tuple[int, int]


def setting(default, meaning, low=None, high=None, choices=None):
    """A configuration field: its default, its meaning with the unit, the values it may take."""
    metadata = {"meaning": meaning, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class DataConfig:
    sample_rate: int = setting(256, "samples per second", 1, 192_000)
    duration: float = setting(1.0, "length of a signal in seconds", 1e-3, 3600)
    num_components: int | IntRange = setting(
        3, "sines in a clean signal; a range low,high is drawn per signal", 1, 100
    )
    low_freq: float = setting(10.0, "lowest frequency of a sine in Hz", 0)
    high_freq: float = setting(64.0, "highest frequency of a sine in Hz", 0)
    amplitude_spread: float = setting(
        0.0, "amplitudes are uniform in 1 ± this; 0 makes them equal", 0, 1
    )
    random_phase: bool = setting(False, "draw the phases of the sines; otherwise they are zero")
    noise_std: float = setting(
        0.5, "standard deviation of the noise as stored, before scaling to snr_db", 1e-6, 1e6
    )
    snr_db: float | Range = setting(
        -2.0, "signal-to-noise ratio of a mixture in dB; a range low,high is drawn per signal",
        -100, 100,
    )
    num_train: int = setting(1600, "number of training signals", 1, 1_000_000)
    num_validation: int = setting(200, "number of validation signals", 1, 1_000_000)
    seed: int = setting(42, "seed of everything that is drawn for the data", 0, 2**63 - 1)

    @property
    def length(self):
        """Samples in one signal."""
        return round(self.sample_rate * self.duration)


@dataclass(frozen=True)
class GeneratorConfig:
    encoder_filters: int = setting(16, "channels of every encoder layer", 1, 4096)
    decoder_filters: int = setting(32, "channels of every decoder layer", 1, 4096)
    depth: int = setting(4, "number of encoder layers, and of decoder layers", 1, 16)
    kernel_size: int = setting(64, "kernel length of every convolution in samples", 2, 4096)
    negative_slope: float = setting(0.1, "slope of LeakyReLU below zero", 0, 1)


@dataclass(frozen=True)
class DiscriminatorConfig:
    filters: int = setting(8, "channels of every convolution", 1, 4096)
    depth: int = setting(2, "number of convolutions, each halving the length", 1, 16)
    kernel_size: int = setting(32, "kernel length of every convolution in samples", 2, 4096)
    hidden_units: int = setting(16, "units of the hidden linear layer", 1, 65_536)
    negative_slope: float = setting(0.01, "slope of LeakyReLU below zero", 0, 1)


@dataclass(frozen=True)
class TrainingConfig:
    batch_size: int = setting(50, "signals per training step", 1, 1_000_000)
    pretrain_epochs: int = setting(40, "epochs of the generator alone", 0, 1_000_000)
    max_epochs: int = setting(200, "epochs of both phases together, at most", 1, 1_000_000)
    patience: int = setting(
        50, "adversarial epochs without a better validation reconstruction loss before stopping",
        1, 1_000_000,
    )
    generator_lr: float = setting(1e-3, "Adam's learning rate for the generator", 1e-12, 10)
    discriminator_lr: float = setting(1e-4, "Adam's learning rate for the discriminator", 1e-12, 10)
    lr_halving_epochs: int = setting(
        50, "both learning rates are halved every so many epochs", 1, 1_000_000
    )
    adversarial_weight: float = setting(
        3.0, "weight of the adversarial loss in the generator's loss", 0, 1e6
    )
    reconstruction_weight: float = setting(
        9.0, "weight of the L1 loss in the generator's loss", 0, 1e6
    )
    discriminator_weight: float = setting(2.0, "weight of the discriminator's loss", 0, 1e6)
    seed: int = setting(42, "seed of the initial weights and of the order of the signals",
                        0, 2**63 - 1)
    device: str = setting("auto", "auto (CUDA, else MPS, else CPU), or a torch device such as cpu")


@dataclass(frozen=True)
class EvaluationConfig:
    num_test: int = setting(1000, "fresh test signals, never stored", 2, 1_000_000)
    lowpass_passband: float = setting(64.0, "edge of the lowpass filter's passband in Hz", 1e-3)
    lowpass_stopband: float = setting(100.0, "edge of the lowpass filter's stopband in Hz", 1e-3)
    lowpass_ripple_db: float = setting(0.05, "largest loss in the passband in dB", 1e-6, 10)
    lowpass_attenuation_db: float = setting(60.0, "least loss in the stopband in dB", 1, 300)


@dataclass(frozen=True)
class PathsConfig:
    data: str = setting("data", "folder of the signals; relative to the repository, or absolute")
    images: str = setting("images", "folder of the figures, one folder in it a preset")
    checkpoints: str = setting("checkpoints", "folder of the trained networks, likewise")


@dataclass(frozen=True)
class Config:
    preset: str = "dan"
    data: DataConfig = DataConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    paths: PathsConfig = PathsConfig()

    @property
    def data_folder(self):
        return REPOSITORY / self.paths.data

    @property
    def image_folder(self):
        return REPOSITORY / self.paths.images / self.preset

    @property
    def checkpoint_folder(self):
        return REPOSITORY / self.paths.checkpoints / self.preset


DEFAULT_PRESET = "dan"
PRESETS = {
    # The published sizes: 282,177 parameters in the generator, 10,577 in the discriminator.
    "dan": Config(),
    # The published small sizes: 26,373 and 1,245.
    "dan-small": Config(
        generator=GeneratorConfig(encoder_filters=6, decoder_filters=16, depth=2),
        discriminator=DiscriminatorConfig(filters=2, hidden_units=8),
    ),
}


def settings(config):
    """Every setting of `config` as (key, value, dataclass field), in the order of this file."""
    for section in fields(config):
        if section.name != "preset":
            values = getattr(config, section.name)
            for item in fields(values):
                yield f"{section.name}.{item.name}", getattr(values, item.name), item


def resolve(preset=DEFAULT_PRESET, overrides=()):
    """The configuration of a preset with `section.key=value` texts applied, validated.

    Raises ConfigurationFault, naming the key, the value and the nearest valid name or range.
    """
    if preset not in PRESETS:
        raise ConfigurationFault(f"unknown preset '{preset}'{_nearest(preset, PRESETS)}")
    config = replace(PRESETS[preset], preset=preset)
    known = {key: item for key, _, item in settings(config)}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigurationFault(f"'{override}' is no override; write section.key=value")
        if key not in known:
            raise ConfigurationFault(f"unknown key '{key}' in '{override}'{_nearest(key, known)}")
        section, name = key.split(".")
        value = _parse(key, text, known[key].type)
        config = replace(config, **{section: replace(getattr(config, section), **{name: value})})
    validate(config)
    return config


def validate(config):
    """Raise ConfigurationFault for the first setting that no run could use."""
    for key, value, item in settings(config):
        _check_range(key, value, **{k: v for k, v in item.metadata.items() if k != "meaning"})
    data, evaluation = config.data, config.evaluation
    nyquist = data.sample_rate / 2
    if data.low_freq >= data.high_freq:
        _refuse("data.low_freq", data.low_freq, f"below data.high_freq={data.high_freq:g}")
    if data.high_freq > nyquist:
        _refuse("data.high_freq", data.high_freq, f"at most the Nyquist frequency {nyquist:g} Hz")
    samples = data.sample_rate * data.duration
    step = 2**config.discriminator.depth
    if abs(samples - data.length) > 1e-6 or data.length % step or data.length < 2 * step:
        nearest = max(round(samples / step), 2) * step / data.sample_rate
        _refuse(
            "data.duration", data.duration,
            f"such that duration · sample_rate is a multiple of {step}, at least {2 * step}, for "
            f"the discriminator to halve it {config.discriminator.depth} times; nearest: "
            f"{nearest:.9g}",
        )
    if data.length > 2**24:
        _refuse("data.duration", data.duration, f"at most {2**24} samples in all")
    if evaluation.lowpass_stopband >= nyquist:
        _refuse("evaluation.lowpass_stopband", evaluation.lowpass_stopband,
                f"below the Nyquist frequency {nyquist:g} Hz")
    if evaluation.lowpass_passband >= evaluation.lowpass_stopband:
        _refuse("evaluation.lowpass_passband", evaluation.lowpass_passband,
                f"below evaluation.lowpass_stopband={evaluation.lowpass_stopband:g}")


def from_dict(stored):
    """The Config that `dataclasses.asdict` turned into `stored`, validated.

    Raises ConfigurationFault if a section or key is missing, unknown or impossible.
    """
    try:
        sections = {
            section.name: section.type(**stored[section.name])
            for section in fields(Config)
            if section.name != "preset"
        }
        config = Config(preset=stored["preset"], **sections)
        validate(config)
    except (KeyError, TypeError) as error:
        raise ConfigurationFault(f"the stored configuration does not fit: {error}") from error
    return config


def as_text(value):
    """A value as it is written in an override."""
    if isinstance(value, tuple):
        return ",".join(map(as_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(key, text, kind):
    """The value of `text` as a field of type `kind` (bool, str, int, float, or number | pair)."""
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ConfigurationFault(f"{key}={text}: expected true or false")
        return text.lower() == "true"
    if kind is str:
        return text
    ranged = kind in (int | IntRange, float | Range)
    number = int if kind in (int, int | IntRange) else float
    try:
        values = tuple(number(part) for part in text.split(",", 1 if ranged else 0))
    except ValueError:
        name = "a whole number" if number is int else "a number"
        raise ConfigurationFault(
            f"{key}={text}: expected {name}{' or a range low,high' if ranged else ''}"
        ) from None
    return values if len(values) == 2 else values[0]


def _check_range(key, value, low, high, choices):
    if choices is not None and value not in choices:
        raise ConfigurationFault(f"{key}={value} is unknown{_nearest(str(value), choices)}")
    if isinstance(value, str | bool):
        return
    bounds = value if isinstance(value, tuple) else (value,)
    low = -math.inf if low is None else low
    high = math.inf if high is None else high
    if not all(math.isfinite(bound) and low <= bound <= high for bound in bounds):
        end = f"from {low:,} to {high:,}" if high < math.inf else f"at least {low:,}, and finite"
        _refuse(key, value, end)
    if bounds[0] > bounds[-1]:
        _refuse(key, value, "a range low,high with low below high")


def _refuse(key, value, allowed):
    raise ConfigurationFault(f"{key}={as_text(value)} is impossible; it must be {allowed}")


def _nearest(name, names):
    """A hint at the valid name closest to a misspelt one."""
    close = difflib.get_close_matches(name, list(names), 1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; choose from: {', '.join(names)}"


if __name__ == "__main__":
    # Imported here, because command_line and models import this file.
    from command_line import print_configuration
    from faults import run

    run(print_configuration)
