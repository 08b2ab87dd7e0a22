"""Networks for figures whose weights users bring: found in the store, checked, put on the best device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from talkingface.core.device import pick_device
from talkingface.core.errors import WeightsError
from talkingface.core.foreign import fit_tensors, module_shapes
from talkingface.core.weights import find_weights, load_weights

Network = TypeVar("Network", bound=nn.Module)


def has_weights(name: str) -> bool:
    """Whether the store holds weights of that name. Reads none of them."""
    try:
        find_weights(name)
    except WeightsError:
        return False
    return True


def with_weights(network: Network, name: str | Path) -> Network:
    """`network` with the weights called `name`, for inference, on the GPU if there is one. Raises WeightsError."""
    ref = find_weights(name)
    tensors = fit_tensors(load_weights(ref).tensors, module_shapes(network), str(ref.folder))
    state = network.state_dict()
    state |= {key: torch.from_numpy(values) for key, values in tensors.items()}
    network.load_state_dict(state)
    return network.eval().requires_grad_(False).to(pick_device())


def to_batch(pictures: Sequence[np.ndarray], network: nn.Module) -> torch.Tensor:
    """Pictures uint8 [H, W, 3] of one size as float32 [B, 3, H, W] with values 0 to 255, where the network is."""
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return batch.to(next(network.parameters()).device, torch.float32).contiguous()
