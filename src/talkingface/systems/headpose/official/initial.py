"""What new networks of `headpose` start from."""

from __future__ import annotations

from torch import nn


def init_published(network: nn.Module) -> None:
    """The published starting weights, in place: normal with deviation 0.02 for convolutions, linear layers and around 1
    for batch normalisation, zero biases. LSTMs keep PyTorch's default."""
    for module in network.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
