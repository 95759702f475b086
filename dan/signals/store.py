"""The data folder: where its files are, which of them are the project's own, the manifest, and reading with checks.

One float32 .npy file per signal, in {train,validation,test}/{clean,noise,mixed}/; WAV copies of
the first signals in resampled/; the recordings that training signals are streamed from, in
recordings/{clean,noise}.npy, one after the other; and dataset.json, the manifest. Signals are
written in place: the manifest, written last, says that they are complete.
"""

import hashlib
import json
import os
from dataclasses import asdict

import numpy as np
import torch

from dan.configuration import resolve
from dan.errors import ConfigurationError, UserError
from dan.files import write_atomically, write_bytes
from dan.settings import as_text
from dan.signals.audio_files import map_array
from dan.signals.npy_files import CURE, npy_header, read_signals
from dan.signals.splits import Recording

SIGNAL_KINDS = ("clean", "noise", "mixed")
PAUSE_SECONDS = 0.3  # of silence after each stored recording of clean signals, so that voices do not run together


def signal_name(kind, index):
    """The file name of the index-th signal, from 0; the numbers in the names begin at 1."""
    return f"{kind}_{index + 1:04d}.npy"


def wav_path(split, kind):
    """Path of the WAV copy of a split's first signal below the data folder."""
    return f"resampled/{split}_{kind}_0001.wav"


def recordings_path(kind):
    """Path of the recordings of "clean" or "noise", for streaming, below the data folder."""
    return f"recordings/{kind}.npy"


def written_files(counts, streamed):
    """All paths below the data folder that create_data.py writes, but for the manifest.

    counts: {split: number of signals}; streamed: the kinds of recordings to stream from.
    """
    yield from map(recordings_path, streamed)
    for split, count in counts.items():
        for kind in SIGNAL_KINDS:
            yield wav_path(split, kind)
            yield from (f"{split}/{kind}/{signal_name(kind, index)}" for index in range(count))


def claim_files(folder, counts, streamed=()):
    """Make the folders, and remove the files that an earlier run wrote, so that all names are free.

    Until the complete manifest is written, one marked incomplete says which files are the project's
    own. Raises UserError, before anything is removed, where a file that no run wrote has a name
    that this run needs.
    """
    earlier = read_manifest(folder) if manifest_path(folder).exists() else {"counts": {}, "streamed": []}
    own = set(written_files(earlier["counts"], earlier["streamed"]))
    needed = set(written_files(counts, streamed))
    for name in sorted(needed - own):
        if os.path.lexists(folder / name):
            raise UserError(
                f"{folder / name} is not in the manifest {manifest_path(folder)}, so it is not replaced; "
                "move it away, or choose another folder with paths.data="
            )
    for name in own:
        (folder / name).unlink(missing_ok=True)
    for place in {(folder / name).parent for name in needed}:
        place.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, {"complete": False, "counts": counts, "streamed": list(streamed)})


def save_recordings(folder, kind, recordings, sample_rate):
    """Write Recordings in a row; returns what the manifest says of them.

    Clean ones of a folder, such as of one speaker, become one, with pauses between. They are read and
    written one by one, so that they need not fit into the memory together.
    """
    names, lengths, digest, count = [], [], hashlib.sha256(), 0
    pause = round(PAUSE_SECONDS * sample_rate) if kind == "clean" else 0
    with write_atomically(folder / recordings_path(kind)) as file:
        file.write(npy_header(0))
        for name, samples, place in recordings:
            count += 1
            stored = np.pad(samples, (0, pause))
            file.write(stored)
            digest.update(stored)
            if kind == "clean" and names[-1:] == [place]:
                lengths[-1] += len(stored)
            else:
                names.append(place if kind == "clean" else name)
                lengths.append(len(stored))
        file.seek(0)
        file.write(npy_header(sum(lengths)))
    seconds = (sum(lengths) - pause * count) / sample_rate
    places = f" in {len(names)} folders" if kind == "clean" and len(names) > 1 else ""
    print(f"train: {kind} signals are drawn from {count} recording{'s' * (count > 1)}{places}, {seconds:,.1f} s in all")
    return {"seconds": seconds, "names": names, "lengths": lengths, "checksum": digest.hexdigest()}


def checksum(content):
    """SHA-256 of an array's bytes, or of a dictionary as JSON."""
    if isinstance(content, dict):
        content = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def fingerprint(manifest):
    """Tells these signals from all others: SHA-256 of the checksums of all splits."""
    return checksum(manifest["checksums"])


def manifest_path(folder):
    return folder / "dataset.json"


def write_manifest(folder, manifest):
    """Replace the manifest at once, never in part; it carries a checksum of its own."""
    text = json.dumps(manifest | {"checksum": checksum(manifest)}, indent=1)
    write_bytes(manifest_path(folder), text.encode())


def read_manifest(folder):
    """The manifest as a dictionary; raises UserError if it is missing or not as it was written."""
    path = manifest_path(folder)
    try:
        manifest = json.loads(path.read_bytes())
        if manifest.pop("checksum") != checksum(manifest):
            raise ValueError("it was changed")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {CURE}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged, or of another version; move {folder} away and {CURE}") from error
    return manifest


def complete_manifest(folder):
    """The manifest of a finished creation; raises UserError, with the cure, otherwise."""
    manifest = read_manifest(folder)
    if not manifest["complete"]:
        raise UserError(f"{manifest_path(folder)} says that create_data.py was cut short; {CURE}")
    return manifest


def check_manifest(config):
    """The complete manifest that fits the configuration; raises UserError otherwise."""
    manifest = complete_manifest(config.data_folder)
    others = differences(config.data, manifest["data"])
    if others:
        raise UserError(f"{manifest_path(config.data_folder)} has {', '.join(others.values())}; {CURE}")
    return manifest


def as_created(config, overrides):
    """The configuration with the `data.*` that create_data.py used, so that none is said again.

    overrides: those of the command line. Raises UserError where one of them has another value, or
    where config.py or the preset was edited since.
    """
    manifest, path = complete_manifest(config.data_folder), manifest_path(config.data_folder)
    given = {override.partition("=")[0] for override in overrides}
    others = [text for key, text in differences(config.data, manifest["data"]).items() if key in given]
    if others:
        raise UserError(f"{path} has {', '.join(others)}; leave that out, or {CURE}")
    if manifest["preset"]["name"] == config.preset:
        edited = differences(resolve(config.preset).data, manifest["preset"]["data"])
        others = [text for key, text in edited.items() if key not in given]
        if others:
            raise UserError(f"{path} was created when preset {config.preset} had {', '.join(others)}; {CURE}")
    created = [
        f"data.{name}={as_setting(manifest['data'][name])}"
        for name in as_stored(config.data)
        if name in manifest["data"] and f"data.{name}" not in given
    ]
    return resolve(config.preset, [*overrides, *created], config.name)


def differences(data, stored):
    """{key: "key=stored value (here own value)"} of the settings in which a DataConfig differs from a stored one.

    Where training signals are streamed, their number is the size of an epoch and may differ.
    """
    free = ("num_train",) if stored.get("stream") else ()
    return {
        f"data.{name}": f"data.{name}={as_setting(stored.get(name))} (here {as_setting(own)})"
        for name, own in as_stored(data).items()
        if own != stored.get(name) and name not in free
    }


def as_stored(data):
    """The settings of a DataConfig as JSON gives them back, folders of recordings by their last names."""
    return json.loads(json.dumps(asdict(data.by_last_names())))


def as_setting(value):
    """A stored value as it is written in an override."""
    return as_text(tuple(value) if isinstance(value, list) else value)


def signal_groups(config):
    """{"by voice", "by kind of noise": a name for each test signal}, as far as they are known."""
    manifest = check_manifest(config)
    groups = {"by voice": manifest["voices"], "by kind of noise": manifest["noise_kinds"]}
    return {title: names for title, names in groups.items() if names}


def load_recordings(config, kind):
    """The Recordings that training signals are streamed from; None where there are none.

    kind: "clean", one of each folder, or "noise". Their samples are read from the disk as they are
    used. Raises UserError for missing or changed ones.
    """
    stored, path = check_manifest(config)["streamed"].get(kind), config.data_folder / recordings_path(kind)
    if stored is None:
        return None
    try:
        samples = map_array(path)
    except UserError as error:
        raise UserError(f"{error}; {CURE}") from error
    if checksum(samples) != stored["checksum"]:
        raise UserError(f"{path} was changed after create_data.py wrote it; {CURE}")
    parts = np.split(samples, np.cumsum(stored["lengths"])[:-1])
    return [Recording(name, part) for name, part in zip(stored["names"], parts, strict=True)]


def stored_recordings(config):
    """For each clean training signal the number of the recording it comes from; None for sines."""
    manifest = check_manifest(config)
    if not manifest["data"]["clean_source"]:
        return None
    if config.data.stream:
        raise ConfigurationError(
            "training.feature_network=pretrained learns from stored recordings; give data.stream=false to all scripts"
        )
    return np.unique(manifest["recordings"], return_inverse=True)[1]


def load_signals(config, split, kind, device="cpu"):
    """All signals of one split and kind, float32 (count, 1, length) on the device, checked.

    Raises UserError, naming the file and the cure.
    """
    folder, manifest = config.data_folder / split / kind, check_manifest(config)
    names = [signal_name(kind, index) for index in range(manifest["counts"][split])]
    signals = read_signals(folder, names, config.data.length, f"reading {split} {kind}")
    if checksum(signals) != manifest["checksums"][split][kind]:
        raise UserError(f"{folder} was changed after create_data.py wrote it; {CURE}")
    return torch.from_numpy(signals).unsqueeze(1).to(device)
