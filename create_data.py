"""Draw the signals of a data set and store them, one .npy file per signal.

    python create_data.py
    python create_data.py data.snr_db=-5,10 data.num_components=1,5
    python create_data.py --preset audio data.clean_source=speech data.noise_source=noise

Training and validation signals, and out of recordings test signals too, of speakers and noises that
occur in neither. Next: python dataset.py
"""

import hashlib
import os
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dan.checks import refuse
from dan.configuration import parse_arguments, resolve
from dan.errors import UserError, run
from dan.output import figures, plots
from dan.output.listening import write_wavs
from dan.progress import track
from dan.signals.audio_files import find_recordings
from dan.signals.npy_files import save_signal
from dan.signals.sines import draw_in_parts
from dan.signals.sources import PAUSE, cut_segments, enough_of, read_splits, stored_noise
from dan.signals.store import KINDS, claim_files, save_recordings, signal_path, stored_counts, wav_path, write_manifest

FEW = 20  # validation or test signals


def main():
    config, _ = parse_arguments(__doc__)
    figures.refuse_foreign(config.image_folder)
    examples, counts = create_data(config)
    path = config.image_folder / "created_data.png"
    figure = plots.created_data(examples, config.data.sample_rate)
    figures.save(figure, path)
    written = " and ".join(f"{count} {split} signals" for split, count in counts.items())
    print(f"wrote {written} to {config.data_folder}\nwrote {path}")


def create_data(config):
    """Write the stored splits, their WAV copies and, last, the manifest into `config.data_folder`.

    Returns the first signal of each split and kind, `examples[split][kind]`, float32 (length,),
    and the number of signals in each split; recordings may give fewer for validation and test.
    Files that an earlier run wrote are replaced, or removed where this run has fewer. Raises
    UserError, before anything is written, where a file that no run wrote stands in the way.
    """
    folder, data = config.data_folder, config.data
    remarks = defaultdict(list)  # on recordings
    counts, sources, facts, streamed = read_sources(data, remarks)
    claim_files(folder, counts, streamed)
    pauses = {"clean": round(PAUSE * data.sample_rate), "noise": 0}
    facts["streamed"] = {
        kind: save_recordings(folder, kind, recordings, data.sample_rate, pauses[kind])
        for kind, recordings in streamed.items()
    }
    for remark, examples in remarks.items():
        count = len(examples)
        print(f"  {remark}: {count} recording{'s' * (count > 1)}, such as {examples[0]}")
    checksums, examples = {}, {}
    with track(total=sum(counts.values()), desc="writing", unit="signal") as bar:
        for split, count in counts.items():
            parts = draw_in_parts(data, split, count, *sources[split])
            checksums[split], examples[split] = write_signals(folder, split, parts, bar)
            paths = {kind: folder / wav_path(split, kind) for kind in KINDS}
            write_wavs(paths, examples[split], data.sample_rate)
    checksums |= {kind: stored["checksum"] for kind, stored in facts["streamed"].items()}
    preset = {"name": config.preset, "data": asdict(resolve(config.preset).data)}
    write_manifest(
        folder,
        {"complete": True, "counts": counts, "checksums": checksums, "data": asdict(data), "preset": preset, **facts},
    )
    return examples, counts


def read_sources(data, remarks):
    """What the stored signals are drawn out of, and what training signals are streamed from.

    remarks: as in `read_splits`. Returns the number of signals in each split; for each split clean
    signals and noise, float32 (count, length), or None for what is synthesised; for the manifest,
    the numbers of the recordings that the clean training signals come from, and the kind of noise
    in each test signal; and {"clean" or "noise": iterator over Recordings}, where training signals
    are streamed out of them.
    """
    counts, facts, streamed = stored_counts(data), {"recordings": []}, {}
    clean, noise = dict.fromkeys(counts), dict.fromkeys(counts)
    print(data.in_words)
    if not data.clean_source and (data.vary_clean or data.clean_speed != 1):
        print("  these settings are for recordings; name a folder of them with data.clean_source=")
    folder = data.noise_folder
    if folder:
        find_recordings(folder)  # what is wrong with it is said before the others are read
        noise_path, clean_path = (Path(os.path.realpath(path)) for path in (folder, data.clean_source))
        if data.clean_source and (noise_path in (clean_path, *clean_path.parents) or clean_path in noise_path.parents):
            refuse(
                "data.noise_source",
                data.noise_source,
                "outside data.clean_source, and not around it: noise and clean signals would be alike",
            )
    if data.clean_source:
        recordings = read_splits(data.clean_source, data, remarks)
        for split in counts:
            print(f"{split}: ", end="")
            clean[split], numbers = cut_segments(recordings.pop(split), counts[split], data)
            if not len(numbers):
                raise UserError(f"{data.clean_source} holds only silence for the {split} signals")
            if split == "train":  # used again, to go with other noise at other speeds
                clean[split] = np.resize(clean[split], (counts[split], data.length))
                facts["recordings"] = np.resize(numbers, counts[split]).tolist()
            counts[split] = len(clean[split])
            if counts[split] < FEW and split != "train":
                print(f"  so few {split} signals ({counts[split]}) make for rough figures")
        if data.stream:
            streamed["clean"] = recordings["train"]
    if data.noise_source:
        recordings = read_splits(folder, data, remarks) if folder else {}
        for split in counts:
            enough = enough_of(recordings.pop(split), counts[split] * data.length) if folder else None
            noise[split], kinds = stored_noise(enough, clean[split], split, counts[split], data)
        facts["noise_kinds"] = kinds  # of the last split, the test
        if data.stream and folder:
            streamed["noise"] = recordings["train"]
    return counts, {split: (clean[split], noise[split]) for split in counts}, facts, streamed


def write_signals(folder, split, parts, bar):
    """Write the signals of a split; returns the checksum and the first signal of each kind.

    parts: of (clean, noise, mixed), as `draw_in_parts` gives them.
    """
    checksums, examples, number = {kind: hashlib.sha256() for kind in KINDS}, {}, 0
    for part in parts:
        for kind, signals in zip(KINDS, part, strict=True):
            checksums[kind].update(signals)
            examples.setdefault(kind, signals[0].copy())
        for signals in zip(*part, strict=True):
            for kind, signal in zip(KINDS, signals, strict=True):
                save_signal(folder / signal_path(split, kind, number), signal)
            number += 1
            bar.update()
    return {kind: value.hexdigest() for kind, value in checksums.items()}, examples


if __name__ == "__main__":
    run(main)
