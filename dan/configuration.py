"""The configuration of a run: a preset with overrides, and its stored form."""

from dataclasses import asdict, fields, replace

import config as settings_file
from config import Config
from dan.errors import ConfigurationError
from dan.sections import GeneratorSection
from dan.settings import list_settings, nearest, parse
from presets import DEFAULT_PRESET, PRESETS


def resolve(preset=DEFAULT_PRESET, overrides=()):
    """The configuration of a preset with `section.key=value` texts applied, validated.

    Raises ConfigurationError, naming the key, the value and the nearest valid name or range.
    """
    if preset not in PRESETS:
        raise ConfigurationError(f"unknown preset '{preset}'{nearest(preset, PRESETS)}")
    config = replace(PRESETS[preset], preset=preset)
    known = {key: item for key, _, item in list_settings(config)}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigurationError(f"'{override}' is no setting; write section.key=value")
        if key not in known:
            raise ConfigurationError(f"unknown key '{key}' in '{override}'{nearest(key, known)}")
        section, name = key.split(".")
        value = parse(key, text, known[key].type)
        config = replace(config, **{section: replace(getattr(config, section), **{name: value})})
    config.check_ranges()
    if config.data.sample_rate != PRESETS[preset].data.sample_rate:
        config = replace(config, paths=folders_at(config.data.sample_rate, config.paths, overrides))
    config = config.filled()
    config.check()
    return config


def folders_at(sample_rate, paths, overrides):
    """The folders of a preset at another sample rate than its own, beside those at its own.

    Those that are overridden are as they are given.
    """
    names = [item.name for item in fields(paths)]
    return replace(paths, **{
        name: f"{getattr(paths, name)}/{sample_rate}-hz" for name in names
        if not any(override.startswith(f"paths.{name}=") for override in overrides)
    })


def to_dict(config):
    """A configuration as nested dictionaries of plain values, as checkpoints store it."""
    stored = asdict(config)
    stored["generator"]["kind"] = config.generator.kind()
    return stored


def from_dict(stored):
    """The Config that `to_dict` turned into `stored`, checked.

    Raises ConfigurationError if a section or key is missing, unknown or impossible.
    """
    try:
        generator = dict(stored["generator"])
        kind = generator.pop("kind")
        sections = {
            item.name: item.type(**stored[item.name])
            for item in fields(Config) if item.name not in ("preset", "generator")
        }
        if type(stored["preset"]) is not str:
            raise TypeError("the preset is no name")
        settings_of = {family.kind(): family for family in vars(settings_file).values()
                       if isinstance(family, type) and issubclass(family, GeneratorSection)}
        chosen = Config(stored["preset"], generator=settings_of[kind](**generator), **sections)
        chosen.check()
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise ConfigurationError(
            f"the stored configuration lacks or misnames a setting ({error})"
        ) from error
    return chosen

