"""The stored signals: their layout and manifest, their checks, and the PyTorch data set.

    python dataset.py       # verify what create_data.py wrote and describe it; writes nothing

Next: python train_gan.py
"""

import hashlib
import json
import re
from dataclasses import asdict

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from command_line import parse_arguments
from config import DataConfig
from faults import Fault, run
from files import write_bytes
from recordings import map_array
from signals import draw_range, mix, play_slower, slowing_matrix, snr_db

NUM_FACTORS = 32
LONGEST_MATRIX = 1024  # samples; matrices grow with the square of the length
MOST_SIGNALS = 1_000_000
# What only create_data.py needs to know: left as it is by default, any stored value will do.
SOURCES = ("clean_source", "noise_source", "source_rate", "noise_speed", "white_share")
KINDS = ("clean", "noise", "mixed")
SPLITS = ("train", "validation")
CURE = "run create_data.py with the same preset and overrides"


def main():
    config, _ = parse_arguments(__doc__)
    train_loader, _ = loaders(config)
    for split in ("train", "validation"):
        describe(split, SignalDataset(config, split))
    clean, mixed = next(iter(train_loader))
    print(f"one batch   clean {tuple(clean.shape)}, mixed {tuple(mixed.shape)}, {clean.dtype}")


def describe(split, data):
    """Print count, shape, measured SNR and ranges of one split."""
    snr = snr_db(data.clean, data.mixed)
    print(f"{split:<11} {len(data)} pairs of shape {tuple(data.clean.shape[1:])}, "
          f"SNR {snr.mean():.3f} dB (from {snr.min():.3f} to {snr.max():.3f})")
    for kind, signals in (("clean", data.clean), ("mixed", data.mixed)):
        print(f"            {kind} from {signals.min():.3f} to {signals.max():.3f}, "
              f"standard deviation {signals.std():.3f}")


class SignalDataset(Dataset):
    """Pairs of clean and mixed signals of one split, in memory.

    An index gives (clean, mixed) of shape (1, length); a list of indices gives a whole batch of
    shape (batch, 1, length) at once. `clean` and `mixed` (with `remix`, `clean` and `noise`) hold
    all, (count, 1, length), float32, on the device.

    With `remix`, each clean signal is mixed anew at every access, as `set_epoch` draws it: with
    the noise of another signal, shifted in a circle and turned over at random. That makes of the
    stored noise, of whatever kind it is, as good mixtures as a new draw would (within 0.05 dB of
    output SNR), where pairing alone lacks 0.3 dB. Half of the clean signals are slowed down.
    """

    def __init__(self, config, split, device="cpu", remix=False):
        """Load and check a split; raises Fault, naming the file and the cure."""
        manifest = check_manifest(config)
        self.fingerprint = fingerprint(manifest)
        self.clean = load_signals(config, manifest, split, "clean", device)
        self.remix, self.snr_db, self.seed = remix, config.data.snr_db, config.training.seed
        if remix:
            self.noise = load_signals(config, manifest, split, "noise", device)
            self.slowest, self.slowing = config.training.slowest, None
            if self.slowest < 1 and config.data.length <= LONGEST_MATRIX:
                self.slowing = slowing_matrices(config, device)
            self.set_epoch(0)
        else:
            self.mixed = load_signals(config, manifest, split, "mixed", device)

    def __len__(self):
        return len(self.clean)

    def __getitem__(self, index):
        if not self.remix:
            return self.clean[index], self.mixed[index]
        clean = self.slowed[index]
        if self.factors is not None:
            factors = self.factors[index].reshape(-1).tolist()
            clean = play_slower(clean.reshape(len(factors), 1, -1), factors).reshape(clean.shape)
        noise = self.noise[self.partner[index]].roll(self.shift, -1)
        return clean, mix(clean, noise * self.sign[index], self.snr[index])

    def set_epoch(self, epoch):
        """Draw the partners, shift, signs, SNRs and factors from the seed and the epoch alone."""
        if self.remix:
            rng, device = np.random.default_rng([self.seed, epoch, 1]), self.clean.device
            shape = (len(self), 1, 1)
            self.partner = torch.from_numpy(rng.permutation(len(self))).to(device)
            self.shift = int(rng.integers(self.clean.shape[-1]))
            self.sign = torch.from_numpy(rng.choice(np.float32([-1, 1]), shape)).to(device)
            snr = np.broadcast_to(draw_range(self.snr_db, shape, rng), shape)
            self.snr = torch.from_numpy(snr.astype(np.float32)).to(device)
            self.slowed, self.factors = self.clean, None
            if self.slowing is not None:
                self.slowed = self.slow_half(rng)
            elif self.slowest < 1:  # long signals are slowed as they are asked for, in a batch
                slow = rng.random(len(self)) < 0.5
                factors = np.where(slow, rng.uniform(self.slowest, 1, len(self)), 1.0)
                self.factors = torch.from_numpy(factors)

    def slow_half(self, rng):
        """The clean signals, half of them slowed down, in groups that share a factor."""
        slowed = self.clean.clone()
        chosen = torch.from_numpy(rng.permutation(len(self))[: len(self) // 2]).to(slowed.device)
        for group, matrix in zip(chosen.tensor_split(NUM_FACTORS), self.slowing, strict=True):
            slowed[group] = self.clean[group] @ matrix.T
        return slowed


def slowing_matrices(config, device):
    """Matrices of NUM_FACTORS factors, drawn once from the seed, (factors, length, length)."""
    rng = np.random.default_rng([config.training.seed, 0, 2])
    factors = rng.uniform(config.training.slowest, 1, NUM_FACTORS)
    matrices = [slowing_matrix(config.data.length, factor) for factor in factors]
    return torch.from_numpy(np.float32(matrices)).to(device)


def load_signals(config, manifest, split, kind, device):
    """All signals of one split and kind, float32 (count, 1, length) on the device, checked."""
    folder = config.data_folder
    array = read_signals(folder, split, kind, manifest["counts"][split], config.data.length)
    if checksum(array) != manifest["checksums"][split][kind]:
        raise Fault(f"{folder / split / kind} was changed after create_data.py wrote it; {CURE}")
    return torch.from_numpy(array).unsqueeze(1).to(device)


class ShuffledBatches(Sampler):
    """Batches of indices in an order that depends on the seed and the epoch alone.

    So a resumed training sees the same batches as one that was not interrupted. Call
    `set_epoch` before every epoch.
    """

    def __init__(self, count, batch_size, seed):
        self.count, self.batch_size, self.seed, self.epoch = count, batch_size, seed, 0

    def set_epoch(self, epoch):
        """Choose the order of the epoch."""
        self.epoch = epoch

    def __len__(self):
        batches = -(-self.count // self.batch_size)
        return max(1, batches - (self.count % self.batch_size == 1))

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        batches = list(torch.from_numpy(order).split(self.batch_size))
        if self.count % self.batch_size == 1 and len(batches) > 1:
            # Batch normalisation needs two values: one signal by itself may have too few.
            batches[-2:] = [torch.cat(batches[-2:])]
        return iter(batches)


def loaders(config, device="cpu"):
    """The training loader (shuffled and remixed each epoch) and the validation loader (in order).

    Both yield (clean, mixed), each (batch, 1, length), float32, on the device. Call `set_epoch` of
    the training loader's sampler and data set before every epoch. Raises Fault for faulty data.
    """
    train = SignalDataset(config, "train", device, config.training.remix)
    validation = SignalDataset(config, "validation", device)
    size = config.training.batch_size
    shuffled = ShuffledBatches(len(train), size, config.training.seed)
    in_order = torch.arange(len(validation)).split(size)
    # Without automatic batching, a batch is one indexing of a tensor instead of one a signal.
    return (
        DataLoader(train, sampler=shuffled, batch_size=None),
        DataLoader(validation, sampler=in_order, batch_size=None),
    )


def split_counts(data):
    """Number of signals in each stored split."""
    return {"train": data.num_train, "validation": data.num_validation}


def signal_path(split, kind, index):
    """Path of the index-th signal (from 0) below the data folder; file numbers begin at 1."""
    return f"{split}/{kind}/{kind}_{index + 1:04d}.npy"


def wav_path(split, kind):
    """Path of the WAV copy of a split's first signal below the data folder."""
    return f"resampled/{split}_{kind}_0001.wav"


def written_files(counts):
    """Every path below the data folder that create_data.py writes for these split counts."""
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
                number and 0 < int(number[1]) <= count
                and name == signal_path(split, kind, int(number[1]) - 1)
            ):
                return True
    return False


def fingerprint(manifest):
    """What tells these signals from all others: SHA-256 of the checksums of both splits."""
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
    """The manifest as a dictionary; raises Fault if it is missing or damaged."""
    path = manifest_path(folder)
    try:
        manifest = json.loads(path.read_bytes())
        counts = manifest["counts"]
        if set(counts) != set(SPLITS) or not all(
            type(count) is int and 0 < count <= MOST_SIGNALS for count in counts.values()
        ):
            raise ValueError("counts are the numbers of signals in both splits")
    except FileNotFoundError:
        raise Fault(f"{path} is missing; {CURE}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Fault(
            f"{path} is damaged; move the files in {folder} away and {CURE}"
        ) from error
    return manifest


def check_manifest(config):
    """The complete manifest that fits the configuration; raises Fault otherwise."""
    manifest, path = read_manifest(config.data_folder), manifest_path(config.data_folder)
    if manifest.get("complete") is not True:
        raise Fault(f"{path} says that create_data.py was cut short; {CURE}")
    checksums = manifest.get("checksums")
    if not isinstance(checksums, dict) or not all(
        isinstance(checksums.get(split), dict) and set(KINDS) <= checksums[split].keys()
        for split in split_counts(config.data)
    ):
        raise Fault(f"{path} lacks checksums, as that of an earlier version does; {CURE}")
    wanted = json.loads(json.dumps(asdict(config.data)))
    unset = asdict(DataConfig())
    stored = manifest.get("data")
    stored = stored if isinstance(stored, dict) else {}
    for key, value in wanted.items():
        if key in SOURCES and value == unset[key]:
            continue
        if stored.get(key) != value:
            raise Fault(f"{path} has data.{key}={stored.get(key)}, the configuration has {value}; "
                        f"{CURE}")
    return manifest


def is_recorded(config):
    """Whether what is stored was cut from recordings, at least the clean signals or the noise."""
    stored = check_manifest(config)["data"]
    return bool(stored.get("clean_source") or stored.get("noise_source"))


def read_signals(folder, split, kind, count, length):
    """The signals of one split and kind, float32 of shape (count, length).

    Raises Fault for a missing, surplus, unreadable, misshapen or non-finite file.
    """
    expected = [folder / signal_path(split, kind, index) for index in range(count)]
    surplus = set((folder / split / kind).glob("*.npy")).difference(expected)
    if surplus:
        raise Fault(f"{min(surplus)} is not in the manifest and has no counterpart; move it away")
    signals = np.empty((count, length), np.float32)
    bar = tqdm(expected, desc=f"reading {split} {kind}", unit="file", leave=False)
    for index, path in enumerate(bar):
        signals[index] = read_signal(path, length)
    return signals


def read_signal(path, length):
    """One stored signal, float32 of shape (length,); raises Fault for anything else."""
    try:
        array = map_array(path)
    except Fault as fault:
        raise Fault(f"{fault}; {CURE}") from fault
    if array.dtype != np.float32 or array.shape != (length,):
        raise Fault(f"{path} is not a float32 signal of {length} samples; {CURE}")
    if not np.isfinite(array).all():
        raise Fault(f"{path} holds values that are not finite; {CURE}")
    return array


if __name__ == "__main__":
    run(main)
