"""The pairs of clean and mixed signals that a training sees, as PyTorch data sets.

    python dataset.py       # verify what create_data.py wrote and describe it; writes nothing

Next: python train_gan.py
"""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from dan.command_line import parse_arguments
from dan.errors import run
from dan.metrics import snr_db
from dan.signals import draw_range, mix, play_slower, slowing_matrix
from dan.storage import STORED_SPLITS, load_signals

NUM_FACTORS = 32
LONGEST_MATRIX = 1024  # samples; matrices grow with the square of the length


def main():
    config, _ = parse_arguments(__doc__)
    train_loader, _ = loaders(config)
    for split in STORED_SPLITS:
        describe(split, StoredPairs(config, split))
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

    def set_epoch(self, epoch):
        """Every epoch has the same pairs."""


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
        short = config.data.length <= LONGEST_MATRIX
        self.matrices = slowing_matrices(config, device) if short and self.slowest < 1 else None
        self.set_epoch(0)

    def __len__(self):
        return len(self.clean)

    def __getitem__(self, index):
        factors = self.factors[index].reshape(-1).tolist()
        clean = self.slowed[index]
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
        self.slowed, self.factors = self.clean, torch.ones(len(self), dtype=torch.float64)
        if self.matrices is not None:
            self.slowed = self.slow_half(rng)
        elif self.slowest < 1:  # long signals are slowed down batch by batch, as they are asked for
            slow = rng.random(len(self)) < 0.5
            self.factors = torch.from_numpy(
                np.where(slow, rng.uniform(self.slowest, 1, len(self)), 1.0)
            )

    def slow_half(self, rng):
        """The clean signals, half of them slowed down, in groups that share a factor."""
        slowed = self.clean.clone()
        chosen = torch.from_numpy(rng.permutation(len(self))[: len(self) // 2]).to(slowed.device)
        for group, matrix in zip(chosen.tensor_split(NUM_FACTORS), self.matrices, strict=True):
            slowed[group] = self.clean[group] @ matrix.T
        return slowed


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
    """The training loader (shuffled, and remixed or not) and the validation loader (in order).

    Both yield (clean, mixed), each (batch, 1, length), float32, on the device. Call `set_epoch` of
    the training loader's sampler and data set before every epoch. Raises UserError for faulty data.
    """
    pairs = RemixedPairs if config.training.remix else StoredPairs
    train, validation = pairs(config, "train", device), StoredPairs(config, "validation", device)
    size = config.training.batch_size
    shuffled = ShuffledBatches(len(train), size, config.training.seed)
    in_order = torch.arange(len(validation)).split(size)
    # Without automatic batching, a batch is read at once instead of signal by signal.
    return (
        DataLoader(train, sampler=shuffled, batch_size=None),
        DataLoader(validation, sampler=in_order, batch_size=None),
    )


if __name__ == "__main__":
    run(main)
