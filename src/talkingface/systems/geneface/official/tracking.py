"""The geometry and the losses of the published face tracker (AD-NeRF's), on a face model whose files the user brings.

Axes: x right, y up, z to the viewer; a face in front of the camera has negative z.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from talkingface.face.deep3d import flipped, light_of
from talkingface.face.lighting import shading

JAW_LEFT, JAW_RIGHT = slice(0, 8), slice(9, 17)
"""Landmarks that are chosen anew for every pose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerModel:
    """A linear face model of V vertices; coefficients count in deviations."""

    mean: Tensor
    """[3 V]."""
    identity: Tensor
    """[I, 3 V], and its deviations `identity_std` [I]; `expression` and `texture` likewise."""
    identity_std: Tensor
    expression: Tensor
    expression_std: Tensor
    mean_texture: Tensor
    texture: Tensor
    texture_std: Tensor
    landmarks: Tensor
    """int64 [68]: vertices."""
    left_jaw: Tensor
    """int64 [8, K]: candidates for the first landmarks, of which the leftmost is taken; `right_jaw`: the rightmost."""
    right_jaw: Tensor

    def shape(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Vertices [B, V, 3]."""
        moved = (identity * self.identity_std) @ self.identity + (expression * self.expression_std) @ self.expression
        return (self.mean + moved).unflatten(-1, (-1, 3))

    def colours(self, texture: Tensor) -> Tensor:
        """Colours [B, V, 3], 0 to 255."""
        return (self.mean_texture + (texture * self.texture_std) @ self.texture).unflatten(-1, (-1, 3))


def rotation(angles: Tensor) -> Tensor:
    """World to camera [B, 3, 3] of angles [B, 3]; the third turns the other way (`camera.tracker_rotation`)."""
    (a, b, c), one, zero = angles.unbind(-1), torch.ones_like(angles[:, 0]), torch.zeros_like(angles[:, 0])

    def matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    about_x = matrix((one, zero, zero), (zero, a.cos(), -a.sin()), (zero, a.sin(), a.cos()))
    about_y = matrix((b.cos(), zero, b.sin()), (zero, one, zero), (-b.sin(), zero, b.cos()))
    about_z = matrix((c.cos(), c.sin(), zero), (-c.sin(), c.cos(), zero), (zero, zero, one))
    return about_x @ about_y @ about_z


def placed(points: Tensor, angles: Tensor, translation: Tensor) -> Tensor:
    """Points [B, V, 3] before the camera."""
    return points @ rotation(angles).transpose(-1, -2) + translation[:, None]


def project(points: Tensor, focal: Tensor | float, centre: tuple[float, float]) -> Tensor:
    """Pixels and depth [B, V, 3] of points before the camera."""
    x, y, z = points.unbind(-1)
    return torch.stack([centre[0] - focal * x / z, centre[1] + focal * y / z, z], -1)


def landmark_vertices(model: TrackerModel, projected: Tensor) -> Tensor:
    """The vertices int64 [B, 68] that are the landmarks of a face with `projected` vertices [B, V, 3]: the jaw's are
    those at the outline."""
    chosen = model.landmarks.expand(len(projected), -1).clone()
    x = projected[..., 0].detach()
    for place, rows, sign in ((JAW_LEFT, model.left_jaw, 1), (JAW_RIGHT, model.right_jaw, -1)):
        outermost = (sign * x[:, rows]).argmin(-1)
        chosen[:, place] = rows.expand(len(x), -1, -1).gather(-1, outermost[..., None])[..., 0]
    return chosen


def at_vertices(values: Tensor, vertices: Tensor) -> Tensor:
    """Values [B, V, C] at vertices int64 [B, N]: [B, N, C]."""
    return values.gather(1, vertices[..., None].expand(-1, -1, values.shape[-1]))


def landmark_loss(projected: Tensor, seen: Tensor) -> Tensor:
    """Mean squared error in pixels of landmarks [B, 68, 2 or 3] to those seen [B, 68, 2]."""
    return (projected[..., :2] - seen).square().mean()


def steadiness_loss(points: Tensor) -> Tensor:
    """How far rigid points [T, N, 3] before the camera are from the middle of the frames before and after, squared."""
    return (points[1:-1] - 0.5 * (points[:-2] + points[2:])).square().mean()


def colour_loss(drawn: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
    """Distance of RGB values [B, H, W, 3], 0 to 255, over 255, on average of a mask [B, H, W] and then of pictures."""
    distance = (drawn - seen).norm(dim=-1) / 255
    return ((distance * mask).sum((1, 2)) / mask.sum((1, 2))).mean()


def normals(points: Tensor, triangles: Tensor, around: Tensor) -> Tensor:
    """Unit normals [B, V, 3]: of the triangles int64 [F, 3] listed `around` each vertex, int64 [V, K], all alike."""
    a, b, c = (points[:, triangles[:, k]] for k in range(3))
    faces = functional.normalize(torch.linalg.cross(a - b, b - c), dim=-1)
    return functional.normalize(faces[:, around].sum(2), dim=-1)


def lit(colours: Tensor, unit_normals: Tensor, light: Tensor) -> Tensor:
    """Colours [B, V, 3] under light numbers [B, 27]."""
    return colours * shading(flipped(unit_normals), light_of(light))
