"""All that is refused of a configuration: values out of range, and values that clash."""

import difflib
import math
from functools import partial

from scipy import signal

from config import WaveformGeneratorConfig
from dan.errors import ConfigurationError
from dan.settings import IntRange, as_text, list_settings, shorten, takes_range

MOST_SAMPLES = 2**24  # of a signal
MOST_STORED = 1_000_000  # signals of a split
MOST_LOWPASS_ORDER = 200


def check(config):
    """Raise ConfigurationError for all settings that no run could use."""
    check_ranges(config)
    clashes = check_band, check_size, check_levels, check_adversary, check_length, check_batch, check_lowpass
    check_all(partial(clash, config) for clash in clashes)


def check_ranges(config):
    """Check the type and the range of each setting by itself."""
    check_all(partial(check_setting, key, value, item) for key, value, item in list_settings(config))


def check_all(checks):
    """Call all of them; raise one ConfigurationError that says all that they refused."""
    refused = []
    for each in checks:
        try:
            each()
        except ConfigurationError as error:
            refused.append(str(error))
    if refused:
        raise ConfigurationError("; ".join(dict.fromkeys(refused)))


def check_setting(key, value, item):
    """Raise ConfigurationError unless the value is of the field's type, and one it may take."""
    check_type(key, value, item.type)
    traits = item.metadata
    choices = traits.get("choices")
    if choices is not None and value not in choices:
        raise ConfigurationError(f"{key}={value} is unknown{nearest(str(value), choices)}")
    if isinstance(value, str | bool):
        return
    check_range(key, value, traits["low"], traits["high"])
    if traits.get("odd") and value % 2 == 0:
        refuse(key, value, f"odd, such as {value + 1}")
    if traits.get("power_of_two") and value & (value - 1):
        refuse(key, value, f"a power of 2, such as {1 << value.bit_length()}")


def check_type(key, value, kind):
    """Raise ConfigurationError unless the value is of the type; a stored one may not be."""
    pair = takes_range(kind) and type(value) is tuple and len(value) == 2
    types = {bool: (bool,), str: (str,), int: (int,), int | IntRange: (int,)}.get(kind, (int, float))
    fits = all(type(part) in types for part in (value if pair else (value,)))
    if not fits:
        raise ConfigurationError(f"{key} is of the wrong type, {type(value).__name__}")


def check_range(key, value, low, high):
    """Raise ConfigurationError unless a number, or both of a range, lie from low to high."""
    bounds = value if isinstance(value, tuple) else (value,)
    low = -math.inf if low is None else low
    high = math.inf if high is None else high
    if not all(is_finite(bound) and low <= bound <= high for bound in bounds):
        refuse(key, value, f"from {low:,} to {high:,}" if high < math.inf else f"at least {low:,}, and finite")
    if bounds[0] > bounds[-1]:
        refuse(key, value, "a range low,high with low below high")


def is_finite(value):
    """Whether a number is finite, as a floating-point number too."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def check_band(config):
    """The band of the sines; with recordings there are none."""
    data = config.data
    if data.clean_source:
        return
    if data.low_freq >= data.high_freq:
        refuse("data.low_freq", data.low_freq, f"below data.high_freq={data.high_freq:g}")
    if data.high_freq > data.nyquist:
        cure = f"at most {data.nyquist:g} Hz, the Nyquist frequency; 0 takes just that"
        refuse("data.high_freq", data.high_freq, cure)


def check_size(config):
    data = config.data
    if not data.stream and data.num_train > MOST_STORED:
        refuse("data.num_train", data.num_train, f"at most {MOST_STORED:,}, or streamed with data.stream=true")
    if data.length > MOST_SAMPLES:
        most = f"at most {MOST_SAMPLES / data.sample_rate:.9g}, which is {MOST_SAMPLES:,} samples"
        refuse("data.duration", data.duration, most)


def check_levels(config):
    """A short-time generator halves its frequency bins with each level."""
    levels = getattr(config.generator, "levels", 0)
    if levels and 2 ** (levels + 1) > config.generator.frame_length:
        refuse("generator.levels", levels, "so small that 2^(levels + 1) is at most generator.frame_length")


def check_adversary(config):
    training = config.training
    if training.adversary == "latent" and not isinstance(config.generator, WaveformGeneratorConfig):
        cure = "signal or none: this generator has no bottleneck, as those of dan and dan-small have"
        refuse("training.adversary", "latent", cure)
    unseen = training.adversary != "signal" and training.feature_network == "discriminator"
    if training.feature_weight and unseen:
        cure = f"pretrained where the discriminator sees no signals (training.adversary={training.adversary})"
        refuse("training.feature_network", "discriminator", cure)


def check_length(config):
    """The discriminator halves a signal `depth` times."""
    data, depth = config.data, config.discriminator.depth
    least = 2 ** (depth + 1)
    if data.length < least:
        shortest = f"at least {least / data.sample_rate:.9g}, which is {least} samples"
        refuse("data.duration", data.duration, f"{shortest}, for the discriminator to halve it {depth} times")


def check_batch(config):
    """Batch normalisation needs two values of each channel."""
    if not isinstance(config.generator, WaveformGeneratorConfig):
        return
    _, deepest = config.generator.latent_shape(config.data.length)
    if deepest * min(config.training.batch_size, config.data.num_train) < 2:
        cure = "smaller, or the batch or the signals larger: batch normalisation needs at least two values in the "
        refuse("generator.depth", config.generator.depth, cure + "deepest layer")


def check_lowpass(config):
    evaluation, nyquist = config.evaluation, config.data.nyquist
    passband, stopband = evaluation.lowpass_passband, evaluation.lowpass_stopband
    if passband >= stopband:
        refuse("evaluation.lowpass_passband", passband, f"below evaluation.lowpass_stopband={stopband:g}")
    if stopband >= nyquist:
        refuse("evaluation.lowpass_stopband", stopband, f"below the Nyquist frequency {nyquist:g} Hz")
    losses = evaluation.lowpass_ripple_db, evaluation.lowpass_attenuation_db
    order, _ = signal.buttord(passband, stopband, *losses, fs=config.data.sample_rate)
    if not order <= MOST_LOWPASS_ORDER:
        cure = f"farther from evaluation.lowpass_passband={passband:g}: the filter would have an order of {order:,}, "
        refuse("evaluation.lowpass_stopband", stopband, f"{cure}and {MOST_LOWPASS_ORDER} is the most")


def refuse(key, value, allowed):
    """Raise the ConfigurationError that names the key, the value and what is allowed."""
    raise ConfigurationError(f"{key}={shorten(as_text(value))} is invalid; it must be {allowed}")


def nearest(name, names):
    """A hint at the valid name closest to a misspelt or shortened one, such as training.lr."""
    part = name.rpartition(".")[2]
    ends = {valid: valid.rpartition(".")[2] for valid in names}
    alike = [
        valid
        for valid, end in ends.items()
        if part and (part in end or difflib.get_close_matches(part, [end], cutoff=0.5))
    ]
    close = difflib.get_close_matches(name, alike, 1, cutoff=0)
    return f"; did you mean '{close[0]}'?" if close else f"; choose from: {', '.join(names)}"
