"""Measures of quality of an estimate: the columns of the table, and their summary.

Signals are arrays of shape (..., length).
"""

import warnings

import numpy as np
from scipy import stats

from dan.evaluation.speech_peers import RATE as PEERS_RATE
from dan.evaluation.speech_peers import dnsmos_ovrl, has_dnsmos

try:
    import pystoi
except ImportError:  # for benchmarks: without it, there is no such column
    pystoi = None
try:
    import pesq
except ImportError:
    pesq = None


SPEECH_RATES = 8000, 16_000  # samples per second that PESQ is defined for


def table_columns(data):
    """{metric: (title, worst, function)}: the columns of the table for the signals of a DataConfig.

    worst: which of a method's values is the worst, min or max. function: of clean, mixed and
    estimate, each (count, length); it gives one value for each signal. STOI, PESQ and DNSMOS are there
    for recordings at rates of speech, where they are installed.
    """
    columns = {
        "snr_db": ("SNR in dB", min, lambda clean, mixed, estimate: snr_db(clean, estimate)),
        "snr_improvement_db": ("improvement", min, lambda clean, mixed, estimate: gain(snr_db, clean, mixed, estimate)),
    }
    if data.is_recorded:
        columns["si_sdr_improvement_db"] = (
            "SI-SDR improv.",
            min,
            lambda clean, mixed, estimate: gain(si_sdr, clean, mixed, estimate),
        )
        rate = data.sample_rate
        if pystoi and rate >= SPEECH_RATES[0]:
            columns["stoi"] = ("STOI", min, lambda clean, mixed, estimate: stoi(clean, estimate, rate))
        if pesq and rate in SPEECH_RATES:
            columns["pesq"] = ("PESQ", min, lambda clean, mixed, estimate: speech_quality(clean, estimate, rate))
        if has_dnsmos() and rate == PEERS_RATE:
            columns["dnsmos_ovrl"] = ("DNSMOS OVRL", min, lambda clean, mixed, estimate: dnsmos_ovrl(estimate))
        return columns
    inside, outside = (
        lambda clean, mixed, estimate, place=place: band_noise_reduction(clean, mixed, estimate, data)[place]
        for place in (0, 1)
    )
    return columns | {
        "si_sdr_db": ("SI-SDR in dB", min, lambda clean, mixed, estimate: si_sdr(clean, estimate)),
        "mean_absolute_error": (
            "mean abs. error",
            max,
            lambda clean, mixed, estimate: mean_absolute_error(clean, estimate),
        ),
        "noise_reduction_in_band_db": ("in-band red. dB", min, inside),
        "noise_reduction_out_of_band_db": ("out-of-band dB", min, outside),
    }


def gain(measure, clean, mixed, estimate):
    """How much larger a measure is for the estimate than for the mixed signal."""
    return measure(clean, estimate) - measure(clean, mixed)


def snr_db(clean, estimate):
    """Signal-to-noise ratio of each signal in dB, shape (...,); numpy or torch.

    10·log10(‖clean‖² / ‖estimate − clean‖²).
    """
    return _decibels((clean**2).sum(-1), ((estimate - clean) ** 2).sum(-1))


def total_snr_db(clean, estimate):
    """The ratio of total energies over all signals in dB, one number."""
    return float(_decibels((clean**2).sum(), ((estimate - clean) ** 2).sum()))


def total_snr_interval(clean, estimate):
    """Half-width in dB of the 95 % confidence interval of `total_snr_db`; None for one signal."""
    return ratio_interval_db(*((np.asarray(x, np.float64) ** 2).sum(-1) for x in (clean, estimate - clean)))


def ratio_interval_db(energy, other_energy):
    """Half-width in dB of the 95 % confidence interval of a ratio of total energies; None for one signal.

    The ratio of two means over signals, (count,), by the delta method: its logarithm has the variance
    of one energy over its mean less the other over its mean. Cochran, "Sampling Techniques" (1977),
    section 6.4.
    """
    count = len(energy)
    if count < 2:
        return None
    error = stats.sem(energy / (energy.mean() + 1e-20) - other_energy / (other_energy.mean() + 1e-20))
    return float(stats.t.ppf(0.975, count - 1) * error * 10 / np.log(10))


def si_sdr(clean, estimate):
    """Scale-invariant signal-to-distortion ratio of each signal in dB, shape (...,), −100 or more.

    Le Roux, Wisdom, Erdogan, Hershey, "SDR – half-baked or well done?" (2019), eq. 5, without
    removal of the mean. Silence, of which the ratio is not defined, has nothing of the signal in
    it: −100 dB, as the worst of all estimates, and finite, so that means are.
    """
    clean, estimate = (x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-30) for x in (clean, estimate))
    share = (clean * estimate).sum(-1, keepdims=True)
    error = ((estimate - share * clean) ** 2).sum(-1)
    return 10 * np.log10(share[..., 0] ** 2 / (error + 1e-20) + 1e-10)


def stoi(clean, estimate, sample_rate):
    """Short-time objective intelligibility of each signal, from 0 to 1; NaN where it is too short.

    Taal, Hendriks, Heusdens, Jensen, "An algorithm for intelligibility prediction of time–frequency
    weighted noisy speech" (2011); signals (count, length). Needs pystoi.
    """
    values = []
    for one, other in zip(clean, estimate, strict=True):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            value = pystoi.stoi(one, other, sample_rate)
        # Of less than 0.4 s of speech pystoi warns, and gives a value of no meaning.
        values.append(np.nan if any(w.category is RuntimeWarning for w in warned) else value)
    return np.array(values)


def speech_quality(clean, estimate, sample_rate):
    """Perceptual evaluation of speech quality, from 1 to 4.6; NaN where it finds no utterance.

    Where it finds one in the clean signal alone, the estimate has lost it: 1. ITU-T P.862.2
    (wide-band) at 16,000 samples per second, P.862.1 (narrow-band) at 8,000, and no other; signals
    (count, length). Needs pesq.
    """

    def quality(one, other):
        try:
            with np.errstate(invalid="ignore"):
                return pesq.pesq(sample_rate, one, other, "wb" if sample_rate == 16_000 else "nb")
        except (pesq.PesqError, ValueError):  # the latter for silence
            return np.nan

    values = np.array([quality(one, other) for one, other in zip(clean, estimate, strict=True)])
    for index in np.flatnonzero(np.isnan(values)):
        values[index] = 1 + 0 * quality(clean[index], clean[index])
    return values


def mean_absolute_error(clean, estimate):
    """Mean of |estimate − clean| of each signal, in the signals' unit, shape (...,)."""
    return abs(estimate - clean).mean(-1)


def band_noise_reduction(clean, mixed, estimate, data):
    """Noise reduction of each signal in dB inside and outside the band; two arrays (...,).

    The energy of `mixed − clean` over that of `estimate − clean`, over the bins of the discrete
    Fourier transform within [low_freq, high_freq] and over the others.
    """
    frequencies = np.fft.rfftfreq(clean.shape[-1], 1 / data.sample_rate)
    inside = (frequencies >= data.low_freq) & (frequencies <= data.high_freq)
    before, after = (np.abs(np.fft.rfft(x - clean)) ** 2 for x in (mixed, estimate))
    return tuple(_decibels(before[..., band].sum(-1), after[..., band].sum(-1)) for band in (inside, ~inside))


def residual_spectrum_db(clean, estimate):
    """Mean energy of the error `estimate − clean` in each frequency bin in dB, (length//2 + 1,)."""
    energy = np.abs(np.fft.rfft(estimate - clean)) ** 2 / clean.shape[-1]
    return _decibels(energy.mean(tuple(range(energy.ndim - 1))), 1.0)


def summary(values, worst=min):
    """Mean, half-width of its 95 % confidence interval (Student's t), median and worst value.

    The half-width is None for a single value, which has no spread. What is not a number is left
    out; where nothing else is there, all are None.
    """
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return dict.fromkeys(("mean", "confidence_95", "median", "worst"))
    half_width = None
    if len(values) > 1:
        half_width = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return {
        "mean": float(values.mean()),
        "confidence_95": half_width,
        "median": float(np.median(values)),
        "worst": float(worst(values)),
    }


def _decibels(numerator, denominator):
    """10·log10 of a ratio; the floor keeps silence and perfection finite (±200 dB)."""
    ratio = (numerator + 1e-20) / (denominator + 1e-20)
    return 10 * (ratio.log10() if hasattr(ratio, "log10") else np.log10(ratio))
