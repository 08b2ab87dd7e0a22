"""Draw triangle meshes: visibility, attribute interpolation, texture look-up, and the photo warp.

Coordinates are those of `face/camera.py`: x right, y down, pixel centres at whole numbers plus one half, depth growing
away from the viewer; the nearest surface is seen, the earlier triangle at equal depth. A triangle's front is the side
from which its corners run counter-clockwise. Coverage follows the top-left rule: meshes have no cracks, and no pixel of
a shared edge is drawn twice. Triangles without area are skipped, as are those with a corner beyond 2**19 pixels.

This module is the fast implementation (numba, one thread per call, GIL released). `face/raster_torch.py` is the plain
and differentiable one, with equal results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkingface.face import raster_numba as kernels

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Fragments:
    """What is seen at each pixel: `face_id` int32 [H, W] (-1: nothing), `bary` float32 [H, W, 3] (weights of the
    triangle's corners, sum 1; 0 where nothing), `depth` float32 [H, W] (infinity where nothing)."""

    face_id: np.ndarray
    bary: np.ndarray
    depth: np.ndarray


def rasterize(
    points: np.ndarray, triangles: np.ndarray, size: tuple[int, int], *, perspective: bool = False, cull: bool = False
) -> Fragments:
    """Find the visible triangle of every pixel.

    `points` [V, 3]: x and y in pixels, z depth; `triangles` int [F, 3]; `size` (width, height). With `perspective`, z
    is the distance along the camera's axis (as `Camera.project` gives it) and the weights are those on the surface in
    space; triangles with a corner at z <= 0 are skipped. Without, z varies linearly over the picture. `cull` skips
    triangles seen from behind. Raises ValueError for values that are not finite and for indices outside `points`.

    >>> seen = rasterize(np.float32([[0, 0, 1], [0, 4, 1], [4, 0, 1]]), np.int32([[0, 1, 2]]), (4, 4))
    >>> int((seen.face_id == 0).sum())
    6
    """
    points = _floats("points", points, 3)
    triangles = _indices(triangles, len(points))
    width, height = size
    table = np.empty((len(triangles), kernels.COLUMNS), np.int64)
    count = kernels.setup(points, triangles, (1.0, 1.0), (0, 0, width, height), cull, perspective, table)
    face_id = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    kernels.fill(points, triangles, table, count, perspective, face_id, bary, depth)
    return Fragments(face_id, bary, depth)


def interpolate(fragments: Fragments, triangles: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Spread the vertices' `attributes` [V, C] over the pixels: float32 [H, W, C], 0 where nothing is seen."""
    attributes = np.ascontiguousarray(attributes, np.float32)
    triangles = _indices(triangles, len(attributes))
    if fragments.face_id.max(initial=-1) >= len(triangles):
        raise ValueError("the fragments come from a mesh with more triangles")
    out = np.zeros((*fragments.face_id.shape, attributes.shape[1]), np.float32)
    kernels.interpolate(fragments.face_id, fragments.bary, triangles, attributes, out)
    return out


def sample_texture(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Look up `texture` [h, w, C] bilinearly at `uv` [H, W, 2] in its pixels (the first texel's centre is 0.5, 0.5).

    Positions outside take the border's value. Returns float32 [H, W, C]. Raises ValueError for positions that are not
    finite and for an empty texture.
    """
    texture = np.ascontiguousarray(texture, np.float32)
    uv = np.ascontiguousarray(uv, np.float32)
    _require(texture.ndim == 3 and texture.size > 0, "texture must be [h, w, C] and not empty")
    _require(uv.ndim == 3 and uv.shape[2] == 2, "uv must be [H, W, 2]")
    _require(bool(np.isfinite(uv).all()), "uv has values that are not finite")
    out = np.empty((*uv.shape[:2], texture.shape[2]), np.float32)
    kernels.sample(texture, uv, out)
    return out


def facing_viewer(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The triangles, int32 [F, 3], with two corners exchanged where needed so that at `points` all show their front.

    For meshes that come without a consistent order of corners: call it once with the mesh at rest, seen from the front,
    and `cull` then hides what has turned away.
    """
    points, triangles = _floats("points", points, 3), _indices(triangles, len(points))
    a, b, c = (points[triangles[:, k], :2].astype(np.float64) for k in range(3))
    is_back = (b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1] > 0
    return np.where(is_back[:, None], triangles[:, [0, 2, 1]], triangles)


def to_rgba(rgb: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """The four-channel copy of a picture that `Warper.warp` reads fastest: uint8 [h, w, 4], alpha 255 unless given.

    Make it once for a texture that is drawn many times. With an alpha below 255, multiply the colours by it first, or
    the colours of transparent pixels bleed over the edge.
    """
    _require(rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.dtype == np.uint8, "rgb must be uint8 [h, w, 3]")
    rgba = np.empty((*rgb.shape[:2], 4), np.uint8)
    kernels.add_alpha(np.ascontiguousarray(rgb), rgba)
    if alpha is not None:
        rgba[..., 3] = alpha
    return rgba


class Warper:
    """Draws textured meshes of one picture size, with its working memory kept between calls.

    One object per thread: calls release the GIL, so several objects run at the same time.

    >>> warper = Warper((4, 4))
    >>> corners = np.float32([[0, 0], [0, 4], [4, 0]])
    >>> texture, out = np.full((4, 4, 3), 9, np.uint8), np.zeros((4, 4, 3), np.uint8)
    >>> covered = warper.warp(texture, corners, np.c_[corners, np.zeros(3)].astype(np.float32),
    ...                       np.int32([[0, 1, 2]]), out)
    >>> int((covered == 255).sum()), int(out[0, 0, 0])
    (6, 9)
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """`size`: (width, height) of the pictures to draw into."""
        _require(min(size) > 0, "size must be positive")
        self.size = size
        self._depth = np.empty(size[0] * size[1], np.float32)
        self._coverage = np.empty(size[0] * size[1], np.uint8)
        self._places = np.empty((size[1], size[0], 2), np.int32)
        self._table = np.empty((0, kernels.COLUMNS), np.int64)

    def warp(
        self,
        texture: np.ndarray,
        source_xy: np.ndarray,
        points: np.ndarray,
        triangles: np.ndarray,
        out: np.ndarray,
        *,
        region: Box | None = None,
        cull: bool = False,
    ) -> np.ndarray:
        """Draw into `out` (uint8 [H, W, 3] or [H, W, 4], in place) and return the coverage uint8 [H, W], 255: drawn.

        `texture` uint8 [h, w, 4] (see `to_rgba`; three channels are accepted and copied at each call), `source_xy`
        [V, 2] the vertices' places in it, `points` [V, 3] their places in `out` with depth, `triangles` int [F, 3].
        Catmull-Rom's spline where 4 x 4 texels are opaque, within 2 levels of exact; else bilinear, within 1.5, so that
        nothing rings at the edge of a cut-out. Places are rounded to 1/256 texel and clamped at the border; one at a
        texel's centre gives the texel. Pixels outside the mesh keep their values; pixels outside `region` (x0, y0, x1,
        y1) are not touched, in the coverage neither. The returned array belongs to the warper and is valid until its
        next call. Raises ValueError as `rasterize` does.
        """
        width, height = self.size
        _require(out.dtype == np.uint8 and out.ndim == 3 and out.shape[2] in (3, 4), "out must be uint8 [H, W, 3 or 4]")
        _require(out.shape[:2] == (height, width), f"out must be {height} high and {width} wide")
        _require(texture.dtype == np.uint8 and texture.ndim == 3, "texture must be uint8 [h, w, 4]")
        _require(texture.size > 0, "texture is empty")
        if texture.shape[2] == 3:
            texture = to_rgba(texture)
        _require(texture.shape[2] == 4, "texture must have three or four channels")
        words = np.ascontiguousarray(texture).view(np.uint32)[..., 0]
        mesh = self._prepare(source_xy, points, triangles, out, region, cull)
        kernels.locate(*mesh, self._places)
        kernels.look_up(words, self._places, mesh[-1], self._box(out, region), out)
        return mesh[-1]

    def flow(
        self,
        source_xy: np.ndarray,
        points: np.ndarray,
        triangles: np.ndarray,
        out: np.ndarray,
        *,
        region: Box | None = None,
        cull: bool = False,
    ) -> np.ndarray:
        """Write where each pixel comes from into `out` (float32 [H, W, 2], in place); return coverage as `warp` does.

        The values are what `cv2.remap` takes: texel centres at whole numbers, so one half less than `source_xy`. `out`
        may be smaller than the warper's size; the mesh is then drawn at that scale (`region` is in pixels of `out`),
        and `cv2.resize` with bilinear weights brings the result to full size. Pixels outside the mesh keep theirs.
        """
        _require(out.dtype == np.float32 and out.ndim == 3 and out.shape[2] == 2, "out must be float32 [H, W, 2]")
        _require(0 < out.shape[1] <= self.size[0] and 0 < out.shape[0] <= self.size[1], "out exceeds the warper's size")
        mesh = self._prepare(source_xy, points, triangles, out, region, cull)
        kernels.flow(*mesh, out)
        return mesh[-1]

    def _prepare(
        self,
        source_xy: np.ndarray,
        points: np.ndarray,
        triangles: np.ndarray,
        out: np.ndarray,
        region: Box | None,
        cull: bool,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]:
        """Check the mesh, set up its triangles and clear the buffers: the arguments that both kernels share."""
        limit = np.float32(kernels.LIMIT_PX)
        source_xy = np.clip(_floats("source_xy", source_xy, 2), -limit, limit)
        points = _floats("points", points, 3)
        _require(len(source_xy) == len(points), "source_xy and points must have equal lengths")
        _require(out.flags.c_contiguous and out.flags.writeable, "out must be C-contiguous and writeable")
        triangles = _indices(triangles, len(points))
        height, width = out.shape[:2]
        x0, y0, x1, y1 = self._box(out, region)
        if len(self._table) < len(triangles):
            self._table = np.empty((len(triangles), kernels.COLUMNS), np.int64)
        scale = (width / self.size[0], height / self.size[1])
        count = kernels.setup(points, triangles, scale, (x0, y0, x1, y1), cull, False, self._table)
        depth = self._depth[: height * width].reshape(height, width)
        coverage = self._coverage[: height * width].reshape(height, width)
        depth[y0:y1, x0:x1] = np.inf
        coverage[y0:y1, x0:x1] = 0
        return source_xy, points, triangles, self._table, count, depth, coverage

    @staticmethod
    def _box(out: np.ndarray, region: Box | None) -> Box:
        """The part of `region` inside `out`."""
        height, width = out.shape[:2]
        x0, y0, x1, y1 = region or (0, 0, width, height)
        return max(0, x0), max(0, y0), min(width, x1), min(height, y1)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _floats(name: str, values: np.ndarray, columns: int) -> np.ndarray:
    values = np.ascontiguousarray(values, np.float32)
    _require(values.ndim == 2 and values.shape[1] == columns, f"{name} must be [V, {columns}]")
    _require(bool(np.isfinite(values).all()), f"{name} has values that are not finite")
    return values


def _indices(triangles: np.ndarray, num_points: int) -> np.ndarray:
    triangles = np.ascontiguousarray(triangles, np.int32)
    _require(triangles.ndim == 2 and triangles.shape[1] == 3, "triangles must be [F, 3]")
    if len(triangles):
        _require(triangles.min() >= 0 and triangles.max() < num_points, f"triangles must index {num_points} points")
    return triangles
