"""Nothing is lost: killed and stopped trainings, full disks, two runs at once, spoilt losses."""

import os
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import torch
from conftest import one_error

import train_gan
from config import REPOSITORY
from create_data import create_data
from dan import files
from dan.configuration import generator_kind, resolve
from dan.errors import UserError, uninterrupted
from dan.files import locked, write_bytes
from dan.losses import RECONSTRUCTION_LOSSES
from dan.signals.store import checksum, read_manifest, write_manifest
from dan.training.checkpoints import read_checkpoint
from dan.training.state import new_training
from dataset import loaders
from presets import PRESETS
from train_gan import train

KILLS = 2
SMALL = {
    "waveform": [
        "generator.depth=2",
        "generator.encoder_filters=4",
        "generator.decoder_filters=4",
        "generator.kernel_size=16",
    ],
    "spectral": ["generator.channels=4", "generator.blocks=1"],
    "pursuit": ["generator.channels=4", "generator.blocks=1", "generator.sines=2"],
    "causal": [
        "generator.channels=4",
        "generator.bands=4",
        "generator.blocks=1",
        "generator.shared_units=8",
        "data.sample_rate=8000",
        "data.duration=0.25",
        "generator.frame_length=256",
    ],
    "short-time": [
        "generator.channels=4",
        "generator.levels=2",
        "generator.blocks=1",
        "data.sample_rate=8000",
        "data.duration=0.25",
        "generator.frame_length=256",
    ],
}


def reduced(preset, folder, *more):
    """The overrides of a preset that trains in a second, in a folder of its own."""
    return [
        *SMALL[generator_kind(resolve(preset))],
        "data.num_train=40",
        "data.num_validation=12",
        "training.batch_size=8",
        "training.pretrain_epochs=2",
        "training.max_epochs=4",
        "training.device=cpu",
        *(f"paths.{name}={folder / name}" for name in ("data", "images", "checkpoints")),
        *more,
    ]


def started(script, *arguments):
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / f"{script}.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(folder):
    """The results of a training: the weights of both networks, best and last, and the history."""
    checkpoints = [read_checkpoint(folder / name) for name in ("best.pt", "last.pt")]
    weights = [c[network] for c in checkpoints for network in ("generator", "discriminator")]
    return weights, (folder / "history.csv").read_bytes()


def assert_equal(one, other):
    assert one[1] == other[1]
    for first, second in zip(one[0], other[0], strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


# Without those that differ from another one in their data alone.
@pytest.mark.parametrize("preset", sorted(PRESETS.keys() - {"speech-own"}))
@pytest.mark.parametrize("last", [1, 3])
def test_every_preset_resumes_exactly_in_both_phases(preset, last, tmp_path):
    whole = resolve(preset, reduced(preset, tmp_path))
    create_data(whole)
    device = torch.device("cpu")
    train(new_training(whole, device), *loaders(whole), whole)
    cut = resolve(preset, reduced(preset, tmp_path, f"paths.checkpoints={tmp_path / 'cut'}"))
    first = new_training(cut, device)

    class Killed(BaseException):
        pass

    def killing(state, *arguments):
        if state.epoch == last:
            raise Killed
        return game_validate(state, *arguments)

    game_validate, train_gan.validate = train_gan.validate, killing
    try:
        with pytest.raises(Killed):
            train(first, *loaders(cut), cut)
    finally:
        train_gan.validate = game_validate
    again = new_training(cut, device)
    path = cut.checkpoint_folder / "last.pt"
    again.restore(read_checkpoint(path), path)
    assert again.epoch == last
    train(again, *loaders(cut), cut)
    assert_equal(results(whole.checkpoint_folder), results(cut.checkpoint_folder))


def test_a_training_killed_at_any_moment_goes_on_as_if_nothing_had_happened(script, tmp_path):
    # So many weights that a good part of the time goes into writing them.
    settings = reduced(
        "dan",
        tmp_path,
        "generator.encoder_filters=32",
        "generator.decoder_filters=32",
        "training.max_epochs=12",
        "data.num_validation=1",
    )  # of which few figures are drawn
    assert script("create_data", *settings)[0] == 0
    # In a process of its own as well: the number of threads may change the last bit.
    whole = started("train_gan", *settings)
    assert whole.communicate() and whole.returncode == 0
    cut = [*settings, f"paths.checkpoints={tmp_path / 'cut'}"]
    folder, draw = tmp_path / "cut/dan", random.Random(0)
    in_a_write = 0
    for kill in range(KILLS):
        resumable = (folder / "last.pt").exists()
        process = started("train_gan", *cut, "--resume" if resumable else "--restart")
        known = (folder / "last.pt").stat().st_mtime_ns if resumable else 0
        if kill % 2:  # in the middle of a write
            while not (written := list(folder.glob(".*.partial"))) and process.poll() is None:
                pass
            in_a_write += bool(written)
        else:  # anywhere, from the imports on, but not before some epochs are saved
            while (
                not (folder / "last.pt").exists() or (folder / "last.pt").stat().st_mtime_ns == known
            ) and process.poll() is None:
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.05))
        assert process.poll() is None, process.communicate()[1]
        process.kill()
        process.communicate()
    assert in_a_write == KILLS // 2
    last = started("train_gan", *cut, "--resume")
    assert last.communicate() and last.returncode == 0
    assert_equal(results(tmp_path / "checkpoints/dan"), results(folder))
    assert not list(folder.glob("*.partial"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_with_the_last_epoch_saved(number, code, overrides, script, tmp_path):
    script("create_data", *overrides)
    long_run = [*overrides, "training.max_epochs=100000", "training.patience=100000"]
    process = started("train_gan", *long_run)
    while not (tmp_path / "checkpoints/dan/history.csv").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    error = one_error(process.communicate()[1])
    saved = read_checkpoint(tmp_path / "checkpoints/dan/last.pt")["epoch"]
    assert process.returncode == code and f"epoch {saved} is saved; go on with --resume" in error
    more = [*long_run, f"training.max_epochs={saved + 1}"]
    assert script("train_gan", *more, "--resume")[0] == 0


def test_signals_wait_for_the_end_of_a_write():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append("written")
    assert done == ["written"]


@pytest.mark.parametrize(
    ("work", "code", "err"),
    [
        ("pass", 0, ""),
        ("raise errors.UserError('mend this')", 1, "error: mend this\n"),
        ("raise KeyboardInterrupt", 130, "error: stopped by Ctrl-C\n"),
    ],
)
def test_a_signal_after_the_end_changes_nothing(work, code, err):
    program = f"""
import atexit, os, signal
from dan import errors
def main():
    {work}
for number in (signal.SIGINT, signal.SIGTERM):
    atexit.register(os.kill, os.getpid(), number)
errors.run(main)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (code, err)


@pytest.mark.parametrize("name", ["create_data", "train_gan", "evaluate", "denoise"])
def test_a_full_disk_ends_with_one_line_and_what_there_was(name, overrides, script, tmp_path):
    script("create_data", *overrides)
    script("train_gan", *overrides)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    soundfile.write(tmp_path / "in.wav", np.random.default_rng(0).normal(size=40_000) / 9, 8000)
    arguments = {
        "train_gan": [*overrides, "training.max_epochs=6", "--resume"],
        "denoise": [
            str(tmp_path / "in.wav"),
            "-o",
            str(tmp_path / "out.wav"),
            "--checkpoint",
            str(tmp_path / "checkpoints/dan/best.pt"),
        ],
    }.get(name, overrides)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        code, _, err = script(name, *arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = one_error(err)
    assert code == 1 and "cannot write" in error and "bytes are free" in error
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert not [path for path in after if path.name.endswith(".partial")]
    if name != "create_data":  # whose manifest then says that the data are incomplete
        assert all(after[path] == content for path, content in before.items())


def test_a_second_training_of_a_folder_is_refused(overrides, script, tmp_path):
    script("create_data", *overrides)
    process = started("train_gan", *overrides, "training.max_epochs=100000", "training.patience=100000")
    while not (tmp_path / "checkpoints/dan/last.pt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    code, _, err = script("train_gan", *overrides, "--restart")
    assert code == 1 and "is in use by another process" in one_error(err)
    process.kill()
    process.communicate()
    # The lock of a dead process is no obstacle.
    assert script("train_gan", *overrides, "--restart")[0] == 0


def test_a_lock_ends_with_its_block(tmp_path):
    with locked(tmp_path):
        pass
    with locked(tmp_path), pytest.raises(UserError, match="in use by another process"), locked(tmp_path):
        pass


def test_a_training_is_not_replaced_by_accident(overrides, script, tmp_path):
    folder = tmp_path / "checkpoints/dan"
    script("create_data", *overrides)
    assert script("train_gan", *overrides)[0] == 0
    before = (folder / "last.pt").read_bytes()
    code, _, err = script("train_gan", *overrides)
    assert code == 1 and "--resume" in one_error(err) and "--restart" in one_error(err)
    assert script("train_gan", *overrides, "--resume", "--restart")[0] == 2
    for number in (1, 2):
        code, out, _ = script("train_gan", *overrides, "--restart", f"training.seed={number}")
        assert code == 0 and f"earlier-{number}" in out
    assert (folder / "earlier-1/last.pt").read_bytes() == before
    assert {p.name for p in (folder / "earlier-2").iterdir()} == {"best.pt", "last.pt", "history.csv", "settings.txt"}


def test_a_loss_that_is_not_finite_stops_the_run(overrides, script, tmp_path, monkeypatch):
    script("create_data", *overrides)
    assert script("train_gan", *overrides, "training.max_epochs=3")[0] == 0
    before = (tmp_path / "checkpoints/dan/last.pt").read_bytes()
    monkeypatch.setitem(RECONSTRUCTION_LOSSES, "L1", lambda denoised, *others: denoised.sum() / 0)
    code, _, err = script("train_gan", *overrides, "--resume")
    error = one_error(err)
    assert code == 1 and "epoch 4, step 1" in error and "training.generator_lr" in error
    assert (tmp_path / "checkpoints/dan/last.pt").read_bytes() == before


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "last.pt"
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    ).stdout.strip()
    left = [tmp_path / f".{files.mark(path)}-{process}.partial" for process in (dead, os.getpid())]
    kept = [
        tmp_path / name
        for name in (
            f".{files.mark(path)}-{os.getppid()}.partial",
            f".{files.mark(path)}-\u00b2.partial",
            f".{files.mark(tmp_path / 'best.pt')}-{dead}.partial",
            ".my.999999.partial",
            ".mine.partial",
            "notes.partial",
        )
    ]
    for other in (*left, *kept):
        other.write_text("mine")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert not any(map(os.path.exists, left)) and all(map(os.path.exists, kept))


def test_no_write_follows_a_link_that_was_planted(tmp_path):
    mine, path = tmp_path / "mine", tmp_path / "last.pt"
    mine.write_text("mine")
    (tmp_path / f".{files.mark(path)}-{os.getpid()}.partial").symlink_to(mine)
    (tmp_path / ".lock").symlink_to(mine)
    write_bytes(path, b"new")
    with pytest.raises(UserError, match=r"\.lock is not a regular file; remove it"), locked(tmp_path):
        pass
    assert path.read_bytes() == b"new" and mine.read_text() == "mine"


def test_a_name_as_long_as_the_system_allows_is_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".wav")
    write_bytes(path, b"content")
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_of_a_persons_own_in_a_lock_stays(tmp_path):
    (tmp_path / ".lock").write_text("do not touch\n")
    with locked(tmp_path), pytest.raises(UserError, match="in use by another process"), locked(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "do not touch\n"


def test_a_rename_is_flushed_with_its_folder(tmp_path, monkeypatch):
    flushed = []
    fsync = os.fsync
    monkeypatch.setattr(
        files.os, "fsync", lambda file: flushed.append(os.readlink(f"/proc/self/fd/{file}")) or fsync(file)
    )
    write_bytes(tmp_path / "file", b"content")
    assert flushed[-1] == str(tmp_path) and flushed[0].endswith(".partial")


def test_other_data_of_the_same_settings_are_noticed(overrides, script, config, tmp_path):
    script("create_data", *overrides)
    assert script("train_gan", *overrides, "training.max_epochs=2")[0] == 0
    path = config.data_folder / "train/clean/clean_0001.npy"
    np.save(path, -np.load(path))
    manifest = read_manifest(config.data_folder)
    clean = [np.load(path.with_name(f"clean_{number:04d}.npy")) for number in range(1, 41)]
    manifest["checksums"]["train"]["clean"] = checksum(np.stack(clean))
    write_manifest(config.data_folder, manifest)
    code, _, err = script("train_gan", *overrides, "training.max_epochs=3", "--resume")
    assert code == 1 and "was trained on other signals" in one_error(err)


def test_a_changed_number_of_epochs_is_said(overrides, script):
    script("create_data", *overrides)
    assert script("train_gan", *overrides, "training.max_epochs=2")[0] == 0
    code, out, _ = script("train_gan", *overrides, "training.max_epochs=3", "--resume")
    assert code == 0 and "was 2 and is 3: the learning rates follow the new schedule" in out


def test_last_pt_is_read_under_the_lock(overrides, script, config):
    script("create_data", *overrides)
    assert script("train_gan", *overrides)[0] == 0
    (config.checkpoint_folder / "last.pt").write_bytes(b"another process writes this now")
    with locked(config.checkpoint_folder):
        code, _, err = script("train_gan", *overrides, "--resume")
    assert code == 1 and "is in use by another process" in one_error(err)


def test_a_lock_that_is_a_pipe_is_named(tmp_path):
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(UserError, match="not a regular file"), locked(tmp_path):
        pass


@pytest.mark.parametrize("name", ["created_data.png", "performance_plot.png", "snr_improvement.png"])
def test_a_figure_of_a_persons_own_is_not_replaced(name, overrides, script, config):
    place = config.image_folder / name
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    codes = [script(step, *overrides)[0] for step in ("create_data", "train_gan")]
    if name == "snr_improvement.png":
        codes.append(script("evaluate", *overrides)[0])
    assert 1 in codes and place.read_bytes() == b"mine"


def test_a_write_that_fails_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"earlier")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device \(.* bytes are free"):
        write_bytes(path, b"later")
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


def test_too_large_a_network_is_refused_before_it_takes_memory(overrides, script):
    script("create_data", *overrides)
    code, _, err = script("train_gan", *overrides, "generator.encoder_filters=4096", "generator.kernel_size=4096")
    assert code == 2 and "parameters, more than" in one_error(err)
