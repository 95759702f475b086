"""The initial weights of the networks.

DCGAN's habit of small normal weights (Radford, Metz, Chintala, 2015), scaled per layer as in LeCun et al., "Efficient
BackProp" (1998).
"""

import math

from torch import nn

CONVOLUTIONS = nn.Conv1d | nn.ConvTranspose1d | nn.Conv2d | nn.ConvTranspose2d


def initialise(network):
    """Zero biases; normal weights with variance 1/(in_channels · kernel), linear ones 0.01²."""
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            deviation = (module.in_channels * math.prod(module.kernel_size)) ** -0.5
        elif isinstance(module, nn.Linear):
            deviation = 0.01
        else:
            continue
        nn.init.normal_(module.weight, std=deviation)
        nn.init.zeros_(module.bias)
