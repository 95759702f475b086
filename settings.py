"""A setting: a dataclass field with a meaning and a range, its text form, and what is refused."""

import difflib
import math
from dataclasses import field, fields

from faults import ConfigurationFault

Range = tuple[float, float]
IntRange = tuple[int, int]


def setting(default, meaning, low=None, high=None, choices=None):
    """A configuration field: its default, its meaning with the unit, the values it may take."""
    metadata = {"meaning": meaning, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=metadata)


def settings(config):
    """Every setting of `config` as (key, value, dataclass field), in the order of this file."""
    for section in fields(config):
        if section.name != "preset":
            values = getattr(config, section.name)
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


def check_type(key, value, kind):
    """Raise ConfigurationFault unless the value is of the field's type, as a stored one may not be.
    """
    ranged = kind in (int | IntRange, float | Range)
    numbers = value if ranged and type(value) is tuple and len(value) == 2 else (value,)
    number = int if kind in (int, int | IntRange) else (int, float)
    if kind in (bool, str):
        fits = type(value) is kind
    else:
        fits = all(isinstance(part, number) and type(part) is not bool for part in numbers)
    if not fits:
        raise ConfigurationFault(f"{key} is of the wrong type, {type(value).__name__}")


def check_range(key, value, low, high, choices):
    """Raise ConfigurationFault unless the value is one of the choices, or within the range."""
    if choices is not None and value not in choices:
        raise ConfigurationFault(f"{key}={value} is unknown{nearest(str(value), choices)}")
    if isinstance(value, str | bool):
        return
    bounds = value if isinstance(value, tuple) else (value,)
    low = -math.inf if low is None else low
    high = math.inf if high is None else high
    if not all(is_number(bound) and low <= bound <= high for bound in bounds):
        end = f"from {low:,} to {high:,}" if high < math.inf else f"at least {low:,}, and finite"
        refuse(key, value, end)
    if bounds[0] > bounds[-1]:
        refuse(key, value, "a range low,high with low below high")


def is_number(value):
    """Whether a value is finite, as a floating-point number too."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def refuse(key, value, allowed):
    """Raise the ConfigurationFault that names the key, the value and what is allowed."""
    raise ConfigurationFault(
        f"{key}={shorten(as_text(value))} is impossible; it must be {allowed}"
    )


def shorten(text):
    """A text that is too long for a line, without its middle."""
    return text if len(text) <= 60 else f"{text[:30]}…{text[-20:]}"


def nearest(name, names):
    """A hint at the valid name closest to a misspelt one."""
    close = difflib.get_close_matches(name, list(names), 1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; choose from: {', '.join(names)}"
