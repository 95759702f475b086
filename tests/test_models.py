"""The networks: shapes, lengths, initial weights, and loading a trained one."""

import numpy as np
import pytest
import scipy
import torch
from conftest import described
from torch import nn

from dan.configuration import resolve
from dan.errors import UserError
from dan.losses import improvement_loss, snr_spectrum_loss
from dan.training import checkpoints
from dan.training.checkpoints import load_generator
from dan.training.state import new_training
from models import apply_generator, build_discriminator, build_generator
from presets import PRESETS


@pytest.mark.parametrize("length", [1, 3, 100, 255, 256, 1000])
@pytest.mark.parametrize("preset", ["dan", "dan-small", "spectral", "spectral-any", "audio"])
def test_generator_keeps_any_length(preset, length):
    generator = build_generator(described(preset)).eval()
    assert generator(torch.randn(2, 1, length)).shape == (2, 1, length)


@pytest.mark.parametrize("kernel_size", [2, 5, 31, 64])
def test_any_kernel_keeps_the_length(kernel_size):
    config = described("dan-small", f"generator.kernel_size={kernel_size}", f"discriminator.kernel_size={kernel_size}")
    signals = torch.randn(3, 1, 256)
    assert build_generator(config)(signals).shape == (3, 1, 256)
    assert build_discriminator(config)(signals).shape == (3,)


def test_layers_are_those_of_the_table():
    generator = build_generator(described())
    table = [nn.Conv1d, nn.BatchNorm1d, nn.LeakyReLU] * 4 + [nn.ConvTranspose1d, nn.BatchNorm1d, nn.LeakyReLU] * 4
    assert all(map(isinstance, generator.layers, table)) and len(generator.layers) == len(table)
    encoded = generator.layers[:12](torch.randn(2, 1, 256))
    assert encoded.shape == (2, 16, 16)
    assert generator.layers[2].negative_slope == 0.1
    assert build_discriminator(described()).features[2].negative_slope == 0.01


@pytest.mark.parametrize("preset", [name for name in PRESETS if "speech" not in name])  # torch's own there
def test_initial_weights_have_the_stated_variance(preset):
    torch.manual_seed(0)
    config = resolve(preset)
    for network in (build_generator(config), build_discriminator(config)):
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                expected = 0.01
            elif hasattr(layer, "kernel_size"):  # every kind of convolution
                expected = (layer.in_channels * np.prod(layer.kernel_size)) ** -0.5
            else:
                continue
            # Five standard errors of a deviation estimated from so many weights.
            error = 5 / (2 * layer.weight.numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=error)
            assert (layer.bias == 0).all()


def test_a_generator_is_applied_in_batches():
    generator = build_generator(described("dan-small")).eval()
    mixed = np.random.default_rng(0).normal(size=(7, 256)).astype(np.float32)
    whole = generator(torch.from_numpy(mixed).unsqueeze(1)).squeeze(1).detach().numpy()
    np.testing.assert_allclose(apply_generator(generator, mixed, batch_size=3), whole, atol=1e-5)


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04.", b"PK\x03\x04 half a file"])
def test_a_checkpoint_that_is_none_is_refused(content, tmp_path):
    path = tmp_path / "best.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"best\.pt"):
        load_generator(path)


def test_a_checkpoint_of_another_version_is_refused(config, tmp_path):
    contents = new_training(config, torch.device("cpu")).checkpoint(config)
    for change, message in ({"format": 0}, "format 0"), ({"config": {"preset": "dan"}}, "lacks"):
        torch.save(contents | {"format": checkpoints.FORMAT} | change, tmp_path / "best.pt")
        with pytest.raises(UserError, match=message) as error:
            load_generator(tmp_path / "best.pt")
        assert "best.pt" in str(error.value) and "train again" in str(error.value)


def test_a_checkpoint_never_runs_code(tmp_path):
    torch.save({"format": nn.Linear(1, 1)}, tmp_path / "best.pt")
    with pytest.raises(UserError, match=r"best\.pt"):
        load_generator(tmp_path / "best.pt")


def spoil(weights, kind):
    name = {"variance": "layers.1.running_var"}.get(kind, "layers.0.weight")
    values = weights[name].clone()
    changed = {
        "nan": values * float("nan"),
        "infinite": values / 0,
        "complex": values.to(torch.complex64),
        "integer": values.to(torch.int64),
        "double": values.double(),
        "variance": values - 2,
    }[kind]
    return weights | {name: changed}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", "not finite"),
        ("infinite", "not finite"),
        ("complex", "damaged"),
        ("integer", "do not fit"),
        ("double", "damaged"),
        ("variance", "below zero"),
    ],
)
def test_weights_that_no_training_leaves_are_refused(kind, message, config, tmp_path):
    checkpoint = new_training(config, torch.device("cpu")).checkpoint(config)
    path = tmp_path / "best.pt"
    checkpoints.write_checkpoint(path, checkpoint)
    load_generator(path)
    checkpoints.write_checkpoint(path, checkpoint | {"generator": spoil(checkpoint["generator"], kind)})
    with pytest.raises(UserError, match=rf"best\.pt.*{message}"):
        load_generator(path)


@pytest.mark.parametrize("length", [1, 9, 256, 1000])
@pytest.mark.parametrize("preset", ["spectral", "audio"])
def test_a_transform_is_undone_by_its_inverse(preset, length):
    generator = build_generator(described(preset))
    signals = torch.randn(3, length)
    torch.testing.assert_close(generator.inverse(generator.transform(signals), length), signals, atol=1e-5, rtol=1e-5)


def test_a_masked_spectrum_comes_back_as_from_torch():
    generator = build_generator(described("audio"))
    masked = generator.transform(torch.randn(3, 1000))
    masked = masked * torch.rand(masked.shape)
    expected = torch.istft(masked.mT, generator.frame_length, generator.hop, window=generator.window, length=1000)
    torch.testing.assert_close(generator.inverse(masked, 1000), expected, atol=1e-5, rtol=1e-5)


def test_the_spectral_generators_transform_is_the_zero_padded_fourier_transform():
    generator = build_generator(described("spectral"))
    signals = np.random.default_rng(0).normal(size=(2, 1, 256))
    expected = np.fft.rfft(signals, 512) / 16
    spectrum = generator.transform(torch.from_numpy(signals).float())
    np.testing.assert_allclose(spectrum.numpy(), expected, atol=1e-5)


def test_the_short_time_transform_is_that_of_scipy():
    generator = build_generator(described("audio"))
    signals = np.random.default_rng(0).normal(size=1024)
    window = np.hanning(257)[:256] ** 0.5
    expected = scipy.signal.ShortTimeFFT(window, 128, 1).stft(signals, p0=0, p1=9).T
    # scipy turns the phase of a frame to that of its middle.
    turned = expected * np.exp(-2j * np.pi * np.arange(129) * 128 / 256)
    transformed = generator.transform(torch.from_numpy(signals).float()[None])[0].numpy()
    np.testing.assert_allclose(transformed, turned, atol=1e-4)


def test_an_output_depends_on_its_context_alone():
    torch.manual_seed(0)
    overrides = ["generator.level_frames=4", "generator.channels=4", "generator.blocks=3"]
    generator = build_generator(described("audio", *overrides)).eval()
    before = torch.randn(1, 1, 16_000)
    after = before.clone()
    after[..., 8000:] += torch.randn(8000)
    changed = (generator(before) != generator(after)).nonzero()[:, -1]
    assert 8000 - generator.context <= changed.min() < 8000


def test_the_improvement_loss_has_its_closed_form_at_every_level():
    clean, noise, error = np.random.default_rng(0).normal(size=(3, 4, 500))
    mixed, denoised = clean + 2 * noise, clean + 0.5 * error
    ratio = (error**2).mean(1) / (noise**2).mean(1) / 16
    expected = np.log10(ratio + 1e-3).mean() + 3 * ratio.mean()
    for scale in (1, 1e-3, 1e4):
        signals = (torch.from_numpy(scale * x).float()[:, None] for x in (denoised, clean, mixed))
        assert improvement_loss(*signals).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("preset", "more"), [("spectral", ["generator.normalise=true"]), ("spectral-any", []), ("audio", [])]
)
def test_the_level_of_the_input_does_not_matter(preset, more):
    torch.manual_seed(0)
    generator = build_generator(described(preset, *more)).eval()
    mixed = torch.randn(3, 1, 512)
    for level in (1e-3, 1e3):
        torch.testing.assert_close(generator(level * mixed) / level, generator(mixed), atol=1e-5, rtol=1e-4)
    assert not generator(0 * mixed).isnan().any()


def test_the_loss_for_recordings_has_its_closed_form_at_every_level():
    clean, denoised, mixed = np.random.default_rng(0).normal(size=(3, 2000))
    level = np.sqrt((clean**2).mean() + 0.01 * (mixed**2).mean())
    frames = [np.arange(start, start + 512) for start in range(0, 2000 - 511, 128)]
    window = scipy.signal.windows.hann(512, sym=False)
    compressed = [
        (np.abs(np.fft.rfft(window * x[frames] / level)) ** 2 / 512 + 1e-6) ** 0.15 for x in (denoised, clean)
    ]
    error = ((denoised - clean) ** 2).mean() / level**2
    expected = np.log10(error + 1e-4) + ((compressed[0] - compressed[1]) ** 2).mean()
    for scale in (1, 1e-3, 1e4):
        signals = (torch.from_numpy(scale * x).float()[None, None] for x in (denoised, clean, mixed))
        assert snr_spectrum_loss(*signals).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("length", [300, 8000])
def test_the_short_time_generator_trains(length):
    generator = build_generator(described("audio", "generator.channels=4"))
    clean, mixed = torch.randn(2, 2, 1, length)
    snr_spectrum_loss(generator(mixed), clean, mixed).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


@pytest.mark.parametrize("preset", ["spectral", "spectral-any", "audio"])
def test_transforms_stay_in_float32_under_bfloat16(preset):
    generator = build_generator(described(preset))
    with torch.autocast("cpu", torch.bfloat16):
        assert generator(torch.randn(2, 1, 256)).dtype == torch.float32
