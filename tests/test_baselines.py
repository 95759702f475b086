"""The estimators that are compared, and the bound, against independent computations."""

import numpy as np
import pytest

from baselines import (
    cramer_rao_bound_db,
    lowpass,
    mean_of_decibels_db,
    sinusoid_oracle,
    wavelet_shrinkage,
    wiener,
)
from config import resolve
from signals import draw, snr_db, total_snr_db

DATA = resolve().data


def test_lowpass_keeps_the_band_shifts_nothing_and_stops_the_rest():
    evaluation = resolve().evaluation
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


def test_the_oracle_recovers_clean_signals_and_reaches_the_bound_in_noise():
    clean, _, mixed = draw(DATA, "test", 60)
    assert snr_db(clean, sinusoid_oracle(clean, 3, DATA)).min() > 60
    estimate = sinusoid_oracle(mixed, 3, DATA)
    bound = cramer_rao_bound_db(-2, 256, 3)
    assert abs(total_snr_db(clean, estimate) - bound) < 1
    mean = snr_db(clean, estimate).mean()
    assert abs(mean - bound - mean_of_decibels_db(3)) < 1


def test_the_bound_is_the_energy_of_noise_projected_on_the_tangent_space():
    """σ² · trace of the projection on the Jacobian's columns, computed from a Jacobian."""
    time = np.arange(256) / 256
    jacobian = np.stack([time * np.cos(2 * np.pi * f * time) for f in (13.0, 29.5, 51.2)], 1)
    projection = jacobian @ np.linalg.pinv(jacobian)
    clean_power, variance = 0.2, 0.2 * 10**0.2
    expected = 10 * np.log10(clean_power * 256 / (variance * np.trace(projection)))
    assert cramer_rao_bound_db(-2, 256, 3) == pytest.approx(expected)


def test_the_mean_of_decibels_is_that_of_chi_square_draws():
    draws = np.random.default_rng(0).chisquare(3, 1_000_000) / 3
    assert mean_of_decibels_db(3) == pytest.approx(-10 * np.log10(draws).mean(), abs=0.02)


def test_wavelet_shrinkage_keeps_steps_and_removes_noise():
    pytest.importorskip("pywt")
    clean = np.repeat(np.sign(np.random.default_rng(0).normal(size=(5, 4))), 64, axis=1)
    mixed = clean + 0.3 * np.random.default_rng(1).normal(size=clean.shape)
    estimate = wavelet_shrinkage(mixed, "haar")
    assert (snr_db(clean, estimate) > snr_db(clean, mixed) + 6).all()
