"""The measures of quality against closed forms and scipy in float64."""

import numpy as np
import pytest
from conftest import described
from scipy import signal

from dan.evaluation import metrics
from dan.signals import sines

DATA = described().data


def test_snr_and_si_sdr_have_their_closed_forms():
    rng = np.random.default_rng(1)
    clean = rng.normal(size=(5, 256))
    error = rng.normal(size=(5, 256))
    error -= clean * (error * clean).sum(-1, keepdims=True) / (clean**2).sum(-1, keepdims=True)
    error *= np.linalg.norm(clean, axis=-1, keepdims=True) / np.linalg.norm(error, axis=-1, keepdims=True)
    # An error of a tenth of the amplitude is 20 dB down; orthogonal, so SI-SDR is the same.
    np.testing.assert_allclose(metrics.snr_db(clean, clean + 0.1 * error), 20, atol=1e-9)
    np.testing.assert_allclose(metrics.si_sdr(clean, clean + 0.1 * error), 20, atol=1e-9)
    # A pure change of level halves the amplitude: 6.02 dB, and no distortion at all.
    np.testing.assert_allclose(metrics.snr_db(clean, clean / 2), 20 * np.log10(2), atol=1e-9)
    assert (metrics.si_sdr(clean, clean / 2) > 150).all()
    assert np.isfinite(metrics.snr_db(clean * 0, clean * 0)).all()
    np.testing.assert_allclose(metrics.mean_absolute_error(clean, clean + 0.5), 0.5)


def test_silence_is_never_better_than_any_other_estimate():
    rng = np.random.default_rng(1)
    clean, noise = rng.normal(size=(2, 5, 256))
    mixed = sines.mix(clean, noise, -30.0)
    assert (metrics.si_sdr(clean, 0 * clean) == -100).all()
    for estimate in (mixed, noise, 1e-12 * mixed):
        assert (metrics.si_sdr(clean, estimate) > -90).all()
    # Signals and estimates may have any level.
    expected = metrics.si_sdr(clean, mixed)
    np.testing.assert_allclose(metrics.si_sdr(1e-9 * clean, 1e-9 * mixed), expected, atol=1e-6)
    np.testing.assert_allclose(metrics.si_sdr(clean, 1e-12 * mixed), expected, atol=1e-6)
    np.testing.assert_allclose(metrics.si_sdr(*np.float32([clean, mixed])), expected, atol=1e-3)


def test_the_interval_of_the_total_snr_is_that_of_a_bootstrap():
    clean, _, mixed = sines.draw(described("dan", "data.snr_db=-10,10").data, "test", 300)
    rng = np.random.default_rng(0)
    draws = [metrics.total_snr_db(clean[i], mixed[i]) for i in rng.integers(0, 300, (3000, 300))]
    assert metrics.total_snr_interval(clean, mixed) == pytest.approx(1.96 * np.std(draws), rel=0.1)
    assert metrics.total_snr_interval(clean[:1], mixed[:1]) is None


def test_band_noise_reduction_tells_inside_from_outside():
    time = np.arange(256) / 256
    clean = np.zeros((1, 256))
    inside, outside = np.sin(2 * np.pi * 30 * time)[None], np.sin(2 * np.pi * 90 * time)[None]
    mixed, estimate = inside + outside, 0.1 * inside + 0.01 * outside
    measured = metrics.band_noise_reduction(clean, mixed, estimate, DATA)
    np.testing.assert_allclose(np.concatenate(measured), [20, 40], atol=1e-6)


def test_residual_spectrum_is_the_periodogram():
    clean, _, mixed = (x.astype(float) for x in sines.draw(DATA, "train", 30))
    _, density = signal.periodogram(mixed - clean, 256, detrend=False, scaling="density")
    expected = density.mean(0) * 256
    expected[1:-1] /= 2  # scipy's one-sided density counts both halves
    measured = 10 ** (metrics.residual_spectrum_db(clean, mixed) / 10)
    np.testing.assert_allclose(measured, expected, rtol=1e-9)


def test_summary_is_the_students_interval():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    result = metrics.summary(values)
    assert result["mean"] == result["median"] == 2.5 and result["worst"] == 1
    assert result["confidence_95"] == pytest.approx(3.1824 * values.std(ddof=1) / 2, rel=1e-4)
    assert metrics.summary(values, max)["worst"] == 4


def test_a_single_value_has_no_interval():
    assert metrics.summary([3.0]) == {"mean": 3.0, "confidence_95": None, "median": 3.0, "worst": 3.0}
