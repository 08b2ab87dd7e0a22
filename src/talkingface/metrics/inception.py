"""`picture.fid`: Frechet distance of Inception features (Heusel et al. 2017), with weights that a user has imported.

The network is the one of the figure's first implementation (TensorFlow, 2015-12-05) in torchvision's names, as the
file `pt_inception-2015-12-05-6726825d.pth` holds it. It differs from torchvision's own: averages leave out the padding,
and the last block takes a maximum instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.foreign import Imported, fit_tensors, module_shapes, origin_of, read_foreign, source_files
from talkingface.metrics.networks import to_batch, with_weights

WEIGHTS = "fid.inception"
FILES = "pt_inception-2015-12-05-6726825d.pth, a state dict in torchvision's names"
SIDE_PX, NUM_FEATURES = 299, 2048


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int | tuple[int, int], **options: int | tuple[int, int]):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **options)  # type: ignore[arg-type]
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


def _mean(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _A(nn.Module):
    """35 x 35: windows of 1, 5 and twice 3 pixels."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(inputs, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = _Conv(inputs, 48, 1), _Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(inputs, 64, 1), _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, padding=1)
        self.branch_pool = _Conv(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        parts = (self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(_mean(x)))
        return torch.cat(parts, 1)


class _B(nn.Module):
    """From 35 x 35 to 17 x 17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(inputs, 64, 1), _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch3x3(x), double, functional.max_pool2d(x, 3, stride=2)), 1)


class _C(nn.Module):
    """17 x 17: windows of 7 as rows and columns."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        row, column = (1, 7), (7, 1)
        beside, above = (0, 3), (3, 0)
        self.branch1x1 = _Conv(inputs, 192, 1)
        self.branch7x7_1 = _Conv(inputs, width, 1)
        self.branch7x7_2 = _Conv(width, width, row, padding=beside)
        self.branch7x7_3 = _Conv(width, 192, column, padding=above)
        self.branch7x7dbl_1 = _Conv(inputs, width, 1)
        self.branch7x7dbl_2 = _Conv(width, width, column, padding=above)
        self.branch7x7dbl_3 = _Conv(width, width, row, padding=beside)
        self.branch7x7dbl_4 = _Conv(width, width, column, padding=above)
        self.branch7x7dbl_5 = _Conv(width, 192, row, padding=beside)
        self.branch_pool = _Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat((self.branch1x1(x), single, double, self.branch_pool(_mean(x))), 1)


class _D(nn.Module):
    """From 17 x 17 to 8 x 8."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = _Conv(inputs, 192, 1), _Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Conv(inputs, 192, 1)
        self.branch7x7x3_2 = _Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _Conv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        longer = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat((self.branch3x3_2(self.branch3x3_1(x)), longer, functional.max_pool2d(x, 3, stride=2)), 1)


class _E(nn.Module):
    """8 x 8: windows of 3, split into row and column. `maximum`: of the neighbours, instead of their mean."""

    def __init__(self, inputs: int, *, maximum: bool) -> None:
        super().__init__()
        self._maximum = maximum
        row, column = (1, 3), (3, 1)
        beside, above = (0, 1), (1, 0)
        self.branch1x1 = _Conv(inputs, 320, 1)
        self.branch3x3_1 = _Conv(inputs, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = (
            _Conv(384, 384, row, padding=beside),
            _Conv(384, 384, column, padding=above),
        )
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(inputs, 448, 1), _Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _Conv(384, 384, row, padding=beside)
        self.branch3x3dbl_3b = _Conv(384, 384, column, padding=above)
        self.branch_pool = _Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        near = functional.max_pool2d(x, 3, stride=1, padding=1) if self._maximum else _mean(x)
        parts = (
            self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(near),
        )  # fmt: skip
        return torch.cat(parts, 1)


class Inception(nn.Module):
    """Pictures [B, 3, H, W] with values 0 to 255 -> pooled features [B, 2048].

    They are brought to 299 x 299 (bilinear, corners not aligned) and to [-1, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _A(192, 32), _A(256, 64), _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (_C(768, width) for width in (128, 160, 160, 192))
        self.Mixed_7a = _D(768)
        self.Mixed_7b, self.Mixed_7c = _E(1280, maximum=False), _E(2048, maximum=True)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.interpolate(x, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False) / 127.5 - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, stride=2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(functional.max_pool2d(x, 3, stride=2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))


class InceptionMeter:
    """The network with its weights. Example: `InceptionMeter.load().features(pictures)`"""

    def __init__(self, network: Inception) -> None:
        self._network = network.eval()

    @classmethod
    def load(cls) -> InceptionMeter:
        """Load imported weights. Raises WeightsError when there are none, or others."""
        return cls(with_weights(Inception(), WEIGHTS))

    def features(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Pictures uint8 [H, W, 3], of one size -> float32 [N, 2048]."""
        with torch.inference_mode():
            return self._network(to_batch(pictures, self._network)).cpu().numpy()


def import_inception(files: Sequence[Path]) -> Imported:
    """`fid.inception` from the state dict of the TensorFlow network of 2015-12-05. Raises WeightsError."""
    (path,) = source_files(files, 1, FILES)
    tensors = fit_tensors(read_foreign(path), module_shapes(Inception()), path.name)
    card = {
        "kind": "inception",
        "licence": "Apache-2.0 (TensorFlow models), trained on ImageNet",
        "allows": "what the licence of the file allows",
        "paper": "Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule",
        "origin": origin_of([path]),
    }
    return Imported(name=WEIGHTS, tensors=tensors, card=card)
