"""A setting: a dataclass field with a meaning and a range, and its text form."""

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
    """The value of `text` as a field of type `kind` (bool, str, int, float, or number | pair).

    Raises ConfigurationError if it is not of that type.
    """
    if kind is str:
        return text
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ConfigurationError(f"{key}={text}: expected true or false")
    number, name = (int, "a whole number") if kind in (int, int | IntRange) else (float, "a number")
    try:
        values = tuple(number(part) for part in text.split(",", 1 if takes_range(kind) else 0))
    except ValueError:
        name += " or a range low,high" * takes_range(kind)
        raise ConfigurationError(f"{key}={shorten(text)}: expected {name}") from None
    return values if len(values) == 2 else values[0]


def takes_range(kind):
    return kind in (int | IntRange, float | Range)


def shorten(text):
    """A text that is too long for a line, without its middle."""
    return text if len(text) <= 60 else f"{text[:30]}…{text[-20:]}"
