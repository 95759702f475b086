"""Other denoisers of recordings, which ours is measured against: log-MMSE, noisereduce, RNNoise.

Each takes mixed signals (count, length) at a sample rate and returns float32 of the same shape.
noisereduce and RNNoise take part where they are installed (requirements-benchmark.txt).
"""

import numpy as np
from scipy import signal, special

from dan.evaluation.speech_peers import RATE as PEERS_RATE
from dan.evaluation.speech_peers import installed_peers
from dan.progress import track
from dan.signals.resampling import resample

LOG_MMSE_FRAME_SECONDS = 0.032
QUIETEST = 0.15  # of the frames, which the noise is estimated from
SMOOTHING = 0.98  # of the a-priori SNR
LEAST_SNR = 10 ** (-25 / 10)
RNNOISE_RATE = 48_000
LOWEST_SPEECH_RATE = 8000  # they are made for speech, and noisereduce fails below


def speech_baselines(sample_rate):
    """{method: function(mixed, sample_rate)}, those that are installed; none below rates of speech."""
    if sample_rate < LOWEST_SPEECH_RATE:
        return {}
    baselines = {"log-MMSE": log_mmse}
    try:
        import noisereduce

        baselines["noisereduce"] = one_by_one("noisereduce", lambda x, rate: noisereduce.reduce_noise(y=x, sr=rate))
    except ImportError:
        pass
    try:
        from pyrnnoise import rnnoise

        baselines["RNNoise"] = one_by_one("RNNoise", lambda x, rate: apply_rnnoise(rnnoise, x, rate))
    except (ImportError, OSError):
        pass
    if sample_rate == PEERS_RATE:
        for name, denoise in installed_peers().items():
            baselines[name] = one_by_one(name, lambda x, rate, f=denoise: f(x))
    return baselines


def one_by_one(name, denoise):
    """A function of signals (count, length) out of one of a single signal (length,)."""
    return lambda mixed, rate: np.stack(
        [denoise(x, rate) for x in track(mixed, desc=name, unit="signal", delay=3, leave=False)]
    ).astype(np.float32)


def log_mmse(mixed, sample_rate):
    """The estimate with the least mean squared error of logarithmic short-time magnitudes.

    Ephraim, Malah, "Speech enhancement using a minimum mean-square error log-spectral amplitude
    estimator" (1985), with the decision-directed a-priori SNR of their 1984 paper. The noise is
    taken as stationary: its power in each bin is the mean of the quietest frames.
    """
    size = min(2 * round(LOG_MMSE_FRAME_SECONDS * sample_rate / 2), mixed.shape[-1] // 2 * 2)
    transform = {"nperseg": size, "noverlap": 3 * size // 4, "window": "hann"}
    spectrum = signal.stft(mixed, **transform)[2]
    power = np.abs(spectrum) ** 2
    frames = power.sum(-2)
    quiet = frames <= np.quantile(frames, QUIETEST, axis=-1, keepdims=True)
    noise = (power * quiet[:, None]).sum(-1) / quiet.sum(-1)[:, None] + 1e-20
    gain, earlier = np.empty_like(power), noise
    for frame in range(power.shape[-1]):
        posterior = np.minimum(power[..., frame] / noise, 1e6)
        prior = np.maximum(SMOOTHING * earlier / noise + (1 - SMOOTHING) * np.maximum(posterior - 1, 0), LEAST_SNR)
        gain[..., frame] = log_mmse_gain(prior, posterior)
        earlier = gain[..., frame] ** 2 * power[..., frame]
    denoised = signal.istft(gain * spectrum, **transform)[1]
    return denoised[..., : mixed.shape[-1]].astype(np.float32)


def log_mmse_gain(prior, posterior):
    """ξ/(1+ξ) · exp(E₁(v)/2) with v = ξ/(1+ξ)·γ, for a-priori SNR ξ and a-posteriori SNR γ."""
    wiener = prior / (1 + prior)
    return wiener * np.exp(special.exp1(np.maximum(wiener * posterior, 1e-8)) / 2)


def apply_rnnoise(rnnoise, mixed, sample_rate):
    """RNNoise on one signal (length,): it works on frames of 16 bit, and gives them out late."""
    high = resample(mixed, sample_rate, RNNOISE_RATE)
    level = max(np.abs(high).max(), 1e-9) / 0.9  # 16 bit hold what is below 1
    high = np.round(high / level * 32767).astype(np.int16)
    size, late = rnnoise.FRAME_SIZE, 4 * rnnoise.FRAME_SIZE
    frames = np.pad(high, (0, late + -len(high) % size)).reshape(-1, size)
    state = rnnoise.create()
    output = np.concatenate([rnnoise.process_mono_frame(state, frame)[0] for frame in frames])
    rnnoise.destroy(state)
    lags = signal.correlate(output.astype(np.float32), high.astype(np.float32), "valid")
    lag = int(lags[: late + 1].argmax())  # by which it fits the input best
    output = output[lag : lag + len(high)] * np.float32(level / 32767)
    return resample(output, RNNOISE_RATE, sample_rate)[: len(mixed)]
