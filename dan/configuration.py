"""The configuration of a run: a preset with overrides, its stored form, and the command line."""

import argparse
import os
import re
import sys
from dataclasses import asdict, fields, replace

from config import GENERATOR_KINDS, Config
from dan.config_checks import check, check_ranges, nearest
from dan.errors import ConfigurationError
from dan.settings import as_text, list_settings, parse
from presets import DEFAULT_PRESET, PRESETS


def resolve(preset=DEFAULT_PRESET, overrides=(), name=None):
    """The configuration of a preset with `section.key=value` texts applied, checked.

    name: of the training; without one, the preset's.
    Raises ConfigurationError, naming the key, the value and the nearest valid name or range.
    """
    if preset not in PRESETS:
        raise ConfigurationError(f"unknown preset '{preset}'{nearest(preset, PRESETS)}")
    name = preset if name is None else name
    if not re.fullmatch(r"\w[\w.+-]*(/\w[\w.+-]*)*", name):
        raise ConfigurationError(f"'{name}' is not a name; use letters, digits, _ . + and -")
    config = changed(Config(preset, name), PRESETS[preset])
    known = {key: item for key, _, item in list_settings(config)}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigurationError(f"'{override}' is not a setting; write section.key=value")
        if key not in known:
            raise ConfigurationError(f"unknown key '{key}' in '{override}'{nearest(key, known)}")
        section, setting = key.split(".")
        config = changed(config, {section: {setting: parse(key, text, known[key].type)}})
    check_ranges(config)
    config = following_rate(config)
    check(config)
    return config


def changed(config, changes):
    """A Config with other values: {section: {setting: value}}; a generator's kind comes first."""
    for section, settings in changes.items():
        values = getattr(config, section)
        if "kind" in settings:
            values = GENERATOR_KINDS[settings["kind"]]()
            settings = {key: value for key, value in settings.items() if key != "kind"}
        config = replace(config, **{section: replace(values, **settings)})
    return config


def following_rate(config):
    """The same with frequencies that follow the sample rate where a setting is 0."""
    nyquist, evaluation = config.data.nyquist, config.evaluation
    passband = evaluation.lowpass_passband or nyquist / 2
    stopband = evaluation.lowpass_stopband or 1.25 * passband
    edges = {"lowpass_passband": passband, "lowpass_stopband": stopband}
    return changed(config, {"data": {"high_freq": config.data.high_freq or nyquist}, "evaluation": edges})


def preset_in_words(config):
    """A line that says which preset is on, and what it changes of config.py."""
    default = {key: item.default for key, _, item in list_settings(changed(Config(), PRESETS[config.preset]))}
    named = {
        f"{section}.{key}": value
        for section, settings in PRESETS[config.preset].items()
        for key, value in settings.items()
    }
    changes = [
        f"{key}={as_text(value)}" + (f" (config.py: {as_text(default[key])})" if key in default else "")
        for key, value in named.items()
    ]
    return f"preset {config.preset} sets {', '.join(changes) or 'nothing: config.py is as it stands'}"


def generator_kind(config):
    """The name of its generator's kind in checkpoints."""
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
        config = Config(*names, generator=GENERATOR_KINDS[kind](**generator), **sections)
        check(config)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise ConfigurationError(f"the stored configuration lacks or misnames a setting ({error})") from error
    return config


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ConfigurationError(f"{message}; see python {self.prog} --help")


def parse_arguments(description, add_options=None, default_preset=DEFAULT_PRESET, takes_files=False):
    """The resolved Config and the parsed options of the running script.

    description: the first thing that --help shows.
    add_options: called with the argparse parser to add the script's own options.
    takes_files: whether a file called like an override, `data.x=1.wav`, is a file.
    Raises ConfigurationError for anything wrong on the command line.
    """
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser(description=description, formatter_class=layout, add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", action="store_true", help="show this text and end")
    presets = f"one of: {', '.join(PRESETS)} (default: {default_preset})"
    parser.add_argument("--preset", metavar="NAME", help=presets)
    parser.add_argument("--name", metavar="NAME", help="name of the training and its folders (default: the preset's)")
    if add_options:
        add_options(parser)
    overrides = "settings for this run alone; the keys stand below"
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help=overrides)
    # Taken out first, so that overrides may stand anywhere, after a list of values too.
    overrides = [
        text for text in sys.argv[1:] if re.match(r"\w+\.\w+=", text) and not (takes_files and os.path.lexists(text))
    ]
    options = parser.parse_intermixed_args([text for text in sys.argv[1:] if text not in overrides])
    options.overrides = overrides + options.overrides
    config = resolve(default_preset if options.preset is None else options.preset, options.overrides, options.name)
    if options.help:
        parser.epilog = f"settings with their current values (preset {config.preset}):"
        for key, value, item in list_settings(config):
            choices = item.metadata.get("choices")
            parser.epilog += f"\n  {key}={as_text(value)}\n      {item.metadata['meaning']}"
            parser.epilog += f" ({', '.join(choices)})" if choices else ""
        # argparse's own print_help says nothing of a full disk.
        print(parser.format_help(), flush=True)
        sys.exit(0)
    return config, options
