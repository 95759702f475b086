"""Synthesised noise: every kind is there to hear, has the spectrum it should, and repeats."""

import numpy as np
import pytest
from scipy import signal

from dan.signals import noises
from dan.signals.augmentation import in_room

RATE = 8000


@pytest.mark.parametrize("kind", noises.NOISE_KINDS)
@pytest.mark.parametrize("rate", [256, 8000, 44_100])
def test_every_kind_sounds_at_every_rate(kind, rate):
    for seed in range(20):
        samples = noises.NOISE_KINDS[kind](rate, rate, np.random.default_rng(seed))
        assert samples.shape == (rate,) and np.isfinite(samples).all()
        assert np.square(samples).mean() > 1e-12
        again = noises.NOISE_KINDS[kind](rate, rate, np.random.default_rng(seed))
        np.testing.assert_array_equal(samples, again)


def test_a_filter_has_the_gain_that_it_is_asked_for():
    white = np.random.default_rng(0).normal(size=2**16)
    brown = noises.filtered(white, RATE, lambda f: 1 / np.maximum(f, 20))
    frequency, power = signal.welch(brown, RATE, nperseg=1024)
    octave = [np.interp(f, frequency, power) for f in (500, 1000, 2000)]
    # Brown noise falls by 6 dB an octave: to a quarter of the power.
    np.testing.assert_allclose(np.divide(octave[1:], octave[:-1]), 0.25, rtol=0.25)


def test_hum_is_a_fundamental_and_its_harmonics():
    # Of several draws one has no wavering, and all its power lies at multiples of one frequency.
    shares = []
    for seed in range(12):
        samples = noises.hum(2 * RATE, RATE, np.random.default_rng(seed))
        power = np.abs(np.fft.rfft(samples * np.hanning(2 * RATE))) ** 2
        mains = [power[2 * f * k - 3 : 2 * f * k + 4].sum() for f in (50, 60) for k in range(1, 60)]
        shares.append(max(sum(mains[:59]), sum(mains[59:])) / power.sum())
    assert max(shares) > 0.99


def test_mixtures_have_unit_power_and_name_their_loudest_part():
    names = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        samples, name = noises.draw_mixed_noise(
            RATE, RATE, rng, lambda rng=rng: rng.normal(size=RATE), lambda rng=rng: (rng.normal(size=RATE), "ship")
        )
        assert np.square(samples).mean() == pytest.approx(1, abs=1e-6)
        names.add(name)
    assert {"babble", "ship", *noises.NOISE_KINDS} == names


def test_a_level_step_is_one_step():
    gain = noises.level_step(1000, np.random.default_rng(1))
    assert gain[0] == 1 and len(np.unique(gain)) == 2 and 0.17 < gain[-1] < 5.7


def test_a_room_adds_an_echo_behind_the_sound_and_none_before():
    click = np.zeros(RATE)
    click[1000] = 1
    heard = in_room(click, RATE, np.random.default_rng(0))
    np.testing.assert_allclose(heard[:1001], click[:1001], atol=1e-12)
    echo = np.square(heard[1001:]).sum()
    assert 10**-2 <= echo <= 10**-0.3  # 3 to 20 dB below the direct sound
    early, late = np.square(heard[1001:1500]).sum(), np.square(heard[3000:]).sum()
    assert late < early / 100
