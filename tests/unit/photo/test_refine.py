from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from faces import drawn_picture, mesh_points, open_mouth
from talkingface.photo.refine import (
    Drawn,
    Refiner,
    View,
    composite_residual,
    confine,
    init_weights,
    lips_before,
    look_at,
    make_view,
    mouth_seen,
    within_person,
)
from talkingface.photo.window import Window, window_at, window_side
from talkingface.systems.portrait.config import preset

CONFIG = preset("tiny").refiner
SIZE, PATCH = CONFIG.mouth_px, CONFIG.patch_px


@pytest.fixture(scope="module")
def refiner() -> Refiner:
    return Refiner({}, CONFIG)


def view_of(points: np.ndarray, picture: np.ndarray, source: np.ndarray | None = None) -> View:
    window = window_at(points, window_side(points), CONFIG.crop_px)
    alpha = np.full(picture.shape[:2], 255, np.uint8)
    drawn = Drawn(picture=picture, alpha=alpha, source=points if source is None else source, target=points)
    return make_view(drawn, look_at(picture, points, CONFIG), window, SIZE)


def changes(share: float = 0.0, colour: float = 0.0, mouth: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    face = np.full((128, 128, 4), colour, np.float32)
    face[..., 0] = share
    return face, np.full((*PATCH[::-1], 3), mouth, np.float32)


def test_a_view_has_the_networks_sizes():
    view = view_of(mesh_points(), drawn_picture())
    assert view.warped.shape == view.still.shape == (256, 256, 3)
    assert view.masks.shape == (256, 256, 3) and view.masks.dtype == np.uint8
    assert view.lips.shape == (*PATCH[::-1], 4) and view.halves.shape == (*PATCH[::-1], 2)


def test_no_change_changes_nothing():
    out = drawn_picture().copy()
    composite_residual(out, drawn_picture(), view_of(mesh_points(), out), *changes())
    assert np.array_equal(out, drawn_picture())


def test_the_resting_photo_comes_back_inside_and_fades_at_the_edge():
    view = view_of(mesh_points(40), drawn_picture())
    black, white = np.zeros((256, 256, 3), np.uint8), np.full((256, 256, 3), 255, np.uint8)
    composite_residual(black, white, view, *changes(share=1.0))
    x0, y0, x1, y1 = view.window.box()
    assert black[120, 128].min() == 255
    ramp = black[120, x0 - 1 : x0 + 30, 0].astype(int)
    assert ramp[0] == 0 and ramp[1] < 40 and (np.diff(ramp) >= 0).all(), "no seam"
    outside = np.ones((256, 256), bool)
    outside[max(0, y0) : y1, max(0, x0) : x1] = False
    assert outside.any() and not black[outside].any()


def test_the_mouth_is_painted_over_the_mouth():
    points = mesh_points(40)
    view = view_of(points, drawn_picture())
    out = np.zeros((256, 256, 3), np.uint8)
    composite_residual(out, out.copy(), view, *changes(mouth=0.5))
    x, y = points[13, :2].astype(int)
    assert out[y, x] == pytest.approx(128, abs=1)
    x, y = points[159, :2].astype(int)
    assert not out[y, x].any(), "eyes are not the mouth's matter"


def test_extreme_changes_stay_in_range():
    for colour, wanted in ((9.0, 255), (-9.0, 0)):
        out = drawn_picture().copy()
        composite_residual(out, out.copy(), view_of(mesh_points(), out), *changes(colour=colour))
        assert (out[120, 128] == wanted).all()


@pytest.mark.parametrize("place", [(-100, -90), (200, 180), (-300, 0), (400, 400)])
def test_a_window_over_the_border_is_cut_off(place):
    view = view_of(mesh_points(), drawn_picture())
    moved = replace(view, window=Window(x=place[0], y=place[1], side=view.window.side, crop=256))
    out = drawn_picture().copy()
    composite_residual(out, np.zeros_like(out), moved, *changes(share=1.0))
    assert out.shape == drawn_picture().shape


def test_changes_do_not_depend_on_the_neighbours_in_the_batch(refiner):
    first, second = view_of(mesh_points(), drawn_picture()), view_of(mesh_points(40), drawn_picture()[::-1].copy())
    face, mouth = refiner.changes([first, second, second, first])
    again = refiner.changes([second, first, first, second])
    assert face.shape == (4, 128, 128, 4) and mouth.shape == (4, *PATCH[::-1], 3)
    assert face.dtype == np.float32 and face.flags.c_contiguous
    assert np.array_equal(face[0], again[0][1]) and np.array_equal(mouth[0], again[1][2])
    assert face[..., 0].min() >= 0 and face[..., 0].max() <= 1


def test_the_resting_mouth_never_shows_through(refiner):
    view = view_of(mesh_points(), drawn_picture())
    share = refiner.changes([view])[0][0, ..., 0]
    x, y = view.corner[0] // 2 + SIZE[0] // 4, view.corner[1] // 2 + SIZE[1] // 4
    assert share[y, x] == 0 < share[4, 4]


def test_open_eyes_never_show_through_shut_lids(refiner):
    points = mesh_points(40)
    view = view_of(points, drawn_picture())
    share = refiner.changes([view])[0][0, ..., 0]
    for numbers in ((159, 145), (386, 374)):
        x, y = view.window.to_crop(points[list(numbers)]).mean(0) / 2
        assert not share[int(y) - 2 : int(y) + 3, int(x) - 3 : int(x) + 4].any()
    assert share[4, 4] > 0


def test_the_resting_photo_never_shows_through_a_moved_head(refiner):
    moved = mesh_points() + np.float32([40, 0, 0])
    face, _ = refiner.changes([view_of(mesh_points(), drawn_picture(), moved)])
    assert face[..., 0].max() < 1e-3


def test_the_fast_way_gives_what_training_saw():
    """`Refiner` folds uint8 pictures itself; the recipes' plain torch versions are what it has to equal."""
    import torch

    from talkingface.photo.refiner_networks import FaceNet, MouthNet
    from talkingface.systems.portrait import mouth_recipe, refiner_recipe

    torch.manual_seed(2)
    nets = {"painter.face.": FaceNet(CONFIG), "painter.mouth.": MouthNet(CONFIG)}
    for net in nets.values():
        for values in net.parameters():
            torch.nn.init.normal_(values, std=0.2)
    tensors = {prefix + k: v.numpy() for prefix, net in nets.items() for k, v in net.state_dict().items()}
    refiner = Refiner(init_weights(CONFIG) | tensors, CONFIG)
    moved = mesh_points() + np.float32([3, 0, 0])
    views = [view_of(mesh_points(), drawn_picture(), moved), view_of(mesh_points(40), drawn_picture()[::-1].copy())]
    assert 0 < views[0].stillness < views[1].stillness == 1
    names = ("warped", "still", "masks", "corner", "eyes", "face", "stillness", "balance")
    samples = [{name: np.asarray(getattr(view, name)) for name in names} for view in views]
    batch = refiner_recipe.to_tensors([{**sample, "truth": sample["still"]} for sample in samples])
    batch["stillness"] = batch["stillness"].float()
    with torch.no_grad():
        wanted = refiner_recipe.face_changes(nets["painter.face."].eval(), batch, CONFIG)
    face, mouth = refiner.changes(views)
    assert_close(face, wanted, views)
    before = [lips_before(view, change) for view, change in zip(views, face, strict=True)]
    seen = [mouth_seen(view, lips) for view, lips in zip(views, before, strict=True)]
    samples = [
        {"seen": patch, "truth": patch[..., :3], "balance": v.balance, "shade_tint": v.shade_tint}
        for patch, v in zip(seen, views, strict=True)
    ]
    with torch.no_grad():
        batch = mouth_recipe.to_tensors(samples)
        wanted = mouth_recipe.refine_mouth(nets["painter.mouth."].eval(), batch["seen"], batch["shade_tint"])
    gains = np.stack([view.balance for view in views])[:, None, None]
    refined = wanted.permute(0, 2, 3, 1).numpy() / gains
    inner = np.s_[:, 8:-8, 8:-8]  # the means there reach over the border
    made = np.stack(before) / 255 + mouth
    assert np.abs(made - refined)[inner].max() < 0.02 * max(1.0, float(np.abs(refined).max()))


def assert_close(fast: np.ndarray, wanted: Any, views: list[View]) -> None:
    """Colours to add, in the picture's own tint and in the refiner's."""
    slow = wanted.permute(0, 2, 3, 1).numpy().copy()
    slow[..., -3:] /= np.stack([view.balance for view in views])[:, None, None]
    assert np.abs(fast - slow).max() < 0.02 * max(1.0, float(np.abs(slow).max()))


def test_tensors_decide_what_is_painted(refiner):
    import torch

    from talkingface.photo.refiner_networks import FaceNet, MouthNet

    torch.manual_seed(1)
    tensors = {}
    for prefix, net in (("painter.face.", FaceNet(CONFIG)), ("painter.mouth.", MouthNet(CONFIG))):
        for name, value in net.state_dict().items():
            tensors[prefix + name] = torch.randn_like(value).numpy() if name.endswith("bias") else value.numpy()
    view = view_of(mesh_points(), drawn_picture())
    tensors = init_weights(CONFIG) | tensors
    one, other = Refiner(tensors, CONFIG).changes([view]), refiner.changes([view])
    assert not np.allclose(one[0], other[0])
    assert np.array_equal(one[0], Refiner(tensors, CONFIG).changes([view])[0])


def test_no_colour_is_added_at_the_outline_and_in_the_corners():
    alpha = np.zeros((64, 64), np.float32)
    alpha[:, 20:] = 1
    counts = within_person(alpha)
    assert counts[:, :20].max() == 0 and counts[32, 26:55].min() > 0.999, "the picture's border is no outline"
    whole = within_person(np.ones((64, 64), np.float32))
    assert whole[32, 10:54].min() > 0.999 and max(whole[1, 1], whole[62, 2]) == 0


def test_beside_the_face_only_weak_and_soft_light_is_added():
    """What the network draws on hair and collars that move beside a face are blocks."""
    view = view_of(mesh_points(), drawn_picture())
    blocks = np.kron(np.indices((32, 32)).sum(0) % 2, np.ones((4, 4)))[None].repeat(3, 0).astype(np.float32)
    drawn = blocks.copy()
    confine(drawn, view.face)
    outside, within = view.face == 0, view.face == 1
    assert outside.mean() > 0.3 and within.mean() > 0.1
    assert np.array_equal(drawn[:, within], blocks[:, within])
    assert np.abs(drawn[:, outside]).max() <= 0.03


def test_a_mouth_open_as_in_the_picture_is_neither_filled_nor_shaded(refiner):
    """Not even the face's light is laid over it: nothing is learned about it there."""
    points, picture = open_mouth(mesh_points(), 0.3), drawn_picture()
    view = view_of(points, picture)
    assert view.own == 1 and not view.shade_tint.any()
    bright = {
        name: np.full_like(value, 0.5) for name, value in init_weights(CONFIG).items() if name.endswith("leave.bias")
    }
    _, mouth = Refiner(init_weights(CONFIG) | bright, CONFIG).changes([view])
    inner = cv2.erode(view.lips[..., 3], np.ones((9, 9), np.uint8)) > 254
    assert inner.any() and np.abs(mouth[0][inner]).max() < 2 / 255 < np.abs(mouth[0]).max()
