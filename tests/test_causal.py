"""The causal generator: what it hears of the future, pieces against the whole, level, and its recurrence."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from dan.causal import Recurrence, band_edges
from dan.configuration import resolve
from dan.denoising.denoiser import Denoiser
from models import build_generator, count_parameters

SMALL = ["generator.channels=8", "generator.bands=6", "generator.blocks=2", "generator.shared_units=16"]


def causal(*more):
    torch.manual_seed(0)
    return build_generator(resolve("speech", [*SMALL, *more])).eval()


@pytest.mark.parametrize("length", [1, 255, 256, 513, 5000])
def test_it_keeps_any_length(length):
    assert causal()(torch.randn(2, 1, length)).shape == (2, 1, length)


@pytest.mark.parametrize(("look_ahead", "latency"), [(0, 511), (1, 767), (3, 1279)])
def test_nothing_changes_before_what_is_in_the_latency(look_ahead, latency):
    generator = causal(f"generator.look_ahead={look_ahead}")
    before = torch.randn(1, 1, 8000)
    reached = []
    for place in range(4000, 4256, 15):
        after = before.clone()
        after[..., place:] += torch.randn(8000 - place)
        reached.append(place - (generator(before) != generator(after)).nonzero()[:, -1].min().item())
    assert latency - 15 <= max(reached) <= latency
    assert generator.frame_length + generator.hop * look_ahead == latency + 1


def test_the_shipped_sizes_keep_their_promises():
    config = resolve("speech")
    generator = build_generator(config)
    assert count_parameters(generator) <= 1_000_000
    assert (generator.hop + generator.delay) / config.data.sample_rate <= 0.04


@pytest.mark.parametrize("look_ahead", [0, 2])
def test_pieces_give_what_the_whole_gives(look_ahead):
    generator = causal(f"generator.look_ahead={look_ahead}")
    mixed = torch.randn(2, 1, 40 * 256 + 100) * torch.logspace(-3, 0, 40 * 256 + 100)
    whole = generator(mixed)
    padded = functional.pad(mixed, (0, generator.delay + -mixed.shape[-1] % generator.hop))
    for _ in range(3):
        state, pieces, rest = None, [], padded
        while rest.shape[-1]:
            size = generator.hop * int(torch.randint(1, 9, ()))
            piece, state = generator.step(rest[..., :size], state)
            pieces.append(piece)
            rest = rest[..., size:]
        together = torch.cat(pieces, -1)[..., generator.delay :][..., : mixed.shape[-1]]
        torch.testing.assert_close(together, whole, atol=1e-5, rtol=1e-4)


def test_the_level_of_the_input_does_not_matter():
    generator = causal()
    mixed = torch.randn(3, 1, 9000)
    for level in (1e-4, 1e3):
        torch.testing.assert_close(generator(level * mixed) / level, generator(mixed), atol=1e-5, rtol=1e-3)


def test_silence_stays_silent_and_does_not_count():
    generator = causal()
    mixed = torch.randn(1, 1, 4096)
    assert not generator(0 * mixed).any()
    _, state = generator.step(0 * mixed)
    _, later = generator.step(mixed, state)
    _, alone = generator.step(mixed)
    torch.testing.assert_close(later["level"], alone["level"])


def test_factors_of_one_give_the_signal_back():
    generator = causal()
    for layer in generator.decoder:
        layer.weight.data.zero_()
        layer.bias.data.view(-1, 2).copy_(torch.tensor([1.0, 0.0]))
    mixed = torch.randn(2, 1, 3001)
    torch.testing.assert_close(generator(mixed), mixed, atol=1e-5, rtol=1e-5)


def test_packed_weights_give_what_the_layers_give():
    generator = causal()
    mixed = torch.randn(2, 1, 3000)
    packed = generator(mixed)
    torch.testing.assert_close(generator.train()(mixed), packed, atol=1e-5, rtol=1e-5)


def test_bands_cover_every_bin_once():
    edges = band_edges(257, 24)
    assert edges[0] == 0 and edges[-1] == 257
    assert all(end > start for start, end in pairwise(edges))


def test_the_recurrence_is_its_formula_and_so_is_its_gradient():
    values, shares = torch.randn(6, 2, 3).double(), torch.rand(6, 2, 3).double()
    first = torch.randn(2, 3).double()
    expected, memory = [], first
    for value, share in zip(values, shares, strict=True):
        memory = memory + share * (value - memory)
        expected.append(memory)
    torch.testing.assert_close(Recurrence.apply(values, shares, first), torch.stack(expected))
    inputs = values.requires_grad_(), shares.requires_grad_()
    assert torch.autograd.gradcheck(lambda v, s: Recurrence.apply(v, s, first), inputs)


@pytest.mark.parametrize("narrow", [False, True])
def test_a_denoiser_gives_what_the_network_gives_at_once(narrow):
    generator = causal()
    denoiser = Denoiser(generator, resolve("speech").data, narrow)
    mixed = torch.randn(2, 30_000).numpy()
    with torch.inference_mode():
        whole = generator(torch.from_numpy(mixed).unsqueeze(1))[:, 0].numpy()
    np.testing.assert_allclose(denoiser(mixed, 16_000), whole, atol=1e-5)
    # At a higher rate the highest frequencies get a gain, which has a state, too.
    above = denoiser(mixed, 44_100)
    pieces = iter(np.array_split(mixed, 7, axis=1))
    streamed = np.concatenate([piece for _, piece in denoiser.stream(pieces, 44_100)], axis=1)
    np.testing.assert_allclose(streamed, above, atol=1e-5)


@pytest.mark.parametrize("length", [1, 200, 256, 700])
def test_a_denoiser_keeps_the_length_of_short_recordings(length):
    denoiser = Denoiser(causal(), resolve("speech").data)
    for rate in (8000, 16_000, 48_000):
        assert denoiser(np.ones((3, length)), rate).shape == (3, length)
