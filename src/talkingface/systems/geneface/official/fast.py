"""The published head drawn on a processor: the same rays and samples as `render.see_head`, with less work for each.

What makes the difference, by size: grids and marching are compiled; layers that follow each other without anything in
between are one (the geometry's and the colour's first); what the condition, the ray and the individual code add is
computed once for each of them; a ray's later samples are not asked for once nothing shines through; colours are only
asked for where they are seen; and all of that happens in blocks whose numbers stay in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from talkingface.nn.direction_encoding import SH_FEATURES, harmonic_features
from talkingface.nn.packed_linear import Layer, packed_linear
from talkingface.nn.ray_march import FAR, box_range, grid_side, step_length
from talkingface.nn.ray_march_numba import find_samples
from talkingface.systems.geneface.official import fast_numba as kernels
from talkingface.systems.geneface.official.camera import Rays
from talkingface.systems.geneface.official.condition import Mlp
from talkingface.systems.geneface.official.radnerf import HeadField
from talkingface.systems.geneface.official.render import SeenHead

BLOCK = 2048
"""Samples at a time: their 128 features are a megabyte."""
LEAST_WEIGHT = 1e-5
"""Samples that are seen less have no colour: of a ray's two dozen they make no difference of 3e-4."""
_MAX_ROUND = 8


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What N rays gathered so far: the arrays that the kernels write."""

    image: Tensor
    opacity: Tensor
    depth: Tensor


class FastHead:
    """A field ready to be drawn under any condition; it must not change meanwhile. Threads may share it.

    `dtype`: what layers are computed in, `torch.float32` or `torch.bfloat16`; coordinates, densities and sums are
    float32 anyway.
    """

    def __init__(self, head: HeadField, dtype: torch.dtype = torch.float32) -> None:
        self._field, self._dtype = head, dtype
        self._occupied = head.occupied().contiguous()
        with torch.no_grad():
            placed = head.position_embedder.num_features
            ambient, sigma, color = (_weights(net) for net in (head.ambient_net, head.sigma_net, head.color_net))
            both = placed + head.ambient_embedder.num_features
            self._moved = torch.zeros(len(ambient[0]), both)
            self._moved[:, :placed] = ambient[0][:, :placed]  # what stands behind the position's features is not read
            self._by_condition = ambient[0][:, placed:]
            self._ambient = [self._layer(w) for w in ambient[1:-1]]
            self._ambient_last = ambient[-1]
            self._sigma = [self._layer(w) for w in sigma[:-1]]
            self._density = sigma[-1][0].contiguous()
            seen = slice(SH_FEATURES, SH_FEATURES + head.config.geometry)
            self._by_code = color[0][:, seen.stop :]
            # the last features of densities go into colours as they are
            self._color_first = torch.cat([color[0][:, seen] @ sigma[-1][1:], color[0][:, :SH_FEATURES]], 1)
            self._color = [self._layer(w) for w in color[1:-1]]
            self._color_last = color[-1]
            self._placed, self._features = placed, both

    @torch.no_grad()
    def see(self, rays: Rays, condition: Tensor, code: Tensor, max_steps: int | None = None) -> SeenHead:
        """See `render.see_head`."""
        head, count = self._field, len(rays.origins)
        near, far = box_range(rays.origins, rays.directions, head.aabb_infer, head.config.min_near)
        moved_by = self._layer(self._moved, self._by_condition @ condition)
        lit_by = self._layer(self._color_first, self._by_code @ code)
        directed = torch.zeros(count, SH_FEATURES, dtype=self._dtype)
        hit = (near < FAR).nonzero()[:, 0]
        directed[hit] = harmonic_features(rays.directions[hit]).to(self._dtype)
        origins, directions = rays.origins.contiguous(), rays.directions.contiguous()
        found = _Gathered(image=torch.zeros(count, 3), opacity=torch.zeros(count), depth=torch.zeros(count))
        alive, t, step = torch.arange(count), near.clone(), 0
        most = head.config.max_steps if max_steps is None else max_steps
        while step < most and len(alive):
            steps = max(1, min(count // len(alive), _MAX_ROUND))
            alive = self._round(origins, directions, t, far, alive, steps, found, moved_by, lit_by, directed)
            step += steps
        depth = (found.depth - near).clamp_min(0) / (far - near)
        return SeenHead(rgb=found.image, depth=torch.where(near < FAR, depth, 0), opacity=found.opacity)

    def _round(
        self, origins: Tensor, directions: Tensor, t: Tensor, far: Tensor, alive: Tensor, steps: int,
        found: _Gathered, moved_by: Layer, lit_by: Layer, directed: Tensor,
    ) -> Tensor:  # fmt: skip
        """One round of `march.round_of_march`; gives the rays that go on."""
        side, rays = grid_side(self._occupied), len(alive)
        length = step_length(side)
        begins, counts, stopped = torch.empty(rays, steps), torch.empty(rays, dtype=torch.long), torch.empty(rays)
        given = (values[alive].numpy() for values in (origins, directions, t, far))
        find_samples(*given, self._occupied.numpy(), side, length, begins.numpy(), counts.numpy(), stopped.numpy())
        going = torch.ones(rays, dtype=torch.bool)
        ids, points = torch.empty(rays, dtype=torch.long), torch.empty(rays, 3)
        for place in range(steps):
            number = kernels.gather(
                begins.numpy(), counts.numpy(), going.numpy(), place, alive.numpy(), origins.numpy(),
                directions.numpy(), ids.numpy(), points.numpy(),
            )  # fmt: skip
            for first in range(0, number, BLOCK):
                last = min(number, first + BLOCK)
                rows, block = ids[first:last], points[first:last]
                sigma, hidden = self._ask(block, moved_by)
                chosen, weights = torch.empty(last - first, dtype=torch.long), torch.empty(last - first)
                seen = kernels.shine(
                    sigma.numpy(), rows.numpy(), alive.numpy(), begins.numpy(), place, length, LEAST_WEIGHT,
                    found.opacity.numpy(), found.depth.numpy(), going.numpy(), chosen.numpy(), weights.numpy(),
                )  # fmt: skip
                if seen:
                    chosen = chosen[:seen]
                    to = alive[rows[chosen]]
                    light = self._light(hidden[chosen], directed[to], lit_by)
                    kernels.add_light(light.numpy(), weights.numpy(), to.numpy(), found.image.numpy())
        going &= counts == steps
        t[alive[going]] = stopped[going]
        return alive[going]

    def _layer(self, weight: Tensor, bias: Tensor | None = None) -> Layer:
        return packed_linear(weight.to(self._dtype), None if bias is None else bias.to(self._dtype), relu=True)

    def _ask(self, points: Tensor, moved_by: Layer) -> tuple[Tensor, Tensor]:
        """Densities [M] and the features [M, width] that colours are made of."""
        head, dtype = self._field, self._dtype
        given = torch.zeros(len(points), self._features)
        head.position_embedder.encode_into(points, given)
        x = moved_by(given.to(dtype))
        for layer in self._ambient:
            x = layer(x)
        ambient = (x.float() @ self._ambient_last.T).tanh_()
        head.ambient_embedder.encode_into(ambient, given, self._placed)
        x = given.to(dtype)
        for layer in self._sigma:
            x = layer(x)
        return (x.float() @ self._density).exp_(), x

    def _light(self, hidden: Tensor, directed: Tensor, lit_by: Layer) -> Tensor:
        """Colours [K, 3] of features and the directions' harmonics [K, 16]."""
        x = lit_by(torch.cat([hidden, directed], 1))
        for layer in self._color:
            x = layer(x)
        return (x.float() @ self._color_last.T).sigmoid_()


def _weights(network: Mlp) -> list[Tensor]:
    return [layer.get_parameter("weight").detach() for layer in network.net]
