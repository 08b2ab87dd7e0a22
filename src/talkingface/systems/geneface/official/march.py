"""Rendering as published: rays march in rounds of a few samples, and those that have seen enough drop out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from talkingface.nn.ray_march import MIN_TRANSMITTANCE, Samples, march

Field = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(points [M, 3], their rays int64 [M], their places in the round int64 [M]) -> densities [M] and colours [M, 3]."""
_MAX_ROUND = 8


@dataclass(slots=True, kw_only=True)
class RayState:
    """How far N rays are, and what they gathered."""

    t: Tensor
    """[N]: where each goes on; of rays that ended, where their last round began."""
    far: Tensor
    alive: Tensor
    """int64 [A]: rays that go on."""
    image: Tensor
    weights_sum: Tensor
    depth: Tensor

    @classmethod
    def begin(cls, near: Tensor, far: Tensor) -> RayState:
        """All rays at `near` [N], before anything was seen."""
        return cls(
            t=near.clone(),
            far=far,
            alive=torch.arange(len(near), device=near.device),
            image=near.new_zeros(len(near), 3),
            weights_sum=torch.zeros_like(near),
            depth=torch.zeros_like(near),
        )


def round_of_march(
    state: RayState, origins: Tensor, directions: Tensor, occupied: Tensor, steps: int, field: Field
) -> Samples:
    """One round: up to `steps` samples for each ray alive; `state` is brought up to date. Gives the samples.

    A ray ends with fewer samples than that, or when the light that reaches a sample is under a ten-thousandth: that
    sample still counts, as published.
    """
    rays = state.alive
    samples, t = march(origins[rays], directions[rays], state.t[rays], state.far[rays], occupied, steps)
    sigma, rgb = field(samples.points, rays[samples.rays], samples.places)
    alpha = sigma.new_zeros(len(rays), steps)
    colours = rgb.new_zeros(len(rays), steps, 3)
    ends = torch.zeros_like(alpha)
    at = samples.rays, samples.places
    alpha[at] = -torch.expm1(-sigma * samples.lengths)
    colours[at] = rgb
    ends[at] = samples.ends
    going = torch.ones(len(rays), dtype=torch.bool, device=rays.device)
    for step in range(steps):
        here = going & (step < samples.counts)
        through = 1 - state.weights_sum[rays]
        weight = torch.where(here, alpha[:, step] * through, 0)
        state.weights_sum[rays] += weight
        state.depth[rays] += weight * ends[:, step]
        state.image[rays] += weight[:, None] * colours[:, step]
        going = here & (through >= MIN_TRANSMITTANCE)
    state.t[rays[going]] = t[going]
    state.alive = rays[going]
    return samples


def render_rays(
    near: Tensor, far: Tensor, origins: Tensor, directions: Tensor, occupied: Tensor, field: Field, max_steps: int = 16
) -> RayState:
    """All rounds. How many samples a round takes depends on the share of rays alive, so that a ray may get more than
    `max_steps`, the more the fewer others are left: the published rule, kept for equal numbers."""
    state, step = RayState.begin(near, far), 0
    while step < max_steps and len(state.alive):
        steps = max(1, min(len(origins) // len(state.alive), _MAX_ROUND))
        round_of_march(state, origins, directions, occupied, steps, field)
        step += steps
    return state
