"""The networks: shapes, lengths, initial weights, and loading a trained one."""

import numpy as np
import pytest
import torch
from torch import nn

import checkpoints
from config import resolve
from faults import Fault
from losses import adversarial_loss, discriminator_loss, reconstruction_loss
from models import build_discriminator, build_generator, denoise, load_generator


@pytest.mark.parametrize("length", [1, 3, 100, 255, 256, 1000])
@pytest.mark.parametrize("preset", ["dan", "dan-small", "spectral"])
def test_generator_keeps_any_length(preset, length):
    generator = build_generator(resolve(preset)).eval()
    assert generator(torch.randn(2, 1, length)).shape == (2, 1, length)


@pytest.mark.parametrize("kernel_size", [2, 5, 31, 64])
def test_any_kernel_keeps_the_length(kernel_size):
    config = resolve("dan-small", [f"generator.kernel_size={kernel_size}",
                                   f"discriminator.kernel_size={kernel_size}"])
    signals = torch.randn(3, 1, 256)
    assert build_generator(config)(signals).shape == (3, 1, 256)
    assert build_discriminator(config)(signals).shape == (3,)


def test_layers_are_those_of_the_table():
    generator = build_generator(resolve())
    table = ([nn.Conv1d, nn.BatchNorm1d, nn.LeakyReLU] * 4
             + [nn.ConvTranspose1d, nn.BatchNorm1d, nn.LeakyReLU] * 4)
    assert all(map(isinstance, generator.layers, table)) and len(generator.layers) == len(table)
    encoded = generator.layers[:12](torch.randn(2, 1, 256))
    assert encoded.shape == (2, 16, 16)
    assert generator.layers[2].negative_slope == 0.1
    assert build_discriminator(resolve()).features[2].negative_slope == 0.01


def test_initial_weights_have_the_stated_variance():
    torch.manual_seed(0)
    for network in (build_generator(resolve()), build_discriminator(resolve())):
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                expected = 0.01
            elif isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
                expected = (layer.in_channels * layer.kernel_size[0]) ** -0.5
            else:
                continue
            # Four standard errors of a deviation estimated from so many weights.
            error = 4 / (2 * layer.weight.numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=error)
            assert (layer.bias == 0).all()


def test_losses_have_their_closed_forms():
    logits = torch.tensor([-1.5, 0.0, 2.0], dtype=torch.float64)
    probability = 1 / (1 + np.exp(-logits.numpy()))
    assert adversarial_loss(logits).item() == pytest.approx(-np.log(probability).mean())
    both = -np.log(np.concatenate([probability, 1 - probability])).mean()
    assert discriminator_loss(logits, logits).item() == pytest.approx(both)
    assert reconstruction_loss(torch.zeros(2, 1, 4), torch.full((2, 1, 4), -3.0)).item() == 3


def test_denoise_is_the_network_in_batches():
    generator = build_generator(resolve("dan-small")).eval()
    mixed = np.random.default_rng(0).normal(size=(7, 256)).astype(np.float32)
    whole = generator(torch.from_numpy(mixed).unsqueeze(1)).squeeze(1).detach().numpy()
    np.testing.assert_allclose(denoise(generator, mixed, batch_size=3), whole, atol=1e-5)


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04.", b"PK\x03\x04 half a file"])
def test_a_checkpoint_that_is_none_is_refused(content, tmp_path):
    path = tmp_path / "best.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Fault, match=r"best\.pt"):
        load_generator(path)


def test_a_checkpoint_of_another_version_is_refused(tmp_path):
    contents = {key: {} for key in checkpoints.KEYS}
    for change, message in ({"format": 0}, "format 0"), ({"config": {"preset": "dan"}}, "lacks"):
        torch.save(contents | {"format": checkpoints.FORMAT} | change, tmp_path / "best.pt")
        with pytest.raises(Fault, match=message) as fault:
            load_generator(tmp_path / "best.pt")
        assert "best.pt" in str(fault.value) and "train again" in str(fault.value)


def test_a_checkpoint_never_runs_code(tmp_path):
    torch.save({"format": nn.Linear(1, 1)}, tmp_path / "best.pt")
    with pytest.raises(Fault, match=r"best\.pt"):
        load_generator(tmp_path / "best.pt")


@pytest.mark.parametrize("length", [1, 9, 256, 1000])
@pytest.mark.parametrize("frame_length", [0, 32, 256])
def test_the_spectral_generators_transform_is_undone_by_its_inverse(frame_length, length):
    generator = build_generator(resolve("spectral", [f"generator.frame_length={frame_length}"]))
    signals = torch.randn(3, length)
    spectrum = generator.transform(signals)
    assert spectrum.ndim == 3 and (frame_length or spectrum.shape[1] == 1)
    torch.testing.assert_close(generator.inverse(spectrum, length), signals, atol=1e-5, rtol=1e-5)


def test_the_spectral_generators_transform_is_the_zero_padded_fourier_transform():
    generator = build_generator(resolve("spectral"))
    signals = np.random.default_rng(0).normal(size=(2, 256))
    expected = np.fft.rfft(signals, 512) / 16
    spectrum = generator.transform(torch.from_numpy(signals).float())
    np.testing.assert_allclose(spectrum[:, 0].numpy(), expected, atol=1e-5)


def test_short_time_frames_and_their_kernels_train():
    config = resolve("spectral", ["generator.frame_length=64", "generator.frame_kernel_size=3",
                                  "generator.channels=4"])
    generator = build_generator(config)
    signals = torch.randn(2, 1, 300)
    output = generator(signals)
    output.square().mean().backward()
    assert output.shape == signals.shape
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


def test_transforms_stay_in_float32_under_bfloat16():
    generator = build_generator(resolve("spectral"))
    with torch.autocast("cpu", torch.bfloat16):
        assert generator(torch.randn(2, 1, 256)).dtype == torch.float32
