"""Other estimators to measure the denoisers against, and the bound of unbiased ones.

An estimator takes mixed signals (count, length) and returns estimates of the clean ones, float32 of
the same shape. The lowpass knows the band; the Wiener filter knows the mean, the covariance and the
noise. Fits of sines are in sine_fits.py.
"""

import numpy as np
from scipy import signal, special

try:
    import pywt
except ImportError:  # a development dependency: without it, the table has no such row
    pywt = None

WAVELET_SHIFTS = 4  # more gain less than 0.1 dB


def lowpass(mixed, sample_rate, evaluation):
    """Zero-phase Butterworth lowpass along the last axis.

    evaluation: an EvaluationConfig with the edges in Hz and the ripple and attenuation in dB,
    as in scipy.signal.buttord. Running forwards and backwards doubles both in dB.
    """
    order, natural = signal.buttord(
        evaluation.lowpass_passband,
        evaluation.lowpass_stopband,
        evaluation.lowpass_ripple_db,
        evaluation.lowpass_attenuation_db,
        fs=sample_rate,
    )
    sections = signal.butter(order, natural, output="sos", fs=sample_rate)
    padding = min(3 * (2 * len(sections) + 1), np.shape(mixed)[-1] - 1)
    return signal.sosfiltfilt(sections, mixed, padlen=padding).astype(np.float32)


def wiener(mixed, clean_examples, snr_db):
    """Linear minimum-mean-square-error estimate, mean + C (C + σ²·I)⁻¹ (mixed − mean).

    Mean and covariance C are those of `clean_examples`, (examples, length); σ² is the white
    noise's mean power at `snr_db`. Kay, "Fundamentals of Statistical Signal Processing:
    Estimation Theory" (1993), eq. 12.20.
    """
    examples = clean_examples.astype(np.float64)
    mean, covariance = examples.mean(0), np.cov(examples, rowvar=False, bias=True)
    power = (examples**2).mean()
    variance = power * max(10 ** (-snr_db / 10), 1e-10)  # below, the matrix may be singular
    # Solving for the transposed gain avoids an explicit inverse; both matrices are symmetric.
    gain = np.linalg.solve(covariance + variance * np.eye(len(mean)), covariance)
    return (mean + (mixed - mean) @ gain).astype(np.float32)


def wavelet_shrinkage(mixed, wavelet="sym8"):
    """Soft thresholding of wavelet coefficients, with a threshold of σ² / σₓ for each level.

    σₓ² is what the level's power exceeds that of the noise by. Chang, Yu, Vetterli, "Adaptive
    wavelet thresholding for image denoising and compression" (2000). The noise is taken as white;
    σ is the median magnitude over 0.6745 in the highest quarter of the band: signals fill much of
    the upper half, which the finest level is. The mean over shifts of the signal (Coifman, Donoho,
    "Translation-invariant de-noising", 1995). Needs PyWavelets.
    """
    estimate = np.zeros(mixed.shape)
    for shift in range(WAVELET_SHIFTS):
        left, details = np.roll(mixed, -shift, -1), []
        for _ in range(max(1, int(np.log2(mixed.shape[-1])) - 2)):
            left, detail = pywt.dwt(left, wavelet, "periodization")
            details.append(detail)
        # Halving the rate turned the spectrum round, so the quarter is at the detail's low end.
        highest = pywt.dwt(details[0], wavelet, "periodization")[0]
        noise = (np.median(np.abs(highest), -1, keepdims=True) / 0.6745) ** 2
        for detail in reversed(details):
            power = np.maximum((detail**2).mean(-1, keepdims=True) - noise, 1e-30)
            shrunk = np.sign(detail) * np.maximum(np.abs(detail) - noise / np.sqrt(power), 0)
            left = pywt.idwt(left[..., : detail.shape[-1]], shrunk, wavelet, "periodization")
        estimate += np.roll(left[..., : mixed.shape[-1]], shift, -1) / WAVELET_SHIFTS
    return estimate.astype(np.float32)


def cramer_rao_bound_db(clean, mixed, num_parameters):
    """The output SNR in dB of unbiased estimators at the Cramér–Rao bound: (total, mean).

    Signals (count, length); num_parameters: how many free parameters each clean signal has,
    (count,). total: the ratio of total energies, which no unbiased estimator of the signal exceeds;
    mean: the mean of the signals' decibels of one that reaches it.

    A signal x(θ) has p free parameters θ, the noise is white and Gaussian of variance σ². The
    Fisher information is JᵀJ / σ² with the Jacobian J = ∂x/∂θ (N × p), so the covariance of an
    unbiased estimate of x is at least σ²·J (JᵀJ)⁻¹ Jᵀ: σ² times a projection of rank p, whose
    trace, the expected energy of the error, is p·σ². Kay (1993), eq. 3.30 and section 3.8. Signals
    of different p and σ² add up their energies: Σ ‖xᵢ‖² / Σ pᵢσᵢ².

    In a mixture of exact SNR the noise is a vector of energy N·σ² and of any direction, so the
    projection's share of it is a beta variable of p/2 and (N − p)/2, the mean logarithm of which is
    ψ(p/2) − ψ(N/2), with the digamma function ψ; the mean of decibels gains by it.

    Estimators with a bias, such as one that knows a prior, are not bounded; and the bound is only
    reached where the noise is low enough.
    """
    length = clean.shape[-1]
    num_parameters = np.minimum(num_parameters, length - 1)  # no projection takes more than all
    energy = (clean.astype(np.float64) ** 2).sum(-1)
    noise_energy = ((mixed - clean).astype(np.float64) ** 2).sum(-1)
    total = energy.sum() / (num_parameters * noise_energy / length).sum()
    share = special.digamma(np.divide(num_parameters, 2)) - special.digamma(length / 2)
    mean = (10 * np.log10(energy / noise_energy) - 10 / np.log(10) * share).mean()
    return float(10 * np.log10(total)), float(mean)
