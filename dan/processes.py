"""Several processes that train one generator together, as torchrun starts them; or one by itself.

    torchrun --standalone --nproc-per-node=2 train_gan.py --preset spectral

Each process takes its share of every batch; DistributedDataParallel averages their gradients. The first one
decides, writes and prints for all.
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

LOST_PROCESS = "another process of this training has ended, or cannot be reached any more; go on with --resume"

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
        # Objects that still use the connections when these are closed would wait for ever.
        traceback.clear_frames(error.__traceback__)
        # Gloo's errors have no type of their own.
        if isinstance(error, RuntimeError) and is_lost_connection(error):
            first_line = str(error).partition("\n")[0]
            raise UserError(f"{LOST_PROCESS} ({first_line})") from None
        raise
    finally:
        gc.collect()  # DistributedDataParallel refers to itself; left over, it may abort the exit
        if distributed.is_initialized():
            distributed.destroy_process_group()


def is_lost_connection(error):
    """Whether an error of torch says that another process is gone."""
    text = str(error).lower()
    return any(sign in text for sign in ("gloo", "connection", "nccl", "timed out", "peer"))


def choose_device(name):
    """The torch device of that name: `auto` takes CUDA, else MPS, else the CPU.

    Of several processes that train on GPUs, each gets one of its machine for itself. Raises ConfigurationError
    where there is no such device, or not one for each process.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # some names are known and hold no numbers
    except Exception as error:  # torch has errors of every kind for a device that is not there
        raise ConfigurationError(f"training.device={name} is not available here; use auto, cpu, cuda or mps") from error
    if count() == 1 or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ConfigurationError(f"several processes cannot train on {device}; give training.device=cpu")
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
    """The network as all processes train it together; by itself for one process, or without gradients.

    On GPUs the batch statistics are those of the whole batch. On CPUs, where torch has no such layer, each process
    normalises with those of its own share, and the running means are the first one's.
    """
    if count() == 1 or not any(p.requires_grad for p in network.parameters()):
        return network
    if device.type == "cpu":
        return nn.parallel.DistributedDataParallel(network)
    nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return nn.parallel.DistributedDataParallel(network, device_ids=[device.index])


def share_of(batch):
    """This process's part of a sequence; the parts differ by one element at most."""
    first, last = (len(batch) * number // count() for number in (rank(), rank() + 1))
    return batch[first:last]


def loss_factor(own, whole):
    """The factor of a mean loss over `own` signals of a `whole` batch, for DistributedDataParallel.

    It averages over the processes, of which one may have a signal more than another.
    """
    return count() * own / whole


def sums(totals, device):
    """{name: sum over the processes} of {name: number or tensor of one value}."""
    if count() == 1:
        return totals
    values = torch.stack([torch.as_tensor(value, dtype=torch.float64, device=device) for value in totals.values()])
    distributed.all_reduce(values)
    return dict(zip(totals, values, strict=True))


def as_first(function, *arguments):
    """The function's result in the first process, for all of them; the others do not call it."""
    if count() == 1:
        return function(*arguments)
    box = [function(*arguments) if is_first() else None]
    distributed.broadcast_object_list(box)
    return box[0]
