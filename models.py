"""The networks: the generators, which are the denoisers, and the discriminator, with new weights.

    python models.py --preset dan-small            # print both networks layer by layer

Trained ones are loaded by dan/training/checkpoints.py.

Layer tables after the published Denoising Adversarial Network; the encoder–decoder has no skip
connections. Networks on the spectrum of whole signals are in dan/spectral.py, the causal one in dan/causal.py.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from config import (
    CausalGeneratorConfig,
    PursuitGeneratorConfig,
    ShortTimeGeneratorConfig,
    SpectralGeneratorConfig,
    WaveformGeneratorConfig,
)
from dan.causal import CausalGenerator
from dan.configuration import parse_arguments
from dan.errors import ConfigurationError, run
from dan.fourier_convolutions import LongConv1d, LongConvTranspose1d
from dan.initial_weights import initialise
from dan.spectral import PursuitGenerator, SpectralGenerator

MIN_FRAME_POWER = 1e-20  # of the level that a frame is compared with
MAX_PARAMETERS = 100_000_000  # with their optimiser they take 1.6 GB


def main():
    config, _ = parse_arguments("Print both networks layer by layer: output shapes, parameters.")
    networks = {
        "generator": (build_generator, (1, config.data.length)),
        "discriminator": (build_discriminator, seen_shape(config)),
    }
    for name, (build_network, given) in networks.items():
        network = build_network(config).eval()
        print(
            f"{name} of {config.preset}, for {given[0]} × {given[1]:,} values\n"
            f"  {'layer':<34}{'output shape':<22}{'parameters':>12}"
        )
        for layer, shape, count in layers_of(network, torch.zeros(1, *given)):
            print(f"  {layer:<34}{' × '.join(map(str, shape)):<22}{count:>12,}")
        print(f"  {'total':<56}{count_parameters(network):>12,}\n")


@torch.inference_mode()
def layers_of(network, signals):
    """(name and kind, output shape without the batch, parameters) of each layer, as it is used."""
    found = []
    for name, layer in network.named_modules():
        if not list(layer.children()) and not isinstance(layer, nn.Flatten):
            title = f"{name} {type(layer).__name__}"
            layer.register_forward_hook(
                lambda layer, _, output, title=title: found.append(
                    (title, tuple(output.shape[1:]), count_parameters(layer))
                )
            )
    network(signals)
    return found


class WaveformGenerator(nn.Module):
    """Convolutional encoder–decoder: mixed (batch, 1, length) to denoised, the same shape.

    Each encoder layer halves the length and each decoder layer doubles it; a signal of any length
    is padded with zeros to a multiple of 2^depth, and the output cut back.
    """

    context = None  # it knows signals of one length: see denoise.py

    def __init__(self, encoder_filters, decoder_filters, depth, kernel_size, negative_slope, fourier):
        super().__init__()
        layers, channels = [], 1
        for _ in range(depth):
            layers.append(LongConv1d(channels, encoder_filters, kernel_size, 2, fourier))
            layers += [nn.BatchNorm1d(encoder_filters), nn.LeakyReLU(negative_slope)]
            channels = encoder_filters
        for _ in range(depth):
            layers.append(LongConvTranspose1d(channels, decoder_filters, kernel_size, fourier))
            layers += [nn.BatchNorm1d(decoder_filters), nn.LeakyReLU(negative_slope)]
            channels = decoder_filters
        self.layers = nn.Sequential(*layers)
        self.head = LongConv1d(channels, 1, kernel_size, 1, fourier)
        self.depth = depth
        initialise(self)

    def forward(self, mixed, with_latents=False):
        """The denoised signals; with_latents: and the latents, the output of `encode`."""
        latents = self.encode(mixed)
        denoised = self.decode(latents, mixed.shape[-1])
        return (denoised, latents) if with_latents else denoised

    def encode(self, signals):
        """The latents, all that passes the bottleneck: (batch, encoder_filters, length / 2^depth, rounded up)."""
        padded = functional.pad(signals, (0, -signals.shape[-1] % 2**self.depth))
        return self.layers[: len(self.layers) // 2](padded)

    def decode(self, latents, length):
        """The signals (batch, 1, length) of latents."""
        return self.head(self.layers[len(self.layers) // 2 :](latents))[..., :length]


class ShortTimeGenerator(nn.Module):
    """Convolutions on short-time spectra, for long signals: mixed (batch, 1, length) to denoised.

    An encoder halves the number of frequency bins layer by layer; residual blocks look ever
    farther along the frames, by dilation; a decoder, to which the encoder's layers are added,
    doubles the bins again and gives a bounded complex mask, which multiplies the spectrum. What
    the network sees is the spectrum over its level around each frame, compressed as by hearing:
    so the output is as much louder as the input is. Any length in, the same length out.

    After the U-Net of Ronneberger, Fischer, Brox (2015) and the dilated blocks of Luo, Mesgarani,
    "Conv-TasNet" (2019). `context` is how many samples an output depends on to either side.
    """

    def __init__(
        self, channels, levels, blocks, kernel_size, frame_kernel_size, longest_dilation, frame_length, level_frames
    ):
        super().__init__()
        self.frame_length, self.hop = frame_length, frame_length // 2
        self.level_frames = level_frames
        widths = [channels * (level + 1) for level in range(levels)]
        frequency = {"kernel_size": (1, kernel_size), "stride": (1, 2), "padding": (0, kernel_size // 2)}
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, **frequency), nn.BatchNorm2d(o), nn.SiLU()) for i, o in pairwise([4, *widths])
        )
        dilations = [2 ** (block % longest_dilation.bit_length()) for block in range(blocks)]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(widths[-1], widths[-1], (frame_kernel_size, 3), padding="same", dilation=(dilation, 1)),
                nn.BatchNorm2d(widths[-1]),
                nn.SiLU(),
            )
            for dilation in dilations
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(i, o, **frequency), nn.BatchNorm2d(o), nn.SiLU())
            for i, o in pairwise(widths[::-1])
        )
        self.last = nn.ConvTranspose2d(channels, 2, **frequency)
        self.register_buffer("window", torch.hann_window(frame_length).sqrt(), persistent=False)
        frames = frame_kernel_size // 2 * sum(dilations) + level_frames
        self.context = self.latency = frames * self.hop + frame_length
        initialise(self)
        self.to(memory_format=torch.channels_last)  # convolutions are a fifth faster with it

    def forward(self, mixed):
        length = mixed.shape[-1]
        # Transforms stay in float32, whatever the precision of the convolutions.
        with torch.autocast(mixed.device.type, enabled=False):
            spectrum = self.transform(mixed.float().squeeze(1))
            features = self.features(spectrum)
        skips = []
        hidden = features.contiguous(memory_format=torch.channels_last)
        for layer in self.encoder:
            hidden = layer(hidden)
            skips.append(hidden)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        for layer, skip in zip(self.decoder, skips[-2::-1], strict=True):
            hidden = layer(hidden) + skip
        real, imaginary = self.last(hidden).float().tanh().unbind(1)
        with torch.autocast(mixed.device.type, enabled=False):
            return self.inverse(torch.complex(real, imaginary) * spectrum, length).unsqueeze(1)

    def features(self, spectrum):
        """Complex (batch, frames, bins) to (batch, 4, frames, bins), free of the level.

        Real part, imaginary part and magnitude with the magnitude to the power of 0.3, and the
        frequency. The level is the mean power of `level_frames` frames to either side, of those
        that are not wholly silent.
        """
        power = spectrum.real.square() + spectrum.imag.square()
        frame_power = power.mean(-1).unsqueeze(1)
        box = torch.ones(1, 1, 2 * self.level_frames + 1, device=spectrum.device)
        total, count = (
            functional.conv1d(x, box, padding=self.level_frames) for x in (frame_power, (frame_power > 0).float())
        )
        level = (total / count.clamp_min(1)).squeeze(1).unsqueeze(-1) + MIN_FRAME_POWER
        relative = power / level
        magnitude = (relative + 1e-8) ** 0.15
        scale = magnitude / ((relative + 1e-8) * level).sqrt()
        frequency = torch.linspace(-1, 1, spectrum.shape[-1], device=spectrum.device)
        return torch.stack(
            [spectrum.real * scale, spectrum.imag * scale, magnitude, frequency.expand(power.shape)], dim=1
        )

    def transform(self, signals):
        """(batch, length) to complex (batch, frames, bins)."""
        padded = functional.pad(signals, (0, -signals.shape[-1] % self.hop))
        spectrum = torch.stft(
            padded, self.frame_length, self.hop, window=self.window, pad_mode="constant", return_complex=True
        )
        return spectrum.transpose(1, 2)

    def inverse(self, spectrum, length):
        """Complex (batch, frames, bins) to (batch, length), undoing `transform`.

        The squares of overlapping windows add up to 1, so nothing is to be divided. (torch.istft
        looks whether it can divide, for which the processor waits for the accelerator.)
        """
        frames = torch.fft.irfft(spectrum, self.frame_length) * self.window
        early, late = frames.unflatten(-1, (2, self.hop)).unbind(2)
        # The first half of the first frame lies before the signal.
        return (late[:, :-1] + early[:, 1:]).flatten(1)[:, :length]


class Discriminator(nn.Module):
    """Tells clean from denoised: signals (batch, channels, length) to logits, clean positive.

    The logits are (batch,) or, of a network with several outputs, (batch, outputs). The linear
    layers fix the length; a signal is padded with zeros to a multiple of 2^depth.
    """

    def __init__(
        self, filters, depth, kernel_size, hidden_units, negative_slope, fourier, length, channels=1, outputs=1
    ):
        super().__init__()
        self.padding = -length % 2**depth
        layers = []
        for _ in range(depth):
            layers.append(LongConv1d(channels, filters, kernel_size, 2, fourier))
            layers += [nn.BatchNorm1d(filters), nn.LeakyReLU(negative_slope)]
            channels = filters
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.classifier = nn.Sequential(
            nn.Linear(filters * (length + self.padding) // 2**depth, hidden_units),
            nn.ReLU(),
            nn.Linear(hidden_units, outputs),
        )
        initialise(self)

    def forward(self, signals):
        padded = functional.pad(signals, (0, self.padding))
        return self.classifier(self.features(padded)).squeeze(1)

    def activations(self, signals):
        """The output of each convolution layer, a list of (batch, filters, ever fewer samples)."""
        hidden, found = functional.pad(signals, (0, self.padding)), []
        for layer in self.features:
            hidden = layer(hidden)
            if isinstance(layer, nn.LeakyReLU):
                found.append(hidden)
        return found


# The network that each kind of settings describes.
GENERATORS = {
    WaveformGeneratorConfig: WaveformGenerator,
    SpectralGeneratorConfig: SpectralGenerator,
    PursuitGeneratorConfig: PursuitGenerator,
    ShortTimeGeneratorConfig: ShortTimeGenerator,
    CausalGeneratorConfig: CausalGenerator,
}


def build_generator(config):
    """A generator with new weights, as the configuration describes it.

    Raises ConfigurationError if it would have more than MAX_PARAMETERS parameters.
    """
    sizes = vars(config.generator)
    if isinstance(config.generator, PursuitGeneratorConfig):
        sizes = sizes | {"band": config.data.band}
    return build("generator", GENERATORS[type(config.generator)], sizes)


def build_discriminator(config):
    """A discriminator with new weights, for signals or latents as configured; raises likewise."""
    channels, length = seen_shape(config)
    return build("discriminator", Discriminator, vars(config.discriminator) | {"channels": channels, "length": length})


def seen_shape(config):
    """Channels and length of the discriminator's input for one signal: the signal, or its latents."""
    if config.training.adversary == "latent":
        return config.generator.latent_shape(config.data.length)
    return 1, config.data.length


def build(name, network, sizes, cure=None):
    """A network of these sizes; raises ConfigurationError if it is too large."""
    with torch.device("meta"):  # where tensors have a shape and take no memory
        count = count_parameters(network(**sizes))
    if count > MAX_PARAMETERS:
        cure = cure or f"make the settings {name}.* smaller"
        raise ConfigurationError(f"the {name} would have {count:,} parameters, more than {MAX_PARAMETERS:,}; {cure}")
    return network(**sizes)


@torch.inference_mode()
def apply_generator(generator, mixed, batch_size=500):
    """Denoise an array (count, length) of float32 in batches; returns the same shape."""
    device = next(generator.parameters()).device
    batches = torch.from_numpy(mixed).unsqueeze(1).split(batch_size)
    return torch.cat([generator(batch.to(device)).cpu() for batch in batches]).squeeze(1).numpy()


def count_parameters(network):
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


if __name__ == "__main__":
    run(main)
