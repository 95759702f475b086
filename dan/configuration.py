"""The configuration of a run: a preset with overrides, and its stored form."""

import re
from dataclasses import asdict, fields, replace

from config import GENERATOR_KINDS, Config
from dan.errors import ConfigurationError
from dan.settings import list_settings, nearest, parse
from presets import DEFAULT_PRESET, PRESETS


def resolve(preset=DEFAULT_PRESET, overrides=(), name=None):
    """The configuration of a preset with `section.key=value` texts applied, validated.

    name: of the training; that of the preset where it is not given.
    Raises ConfigurationError, naming the key, the value and the nearest valid name or range.
    """
    if preset not in PRESETS:
        raise ConfigurationError(f"unknown preset '{preset}'{nearest(preset, PRESETS)}")
    name = preset if name is None else name
    if not re.fullmatch(r"\w[\w.+-]*(/\w[\w.+-]*)*", name):
        raise ConfigurationError(f"'{name}' is not a name; use letters, digits, _ . + and -")
    config = replace(PRESETS[preset], preset=preset, name=name)
    known = {key: item for key, _, item in list_settings(config)}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigurationError(f"'{override}' is not a setting; write section.key=value")
        if key not in known:
            raise ConfigurationError(f"unknown key '{key}' in '{override}'{nearest(key, known)}")
        section, name = key.split(".")
        value = parse(key, text, known[key].type)
        config = replace(config, **{section: replace(getattr(config, section), **{name: value})})
    config.check_ranges()
    config = config.filled()
    config.check()
    return config


def generator_kind(config):
    """What checkpoints call the kind of its generator."""
    return next(kind for kind, settings in GENERATOR_KINDS.items() if type(config.generator) is settings)


def to_dict(config):
    """A configuration as nested dictionaries of plain values, as checkpoints store it."""
    stored = asdict(config)
    stored["generator"]["kind"] = generator_kind(config)
    return stored


def from_dict(stored):
    """The Config that `to_dict` turned into `stored`, checked.

    Raises ConfigurationError if a section or key is missing, unknown or invalid.
    """
    try:
        generator = dict(stored["generator"])
        kind = generator.pop("kind")
        sections = {
            item.name: item.type(**stored[item.name])
            for item in fields(Config)
            if item.name not in ("preset", "name", "generator")
        }
        names = stored["preset"], stored.get("name", stored["preset"])
        if not all(type(name) is str for name in names):
            raise TypeError("the preset or the name is not text")
        chosen = Config(*names, generator=GENERATOR_KINDS[kind](**generator), **sections)
        chosen.check()
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise ConfigurationError(f"the stored configuration lacks or misnames a setting ({error})") from error
    return chosen
