"""Fits of sines to mixed signals: what a person would use instead of a network, and the oracles.

A fit takes mixed signals (count, length) and returns estimates of the clean ones, float32 of the
same shape. In white Gaussian noise, maximum likelihood is least squares.
"""

import numpy as np
from scipy import optimize, special

from dan.progress import track

GRID_STEP = 0.1  # Hz; a spectral peak of a one-second signal is 2 Hz wide
RESTARTS = 40
SWEEPS = 8
GENERAL_STARTS = 6
RELAX_SWEEPS = 3
OVERSAMPLING = 8  # of the periodogram
NEWTON_STEPS = 6
MOST_SINES = 12
PATIENCE = 2  # less probable fits, each of a sine more, after which there is no further one
BLOCK = 500  # signals that are fitted at once


def with_known_numbers(fit, mixed, numbers, data):
    """`fit(mixed, number, data)` for signals whose number of sines is known, numbers (count,)."""
    estimates = np.empty(mixed.shape, np.float32)
    for number in np.unique(numbers):
        estimates[numbers == number] = fit(mixed[numbers == number], int(number), data)
    return estimates


def matching_pursuit(mixed, data):
    """Newtonized orthogonal matching pursuit: sines one after the other, while they are probable.

    It knows the band, but neither the number of sines nor the noise. The highest peak of the
    residual's zero-padded periodogram is a new sine; then Newton steps (Gauss–Newton ones, on
    frequencies and amplitudes of all sines together) refine them. Of the fits the most probable
    is taken; two less probable ones end it. Mamandipoor, Ramasamy, Madhow, "Newtonized orthogonal
    matching pursuit" (2016).
    """
    estimates = np.empty(mixed.shape, np.float32)
    for first in track(range(0, len(mixed), BLOCK), desc="matching pursuit", unit="block", leave=False):
        rows = slice(first, first + BLOCK)
        observed = mixed[rows].astype(np.float64)
        estimate, fitted = np.zeros_like(observed), np.zeros_like(observed)
        active, frequency = np.arange(len(observed)), np.zeros((len(observed), 0))
        numbers, lowest = 0 * active, improbability(observed, estimate, 0, data)
        for number in range(1, min(MOST_SINES, mixed.shape[-1] // 3 - 1) + 1):
            found = highest_peak(observed[active] - fitted, data)
            frequency, fitted = refine(observed[active], np.hstack([frequency, found[:, None]]), data, NEWTON_STEPS)
            cost = improbability(observed[active], fitted, number, data)
            better = cost < lowest[active]
            improved = active[better]
            estimate[improved], lowest[improved] = fitted[better], cost[better]
            numbers[improved] = number
            going_on = number - numbers[active] < PATIENCE
            active, frequency, fitted = active[going_on], frequency[going_on], fitted[going_on]
            if not len(active):
                break
        estimates[rows] = estimate
    return estimates


def improbability(observed, estimate, number, data):
    """−ln of the probability that signals are `number` sines and noise, but for a constant.

    Laplace's approximation for k sines of energies E each, N samples in T seconds, left-over energy
    R and noise power σ² = R / N. The likelihood is R^(−N/2). The prior of a frequency is uniform
    over a band of B Hz, of which the likelihood takes √(6σ² / πE) / T; that of an amplitude and a
    phase is Gaussian with the variance that fits best, which costs ln(E / 2σ²) + 1; and there are
    k! orders of k sines. Djurić, "A model selection rule for sinusoids in white Gaussian noise"
    (1996); Andrieu, Doucet, "Joint Bayesian model selection and estimation of noisy sinusoids"
    (1999).
    """
    length, energy = observed.shape[-1], (observed**2).sum(1)
    left = np.maximum(((observed - estimate) ** 2).sum(1), 1e-20 * energy + 1e-300)
    ratio = np.maximum((energy - left) / max(number, 1) / (left / length), 1)  # E / σ²
    band = max(1, (data.high_freq - data.low_freq) * data.duration)
    sine = np.log(band) + np.log(np.pi / 6 * ratio) / 2 + np.log(ratio / 2) + 1
    return length / 2 * np.log(left) + number * sine - special.gammaln(number + 1)


def general_oracle(mixed, num_components, data):
    """Maximum-likelihood fit of `num_components` sines of any amplitude and phase.

    Sines are found one after the other, or anywhere at first; then each anew at the highest peak
    of what the others leave (RELAX: Li, Stoica, "Efficient mixed-spectrum estimation", 1996), with
    Newton steps on all of them. Of the fits from several starts the best. Amplitudes and phases
    are solved for linearly.
    """
    rng = np.random.default_rng(0)
    estimates = np.empty(mixed.shape, np.float32)
    starts = GENERAL_STARTS if num_components > 1 else 1
    for first in track(range(0, len(mixed), BLOCK), desc="fitting sines", unit="block", leave=False):
        rows = slice(first, first + BLOCK)
        observed = mixed[rows].astype(np.float64)
        best, lowest = np.zeros_like(observed), np.full(len(observed), np.inf)
        for start in range(starts):
            # The first start is matching pursuit, told when to stop; the others begin anywhere.
            frequency = rng.uniform(data.low_freq, data.high_freq, (len(observed), num_components if start else 0))
            for sweep in range(RELAX_SWEEPS):
                for place in range(num_components):
                    others = np.delete(frequency, place, 1) if sweep or start else frequency
                    left = observed - solve_amplitudes(observed, others, data)
                    found = highest_peak(left, data)
                    frequency = np.insert(others, min(place, others.shape[1]), found, 1)
                    if not (sweep or start):
                        frequency, _ = refine(observed, frequency, data, NEWTON_STEPS)
                frequency, estimate = refine(observed, frequency, data, NEWTON_STEPS)
                cost = ((observed - estimate) ** 2).sum(1)
                better = cost < lowest
                best[better], lowest[better] = estimate[better], cost[better]
        estimates[rows] = best
    return estimates


def highest_peak(residual, data):
    """The frequency in Hz of the sine in the band that takes most from each residual."""
    size = OVERSAMPLING * residual.shape[-1]
    frequency = np.fft.rfftfreq(size, 1 / data.sample_rate)
    inside = np.flatnonzero((frequency >= data.low_freq) & (frequency <= data.high_freq))
    if not len(inside):
        inside = np.array([np.abs(frequency - data.low_freq).argmin()])
    power = np.abs(np.fft.rfft(residual, size)[:, inside]) ** 2
    return np.clip(frequency[inside[power.argmax(1)]], data.low_freq, data.high_freq)


def refine(observed, frequency, data, steps):
    """Gauss–Newton steps on the frequencies of all sines; (frequencies in Hz, the fitted signals).

    The amplitudes are solved for before each step. A step is at most half a bin long.
    """
    length = observed.shape[-1]
    time = np.arange(length) / data.sample_rate
    half_bin = 0.5 * data.sample_rate / length
    for _ in range(steps):
        cosine, sine = waves(frequency, time)
        basis = np.concatenate([cosine, sine], 1)
        weights = solve(basis, observed)
        a, b = np.split(weights[..., None], 2, 1)
        slope = 2 * np.pi * time * (b * cosine - a * sine)
        residual = observed - (weights[:, None] @ basis)[:, 0]
        step = solve(np.concatenate([basis, slope], 1), residual)[:, 2 * frequency.shape[1] :]
        frequency = np.clip(frequency + np.clip(step, -half_bin, half_bin), data.low_freq, data.high_freq)
    return frequency, solve_amplitudes(observed, frequency, data)


def solve_amplitudes(observed, frequency, data):
    """The least-squares fit of sines of these frequencies, (count, length)."""
    if not frequency.shape[1]:
        return np.zeros_like(observed)
    time = np.arange(observed.shape[-1]) / data.sample_rate
    basis = np.concatenate(waves(frequency, time), 1)
    return (solve(basis, observed)[:, None] @ basis)[:, 0]


def waves(frequency, time):
    """Cosines and sines of frequencies (count, sines) in Hz, each (count, sines, length)."""
    angle = 2 * np.pi * frequency[..., None] * time
    return np.cos(angle), np.sin(angle)


def solve(basis, observed):
    """Least-squares weights of the rows of basis (count, rows, length), (count, rows).

    By the normal equations; a ridge of 1e-9 of each row's own energy keeps sines that coincide
    from being singular, at any level of the signals.
    """
    gram = basis @ basis.swapaxes(1, 2)
    diagonal = np.arange(gram.shape[1])
    gram[:, diagonal, diagonal] = gram[:, diagonal, diagonal] * (1 + 1e-9) + 1e-300
    return np.linalg.solve(gram, basis @ observed[..., None])[..., 0]


def sinusoid_oracle(mixed, num_components, data):
    """Maximum-likelihood fit of `num_components` sines of known amplitude and zero phase.

    In white Gaussian noise, maximum likelihood is least squares: the frequencies that minimise
    ‖mixed − Σ sin(2πft) / K‖². A search on a grid, one frequency at a time with the others held
    (RELAX: Li, Stoica, "Efficient mixed-spectrum estimation", 1996) from many starts and for all
    signals at once, finds the basin; scipy.optimize.least_squares the minimum in it.
    """
    time = np.arange(mixed.shape[-1]) / data.sample_rate
    start = search_grid(mixed, num_components, data, time)
    estimates = np.empty_like(mixed, dtype=np.float32)
    bar = track(
        zip(mixed.astype(np.float64), start, strict=True),
        total=len(mixed),
        desc="fitting sines",
        unit="signal",
        leave=False,
    )
    for index, (observed, frequencies) in enumerate(bar):

        def residual(f, observed=observed):
            return np.sin(2 * np.pi * np.outer(time, f)).sum(1) / num_components - observed

        def jacobian(f, _=None):
            angle = 2 * np.pi * np.outer(time, f)
            return 2 * np.pi * time[:, None] * np.cos(angle) / num_components

        fit = optimize.least_squares(
            residual, frequencies, jacobian, bounds=(data.low_freq, data.high_freq), xtol=1e-10
        )
        estimates[index] = residual(fit.x, 0.0)
    return estimates


def search_grid(mixed, num_components, data, time):
    """The best frequencies on a grid for every signal, (count, num_components), in Hz."""
    rng = np.random.default_rng(0)
    band = data.high_freq - data.low_freq
    points = max(1, round(band / GRID_STEP))
    # Strictly inside the band, since the fit that follows begins within its bounds.
    grid = data.low_freq + (np.arange(points) + 0.5) * band / points
    atoms = np.sin(2 * np.pi * np.outer(grid, time)) / num_components
    gram, correlation = atoms @ atoms.T, mixed @ atoms.T
    energy = gram.diagonal()
    count = len(mixed)
    best, lowest = np.zeros((count, num_components), int), np.full(count, np.inf)
    for restart in track(range(RESTARTS), desc="searching", unit="start", leave=False):
        chosen = rng.integers(len(grid), size=(count, num_components))
        # The first start adds one sine after the other, greedily; the others begin anywhere.
        active = 0 if restart == 0 else num_components
        for sweep in range(SWEEPS):
            before = chosen.copy()
            for place in range(num_components):
                others = [k for k in range(max(active, place)) if k != place]
                left = correlation - gram[chosen[:, others]].sum(1)
                chosen[:, place] = (left - energy / 2).argmax(1)
            active = num_components
            if sweep and (chosen == before).all():
                break
        pairs = gram[chosen[:, :, None], chosen[:, None, :]].sum((1, 2))
        cost = pairs - 2 * np.take_along_axis(correlation, chosen, 1).sum(1)
        better = cost < lowest
        best[better], lowest[better] = chosen[better], cost[better]
    return grid[best]
