"""The sweeps: their signals, and estimators whose result is known."""

import numpy as np
import pytest
from conftest import described

from dan.evaluation import sweeps
from dan.signals.sines import sum_of_sines

DATA = described().data


@pytest.fixture
def seen():
    return []


@pytest.fixture
def estimators(seen):
    """The identity, which records what it is given."""

    def identity(mixed, snr, numbers):
        seen.append((mixed, snr, numbers))
        return mixed

    return {"input": identity}


def test_the_input_keeps_its_snr_and_the_bound_moves_with_it(estimators):
    values, results = sweeps.sweep_snr(estimators, DATA, 20)
    np.testing.assert_allclose(results["input"], values, atol=0.01)
    np.testing.assert_allclose(np.subtract(results[sweeps.BOUND], values), 10 * np.log10(256 / 3))


def test_spaced_sines_have_the_spacing_and_the_snr(estimators, monkeypatch):
    frequencies = []

    def recorded(frequency, *others):
        frequencies.append(frequency)
        return sum_of_sines(frequency, *others)

    monkeypatch.setattr(sweeps, "sum_of_sines", recorded)
    spacings, results = sweeps.sweep_spacing(estimators, DATA, 30)
    for spacing, frequency in zip(spacings, frequencies, strict=True):
        np.testing.assert_allclose(frequency[:, 1] - frequency[:, 0], spacing, rtol=1e-9)
        assert (np.abs(frequency[:, :2] - frequency[:, 2:]) >= 10).all()
        assert frequency.min() >= 10 and frequency.max() <= 64
    np.testing.assert_allclose(results["input"], -2, atol=0.01)


def test_the_number_of_sines_is_told_to_the_estimators(estimators, seen):
    numbers, results = sweeps.sweep_number(estimators, DATA, 10)
    assert [set(counts) for _, _, counts in seen] == [{1}, {2}, {3}, {4}, {5}]
    assert numbers == [1, 2, 3, 4, 5]
    assert results[sweeps.BOUND] == sorted(results[sweeps.BOUND], reverse=True)


@pytest.mark.parametrize(
    "overrides", [["data.low_freq=10", "data.high_freq=12"], ["data.snr_db=-5,10", "data.num_components=1,5"]]
)
def test_sweeps_fit_other_data(overrides, estimators):
    data = described("dan", *overrides).data
    for sweep in (sweeps.sweep_snr, sweeps.sweep_spacing, sweeps.sweep_number):
        values, results = sweep(estimators, data, 5)
        assert len(values) == len(results["input"]) == len(results[sweeps.BOUND]) > 0
        assert np.isfinite(results["input"]).all()


def test_the_snr_is_swept_for_some_numbers_of_sines(estimators, seen):
    data = described("dan", "data.num_components=1,5", "data.snr_db=-10,20", "data.random_phase=true").data
    family = sweeps.sweep_snr_by_number(estimators, data, 4)
    assert list(family) == [1, 2, 3, 4, 5]
    for number, (values, results) in family.items():
        assert values[0] == -10 and values[-1] == 30
        # A frequency and a phase for each sine.
        np.testing.assert_allclose(
            np.subtract(results[sweeps.BOUND], values), 10 * np.log10(256 / (2 * number)), atol=0.01
        )


def test_what_lies_outside_the_family_has_the_snr(estimators, seen):
    data = described("dan", "data.snr_db=0,10").data
    outside = sweeps.measure_outside(estimators, data, 6)
    assert len(outside) == 5
    np.testing.assert_allclose([snr["input"] for snr in outside.values()], 5, atol=0.01)
    below, above, chirp = (np.abs(np.fft.rfft(seen[place][0])) ** 2 for place in (1, 2, 3))
    assert below[:, :12].sum() > above[:, :12].sum()
    assert above[:, 64:97].sum() > 0.5 * above.sum()
    assert chirp[:, 10:65].sum() > 0.5 * chirp.sum()
    whole = described("dan", "data.low_freq=0", "data.high_freq=128").data
    assert list(sweeps.measure_outside(estimators, whole, 3)) == ["4 to 6 sines", "a chirp", "pink noise"]
