"""The plain rasteriser: what `face/raster.py` computes, written for reading and for gradients.

Gradients flow through `interpolate` to weights and attributes, through `sample_texture` to texture and positions, and
through `barycentrics` to the vertices. Visibility has none: fit by `rasterize` (or the fast one of `face/raster.py`)
for the visible triangles, then `barycentrics` for weights and depth that follow the vertices:

    seen = raster.rasterize(points.detach().numpy(), triangles.numpy(), size, perspective=True)
    bary, depth = barycentrics(torch.from_numpy(seen.face_id), points, triangles, perspective=True)
    colour = interpolate(torch.from_numpy(seen.face_id), bary, triangles, colours)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SUBPIXELS = 1024  # vertices are snapped to this grid, so that coverage is decided exactly, in integers
LIMIT_PX = 1 << 19


@dataclass(frozen=True, slots=True)
class Fragments:
    """As in `face/raster.py`: `face_id` int32 [H, W] (-1: none), `bary` float32 [H, W, 3], `depth` float32 [H, W]."""

    face_id: Tensor
    bary: Tensor
    depth: Tensor


def rasterize(
    points: Tensor, triangles: Tensor, size: tuple[int, int], *, perspective: bool = False, cull: bool = False
) -> Fragments:
    """The visible triangle of every pixel, one triangle at a time; arguments and errors as in `face/raster.py`."""
    if not bool(torch.isfinite(points).all()):
        raise ValueError("points has values that are not finite")
    if len(triangles) and not (int(triangles.min()) >= 0 and int(triangles.max()) < len(points)):
        raise ValueError(f"triangles must index {len(points)} points")
    width, height = size
    device = points.device
    face_id = torch.full((height, width), -1, dtype=torch.int32, device=device)
    bary = torch.zeros(height, width, 3, device=device)
    depth = torch.full((height, width), torch.inf, device=device)
    centre_x = torch.arange(width, device=device) * SUBPIXELS + SUBPIXELS // 2
    centre_y = (torch.arange(height, device=device) * SUBPIXELS + SUBPIXELS // 2)[:, None]
    for face, corners in enumerate(points.detach().double()[triangles.long()]):
        xy, z = corners[:, :2], corners[:, 2]
        if bool((xy.abs() > LIMIT_PX).any()) or (perspective and bool((z <= 0).any())):
            continue
        x, y = torch.round(xy * SUBPIXELS).long().T
        area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
        if area == 0 or (cull and area > 0):
            continue
        inside = torch.ones(height, width, dtype=torch.bool, device=device)
        weights = []
        for k in range(3):
            a, b = (k + 1) % 3, (k + 2) % 3
            edge_x, edge_y = (x[b] - x[a]) * area.sign(), (y[b] - y[a]) * area.sign()
            edge = edge_x * (centre_y - y[a]) - edge_y * (centre_x - x[a])
            is_top_left = edge_y < 0 or (edge_y == 0 and edge_x > 0)
            inside &= (edge >= 0) if is_top_left else (edge > 0)
            weights.append(edge.double() * (1.0 / area.abs().double()))
        weights, z_here = _on_surface(weights, z, perspective)
        nearer = inside & (z_here.float() < depth)
        face_id[nearer] = face
        bary[nearer] = torch.stack(weights, -1).float()[nearer]
        depth[nearer] = z_here.float()[nearer]
    return Fragments(face_id, bary, depth)


def barycentrics(
    face_id: Tensor, points: Tensor, triangles: Tensor, *, perspective: bool = False
) -> tuple[Tensor, Tensor]:
    """Weights [H, W, 3] and depth [H, W] of known visible triangles, differentiable in `points` [V, 3].

    Equal to those of `rasterize`; the gradient is that of the vertices before snapping. Pixels without a triangle get
    weights 0 and depth infinity.
    """
    seen = face_id >= 0
    rows, columns = torch.nonzero(seen, as_tuple=True)
    corners = points.double()[triangles.long()[face_id[seen].long()]]  # [N, 3, 3]
    xy = corners[..., :2]
    xy = xy + (torch.round(xy * SUBPIXELS) / SUBPIXELS - xy).detach()
    pixel = torch.stack([columns, rows], -1).double() + 0.5
    to_pixel = pixel[:, None] - xy
    edges = []
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        edges.append(_cross(xy[:, b] - xy[:, a], to_pixel[:, a]))
    inverse = 1.0 / _cross(xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0])
    weights, z = _on_surface([edge * inverse for edge in edges], corners[..., 2].unbind(-1), perspective)
    bary = points.new_zeros(*face_id.shape, 3).index_put((rows, columns), torch.stack(weights, -1).to(points.dtype))
    depth = points.new_full(face_id.shape, torch.inf).index_put((rows, columns), z.to(points.dtype))
    return bary, depth


def interpolate(face_id: Tensor, bary: Tensor, triangles: Tensor, attributes: Tensor) -> Tensor:
    """Spread the vertices' `attributes` [V, C] over the pixels: [H, W, C], 0 where nothing is seen."""
    seen = face_id >= 0
    corners = attributes[triangles.long()[face_id[seen].long()]]  # [N, 3, C]
    values = (bary[seen][..., None] * corners).sum(-2)
    empty = attributes.new_zeros(*face_id.shape, attributes.shape[1])
    return empty.index_put(torch.nonzero(seen, as_tuple=True), values)


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Look up `texture` [h, w, C] bilinearly at `uv` [..., 2] in its pixels (first texel centre 0.5, 0.5), clamped."""
    height, width = texture.shape[:2]
    u = (uv[..., 0] - 0.5).clamp(0, width - 1)
    v = (uv[..., 1] - 0.5).clamp(0, height - 1)
    u0, v0 = u.detach().long(), v.detach().long()
    u1, v1 = (u0 + 1).clamp(max=width - 1), (v0 + 1).clamp(max=height - 1)
    fu, fv = (u - u0)[..., None], (v - v0)[..., None]
    top = texture[v0, u0] + fu * (texture[v0, u1] - texture[v0, u0])
    bottom = texture[v1, u0] + fu * (texture[v1, u1] - texture[v1, u0])
    return top + fv * (bottom - top)


def sample_cubic(texture: Tensor, uv: Tensor) -> Tensor:
    """As `sample_texture`, by Catmull-Rom's spline, which keeps edges that bilinear weights blur: what `Warper.warp`
    shows of opaque textures. Values may overshoot beside edges."""
    height, width = texture.shape[:2]
    u = (uv[..., 0] - 0.5).clamp(0, width - 1)
    v = (uv[..., 1] - 0.5).clamp(0, height - 1)
    u0, v0 = u.detach().long(), v.detach().long()
    across, down = _catmull_rom(u - u0), _catmull_rom(v - v0)
    rows = []
    for j in range(4):
        row = (v0 + j - 1).clamp(0, height - 1)
        texels = [texture[row, (u0 + i - 1).clamp(0, width - 1)] for i in range(4)]
        rows.append(sum(weight[..., None] * texel for weight, texel in zip(across, texels, strict=True)))
    return torch.stack([weight[..., None] * row for weight, row in zip(down, rows, strict=True)]).sum(0)


def _catmull_rom(t: Tensor) -> tuple[Tensor, ...]:
    """Weights of four neighbours at `t` in [0, 1) between the middle two."""
    doubled = ((2 - t) * t - 1) * t, (3 * t - 5) * t * t + 2, ((4 - 3 * t) * t + 1) * t, (t - 1) * t * t
    return tuple(weight / 2 for weight in doubled)


def _on_surface(
    weights: list[Tensor], z: Tensor | tuple[Tensor, ...], perspective: bool
) -> tuple[list[Tensor], Tensor]:
    """Weights and depth on the triangle in space, from weights in the picture."""
    if not perspective:
        return weights, weights[0] * z[0] + weights[1] * z[1] + weights[2] * z[2]
    over_z = [weight / depth for weight, depth in zip(weights, z, strict=True)]
    here = 1.0 / (over_z[0] + over_z[1] + over_z[2])
    return [weight * here for weight in over_z], here


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
