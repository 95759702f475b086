"""bfloat16 is taken, network by network, only where it is fast and right."""

import pytest
import torch
from conftest import described

from dan.training import precision
from dan.training.precision import autocast, choose_precision, choose_precisions, is_fast, probe, relative_error
from dan.training.state import new_training
from models import build_discriminator, build_generator

CPU = torch.device("cpu")
WHOLE = torch.ones(3), torch.ones(4)  # outputs, gradients


def simulate(monkeypatch, outputs=1.0, gradients=1.0, fast=True):
    """A machine whose bfloat16 multiplies outputs and gradients."""

    def probed(network, inputs, targets, name):
        if name == "float32":
            return WHOLE
        return WHOLE[0] * outputs, WHOLE[1] * gradients

    monkeypatch.setattr(precision, "probe", probed)
    monkeypatch.setattr(precision, "is_fast", lambda network, device: fast)


def chosen(wanted="auto"):
    return choose_precision(wanted, torch.nn.Identity(), torch.ones(3), torch.ones(3))


def test_bfloat16_that_is_right_is_taken_where_it_is_fast(monkeypatch):
    simulate(monkeypatch, outputs=1.01, gradients=0.997)
    assert chosen() == ("bfloat16", "faster here, off by 1.0%")
    simulate(monkeypatch, fast=False)
    assert chosen() == ("float32", "bfloat16 is not faster here")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"outputs": 1.83}, "the outputs are off by 83%"),
        ({"gradients": 0.95}, "the gradients are off by 5%"),
        ({"outputs": float("nan")}, "the outputs are off by nan%"),
    ],
)
def test_bfloat16_that_is_wrong_is_not_taken(fault, reason, monkeypatch):
    simulate(monkeypatch, **fault)
    assert chosen() == ("float32", f"safer: in bfloat16 {reason}")


def test_a_wish_is_obeyed(monkeypatch):
    simulate(monkeypatch, outputs=9.0)
    for wish in ("bfloat16", "float32"):
        assert chosen(wish) == (wish, "as set in training.precision")


@pytest.mark.parametrize(
    ("capabilities", "long_kernels", "others"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, True, True),
        ({"amx_bf16": False, "avx512_bf16": True}, False, True),
        ({"avx2": True}, False, False),
        ({}, False, False),
    ],
)
def test_what_is_fast_depends_on_the_processor_alone(capabilities, long_kernels, others, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert is_fast(build_generator(described("dan-small")), CPU) == long_kernels
    assert is_fast(build_generator(described("spectral")), CPU) == others
    assert is_fast(build_discriminator(described("dan")), CPU) == others


def test_each_network_has_a_precision_of_its_own(config, monkeypatch):
    """As on a processor with AMX, where the discriminator's few channels give garbage."""
    state, probed = new_training(config, CPU), probe

    def faulty(network, inputs, targets, name):
        outputs, gradients = probed(network, inputs, targets, "float32")
        garbage = network is state.discriminator and name == "bfloat16"
        return torch.randn_like(outputs) if garbage else outputs, gradients

    monkeypatch.setattr(precision, "probe", faulty)
    monkeypatch.setattr(precision, "is_fast", lambda network, device: True)
    found = choose_precisions(state, torch.randn(2, 40, 1, 256), config.training)
    assert [found[network][0] for network in ("generator", "discriminator")] == ["bfloat16", "float32"]
    assert "safer" in found["discriminator"][1]


@pytest.mark.parametrize("preset", ["dan", "dan-small", "spectral", "spectral-any", "audio"])
def test_whatever_is_chosen_on_this_machine_agrees_with_float32(preset):
    config = described(preset)
    state, generator = new_training(config, CPU), torch.Generator().manual_seed(0)
    clean, mixed = torch.randn(2, 8, 1, config.data.length, generator=generator)
    found = choose_precisions(state, (clean, mixed), config.training)
    for name, inputs, targets in (("generator", mixed, clean), ("discriminator", clean, torch.arange(8.0) % 2)):
        network = getattr(state, name)
        outputs, gradients = probe(network, inputs, targets, found[name][0])
        expected, expected_gradients = probe(network, inputs, targets, "float32")
        assert relative_error(outputs, expected) < 0.02, (name, found[name])
        assert relative_error(gradients, expected_gradients) < 0.02, (name, found[name])


def test_probing_changes_nothing(config):
    network = build_discriminator(config)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    probe(network, torch.randn(4, 1, 256), torch.zeros(4), "bfloat16")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_autocast_is_on_for_bfloat16_alone():
    for name in ("float32", "bfloat16"):
        with autocast(name, CPU):
            assert torch.is_autocast_enabled("cpu") == (name == "bfloat16")
