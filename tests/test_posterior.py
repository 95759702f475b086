"""The posterior mean of sums of sines: against an integral, the prior, and itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import described

from dan.evaluation.floor import products_of_chains
from dan.evaluation.posterior import draw_prior, frequency_grid, move, posterior_mean
from dan.evaluation.sine_fits import matching_pursuit
from dan.signals.sines import draw

THREE = described().data
FAMILY = replace(THREE, num_components=(1, 5), random_phase=True, amplitude_spread=0.5, snr_db=6.0)
FAMILIES = {
    "any": FAMILY,
    "a number": replace(FAMILY, num_components=2),
    "known amplitudes": replace(FAMILY, amplitude_spread=0.0),
    "known phases": replace(FAMILY, random_phase=False),
    "frequencies alone": THREE,
}


def drawn(data, count):
    """Clean signals, mixed ones and the noise's standard deviations."""
    clean, _, mixed = draw(data, "test", count)
    return clean, mixed, np.sqrt(((mixed - clean) ** 2).mean(1))


def test_of_one_sine_it_is_an_integral_over_frequency_amplitude_and_phase():
    one = replace(FAMILY, num_components=1, snr_db=-7.0)
    _, mixed, sigma = drawn(one, 6)
    means, distances = posterior_mean(mixed, sigma, one, chains=4, sweeps=300)
    time = np.arange(256) / 256
    frequency = np.arange(10.01, 64, 0.02)
    amplitude, phase = np.linspace(0.5, 1.5, 26), np.arange(0, 2 * np.pi, np.pi / 16)
    cosine, sine = (f(2 * np.pi * np.outer(frequency, time)) for f in (np.cos, np.sin))
    # A sine is (a·sin φ)·cosine + (a·cos φ)·sine; the ends of the amplitudes count half.
    a, b = (np.outer(amplitude, f(phase)).ravel() for f in (np.sin, np.cos))
    share = np.repeat(np.where(np.abs(amplitude - 1) == 0.5, 0.5, 1), len(phase))
    energy = np.outer((cosine**2).sum(1), a**2) + np.outer((sine**2).sum(1), b**2)
    energy += 2 * np.outer((cosine * sine).sum(1), a * b)
    for observed, noise, found, distance in zip(mixed.astype(float), sigma, means, distances, strict=True):
        product = np.outer(cosine @ observed, a) + np.outer(sine @ observed, b)
        squared = observed @ observed - 2 * product + energy
        density = share * np.exp((squared.min() - squared) / (2 * noise**2))
        density /= density.sum()
        mean = (density @ a) @ cosine + (density @ b) @ sine
        variance = (density * energy).sum() - mean @ mean
        assert products_of_chains((found - mean)[None]) < 0.03 * variance
        assert distance.mean() == pytest.approx((density * squared).sum(), rel=0.01)


@pytest.mark.parametrize("noise", [0.03, 0.3, 3.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_chains_that_start_at_the_truth_stay_distributed_as_the_prior(name, noise):
    """The truth is a draw from the posterior of its mixed signal, so no move may change how it is distributed.

    Geweke, "Getting it right: joint distribution tests of posterior simulators" (2004).
    """
    data, chains = FAMILIES[name], 1500
    generator = torch.Generator().manual_seed(0)
    state, level = draw_prior(chains, data, generator), torch.full((chains,), noise)
    observed = state.signal + noise * torch.randn(state.signal.shape, generator=generator)
    for _ in range(6):
        move(state, observed, level, data, frequency_grid(data), generator)
    fewest, most = np.broadcast_to(data.num_components, 2)
    expected = chains / (most - fewest + 1)
    counts = np.bincount(state.number.numpy(), minlength=most + 1)[fewest:]
    assert np.abs(counts - expected).max() <= 3.5 * expected**0.5
    present = torch.arange(most) < state.number[:, None]
    frequency, amplitude, phase = (x[present].double().numpy() for x in state.sines)
    if not data.random_phase:
        assert not phase.any()
    for values, middle, width in ((frequency, 37, 54), (amplitude, 1, 2 * data.amplitude_spread)):
        assert values.mean() == pytest.approx(middle, abs=1e-6 + 3.5 * width / np.sqrt(12 * len(values)))
        assert values.var() == pytest.approx(width**2 / 12, rel=0.1, abs=1e-6)
    left = ((observed - state.signal) ** 2).mean(1) / noise**2
    assert float(left.mean()) == pytest.approx(1, abs=3.5 * (2 / 256 / chains) ** 0.5)


def test_its_error_is_what_it_expects_from_either_start_and_less_than_that_of_matching_pursuit():
    data = replace(FAMILY, num_components=2, snr_db=0.0)
    clean, mixed, sigma = drawn(data, 50)
    means, distances = posterior_mean(mixed, sigma, FAMILY, sweeps=150)
    floor = products_of_chains(clean[:, None] - means).sum()
    expected = (distances.mean(1) - products_of_chains(mixed[:, None] - means)).sum()
    assert floor == pytest.approx(expected, rel=0.25)
    annealed, fitted = ((clean[:, None] - means) ** 2).sum((0, 2))
    assert annealed == pytest.approx(fitted, rel=0.15)
    assert floor < annealed < 1.2 * floor
    assert floor < ((clean - matching_pursuit(mixed, FAMILY)) ** 2).sum()


def test_the_same_seed_gives_the_same():
    _, mixed, sigma = drawn(FAMILY, 2)
    first, second, other = (posterior_mean(mixed, sigma, FAMILY, sweeps=10, seed=seed)[0] for seed in (1, 1, 2))
    assert (first == second).all() and (first != other).any()
