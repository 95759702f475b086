"""The data folder: what is where, whose it is, the manifest, and reading signals with checks.

One float32 .npy file per signal, in {train,validation,test}/{clean,noise,mixed}/; WAV copies of
the first signals in resampled/; the recordings that training signals are streamed from, in
recordings/{clean,noise}.npy, one after the other; and dataset.json, the manifest. Signals are
written in place: the manifest, written last, says that they are complete.
"""

import hashlib
import json
import os
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch

from dan.checks import MOST_STORED
from dan.configuration import resolve
from dan.errors import ConfigurationError, UserError
from dan.files import write_atomically, write_bytes
from dan.settings import as_text
from dan.signals.audio_files import map_array
from dan.signals.npy_files import CURE, header_of, read_signals
from dan.signals.sines import SPLITS
from dan.signals.sources import Recording

KINDS = ("clean", "noise", "mixed")


def stored_counts(data):
    """Number of signals in each split that is stored.

    Streamed training signals are not; nor are test signals of sines, which are drawn afresh.
    """
    train = {} if data.stream else {"train": data.num_train}
    test = {"test": data.num_validation} if data.is_recorded else {}
    return train | {"validation": data.num_validation} | test


def signal_path(split, kind, index):
    """Path of the index-th signal (from 0) below the data folder; file numbers begin at 1."""
    return f"{split}/{kind}/{kind}_{index + 1:04d}.npy"


def wav_path(split, kind):
    """Path of the WAV copy of a split's first signal below the data folder."""
    return f"resampled/{split}_{kind}_0001.wav"


def recordings_path(kind):
    """Path of the recordings of "clean" or "noise", for streaming, below the data folder."""
    return f"recordings/{kind}.npy"


def written_files(counts, streamed=()):
    """Every path below the data folder that create_data.py writes.

    For these split counts and these kinds of recordings to stream from.
    """
    yield from map(recordings_path, streamed)
    for split, count in counts.items():
        for kind in KINDS:
            yield wav_path(split, kind)
            yield from (signal_path(split, kind, index) for index in range(count))


def is_written(name, counts):
    """Whether a path below the data folder is among `written_files(counts)`."""
    for split, count in counts.items():
        for kind in KINDS:
            number = re.fullmatch(rf"{split}/{kind}/{kind}_([0-9]+)\.npy", name)
            if name == wav_path(split, kind) or (
                number and 0 < int(number[1]) <= count and name == signal_path(split, kind, int(number[1]) - 1)
            ):
                return True
    return False


def claim_files(folder, counts, streamed=()):
    """Make the folders and remove what an earlier run wrote and this one will not.

    Until the complete manifest is written, one marked incomplete says which files are ours. Raises
    UserError where a file that no run wrote has a name that this run needs.
    """
    first_run = not manifest_path(folder).exists()
    manifest = {"counts": {}, "streamed": {}} if first_run else read_manifest(folder)
    earlier, before = manifest["counts"], manifest["streamed"]
    needed = set(written_files(counts, streamed))
    present = {
        path.relative_to(folder).as_posix()
        for part in (*SPLITS, "resampled", "recordings")
        for path in (folder / part).rglob("*")
        if not path.is_dir() and path.name != ".gitkeep"
    }
    # Asked one by one as well: what lies behind a linked folder is not found in it.
    present |= {name for name in needed - present if os.path.lexists(folder / name)}
    ours = {name for name in present if is_written(name, earlier) or name in map(recordings_path, before)}
    in_the_way = sorted((present & needed) - ours)
    if in_the_way:
        raise UserError(
            f"{folder / in_the_way[0]} is not in the manifest {manifest_path(folder)}, so "
            f"it is not replaced; move it away, or choose another folder with paths.data="
        )
    for path in {(folder / name).parent for name in needed}:
        path.mkdir(parents=True, exist_ok=True)
    both = {split: max(counts.get(split, 0), earlier.get(split, 0)) for split in counts | earlier}
    write_manifest(folder, {"complete": False, "counts": both, "streamed": sorted({*streamed, *before})})
    for name in present & ours - needed:
        (folder / name).unlink()
    unknown = sorted(present - ours)
    if unknown:
        print(f"left {len(unknown)} files in {folder} that create_data.py did not write, such as {unknown[0]}")


def save_recordings(folder, kind, recordings, sample_rate, pause=0):
    """Write Recordings in a row, each with `pause` zeros after it; returns what the manifest says.

    They are read and written one by one, so that they need not fit into the memory together.
    """
    path, names, lengths, digest = folder / recordings_path(kind), [], [], hashlib.sha256()
    with write_atomically(path) as file:
        file.write(header_of(0))
        for name, samples in recordings:
            stored = np.pad(samples, (0, pause))
            file.write(stored)
            digest.update(stored)
            names.append(name)
            lengths.append(len(stored))
        file.seek(0)
        file.write(header_of(sum(lengths)))
    seconds = (sum(lengths) - pause * len(lengths)) / sample_rate
    print(
        f"train: {kind} signals are drawn from {len(names)} recording{'s' * (len(names) > 1)}, {seconds:,.1f} s in all"
    )
    return {"seconds": seconds, "names": names, "lengths": lengths, "checksum": digest.hexdigest()}


def fingerprint(manifest):
    """What tells these signals from all others: SHA-256 of the checksums of all splits."""
    return hashlib.sha256(json.dumps(manifest["checksums"], sort_keys=True).encode()).hexdigest()


def checksum(array):
    """SHA-256 of the array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def manifest_path(folder):
    return folder / "dataset.json"


def write_manifest(folder, manifest):
    """Replace the manifest at once, never in part."""
    write_bytes(manifest_path(folder), json.dumps(manifest, indent=1).encode())


def read_manifest(folder):
    """The manifest as a dictionary; raises UserError if it is missing or damaged."""
    path = manifest_path(folder)
    try:
        manifest = json.loads(path.read_bytes())
        counts = manifest["counts"]
        if not {"validation"} <= set(counts) <= set(SPLITS) or not all(
            type(count) is int and 0 < count <= MOST_STORED for count in counts.values()
        ):
            raise ValueError("counts are the numbers of signals in the stored splits")
        if not set(manifest.setdefault("streamed", {})) <= {"clean", "noise"}:
            raise ValueError("streamed are recordings of clean signals and of noise")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {CURE}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged; move the files in {folder} away and {CURE}") from error
    return manifest


def complete_manifest(folder):
    """The manifest of a finished creation; raises UserError, with the cure, otherwise."""
    manifest, path = read_manifest(folder), manifest_path(folder)
    if manifest.get("complete") is not True:
        raise UserError(f"{path} says that create_data.py was cut short; {CURE}")
    checksums = manifest.get("checksums")
    if not isinstance(checksums, dict) or not all(
        isinstance(checksums.get(split), dict) and set(KINDS) <= checksums[split].keys() for split in manifest["counts"]
    ):
        raise UserError(f"{path} lacks checksums, as that of an earlier version does; {CURE}")
    stored, preset = manifest.get("data"), manifest.get("preset")
    if not (isinstance(stored, dict) and isinstance(preset, dict) and isinstance(preset.get("data"), dict)):
        raise UserError(f"{path} lacks settings, as that of an earlier version does; {CURE}")
    if (stored.get("clean_source") or stored.get("noise_source")) and "test" not in checksums:
        raise UserError(f"{path} lacks test signals, as that of an earlier version does; {CURE}")
    return manifest


def check_manifest(config):
    """The complete manifest that fits the configuration; raises UserError otherwise."""
    manifest, path = complete_manifest(config.data_folder), manifest_path(config.data_folder)
    for name, created, own in unlike(config.data, manifest["data"]):
        raise UserError(f"{path} has data.{name}={created}, the configuration has {own}; {CURE}")
    return manifest


def as_created(config, overrides):
    """The configuration with the `data.*` that create_data.py used, so that none is said again.

    overrides: those of the command line. Raises UserError where one of them has another value, or
    where config.py or the preset was edited since.
    """
    manifest, path = complete_manifest(config.data_folder), manifest_path(config.data_folder)
    given = {override.partition("=")[0] for override in overrides}
    others = [
        f"data.{name}={created} (here {own})"
        for name, created, own in unlike(config.data, manifest["data"])
        if f"data.{name}" in given
    ]
    if others:
        raise UserError(f"{path} has {', '.join(others)}; leave that out, or {CURE}")
    if manifest["preset"].get("name") == config.preset:
        for name, before, now in unlike(resolve(config.preset).data, manifest["preset"]["data"]):
            if f"data.{name}" not in given:
                raise UserError(
                    f"{path} was created when preset {config.preset} had data.{name}="
                    f"{before}, and it has {now} now; {CURE}"
                )
    created = [
        f"data.{name}={as_text(plain(manifest['data'].get(name)))}"
        for name in (item.name for item in fields(config.data))
        if f"data.{name}" not in given
    ]
    return resolve(config.preset, [*overrides, *created], config.name)


def unlike(data, stored):
    """(name, stored value, own value) of the settings in which a DataConfig differs from a stored.

    Sources are compared by their last names. Where training signals are streamed, their number is
    the size of an epoch and may differ.
    """
    sources = {name: str(stored.get(name, "")) for name in ("clean_source", "noise_source")}
    own, created = data.by_last_names(), replace(data, **sources).by_last_names()
    for item in fields(data):
        one, other = plain(stored.get(item.name)), getattr(data, item.name)
        if item.name in sources:
            same = getattr(own, item.name) == getattr(created, item.name)
        else:
            same = one == other or (item.name == "num_train" and stored.get("stream"))
        if not same:
            yield item.name, as_text(one), as_text(other)


def plain(value):
    """A value of a setting as JSON gives it back, as it was."""
    return tuple(value) if isinstance(value, list) else value


def noise_kinds(config):
    """The kind of noise in each test signal, a list of names; None for other data."""
    return check_manifest(config).get("noise_kinds")


def load_recordings(config, kind):
    """The recordings that training signals are streamed from: samples in a row, and Recordings in it.

    kind: "clean" or "noise". The samples, float32 (samples,), are read from the disk as they are
    used. None and None where there are no recordings. Raises UserError for missing or changed ones.
    """
    stored, path = check_manifest(config)["streamed"].get(kind), config.data_folder / recordings_path(kind)
    if stored is None:
        return None, None
    try:
        samples = map_array(path)
    except UserError as error:
        raise UserError(f"{error}; {CURE}") from error
    if checksum(samples) != stored["checksum"]:
        raise UserError(f"{path} was changed after create_data.py wrote it; {CURE}")
    parts = np.split(samples, np.cumsum(stored["lengths"])[:-1])
    return samples, [Recording(name, part) for name, part in zip(stored["names"], parts, strict=True)]


def stored_recordings(config):
    """For each clean training signal the number of the recording it comes from; None for sines.

    Raises UserError if the manifest does not say so.
    """
    manifest = check_manifest(config)
    if not manifest["data"].get("clean_source"):
        return None
    if config.data.stream:
        raise ConfigurationError(
            "training.feature_network=pretrained learns from stored recordings; give data.stream=false to all scripts"
        )
    numbers, count = manifest.get("recordings"), manifest["counts"]["train"]
    if (
        not isinstance(numbers, list)
        or len(numbers) != count
        or not all(type(number) is int and 0 <= number < 2**31 for number in numbers)
    ):
        raise UserError(
            f"{manifest_path(config.data_folder)} does not say which recordings the signals come from; {CURE}"
        )
    return np.unique(numbers, return_inverse=True)[1]


def load_signals(config, split, kind, device="cpu"):
    """All signals of one split and kind, float32 (count, 1, length) on the device, checked.

    Raises UserError, naming the file and the cure.
    """
    folder, manifest = config.data_folder, check_manifest(config)
    names = [Path(signal_path(split, kind, index)).name for index in range(manifest["counts"][split])]
    array = read_signals(folder / split / kind, names, config.data.length, f"reading {split} {kind}")
    if checksum(array) != manifest["checksums"][split][kind]:
        raise UserError(f"{folder / split / kind} was changed after create_data.py wrote it; {CURE}")
    return torch.from_numpy(array).unsqueeze(1).to(device)
