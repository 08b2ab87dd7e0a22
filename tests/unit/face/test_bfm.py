"""The Basel model from small files of the real ones' layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from talkingface.core.errors import InputError
from talkingface.face.bfm import CONVERTED, SOURCES, load_bfm

NUM_BASEL, NUM_TRIMMED, NUM_KEPT = 120, 110, 90


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The six files, with few vertices."""
    rng = np.random.default_rng(7)
    columns = {f"{kind}PC": rng.normal(size=(3 * NUM_BASEL, 199)) for kind in ("shape", "tex")}
    deviations = {f"{kind}EV": rng.uniform(1, 2, (199, 1)) for kind in ("shape", "tex")}
    means = {f"{kind}MU": rng.uniform(0, 255, (3 * NUM_BASEL, 1)) for kind in ("shape", "tex")}
    savemat(tmp_path / "01_MorphableModel.mat", {**columns, **deviations, **means})
    savemat(tmp_path / "BFM_exp_idx.mat", {"trimIndex": 1 + rng.permutation(NUM_BASEL)[:NUM_TRIMMED, None]})
    savemat(tmp_path / "BFM_front_idx.mat", {"idx": 1 + rng.permutation(NUM_TRIMMED)[:NUM_KEPT, None]})
    triangles = 1 + rng.integers(0, NUM_KEPT, (150, 3))
    savemat(tmp_path / "facemodel_info.mat", {"tri": triangles, "keypoints": 1 + np.arange(68)[None]})
    np.savetxt(tmp_path / "std_exp.txt", rng.uniform(1, 2, (1, 79)))
    with (tmp_path / "Exp_Pca.bin").open("wb") as file:
        np.array([79], np.int32).tofile(file)
        rng.normal(size=80 * 3 * NUM_TRIMMED).astype(np.float32).tofile(file)
    return tmp_path


def from_mat(path: Path, name: str) -> np.ndarray:
    from scipy.io import loadmat

    return loadmat(path)[name]


def test_vertices_columns_and_units_come_from_the_right_places(folder):
    model = load_bfm(folder)
    assert model.identity.shape == (NUM_KEPT, 3, 80) and model.expression.shape == (NUM_KEPT, 3, 64)
    assert model.texture.shape == (NUM_KEPT, 3, 80)
    kept = from_mat(folder / "BFM_front_idx.mat", "idx").ravel() - 1
    of_basel = (from_mat(folder / "BFM_exp_idx.mat", "trimIndex").ravel() - 1)[kept]
    basel = folder / "01_MorphableModel.mat"
    vertex, column, down = 5, 7, np.array([1, -1, -1])
    rows = 3 * of_basel[vertex] + np.arange(3)
    assert model.mean[vertex] == pytest.approx(down * from_mat(basel, "shapeMU")[rows, 0] / 1e5, rel=1e-5)
    assert model.mean_texture[vertex] == pytest.approx(from_mat(basel, "texMU")[rows, 0], rel=1e-5)
    shape = from_mat(basel, "shapePC")[rows, column] * from_mat(basel, "shapeEV")[column, 0]
    assert model.identity[vertex, :, column] == pytest.approx(down * shape / 1e5, rel=1e-5)
    texture = from_mat(basel, "texPC")[rows, column] * from_mat(basel, "texEV")[column, 0]
    assert model.texture[vertex, :, column] == pytest.approx(texture, rel=1e-5)
    stored = np.fromfile(folder / "Exp_Pca.bin", np.float32, offset=4).reshape(80, NUM_TRIMMED, 3)
    moved = stored[1 + column, kept[vertex]] * np.loadtxt(folder / "std_exp.txt")[column]
    assert model.expression[vertex, :, column] == pytest.approx(down * moved / 1e5, rel=1e-5)
    assert model.triangles.min() >= 0 and model.landmarks68.tolist() == list(range(68))


def test_the_converted_file_gives_the_same_model(folder, tmp_path_factory):
    model = load_bfm(folder)
    up = np.array([1, -1, -1])
    converted = tmp_path_factory.mktemp("converted")
    info = {name: from_mat(folder / "facemodel_info.mat", name) for name in ("tri", "keypoints")}
    bases = {"idBase": model.identity, "exBase": model.expression}
    shapes = {name: (basis * up[:, None]).reshape(3 * NUM_KEPT, -1) for name, basis in bases.items()}
    savemat(
        converted / CONVERTED,
        {
            **info,
            **shapes,
            "meanshape": (model.mean * up).reshape(1, -1),
            "meantex": model.mean_texture.reshape(1, -1),
            "texBase": model.texture.reshape(3 * NUM_KEPT, -1),
        },
    )
    again = load_bfm(converted)
    for name in ("mean", "identity", "expression", "mean_texture", "texture", "triangles", "landmarks68"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name), err_msg=name)


def test_colours_follow_their_coefficients(folder):
    model = load_bfm(folder)
    texture = np.zeros(80, np.float32)
    texture[3] = 2
    assert model.albedo(texture) == pytest.approx(model.mean_texture + 2 * model.texture[..., 3], rel=1e-5)


@pytest.mark.parametrize("name", SOURCES)
def test_a_missing_file_is_named_with_its_source(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError) as caught:
        load_bfm(folder)
    assert f"{name} from {SOURCES[name]}" in str(caught.value)
    assert sum(other in str(caught.value) for other in SOURCES) == 1


@pytest.mark.parametrize("name", SOURCES)
def test_a_damaged_file_is_named(folder, name):
    (folder / name).write_bytes(b"MATLAB? no")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        load_bfm(folder)


def test_index_tables_of_another_model_are_refused(folder):
    savemat(folder / "BFM_front_idx.mat", {"idx": np.array([[NUM_TRIMMED + 1]])})
    with pytest.raises(InputError, match="do not belong together"):
        load_bfm(folder)
