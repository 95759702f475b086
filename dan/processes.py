"""Several processes that train one generator together, as torchrun starts them; or one by itself.

    torchrun --standalone --nproc-per-node=2 train_gan.py --preset spectral

Each process takes its share of every batch; DistributedDataParallel averages their gradients. The
first one decides, writes and speaks for all.
"""

import gc
import os
import sys
import traceback
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed, nn

from dan.errors import ConfigurationError, UserError

LOST = "another process of this training has ended, or cannot be reached any more; go on with --resume"

# The others wait while the first process validates and saves. One whose machine vanished, without
# closing its connections, is waited for as long.
LONGEST_WAIT = timedelta(minutes=30)


def count():
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank():
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first():
    return rank() == 0


@contextmanager
def first_only(context):
    """Enter a context in the first process alone."""
    if is_first():
        with context:
            yield
    else:
        yield


@contextmanager
def together(device):
    """Join the processes that torchrun started; for one process by itself, nothing.

    Only the first one prints. Raises UserError if another one is lost on the way.
    """
    if count() == 1:
        yield
        return
    if not is_first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 until the process ends
    try:
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=LONGEST_WAIT)
        yield
    except BaseException as error:
        # What still holds on to the connections when they are closed would wait for ever.
        traceback.clear_frames(error.__traceback__)
        # Gloo's errors have no type of their own.
        if isinstance(error, RuntimeError) and is_loss(error):
            first_line = str(error).partition("\n")[0]
            raise UserError(f"{LOST} ({first_line})") from None
        raise
    finally:
        gc.collect()  # DistributedDataParallel refers to itself; left over, it may abort the exit
        if distributed.is_initialized():
            distributed.destroy_process_group()


def is_loss(error):
    """Whether an error of torch says that another process is gone."""
    text = str(error).lower()
    return any(sign in text for sign in ("gloo", "connection", "nccl", "timed out", "peer"))


def device_of(device):
    """The GPU of this process among those of its machine, where it trains on GPUs."""
    if count() > 1 and device.type not in ("cuda", "cpu"):
        raise ConfigurationError(f"several processes cannot train on {device}; give training.device=cpu")
    if device.type != "cuda" or count() == 1:
        return device
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= torch.cuda.device_count():
        raise ConfigurationError(
            f"process {local} of this machine has no GPU of its own; start at "
            f"most {torch.cuda.device_count()}, or give training.device=cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def check_batch(batch_size):
    """Raise ConfigurationError where a process would have less than two signals of a batch."""
    if count() > 1 and batch_size < 2 * count():
        raise ConfigurationError(
            f"a batch of {batch_size} is too small for {count()} processes: batch normalisation "
            f"needs two signals in each; set training.batch_size to {2 * count()} or more"
        )


def shared(network, device):
    """The network as processes train it together; by itself for one process."""
    if count() == 1 or not any(p.requires_grad for p in network.parameters()):
        return network
    ids = [device.index] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(network, device_ids=ids)


def synchronised(network, device):
    """The network with batch statistics over all processes."""
    if count() == 1:
        return network
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                norm = SharedBatchNorm(child.num_features, child.eps, child.momentum)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm.train(child.training))
    return network


class Sum(torch.autograd.Function):
    """The sum of a tensor over the processes; its gradient is summed likewise."""

    @staticmethod
    def forward(_, values):
        values = values.clone()
        distributed.all_reduce(values)
        return values

    @staticmethod
    def backward(_, gradient):
        return Sum.forward(_, gradient)


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over all processes, on CPUs, where torch's SyncBatchNorm does not work.

    (batch, channels, ...) to the same shape; of one process, just what torch's layers do.
    """

    def _check_input_dim(self, signals):
        pass  # torch asks for it; any number of dimensions will do

    def forward(self, signals):
        if not (self.training and distributed.is_initialized()):
            return super().forward(signals)
        others = [dimension for dimension in range(signals.ndim) if dimension != 1]
        variance, mean = (x.double() for x in torch.var_mean(signals.float(), others, correction=0))
        size = mean.new_tensor([signals.numel() / signals.shape[1]])
        own = torch.cat([size * mean, size * (variance + mean.square()), size])
        *sums, size = Sum.apply(own).split([self.num_features, self.num_features, 1])
        mean, square = (total / size for total in sums)
        variance = square - mean.square()
        with torch.no_grad():
            unbiased = variance * size / (size - 1)
            for running, now in ((self.running_mean, mean), (self.running_var, unbiased)):
                running.lerp_(now.float(), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt().float()
        shift = self.bias - mean.float() * scale
        shape = [-1 if dimension == 1 else 1 for dimension in range(signals.ndim)]
        return signals * scale.view(shape) + shift.view(shape)


def share_of(batch):
    """This process's part of a sequence; the parts differ by one element at most."""
    first, last = (len(batch) * number // count() for number in (rank(), rank() + 1))
    return batch[first:last]


def share_of_loss(loss, own, whole):
    """A mean over `own` signals of a `whole` batch, weighted for DistributedDataParallel.

    It averages over the processes, of which one may have a signal more than another.
    """
    return loss if count() == 1 else loss * (count() * own / whole)


def sums(totals, device):
    """{name: sum over the processes} of {name: number or tensor of one value}."""
    if count() == 1:
        return totals
    values = torch.stack([torch.as_tensor(value, dtype=torch.float64, device=device) for value in totals.values()])
    distributed.all_reduce(values)
    return dict(zip(totals, values, strict=True))


def as_first(function, *arguments):
    """What the function returns in the first process, in all; the others do not call it."""
    if count() == 1:
        return function(*arguments)
    box = [function(*arguments) if is_first() else None]
    distributed.broadcast_object_list(box)
    return box[0]
