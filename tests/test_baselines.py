"""The estimators that are compared, and the bound, against independent computations."""

import numpy as np
import pytest
from conftest import described

from dan.evaluation.baselines import cramer_rao_bound_db, lowpass, wavelet_shrinkage, wiener
from dan.evaluation.metrics import snr_db, total_snr_db
from dan.signals.sines import count_sines, draw, draw_components, streams, unknowns_per_sine

DATA = described().data


def test_lowpass_keeps_the_band_shifts_nothing_and_stops_the_rest():
    evaluation = described().evaluation
    time = np.arange(4096) / 256
    kept, stopped = np.sin(2 * np.pi * 60 * time), np.sin(2 * np.pi * 101 * time)
    middle = slice(1000, 3000)
    out = lowpass(kept, 256, evaluation)
    assert np.abs(out - kept)[middle].max() < 1 - 10 ** (-0.1 / 20) + 1e-3  # 2 · 0.05 dB
    assert np.abs(lowpass(stopped, 256, evaluation))[middle].max() < 1e-4
    assert lowpass(kept[:3], 256, evaluation).shape == (3,)


def test_wiener_is_the_conditional_mean_of_jointly_gaussian_signals():
    """Against the joint covariance of signal and mixture, estimated by regression."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    clean = rng.normal(size=(200_000, 6)) @ root + np.arange(6)
    variance = (clean**2).mean() / 10**0.3
    mixed = clean + rng.normal(size=clean.shape) * variance**0.5
    columns = np.hstack([mixed, np.ones((len(mixed), 1))])
    regression = columns @ np.linalg.lstsq(columns, clean, rcond=None)[0]
    estimate = wiener(mixed, clean, 3.0)
    assert np.abs(estimate - regression).mean() < 0.01 * np.abs(clean).mean()


def test_wiener_of_unknown_signals_is_their_mean():
    clean = draw(DATA, "train", 50)[0]
    estimate = wiener(clean[:3] * 0, clean, -90)
    np.testing.assert_allclose(estimate, np.broadcast_to(clean.mean(0), (3, 256)), atol=1e-4)


def test_wiener_of_signals_that_span_little_is_finite():
    clean = np.repeat(draw(DATA, "train", 1)[0], 9, axis=0)
    for examples in (clean, clean[:1]):
        np.testing.assert_allclose(wiener(clean, examples, 300.0), clean, atol=1e-5)


def tangents(frequency, amplitude, phase, data):
    """∂x/∂θ of a sum of sines for every parameter that is free, (length, parameters)."""
    time = np.arange(data.length)[:, None] / data.sample_rate
    angle = 2 * np.pi * frequency * time + phase
    columns = [2 * np.pi * time * amplitude * np.cos(angle)]
    if data.amplitude_spread:
        columns.append(np.sin(angle))
    if data.random_phase:
        columns.append(amplitude * np.cos(angle))
    return np.hstack(columns)[:, np.tile(amplitude > 0, len(columns))]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data.num_components=1,5"],
        ["data.snr_db=-10,10"],
        ["data.num_components=1,5", "data.snr_db=-10,10", "data.random_phase=true", "data.amplitude_spread=0.5"],
    ],
)
def test_the_bound_is_that_of_noise_projected_on_the_tangents(overrides):
    """A simulation of the best unbiased estimator: the noise that lies along the parameters."""
    data, count = described("dan", *overrides).data, 4000
    clean, _, mixed = (x.astype(float) for x in draw(data, "test", count))
    components = draw_components(data, count, streams(data, "test")[0])
    error = np.empty_like(clean)
    for index, parameters in enumerate(zip(*components, strict=True)):
        basis, _ = np.linalg.qr(tangents(*parameters, data))
        error[index] = basis @ (basis.T @ (mixed - clean)[index])
    unknowns = unknowns_per_sine(data) * count_sines(data, "test", count)
    total, mean = cramer_rao_bound_db(clean, mixed, unknowns)
    assert total_snr_db(clean, clean + error) == pytest.approx(total, abs=0.15)
    assert snr_db(clean, clean + error).mean() == pytest.approx(mean, abs=0.25)


def test_the_bound_of_one_kind_of_signal_has_its_closed_form():
    clean, _, mixed = draw(DATA, "test", 50)
    total, mean = cramer_rao_bound_db(clean, mixed, np.full(50, 3))
    assert total == pytest.approx(-2 + 10 * np.log10(256 / 3), abs=1e-3)
    # −E[10·log10(χ²₃ / 3)], of many draws.
    draws = np.random.default_rng(0).chisquare(3, 1_000_000) / 3
    assert mean - total == pytest.approx(-10 * np.log10(draws).mean(), abs=0.03)


def test_the_bound_of_more_unknowns_than_samples_is_no_worse_than_the_input():
    clean, _, mixed = draw(DATA, "test", 10)
    assert cramer_rao_bound_db(clean, mixed, np.full(10, 300))[0] == pytest.approx(-2, abs=0.1)


def test_wavelet_shrinkage_keeps_steps_and_removes_noise():
    pytest.importorskip("pywt")
    clean = np.repeat(np.sign(np.random.default_rng(0).normal(size=(5, 4))), 64, axis=1)
    mixed = clean + 0.3 * np.random.default_rng(1).normal(size=clean.shape)
    estimate = wavelet_shrinkage(mixed, "haar")
    assert (snr_db(clean, estimate) > snr_db(clean, mixed) + 6).all()


@pytest.mark.parametrize(("snr", "gain"), [(-2, 4.5), (6, 2.5), (14, 1), (34, 0)])
def test_wavelet_shrinkage_gains_where_there_is_noise_and_leaves_clean_signals_clean(snr, gain):
    """Sines up to 64 Hz leak into the finest level, which must not pass for noise."""
    pytest.importorskip("pywt")
    clean, _, mixed = draw(described("dan", f"data.snr_db={snr}").data, "test", 50)
    for wavelet in ("sym8", "db20"):
        assert total_snr_db(clean, wavelet_shrinkage(mixed, wavelet)) > snr + gain
        assert total_snr_db(clean, wavelet_shrinkage(clean, wavelet)) > 45


@pytest.mark.parametrize("length", [4, 5, 37, 1000])
def test_wavelet_shrinkage_takes_any_length_and_level(length):
    pytest.importorskip("pywt")
    mixed = np.random.default_rng(0).normal(size=(2, length)).astype(np.float32)
    estimate = wavelet_shrinkage(mixed)
    assert estimate.shape == mixed.shape and np.isfinite(estimate).all()
    np.testing.assert_allclose(wavelet_shrinkage(1e4 * mixed) / 1e4, estimate, atol=1e-5)
    assert not wavelet_shrinkage(0 * mixed).any()
