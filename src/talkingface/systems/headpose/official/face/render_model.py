"""The face model that is rendered for the published generators: `mesh478`, or the Basel model that the user imported.

Motion is `mesh478`'s either way, so that motion files fit every avatar. For the Basel model a change of expression is
converted by least squares on the displacements of the 68 points that both models have. The Basel model is licensed: it
stays in the user's own store, and an avatar keeps only what comes from its clip (coefficients, poses, light, colours).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.core.errors import InputError, TalkingFaceError, WeightsError
from talkingface.core.system import Weights
from talkingface.core.weights import WeightsRef, list_weights, load_weights, read_card
from talkingface.face import bfm
from talkingface.face.camera import Camera
from talkingface.face.fit3d import VideoFit
from talkingface.face.fit_landmarks import HeadFit, is_dense
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.face.pose import fit_similarity
from talkingface.face.subdivision import Surface, mesh478_surface, plain_surface
from talkingface.nn.state import part
from talkingface.systems.headpose.config import HeadposeConfig

BFM = "bfm09"
# Error of the conversion over the models' noise on tracked points: two models agree better with each other. With a
# model made of `mesh478`'s own points it gives the displacements back within 5 %.
_LOOSENESS = 0.1


@dataclass(frozen=True, slots=True)
class FaceRenderModel:
    """A face model and the `surface` that is drawn of it.

    `expression_map` float32 [E', E] takes changes of `mesh478`'s expression to the model's; None: they are the same.
    `pivot` float64 [3]: the model's point at `mesh478`'s origin.
    """

    model: LinearFaceModel
    surface: Surface
    expression_map: np.ndarray | None
    pivot: np.ndarray

    def convert_change(self, change: np.ndarray) -> np.ndarray:
        """A change of `mesh478`'s expression [E] as one of this model's [E']."""
        return change if self.expression_map is None else self.expression_map @ change


def face_render_model(config: HeadposeConfig, weights: Weights | None = None) -> FaceRenderModel:
    """The face model of a config; the Basel model is that of `weights` or of the user's store.

    Raises WeightsError, which names the files to import, if it is in neither.
    """
    if config.face_model != BFM:
        return _own_face()
    return _basel_face(basel_model(weights))


def needed_files(config: HeadposeConfig) -> str:
    """What an avatar of that config needs beside its own files, for its card; nothing: ""."""
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
    """The smallest weights in the store that hold an imported part."""
    found = []
    for ref in list_weights():
        try:
            parts = read_card(ref.folder).get("parts")
        except TalkingFaceError:
            continue  # damaged weights may be of something else
        if ref.name.startswith("headpose.") and isinstance(parts, dict) and name in parts:
            found.append((len(parts), ref.name, ref))
    return min(found)[2] if found else None


@functools.lru_cache(maxsize=2)
def _load(ref: WeightsRef, _digest: str, name: str) -> dict[str, np.ndarray]:
    return part(load_weights(ref).tensors, name)


@functools.cache
def _own_face() -> FaceRenderModel:
    return FaceRenderModel(load_mesh478(), mesh478_surface(), None, np.zeros(3))


def _basel_face(model: LinearFaceModel) -> FaceRenderModel:
    own = load_mesh478()
    rotation, scale, translation = fit_similarity(
        own.mean[own.landmarks68].astype(np.float64), model.mean[model.landmarks68].astype(np.float64)
    )
    moved = own.expression[own.landmarks68].astype(np.float64)  # [68, 3, E]
    moved = scale * np.einsum("ij,nje->nie", rotation, moved).reshape(-1, moved.shape[-1])
    basis = model.expression[model.landmarks68].reshape(len(moved), -1).astype(np.float64)
    gram = basis.T @ basis + (_LOOSENESS * model.noise) ** 2 * np.eye(basis.shape[1])
    expression_map = np.linalg.solve(gram, basis.T @ moved).astype(np.float32)
    return FaceRenderModel(model, plain_surface(model.triangles, len(model.mean)), expression_map, translation)


def fit_to_tensors(fit: VideoFit, model: LinearFaceModel) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A fit as arrays: those of the person, and those with a row for each of the T frames.

    A neutral shape that follows from model and identity is left out: the model may be licensed.
    """
    head, camera = fit.head, fit.head.camera
    still = {
        "identity": head.identity.astype(np.float32),
        "albedo": fit.albedo.astype(np.float16),
        "camera": np.array([camera.focal_px, *camera.centre_px, *camera.size], np.float64),
    }
    if is_dense(model):  # the shape has more of the person than the model can say
        still["neutral"] = head.neutral.astype(np.float32)
    moving = {
        "expression": head.expression.astype(np.float32),
        "rotation": head.rotation.astype(np.float32),
        "translation": head.translation.astype(np.float32),
        "closure": fit.closure.astype(np.float32),
        "light": fit.light.astype(np.float32),
    }
    return still, moving


def fit_from_tensors(model: LinearFaceModel, tensors: Mapping[str, np.ndarray]) -> VideoFit:
    """The inverse of `fit_to_tensors`, both parts in one. Raises KeyError or ValueError for other arrays."""
    focal, x, y, width, height = tensors["camera"].tolist()
    identity = tensors["identity"]
    neutral = tensors["neutral"] if is_dense(model) else model.mean + model.identity @ identity
    head = HeadFit(
        camera=Camera(focal, (x, y), (int(width), int(height))),
        identity=identity,
        neutral=neutral.astype(np.float32),
        expression=tensors["expression"],
        rotation=tensors["rotation"],
        translation=tensors["translation"],
    )
    albedo = tensors["albedo"].astype(np.float32)
    return VideoFit(
        model=model.name,
        head=head,
        closure=tensors["closure"],
        light=tensors["light"],
        albedo=albedo,
        evidence=np.zeros(len(albedo), np.float32),
    )
