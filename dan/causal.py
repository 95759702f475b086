"""The causal generator: a recurrent network on short-time spectra, for files and for live sound.

    denoised = generator(mixed)                                  # a whole signal
    denoised, state = generator.step(piece, state)               # a piece of one, `delay` samples late

A piece is any number of hops long. All pieces together give what the whole signal gives.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

BAND_GROWTH = 6.0  # the highest band is about as many times as wide as the lowest
LEAST_POWER = 1e-20  # of the level that a frame is compared with
LEVEL_FRAMES = 64  # that the level is a mean over: a second at 16,000 samples per second
PARTS = 3  # numbers that describe a bin: real part, imaginary part, magnitude
FIRST_FACTOR, FIRST_DEVIATION = 0.7, 0.3  # of the spectrum, with new weights
COMPRESSION = 0.3  # the power that magnitudes are taken to, as by hearing


class CausalGenerator(nn.Module):
    """Recurrent layers on bands of short-time spectra: mixed (batch, 1, length) to denoised, the same shape.

    Each frame of spectrum, over its level so far and compressed, is split into bands, narrow ones
    below and wide ones above, each with its own weights. Blocks change what is known of each band: a
    recurrent layer along the frames, and a layer that sees all bands at once. Each band then gives
    complex factors for its part of the spectrum. The output is as much louder as the input is.

    The `latency` in samples is a frame and `look_ahead` hops: an output sample depends on at most
    `latency` − 1 samples after it. After the band split of Luo, Yu, "Music Source Separation with
    Band-Split RNN" (2023), and the dual paths of Le et al., "DPCRN: Dual-Path Convolution Recurrent Network for Single
    Channel Speech Enhancement" (2021).
    """

    def __init__(self, channels, bands, blocks, shared_channels, shared_units, frame_length, look_ahead):
        super().__init__()
        self.frame_length, self.hop, self.look_ahead = frame_length, frame_length // 2, look_ahead
        self.delay = self.hop * (1 + look_ahead)
        self.latency = self.hop + self.delay
        edges = band_edges(self.hop + 1, bands)
        self.widths = [end - start for start, end in pairwise(edges)]
        self.encoder = nn.ModuleList(nn.Linear(PARTS * width, channels) for width in self.widths)
        self.blocks = nn.ModuleList(
            layer
            for _ in range(blocks)
            for layer in (RecurrentLayer(channels), SharedLayer(channels, bands, shared_channels, shared_units))
        )
        self.norm = nn.LayerNorm(channels)
        self.decoder = nn.ModuleList(nn.Linear(channels, 2 * width) for width in self.widths)
        for layer in self.decoder:  # at first next to the mixture as it is
            with torch.no_grad():
                layer.weight.mul_(FIRST_DEVIATION)
                layer.bias.view(-1, 2).copy_(torch.tensor([FIRST_FACTOR, 0.0]))
        # Bins that each band of the packed encoder sees, one more standing for none, and the places of
        # the packed decoder's factors.
        width, seen, own = max(self.widths), [], []
        for band, (start, end) in enumerate(pairwise(edges)):
            seen += [*range(PARTS * start, PARTS * end), *[PARTS * (self.hop + 1)] * (PARTS * (width - end + start))]
            own += range(2 * width * band, 2 * width * band + 2 * (end - start))
        self.register_buffer("seen", torch.tensor(seen), persistent=False)
        self.register_buffer("own", torch.tensor(own), persistent=False)
        self.register_buffer("window", torch.hann_window(frame_length).sqrt(), persistent=False)

    def forward(self, mixed):
        length = mixed.shape[-1]
        padded = functional.pad(mixed, (0, self.delay + -length % self.hop))
        return self.step(padded)[0][..., self.delay : self.delay + length]

    def step(self, mixed, state=None):
        """(denoised, state): the next samples (batch, 1, hops · hop), which come out `delay` samples late.

        state: what the last step gave; None where a signal begins.
        """
        batch = len(mixed)
        if state is None:
            state = self.first_state(batch, mixed.device)
        # Transforms stay in float32, whatever the precision of the layers.
        with torch.autocast(mixed.device.type, enabled=False):
            samples = torch.cat([state["samples"], mixed[:, 0].float()], -1)
            frames = samples.unfold(-1, self.frame_length, self.hop).transpose(0, 1)
            spectrum = torch.fft.rfft(frames * self.window)
            features, level, heard = self.features(spectrum, state["level"], state["heard"])
        hidden, memories = self.encode(features, state["packed"]), []
        for layer, memory in zip(self.blocks, state["memories"], strict=True):
            hidden, memory = layer(hidden, memory)
            memories.append(memory)
        factors = self.decode(functional.silu(self.norm(hidden)), state["packed"])
        with torch.autocast(mixed.device.type, enabled=False):
            spectra = torch.cat([state["spectra"], spectrum])
            masked = torch.view_as_complex(factors.float().unflatten(-1, (-1, 2))) * spectra[: len(spectrum)]
            # The squares of overlapping windows add up to 1, so nothing is to be divided.
            early, late = (torch.fft.irfft(masked, self.frame_length) * self.window).chunk(2, -1)
            denoised = early + torch.cat([state["late"][None], late[:-1]])
        following = {
            "samples": samples[:, -self.hop :],
            "level": level,
            "heard": heard,
            "spectra": spectra[len(spectrum) :],
            "memories": memories,
            "packed": state["packed"],
            "late": late[-1],
        }
        return denoised.transpose(0, 1).reshape(batch, 1, -1), following

    def first_state(self, batch, device):
        """The state before a signal: silence."""
        nothing = torch.zeros(batch, self.hop, device=device)
        return {
            "samples": nothing,  # the last ones
            "level": nothing[:, :1],
            "heard": nothing[:, :1],  # how many frames were not wholly silent
            "spectra": torch.zeros(self.look_ahead, batch, self.hop + 1, dtype=torch.complex64, device=device),
            "memories": [None] * len(self.blocks),
            "packed": None if self.training else (pack(self.encoder), pack(self.decoder)),
            "late": nothing,  # the second half of the last frame
        }

    def encode(self, features, packed):
        """(frames, batch, bins · PARTS) to (frames, batch, bands, channels).

        packed: the weights of all bands in one tensor, which is faster for few frames; None, for many.
        """
        if packed is None:
            bands = features.split([PARTS * width for width in self.widths], -1)
            return torch.stack([layer(band) for layer, band in zip(self.encoder, bands, strict=True)], 2)
        rows = functional.pad(features, (0, 1)).flatten(0, 1)[:, self.seen].unflatten(-1, (len(self.widths), -1))
        return (
            torch.baddbmm(packed[0][1], rows.transpose(0, 1), packed[0][0])
            .transpose(0, 1)
            .unflatten(0, features.shape[:2])
        )

    def decode(self, hidden, packed):
        """(frames, batch, bands, channels) to factors (frames, batch, 2 · bins), real and imaginary in turn."""
        if packed is None:
            return torch.cat([layer(band) for layer, band in zip(self.decoder, hidden.unbind(2), strict=True)], -1)
        rows = torch.baddbmm(packed[1][1], hidden.flatten(0, 1).transpose(0, 1), packed[1][0]).transpose(0, 1)
        return rows.flatten(1)[:, self.own].unflatten(0, hidden.shape[:2])

    def features(self, spectrum, level, heard):
        """(values (frames, batch, bins · PARTS), free of the level, level and heard after) of (frames, batch, bins).

        Of each bin the real part, the imaginary part and the magnitude, with the magnitude to the
        power of 0.3. The level is the mean power of all frames so far that are not wholly silent;
        from LEVEL_FRAMES on it forgets the older ones.
        """
        power = spectrum.real.square() + spectrum.imag.square()
        frame_power = power.mean(-1, keepdim=True)
        sounds = (frame_power > 0).float()
        counts = heard + sounds.cumsum(0)
        shares = sounds / counts.clamp(1, LEVEL_FRAMES)
        levels = []
        for now, share in zip(frame_power, shares, strict=True):
            level = torch.lerp(level, now, share)
            levels.append(level)
        scale = (torch.stack(levels) + LEAST_POWER).rsqrt()
        spectrum, power = spectrum * scale, power * scale.square() + 1e-8
        parts = torch.view_as_real(spectrum) * (power ** ((COMPRESSION - 1) / 2)).unsqueeze(-1)
        values = torch.cat([parts, (power ** (COMPRESSION / 2)).unsqueeze(-1)], -1)
        return values.flatten(2), level, counts[-1]


def pack(layers):
    """(weights (layers, inputs, outputs), biases (layers, 1, outputs)), filled up with zeros to the largest."""
    inputs, outputs = (max(sizes) for sizes in zip(*((x.in_features, x.out_features) for x in layers), strict=True))
    weights = [functional.pad(x.weight.T, (0, outputs - x.out_features, 0, inputs - x.in_features)) for x in layers]
    biases = [functional.pad(x.bias, (0, outputs - x.out_features)) for x in layers]
    return torch.stack(weights), torch.stack(biases).unsqueeze(1)


class RecurrentLayer(nn.Module):
    """Each band's own memory along the frames, of the same weights in all bands, added to the input.

    A memory moves towards a new value by a share; both depend on the present frame alone, so that all
    frames but for that move are computed at once: Feng et al., "Were RNNs All We Needed?" (2024).
    """

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.first, self.last = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        # At first shares are spread, so that some memories last for a frame and some for a second.
        with torch.no_grad():
            self.first.bias[:channels].copy_(torch.linspace(-4, 1, channels))

    def forward(self, hidden, memory):
        shares, values, gates = self.first(self.norm(hidden)).chunk(3, -1)
        # In float32, whatever the precision of the layers: a small share of a coarse number is lost.
        values, shares = values.float(), shares.float().sigmoid()
        if memory is None:
            memory = torch.zeros_like(values[0])
        # Of a single frame, as in live sound, torch's own step is faster.
        memories = Recurrence.apply(values, shares, memory) if len(values) > 1 else torch.lerp(memory, values, shares)
        return hidden + self.last(memories * functional.silu(gates)), memories[-1]


class Recurrence(torch.autograd.Function):
    """h_t = h_(t−1) + share_t · (value_t − h_(t−1)) along the first dimension, from h_0 = first.

    Written out with its gradient, it is several times as fast as torch's own steps on a processor.
    There is no gradient for `first`.
    """

    @staticmethod
    def forward(context, values, shares, first):
        memories, memory = torch.empty_like(values), first
        for value, share, following in zip(values, shares, memories, strict=True):
            torch.lerp(memory, value, share, out=following)
            memory = following
        context.save_for_backward(values, shares, first, memories)
        return memories

    @staticmethod
    def backward(context, gradient):
        values, shares, first, memories = context.saved_tensors
        kept, totals = (1 - shares).unbind(), gradient.clone(memory_format=torch.contiguous_format)
        steps = totals.unbind()
        for frame in range(len(steps) - 2, -1, -1):
            steps[frame].addcmul_(kept[frame + 1], steps[frame + 1])
        before = torch.cat([first[None], memories[:-1]])
        return totals * shares, totals * (values - before), None


class SharedLayer(nn.Module):
    """All bands at once, through a few channels of each, added to the input: one band knows of the others."""

    def __init__(self, channels, bands, shared_channels, shared_units):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.first = nn.Linear(channels, shared_channels)
        self.together = nn.Sequential(
            nn.Linear(bands * shared_channels, shared_units),
            nn.SiLU(),
            nn.Linear(shared_units, bands * shared_channels),
            nn.SiLU(),
        )
        self.last = nn.Linear(shared_channels, channels)

    def forward(self, hidden, memory):
        shared = self.first(self.norm(hidden))
        return hidden + self.last(self.together(shared.flatten(2)).view(shared.shape)), memory


def band_edges(bins, bands):
    """The first bin of each band, and the end: widths grow steadily, BAND_GROWTH-fold from first to last."""
    return [round(bins * (BAND_GROWTH ** (band / bands) - 1) / (BAND_GROWTH - 1)) for band in range(bands + 1)]
