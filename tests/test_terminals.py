"""Terminals, backends and standard streams of every kind: a script prints, and ends."""

import importlib
import io
import os
import subprocess
import sys

import pytest
import soundfile
import torch
from conftest import described, one_error

from config import REPOSITORY
from dan.errors import run
from dan.training.checkpoints import write_checkpoint
from dan.training.state import new_training

SCRIPTS = ("models", "create_data", "dataset", "train_gan", "evaluate", "denoise")
ENCODINGS = ("ascii", "cp1252", "cp437", "latin-1")


def called(name, *arguments, **environment):
    """A script in a process of its own: the finished process, its output as bytes."""
    return subprocess.run(
        [sys.executable, str(REPOSITORY / f"{name}.py"), *arguments],
        capture_output=True,
        env=os.environ | environment,
        timeout=100,
    )


def small_denoiser(folder):
    """The path of a checkpoint in the folder, as text."""
    config = described("audio", "generator.channels=2", "generator.blocks=0")
    write_checkpoint(folder / "best.pt", new_training(config, torch.device("cpu")).checkpoint(config))
    return str(folder / "best.pt")


@pytest.fixture
def as_encoding(monkeypatch):
    """Run a script whose standard output has an encoding; returns code and printed bytes."""

    def call(encoding, name, *arguments):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [f"{name}.py", *arguments])
            patch.setattr(sys, "stdout", stream)
            code = 0
            try:
                run(importlib.import_module(name).main)
            except SystemExit as end:
                code = end.code
            stream.flush()
        return code, stream.buffer.getvalue()

    return call


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_script_prints_on_every_terminal(encoding, as_encoding):
    for name in SCRIPTS:
        code, out = as_encoding(encoding, name, "--help", "--preset", "audio")
        assert code == 0 and b"data.amplitude_spread" in out
    code, out = as_encoding("ascii", "create_data", "--help")
    assert b"uniform in 1 ? this" in out


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_denoised_file_is_reported_on_every_terminal(encoding, as_encoding, tmp_path):
    soundfile.write(tmp_path / "in.wav", torch.randn(4000).numpy() / 9, 8000)
    code, out = as_encoding(
        encoding,
        "denoise",
        str(tmp_path / "in.wav"),
        "-o",
        str(tmp_path / "out.wav"),
        "--checkpoint",
        small_denoiser(tmp_path),
    )
    assert code == 0 and b"real time" in out


def test_damaged_mp3_are_a_line_each_and_what_is_missing_is_said(tmp_path):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/whole.mp3", torch.randn(24_000).numpy() / 9, 8000)
    content = (tmp_path / "in/whole.mp3").read_bytes()
    (tmp_path / "in/cut.mp3").write_bytes(content[: len(content) // 2])
    (tmp_path / "in/zeros.mp3").write_bytes(bytes(20_000))
    result = called(
        "denoise",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--checkpoint",
        small_denoiser(tmp_path),
        "training.device=cpu",
    )
    errors = result.stderr.decode().splitlines()
    assert len(errors) == 2 and "zeros.mp3 is unreadable (damaged, or not audio)" in errors[0]
    assert "1 of 3 recordings were not denoised" in errors[1]
    assert result.stdout.decode().count("it ends early") == 1


def test_a_process_with_a_plain_terminal_ends_well():
    result = called("models", "--help", PYTHONIOENCODING="ascii")
    assert result.returncode == 0 and b"uniform in 1 ? this" in result.stdout


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "inline", "x!"])
def test_figures_need_no_backend(backend, overrides, tmp_path):
    result = called("create_data", *overrides, MPLBACKEND=backend)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "images/dan/created_data.png").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_a_full_standard_output_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, str(REPOSITORY / "models.py"), *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert result.returncode == 1 and "standard output: No space left" in one_error(result.stderr)


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_is_no_fault(closed):
    result = subprocess.run([sys.executable, str(REPOSITORY / "models.py")], preexec_fn=lambda: os.close(closed))
    assert result.returncode == 0


def test_a_recording_is_denoised_without_any_stream(tmp_path):
    soundfile.write(tmp_path / "in.wav", torch.randn(4000).numpy() / 9, 8000)
    arguments = ["in.wav", "--checkpoint", small_denoiser(tmp_path), "training.device=cpu"]
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "denoise.py"), *arguments],
        cwd=tmp_path,
        preexec_fn=lambda: os.closerange(0, 3),
    )
    assert result.returncode == 0 and soundfile.info(tmp_path / "in.denoised.wav").frames == 4000


def test_a_fault_needs_no_standard_error():
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "models.py"), "--nonsense"], preexec_fn=lambda: os.close(2)
    )
    assert result.returncode == 2


def test_a_bar_is_drawn_at_a_terminal_alone(overrides, script, monkeypatch):
    assert "signal/s" not in script("create_data", *overrides)[2]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "signal/s" in script("create_data", *overrides)[2]
