"""Synthesised noise of many kinds, drawn on the fly: hiss, hum, engines, sirens, clicks, babble.

Each kind is a function (length, rate, rng) of samples, samples per second and a numpy Generator;
it gives float64 (length,) of any level. `draw_mixed_noise` mixes kinds, as real places do, and
varies them: the noise in a recording is hardly ever of one pure kind.
"""

import numpy as np
from scipy import signal

LOWEST_HEARD = 20.0  # Hz, below which no kind has anything to hear
BABBLE_SHARE = 0.12  # of the noise signals, where there are voices to make it of
VOICES_IN_BABBLE = 3, 8  # fewest and most, in babble


def coloured(length, rate, rng):
    """Gaussian noise with a power ∝ f^slope: rising (violet) to falling twice as fast as brown."""
    slope = rng.uniform(-3, 1.5)
    return filtered(rng.normal(size=length), rate, lambda f: np.maximum(f, LOWEST_HEARD) ** (slope / 2))


def band(length, rate, rng):
    """Gaussian noise in a band, swelling slowly or fast: wind, waves, ventilators, helicopters."""
    centre = draw_frequency(60, rate / 2, rng)
    width = rng.uniform(0.1, 1.5)  # in octaves
    noise = filtered(
        rng.normal(size=length), rate, lambda f: np.exp(-((np.log2(np.maximum(f, 1) / centre) / width) ** 2))
    )
    return noise * swelling(length, rate, rng)


def hum(length, rate, rng):
    """A fundamental and its harmonics, wavering a little: mains, motors, engines."""
    fundamental = rng.choice([50.0, 60.0, draw_frequency(25, 400, rng)])
    harmonics = np.arange(1, max(2, min(40, int(0.45 * rate / fundamental))))
    amplitudes = harmonics ** -rng.uniform(0.2, 2) * rng.uniform(0, 1, len(harmonics))
    wavering = 1 + rng.choice([0, 0.003, 0.03]) * slow(length, rate, rng.uniform(0.5, 10), rng)
    turns = np.cumsum(fundamental * wavering) / rate
    # Harmonics are powers of one complex oscillation, which is much faster than a sine each.
    oscillation, power = np.exp(2j * np.pi * turns), 1.0
    phases = np.exp(2j * np.pi * rng.random(len(harmonics)))
    total = np.zeros(length)
    for amplitude, phase in zip(amplitudes, phases, strict=True):
        power = power * oscillation
        total += amplitude * (phase * power).real
    return total


def tones(length, rate, rng):
    """One to three tones, steady or switched, with a harmonic or two: beeps, whistles, ringing."""
    total = np.zeros(length)
    for _ in range(rng.integers(1, 4)):
        turns = draw_frequency(150, 0.4 * rate, rng) * np.arange(length) / rate
        tone = np.sin(2 * np.pi * (turns + rng.random()))
        if rng.random() < 0.5:
            tone *= switched(length, rate, rng)
        total += rng.uniform(0.2, 1) * tone
    return total


def sweeps(length, rate, rng):
    """A tone that goes up and down, with harmonics: sirens, alarms, squeaking."""
    low = draw_frequency(200, 0.15 * rate, rng)
    octaves = rng.uniform(0.2, min(2, np.log2(0.4 * rate / low)))
    speed = draw_frequency(0.15, 8, rng)
    course = speed * np.arange(length) / rate + rng.random()
    height = rng.choice([0.5 - 0.5 * np.cos(2 * np.pi * course), course % 1, (course % 1 < 0.5) * 1.0], axis=0)
    turns = np.cumsum(low * 2 ** (octaves * height)) / rate
    # Those harmonics alone that stay below the Nyquist frequency.
    harmonics = range(1, min(3, int(0.45 * rate / (low * 2**octaves))) + 1)
    return sum(rng.uniform(0.2, 1) / n * np.sin(2 * np.pi * n * turns) for n in harmonics)


def chirps(length, rate, rng):
    """Short gliding tones in a row, now and then: birds, insects, toys."""
    total = np.zeros(length)
    home, duration = draw_frequency(0.08 * rate, 0.35 * rate, rng), draw_frequency(0.02, 0.3, rng)
    for start in events(length, rate, draw_frequency(1, 12, rng), rng):
        size = min(int(duration * rng.uniform(0.6, 1.4) * rate), length - start)
        course = np.linspace(0, 1, size)
        glide = rng.uniform(-0.4, 0.4) * course + rng.uniform(0, 0.1) * np.sin(2 * np.pi * rng.uniform(2, 12) * course)
        frequency = np.clip(home * rng.uniform(0.8, 1.25) * 2**glide, 20, 0.45 * rate)
        total[start : start + size] += (
            rng.uniform(0.2, 1) * np.sin(np.pi * course) * np.sin(2 * np.pi * np.cumsum(frequency) / rate)
        )
    return total


def clicks(length, rate, rng):
    """Impulses of all sizes, sparse to dense, through a short filter: crackle, rain, typing."""
    impulses = np.zeros(length)
    places = events(length, rate, draw_frequency(1, 400, rng), rng)
    impulses[places] = rng.normal(size=len(places)) * np.exp(rng.normal(0, 1, len(places)))
    tail = int(draw_frequency(0.0003, 0.02, rng) * rate) + 2
    response = rng.normal(size=4 * tail) * np.exp(-np.arange(4 * tail) / tail)
    return signal.fftconvolve(impulses, response)[:length]


def impacts(length, rate, rng):
    """Blows that ring, each as a sum of decaying tones: doors, dishes, hammers, steps."""
    size = int(draw_frequency(0.05, 0.8, rng) * rate)
    time, ring = np.arange(size) / rate, np.zeros(size)
    for _ in range(rng.integers(2, 9)):
        decay = draw_frequency(0.01, 0.2, rng)
        frequency = draw_frequency(80, 0.4 * rate, rng)
        ring += rng.normal() * np.exp(-time / decay) * np.sin(2 * np.pi * (frequency * time + rng.random()))
    ring += rng.uniform(0, 1) * rng.normal(size=size) * np.exp(-time / rng.uniform(0.003, 0.05))
    blows = np.zeros(length)
    places = events(length, rate, draw_frequency(0.5, 8, rng), rng)
    blows[places] = rng.uniform(0.1, 1, len(places)) * rng.choice([-1, 1], len(places))
    return signal.fftconvolve(blows, ring)[:length]


NOISE_KINDS = {
    "coloured": coloured,
    "band": band,
    "hum": hum,
    "tones": tones,
    "sweeps": sweeps,
    "chirps": chirps,
    "clicks": clicks,
    "impacts": impacts,
}


def draw_mixed_noise(length, rate, rng, draw_voice=None, draw_recording=None):
    """One to three kinds of noise, varied and mixed: (length,), float64, of power 1; and a name.

    The name is that of the loudest kind. draw_voice: a function that gives a passage (length,) of
    speech, which babble is made of; draw_recording: one that gives a passage of recorded noise and
    its name, which takes the place of half of the synthesised kinds.
    """
    parts, names = [], []
    if draw_voice and rng.random() < BABBLE_SHARE:
        parts, names = [babble(draw_voice, rng)], ["babble"]
    for _ in range(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]) - len(parts)):
        if draw_recording and rng.random() < 0.5:
            part, name = draw_recording()
        else:
            name = str(rng.choice(list(NOISE_KINDS)))
            part = NOISE_KINDS[name](length, rate, rng)
        parts.append(part)
        names.append(name)
    # The first is the loudest; the others are up to 20 dB below it.
    noise = sum(unit_power(part) * 10 ** (-rng.uniform(0, 20) / 20 * (number > 0)) for number, part in enumerate(parts))
    if rng.random() < 0.5:
        noise = equalised(noise, rate, 12, rng)
    if rng.random() < 0.2:
        noise = noise * level_step(length, rng)
    return unit_power(noise), names[0]


def babble(draw_voice, rng):
    """Several people at once, some nearer than others."""
    count = rng.integers(VOICES_IN_BABBLE[0], VOICES_IN_BABBLE[1] + 1)
    return sum(unit_power(draw_voice()) * rng.uniform(0.4, 1) for _ in range(count))


def equalised(samples, rate, most, rng):
    """The samples through a smooth random filter that changes octaves by up to `most` dB."""
    knots = np.geomspace(LOWEST_HEARD, rate / 2, 8)
    gains = rng.uniform(-most, most, len(knots))
    return filtered(samples, rate, lambda f: 10 ** (np.interp(np.log(np.maximum(f, 1)), np.log(knots), gains) / 20))


def level_step(length, rng):
    """A gain (length,) that jumps once, by up to 15 dB: a window opens, a machine starts."""
    gain = np.ones(length)
    gain[rng.integers(length) :] = 10 ** (rng.uniform(-15, 15) / 20)
    return gain


def filtered(samples, rate, response):
    """Samples with their spectrum multiplied by `response`, a function of frequencies in Hz."""
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    return np.fft.irfft(np.fft.rfft(samples) * response(frequencies), len(samples))


def swelling(length, rate, rng):
    """A gain (length,) that rises and falls, regularly or not, 0.3 to 30 times a second."""
    speed, depth = draw_frequency(0.3, 30, rng), rng.uniform(0, 1)
    if rng.random() < 0.5:
        course = np.sin(2 * np.pi * (speed * np.arange(length) / rate + rng.random()))
    else:
        course = np.clip(slow(length, rate, speed, rng), -1, 1)
    return 1 + depth * course


def slow(length, rate, cutoff, rng):
    """Gaussian noise (length,) below `cutoff` in Hz, of power 1."""
    size = max(4, int(length / rate * 2 * cutoff) + 4)
    return unit_power(np.interp(np.linspace(0, size - 1, length), np.arange(size), rng.normal(size=size)))


def switched(length, rate, rng):
    """A gain (length,) of ones and zeros, on for a share of every period."""
    course = np.arange(length) / rate * draw_frequency(0.5, 8, rng) + rng.random()
    return (course % 1 < rng.uniform(0.1, 0.9)) * 1.0


def events(length, rate, per_second, rng):
    """Sorted places of events, so many a second on average, at least one."""
    return np.sort(rng.integers(length, size=max(1, rng.poisson(per_second * length / rate))))


def draw_frequency(low, high, rng):
    """Uniform on a logarithmic scale; at a low sample rate from a quarter of `high` at most."""
    return float(np.exp(rng.uniform(np.log(min(low, high / 4)), np.log(high))))


def unit_power(samples):
    """Samples over their root mean square; silence stays silence."""
    return samples / (np.sqrt(np.square(samples).mean()) + 1e-12)
