"""`picture.lpips`: the learned perceptual distance, with the authors' weights where a user has imported them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from talkingface.core.errors import WeightsError
from talkingface.core.foreign import Imported, fit_tensors, module_shapes, origin_of, read_foreign, source_files
from talkingface.metrics.networks import to_batch, with_weights
from talkingface.nn.lpips import CHANNELS, Backbone, Lpips

SIDE_PX = 256
"""Both pictures are scaled to a square of this before they are compared."""
FILES = "torchvision's alexnet or vgg16 and the matching linear weights of the lpips package (alex.pth or vgg.pth)"
_TORCHVISION, _FIRST = "features.", "features.0.weight"


def weights_name(backbone: Backbone) -> str:
    """The name in the store."""
    return f"lpips.{backbone}"


class LpipsMeter:
    """The network with its weights. Example: `LpipsMeter.load("alex").distances([a], [b])`"""

    def __init__(self, network: Lpips) -> None:
        self._network = network.eval()

    @classmethod
    def load(cls, backbone: Backbone) -> LpipsMeter:
        """Load imported weights. Raises WeightsError when there are none, or others."""
        return cls(with_weights(Lpips(backbone), weights_name(backbone)))

    def distances(self, generated: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> np.ndarray:
        """LPIPS of each pair of pictures uint8 [H, W, 3], of any size: float64 [N], 0 for equal ones."""
        a, b = (to_batch([_square(p) for p in rgb], self._network) / 127.5 - 1 for rgb in (generated, reference))
        with torch.inference_mode():
            return self._network(a, b).flatten().double().cpu().numpy()


def _square(rgb: np.ndarray) -> np.ndarray:
    shrinks = max(rgb.shape[:2]) > SIDE_PX
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(rgb, (SIDE_PX, SIDE_PX), interpolation=method)


def import_lpips(files: Sequence[Path]) -> Imported:
    """`lpips.alex` or `lpips.vgg` from a backbone and its linear weights, in either order. Raises WeightsError."""
    paths = source_files(files, 2, FILES)
    found = [read_foreign(path) for path in paths]
    if _FIRST not in found[0]:
        found.reverse()
    backbone, linear = found
    if _FIRST not in backbone or "lin0.model.1.weight" not in linear:
        raise WeightsError(f"{paths[0].name} and {paths[1].name} are not {FILES}")
    kind: Backbone = "alex" if backbone[_FIRST].shape[-1] == 11 else "vgg"
    network = Lpips(kind)
    wanted = {name: shape for name, shape in module_shapes(network).items() if not name.startswith("scaling_layer.")}
    # "net.slice2.3.weight" here is "features.3.weight" there
    renamed = {
        name: backbone.get(_TORCHVISION + name.split(".", 2)[2]) if name.startswith("net.") else linear.get(name)
        for name in wanted
    }
    source = f"{paths[0].name} with {paths[1].name} (lpips, {kind}, linear weights of {CHANNELS[kind]} channels)"
    tensors = fit_tensors({name: values for name, values in renamed.items() if values is not None}, wanted, source)
    scaling = {name: value.numpy() for name, value in network.state_dict().items() if name.startswith("scaling_layer.")}
    card = {
        "kind": "lpips",
        "licence": "linear weights: BSD-2-Clause; backbone: torchvision's, trained on ImageNet",
        "allows": "what the licences of both files allow",
        "paper": "Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
        "origin": origin_of(paths),
        "config": {"backbone": kind},
    }
    return Imported(name=weights_name(kind), tensors=tensors | scaling, card=card)
