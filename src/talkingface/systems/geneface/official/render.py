"""Pictures of the published fields: in training, in inference, and the losses of training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from talkingface.nn.ray_march import FAR, Composite, box_range, composite, march, step_length
from talkingface.systems.geneface.official.camera import Rays
from talkingface.systems.geneface.official.march import render_rays
from talkingface.systems.geneface.official.radnerf import HeadField, TorsoField

LOSS_WEIGHTS = {"mse": 1.0, "entropy": 1e-4, "ambient": 0.1}
_AMBIENT_STEPS = 250_000
_BLOCK = 4096  # samples whose features stay in the cache; memory does not grow with the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenHead:
    """What N rays see of the head: `rgb` [N, 3] and `opacity` [N], and `depth` [N] as a share of the box's."""

    rgb: Tensor
    depth: Tensor
    opacity: Tensor

    def over(self, behind: Tensor) -> Tensor:
        """Colours [N, 3] in [0, 1] before others."""
        return (self.rgb + (1 - self.opacity)[:, None] * behind).clamp(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """The torso over the background: `rgb` [N, 3], `alpha` [N, 1], and the displacements [M, 2] of the M pixels that
    may show it."""

    rgb: Tensor
    alpha: Tensor
    moved: Tensor


@torch.no_grad()
def see_head(field: HeadField, rays: Rays, condition: Tensor, code: Tensor, max_steps: int | None = None) -> SeenHead:
    """The head by itself, with individual code [code] (row 0 in inference) and as many samples a ray as the settings
    say, or `max_steps`."""
    near, far = box_range(rays.origins, rays.directions, field.aabb_infer, field.config.min_near)

    def ask(points: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        sigma, _, geometry = field.density(points, condition)
        return sigma, field.color(rays.directions[ids], geometry, code)

    def look(points: Tensor, ids: Tensor, _places: Tensor) -> tuple[Tensor, Tensor]:
        blocks = [ask(*block) for block in zip(points.split(_BLOCK), ids.split(_BLOCK), strict=True)]
        sigma, colours = zip(*blocks, strict=True)
        return torch.cat(sigma), torch.cat(colours)

    steps = field.config.max_steps if max_steps is None else max_steps
    made = render_rays(near, far, rays.origins, rays.directions, field.occupied(), look, steps)
    depth = (made.depth - near).clamp_min(0) / (far - near)
    return SeenHead(rgb=made.image, depth=torch.where(near < FAR, depth, 0), opacity=made.weights_sum)


def train_head(
    field: HeadField, rays: Rays, condition: Tensor, background: Tensor, code: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Composite]:
    """Colours [N, 3] over the background, depth [N] of the box's, and what was gathered, with gradients.

    `noise` [N] in [0, 1) moves each ray's first sample by so much of a step. Every ray gets its samples: the published
    program drops those that do not fit its buffer.
    """
    near, far = box_range(rays.origins, rays.directions, field.aabb_train, field.config.min_near)
    start = near + noise * step_length(field.config.side)
    with torch.no_grad():
        samples, _ = march(rays.origins, rays.directions, start, far, field.occupied(), field.config.max_steps)
    sigma, ambient, geometry = field.density(samples.points, condition)
    colours = field.color(rays.directions[samples.rays], geometry, code)
    made = composite(samples, sigma, colours, ambient.abs().sum(-1))
    rgb = made.image + (1 - made.weights_sum)[:, None] * background
    depth = (made.depth - near).clamp_min(0) / (far - near)
    return rgb, torch.where(near < FAR, depth, 0), made


def head_losses(rgb: Tensor, made: Composite, real: Tensor, face: Tensor) -> dict[str, Tensor]:
    """Unweighted losses: `mse` to the real colours [N, 3], `entropy` of the opacity in bits, and `ambient`, the
    coordinates' length outside the face (`face` bool [N])."""
    return {
        "mse": (rgb - real).square().mean(),
        "entropy": entropy_bits(made.weights_sum),
        "ambient": (made.ambient * ~face).mean(),
    }


def entropy_bits(weights: Tensor) -> Tensor:
    """The mean entropy in bits of opacities."""
    alpha = weights.clamp(1e-5, 1 - 1e-5)
    return (-alpha * alpha.log2() - (1 - alpha) * (1 - alpha).log2()).mean()


def loss_weights(step: int) -> dict[str, float]:
    """The weights of `head_losses` at a step: that of the ambient coordinates grows."""
    return LOSS_WEIGHTS | {"ambient": LOSS_WEIGHTS["ambient"] * min(step / _AMBIENT_STEPS, 1.0)}


def mean_torso_density(field: TorsoField) -> float:
    """The torso's mean density, which checkpoints do not hold."""
    return float(field.density_grid_torso.mean())


def torso_threshold(field: TorsoField, mean_density: float) -> float:
    """The occupancy from which a pixel may show the torso."""
    return min(field.config.torso_threshold, mean_density)


def draw_torso(
    field: TorsoField,
    places: Tensor,
    pose: Tensor,
    background: Tensor,
    code: Tensor,
    *,
    threshold: float = 0.0,
    head: SeenHead | None = None,
) -> Behind:
    """The torso over `background` [N, 3] at `places` [N, 2] (`Rays.background`).

    A head-aware torso is told the `head`, always: the published program tosses a coin for every frame, which flickers.
    """
    side = field.config.side
    grid = field.density_grid_torso.reshape(1, 1, side, side).to(places.dtype)
    density = functional.grid_sample(grid, places[None, None], align_corners=True)[0, 0, 0]
    shown = (density > threshold).nonzero()[:, 0]
    seen = (head.rgb[shown], head.opacity[shown, None]) if head else None
    opacity, colour, moved = field.torso(places[shown], pose, code, seen)
    alpha = background.new_zeros(len(places), 1).index_put((shown,), opacity)
    colours = torch.zeros_like(background).index_put((shown,), colour)
    return Behind(rgb=colours * alpha + background * (1 - alpha), alpha=alpha, moved=moved)
