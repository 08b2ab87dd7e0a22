"""R-Net: from a face picture to the 257 numbers of a 3D face (Deng et al. 2019), in its PyTorch release's names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from talkingface.nn.resnet import resnet50

HEADS = {"identity": 80, "expression": 64, "texture": 80, "angles": 3, "light": 27, "shift": 2, "depth": 1}
"""Parts of the output in their order, with their sizes."""
NUM_COEFFICIENTS = sum(HEADS.values())


class ReconstructionNet(nn.Module):
    """Pictures [B, 3, H, W], RGB in [0, 1], of faces cropped to 224 x 224 -> coefficients [B, 257]. 24.0 M parameters.

    Names are those of Deep3DFaceRecon's `epoch_20.pth` under its key `net_recon`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet50(num_classes=0)
        self.final_layers = nn.ModuleList(nn.Conv2d(self.backbone.num_features, size, 1) for size in HEADS.values())
        for parameter in self.final_layers.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.backbone(x)[:, :, None, None]
        return torch.cat([head(pooled) for head in self.final_layers], 1).flatten(1)


def reconstruction_state(checkpoint: Mapping[str, object]) -> dict[str, Tensor]:
    """The state of a `ReconstructionNet` in a Deep3DFaceRecon checkpoint. Raises ValueError if it holds none."""
    state = checkpoint.get("net_recon", checkpoint)
    if not isinstance(state, Mapping):
        raise ValueError("net_recon is no table of tensors")
    wanted = ReconstructionNet().state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"it lacks {len(missing)} tensors, {missing[0]} first; it is no Deep3DFaceRecon checkpoint")
    return {name: state.get(name, zero) for name, zero in wanted.items()}
