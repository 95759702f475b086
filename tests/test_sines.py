"""The signal mathematics against closed forms and scipy in float64."""

import numpy as np
import pytest
import torch
from conftest import described
from scipy import stats

from dan.evaluation.metrics import snr_db
from dan.signals import sines

DATA = described().data


def test_mixtures_have_exactly_the_configured_snr():
    clean, _, mixed = sines.draw(DATA, "train", 300)
    assert clean.dtype == mixed.dtype == np.float32 and clean.shape == (300, 256)
    measured = snr_db(clean.astype(float), mixed.astype(float))
    np.testing.assert_allclose(measured, -2.0, atol=1e-5)


def test_a_range_of_snr_is_drawn_per_signal():
    data = described("dan", "data.snr_db=-5,10").data
    clean, _, mixed = sines.draw(data, "train", 500)
    measured = snr_db(clean, mixed)
    assert measured.min() < -4 and measured.max() > 9 and measured.min() > -5.001


def test_mixing_is_the_same_in_numpy_and_torch():
    clean, noise, mixed = sines.draw(DATA, "train", 4)
    in_torch = sines.mix(torch.from_numpy(clean), torch.from_numpy(noise), -2.0)
    np.testing.assert_allclose(in_torch.numpy(), mixed, atol=1e-6)


def test_clean_signals_are_three_equal_sines_of_zero_phase():
    """A least-squares fit of sines at the drawn frequencies leaves nothing."""
    rng = np.random.default_rng(0)
    clean = sines.draw_clean(DATA, 20, np.random.default_rng(0))
    rng.integers(3, 4, (20, 1))
    frequencies = rng.uniform(10, 64, (20, 3))
    time = np.arange(256) / 256
    expected = np.sin(2 * np.pi * frequencies[..., None] * time).sum(1) / 3
    np.testing.assert_allclose(clean, expected, atol=1e-12)
    assert (clean[:, 0] == 0).all() and np.abs(clean).max() <= 1


@pytest.mark.parametrize("factor", [0.1, 0.5, 0.8, 0.97, 1.0])
def test_slowing_down_lowers_the_frequencies(factor):
    frequency = np.random.default_rng(0).uniform(10, 64, (20, 3))
    ones = np.ones((20, 3))
    clean, expected = (sines.sum_of_sines(f, ones, 0.3 * ones, DATA) for f in (frequency, factor * frequency))
    slowed = clean @ sines.slowing_matrix(256, factor).T
    assert snr_db(expected, slowed).min() > 60


def test_noise_is_white_gaussian_of_the_configured_deviation():
    _, noise, _ = sines.draw(DATA, "train", 2000)
    assert abs(noise.mean()) < 5e-3 and abs(noise.std() - 0.5) < 5e-3
    spectrum = (np.abs(np.fft.rfft(noise)) ** 2).mean(0)[1:-1]
    assert spectrum.max() / spectrum.min() < 1.4


def test_components_amplitudes_and_phases_can_vary():
    data = described("dan", "data.num_components=1,5", "data.amplitude_spread=0.5", "data.random_phase=true").data
    clean = sines.draw_clean(data, 200, np.random.default_rng(0))
    assert (clean[:, 0] != 0).any() and np.isfinite(clean).all()
    power = (clean**2).mean(1)
    assert power.max() / power.min() > 4


def test_splits_share_no_draw_and_seeds_differ():
    drawn = [sines.draw(DATA, split, 50) for split in sines.SPLITS]
    drawn.append(sines.draw(described("dan", "data.seed=43").data, "train", 50))
    for kind in range(2):
        rows = np.concatenate([arrays[kind] for arrays in drawn])
        assert len(np.unique(rows, axis=0)) == 200


def test_fewer_signals_are_the_first_of_more():
    few, many = sines.draw(DATA, "train", 5), sines.draw(DATA, "train", 50)
    for a, b in zip(few, many, strict=True):
        np.testing.assert_array_equal(a, b[:5])


@pytest.mark.parametrize("at_once", [300, 70])
def test_sines_are_counted_as_they_are_drawn(at_once, monkeypatch):
    monkeypatch.setattr(sines, "SAMPLES_AT_ONCE", at_once * 256)
    data = described("dan", "data.num_components=1,5").data
    clean = sines.draw(data, "test", 300)[0]
    numbers = sines.count_sines(data, "test", 300)
    assert set(numbers) == {1, 2, 3, 4, 5}
    # Equal amplitudes 1 / K give a mean power of 1 / (2 K).
    np.testing.assert_allclose((clean**2).mean(1)[numbers == 1], 0.5, rtol=0.1)
    assert (clean**2).mean(1)[numbers == 5].mean() == pytest.approx(0.1, rel=0.1)
    assert sines.unknowns_per_sine(data) == 1
    both = described("dan", "data.amplitude_spread=0.5", "data.random_phase=true").data
    assert sines.unknowns_per_sine(both) == 3


FAMILY = described(
    "dan", "data.num_components=2,4", "data.amplitude_spread=0.5", "data.random_phase=true", "data.snr_db=-10,20"
).data


def test_a_drawn_batch_is_the_sum_of_its_sines():
    """Against float64 numpy, from the same random numbers."""
    clean, mixed = sines.draw_batch(FAMILY, 50, torch.Generator().manual_seed(3))
    again = torch.Generator().manual_seed(3)
    present = torch.randint(2, 5, (50, 1), generator=again).numpy()
    frequency, amplitude, phase = (
        torch.rand(shape, generator=again).double().numpy() for shape in ((50, 4, 1), (50, 4), (50, 4, 1))
    )
    amplitude = (0.5 + amplitude) * (np.arange(4) < present) / present
    expected = sines.sum_of_sines(10 + 54 * frequency[..., 0], amplitude, 2 * np.pi * phase[..., 0], FAMILY)
    np.testing.assert_allclose(clean[:, 0].numpy(), expected, atol=2e-4)
    assert clean.dtype == mixed.dtype == torch.float32 and mixed.shape == (50, 1, 256)


def test_drawn_batches_have_the_spread_of_stored_signals():
    generator = torch.Generator().manual_seed(0)
    clean, mixed = (x[:, 0].double().numpy() for x in sines.draw_batch(FAMILY, 3000, generator))
    stored, _, stored_mixed = sines.draw(FAMILY, "train", 3000)
    for ours, theirs in (
        ((clean**2).mean(1), (stored**2).mean(1)),
        (snr_db(clean, mixed), snr_db(stored, stored_mixed)),
    ):
        assert stats.ks_2samp(ours, theirs).pvalue > 0.01
    assert snr_db(clean, mixed).min() > -10.01 and snr_db(clean, mixed).max() < 20.01


def test_long_signals_are_drawn_with_their_phase():
    data = described(
        "audio",
        "data.num_components=1",
        "data.low_freq=1999.5",
        "data.high_freq=2000",
        "data.random_phase=false",
        "data.snr_db=90",
    ).data
    clean, _ = sines.draw_batch(data, 5, torch.Generator().manual_seed(0))
    assert (clean.square().mean(-1) - 0.5).abs().max() < 1e-3
    time = np.arange(data.length) / data.sample_rate
    candidates = np.sin(2 * np.pi * np.linspace(1999.5, 2000, 2001)[:, None] * time)
    for signal in clean[:, 0].numpy():
        assert np.abs(candidates @ signal).max() > 0.999 * 0.5 * data.length
