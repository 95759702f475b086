"""The posterior mean of sums of sines in white noise, by Markov chains that jump between numbers of sines.

The posterior mean has the least mean squared error of all estimators, on average over the family that
`draw_components` draws from. A chain visits sums of sines as often as they are probable given the mixed
signal; as their number is unknown too, its dimension changes: Green, "Reversible jump Markov chain
Monte Carlo computation and Bayesian model determination" (1995); for sines, Andrieu, Doucet, "Joint
Bayesian model selection and estimation of noisy sinusoids via reversible jump MCMC" (1999).

All chains of all signals move at once: tensors are (chains,), (chains, sines) or (chains, length).
Sines are (frequencies in Hz, amplitudes, phases). Amplitudes are relative: times the number of sines, so
that their prior is the same for every number. Where phases are drawn they are those at a signal's
middle, which are uniform too, and of which the likelihood hardly depends on the frequency.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from dan.evaluation.sine_fits import NEWTON_STEPS, highest_peak, improbability, refine, solve
from dan.progress import track

SINGLES = ((0, 1), (1, 0), (1, 1))  # sines (taken away, drawn) in a jump: birth, death, another one
NEIGHBOURS = ((1, 1), (1, 2), (2, 1), (2, 2))  # (1, 2) splits a sine, (2, 1) merges two
PAIRS = ((0, 2), (2, 0), (1, 2), (2, 1), (2, 2))
NEIGHBOUR_JUMPS, STEPS = 2, 5  # in a sweep
RESCALED = 0.3  # share of jumps in which the other sines keep their relative amplitudes
GRID_STEP = 1 / 4  # of the periodogram, over the width of a bin
UNIFORM_SHARE = 0.1  # of new sines that have any frequency
STEEPEST = 300.0  # nats of the highest peak that frequencies are drawn from
SCATTERS = 0.005, 1.0  # of neighbours' frequencies, over the width of a bin
BURN_IN = 0.5  # of the sweeps, which count for nothing
ANNEALING = 0.8  # of the burn-in
ROUNDING = 1e-6


@dataclass
class Sums:
    """Sums of sines: the state of the chains. Of `sines` the first `number` are there."""

    number: torch.Tensor  # (chains,)
    sines: list[torch.Tensor]  # frequencies, amplitudes and phases, each (chains, most sines)
    signal: torch.Tensor  # (chains, length)


def posterior_mean(mixed, sigma, data, chains=2, sweeps=1000, seed=0):
    """The posterior means that each chain finds, and its mean squared distances from the mixed signal.

    mixed: (count, length); sigma: the noise's standard deviation in each, (count,); data: the
    DataConfig that the clean signals are drawn from. Returns float64 arrays (count, chains, length) and
    (count, chains), the latter the mean of ‖mixed − clean‖² over the posterior.

    The noise is taken as white and Gaussian, of a level that has nothing to do with the signal. Mixtures
    of `draw` have an exact SNR: who knew both it and sigma would know the clean signal's energy. That
    is left out. It is right where the SNR is drawn uniformly in decibels, whatever the signal: then the
    level tells nothing of the signal but near the ends of the range.

    The chains of a signal differ in where they start: every other one at the sines of a fit, the
    rest anywhere, in noise that is raised at first and then falls to sigma (simulated annealing).
    """
    generator = torch.Generator().manual_seed(seed)
    observed = torch.from_numpy(np.repeat(mixed.astype(np.float32), chains, 0))
    level = torch.from_numpy(np.repeat(np.asarray(sigma, np.float32), chains))
    annealed = torch.arange(len(observed)) % chains % 2 == 0
    state = draw_prior(len(observed), data, generator)
    state = either(annealed, state, fitted_sums(mixed, chains, data))
    grid = frequency_grid(data)
    raised = torch.maximum(level, 2 * observed.square().mean(1).sqrt())
    burn_in = int(BURN_IN * sweeps)
    total, distance = torch.zeros(observed.shape, dtype=torch.float64), torch.zeros(len(observed), dtype=torch.float64)
    for sweep in track(range(sweeps), desc="sampling", unit="sweep", leave=False):
        cooled = min(1, sweep / max(1, ANNEALING * burn_in))
        noise = torch.where(annealed, raised ** (1 - cooled) * level**cooled, level)
        move(state, observed, noise, data, grid, generator)
        if sweep >= burn_in:
            total += state.signal
            distance += (observed - state.signal).square().sum(1)
    kept, shape = sweeps - burn_in, (len(mixed), chains)
    return (total / kept).numpy().reshape(*shape, -1), (distance / kept).numpy().reshape(shape)


def move(state, observed, noise, data, grid, generator):
    """A sweep of moves, each of which leaves the posterior as it is; noise: (chains,).

    Jumps of neighbours are for unknown amplitudes and phases, without which sines do not take each
    other's place.
    """
    jump(state, observed, noise, data, SINGLES, Peaks(noise, data, *grid), generator)
    if data.random_phase and data.amplitude_spread and numbers(data)[1] > 1:
        for _ in range(NEIGHBOUR_JUMPS):
            jump(state, observed, noise, data, NEIGHBOURS, Neighbours(noise, data, generator), generator)
        jump(state, observed, noise, data, PAIRS, Neighbours(noise, data, generator, *grid), generator)
    for _ in range(STEPS):
        step(state, observed, noise, data, generator)


def numbers(data):
    """The fewest and the most sines in a signal."""
    return tuple(int(number) for number in np.broadcast_to(data.num_components, 2))


def draw_prior(chains, data, generator):
    """Sums of sines as `draw_components` draws them."""
    fewest, most = numbers(data)
    number = torch.randint(fewest, most + 1, (chains,), generator=generator)
    frequency, amplitude, phase = torch.rand((3, chains, most), generator=generator)
    frequency = data.low_freq + (data.high_freq - data.low_freq) * frequency
    amplitude = 1 + data.amplitude_spread * (2 * amplitude - 1)
    return rendered(number, [frequency, amplitude, 2 * math.pi * phase * data.random_phase], data)


def rendered(number, sines, data):
    """The sums of these sines."""
    present = torch.arange(sines[0].shape[1]) < number[:, None]
    return Sums(number, sines, waves(*sines, present / number[:, None], data))


def either(chosen, one, other):
    """The sums of `one` where chosen, (chains,), those of `other` elsewhere."""
    rows = chosen[:, None]
    sines = [torch.where(rows, a, b) for a, b in zip(one.sines, other.sines, strict=True)]
    return Sums(torch.where(chosen, one.number, other.number), sines, torch.where(rows, one.signal, other.signal))


def fitted_sums(mixed, chains, data):
    """The most probable sums of sines that matching pursuit finds, for `chains` chains a signal."""
    fewest, most = numbers(data)
    observed = mixed.astype(np.float64)
    frequency, fitted = np.zeros((len(mixed), 0)), np.zeros_like(observed)
    time = (np.arange(data.length) - origin(data)) / data.sample_rate
    lowest, best = np.full(len(mixed), np.inf), np.ones((4, len(mixed), most))
    for number in range(1, most + 1):
        found = highest_peak(observed - fitted, data)
        frequency, fitted = refine(observed, np.hstack([frequency, found[:, None]]), data, NEWTON_STEPS)
        angle = 2 * np.pi * frequency[..., None] * time
        cosine, sine = np.split(solve(np.concatenate([np.cos(angle), np.sin(angle)], 1), observed), 2, 1)
        cost = improbability(observed, fitted, number, data)
        better = (cost < lowest) if number > fewest else np.ones(len(mixed), bool)
        lowest[better] = cost[better]
        best[0][better] = number
        for place, values in enumerate((frequency, number * np.hypot(cosine, sine), np.arctan2(cosine, sine)), 1):
            best[place][better, :number] = values[better]
    best[2] = np.clip(best[2], 1 - data.amplitude_spread, 1 + data.amplitude_spread)
    best[3] *= data.random_phase
    number, *sines = torch.from_numpy(np.repeat(best, chains, 1).astype(np.float32))
    return rendered(number[:, 0].long(), list(sines), data)


def origin(data):
    """The sample at which phases are counted."""
    return (data.length - 1) / 2 if data.random_phase else 0


def angles(frequency, data):
    """2πft in two terms: at the starts of equal blocks, and within a block, each (..., samples).

    The cosine of a sum needs cosines and sines of the terms alone: of 32 angles for 256 samples.
    """
    block = next(size for size in range(math.isqrt(data.length), 0, -1) if data.length % size == 0)
    per_sample = 2 * math.pi / data.sample_rate * frequency[..., None]
    return per_sample * (torch.arange(0, data.length, block) - origin(data)), per_sample * torch.arange(block)


def waves(frequency, amplitude, phase, weight, data):
    """Sums of sines times their weights, each argument (chains, sines); (chains, length)."""
    start, within = angles(frequency, data)
    start = start + phase[..., None]
    strength = (amplitude * weight)[..., None]
    starts = torch.cat([strength * start.sin(), strength * start.cos()], 1)
    return (starts.mT @ torch.cat([within.cos(), within.sin()], 1)).flatten(1)


def products(signal, frequency, data):
    """Of signals with cosines and with sines of frequencies (chains, sines), each of this shape."""
    start, within = angles(frequency, data)
    blocks = signal.view(len(signal), start.shape[-1], within.shape[-1])
    cosine, sine = (torch.cat([within.cos(), within.sin()], 1) @ blocks.mT).chunk(2, 1)
    return (start.cos() * cosine - start.sin() * sine).sum(-1), (start.sin() * cosine + start.cos() * sine).sum(-1)


def log_likelihood(observed, signal, noise):
    """ln of the probability of the observed signals given the clean ones, but for a constant."""
    left = observed - signal
    return torch.linalg.vecdot(left, left) / (-2 * noise**2)


def inside(frequency, amplitude, data):
    """Whether the prior allows frequencies and relative amplitudes."""
    in_band = (frequency >= data.low_freq) & (frequency <= data.high_freq)
    return in_band & ((amplitude - 1).abs() <= data.amplitude_spread + ROUNDING)


def step(state, observed, noise, data, generator):
    """A random walk of one sine of each chain: its frequency, amplitude and phase.

    As long as the Cramér–Rao bound of a sine (Kay, "Fundamentals of Statistical Signal Processing:
    Estimation Theory" (1993), example 3.14), but for a factor that is drawn.
    """
    chains = len(observed)
    number = state.number
    place = (torch.rand(chains, generator=generator) * number).long().clamp(max=number - 1)[:, None]
    old = [x.gather(1, place) for x in state.sines]
    normal = torch.randn((3, chains), generator=generator) * 10 ** (1.5 * torch.rand(chains, generator=generator) - 1)
    normal = (normal * noise * number * math.sqrt(2 / data.length))[..., None]
    slow = math.sqrt(3) / math.pi / data.duration * (1 if data.random_phase else 0.5)
    new = [
        old[0] + slow * normal[0],
        old[1] + normal[1] * (data.amplitude_spread > 0),
        torch.remainder(old[2] + normal[2] * data.random_phase, 2 * math.pi),
    ]
    both = (torch.cat(pair, 1) for pair in zip(new, old, strict=True))
    signal = state.signal + waves(*both, torch.tensor([1, -1]) / number[:, None], data)
    gain = log_likelihood(observed, signal, noise) - log_likelihood(observed, state.signal, noise)
    accepted = inside(*new[:2], data)[:, 0] & (torch.rand(chains, generator=generator).log() < gain)
    sines = [x.scatter(1, place, y) for x, y in zip(state.sines, new, strict=True)]
    update(state, accepted, Sums(number, sines, signal))


def update(state, accepted, new):
    """The chains that accept it take the new state."""
    kept = either(accepted, new, state)
    state.number, state.sines, state.signal = kept.number, kept.sines, kept.signal


def jump(state, observed, noise, data, kinds, proposal, generator):
    """In each chain some sines are taken away, and others drawn in their place.

    kinds: pairs (taken away, drawn), of which each chain chooses one. New sines are drawn for what
    the others leave of the observed signal, as `proposal` says. The range of amplitudes changes with the
    number of sines: either the others keep their amplitudes, or their relative ones. Green (1995), eq.
    7: the ratio of the posterior densities, times that of the proposals' densities, times the Jacobian,
    which is that of the relative amplitudes. Of n sines there are n(n − 1)/2 pairs, of which n − 1 are
    neighbours in frequency: those alone are taken away, and drawn.
    """
    chains = len(observed)
    fewest, most = numbers(data)
    before = state.number
    taken, drawn = torch.tensor(kinds)[torch.randint(len(kinds), (chains,), generator=generator)].T
    after = before + drawn - taken
    possible = (taken <= before) & (after >= fewest) & (after <= most)
    after = after.clamp(fewest, most)
    larger = torch.maximum(before, after)
    rescaled = (torch.rand(chains, generator=generator) < RESCALED) | (data.amplitude_spread == 0)

    places, size = torch.arange(most), max(max(kind) for kind in kinds)
    present = places < before[:, None]
    by_frequency = torch.where(present, state.sines[0], torch.inf).argsort(1)
    first = (torch.rand(chains, generator=generator) * (before - taken + 1)).long()
    first = torch.minimum(first, (before - taken).clamp(min=0))  # a product may be rounded up
    order = by_frequency.gather(1, (first[:, None] + places[:size]).clamp(max=most - 1))
    leaving, coming = (places[:size] < count[:, None] for count in (taken, drawn))
    old = [x.gather(1, order) for x in state.sines]
    others = state.signal - waves(*old, leaving / before[:, None], data)
    others = others * torch.where(rescaled, before / larger, 1)[:, None]

    proposal.set_left(observed - others, larger)
    new = proposal.draw(old, leaving, coming, after, generator)
    signal = others * torch.where(rescaled, larger / after, 1)[:, None] + waves(*new, coming / after[:, None], data)
    factor = torch.where(rescaled, 1, after / before)
    gain = log_likelihood(observed, signal, noise) - log_likelihood(observed, state.signal, noise)
    gain += proposal.log_ratio(new, coming, after, old, leaving)
    gain -= proposal.log_ratio(old, leaving, before, new, coming)
    gain += (before - taken) * factor.log()
    gain += torch.where(drawn == 2, after / 2, 1).log() - torch.where(taken == 2, before / 2, 1).log()

    staying = present & ~((places == order[:, :, None]) & leaving[:, :, None]).any(1)
    low, high = new[0].aminmax(dim=1, keepdim=True)
    between = staying & (state.sines[0] > low) & (state.sines[0] < high)
    possible &= (drawn < 2) | ~between.any(1)
    there = torch.cat([staying, coming], 1)
    sines = [
        torch.cat([x * scale, y], 1) for x, y, scale in zip(state.sines, new, (1, factor[:, None], 1), strict=True)
    ]
    possible &= (inside(*sines[:2], data) | ~there).all(1)
    accepted = possible & (torch.rand(chains, generator=generator).log() < gain)
    first = there.long().argsort(dim=1, descending=True, stable=True)[:, :most]
    update(state, accepted, Sums(after, [x.gather(1, first) for x in sines], signal))


def frequency_grid(data):
    """Frequencies in Hz in the middle of equal parts of the band, and their cosines and sines.

    (points,), and (length, 2 · points).
    """
    band = data.high_freq - data.low_freq
    points = max(1, round(band * data.duration / GRID_STEP))
    grid = data.low_freq + (torch.arange(points, dtype=torch.float64) + 0.5) * band / points
    time = (torch.arange(data.length, dtype=torch.float64) - origin(data)) / data.sample_rate
    angle = 2 * math.pi * time[:, None] * grid
    return grid.float(), torch.cat([angle.cos(), angle.sin()], 1).float()


class Peaks:
    """The density of one new sine that the periodogram of what the others leave suggests.

    The frequency is drawn from a histogram: the likelihood at the best amplitude and phase, made less
    steep, and a share of a uniform density. Then the phase, a wrapped Cauchy variable; then the
    amplitude, Gaussian about the best one for this phase, cut to its range. What does not vary is not drawn.
    """

    def __init__(self, noise, data, frequencies, basis):
        self.noise, self.data, self.frequencies, self.basis = noise, data, frequencies, basis
        self.width = (data.high_freq - data.low_freq) / len(frequencies)

    def set_left(self, left, number):
        """What the others leave of the observed signal, and how many sines there are with the new one."""
        self.left, self.number = left, number[:, None]
        self.low, self.high = ((1 + sign * self.data.amplitude_spread) / self.number for sign in (-1, 1))
        cosine, sine = (left @ self.basis).chunk(2, 1)
        product = torch.hypot(cosine, sine) if self.data.random_phase else sine
        best = self.best_amplitude(product)
        fit = (best * product - self.data.length / 4 * best**2) / self.noise[:, None] ** 2
        steep = fit.amax(1, keepdim=True).clamp(min=STEEPEST) / STEEPEST
        self.probability = torch.softmax(fit / steep, 1) * (1 - UNIFORM_SHARE) + UNIFORM_SHARE / fit.shape[1]

    def best_amplitude(self, product):
        """The likeliest amplitudes of sines with these products with what is left."""
        return torch.minimum(torch.maximum(product * (2 / self.data.length), self.low), self.high)

    def draw(self, old, leaving, coming, number, generator):
        """A new sine in each chain, each (chains, 1)."""
        chance = torch.rand((4, len(self.left), 1), generator=generator)
        cumulated = self.probability.cumsum(1)
        bins = torch.searchsorted(cumulated, chance[0] * cumulated[:, -1:]).clamp(max=len(self.frequencies) - 1)
        frequency = self.frequencies[bins] + (chance[1] - 0.5) * self.width
        phase, amplitude = torch.zeros_like(frequency), torch.ones_like(frequency)
        centre, product, concentration = self.at(frequency)
        if self.data.random_phase:
            tangent = torch.tan(math.pi * (chance[2] - 0.5))
            phase = centre + 2 * torch.atan((1 - concentration) / (1 + concentration) * tangent)
        if self.data.amplitude_spread:
            mean, spread, low, high = self.amplitude(product * torch.cos(phase - centre))
            value = mean + spread * torch.special.ndtri(low + chance[3] * (high - low))
            amplitude = self.number * torch.minimum(torch.maximum(value, self.low), self.high)
        return [frequency, amplitude, torch.remainder(phase, 2 * math.pi)]

    def log_ratio(self, sines, there, number, old, leaving):
        """ln of the prior density of sines over the density that they are drawn from, (chains,)."""
        frequency, amplitude, phase = sines
        bins = ((frequency - self.data.low_freq) / self.width).long().clamp(0, len(self.frequencies) - 1)
        ratio = -(self.probability.gather(1, bins) * len(self.frequencies)).log()
        centre, product, concentration = self.at(frequency)
        if self.data.random_phase:
            # 1 + ρ² − 2ρ·cos(φ), but exact for a small φ too
            square = (1 - concentration) ** 2 + 4 * concentration * torch.sin((phase - centre) / 2) ** 2
            ratio -= ((1 - concentration**2) / square).log()
        if self.data.amplitude_spread:
            mean, spread, low, high = self.amplitude(product * torch.cos(phase - centre))
            exponent = ((amplitude / self.number - mean) / spread) ** 2 / 2
            density = -exponent - (spread * (high - low) * math.sqrt(2 * math.pi)).log()
            ratio += (self.number / (2 * self.data.amplitude_spread)).log() - density
        return torch.where(there, ratio, 0)[:, 0]

    def at(self, frequency):
        """The best phase, the product of that sine with what is left, the concentration of phases."""
        cosine, sine = products(self.left, frequency, self.data)
        if not self.data.random_phase:
            return torch.zeros_like(sine), sine, None
        product = torch.hypot(cosine, sine)
        sharpness = (self.best_amplitude(product) * product).sqrt() / self.noise[:, None]
        return torch.atan2(cosine, sine), product, torch.exp(-1 / sharpness.clamp(1e-3, 1e3))

    def amplitude(self, product):
        """Mean and spread of the Gaussian of amplitudes, and its distribution function at both ends."""
        mean, spread = self.best_amplitude(product), self.noise[:, None] * math.sqrt(2 / self.data.length)
        return mean, spread, *(torch.special.ndtr((end - mean) / spread) for end in (self.low, self.high))


class Neighbours:
    """The density of new sines near those that are taken away, one or two of either.

    Frequencies scatter as Cauchy variables do, about the old ones, or about their mean where the
    numbers differ; with a grid, about the highest peak of what the others leave. Amplitudes and phases
    are drawn together: given the frequencies the likelihood is Gaussian in the weights of cosines and
    sines; a weak prior keeps it proper.
    """

    def __init__(self, noise, data, generator, frequencies=None, basis=None):
        self.noise, self.data, self.frequencies, self.basis = noise, data, frequencies, basis
        low, high = (math.log(scatter / data.duration) for scatter in SCATTERS)
        self.scatter = (low + (high - low) * torch.rand((len(noise), 1), generator=generator)).exp()

    def set_left(self, left, number):
        """What the others leave of the observed signal."""
        self.left = left
        if self.basis is not None:
            cosine, sine = (left @ self.basis).square().chunk(2, 1)
            self.peak = self.frequencies[(cosine + sine).argmax(1, keepdim=True)]

    def centres(self, old, leaving, coming):
        """What frequencies scatter about, (chains, 2)."""
        if self.basis is not None:
            return self.peak.expand_as(old[0])
        mean = (old[0] * leaving).sum(1, keepdim=True) / leaving.sum(1, keepdim=True)
        return torch.where((leaving == coming).all(1, keepdim=True), old[0], mean)

    def draw(self, old, leaving, coming, number, generator):
        """New sines in each chain, each (chains, 2)."""
        chance = torch.rand(old[0].shape, generator=generator)
        frequency = self.centres(old, leaving, coming) + self.scatter * torch.tan(math.pi * (chance - 0.5))
        mean, root = self.weights(frequency, coming, number)
        normal = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
        cosine, sine = (mean + torch.linalg.solve_triangular(root.mT, normal, upper=True))[..., 0].float().unbind(1)
        phase = torch.remainder(torch.atan2(cosine, sine), 2 * math.pi)
        return [frequency, torch.hypot(cosine, sine) * number[:, None], phase]

    def log_ratio(self, sines, there, number, old, leaving):
        """ln of the prior density of sines over the density that they are drawn from, (chains,)."""
        frequency, amplitude, phase = sines
        strength = amplitude / number[:, None] * there
        mean, root = self.weights(frequency, there, number)
        weights = torch.stack([strength * torch.sin(phase), strength * torch.cos(phase)], 1)[..., None]
        exponent = (root.mT @ (weights - mean)).square().sum((1, 2, 3)) / 2
        gaussian = root.diagonal(dim1=2, dim2=3).log().sum((1, 2)) - exponent
        from_centre = (frequency - self.centres(old, leaving, there)) / self.scatter
        cauchy = -(math.pi * self.scatter * (1 + from_centre**2)).log()
        polar = (strength / number[:, None]).log() - math.log(2 * math.pi)
        data = self.data
        prior = -math.log((data.high_freq - data.low_freq) * 2 * data.amplitude_spread * 2 * math.pi)
        return torch.where(there, prior - cauchy - polar, 0).sum(1) - gaussian.float()

    def weights(self, frequency, there, number):
        """Of the weights of cosines and of sines the mean, and the Cholesky root of their precision.

        (chains, 2, 2, 1) and (chains, 2, 2, 2): cosines and sines about a signal's middle are
        orthogonal. Sums of cosines over the samples are Dirichlet kernels.
        """
        both = there[:, :, None] & there[:, None]
        apart, together = (
            kernel(frequency.double()[:, :, None] + sign * frequency.double()[:, None], self.data) for sign in (-1, 1)
        )
        gram = torch.stack([apart + together, apart - together], 1) / 2 * both[:, None]
        variance = (self.noise.double() ** 2)[:, None, None, None]
        weak = torch.where(there, number[:, None] ** 2, 1).double()[:, None, :, None] * torch.eye(2)
        root, _ = torch.linalg.cholesky_ex(gram / variance + weak)
        product = torch.stack(products(self.left, frequency, self.data), 1) * there[:, None]
        return torch.cholesky_solve(product.double()[..., None] / variance, root), root


def kernel(frequency, data):
    """The sum of cos(2πft) over samples about a signal's middle: sin(πfT) / sin(πf / sample_rate)."""
    half = math.pi / data.sample_rate * frequency
    small = half.abs() < 1e-9
    return torch.where(small, data.length, (data.length * half).sin() / torch.where(small, 1, half).sin())
