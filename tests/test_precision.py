"""bfloat16 is taken only where it is right and faster."""

import pytest
import torch

import precision
from config import resolve
from convolutions import LongConv1d
from models import build_discriminator, build_generator
from precision import choose_precision
from signals import draw


@pytest.fixture
def networks():
    torch.manual_seed(0)
    config = resolve("dan-small")
    return build_generator(config), build_discriminator(config)


@pytest.fixture
def batch():
    clean, _, mixed = draw(resolve().data, "train", 100)
    return torch.from_numpy(clean).unsqueeze(1), torch.from_numpy(mixed).unsqueeze(1)


@pytest.fixture
def fast_bfloat16(monkeypatch):
    """A machine on which bfloat16 is always found to be three times faster."""
    original = precision.probe

    def probe(network, inputs, targets, name):
        output, gradient, _ = original(network, inputs, targets, name)
        return output, gradient, 1.0 if name == "bfloat16" else 3.0

    monkeypatch.setattr(precision, "probe", probe)


def test_bfloat16_that_agrees_and_is_faster_is_taken(networks, batch, fast_bfloat16):
    name, reason = choose_precision("auto", *networks, *batch)
    assert name == "bfloat16" and "3.0 × the speed" in reason


def test_bfloat16_that_is_slower_is_not_taken(networks, batch, monkeypatch):
    monkeypatch.setattr(precision, "LEAST_SPEEDUP", 1e9)
    name, reason = choose_precision("auto", *networks, *batch)
    assert name == "float32" and "no faster" in reason


def garbage(layer, output):
    """As on AMX processors, where one shape of convolution returned garbage."""
    faulty = layer.in_channels == 6 and layer.stride == (2,)
    return torch.randn_like(output) if faulty else output


def wrong_gradient(layer, output):
    """The value stays, the gradient is wrong by 5 %."""
    return output * 1.05 - output.detach() * 0.05


def not_finite(layer, output):
    return output * float("nan")


@pytest.mark.parametrize(("fault", "where"), [
    (garbage, "outputs of Generator"),
    (wrong_gradient, "gradients of"),
    (not_finite, "outputs of Generator"),
])
def test_a_faulty_bfloat16_falls_back(fault, where, networks, batch, fast_bfloat16, monkeypatch):
    original = LongConv1d.forward

    def faulty(layer, signals):
        output = original(layer, signals)
        return fault(layer, output) if torch.is_autocast_enabled("cpu") else output

    monkeypatch.setattr(LongConv1d, "forward", faulty)
    name, reason = choose_precision("auto", *networks, *batch)
    assert name == "float32" and where in reason


def test_a_wish_is_obeyed_and_probing_changes_nothing(networks, batch):
    before = {k: v.clone() for network in networks for k, v in network.state_dict().items()}
    assert choose_precision("bfloat16", *networks, *batch)[0] == "bfloat16"
    choose_precision("auto", *networks, *batch)
    after = {k: v for network in networks for k, v in network.state_dict().items()}
    assert all(torch.equal(before[k], after[k]) for k in before)
