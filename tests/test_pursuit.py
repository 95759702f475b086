"""Fits of sines in torch, against scipy and numpy, and the generator that judges them."""

import numpy as np
import pytest
import torch
from conftest import described
from scipy import optimize

from dan.evaluation.sine_fits import improbability
from dan.pursuit import pursue
from dan.signals.sines import draw, draw_components, streams, sum_of_sines
from dan.spectral import log_odds, with_fewer
from models import build_generator

BAND = 10 / 256, 64 / 256
TIME = np.arange(256) / 256


def family(*overrides):
    return described("spectral-any", "data.stream=false", *overrides).data


def least_squares(mixed, frequency):
    """The fit of sines of any amplitude and phase that scipy finds from these frequencies in Hz, (length,)."""

    def basis(frequency):
        angle = 2 * np.pi * np.outer(TIME, frequency)
        return np.hstack([np.cos(angle), np.sin(angle)])

    def fit(frequency):
        return basis(frequency) @ np.linalg.lstsq(basis(frequency), mixed, rcond=None)[0]

    return fit(optimize.least_squares(lambda f: fit(f) - mixed, frequency, x_scale=0.1, xtol=1e-12).x)


@pytest.mark.parametrize("snr_db", [10, 30])
def test_three_sines_are_fitted_as_by_scipy(snr_db):
    data = family("data.num_components=3", f"data.snr_db={snr_db}")
    _, _, mixed = draw(data, "test", 20)
    frequency, *_ = draw_components(data, 20, streams(data, "test")[0])
    apart = np.diff(np.sort(frequency), axis=1).min(1) > 2
    assert apart.sum() > 10
    found = pursue(torch.from_numpy(mixed), 3, data.band)[:, 2].numpy()
    for signal, start, fit in zip(mixed[apart], frequency[apart], found[apart], strict=True):
        error, left = (np.linalg.norm(x) for x in (fit - least_squares(signal, start), signal - fit))
        assert error < 0.02 * left


def test_sines_without_noise_are_found_exactly_at_any_level():
    clean = sum_of_sines(np.array([[20.3, 41.7]]), np.array([[1.0, 0.6]]), np.array([[0.4, 2.0]]), family())
    for level in (1e-2, 1e2):
        mixed = torch.from_numpy(level * clean).float()
        fits = pursue(mixed, 2, BAND)
        assert (fits[:, 1] - mixed).norm() < 1e-3 * mixed.norm() < (fits[:, 0] - mixed).norm()


def test_each_sine_more_leaves_less():
    mixed = torch.randn(30, 256, generator=torch.Generator().manual_seed(0))
    left = (mixed.unsqueeze(1) - pursue(mixed, 5, BAND)).square().sum(-1)
    assert (left.diff(dim=1) < 1e-3 * left[:, 1:]).all() and (left[:, 4] < 0.95 * left[:, 0]).all()


@pytest.mark.parametrize("length", [1, 2, 5, 6, 9, 17, 18])
def test_short_signals_get_fewer_sines(length):
    fits = pursue(torch.randn(4, length), 5, (0.0, 0.5))
    assert fits.shape == (4, 5, length) and fits.isfinite().all()
    number = min(5, max(0, length // 3 - 1))
    assert torch.equal(fits[:, number:], fits[:, max(0, number - 1), None].expand(-1, 5 - number, -1)) or not number
    assert number or not fits.any()


OUTSIDE = {
    "silence": 0 * TIME,
    "a constant": 0 * TIME + 1,
    "a click": np.eye(256)[100],
    "a chirp": np.sin(2 * np.pi * (10 * TIME + 27 * TIME**2)),
    "a sine above the band": np.sin(2 * np.pi * 100 * TIME),
    "a sine at the edge": np.sin(2 * np.pi * 64 * TIME),
    "sines that nearly coincide": np.sin(2 * np.pi * 30 * TIME) - np.sin(2 * np.pi * 30.001 * TIME),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_explodes_outside_the_family(name):
    torch.manual_seed(0)
    generator = build_generator(described("spectral-any")).eval()
    signal = torch.from_numpy(OUTSIDE[name]).float()
    mixed = signal + torch.tensor([0, 1e-4, 0.1])[:, None] * torch.randn(3, 256)
    parts, _, gain = generator.take_apart(mixed)
    torch.testing.assert_close(parts.sum(1), mixed, atol=1e-5, rtol=1e-5)
    assert (parts.norm(dim=-1) <= 2 * mixed.norm(dim=-1, keepdim=True) + 1e-6).all() and (gain >= 0).all()
    with torch.inference_mode():
        assert generator(mixed.unsqueeze(1)).isfinite().all()


def test_in_training_the_first_signals_get_fewer_fits():
    fits = torch.randn(6, 4, 10)
    fewer = with_fewer(fits)
    for signal, most in enumerate([0, 1, 2, 3, 3, 3]):
        for number in range(4):
            assert torch.equal(fewer[signal, number], fits[signal, min(number, most)])


def test_the_noise_is_that_of_the_spectrum_where_fits_leave_more():
    """White noise alone, and below eight sines, of which five are fitted and three leak into the median."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 256))
    frequency = np.arange(14, 62, 6) + rng.uniform(-1, 1, (200, 8))
    clean = sum_of_sines(frequency, np.full((200, 8), 3.0), rng.uniform(0, 6, (200, 8)), family())
    generator = build_generator(described("spectral-any")).eval()
    for signals, largest_error in (noise, 0.1), (clean + noise, 1.2):
        parts, level, _ = generator.take_apart(torch.from_numpy(signals).float())
        assert level.square().mean().item() == pytest.approx(1, abs=largest_error)
    assert parts[:, 0].square().mean() > 10


def test_open_gates_leave_the_fit():
    generator = build_generator(described("spectral-any")).eval()
    last = generator.last[1]
    torch.nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor([0, 0, -100] + 5 * [100.0])  # no correction; nothing of what is left over
    mixed = torch.randn(4, 1, 256)
    with torch.inference_mode():
        torch.testing.assert_close(
            generator(mixed)[:, 0], pursue(mixed[:, 0], 5, generator.band)[:, 4], atol=1e-4, rtol=1e-4
        )


def test_the_odds_of_a_sine_are_those_of_matching_pursuit():
    """To 2 nats where it is hard to decide: of one sine against none, its noise's power known."""
    data = family()
    for gain in (12.0, 20.0, 40.0):
        left, observed = np.ones((1, 256)), np.ones((1, 256)) * np.sqrt(1 + gain / 256)
        odds = improbability(observed, 0 * observed, 0, data) - improbability(observed, observed - left, 1, data)
        assert log_odds(torch.tensor(gain)).item() == pytest.approx(odds[0], abs=2)
