"""Official reconstruction: R-Net coefficients of the own-transform crops, for people who have its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from talkingface.core.errors import WeightsError
from talkingface.core.weights import load_pickle_weights_only
from talkingface.nn.reconstruction_net import ReconstructionNet, reconstruction_state

BATCH = 8


def load_reconstruction_net(path: str | Path, device: str = "cpu") -> ReconstructionNet:
    """The network of Deep3DFaceRecon's `epoch_20.pth` (key `net_recon`), ready to use. Raises WeightsError."""
    checkpoint = load_pickle_weights_only(path)
    try:
        if not isinstance(checkpoint, dict):
            raise ValueError("it is no table of tensors")
        net = ReconstructionNet()
        net.load_state_dict(reconstruction_state(checkpoint))
    except (ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} does not hold R-Net: {error}; give Deep3DFaceRecon's epoch_20.pth") from error
    return net.eval().requires_grad_(False).to(device)


def reconstruct(net: ReconstructionNet, crops: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Coefficients float32 [257] of each crop uint8 [224, 224, 3] made with its own transform (`crop_picture`)."""
    device = next(net.parameters()).device
    pictures = iter(crops)
    while batch := list(islice(pictures, BATCH)):
        rgb = torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2)
        with torch.no_grad():
            yield from net(rgb / 255).cpu().numpy()
