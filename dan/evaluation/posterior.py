"""The posterior mean of sums of sines in white noise, by Markov chains that jump between numbers of sines.

The posterior mean has the least mean squared error of all estimators, on average over the family that
`draw_components` draws from. A chain visits sums of sines as often as they are probable given the mixed
signal; where their number is unknown too, its dimension changes: Green, "Reversible jump Markov chain
Monte Carlo computation and Bayesian model determination" (1995); for sines, Andrieu, Doucet, "Joint
Bayesian model selection and estimation of noisy sinusoids via reversible jump MCMC" (1999).

All chains of all signals move at once: tensors are (chains,), (chains, most sines) or (chains, length).
Amplitudes are relative: times the number of sines, so that their prior is the same for every number.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from dan.evaluation.sine_fits import NEWTON_STEPS, highest_peak, improbability, refine, solve, waves
from dan.progress import track

GRID_STEP = 1 / 16  # of the frequencies to jump to, over the width of a bin
UNIFORM_SHARE = 0.1  # of jumps that go to any frequency
STEEPEST = 300.0  # nats of the highest peak that frequencies to jump to are drawn from
PAIR_SCATTER = 0.25  # of two sines about a peak, over the width of a bin
RESCALED = 0.3  # share of jumps that keep relative amplitudes
STEPS = 6  # random walks in a sweep
BURN_IN = 0.4  # of the sweeps, which count for nothing
ANNEALING = 0.6  # of the burn-in
ROUNDING = 1e-6


@dataclass
class Sums:
    """Sums of sines: the state of the chains. Slots from `number` on are empty."""

    number: torch.Tensor  # (chains,)
    frequency: torch.Tensor  # Hz, (chains, most sines), and so the next two
    amplitude: torch.Tensor  # times the number of sines
    phase: torch.Tensor
    signal: torch.Tensor  # (chains, length)


def posterior_mean(mixed, sigma, data, chains=4, sweeps=1000, seed=0):
    """The posterior means that each chain finds, and its mean squared distances from the mixed signal.

    mixed: (count, length); sigma: the noise's standard deviation in each, (count,); data: the
    DataConfig that the clean signals are drawn from. The noise is taken as white and Gaussian, of a
    level that has nothing to do with the signal. Mixtures of `draw` have an exact SNR: who knew both it
    and sigma would know the clean signal's energy. That is left out. Returns float64 arrays (count,
    chains, length) and (count, chains), the latter the mean of ‖mixed − clean‖² over the posterior.

    The chains of a signal differ in where they start: every other one at the sines of a fit, the
    rest anywhere, in noise that is raised at first and then falls to sigma (simulated annealing).
    """
    generator = torch.Generator().manual_seed(seed)
    observed = torch.from_numpy(np.repeat(mixed.astype(np.float32), chains, 0))
    level = torch.from_numpy(np.repeat(np.asarray(sigma, np.float32), chains))
    annealed = torch.arange(chains).repeat(len(mixed)) % 2 == 0
    state = mixture(annealed, draw_prior(len(observed), data, generator), fitted_sums(mixed, chains, data), data)
    grid, jumps = frequency_grid(data), kinds_of_jumps(data)
    raised = torch.maximum(level, observed.square().mean(1).sqrt() * 2)
    burn_in = int(BURN_IN * sweeps)
    total, distance = torch.zeros(observed.shape, dtype=torch.float64), torch.zeros(len(observed), dtype=torch.float64)
    for sweep in track(range(sweeps), desc="sampling", unit="sweep", leave=False):
        cooled = min(1, sweep / max(1, ANNEALING * burn_in))
        noise = torch.where(annealed, raised ** (1 - cooled) * level**cooled, level)
        for kinds in jumps:
            jump(state, observed, noise, data, grid, kinds, generator)
        for _ in range(STEPS):
            step(state, observed, noise, data, generator)
        if sweep >= burn_in:
            total += state.signal
            distance += (observed - state.signal).square().sum(1)
    kept = sweeps - burn_in
    shape = len(mixed), chains
    return (total / kept).numpy().reshape(*shape, -1), (distance / kept).numpy().reshape(shape)


def kinds_of_jumps(data):
    """The kinds of the jumps in a sweep, each for `jump`. Pairs are for unknown amplitudes and phases."""
    fewest, most = numbers(data)
    single, pairs = ((0, 1), (1, 0), (1, 1)), ((1, 2), (2, 1), (2, 2))
    jumps = [single, pairs] if data.random_phase and data.amplitude_spread and most > 1 else [single]
    return jumps if fewest < most else [tuple(k for k in kinds if k[0] == k[1]) for kinds in jumps]


def draw_prior(chains, data, generator):
    """Sums of sines as `draw_components` draws them."""
    fewest, most = numbers(data)
    uniform = torch.rand((3, chains, most), generator=generator)
    number = torch.randint(fewest, most + 1, (chains,), generator=generator)
    frequency = data.low_freq + (data.high_freq - data.low_freq) * uniform[0]
    amplitude = 1 + data.amplitude_spread * (2 * uniform[1] - 1)
    return rendered(number, frequency, amplitude, 2 * math.pi * uniform[2] * data.random_phase, data)


def rendered(number, frequency, amplitude, phase, data):
    """The sums of these sines."""
    present = torch.arange(frequency.shape[1]) < number[:, None]
    return Sums(
        number, frequency, amplitude, phase, waves_of(frequency, amplitude, phase, present / number[:, None], data)
    )


def numbers(data):
    """The fewest and the most sines in a signal."""
    return tuple(int(number) for number in np.broadcast_to(data.num_components, 2))


def waves_of(frequency, amplitude, phase, weight, data):
    """Sums of sines of these weights, each argument (chains, sines); (chains, length)."""
    terms = zip(frequency.T, (amplitude * weight).T, phase.T, strict=True)
    return sum(a[:, None] * wave(f, p, data) for f, a, p in terms)


def wave(frequency, phase, data):
    """sin(2πft + φ) of one sine a chain, (chains, length)."""
    time = torch.arange(data.length) / data.sample_rate
    return torch.sin(torch.addcmul(phase[:, None], 2 * math.pi * frequency[:, None], time))


def mixture(chosen, one, other, data):
    """The sums of `one` where chosen, (chains,), those of `other` elsewhere."""
    parts = (
        torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b)
        for a, b in zip(
            (one.number, one.frequency, one.amplitude, one.phase),
            (other.number, other.frequency, other.amplitude, other.phase),
            strict=True,
        )
    )
    return rendered(*parts, data)


def fitted_sums(mixed, chains, data):
    """The most probable sums of sines that matching pursuit finds, for `chains` chains a signal."""
    fewest, most = numbers(data)
    observed, time = mixed.astype(np.float64), np.arange(data.length) / data.sample_rate
    frequency, fitted = np.zeros((len(mixed), 0)), np.zeros_like(observed)
    lowest, best = np.full(len(mixed), np.inf), np.zeros((4, len(mixed), most))
    for number in range(1, most + 1):
        found = highest_peak(observed - fitted, data)
        frequency, fitted = refine(observed, np.hstack([frequency, found[:, None]]), data, NEWTON_STEPS)
        cosine, sine = np.split(solve(np.concatenate(waves(frequency, time), 1), observed), 2, 1)
        cost = improbability(observed, fitted, number, data)
        better = (cost < lowest) if number > fewest else np.ones(len(mixed), bool)
        lowest[better] = cost[better]
        best[0][better] = number
        for place, values in enumerate((frequency, number * np.hypot(cosine, sine), np.arctan2(cosine, sine)), 1):
            best[place][better, :number] = values[better]
    number, frequency, amplitude, phase = (np.repeat(x, chains, 0) for x in best)
    amplitude = np.clip(amplitude, 1 - data.amplitude_spread, 1 + data.amplitude_spread)
    frequency = np.clip(frequency, data.low_freq, data.high_freq)
    floats = (torch.from_numpy(x.astype(np.float32)) for x in (frequency, amplitude, phase * data.random_phase))
    return rendered(torch.from_numpy(number[:, 0].astype(np.int64)), *floats, data)


def step(state, observed, noise, data, generator):
    """A random walk of one sine of each chain: its frequency, amplitude and phase.

    As long as the Cramér–Rao bound of a sine (Kay, "Fundamentals of Statistical Signal Processing:
    Estimation Theory" (1993), example 3.14), but for a factor that is drawn. The phase is held at the
    signal's middle, where it tells nothing of the frequency.
    """
    chains, length = observed.shape
    rows = torch.arange(chains)
    place = torch.minimum((torch.rand(chains, generator=generator) * state.number).long(), state.number - 1)
    frequency, amplitude, phase = (x[rows, place] for x in (state.frequency, state.amplitude, state.phase))
    factor = 10 ** (torch.rand(chains, generator=generator) * 1.5 - 1)
    normal = torch.randn((3, chains), generator=generator) * factor * noise * math.sqrt(2 / length) * state.number
    middle = (length - 1) / 2 / data.sample_rate
    if data.random_phase:
        moved = normal[0] * math.sqrt(3) / math.pi / data.duration
        new_phase = torch.remainder(phase + normal[2] - 2 * math.pi * middle * moved, 2 * math.pi)
    else:
        moved = normal[0] * math.sqrt(3) / (2 * math.pi * data.duration)
        new_phase = phase
    new_frequency = frequency + moved
    new_amplitude = amplitude + normal[1] * (data.amplitude_spread > 0)
    old = wave(frequency, phase, data) * (amplitude / state.number)[:, None]
    new = wave(new_frequency, new_phase, data) * (new_amplitude / state.number)[:, None]
    signal = state.signal - old + new
    gain = log_likelihood(observed, signal, noise) - log_likelihood(observed, state.signal, noise)
    possible = inside(new_frequency, new_amplitude, data)
    accepted = possible & (torch.rand(chains, generator=generator).log() < gain)
    rows, place = rows[accepted], place[accepted]
    state.frequency[rows, place] = new_frequency[accepted]
    state.amplitude[rows, place] = new_amplitude[accepted]
    state.phase[rows, place] = new_phase[accepted]
    state.signal = torch.where(accepted[:, None], signal, state.signal)


def log_likelihood(observed, signal, noise):
    """ln of the probability of the observed signals given the clean ones, but for a constant."""
    return -(observed - signal).square().sum(1) / (2 * noise**2)


def inside(frequency, amplitude, data):
    """Whether the prior allows frequencies and relative amplitudes."""
    in_band = (frequency >= data.low_freq) & (frequency <= data.high_freq)
    return in_band & ((amplitude - 1).abs() <= data.amplitude_spread + ROUNDING)


def jump(state, observed, noise, data, grid, kinds, generator):
    """In each chain some sines are taken away, and others drawn in their place.

    kinds: pairs (taken away, drawn), of which each chain chooses one. (0, 1) is the birth of a sine and
    (1, 0) its death; (1, 2) and (2, 1) split and merge sines too near each other to be told apart. New
    sines are drawn for what the others leave of the observed signal, as `Single` and `Pair` say. The
    range of amplitudes changes with the number of sines: either the others keep their amplitudes, or
    their relative ones. Green (1995), eq. 7: the ratio of the posterior densities, times that of the
    proposals' densities, times the Jacobian, which is that of the relative amplitudes. The ways to
    choose sines cancel with the orders that sines have.
    """
    chains = len(observed)
    fewest, most = numbers(data)
    before = state.number
    taken, drawn = torch.tensor(kinds)[torch.randint(len(kinds), (chains,), generator=generator)].T
    after = before + drawn - taken
    possible = (taken <= before) & (after >= fewest) & (after <= most)
    after = after.clamp(fewest, most)
    rescaled = (torch.rand(chains, generator=generator) < RESCALED) | (data.amplitude_spread == 0)
    larger = torch.maximum(before, after)

    places, size = torch.arange(most), max(max(kind) for kind in kinds)
    present = places < before[:, None]
    order = (torch.rand((chains, most), generator=generator) - 2.0 * ~present).argsort(1, descending=True)
    some = order[:, :size]
    leaving = places[:size] < taken[:, None]
    old = [x.gather(1, some) for x in (state.frequency, state.amplitude, state.phase)]
    others = state.signal - waves_of(*old, leaving / before[:, None], data)
    others = others * torch.where(rescaled, before / larger, 1)[:, None]

    left = observed - others
    single = Single(left, torch.where(taken == 1, before, after), noise, data, grid)
    new = single.draw(generator)
    if size == 2:
        pair = Pair(left, torch.where(taken == 2, before, after), noise, data, grid)
        new = [torch.where((drawn == 2)[:, None], two, one) for two, one in zip(pair.draw(generator), new, strict=True)]
    signal = others * torch.where(rescaled, larger / after, 1)[:, None]
    coming = places[:size] < drawn[:, None]
    signal = signal + waves_of(*new, coming / after[:, None], data)

    gain = log_likelihood(observed, signal, noise) - log_likelihood(observed, state.signal, noise)
    for sign, count, sines in ((1, drawn, new), (-1, taken, old)):
        gain = gain + sign * torch.where(count == 1, single.log_ratio(*(x[:, 0] for x in sines)), 0)
        if size == 2:
            gain = gain + sign * torch.where(count == 2, pair.log_ratio(*sines), 0)
    factor = torch.where(rescaled, 1, after / before)
    gain = gain + (before - taken) * factor.log()

    staying = present.scatter(1, some, present.gather(1, some) & ~leaving)
    there = torch.cat([staying, coming], 1)
    rows = (state.frequency, new[0]), (state.amplitude * factor[:, None], new[1]), (state.phase, new[2])
    rows = [torch.cat(row, 1) for row in rows]
    possible &= (inside(*rows[:2], data) | ~there).all(1)
    accepted = possible & (torch.rand(chains, generator=generator).log() < gain)
    front = there.long().argsort(dim=1, descending=True, stable=True)[:, :most]
    chosen = accepted[:, None]
    state.frequency, state.amplitude, state.phase = (
        torch.where(chosen, row.gather(1, front), x)
        for row, x in zip(rows, (state.frequency, state.amplitude, state.phase), strict=True)
    )
    state.signal = torch.where(chosen, signal, state.signal)
    state.number = torch.where(accepted, after, before)
    return accepted, taken, drawn


def frequency_grid(data):
    """Frequencies in Hz in the middle of equal parts of the band, and their cosines and sines.

    (points,), and (length, 2 · points).
    """
    band = data.high_freq - data.low_freq
    points = max(1, round(band * data.duration / GRID_STEP))
    grid = data.low_freq + (torch.arange(points, dtype=torch.float64) + 0.5) * band / points
    angle = 2 * math.pi * torch.arange(data.length, dtype=torch.float64)[:, None] / data.sample_rate * grid
    return grid.float(), torch.cat([angle.cos(), angle.sin()], 1).float()


class Single:
    """The density that one new sine is drawn from, for what the others leave.

    The frequency from a histogram: the likelihood at the best amplitude and phase, made less steep,
    and a share of a uniform density. Then the phase, a wrapped Cauchy variable; then the amplitude,
    Gaussian about the best one for this phase, cut to its range. What does not vary is not drawn.
    Sines are frequencies in Hz, relative amplitudes and phases.
    """

    def __init__(self, left, number, noise, data, grid):
        self.left, self.number, self.noise, self.data = left, number, noise, data
        self.frequencies, basis = grid
        self.width = (data.high_freq - data.low_freq) / len(self.frequencies)
        self.low, self.high = ((1 + sign * data.amplitude_spread) / number for sign in (-1, 1))
        cosine, sine = (left @ basis).chunk(2, 1)
        fit = self.fit(torch.hypot(cosine, sine) if data.random_phase else sine)
        steep = fit.amax(1, keepdim=True).clamp(min=STEEPEST) / STEEPEST
        self.probability = torch.softmax(fit / steep, 1) * (1 - UNIFORM_SHARE) + UNIFORM_SHARE / fit.shape[1]

    def fit(self, product):
        """ln of the likelihood of the best amplitude, for products (chains, points) of sines and what is left."""
        best = self.best_amplitude(product)
        return (best * product - self.data.length / 4 * best**2) / self.noise[:, None] ** 2

    def best_amplitude(self, product):
        low, high = (x.view(-1, *[1] * (product.ndim - 1)) for x in (self.low, self.high))
        return torch.minimum(torch.maximum(product * 2 / self.data.length, low), high)

    def draw(self, generator):
        """A new sine in each chain, each (chains, 1)."""
        data, points = self.data, len(self.frequencies)
        chance = torch.rand((4, len(self.left)), generator=generator)
        cumulated = self.probability.cumsum(1)
        bins = torch.searchsorted(cumulated, chance[0][:, None] * cumulated[:, -1:])[:, 0].clamp(max=points - 1)
        frequency = self.frequencies[bins] + (chance[1] - 0.5) * self.width
        phase, amplitude = torch.zeros_like(frequency), torch.ones_like(frequency)
        centre, product, concentration = self.at(frequency)
        if data.random_phase:
            tangent = torch.tan(math.pi * (chance[2] - 0.5))
            phase = centre + 2 * torch.atan((1 - concentration) / (1 + concentration) * tangent)
            phase = torch.remainder(phase, 2 * math.pi)
        if data.amplitude_spread:
            mean, spread, low, high = self.amplitude(product * torch.cos(phase - centre))
            value = mean + spread * torch.special.ndtri(low + chance[3] * (high - low))
            amplitude = self.number * torch.minimum(torch.maximum(value, self.low), self.high)
        return [x[:, None] for x in (frequency, amplitude, phase)]

    def log_ratio(self, frequency, amplitude, phase):
        """ln of the prior density of sines, each (chains,), over the density that they are drawn from."""
        data, points = self.data, len(self.frequencies)
        bins = ((frequency - data.low_freq) / self.width).long().clamp(0, points - 1)
        ratio = -(self.probability.gather(1, bins[:, None])[:, 0] * points).log()
        centre, product, concentration = self.at(frequency)
        if data.random_phase:
            # 1 + ρ² − 2ρ·cos(φ), but exact for a small φ too
            square = (1 - concentration) ** 2 + 4 * concentration * torch.sin((phase - centre) / 2) ** 2
            ratio = ratio - ((1 - concentration**2) / square).log()
        if data.amplitude_spread:
            mean, spread, low, high = self.amplitude(product * torch.cos(phase - centre))
            exponent = ((amplitude / self.number - mean) / spread) ** 2 / 2
            density = -exponent - (spread * (high - low) * math.sqrt(2 * math.pi)).log()
            ratio = ratio + (self.number / (2 * data.amplitude_spread)).log() - density
        return ratio

    def at(self, frequency):
        """The best phase, the product of that sine with what is left, the concentration of phases."""
        quarter = torch.full_like(frequency, math.pi / 2)
        sine = (self.left * wave(frequency, 0 * quarter, self.data)).sum(1)
        if not self.data.random_phase:
            return torch.zeros_like(sine), sine, None
        cosine = (self.left * wave(frequency, quarter, self.data)).sum(1)
        product = torch.hypot(cosine, sine)
        sharpness = (self.best_amplitude(product) * product).sqrt() / self.noise
        return torch.atan2(cosine, sine), product, torch.exp(-1 / sharpness.clamp(1e-3, 1e3))

    def amplitude(self, product):
        """Mean and spread of the Gaussian of amplitudes, and its distribution function at both ends."""
        mean, spread = self.best_amplitude(product), self.noise * math.sqrt(2 / self.data.length)
        return mean, spread, *(torch.special.ndtr((end - mean) / spread) for end in (self.low, self.high))


class Pair:
    """The density that two new sines are drawn from, for what the others leave.

    The frequencies scatter about the highest peak of the periodogram, as a Cauchy variable does.
    Amplitudes and phases are drawn together: given the frequencies the likelihood is Gaussian in the
    weights of cosines and sines. Sines are frequencies in Hz, relative amplitudes and phases.
    """

    def __init__(self, left, number, noise, data, grid):
        self.left, self.number, self.noise, self.data = left, number[:, None], noise, data
        cosine, sine = (left @ grid[1]).chunk(2, 1)
        self.peak = grid[0][(cosine**2 + sine**2).argmax(1)][:, None]
        self.scatter = PAIR_SCATTER / data.duration

    def draw(self, generator):
        """Two new sines in each chain, each (chains, 2)."""
        chance = torch.rand((len(self.left), 2), generator=generator)
        frequency = self.peak + self.scatter * torch.tan(math.pi * (chance - 0.5))
        mean, root = self.weights(frequency)
        normal = torch.randn((len(self.left), 4, 1), generator=generator, dtype=torch.float64)
        weights = mean + torch.linalg.solve_triangular(root.mT, normal, upper=True)
        cosine, sine = weights[..., 0].float().chunk(2, 1)
        phase = torch.remainder(torch.atan2(cosine, sine), 2 * math.pi)
        return frequency, torch.hypot(cosine, sine) * self.number, phase

    def log_ratio(self, frequency, amplitude, phase):
        """ln of the prior density of sines, each (chains, 2), over the density that they are drawn from."""
        data = self.data
        band = data.high_freq - data.low_freq
        strength = amplitude / self.number
        mean, root = self.weights(frequency)
        weights = torch.cat([strength * torch.sin(phase), strength * torch.cos(phase)], 1)[..., None]
        exponent = (root.mT @ (weights - mean)).square().sum((1, 2)) / 2
        gaussian = root.diagonal(dim1=1, dim2=2).log().sum(1) - exponent - 2 * math.log(2 * math.pi)
        from_peak = ((frequency - self.peak) / self.scatter) ** 2
        cauchy = -(math.pi * self.scatter * (1 + from_peak)).log()
        polar = (strength / self.number).log()
        prior = -2 * math.log(band * 2 * data.amplitude_spread * 2 * math.pi)
        return prior - (gaussian + (cauchy + polar).sum(1)).float()

    def weights(self, frequency):
        """Of the weights of cosines and sines the mean, (chains, 4, 1), and the precision's Cholesky root."""
        first, second = frequency.T
        quarter = torch.full_like(first, math.pi / 2)
        phases = ((first, quarter), (second, quarter), (first, 0 * quarter), (second, 0 * quarter))
        basis = torch.stack([wave(f, p, self.data) for f, p in phases], 1)
        variance = self.noise.double()[:, None, None] ** 2
        weak = self.number.double()[:, :, None] ** 2 * torch.eye(4)
        precision = (basis @ basis.mT).double() / variance + weak
        root, _ = torch.linalg.cholesky_ex(precision)
        return torch.cholesky_solve((basis @ self.left[..., None]).double() / variance, root), root
