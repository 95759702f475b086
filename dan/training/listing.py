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
        changed = (
            ["another preset"]
            if trained.preset not in PRESETS
            else [
                f"{key}={value}"
                for key, (value, _) in differences({"": trained, "preset": resolve(trained.preset)}).items()
                if not key.startswith("paths.")
            ]
        )
        print(
            f"{name}: {datetime.fromtimestamp(path.stat().st_mtime):%Y-%m-%d %H:%M}, preset "
            f"{trained.preset}, validation SNR {best:.2f} dB; "
            f"{' '.join(changed) or 'as the preset is'}"
        )


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
    width = max(map(len, rows), default=0) + 2
    columns = (
        [
            max(map(len, [name, *values])) + 2
            for name, values in zip(configs, zip(*rows.values(), strict=True), strict=True)
        ]
        if rows
        else []
    )
    print("they differ in" if rows else "they have the same settings")
    for key, values in ({"": list(configs)} | rows if rows else {}).items():
        print(f"  {key:<{width}}" + "".join(f"{value:>{size}}" for value, size in zip(values, columns, strict=True)))
