"""Several processes that train together: their shares, their gradients, and the death of one."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import REDUCED, described

from config import REPOSITORY
from create_data import create_data
from dan import processes
from dan.configuration import resolve
from dan.errors import ConfigurationError, UserError
from dataset import ShuffledBatches, StreamedPairs
from train_gan import run_training

GRADIENTS = """
import sys
import torch
from dan import processes
from dan.losses import l1_loss
from models import build_generator
from dan.configuration import resolve

torch.manual_seed(0)
cpu, found = torch.device("cpu"), []
with processes.together(cpu):
    for preset in ("spectral", "dan-small"):
        clean, mixed = torch.randn(2, 7, 1, 256)
        generator = build_generator(resolve(preset)).eval()
        network = processes.shared(generator, cpu)
        own = [processes.share_of(signals) for signals in (clean, mixed)]
        (processes.loss_factor(len(own[0]), 7) * l1_loss(network(own[1]), own[0])).backward()
        found += [p.grad for p in generator.parameters()] + list(generator.buffers())
        del network
    sums = processes.sums({"count": len(own[0])}, cpu)
    chosen = processes.as_first(lambda: processes.rank() + 7)
    if processes.is_first():
        torch.save((found, int(sums["count"]), chosen), sys.argv[1])
"""

SILENCE = """
import time
from datetime import timedelta
import torch
from dan import processes
from dan.errors import run

def main():
    processes.LONGEST_WAIT = timedelta(seconds=1)
    with processes.together(torch.device("cpu")):
        processes.as_first(int)
        if not processes.is_first():
            time.sleep(1000)
        processes.sums({"count": 1}, torch.device("cpu"))

run(main)
"""


def torchrun(*arguments, **options):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *arguments]
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )


def children_of(process):
    """The process numbers of the trainings that a torchrun of that number has started."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found = [line.split(None, 2) for line in listed.splitlines()]
    return sorted(
        int(pid) for pid, parent, arguments in found if int(parent) == process and "train_gan.py" in arguments
    )


def test_two_processes_have_the_gradients_of_one(tmp_path):
    """With frozen batch statistics, since each process on a CPU would take those of its own share."""
    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    alone = subprocess.run(
        [sys.executable, script, tmp_path / "one.pt"], env=environment, capture_output=True, text=True, check=False
    )
    assert alone.returncode == 0, alone.stderr
    both = torchrun(script, tmp_path / "two.pt", env=environment)
    _, err = both.communicate(timeout=100)
    assert both.returncode == 0 and "Warning" not in err, err
    (one, count, chosen), two = torch.load(tmp_path / "one.pt"), torch.load(tmp_path / "two.pt")
    assert count == two[1] == 7 and chosen == two[2] == 7
    for expected, gradient in zip(one, two[0], strict=True):
        difference = (gradient - expected).float().norm()
        assert difference < 1e-4 * expected.float().norm() + 1e-6


@pytest.mark.parametrize("stream", ["true", "false"])
def test_the_shares_make_up_every_batch(stream, overrides, monkeypatch):
    config = resolve("dan", [*overrides, f"data.stream={stream}"])
    create_data(config)

    def batches():
        if stream == "true":
            pairs = StreamedPairs(config)
            return [pairs[number][1].numpy() for number in range(pairs.num_batches())]
        return [batch.numpy() for batch in ShuffledBatches(40, 8, 0)]

    whole, shares = batches(), []
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(batches())
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [len(part) for part in parts] == [2, 3, 3]
        np.testing.assert_array_equal(np.concatenate(parts), batch)


def test_too_small_a_batch_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    processes.check_batch(8)
    with pytest.raises(ConfigurationError, match="8 or more"):
        processes.check_batch(7)


def test_the_loss_of_another_process_is_told_in_torchs_own_words(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes.distributed, "init_process_group", lambda *_, **__: None)
    with (
        pytest.raises(UserError, match=r"has ended.*--resume \(NCCL error: no such device\)$"),
        processes.together(torch.device("cpu")),
    ):
        raise RuntimeError("NCCL error: no such device\nand a long story")


def test_a_process_that_is_silent_for_too_long_is_given_up(tmp_path):
    """As one whose machine has no power any more."""
    script = tmp_path / "silence.py"
    script.write_text(SILENCE)
    both = torchrun(script, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    _, err = both.communicate(timeout=100)
    assert both.returncode != 0 and "cannot be reached any more; go on with --resume (" in err


@pytest.mark.skipif(os.name == "nt", reason="has no SIGKILL and no ps")
def test_the_death_of_one_ends_the_other_and_the_training_goes_on(tmp_path):
    folders = [f"paths.{name}={tmp_path / name}" for name in ("data", "images")]
    # Few validation signals, so that few figures are drawn.
    settings = [*REDUCED, *folders, "training.max_epochs=10", "data.num_validation=1"]
    create_data(described("dan", *settings))

    def train(name, *more):
        return torchrun("train_gan.py", "--preset", "dan", *settings, f"paths.checkpoints={tmp_path / name}", *more)

    whole = train("whole")
    out, err = whole.communicate(timeout=100)
    assert whole.returncode == 0 and out.count("2 processes") == 1, err
    broken = train("broken")
    history = tmp_path / "broken/dan/history.csv"
    try:
        while len(children := children_of(broken.pid)) < 2 or not history.exists():
            assert broken.poll() is None
            time.sleep(0.01)
        os.kill(children[-1], signal.SIGKILL)
        broken.communicate(timeout=60)
    finally:
        os.killpg(broken.pid, signal.SIGKILL) if broken.poll() is None else None
    assert broken.returncode != 0
    resumed = train("broken", "--resume")
    _, err = resumed.communicate(timeout=100)
    assert resumed.returncode == 0, err
    assert history.read_bytes() == (tmp_path / "whole/dan/history.csv").read_bytes()
    # One process goes on with what two have begun.
    alone = resolve("dan", [*settings, f"paths.checkpoints={tmp_path / 'broken'}", "training.max_epochs=11"])
    assert run_training(alone, resumes=True).epoch == 11
