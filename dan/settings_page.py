"""Makes docs/settings.md out of config.py: `make docs`."""

from dan.configuration import generator_kind, resolve
from dan.sections import REPOSITORY
from dan.settings import as_text, list_settings
from presets import PRESETS

PAGE = REPOSITORY / "docs/settings.md"


def main():
    PAGE.write_text(settings_page(), encoding="utf-8")
    print(f"wrote {PAGE}")


def settings_page():
    """The page: a table of every section, one of each kind of generator, and the presets."""
    lines = [
        "# Settings",
        "",
        "Made from `config.py` by `make docs`. Edit a default there, or name a setting on the "
        "command line of any script: `training.max_epochs=60`. The defaults are those of "
        "`dan`; the last table says what other presets change.",
        "",
    ]
    shown = set()
    for preset in PRESETS:
        config = resolve(preset)
        for name in ("data", "generator", "discriminator", "training", "evaluation", "paths"):
            kind = generator_kind(config) if name == "generator" else name
            if kind not in shown:
                shown.add(kind)
                lines += section_table(config, name)
    return "\n".join(lines + presets_table())


def section_table(config, name):
    title = f"generator ({generator_kind(config)})" if name == "generator" else name
    rows = [
        f"| `{key}` | {as_text(item.default)} | {item.metadata['meaning']} |"
        for key, _, item in list_settings(config)
        if key.startswith(f"{name}.")
    ]
    return [f"## {title}", "", "| key | default | meaning |", "|---|---|---|", *rows, ""]


def presets_table():
    """What each preset changes of the defaults."""
    rows = []
    for preset in PRESETS:
        changed = [
            f"{key}={as_text(value)}" for key, value, item in list_settings(resolve(preset)) if value != item.default
        ]
        rows.append(f"| `{preset}` | {generator_kind(resolve(preset))} | {' '.join(f'`{text}`' for text in changed)} |")
    return ["## presets", "", "| preset | generator | settings |", "|---|---|---|", *rows, ""]


if __name__ == "__main__":
    main()
