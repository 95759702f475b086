"""The command line that all scripts share: --preset, overrides, and a --help that suffices."""

import argparse
import os
import re
import sys

from dan.configuration import resolve
from dan.errors import ConfigurationError
from dan.settings import as_text, list_settings
from presets import DEFAULT_PRESET, PRESETS


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ConfigurationError(f"{message}; see python {self.prog} --help")


def parse_arguments(description, add_options=None, default_preset=DEFAULT_PRESET, takes_files=False):
    """The resolved Config and the parsed options of the running script.

    description: what the script does, the first thing that --help shows.
    add_options: called with the argparse parser to add the script's own options.
    takes_files: whether a file called like an override, `data.x=1.wav`, is a file.
    Raises ConfigurationError for anything wrong on the command line.
    """
    parser = _Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("--help", "-h", action="store_true", help="show this text and end")
    parser.add_argument("--preset", metavar="NAME", help=f"one of: {', '.join(PRESETS)} (default: {default_preset})")
    parser.add_argument(
        "--name", metavar="NAME", help="name of the training, and of its folders (default: the preset's)"
    )
    if add_options:
        add_options(parser)
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="settings for this run alone; the keys stand below"
    )
    # Taken out first, so that overrides may stand anywhere, after a list of values too.
    overrides = [
        text for text in sys.argv[1:] if re.match(r"\w+\.\w+=", text) and not (takes_files and os.path.lexists(text))
    ]
    options = parser.parse_intermixed_args([text for text in sys.argv[1:] if text not in overrides])
    options.overrides = overrides + options.overrides
    preset = default_preset if options.preset is None else options.preset
    config = resolve(preset, options.overrides, options.name)
    if options.help:
        parser.epilog = "\n".join(
            [
                f"settings with their current values (preset {config.preset}):",
                *(
                    f"  {key}={as_text(value)}\n      {item.metadata['meaning']}"
                    for key, value, item in list_settings(config)
                ),
            ]
        )
        # argparse's own print_help says nothing of a full disk.
        print(parser.format_help(), flush=True)
        sys.exit(0)
    return config, options
