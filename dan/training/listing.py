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
    """Print the trainings in the folder: name, date, best SNR, and what they changed of a preset."""
    paths = sorted(folder.rglob("best.pt"))
    if not paths:
        print(f"no trainings in {folder}")
    for path in paths:
        try:
            checkpoint = read_checkpoint(path)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            continue
        name, trained = path.parent.relative_to(folder), checkpoint["config"]
        best = best_epoch(checkpoint["history"])["validation_snr_db"]
        changed = ["another preset"]
        if trained.preset in PRESETS:
            different = differences({"trained": trained, "preset": resolve(trained.preset)})
            changed = [f"{key}={value}" for key, (value, _) in different.items() if not key.startswith("paths.")]
        date = datetime.fromtimestamp(path.stat().st_mtime)
        facts = f"{date:%Y-%m-%d %H:%M}, preset {trained.preset}, validation SNR {best:.2f} dB"
        print(f"{name}: {facts}; {' '.join(changed) or 'as the preset is'}")


def differences(configs):
    """{key: values as text} of the settings in which {name: Config} differ; – for one it lacks."""
    settings = [{key: as_text(value) for key, value, _ in list_settings(config)} for config in configs.values()]
    values = {
        key: [each.get(key, "–") for each in settings]
        for key in dict.fromkeys(key for each in settings for key in each)
    }
    return {key: row for key, row in values.items() if len(set(row)) > 1}


def print_differences(configs):
    """Print a table of the settings in which {name: Config} differ."""
    rows = {key: values for key, values in differences(configs).items() if not key.startswith("paths.")}
    if not rows:
        print("they have the same settings")
        return
    print("they differ in")
    for key, values in ({"": list(configs)} | rows).items():
        print(f"  {key:<32}" + "".join(f"{value:>16}" for value in values))
