"""The published renderer fitted to a clip, and drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from talkingface.core.types import Controls, Motion
from talkingface.core.view import View
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import load_mesh478
from talkingface.person.clip import ClipSettings, prepare_person, splits
from talkingface.systems.geneface.config import preset, tiny_official
from talkingface.systems.geneface.fit.stages import FitJob
from talkingface.systems.geneface.official.material import FieldClip, training_frame
from talkingface.systems.geneface.official.renderer import OfficialRenderer, load_official
from talkingface.systems.geneface.official.stage import fit_official
from talkingface.testing.material import write_clip

MODEL, CONFIG = load_mesh478(), tiny_official()
SIZE = 72


def job(folder: Path) -> FitJob:
    config = preset("tiny_official")
    return FitJob(path=folder / "me.mp4", folder=folder, config=config, general={}, weights=None, device="cpu")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The folder of a fit, its tensors and the head at rest."""
    folder = tmp_path_factory.mktemp("fit")
    clip = prepare_person(write_clip(folder / "me.mp4"), folder, MODEL, ClipSettings(least_s=1, size=160))
    train, test = splits(len(clip), 300, 12, None)
    tensors = fit_official(job(folder), clip, MODEL, train, test)
    return folder, tensors, clip.head(train).rest


def make(fitted, **controls) -> OfficialRenderer:
    _, tensors, rest = fitted
    return load_official(CONFIG, tensors, rest, MODEL, "cpu")(Controls(**{"size": SIZE, **controls}))


def motion(rows: int = 6, **changes) -> Motion:
    rng = np.random.default_rng(0)
    made = {
        "space": MESH478.name,
        "space_version": MESH478.version,
        "expression": rng.normal(size=(rows, 20)).astype(np.float32),
        "pose": (0.1 * rng.normal(size=(rows, 6))).astype(np.float32),
        "blink": np.zeros((rows, 1), np.float32),
        "fps": 25,
    }
    return Motion(**{**made, **changes})


def drawn(renderer: OfficialRenderer, given: Motion, first: int = 0) -> np.ndarray:
    return np.concatenate([frames.rgb for frames in renderer.frames(iter([given]), first)])


def test_material_shows_the_person(fitted):
    material = FieldClip.load(fitted[0] / "field")
    assert material.side_px == CONFIG.view_px and len(material) == len(material.landmarks)
    shown = training_frame(material, material.frames(), 5)
    x, y, width, height = material.faces[5]
    assert material.parts(5).head[y + height // 2, x + width // 2]
    assert np.abs(shown.real.astype(int) - material.frames()[5]).mean() < 12
    assert not shown.alpha[:5].any() and shown.alpha[-3:].mean() > 0.3


def test_a_fit_that_is_done_is_not_repeated(fitted):
    folder, tensors, _ = fitted
    clip = prepare_person(folder / "me.mp4", folder, MODEL, ClipSettings(least_s=1, size=160))
    again = fit_official(job(folder), clip, MODEL, *splits(len(clip), 300, 12, None))
    assert set(again) == set(tensors) and all(np.array_equal(again[name], tensors[name]) for name in tensors)


def test_pictures_are_drawn_one_by_one_from_anywhere(fitted):
    renderer, given = make(fitted), motion()
    whole = drawn(renderer, given)
    assert whole.shape == (6, SIZE, SIZE, 3) and len(np.unique(whole)) > 10
    assert np.array_equal(drawn(renderer, given, first=4), whole[4:])
    assert len(next(renderer.frames(iter([given])))) == 1


@pytest.mark.parametrize(("size", "side"), [(None, CONFIG.view_px), (80, 80)])
def test_sizes(fitted, size, side):
    assert drawn(make(fitted, size=size), motion(1)).shape == (1, side, side, 3)


def test_the_size_of_the_clip(fitted):
    view = FieldClip.load(fitted[0] / "field").field_view
    side = round(view.side_px / view.scale)
    assert drawn(make(fitted, size="native"), motion(1)).shape[1] == side


def test_the_head_alone_is_a_part_of_the_whole(fitted):
    whole = drawn(make(fitted, size=None), motion(1))[0].astype(int)
    x, y, side = fitted[1]["head"].astype(int).tolist()
    head = drawn(make(fitted, size=None, crop="head"), motion(1))[0].astype(int)
    # rays are marched in rounds that depend on how many there are
    assert np.abs(head - whole[y : y + side, x : x + side]).max() <= 3


def test_backgrounds(fitted):
    frames = next(make(fitted, background="transparent").frames(iter([motion(1)])))
    assert frames.mask is not None and frames.mask.shape == (1, SIZE, SIZE)
    red = drawn(make(fitted, background="#ff0000"), motion(1))[0].astype(int)
    kept = drawn(make(fitted), motion(1))[0].astype(int)
    behind = frames.mask[0] < 200
    assert behind.any() and (red[behind, 0] > kept[behind, 0]).mean() > 0.8


def test_views(fitted):
    renderer, given = make(fitted), motion(1)
    expression, pose = given.expression[0], given.pose[0]
    plain, _ = renderer.draw(expression, pose, 0.0, None)
    same, depth = renderer.draw(expression, pose, 0.0, View())
    assert np.array_equal(plain, same) and depth.shape == (SIZE, SIZE) and depth.dtype == np.float32
    assert np.isinf(depth).any() or np.isfinite(depth).all()
    turned, _ = renderer.draw(expression, pose, 0.0, View(yaw=0.5, settings={"samples": 8}))
    assert not np.array_equal(plain, turned)
    samples, code = renderer.view_settings
    assert code.high > 1 and samples.name == "samples"
    other, _ = renderer.draw(expression, pose, 0.0, View(settings={code.name: code.high}))
    assert not np.array_equal(plain, other), "an individual code of another frame looks a little different"
    points = renderer.landmarks(expression, 0 * pose, None)
    assert points.shape == (68, 2) and (points > 0).all() and (points < SIZE).all()
    near = renderer.landmarks(expression, 0 * pose, View(zoom=2.0, pan_x=0.1))
    assert np.allclose(near, 2 * (points - SIZE / 2) + SIZE / 2 + (0.1 * SIZE, 0), atol=1e-3)
    wide = renderer.landmarks(expression, 0 * pose, View(fov=math.radians(60)))
    assert np.abs(wide - points).max() < 0.15 * SIZE
    left = renderer.landmarks(0 * expression, 0 * pose, View(yaw=-0.3))
    right = renderer.landmarks(0 * expression, 0 * pose, View(yaw=0.3))
    assert right[30, 0] > left[30, 0] + 1, "positive yaw turns the nose to the viewer's right"
