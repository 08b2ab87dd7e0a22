"""IResNet, the face recognition network of ArcFace (Deng et al. 2019), in the names of its PyTorch release."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

MXNET_EPS = 2e-5
"""Batch-norm epsilon of the MXNet models; the PyTorch release uses 1e-5."""
FACE_PX = 112


class IResidual(nn.Module):
    """Batch norm, 3x3 convolution, batch norm, PReLU, 3x3 convolution (with the stride), batch norm, plus the skip."""

    def __init__(self, in_channels: int, channels: int, stride: int, eps: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels, eps)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels, eps)
        self.prelu = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels, eps)
        self.downsample = (
            nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels, eps))
            if stride > 1
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        out = self.bn3(self.conv2(out))
        return out + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """Aligned faces [B, 3, 112, 112], RGB in [-1, 1] -> embeddings [B, num_features], not normalised.

    `depths` (3, 13, 30, 3) is the 100-layer network with 65.2 M parameters, (2, 2, 2, 2) the 18-layer one.
    """

    def __init__(self, depths: Sequence[int] = (3, 13, 30, 3), num_features: int = 512, eps: float = 1e-5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64, eps)
        self.prelu = nn.PReLU(64)
        before = 64
        for stage, depth in enumerate(depths):
            channels = 64 << stage
            units = [IResidual(before if k == 0 else channels, channels, 2 if k == 0 else 1, eps) for k in range(depth)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*units))
            before = channels
        self.num_stages = len(depths)
        self.bn2 = nn.BatchNorm2d(before, eps)
        self.fc = nn.Linear(before * (FACE_PX >> self.num_stages) ** 2, num_features)
        self.features = nn.BatchNorm1d(num_features, eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        for stage in range(self.num_stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.features(self.fc(self.bn2(x).flatten(1)))


def mxnet_name(name: str) -> str | None:
    """The name in an MXNet LResNet-IR file (`arg:` and `aux:` removed) of a parameter of `IResNet`; None: has none.

    >>> mxnet_name("layer2.0.downsample.1.running_var"), mxnet_name("fc.weight")
    ('stage2_unit1_sc_moving_var', 'pre_fc1_weight')
    """
    path, _, kind = name.rpartition(".")
    if kind == "num_batches_tracked":
        return None
    kind_of = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
    top = {"conv1": "conv0", "bn1": "bn0", "prelu": "relu0", "bn2": "bn1", "fc": "pre_fc1", "features": "fc1"}
    unit = {"prelu": "relu1", "downsample.0": "conv1sc", "downsample.1": "sc"}
    if path in top:
        place = top[path]
    else:
        layer, number, part = path.split(".", 2)
        place = f"stage{layer.removeprefix('layer')}_unit{int(number) + 1}_{unit.get(part, part)}"
    is_plain = path == "fc" or path.rpartition(".")[2].startswith("conv") or path.endswith("downsample.0")
    return f"{place}_{kind if is_plain else kind_of[kind]}"
