"""The generator, which is the denoiser, and the discriminator; building and loading them.

    from models import load_generator
    generator, config = load_generator("checkpoints/dan/best.pt")
    denoised = generator(mixed)                    # (batch, 1, length), float32

Layer tables after the published Denoising Adversarial Network; the encoder–decoder has no skip
connections. Initial weights: DCGAN's habit of small normal weights (Radford, Metz, Chintala,
2015), scaled per layer as in LeCun et al., "Efficient BackProp" (1998).
"""

import torch
from torch import nn
from torch.nn import functional

from checkpoints import read_checkpoint
from config import from_dict
from faults import Fault


class Generator(nn.Module):
    """Convolutional encoder–decoder: mixed (batch, 1, length) to denoised, the same shape.

    Each encoder layer halves the length and each decoder layer doubles it; a signal of any length
    is padded with zeros to a multiple of 2^depth, and the output cut back.
    """

    def __init__(self, encoder_filters, decoder_filters, depth, kernel_size, negative_slope):
        super().__init__()
        # For stride 2 these paddings halve an even length, and double any length, exactly.
        halving = {"kernel_size": kernel_size, "stride": 2, "padding": (kernel_size - 1) // 2}
        doubling = halving | {"output_padding": kernel_size % 2}
        layers, channels = [], 1
        for _ in range(depth):
            layers.append(nn.Conv1d(channels, encoder_filters, **halving))
            layers += [nn.BatchNorm1d(encoder_filters), nn.LeakyReLU(negative_slope)]
            channels = encoder_filters
        for _ in range(depth):
            layers.append(nn.ConvTranspose1d(channels, decoder_filters, **doubling))
            layers += [nn.BatchNorm1d(decoder_filters), nn.LeakyReLU(negative_slope)]
            channels = decoder_filters
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv1d(channels, 1, kernel_size)
        self.multiple = 2**depth
        # An even kernel needs one more sample of padding on one side to keep the length.
        self.head_padding = ((kernel_size - 1) // 2, kernel_size // 2)
        initialise(self)

    def forward(self, mixed):
        length = mixed.shape[-1]
        padded = functional.pad(mixed, (0, -length % self.multiple))
        decoded = self.layers(padded)
        return self.head(functional.pad(decoded, self.head_padding))[..., :length]


class Discriminator(nn.Module):
    """Tells clean from denoised: signals (batch, 1, length) to logits (batch,), clean positive.

    The linear layers fix the length; it is a multiple of 2^depth.
    """

    def __init__(self, filters, depth, kernel_size, hidden_units, negative_slope, length):
        super().__init__()
        halving = {"kernel_size": kernel_size, "stride": 2, "padding": (kernel_size - 1) // 2}
        layers, channels = [], 1
        for _ in range(depth):
            layers.append(nn.Conv1d(channels, filters, **halving))
            layers += [nn.BatchNorm1d(filters), nn.LeakyReLU(negative_slope)]
            channels = filters
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.classifier = nn.Sequential(
            nn.Linear(filters * length // 2**depth, hidden_units),
            nn.ReLU(),
            nn.Linear(hidden_units, 1),
        )
        initialise(self)

    def forward(self, signals):
        return self.classifier(self.features(signals)).squeeze(1)


def initialise(network):
    """Zero biases; normal weights with variance 1/(in_channels · kernel), linear ones 0.01²."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            deviation = (module.in_channels * module.kernel_size[0]) ** -0.5
        elif isinstance(module, nn.Linear):
            deviation = 0.01
        else:
            continue
        nn.init.normal_(module.weight, std=deviation)
        nn.init.zeros_(module.bias)


def build_generator(config):
    """A generator with new weights, as the configuration describes it."""
    return Generator(**vars(config.generator))


def build_discriminator(config):
    """A discriminator with new weights, for signals of the configured length."""
    return Discriminator(**vars(config.discriminator), length=config.data.length)


def count_parameters(network):
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def load_generator(path, device="cpu"):
    """The generator stored in a checkpoint, in evaluation mode, and its Config.

    Raises Fault if the file is missing, damaged or of another kind.
    """
    checkpoint = read_checkpoint(path, device)
    config = from_dict(checkpoint["config"])
    generator = build_generator(config).to(device)
    try:
        generator.load_state_dict(checkpoint["generator"])
    except (RuntimeError, TypeError, AttributeError) as error:
        raise Fault(f"{path} has weights that do not fit its settings; train again") from error
    return generator.eval(), config


@torch.inference_mode()
def denoise(generator, mixed, batch_size=500):
    """Denoise an array (count, length) of float32 in batches; returns the same shape."""
    device = next(generator.parameters()).device
    batches = torch.from_numpy(mixed).unsqueeze(1).split(batch_size)
    return torch.cat([generator(batch.to(device)).cpu() for batch in batches]).squeeze(1).numpy()
