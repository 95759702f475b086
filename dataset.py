"""The pairs of clean and mixed signals that a training sees, as PyTorch data sets.

    python dataset.py       # verify what create_data.py wrote and describe it; writes nothing

Next: python train_gan.py
"""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from dan import processes
from dan.config_checks import refuse
from dan.configuration import parse_arguments
from dan.errors import UserError, run
from dan.evaluation.metrics import snr_db
from dan.signals.sines import draw_batch, draw_range, mix, signals_at_once, slowing_matrix
from dan.signals.sources import draw_pairs
from dan.signals.store import as_created, check_manifest, load_recordings, load_signals

NUM_FACTORS = 32
LONGEST_SLOWED = 1024  # samples; matrices grow with the square of the length


def main():
    config, options = parse_arguments(__doc__)
    config = as_created(config, options.overrides)
    train_loader, _ = loaders(config)
    for split in check_manifest(config)["counts"]:
        describe(split, StoredPairs(config, split), signals_at_once(config.data))
    clean, mixed = first_batch(train_loader)
    print(f"one batch   clean {tuple(clean.shape)}, mixed {tuple(mixed.shape)}, {clean.dtype}")


def describe(split, pairs, at_once):
    """Print number, shape, measured SNR and ranges of one split; `at_once` pairs are measured at a time."""
    snr = torch.cat([snr_db(*pairs[part]) for part in torch.arange(len(pairs)).split(at_once)])
    print(
        f"{split:<11} {len(pairs)} pairs of shape {tuple(pairs.clean.shape[1:])}, "
        f"SNR {snr.mean():.3f} dB (from {snr.min():.3f} to {snr.max():.3f})"
    )
    for kind, signals in (("clean", pairs.clean), ("mixed", pairs.mixed)):
        print(
            f"{'':<11} {kind} from {signals.min():.3f} to {signals.max():.3f}, standard deviation {signals.std():.3f}"
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
    signals are slowed down, by factors from `training.slowest` to 1; raises ConfigurationError
    where they are too long for that.
    """

    def __init__(self, config, split, device="cpu"):
        self.snr_db, self.seed = config.data.snr_db, config.training.seed
        self.matrices = slowing_matrices(config, device)
        self.clean = load_signals(config, split, "clean", device)
        self.noise = load_signals(config, split, "noise", device)
        self.set_epoch(0)

    def __len__(self):
        return len(self.clean)

    def __getitem__(self, index):
        clean, noise = self.slowed[index], self.noise[self.partner[index]]
        return clean, mix(clean, noise.roll(self.shift, -1) * self.sign[index], self.snr[index])

    def set_epoch(self, epoch):
        """Draw the partners, shift, signs, SNRs and slower signals from the seed and the epoch alone."""
        rng, device = np.random.default_rng([self.seed, epoch, 1]), self.clean.device
        shape = (len(self), 1, 1)
        self.partner = torch.from_numpy(rng.permutation(len(self))).to(device)
        self.shift = int(rng.integers(self.clean.shape[-1]))
        self.sign = torch.from_numpy(rng.choice(np.float32([-1, 1]), shape)).to(device)
        snr = np.broadcast_to(draw_range(self.snr_db, shape, rng), shape)
        self.snr = torch.from_numpy(snr.astype(np.float32)).to(device)
        self.slowed = self.clean if self.matrices is None else self.slow_half(rng)

    def slow_half(self, rng):
        """The clean signals, half of them slowed down, in groups that share a factor."""
        slowed = self.clean.clone()
        chosen = torch.from_numpy(rng.permutation(len(self))[: len(self) // 2]).to(slowed.device)
        for group, matrix in zip(chosen.tensor_split(NUM_FACTORS), self.matrices, strict=True):
            slowed[group] = self.clean[group] @ matrix.T
        return slowed


def slowing_matrices(config, device):
    """Matrices of NUM_FACTORS factors, drawn once from the seed, (factors, length, length).

    None where `training.slowest` is 1.
    """
    length, slowest = config.data.length, config.training.slowest
    if slowest == 1:
        return None
    if length > LONGEST_SLOWED:
        refuse("training.slowest", slowest, f"1 for stored signals of more than {LONGEST_SLOWED:,} samples")
    factors = np.random.default_rng([config.training.seed, 0, 2]).uniform(slowest, 1, NUM_FACTORS)
    matrices = [slowing_matrix(length, factor) for factor in factors]
    return torch.from_numpy(np.float32(matrices)).to(device)


class StreamedPairs(Dataset):
    """Training pairs that are drawn when they are asked for, a batch at an index, and never stored.

    Of sines, on the device, or out of the recordings that create_data.py stored for it, on the CPU.
    A batch depends on the seeds, the epoch and its number alone; `data.num_train` is the number of
    pairs in an epoch, and takes no memory.
    """

    def __init__(self, config, device="cpu"):
        self.data, self.device = config.data, torch.device(device)
        self.voices = load_recordings(config, "clean")
        self.noise = load_recordings(config, "noise")
        self.seeds = config.data.seed, config.training.seed
        self.batch_size = config.training.batch_size
        self.set_epoch(0)

    def __len__(self):
        return self.data.num_train

    def set_epoch(self, epoch):
        """Choose the epoch that batches are drawn for."""
        self.epoch = epoch

    def __getitem__(self, batch):
        count = size_of_batch(batch, len(self), self.batch_size)
        sequence = np.random.SeedSequence([*self.seeds, self.epoch, batch])
        if self.data.is_recorded:
            return self.draw_recorded(count, sequence)
        generator = torch.Generator(self.device)
        generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        return tuple(map(processes.share_of, draw_batch(self.data, count, generator)))

    def draw_recorded(self, count, sequence):
        """A batch out of recordings, of which this process draws its share alone: it takes long enough."""
        if processes.count() > 1:
            sequence = sequence.spawn(processes.count())[processes.rank()]
        share = len(processes.share_of(range(count)))
        pairs = draw_pairs(self.voices, self.noise, self.data, share, np.random.default_rng(sequence))
        return tuple(torch.from_numpy(signals).unsqueeze(1) for signals in pairs)


class ShuffledBatches(Sampler):
    """Batches of indices in an order that depends on the seed and the epoch alone.

    So a resumed training sees the same batches as one that was not interrupted. Call `set_epoch`
    before every epoch. device: where the indices are needed.
    """

    def __init__(self, count, batch_size, seed, device="cpu"):
        self.count, self.batch_size, self.seed, self.device = count, batch_size, seed, device
        self.set_epoch(0)

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


def size_of_batch(number, count, batch_size):
    """Signals in a batch of an epoch, of all processes together; the last takes what is left."""
    is_last = number == count_batches(count, batch_size) - 1
    return count - number * batch_size if is_last else batch_size


def loaders(config, device="cpu"):
    """The training loader (streamed, or stored and shuffled) and the validation loader (in order).

    Both yield (clean, mixed), each (batch, 1, length), float32, on the device; pairs that are drawn
    out of recordings are on the CPU. Call `set_epoch` with the training loader before every epoch.
    Raises UserError for faulty data.
    """
    validation = StoredPairs(config, "validation", device)
    size, workers = config.training.batch_size, 0
    if config.data.stream:
        train = StreamedPairs(config, device)
        batches = range(count_batches(len(train), size))
        workers = config.training.workers if config.data.is_recorded else 0
    else:
        pairs = RemixedPairs if config.training.remix else StoredPairs
        train = pairs(config, "train", device)
        batches = ShuffledBatches(len(train), size, config.training.seed, device)
    pins = workers > 0 and torch.device(device).type == "cuda"
    in_order = torch.arange(len(validation)).split(size)
    # Without automatic batching, a batch is read at once instead of signal by signal.
    return (
        DataLoader(train, sampler=batches, batch_size=None, num_workers=workers, pin_memory=pins),
        DataLoader(validation, sampler=in_order, batch_size=None),
    )


def set_epoch(loader, epoch):
    """Choose the epoch of a training loader: the order of its batches, and what is drawn for it."""
    for part in (loader.sampler, loader.dataset):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def first_batch(loader):
    """The first (clean, mixed) of a loader, drawn without its workers."""
    return loader.dataset[next(iter(loader.sampler))]


def batches_of(loader):
    """The batches of a loader; raises UserError if one of its workers dies."""
    try:
        yield from loader
    except (RuntimeError, ConnectionError) as error:
        if loader.num_workers and ("worker" in str(error) or isinstance(error, ConnectionError)):
            raise UserError(
                "a process that draws signals has died; give fewer training.workers, or them more shared memory"
            ) from error
        raise


if __name__ == "__main__":
    run(main)
