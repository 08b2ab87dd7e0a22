"""The Basel Face Model 2009 as Deep3DFaceReconstruction (Deng et al. 2019) cuts it, from the user's own licensed files.

The model is not ours to ship. Its parts come from four places, all read from one folder:

- `01_MorphableModel.mat`: shape and colour of 53,490 vertices, https://faces.dmi.unibas.ch/bfm (registration);
- `Exp_Pca.bin`: 79 expressions of 53,215 vertices, https://github.com/Juyong/3DFace;
- `BFM_front_idx.mat`, `BFM_exp_idx.mat`, `facemodel_info.mat`, `std_exp.txt`: which 35,709 vertices to keep, their
  triangles and landmarks, and the expressions' deviations, https://github.com/microsoft/Deep3DFaceReconstruction.

A folder with `BFM_model_front.mat`, the same already put together by that project, will do as well. One unit is 10 cm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.core.errors import InputError
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.topology import FACE_68

NAME = "bfm2009"
NUM_IDENTITY, NUM_EXPRESSION, NUM_TEXTURE = 80, 64, 80
NOISE = 0.03  # tracked points about the model: 3 mm
CONVERTED = "BFM_model_front.mat"
SOURCES = {
    "01_MorphableModel.mat": "https://faces.dmi.unibas.ch/bfm (free for research after registration)",
    "Exp_Pca.bin": "https://github.com/Juyong/3DFace",
    "BFM_front_idx.mat": "https://github.com/microsoft/Deep3DFaceReconstruction, folder BFM",
    "BFM_exp_idx.mat": "https://github.com/microsoft/Deep3DFaceReconstruction, folder BFM",
    "facemodel_info.mat": "https://github.com/microsoft/Deep3DFaceReconstruction, folder BFM",
    "std_exp.txt": "https://github.com/microsoft/Deep3DFaceReconstruction, folder BFM",
}
"""The files of the model and where people get them."""

_UNITS = 1e5  # of the files, micrometres, in 10 cm
_TO_CAMERA_AXES = np.array([1, -1, -1], np.float32)  # the files have y up and z to the viewer


def bfm_to_tensors(model: LinearFaceModel) -> dict[str, np.ndarray]:
    """Arrays to keep of a Basel model that was read."""
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    kept = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return kept | {"noise": np.array(model.noise, np.float32), "num_mouth": np.array(model.num_mouth)}


def bfm_from_tensors(tensors: Mapping[str, np.ndarray]) -> LinearFaceModel:
    """The inverse of `bfm_to_tensors`. Raises InputError for other arrays."""
    try:
        kept: dict[str, Any] = {f.name: tensors[f.name] for f in fields(LinearFaceModel) if f.name != "name"}
    except KeyError as error:
        raise InputError(f"the imported Basel face model lacks {error}; import its files again") from error
    kept |= {"noise": float(kept["noise"].item()), "num_mouth": int(kept["num_mouth"].item())}
    return LinearFaceModel(name=NAME, **kept)


def load_bfm(folder: str | Path) -> LinearFaceModel:
    """The Basel model, 35,709 vertices with 80 + 64 + 80 coefficients, from the files in `folder`.

    Raises InputError that names every missing file and where to get it, or the file that is not what it should be.
    """
    folder = Path(folder)
    if (folder / CONVERTED).is_file():
        return _from_converted(folder / CONVERTED)
    missing = [f"{name} from {source}" for name, source in SOURCES.items() if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} lacks files of the Basel face model: {'; '.join(missing)}; or put {CONVERTED} there"
        )
    return _from_parts(folder)


def _from_converted(path: Path) -> LinearFaceModel:
    mat = read_mat(path, ("meanshape", "idBase", "exBase", "meantex", "texBase", "tri", "keypoints"))
    return _model(
        path,
        mean=_by_vertex(path, mat["meanshape"], None),
        identity=_by_vertex(path, mat["idBase"], NUM_IDENTITY),
        expression=_by_vertex(path, mat["exBase"], NUM_EXPRESSION),
        mean_texture=_by_vertex(path, mat["meantex"], None),
        texture=_by_vertex(path, mat["texBase"], NUM_TEXTURE),
        triangles=mat["tri"],
        keypoints=mat["keypoints"],
    )


def _from_parts(folder: Path) -> LinearFaceModel:
    basel_path, info_path = folder / "01_MorphableModel.mat", folder / "facemodel_info.mat"
    basel = read_mat(basel_path, ("shapePC", "shapeEV", "shapeMU", "texPC", "texEV", "texMU"))
    info = read_mat(info_path, ("tri", "keypoints"))
    # numbers of the kept vertices among those of the expressions, and of the latter among the Basel model's
    kept = _numbers(folder / "BFM_front_idx.mat", "idx")
    trimmed = _numbers(folder / "BFM_exp_idx.mat", "trimIndex")
    expression = _read_expressions(folder / "Exp_Pca.bin", folder / "std_exp.txt", len(trimmed))
    _within(folder / "BFM_front_idx.mat", kept, len(trimmed))
    of_basel = trimmed[kept]
    _within(folder / "BFM_exp_idx.mat", of_basel, basel["shapeMU"].size // 3)

    def scaled(basis: str, deviations: str, count: int) -> np.ndarray:
        columns = basel[basis][:, :count] * basel[deviations].reshape(1, -1)[:, :count]
        return _by_vertex(basel_path, columns, count)[of_basel]

    return _model(
        info_path,
        mean=_by_vertex(basel_path, basel["shapeMU"], None)[of_basel] / _UNITS,
        identity=scaled("shapePC", "shapeEV", NUM_IDENTITY) / _UNITS,
        expression=expression[kept] / _UNITS,
        mean_texture=_by_vertex(basel_path, basel["texMU"], None)[of_basel],
        texture=scaled("texPC", "texEV", NUM_TEXTURE),
        triangles=info["tri"],
        keypoints=info["keypoints"],
    )


def _model(
    path: Path,
    *,
    mean: np.ndarray,
    identity: np.ndarray,
    expression: np.ndarray,
    mean_texture: np.ndarray,
    texture: np.ndarray,
    triangles: np.ndarray,
    keypoints: np.ndarray,
) -> LinearFaceModel:
    """The model in our axes, vertices and triangles counted from 0."""
    keypoints = keypoints.astype(np.int64).ravel() - 1
    triangles = triangles.astype(np.int32).reshape(-1, 3) - 1
    if len(keypoints) != len(FACE_68):
        raise InputError(f"{path} has {len(keypoints)} landmarks instead of {len(FACE_68)}; get the original file")
    _within(path, keypoints, len(mean))
    _within(path, triangles, len(mean))
    return LinearFaceModel(
        name=NAME,
        mean=(mean * _TO_CAMERA_AXES).astype(np.float32),
        identity=(identity * _TO_CAMERA_AXES[:, None]).astype(np.float32),
        expression=(expression * _TO_CAMERA_AXES[:, None]).astype(np.float32),
        num_mouth=expression.shape[-1],
        triangles=triangles,
        noise=NOISE,
        landmarks=keypoints,
        tracked=np.array(FACE_68),
        landmarks68=keypoints,
        mean_texture=mean_texture.astype(np.float32),
        texture=texture.astype(np.float32),
    )


def read_mat(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays `names` of a MATLAB file. Raises InputError if it cannot be read or lacks one; runs nothing in it."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found: dict[str, Any] = loadmat(path, variable_names=list(names))
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise InputError(f"{path} cannot be read as a MATLAB file ({error}); get it again") from error
    for name in names:
        values = found.get(name)
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
            raise InputError(f"{path} has no numbers called {name!r}; it is another file than its name says")
        if not np.isfinite(values).all():
            raise InputError(f"{path}: {name} has values that are not finite; get it again")
    return {name: found[name] for name in names}


def _read_expressions(path: Path, deviations: Path, num_vertices: int) -> np.ndarray:
    """Expression columns [V, 3, 64] times their deviations, in the files' unit.

    The file holds the number of columns E as int32, a mean that the model does not use, and E columns of 3 V float32.
    """
    values = np.fromfile(path, "<f4", offset=4)
    count = int(np.fromfile(path, "<i4", count=1)[0]) if path.stat().st_size >= 4 else 0
    if count < NUM_EXPRESSION or values.size != 3 * num_vertices * (count + 1):
        raise InputError(f"{path} does not hold expressions of {num_vertices} vertices; get it again")
    try:
        scale = np.loadtxt(deviations, dtype=np.float64).ravel()
    except (OSError, ValueError) as error:
        raise InputError(f"{deviations} cannot be read as numbers ({error}); get it again") from error
    if len(scale) < NUM_EXPRESSION:
        raise InputError(f"{deviations} has {len(scale)} numbers instead of {count}; get it again")
    columns = values[3 * num_vertices :].reshape(count, num_vertices, 3)[:NUM_EXPRESSION]
    return columns.transpose(1, 2, 0) * scale[:NUM_EXPRESSION]


def _numbers(path: Path, name: str) -> np.ndarray:
    """A list of vertex numbers, counted from 0."""
    return read_mat(path, (name,))[name].astype(np.int64).ravel() - 1


def _within(path: Path, numbers: np.ndarray, count: int) -> None:
    if numbers.size == 0 or numbers.min() < 0 or numbers.max() >= count:
        raise InputError(f"{path} names vertices that the model does not have; its files do not belong together")


def _by_vertex(path: Path, values: np.ndarray, columns: int | None) -> np.ndarray:
    """[V, 3] or [V, 3, columns] of an array that runs x0, y0, z0, x1, ... down its rows."""
    if columns is None:
        if values.size % 3 == 0:
            return values.reshape(-1, 3)
    elif values.ndim == 2 and len(values) % 3 == 0 and values.shape[1] >= columns:
        return values[:, :columns].reshape(-1, 3, columns)
    raise InputError(f"{path} has an array of shape {list(values.shape)}, which is no list of 3D points; get it again")
