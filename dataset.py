"""The pairs of clean and mixed signals that a training sees, as PyTorch data sets.

    python dataset.py       # verify what create_data.py wrote and describe it; writes nothing

Next: python train_gan.py
"""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from dan import processes
from dan.configuration import parse_arguments
from dan.errors import UserError, run
from dan.evaluation.metrics import snr_db
from dan.signals.sines import draw_batch, draw_range, mix, play_slower, signals_at_once, slowing_matrix
from dan.signals.sources import Recording, draw_pairs
from dan.signals.store import as_created, check_manifest, load_recordings, load_signals

NUM_FACTORS = 32
LONGEST_MATRIX = 1024  # samples; matrices grow with the square of the length
MOST_COPIED = 100_000  # signals, of which slower ones are made all at once


def main():
    config, options = parse_arguments(__doc__)
    config = as_created(config, options.overrides)
    train_loader, _ = loaders(config)
    for split in check_manifest(config)["counts"]:
        describe(split, StoredPairs(config, split), signals_at_once(config.data))
    clean, mixed = first_batch(train_loader)
    print(f"one batch   clean {tuple(clean.shape)}, mixed {tuple(mixed.shape)}, {clean.dtype}")


def describe(split, data, at_once):
    """Print count, shape, measured SNR and ranges of one split, so many signals at once."""
    snr = torch.cat([snr_db(*data[part]) for part in torch.arange(len(data)).split(at_once)])
    print(
        f"{split:<11} {len(data)} pairs of shape {tuple(data.clean.shape[1:])}, "
        f"SNR {snr.mean():.3f} dB (from {snr.min():.3f} to {snr.max():.3f})"
    )
    for kind, signals in (("clean", data.clean), ("mixed", data.mixed)):
        print(
            f"            {kind} from {signals.min():.3f} to {signals.max():.3f}, "
            f"standard deviation {signals.std():.3f}"
        )


class StoredPairs(Dataset):
    """The pairs of one split as they are stored, in memory.

    An index gives (clean, mixed) of shape (1, length), a list of indices a whole batch of shape
    (batch, 1, length) at once, float32, on the device. Raises UserError for faulty data.
    """

    def __init__(self, config, split, device="cpu"):
        self.clean = load_signals(config, split, "clean", device)
        self.mixed = load_signals(config, split, "mixed", device)

    def __len__(self):
        return len(self.clean)

    def __getitem__(self, index):
        return self.clean[index], self.mixed[index]


class RemixedPairs(Dataset):
    """Training pairs that are mixed anew in each epoch; they are indexed as StoredPairs are.

    Each clean signal is mixed with the noise of another, shifted in a circle and turned over at
    random. That makes of the stored noise, of whatever kind it is, as good mixtures as a new draw
    would (within 0.05 dB of output SNR), where pairing alone lacks 0.3 dB. Half of the clean
    signals are slowed down, by factors from `training.slowest` to 1.
    """

    def __init__(self, config, split, device="cpu"):
        self.clean = load_signals(config, split, "clean", device)
        self.noise = load_signals(config, split, "noise", device)
        self.snr_db, self.seed = config.data.snr_db, config.training.seed
        self.slowest = config.training.slowest
        short = config.data.length <= LONGEST_MATRIX and len(self.clean) <= MOST_COPIED
        self.matrices = slowing_matrices(config, device) if short and self.slowest < 1 else None
        self.set_epoch(0)

    def __len__(self):
        return len(self.clean)

    def __getitem__(self, index):
        clean = self.slowed[index]
        if self.factors is not None:
            factors = self.factors[index].reshape(-1).tolist()
            clean = play_slower(clean.reshape(len(factors), 1, -1), factors).reshape(clean.shape)
        noise = self.noise[self.partner[index]].roll(self.shift, -1)
        return clean, mix(clean, noise * self.sign[index], self.snr[index])

    def set_epoch(self, epoch):
        """Draw the partners, shift, signs, SNRs and factors from the seed and the epoch alone."""
        rng, device = np.random.default_rng([self.seed, epoch, 1]), self.clean.device
        shape = (len(self), 1, 1)
        self.partner = torch.from_numpy(rng.permutation(len(self))).to(device)
        self.shift = int(rng.integers(self.clean.shape[-1]))
        self.sign = torch.from_numpy(rng.choice(np.float32([-1, 1]), shape)).to(device)
        snr = np.broadcast_to(draw_range(self.snr_db, shape, rng), shape)
        self.snr = torch.from_numpy(snr.astype(np.float32)).to(device)
        self.slowed, self.factors = self.clean, None
        if self.matrices is not None:
            self.slowed = self.slow_half(rng)
        elif self.slowest < 1:  # long signals are slowed down batch by batch, as they are asked for
            slow = rng.random(len(self)) < 0.5
            factors = np.where(slow, rng.uniform(self.slowest, 1, len(self)), 1.0)
            self.factors = torch.from_numpy(np.float32(factors)).to(device)

    def slow_half(self, rng):
        """The clean signals, half of them slowed down, in groups that share a factor."""
        slowed = self.clean.clone()
        chosen = torch.from_numpy(rng.permutation(len(self))[: len(self) // 2]).to(slowed.device)
        for group, matrix in zip(chosen.tensor_split(NUM_FACTORS), self.matrices, strict=True):
            slowed[group] = self.clean[group] @ matrix.T
        return slowed


class StreamedPairs(Dataset):
    """Training pairs that are drawn when they are asked for, a batch at an index, and never stored.

    Of sines, on the device, or out of the recordings that create_data.py stored for it, on the CPU.
    A batch depends on the seeds, the epoch and its number alone; `data.num_train` is the number of
    pairs in an epoch, and takes no memory.
    """

    def __init__(self, config, device="cpu"):
        self.data, self.device = config.data, torch.device(device)
        self.voices, self.noise = load_sources(config)
        self.seeds = config.data.seed, config.training.seed
        self.batch_size = config.training.batch_size
        self.set_epoch(0)

    def __len__(self):
        return self.data.num_train

    def set_epoch(self, epoch):
        """Choose the epoch that batches are drawn for."""
        self.epoch = epoch

    def num_batches(self):
        return count_batches(len(self), self.batch_size)

    def __getitem__(self, batch):
        count = size_of_batch(batch, len(self), self.batch_size)
        sequence = np.random.SeedSequence([*self.seeds, self.epoch, batch])
        if self.data.is_recorded:
            if processes.count() > 1:  # drawing takes long enough to be shared, so each has its own
                sequence = sequence.spawn(processes.count())[processes.rank()]
            pairs = draw_pairs(
                self.voices,
                self.noise,
                self.data,
                len(processes.share_of(range(count))),
                np.random.default_rng(sequence),
            )
            return tuple(torch.from_numpy(x).unsqueeze(1) for x in pairs)
        generator = torch.Generator(self.device)
        generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        pairs = draw_batch(self.data, count, generator)
        return tuple(processes.share_of(signals) for signals in pairs)


def load_sources(config):
    """What training pairs are streamed from: voices, samples in a row, and noise, Recordings.

    None of either where create_data.py stored none. Both are read from the disk as they are used.
    """
    voices, noise = (load_recordings(config, kind) for kind in ("clean", "noise"))
    if noise is not None:
        samples, names, lengths = noise
        parts = np.split(samples, np.cumsum(lengths)[:-1])
        noise = [Recording(name, part) for name, part in zip(names, parts, strict=True)]
    return None if voices is None else voices[0], noise


def slowing_matrices(config, device):
    """Matrices of NUM_FACTORS factors, drawn once from the seed, (factors, length, length)."""
    rng = np.random.default_rng([config.training.seed, 0, 2])
    factors = rng.uniform(config.training.slowest, 1, NUM_FACTORS)
    matrices = [slowing_matrix(config.data.length, factor) for factor in factors]
    return torch.from_numpy(np.float32(matrices)).to(device)


class ShuffledBatches(Sampler):
    """Batches of indices in an order that depends on the seed and the epoch alone.

    So a resumed training sees the same batches as one that was not interrupted. Call
    `set_epoch` before every epoch.
    """

    def __init__(self, count, batch_size, seed, device="cpu"):
        self.count, self.batch_size, self.seed, self.epoch = count, batch_size, seed, 0
        self.device = device  # where the indices are needed

    def set_epoch(self, epoch):
        """Choose the order of the epoch."""
        self.epoch = epoch

    def __len__(self):
        return count_batches(self.count, self.batch_size)

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        ends = self.batch_size * np.arange(1, len(self))
        batches = torch.from_numpy(order).to(self.device).tensor_split(ends.tolist())
        return map(processes.share_of, batches)


def count_batches(count, batch_size):
    """Batches in an epoch. A few signals that are left over join the last of them.

    Batch normalisation needs two values in each process, of which one signal may have too few.
    """
    fewest = 2 * processes.count()
    return max(1, count // batch_size + (count % batch_size >= fewest))


def batches_of(loader):
    """What a loader yields; raises UserError if one of its workers dies."""
    try:
        yield from loader
    except (RuntimeError, ConnectionError) as error:
        if loader.num_workers and ("worker" in str(error) or isinstance(error, ConnectionError)):
            raise UserError(
                "a process that draws signals has died; give fewer training.workers, or them more shared memory"
            ) from error
        raise


def first_batch(loader):
    """The first (clean, mixed) of a loader, drawn without its workers."""
    return loader.dataset[next(iter(loader.sampler))]


def size_of_batch(number, count, batch_size):
    """Signals in a batch of an epoch, of all processes together; the last takes what is left."""
    is_last = number == count_batches(count, batch_size) - 1
    return count - number * batch_size if is_last else batch_size


def loaders(config, device="cpu"):
    """The training loader (streamed, or stored and shuffled) and the validation loader (in order).

    Both yield (clean, mixed), each (batch, 1, length), float32, on the device, but for what is
    drawn out of recordings. Call `set_epoch` with the training loader before every epoch. Raises
    UserError for faulty data.
    """
    validation = StoredPairs(config, "validation", device)
    size, workers = config.training.batch_size, 0
    if config.data.stream:
        train = StreamedPairs(config, device)
        batches = range(train.num_batches())
        workers = config.training.workers if train.data.is_recorded else 0
    else:
        pairs = RemixedPairs if config.training.remix else StoredPairs
        train = pairs(config, "train", device)
        batches = ShuffledBatches(len(train), size, config.training.seed, device)
    in_order = torch.arange(len(validation)).split(size)
    # Without automatic batching, a batch is read at once instead of signal by signal.
    return (
        DataLoader(
            train,
            sampler=batches,
            batch_size=None,
            num_workers=workers,
            pin_memory=workers > 0 and torch.device(device).type == "cuda",
        ),
        DataLoader(validation, sampler=in_order, batch_size=None),
    )


def set_epoch(loader, epoch):
    """Choose the epoch of a training loader: the order of its batches, and what is drawn for it."""
    for part in (loader.sampler, loader.dataset):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


if __name__ == "__main__":
    run(main)
