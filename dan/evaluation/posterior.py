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
JUMPS, STEPS = 2, 6  # in a sweep
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
    grid = frequency_grid(data)
    raised = torch.maximum(level, observed.square().mean(1).sqrt() * 2)
    burn_in = int(BURN_IN * sweeps)
    total, distance = torch.zeros(observed.shape, dtype=torch.float64), torch.zeros(len(observed), dtype=torch.float64)
    for sweep in track(range(sweeps), desc="sampling", unit="sweep", leave=False):
        cooled = min(1, sweep / max(1, ANNEALING * burn_in))
        noise = torch.where(annealed, raised ** (1 - cooled) * level**cooled, level)
        for _ in range(JUMPS):
            jump(state, observed, noise, data, grid, generator)
        for _ in range(STEPS):
            step(state, observed, noise, data, generator)
        if sweep >= burn_in:
            total += state.signal
            distance += (observed - state.signal).square().sum(1)
    kept = sweeps - burn_in
    shape = len(mixed), chains
    return (total / kept).numpy().reshape(*shape, -1), (distance / kept).numpy().reshape(shape)


def draw_prior(chains, data, generator):
    """Sums of sines as `draw_components` draws them."""
    fewest, most = np.broadcast_to(data.num_components, 2)
    uniform = torch.rand((3, chains, int(most)), generator=generator)
    number = torch.randint(int(fewest), int(most) + 1, (chains,), generator=generator)
    frequency = data.low_freq + (data.high_freq - data.low_freq) * uniform[0]
    amplitude = 1 + data.amplitude_spread * (2 * uniform[1] - 1)
    return rendered(number, frequency, amplitude, 2 * math.pi * uniform[2] * data.random_phase, data)


def rendered(number, frequency, amplitude, phase, data):
    """The sums of these sines."""
    present = torch.arange(frequency.shape[1]) < number[:, None]
    strength = amplitude * present / number[:, None]
    signal = sum(
        s[:, None] * wave(f, p, data) for f, s, p in zip(frequency.T, strength.T, phase.T, strict=True)
    )
    return Sums(number, frequency, amplitude, phase, signal)


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
    fewest, most = (int(n) for n in np.broadcast_to(data.num_components, 2))
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


def jump(state, observed, noise, data, grid, generator):
    """A sine is born, dies, or is replaced by another, in each chain.

    A new sine is drawn for what the other sines leave of the observed signal, as `Sine` says. With the
    number of sines the range of their amplitudes changes: either the others keep their amplitudes, or
    their relative ones. Green (1995), eq. 7: the ratio of posterior densities, times that of the
    proposals' densities, times the Jacobian, which is that of the relative amplitudes.
    """
    chains = len(observed)
    rows = torch.arange(chains)
    number = state.number
    fewest, most = (int(n) for n in np.broadcast_to(data.num_components, 2))
    chance = torch.rand((3, chains), generator=generator)
    born = (chance[0] < 0.35) & (number < most)
    dies = (chance[0] > 0.65) & (number > fewest)
    rescaled = (chance[1] < 0.3) | (data.amplitude_spread == 0)
    place = torch.where(born, number, torch.minimum((chance[2] * number).long(), number - 1))
    slot = place.clamp(max=most - 1)
    frequency, amplitude, phase = (x[rows, slot] for x in (state.frequency, state.amplitude, state.phase))
    larger, after = number + born.long(), number + born.long() - dies.long()

    old = wave(frequency, phase, data) * torch.where(born, 0, amplitude / number)[:, None]
    shrunk = torch.where(born & rescaled, number / larger, 1)[:, None]
    others = state.signal * shrunk - old
    left = observed - others
    proposal = Proposal(left, larger, noise, data, grid)
    new = proposal.draw(generator)
    added = wave(new[0], new[2], data) * (new[1] / larger)[:, None]
    grown = torch.where(dies & rescaled, number / after.clamp(min=1), 1)[:, None]
    signal = torch.where(dies[:, None], others * grown, others + added)

    factor = torch.where(rescaled, 1, after / number)
    kept = torch.minimum(number, after) - (after == number).long()
    gain = log_likelihood(observed, signal, noise) - log_likelihood(observed, state.signal, noise)
    gain += torch.where(dies, 0, proposal.log_ratio(*new)) - torch.where(born, 0, proposal.log_ratio(frequency, amplitude, phase))
    gain += kept * factor.log()
    amplitudes = state.amplitude * factor[:, None]
    staying = torch.arange(most) < number[:, None]
    staying[rows, slot] &= born
    possible = ~(staying & ((amplitudes - 1).abs() > data.amplitude_spread + 1e-6)).any(1)
    possible &= dies | inside(*new[:2], data)
    accepted = possible & (torch.rand(chains, generator=generator).log() < gain)

    state.amplitude = torch.where(accepted[:, None], amplitudes, state.amplitude)
    # A sine that dies leaves its slot to the last one.
    last = (number - 1).clamp(min=0)
    moved = (x[rows, last] for x in (state.frequency, state.amplitude, state.phase))
    for values, fresh, last_one in zip((state.frequency, state.amplitude, state.phase), new, moved, strict=True):
        values[rows[accepted], slot[accepted]] = torch.where(dies, last_one, fresh)[accepted]
    state.signal = torch.where(accepted[:, None], signal, state.signal)
    state.number = torch.where(accepted, after, number)


def frequency_grid(data):
    """Frequencies in Hz in the middle of equal parts of the band, and their cosines and sines.

    (points,), and (length, 2 · points).
    """
    band = data.high_freq - data.low_freq
    points = max(1, round(band * data.duration / GRID_STEP))
    grid = data.low_freq + (torch.arange(points, dtype=torch.float64) + 0.5) * band / points
    angle = 2 * math.pi * torch.arange(data.length, dtype=torch.float64)[:, None] / data.sample_rate * grid
    return grid.float(), torch.cat([angle.cos(), angle.sin()], 1).float()


class Proposal:
    """The density that new sines are drawn from, given what the others leave.

    The frequency from a histogram: the likelihood at the best amplitude and phase, made less steep,
    and a share of a uniform density. Then the phase, a wrapped Cauchy variable; then the amplitude,
    Gaussian about the best one for this phase, cut to its range. What does not vary is not drawn.
    """

    def __init__(self, left, number, noise, data, grid):
        self.left, self.number, self.noise, self.data = left, number, noise, data
        self.grid, basis = grid
        self.width = (data.high_freq - data.low_freq) / len(self.grid)
        self.low, self.high = ((1 + sign * data.amplitude_spread) / number for sign in (-1, 1))
        cosine, sine = (left @ basis).chunk(2, 1)
        fit = self.profile(torch.hypot(cosine, sine) if data.random_phase else sine, 1)
        peak = fit.amax(1, keepdim=True)
        tempered = torch.softmax(fit * (STEEPEST / peak.clamp(min=STEEPEST)), 1)
        self.probability = (1 - UNIFORM_SHARE) * tempered + UNIFORM_SHARE / len(self.grid)

    def profile(self, strength, extra=0):
        """The largest log-likelihood, of all amplitudes, of a sine with this product with what is left."""
        low, high, noise = (x.view(-1, *[1] * extra) for x in (self.low, self.high, self.noise))
        length = self.data.length
        best = torch.minimum(torch.maximum(strength * 2 / length, low), high)
        return (best * strength - length / 4 * best**2) / noise**2

    def draw(self, generator):
        """Frequency, relative amplitude and phase of a new sine in each chain."""
        chance = torch.rand((4, len(self.left)), generator=generator)
        cumulated = self.probability.cumsum(1)
        bins = torch.searchsorted(cumulated, chance[0][:, None] * cumulated[:, -1:])[:, 0].clamp(max=len(self.grid) - 1)
        frequency = self.grid[bins] + (chance[1] - 0.5) * self.width
        centre, strength, concentration = self.at(frequency)
        phase = torch.zeros_like(frequency)
        if self.data.random_phase:
            tangent = torch.tan(math.pi * (chance[2] - 0.5))
            phase = centre + 2 * torch.atan((1 - concentration) / (1 + concentration) * tangent)
        amplitude = torch.ones_like(frequency)
        if self.data.amplitude_spread:
            mean, spread, low, high = self.amplitude(strength * torch.cos(phase - centre))
            value = mean + spread * torch.special.ndtri(low + chance[3] * (high - low))
            amplitude = self.number * torch.minimum(torch.maximum(value, self.low), self.high)
        return frequency, amplitude, torch.remainder(phase, 2 * math.pi)

    def log_ratio(self, frequency, amplitude, phase):
        """ln of the prior density of these sines over the density that they are drawn from."""
        data = self.data
        bins = ((frequency - data.low_freq) / self.width).long().clamp(0, len(self.grid) - 1)
        ratio = -(self.probability.gather(1, bins[:, None])[:, 0] * len(self.grid)).log()
        centre, strength, concentration = self.at(frequency)
        if data.random_phase:
            # 1 + ρ² − 2ρ·cos(φ), but exact for a small φ too
            square = (1 - concentration) ** 2 + 4 * concentration * torch.sin((phase - centre) / 2) ** 2
            ratio = ratio - ((1 - concentration**2) / square).log()
        if data.amplitude_spread:
            mean, spread, low, high = self.amplitude(strength * torch.cos(phase - centre))
            gaussian = -((amplitude / self.number - mean) ** 2) / (2 * spread**2) - 0.5 * math.log(2 * math.pi)
            density = gaussian - (spread * (high - low)).log()
            ratio = ratio + (self.number / (2 * data.amplitude_spread)).log() - density
        return ratio

    def at(self, frequency):
        """At frequencies: the best phase, what is left times that sine, the concentration of the phase."""
        cosine, sine = (
            (self.left * wave(frequency, torch.full_like(frequency, phase), self.data)).sum(1)
            for phase in (math.pi / 2, 0)
        )
        if not self.data.random_phase:
            return torch.zeros_like(sine), sine, None
        strength = torch.hypot(cosine, sine)
        best = torch.minimum(torch.maximum(strength * 2 / self.data.length, self.low), self.high)
        sharpness = (best * strength).clamp(min=1e-12).sqrt() / self.noise
        return torch.atan2(cosine, sine), strength, torch.exp(-1 / sharpness.clamp(max=1e3))

    def amplitude(self, strength):
        """Mean and spread of the Gaussian that amplitudes are drawn from, and its range on a scale from 0 to 1."""
        mean = torch.minimum(torch.maximum(strength * 2 / self.data.length, self.low), self.high)
        spread = self.noise * math.sqrt(2 / self.data.length)
        return mean, spread, *(torch.special.ndtr((end - mean) / spread) for end in (self.low, self.high))
