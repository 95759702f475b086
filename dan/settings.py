"""A setting: a dataclass field with a meaning and a range, its text form, and what is refused."""

import difflib
import math
from dataclasses import field, fields, is_dataclass

from dan.errors import ConfigurationError

Range = tuple[float, float]
IntRange = tuple[int, int]


def setting(default, meaning, low=None, high=None, **traits):
    """A field of a configuration: its default, its meaning with the unit, and its range.

    traits: `choices` (a tuple of the values it may take), `odd` or `power_of_two` (whole numbers
    of that kind alone), `free_on_resume` (it may differ between a training and its continuation).
    """
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high, **traits})


def list_settings(config):
    """Every setting of `config` as (key, value, dataclass field), in the order of config.py."""
    for section in fields(config):
        values = getattr(config, section.name)
        if is_dataclass(values):
            for item in fields(values):
                yield f"{section.name}.{item.name}", getattr(values, item.name), item


def as_text(value):
    """A value as it is written in an override."""
    if isinstance(value, tuple):
        return ",".join(map(as_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(key, text, kind):
    """The value of `text` as a field of type `kind` (bool, str, int, float, or number | pair)."""
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ConfigurationError(f"{key}={text}: expected true or false")
        return text.lower() == "true"
    if kind is str:
        return text
    ranged = takes_range(kind)
    number = int if kind in (int, int | IntRange) else float
    try:
        values = tuple(number(part) for part in text.split(",", 1 if ranged else 0))
    except ValueError:
        name = "a whole number" if number is int else "a number"
        raise ConfigurationError(
            f"{key}={shorten(text)}: expected {name}{' or a range low,high' if ranged else ''}"
        ) from None
    return values if len(values) == 2 else values[0]


def takes_range(kind):
    return kind in (int | IntRange, float | Range)


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
    """Raise ConfigurationError unless the value is of the type, as a stored one may not be."""
    ranged = takes_range(kind) and type(value) is tuple and len(value) == 2
    numbers = value if ranged else (value,)
    number = int if kind in (int, int | IntRange) else (int, float)
    if kind in (bool, str):
        fits = type(value) is kind
    else:
        fits = all(isinstance(part, number) and type(part) is not bool for part in numbers)
    if not fits:
        raise ConfigurationError(f"{key} is of the wrong type, {type(value).__name__}")


def check_range(key, value, low, high):
    """Raise ConfigurationError unless a number, or both of a range, lie from low to high."""
    bounds = value if isinstance(value, tuple) else (value,)
    low = -math.inf if low is None else low
    high = math.inf if high is None else high
    if not all(is_finite(bound) and low <= bound <= high for bound in bounds):
        end = f"from {low:,} to {high:,}" if high < math.inf else f"at least {low:,}, and finite"
        refuse(key, value, end)
    if bounds[0] > bounds[-1]:
        refuse(key, value, "a range low,high with low below high")


def is_finite(value):
    """Whether a number is finite, as a floating-point number too."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def refuse(key, value, allowed):
    """Raise the ConfigurationError that names the key, the value and what is allowed."""
    raise ConfigurationError(f"{key}={shorten(as_text(value))} is invalid; it must be {allowed}")


def check_all(*checks):
    """Call all of them; raise one ConfigurationError that says what any of them refused."""
    refused = []
    for check in checks:
        try:
            check()
        except ConfigurationError as error:
            refused.append(str(error))
    if refused:
        raise ConfigurationError("; ".join(dict.fromkeys(refused)))


def shorten(text):
    """A text that is too long for a line, without its middle."""
    return text if len(text) <= 60 else f"{text[:30]}…{text[-20:]}"


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
