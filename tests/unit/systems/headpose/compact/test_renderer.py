"""From motion to pictures: what is laid back where, which frames play, and other backgrounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faces import sample_picture, sample_points
from talkingface.core.types import Controls, Frames, Motion
from talkingface.face.morphable import fit_photo, load_mesh478
from talkingface.person.heads import make_head
from talkingface.systems.headpose.compact.networks import RendererOutput
from talkingface.systems.headpose.compact.renderer import CompactRenderer
from talkingface.systems.headpose.compositing.clip import AvatarClip
from talkingface.systems.headpose.compositing.composite import blend_view

MODEL = load_mesh478()
COUNT = 6


class Painter(nn.Module):
    """Paints everything in one colour, or nothing at all."""

    def __init__(self, shown: bool) -> None:
        super().__init__()
        self._shown = shown

    def forward(self, composite: Tensor) -> RendererOutput:
        mask = torch.full_like(composite[:, :1], 0.0 if self._shown else 1.0)
        colour = torch.zeros_like(composite)
        colour[:, 1] = 1
        return RendererOutput(colour=colour, mask=mask)


def _clip() -> AvatarClip:
    """The sample picture, a little brighter with each frame, so that frames tell their number."""
    picture, points = sample_picture(), sample_points()
    fit = fit_photo(MODEL, points)
    frames = [np.clip(picture.astype(int) + 6 * number, 0, 255).astype(np.uint8) for number in range(COUNT)]
    head = make_head(
        np.repeat(fit.rotation, COUNT, 0), np.repeat(fit.scale, COUNT), np.repeat(fit.translation, COUNT, 0),
        np.ones(COUNT, bool),
    )  # fmt: skip
    return AvatarClip(
        frames=frames,  # type: ignore[arg-type]
        size=(picture.shape[1], picture.shape[0]),
        points=np.repeat(points[None], COUNT, 0).astype(np.float32),
        expression=np.repeat(fit.expression, COUNT, 0),
        head=head,
    )


CLIP = _clip()


def _motion(source: list[float]) -> Motion:
    count = len(source)
    return Motion(
        space="mesh478",
        expression=np.repeat(CLIP.expression[:1], count, 0),
        pose=np.zeros((count, 6), np.float32),
        blink=None,
        source=np.array(source, np.float32)[:, None],
        fps=25,
    )


def _draw(motion: Motion, controls: Controls, shown: bool = False, first: int = 0) -> list[Frames]:
    return list(CompactRenderer(CLIP, MODEL, Painter(shown), 64, controls).frames(iter([motion]), first))


def _brightness(frames: list[Frames]) -> np.ndarray:
    return np.concatenate([piece.rgb for piece in frames])[:, :20, :20].mean((1, 2, 3))


def test_the_clips_frames_play_as_the_motion_says() -> None:
    played = _brightness(_draw(_motion([4, 0, 2.4]), Controls(size="native")))
    own = np.array([CLIP.frames[n][:20, :20].mean() for n in (4, 0, 2)])
    np.testing.assert_allclose(played, own, atol=1)


def test_source_poses_play_the_clip_to_and_fro_whatever_the_motion_says() -> None:
    played = _brightness(_draw(_motion([4] * 9), Controls(size="native", pose="source")))
    own = np.array([CLIP.frames[n][:20, :20].mean() for n in (0, 1, 2, 3, 4, 5, 4, 3, 2)])
    np.testing.assert_allclose(played, own, atol=1)


def test_drawing_can_begin_anywhere() -> None:
    motion = _motion([0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1])
    whole = np.concatenate([piece.rgb for piece in _draw(motion, Controls(size="native"), True)])
    rest = _draw(motion, Controls(size="native"), True, first=5)
    assert rest[0].start == 5
    np.testing.assert_array_equal(np.concatenate([piece.rgb for piece in rest]), whole[5:])


def test_corrections_are_laid_on_the_mouth_and_nowhere_far_from_it() -> None:
    painted = _draw(_motion([0]), Controls(size="native"), True)[0].rgb[0].astype(int)
    plain = _draw(_motion([0]), Controls(size="native"), False)[0].rgb[0].astype(int)
    points = CLIP.points[0]
    x, y = ((points[13] + points[14]) / 2)[:2].astype(int)
    assert np.abs(painted[y, x] - (0, 255, 0)).max() < 8
    top = int(points[10, 1])
    np.testing.assert_array_equal(painted[:top], plain[:top])


def test_other_sizes_and_the_head_alone() -> None:
    assert max(_draw(_motion([0]), Controls(size=128))[0].rgb.shape[1:3]) == 128
    head = _draw(_motion([0]), Controls(size=128, crop="head"))[0].rgb
    assert head.shape[1:3] == (128, 128)


def test_transparent_and_coloured_backgrounds() -> None:
    clear = _draw(_motion([0]), Controls(size=160, background="transparent"))[0]
    assert clear.mask is not None and clear.mask.shape == clear.rgb.shape[:3]
    red = _draw(_motion([0]), Controls(size=160, background="#ff0000"))[0]
    assert red.mask is None
    corner = clear.mask[0, :4, :4] < 20
    assert np.abs(red.rgb[0, :4, :4][corner].astype(int) - (255, 0, 0)).max(initial=0) < 25


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_laid_colours_land_where_the_view_saw_them(factor: float) -> None:
    picture = np.zeros((80, 80, 3), np.uint8)
    colour, share = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.float32)
    colour[...] = 200
    share[10:30, 10:30] = 1
    matrix = np.array([[factor, 0, -20 * factor], [0, factor, -16 * factor]])
    blend_view(picture, colour, share, matrix)
    middle = 20 / factor
    assert picture[round(16 + middle), round(20 + middle)].min() >= 198
    ys, xs = np.nonzero(picture[..., 0] > 100)
    assert abs(xs.mean() + 0.5 - (20 + middle)) < 0.6 and abs(ys.mean() + 0.5 - (16 + middle)) < 0.6
    assert abs(np.ptp(xs) + 1 - 20 / factor) <= 2


def test_nothing_is_laid_outside_the_picture() -> None:
    picture = np.full((20, 20, 3), 7, np.uint8)
    blend_view(
        picture, np.full((8, 8, 3), 99, np.uint8), np.ones((8, 8), np.float32), np.array([[1.0, 0, -100], [0, 1, 0]])
    )
    assert (picture == 7).all()
