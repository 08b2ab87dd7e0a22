"""Which face the published generators are shown: `mesh478`, or the Basel model that the user imported.

Motion is `mesh478`'s either way, so that motion files fit every avatar. Where the Basel model is drawn, an expression
is carried over to it by what it does to the 68 points that both models know. The Basel model is licensed: it stays in
the user's own store, and an avatar keeps only what its clip tells (coefficients, poses, light, colours).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from talkingface.core.errors import InputError, TalkingFaceError, WeightsError
from talkingface.core.system import Weights
from talkingface.core.weights import WeightsRef, list_weights, load_weights, read_card
from talkingface.face import bfm
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.face.pose import fit_similarity
from talkingface.face.subdivision import Surface, mesh478_surface, plain_surface
from talkingface.nn.state import part
from talkingface.systems.headpose.config import HeadposeConfig

BFM = "bfm09"
_LOOSENESS = 0.1
"""Two models agree on how points move better than either agrees with tracked points: of their noise."""


@dataclass(frozen=True, slots=True)
class DrawnFace:
    """A face model and the `surface` that is drawn of it.

    `carried` float32 [E', E] turns changes of `mesh478`'s expression into the model's; None: they are the same.
    `pivot` float64 [3]: the model's point where `mesh478` has its origin.
    """

    model: LinearFaceModel
    surface: Surface
    carried: np.ndarray | None
    pivot: np.ndarray

    def change(self, expression: np.ndarray) -> np.ndarray:
        """A change of `mesh478`'s expression [E] as one of this model's [E']."""
        return expression if self.carried is None else self.carried @ expression


def drawn_face(config: HeadposeConfig, weights: Weights | None = None) -> DrawnFace:
    """The face that `config` names; the Basel model from `weights` or from the user's store.

    Raises WeightsError, saying which files it takes and what to do, if it was not imported.
    """
    if config.face_model != BFM:
        return _own_face()
    return _basel_face(basel_model(weights))


def needed(config: HeadposeConfig) -> str:
    """What an avatar with that config needs beside its own files, for its card; nothing: ""."""
    if config.face_model != BFM:
        return ""
    return "the Basel Face Model 2009, of your own files: talkingface weights import headpose FILES"


def basel_model(weights: Weights | None = None) -> LinearFaceModel:
    """The imported Basel model: in `weights`, or else in any weights of the store. Raises WeightsError."""
    try:
        if found := imported_part("bfm", weights):
            return bfm.bfm_from_tensors(found)
    except InputError as error:
        raise WeightsError(str(error)) from error
    files = "; ".join(f"{name} from {source}" for name, source in bfm.SOURCES.items())
    raise WeightsError(
        f"face_model {BFM} is drawn with the Basel Face Model 2009, which is licensed and was not imported; "
        f"get {files}; then run: talkingface weights import headpose FILES; or use face_model mesh478, which needs none"
    )


def imported_part(name: str, weights: Weights | None = None) -> dict[str, np.ndarray]:
    """The tensors of an imported part ("bfm", "reconstruction"), of `weights` or else of the first in the store that
    hold it; none: empty. Raises WeightsError for damaged ones."""
    found = {} if weights is None else part(weights.tensors, name)
    if not found and (stored := _stored(name)) is not None:
        found = _load(stored, str(read_card(stored.folder)["sha256"]), name)
    return found


def _stored(name: str) -> WeightsRef | None:
    """The smallest weights of the store that hold an imported part."""
    found = []
    for ref in list_weights():
        try:
            parts = read_card(ref.folder).get("parts")
        except TalkingFaceError:
            continue  # damaged weights of something else are no reason to stop
        if ref.name.startswith("headpose.") and isinstance(parts, dict) and name in parts:
            found.append((len(parts), ref.name, ref))
    return min(found)[2] if found else None


@functools.lru_cache(maxsize=2)
def _load(ref: WeightsRef, _digest: str, name: str) -> dict[str, np.ndarray]:
    return part(load_weights(ref).tensors, name)


@functools.cache
def _own_face() -> DrawnFace:
    return DrawnFace(load_mesh478(), mesh478_surface(), None, np.zeros(3))


def _basel_face(model: LinearFaceModel) -> DrawnFace:
    own = load_mesh478()
    rotation, scale, translation = fit_similarity(
        own.mean[own.landmarks68].astype(np.float64), model.mean[model.landmarks68].astype(np.float64)
    )
    moved = own.expression[own.landmarks68].astype(np.float64)  # [68, 3, E]
    moved = scale * np.einsum("ij,nje->nie", rotation, moved).reshape(-1, moved.shape[-1])
    basis = model.expression[model.landmarks68].reshape(len(moved), -1).astype(np.float64)
    gram = basis.T @ basis + (_LOOSENESS * model.noise) ** 2 * np.eye(basis.shape[1])
    carried = np.linalg.solve(gram, basis.T @ moved).astype(np.float32)
    return DrawnFace(model, plain_surface(model.triangles, len(model.mean)), carried, translation)
