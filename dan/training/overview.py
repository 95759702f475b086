"""Which trainings there are, by name, and in which settings they differ."""

import sys
from datetime import datetime

from dan.configuration import resolve
from dan.errors import UserError
from dan.settings import as_text, list_settings
from dan.training.checkpoints import read_checkpoint
from dan.training.state import best_epoch
from presets import PRESETS


def list_trainings(folder):
    """Print the trainings in the folder: name, date, best SNR, and changes of their preset."""
    paths = sorted(folder.rglob("best.pt"))
    if not paths:
        print(f"no trainings in {folder}")
    for path in paths:
        try:
            checkpoint = read_checkpoint(path)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            continue
        date = datetime.fromtimestamp(path.stat().st_mtime)
        snr = best_epoch(checkpoint["history"])["validation_snr_db"]
        print(
            f"{path.parent.relative_to(folder)}: {date:%Y-%m-%d %H:%M}, preset {checkpoint['config'].preset}, "
            f"validation SNR {snr:.2f} dB; {changes(checkpoint['config'])}"
        )


def changes(config):
    """The settings in which a configuration differs from its preset, as one text."""
    if config.preset not in PRESETS:
        return "another preset"
    rows = differences({"own": config, "preset": resolve(config.preset)})
    return " ".join(f"{key}={own}" for key, (own, _) in rows.items()) or "as the preset is"


def differences(configs):
    """{key: values as text} of the settings in which {name: Config} differ; – for one it lacks.

    Without the paths, which have no part in a training.
    """
    settings = [{key: as_text(value) for key, value, _ in list_settings(config)} for config in configs.values()]
    keys = dict.fromkeys(key for each in settings for key in each if not key.startswith("paths."))
    rows = {key: [each.get(key, "–") for each in settings] for key in keys}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def print_differences(configs):
    """Print a table of the settings in which {name: Config} differ."""
    rows = differences(configs)
    print("they differ in" if rows else "they have the same settings")
    for key, values in ({"": list(configs)} | rows if rows else {}).items():
        print(f"  {key:<32}" + "".join(f"{value:>16}" for value in values))
