"""The fits of sines: against the truth, the bound and what noise alone does."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import described
from scipy import optimize

from dan.evaluation.baselines import cramer_rao_bound_db
from dan.evaluation.metrics import snr_db, total_snr_db
from dan.evaluation.sine_fits import (
    general_oracle,
    highest_peak,
    improbability,
    matching_pursuit,
    refine,
    sinusoid_oracle,
    with_known_numbers,
)
from dan.signals.sines import count_sines, draw

DATA = described().data
FAMILY = described(
    "dan", "data.num_components=1,5", "data.random_phase=true", "data.amplitude_spread=0.5", "data.snr_db=10"
).data


def test_the_oracle_recovers_clean_signals_and_reaches_the_bound_in_noise():
    clean, _, mixed = draw(DATA, "test", 60)
    assert snr_db(clean, sinusoid_oracle(clean, 3, DATA)).min() > 60
    estimate = sinusoid_oracle(mixed, 3, DATA)
    total, mean = cramer_rao_bound_db(clean, mixed, count_sines(DATA, "test", 60))
    assert abs(total_snr_db(clean, estimate) - total) < 1
    assert abs(snr_db(clean, estimate).mean() - mean) < 1


@pytest.mark.parametrize("width", [0.2, 0.05, 1e-4])
def test_the_oracle_searches_any_band(width):
    data = replace(DATA, low_freq=20.0, high_freq=20.0 + width)
    clean, _, mixed = draw(data, "test", 3)
    assert (snr_db(clean, sinusoid_oracle(mixed, 3, data)) > 5).all()


def test_matching_pursuit_recovers_clean_signals():
    clean, _, _ = draw(FAMILY, "test", 30)
    assert np.median(snr_db(clean, matching_pursuit(clean, FAMILY))) > 50


def test_one_sine_is_as_probable_as_an_integral_over_its_frequency_says():
    """Over amplitude and phase the integral has a closed form, that of a Gaussian prior."""
    mixed = draw(replace(FAMILY, num_components=1, snr_db=-4.0), "test", 6)[2].astype(float)
    _, estimate = refine(mixed, highest_peak(mixed, FAMILY)[:, None], FAMILY, 8)
    found = improbability(mixed, estimate, 1, FAMILY) - improbability(mixed, 0 * mixed, 0, FAMILY)
    grid, time = np.arange(10, 64, 0.02), np.arange(256) / 256
    angle = 2 * np.pi * np.outer(grid, time)
    fits = [np.linalg.qr(np.stack([np.cos(a), np.sin(a)], 1))[0] for a in angle]
    for observed, difference in zip(mixed, found, strict=True):
        energy = observed @ observed
        share = np.array([((fit.T @ observed) ** 2).sum() for fit in fits]) / energy

        def evidence(gain, share=share):
            return np.mean((1 - gain / (1 + gain) * share) ** -128) / (1 + gain)

        best = max(evidence(gain) for gain in np.geomspace(1, 1000, 60))
        assert difference == pytest.approx(-np.log(best), abs=1)


@pytest.mark.parametrize(
    ("snr", "number", "worst"), [(-2.0, 3, 1.8), (-2.0, 5, 2.8), (6.0, 3, 0.3), (30.0, 1, 0.35), (30.0, 5, 0.5)]
)
def test_matching_pursuit_finds_the_number_of_sines(snr, number, worst):
    """A rate of false alarms that suits one of these does not suit another."""
    data = replace(FAMILY, num_components=number, snr_db=snr)
    clean, _, mixed = draw(data, "test", 200)
    bound, _ = cramer_rao_bound_db(clean, mixed, np.full(200, 3 * number))
    assert bound - total_snr_db(clean, matching_pursuit(mixed, data)) < worst


def test_noise_alone_is_hardly_ever_taken_for_a_sine():
    noise = np.random.default_rng(0).normal(0, 3, (2000, 256))
    assert matching_pursuit(noise, FAMILY).any(1).mean() < 0.1


def test_the_general_oracle_fits_no_worse_than_the_truth():
    """Maximum likelihood is the least error to what was observed."""
    clean, _, mixed = draw(FAMILY, "test", 40)
    numbers = count_sines(FAMILY, "test", 40)
    estimate = with_known_numbers(general_oracle, mixed, numbers, FAMILY)
    left, true = (((mixed - x) ** 2).sum(1) for x in (estimate, clean))
    assert (left <= true * (1 + 1e-6)).mean() > 0.95
    bound, _ = cramer_rao_bound_db(clean, mixed, 3 * numbers)
    assert abs(bound - total_snr_db(clean, estimate)) < 1.5


def test_newton_steps_find_the_minimum_that_scipy_finds():
    rng = np.random.default_rng(1)
    time = np.arange(256) / 256
    observed = np.sin(2 * np.pi * 31.27 * time + 0.4) + 0.3 * rng.normal(size=(1, 256))
    frequency, estimate = refine(observed, highest_peak(observed, FAMILY)[:, None], FAMILY, 8)

    def left(f):
        basis = np.stack([np.cos(2 * np.pi * f * time), np.sin(2 * np.pi * f * time)], 1)
        return np.linalg.lstsq(basis, observed[0], rcond=None)[1][0]

    best = optimize.minimize_scalar(left, bounds=(30.5, 32), options={"xatol": 1e-9})
    assert frequency[0, 0] == pytest.approx(best.x, abs=1e-5)
    assert ((observed - estimate) ** 2).sum() == pytest.approx(best.fun, rel=1e-8)


@pytest.mark.parametrize("level", [1e-6, 1e6])
def test_fits_do_not_depend_on_the_level(level):
    mixed = draw(FAMILY, "test", 20)[2]
    for fit in (matching_pursuit, lambda mixed, data: general_oracle(mixed, 3, data)):
        np.testing.assert_allclose(fit(level * mixed, FAMILY) / level, fit(mixed, FAMILY), atol=2e-3)


def test_sines_that_coincide_and_narrow_bands_are_no_fault():
    narrow = replace(FAMILY, low_freq=20.0, high_freq=20.01)
    mixed = draw(narrow, "test", 4)[2]
    for estimate in (
        matching_pursuit(mixed, narrow),
        general_oracle(mixed, 3, narrow),
        matching_pursuit(np.zeros((2, 256), np.float32), FAMILY),
    ):
        assert np.isfinite(estimate).all()
