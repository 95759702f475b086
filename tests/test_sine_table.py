"""The sines in a denoised signal: against the truth, the bound and simulated errors; the table of denoise.py."""

import csv

import numpy as np
import pytest
import soundfile
import torch
from conftest import described, one_error

import denoise
from dan.denoising import sine_table
from dan.denoising.sines import MOST_SINES, cramer_rao_errors, read_sines

RATE, LENGTH = 256, 256
TIME = np.arange(LENGTH) / RATE


def sum_of(*sines):
    """A signal (LENGTH,) of sines, each (frequency in Hz, amplitude, phase)."""
    return sum(a * np.sin(2 * np.pi * f * TIME + p) for f, a, p in sines)


def values(sines):
    """Frequencies, amplitudes and phases, (sines, 3)."""
    return np.array([sine[::2] for sine in sines])


@pytest.mark.parametrize(
    "sines",
    [
        [(20.3, 1, 0.5)],
        [(2.0, 0.2, 6.0), (120.7, 1, 1.0)],
        [(11.2, 0.3, 0.1), (30.7, 0.15, 3.3), (33.1, 0.25, 6.2), (47.9, 0.2, 2.0), (62.4, 0.1, 4.4)],
    ],
)
@pytest.mark.parametrize("level", [1e-4, 1, 3e4])
def test_sines_without_noise_are_read_exactly(sines, level):
    clean = level * sum_of(*sines)
    found = read_sines(clean, clean, RATE)
    np.testing.assert_allclose(values(found) / [1, level, 1], sines, rtol=1e-6, atol=1e-6)
    # A recording twice as fast has frequencies twice as high.
    np.testing.assert_allclose(values(read_sines(clean, clean, 2 * RATE))[:, 0], 2 * np.array(sines)[:, 0], rtol=1e-6)


def test_the_errors_of_one_sine_are_those_of_the_closed_form():
    """Kay (1993), example 3.14, for a sine that is far from 0 Hz and from half the sample rate."""
    amplitude, power = 0.7, 0.09
    ratio = amplitude**2 / (2 * power)
    found = cramer_rao_errors(np.array([41.3]), np.array([amplitude]), np.array([1.1]), power, LENGTH, RATE)
    expected = [
        RATE * np.sqrt(12 / ((2 * np.pi) ** 2 * ratio * LENGTH * (LENGTH**2 - 1))),
        np.sqrt(2 * power / LENGTH),
        np.sqrt(2 * (2 * LENGTH - 1) / (ratio * LENGTH * (LENGTH + 1))),
    ]
    np.testing.assert_allclose(np.ravel(found), expected, rtol=0.01)


def test_a_neighbour_makes_the_errors_larger():
    far, near = (
        cramer_rao_errors(np.array([30.0, other]), np.ones(2), np.zeros(2), 0.1, LENGTH, RATE) for other in (60, 30.6)
    )
    assert (np.array(near)[:, 0] > 1.5 * np.array(far)[:, 0]).all()
    same = cramer_rao_errors(np.array([30.0, 30.0]), np.ones(2), np.zeros(2), 0.1, LENGTH, RATE)
    assert np.isfinite(same).all() and np.min(same) > 10


def test_the_spread_of_the_estimates_is_that_of_the_errors_beside_them():
    sines = np.array([(17.3, 0.8, 1.0), (23.9, 0.5, 4.0), (51.2, 0.3, 2.5)])
    clean, rng = sum_of(*sines), np.random.default_rng(0)
    found = [read_sines(clean + rng.normal(0, 0.15, LENGTH), clean, RATE) for _ in range(80)]
    assert all(len(signal) == 3 for signal in found)
    found = np.array(found).reshape(80, 3, 3, 2)  # values and errors
    scores = (found[..., 0] - sines) / found[..., 1]
    np.testing.assert_allclose(np.sqrt((scores**2).mean(0)), 1, atol=0.3)
    assert abs(scores.mean(0)).max() < 0.4


def test_nothing_is_read_from_noise_silence_or_hardly_a_sample():
    noise = np.random.default_rng(0).normal(size=LENGTH)
    silence = np.zeros(LENGTH)
    for mixed, denoised in ((noise, silence), (silence, silence), (noise[:5], noise[:5]), ([], [])):
        assert read_sines(mixed, denoised, RATE) == []


def test_traces_of_noise_in_the_denoised_signal_are_no_sines():
    rng, counts = np.random.default_rng(1), []
    clean = sum_of((20.3, 1, 0.5), (44.4, 0.7, 2.0))
    for deviation in (0.01, 0.1, 0.3) * 10:
        noise = rng.normal(0, deviation, LENGTH)
        counts.append(len(read_sines(clean + noise, clean + 0.2 * noise, RATE)))
    assert counts == [2] * 30


def test_there_is_a_most_of_sines():
    sines = [(5.0 + 4.1 * place, 1, place) for place in range(MOST_SINES + 4)]
    clean = sum_of(*sines)
    assert len(read_sines(clean, clean, RATE)) == MOST_SINES


class Keeping(torch.nn.Module):
    """Stands for a generator that removes nothing."""

    context, hop = 300, 128

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, mixed):
        return self.factor * mixed


@pytest.fixture
def call(script, monkeypatch):
    config = described("spectral-any")
    monkeypatch.setattr(denoise, "load_generator", lambda *_: (Keeping(), config))
    return lambda *arguments: script("denoise", *arguments)


def test_denoise_writes_and_prints_a_table(call, tmp_path):
    sines = [(20.3, 0.5, 0.5), (47.1, 0.25, 2.0)]
    both = np.stack([sum_of(*sines), sum_of(sines[0])])
    np.save(tmp_path / "a.npy", both)
    soundfile.write(tmp_path / "b.wav", both.T, RATE, "FLOAT")
    table = tmp_path / "table.csv"
    code, out, err = call(tmp_path / "a.npy", tmp_path / "b.wav", "-o", tmp_path / "out", "--sines", table)
    assert code == 0 and "20.300" in out and "wrote" in out and "6 sines" in out, err
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [(row["recording"][-5:], row["channel"]) for row in rows] == [
        *[("a.npy", "0")] * 2,
        ("a.npy", "1"),
        *[("b.wav", "0")] * 2,
        ("b.wav", "1"),
    ]
    read = [[float(row[name]) for name in ("frequency_hz", "amplitude", "phase_rad")] for row in rows]
    np.testing.assert_allclose(read, 2 * [*sines, sines[0]], atol=1e-4)
    assert all(0 <= float(row["frequency_error_hz"]) < 1e-3 for row in rows)


def test_only_the_beginning_of_a_long_table_is_printed(call, tmp_path, monkeypatch):
    monkeypatch.setattr(sine_table, "MOST_PRINTED", 3)
    np.save(tmp_path / "a.npy", np.tile(sum_of((20.3, 1, 0)), (5, 1)))
    code, out, err = call(tmp_path / "a.npy", "--sines", tmp_path / "t.csv")
    assert code == 0 and "and 2 more" in out and "channel 3" not in out, err


def test_a_table_replaces_nothing_unasked_and_is_refused_where_it_makes_no_sense(call, tmp_path):
    source, table = tmp_path / "a.npy", tmp_path / "table.csv"
    np.save(source, sum_of((20.3, 1, 0)))
    table.write_text("mine")
    given = [source, "-o", tmp_path / "out.npy"]
    for arguments, status, message in (
        ([*given, "--sines", table], 1, "--overwrite"),
        ([*given, "--sines", source, "--overwrite"], 1, "is a recording"),
        ([*given, "--figure", tmp_path / "x", "--sines", tmp_path / "x"], 1, "named twice"),
        ([*given, "--sines", tmp_path / "t.csv", "--dry", "0.1"], 2, "--dry"),
        ([*given, "--sines", tmp_path / "t.csv", "--most", "12"], 2, "--most"),
        (["-", "-o", "-", "--sines", tmp_path / "t.csv"], 2, "need files"),
        (["--live", "--sines", tmp_path / "t.csv"], 2, "--sines"),
        (["--export", tmp_path / "x.onnx", "--sines", tmp_path / "t.csv"], 2, "--sines"),
    ):
        code, _, err = call(*arguments)
        assert code == status and message in one_error(err)
    assert table.read_text() == "mine" and sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "table.csv"]
    assert call(*given, "--sines", table, "--overwrite")[0] == 0 and table.read_text().startswith("recording,")


def test_a_long_recording_is_refused_before_anything_is_written(call, tmp_path, monkeypatch):
    monkeypatch.setattr(sine_table, "MOST_SAMPLES", LENGTH)
    np.save(tmp_path / "short.npy", sum_of((20.3, 1, 0)))
    np.save(tmp_path / "long.npy", np.zeros(LENGTH + 1))
    both = [tmp_path / "short.npy", tmp_path / "long.npy"]
    code, _, err = call(*both, "-o", tmp_path / "out", "--sines", tmp_path / "t.csv")
    assert code == 1 and "long.npy is too long" in one_error(err) and "256 samples" in one_error(err)
    assert not (tmp_path / "out").exists() and not (tmp_path / "t.csv").exists()
    assert call(both[0], "-o", tmp_path / "out.npy", "--sines", tmp_path / "t.csv")[0] == 0
