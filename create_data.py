"""Draw the signals of a data set and store them, one .npy file per signal.

    python create_data.py
    python create_data.py data.snr_db=-5,10 data.num_components=1,5
    python create_data.py --preset audio data.clean_source=speech data.noise_source=noise

Training and validation signals, and out of recordings test signals too, of speakers and noises that
occur in neither. Next: python dataset.py
"""

import hashlib
import os
from pathlib import Path

from dan.config_checks import refuse
from dan.configuration import parse_arguments, preset_in_words, resolve
from dan.errors import run
from dan.output import plots, saving
from dan.output.listening import write_wavs
from dan.progress import track
from dan.signals.npy_files import save_signal
from dan.signals.sines import draw_in_parts
from dan.signals.sources import cut_splits, draw_noise_splits
from dan.signals.splits import read_splits
from dan.signals.store import (
    SIGNAL_KINDS,
    as_stored,
    claim_files,
    save_recordings,
    signal_name,
    wav_path,
    write_manifest,
)


def main():
    config, _ = parse_arguments(__doc__)
    print(preset_in_words(config))
    saving.refuse_foreign(config.image_folder)
    examples, counts = create_data(config)
    path = config.image_folder / "created_data.png"
    saving.save(plots.created_data(examples, config.data.sample_rate), path)
    written = " and ".join(f"{count} {split} signals" for split, count in counts.items())
    print(f"wrote {written} to {config.data_folder}\nwrote {path}")


def create_data(config):
    """Write the stored splits, their WAV copies and, last, the manifest into `config.data_folder`.

    Returns the first signal of each split and kind, `examples[split][kind]`, float32 (length,),
    and the number of signals in each split; recordings may give fewer for validation and test.
    Files that an earlier run wrote are removed first. Raises UserError, before anything is removed
    or written, where a file that no run wrote stands in the way.
    """
    folder, data = config.data_folder, config.data
    check_sources(data)
    recordings = {
        kind: read_splits(source, data)
        for kind, source in (("clean", data.clean_source), ("noise", data.noise_folder))
        if source
    }
    counts, clean, numbers, voices = cut_splits(recordings.get("clean"), stored_counts(data), data)
    noise, noise_kinds = draw_noise_splits(recordings.get("noise"), clean, counts, data)
    to_stream = {kind: splits["train"] for kind, splits in recordings.items() if data.stream}
    claim_files(folder, counts, to_stream)
    streamed = {kind: save_recordings(folder, kind, found, data.sample_rate) for kind, found in to_stream.items()}
    checksums, examples = write_splits(folder, counts, clean, noise, data)
    write_manifest(
        folder,
        {
            "complete": True,
            "counts": counts,
            "checksums": checksums | {kind: stored["checksum"] for kind, stored in streamed.items()},
            "data": as_stored(data),
            "preset": {"name": config.preset, "data": as_stored(resolve(config.preset).data)},
            "recordings": numbers,
            "voices": voices,
            "noise_kinds": noise_kinds,
            "streamed": streamed,
        },
    )
    return examples, counts


def check_sources(data):
    """Print what the signals are made of; raises ConfigurationError where noise and clean signals are alike."""
    print(data.in_words)
    if not data.clean_source and (data.vary_clean or data.clean_speed != 1):
        print("  these settings are for recordings; name a folder of them with data.clean_source=")
    if data.clean_source and data.noise_folder:
        clean, noise = (Path(os.path.realpath(path)) for path in (data.clean_source, data.noise_folder))
        if noise.is_relative_to(clean) or clean.is_relative_to(noise):
            refuse(
                "data.noise_source",
                data.noise_source,
                "outside data.clean_source, and not around it: noise and clean signals would be alike",
            )


def stored_counts(data):
    """{split: number of signals} of the splits that are stored.

    Streamed training signals are not; nor are test signals of sines, which are drawn afresh.
    """
    counts = {"train": data.num_train, "validation": data.num_validation, "test": data.num_validation}
    if data.stream:
        del counts["train"]
    if not data.is_recorded:
        del counts["test"]
    return counts


def write_splits(folder, counts, clean, noise, data):
    """Write all signals and the WAV copies.

    clean, noise: {split: signals}; empty for what is synthesised. Returns {split: {kind: checksum}}
    and the first signals as {split: {kind: float32 (length,)}}.
    """
    checksums, examples = {}, {}
    with track(total=sum(counts.values()), desc="writing", unit="signal") as bar:
        for split, count in counts.items():
            parts = draw_in_parts(data, split, count, clean.get(split), noise.get(split))
            checksums[split], examples[split] = write_signals(folder / split, parts, bar)
            paths = {kind: folder / wav_path(split, kind) for kind in SIGNAL_KINDS}
            write_wavs(paths, examples[split], data.sample_rate)
    return checksums, examples


def write_signals(folder, parts, bar):
    """Write the signals of a split; returns the checksum and the first signal of each kind.

    parts: of (clean, noise, mixed), as `draw_in_parts` gives them.
    """
    digests, examples, number = {kind: hashlib.sha256() for kind in SIGNAL_KINDS}, {}, 0
    for part in parts:
        for kind, signals in zip(SIGNAL_KINDS, part, strict=True):
            digests[kind].update(signals)
            examples.setdefault(kind, signals[0].copy())
        for signals in zip(*part, strict=True):
            for kind, signal in zip(SIGNAL_KINDS, signals, strict=True):
                save_signal(folder / kind / signal_name(kind, number), signal)
            number += 1
            bar.update()
    return {kind: digest.hexdigest() for kind, digest in digests.items()}, examples


if __name__ == "__main__":
    run(main)
