"""`identity.csim`: cosine of face recognition features (ArcFace, Deng et al. 2019), with weights a user has imported.

The network is an IResNet in the names of insightface's PyTorch release (`backbone.pth`), of any depth there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from talkingface.core.errors import WeightsError
from talkingface.core.foreign import Imported, fit_tensors, module_shapes, origin_of, read_foreign, source_files
from talkingface.core.weights import find_weights, read_card
from talkingface.face.pose import fit_similarity
from talkingface.metrics.networks import to_batch, with_weights
from talkingface.nn.iresnet import FACE_PX, IResNet

WEIGHTS = "csim.arcface"
FILES = "backbone.pth of an IResNet (insightface's ArcFace models for PyTorch)"
TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
"""The places of eyes, nose tip and mouth corners in the aligned face, in pixels."""
FIVE_POINTS = (468, 473, 4, 61, 291)
"""The same on the mesh: irises, nose tip, mouth corners, as they are seen from the left of the picture."""
_UNIT = re.compile(r"layer([1-4])\.(\d+)\.conv1\.weight")


class ArcFaceMeter:
    """The network with its weights. Example: `ArcFaceMeter.load().features([aligned_face(rgb, points)])`"""

    def __init__(self, network: IResNet) -> None:
        self._network = network.eval()

    @classmethod
    def load(cls) -> ArcFaceMeter:
        """Load imported weights. Raises WeightsError when there are none, or others."""
        depths = read_card(find_weights(WEIGHTS).folder).get("config", {}).get("depths")
        sane = isinstance(depths, list) and len(depths) == 4 and all(isinstance(d, int) and 0 < d < 99 for d in depths)
        if not sane:
            raise WeightsError(f"the card of {WEIGHTS} names no depths; import the weights again")
        return cls(with_weights(IResNet(depths), WEIGHTS))

    def features(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        """Aligned faces uint8 [112, 112, 3] -> float32 [N, D] of length one."""
        with torch.inference_mode():
            found = self._network(to_batch(faces, self._network) / 127.5 - 1)
            return torch.nn.functional.normalize(found).cpu().numpy()


def aligned_face(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The face uint8 [112, 112, 3] of a picture [H, W, 3] with points [478, 3] in its pixels, black outside.

    Five points are laid onto the template by the similarity with the least squared error.
    """
    places = points[list(FIVE_POINTS), :2].astype(np.float64)
    flat = ((0, 0), (0, 1))
    rotation, scale, shift = fit_similarity(np.pad(places, flat), np.pad(TEMPLATE, flat))
    matrix = np.column_stack([scale * rotation[:2, :2], shift[:2]])
    return cv2.warpAffine(np.ascontiguousarray(rgb), matrix, (FACE_PX, FACE_PX))


def import_arcface(files: Sequence[Path]) -> Imported:
    """`csim.arcface` from an IResNet's state dict; its depth is read off the names. Raises WeightsError."""
    (path,) = source_files(files, 1, FILES)
    found = read_foreign(path)
    units = [match for match in map(_UNIT.fullmatch, found) if match]
    depths = [1 + max((int(unit[2]) for unit in units if int(unit[1]) == stage), default=-1) for stage in (1, 2, 3, 4)]
    if 0 in depths:
        raise WeightsError(f"{path.name} is not {FILES}")
    wide = found["fc.weight"].shape[0] if "fc.weight" in found else 512
    if wide != 512:
        raise WeightsError(f"{path.name} gives {wide} features; networks with 512 can be imported")
    tensors = fit_tensors(found, module_shapes(IResNet(depths)), path.name)
    card = {
        "kind": "arcface",
        "licence": "insightface's models are for research that earns no money; others as their makers say",
        "allows": "what the licence of the file allows",
        "paper": "Deng et al. 2019, ArcFace: Additive Angular Margin Loss for Deep Face Recognition",
        "origin": origin_of([path]),
        "config": {"depths": depths},
    }
    return Imported(name=WEIGHTS, tensors=tensors, card=card)
