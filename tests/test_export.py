"""Networks as ONNX files: they give what torch gives, without torch; their metadata; what is refused."""

import re
import sys

import numpy as np
import pytest
import soundfile
import torch
from conftest import described, one_error
from torch.nn import functional

from config import REPOSITORY
from dan.configuration import resolve
from dan.denoising.denoiser import Denoiser
from dan.denoising.export import write_onnx
from dan.errors import UserError
from dan.training.checkpoints import write_checkpoint
from dan.training.state import new_training
from models import build_generator

CAUSAL = ["generator.channels=8", "generator.bands=6", "generator.blocks=2", "generator.shared_units=16"]
SMALL = ["generator.channels=4", "generator.blocks=2", "generator.level_frames=5"]


def exported(config, path):
    """A generator with new weights, and its file in onnxruntime."""
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    generator = build_generator(config).eval()
    write_onnx(generator, config.data, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return generator, onnxruntime.InferenceSession(path, options)


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    return exported(resolve("speech", CAUSAL), tmp_path_factory.mktemp("onnx") / "speech.onnx")


def by_hops(session, padded):
    """What a causal network gives for samples, hop by hop, its state in numpy alone."""
    mixed, state = session.get_inputs()
    numbers, found = np.zeros(state.shape, np.float32), []
    for hop in padded.reshape(-1, *mixed.shape):
        denoised, numbers = session.run(["denoised", "next_state"], {"mixed": hop, "state": numbers})
        found.append(denoised.ravel())
    return np.concatenate(found)


def assert_equal_by_hops(generator, session, mixed):
    """The whole signal by torch is that by hops in onnxruntime, `delay` samples late."""
    whole = torch.from_numpy(mixed)[None, None]
    padded = functional.pad(whole, (0, generator.delay + -whole.shape[-1] % generator.hop)).numpy()
    with torch.inference_mode():
        expected = generator(whole)[0, 0].numpy()
    assert np.abs(expected).max() > 0.1
    denoised = by_hops(session, padded)[generator.delay :][: len(mixed)]
    np.testing.assert_allclose(denoised, expected, rtol=0, atol=1e-4)


def test_a_minute_hop_by_hop_is_what_torch_gives_at_once(causal):
    """Loud, quiet and silent in turn, and to the end."""
    mixed = np.random.default_rng(0).normal(0, 0.2, 60 * 16_000).astype(np.float32)
    mixed *= np.repeat([1, 0, 1e-4, 3, 0.1, 1], 10 * 16_000)
    assert_equal_by_hops(*causal, mixed)


def test_a_network_that_looks_ahead_keeps_spectra_in_its_state(tmp_path):
    generator, session = exported(resolve("speech", [*CAUSAL, "generator.look_ahead=2"]), tmp_path / "ahead.onnx")
    assert generator.delay == 3 * generator.hop
    assert_equal_by_hops(generator, session, np.random.default_rng(0).normal(0, 0.2, 9000).astype(np.float32))


def test_silence_stays_silent(causal):
    """The exporter's own optimisation would leave out tiny summands, and divide by zero."""
    assert not by_hops(causal[1], np.zeros(256 * 100, np.float32)).any()


def test_a_file_says_its_rate_hop_and_latency(causal):
    found = causal[1].get_modelmeta().custom_metadata_map
    assert found == {"sample_rate": "16000", "hop": "256", "delay": "256", "latency": "512"}


@pytest.mark.parametrize("preset", ["dan", "spectral"])
def test_networks_of_sines_take_whole_signals(preset, tmp_path):
    generator, session = exported(described(preset), tmp_path / "sines.onnx")
    mixed = torch.randn(1, 1, 256)
    with torch.inference_mode():
        expected = generator(mixed).numpy()
    (denoised,) = session.run(None, {"mixed": mixed.numpy()})
    np.testing.assert_allclose(denoised, expected, atol=1e-5)
    assert session.get_modelmeta().custom_metadata_map == {"sample_rate": "256"}


def test_a_network_that_fits_sines_is_refused(tmp_path):
    config = described("spectral-any")
    with pytest.raises(UserError, match="solves systems of equations"):
        write_onnx(build_generator(config), config.data, tmp_path / "sines.onnx")
    assert not any(tmp_path.iterdir())


def test_short_time_networks_take_signals_of_any_length(tmp_path):
    generator, session = exported(described("audio", *SMALL), tmp_path / "audio.onnx")
    for length in (1, 200, 8000, 30_001):
        mixed = torch.randn(1, 1, length)
        with torch.inference_mode():
            expected = generator(mixed).numpy()
        (denoised,) = session.run(None, {"mixed": mixed.numpy()})
        np.testing.assert_allclose(denoised, expected, atol=1e-5)
    assert not session.run(None, {"mixed": np.zeros((1, 1, 999), np.float32)})[0].any()


def test_the_program_in_the_documentation_denoises_a_file_as_this_project_does(script, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    config, noisy = resolve("speech", [*CAUSAL, "training.device=cpu"]), np.random.default_rng(0).normal(0, 0.1, 20_000)
    write_checkpoint(tmp_path / "best.pt", new_training(config, torch.device("cpu")).checkpoint(config))
    monkeypatch.chdir(tmp_path)
    soundfile.write("noisy.wav", noisy, 16_000, "FLOAT")
    code, out, err = script("denoise", "--export", "speech.onnx", "--checkpoint", "best.pt")
    assert code == 0 and "wrote speech.onnx" in out and not err, err
    page = (REPOSITORY / "docs/elsewhere.md").read_text(encoding="utf-8")
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    expected = Denoiser.load("best.pt")(noisy.astype(np.float32), 16_000)
    np.testing.assert_allclose(soundfile.read("clean.wav")[0], expected, atol=1e-4)
    # It tells nothing of the machine that it was made on.
    assert str(REPOSITORY).encode() not in (tmp_path / "speech.onnx").read_bytes()


def test_nothing_that_exists_is_replaced_unasked(script, tmp_path):
    (tmp_path / "mine.onnx").write_text("mine")
    code, _, err = script("denoise", "--export", tmp_path / "mine.onnx")
    assert code == 1 and "--overwrite" in one_error(err)
    assert (tmp_path / "mine.onnx").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--export", "best.pt", "--overwrite"], "must end in .onnx"), (["a.wav", "--export", "a.onnx"], "leave out")],
)
def test_wrong_options_are_refused(arguments, message, script):
    code, _, err = script("denoise", *arguments)
    assert code == 2 and message in one_error(err)


def test_a_missing_package_is_named(script, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    code, _, err = script("denoise", "--export", tmp_path / "speech.onnx")
    assert code == 1 and "requirements-export.txt" in one_error(err)
