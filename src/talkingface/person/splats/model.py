"""A person made of splats, in torch: what `fit` trains. `renderer` draws the same without torch.

Splats lie on the refined face mesh, one in each triangle and moving with it (shape and place are in its coordinates, as
in GaussianAvatars, Qian et al. 2024); behind the skin on sheets for eyeballs and teeth; and around the face for hair,
neck and shoulders. Colours and places of all are moved by a few numbers that a small network computes from the motion,
as the ambient coordinate of RAD-NeRF (Tang et al. 2022) moves its field.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.face.splats import BLUR, REACH, draw_backward, draw_band
from talkingface.person.splats.config import SplatConfig
from talkingface.person.splats.layout import Layout
from talkingface.person.splats.material import FACE_FEATURES, NUM_FEATURES
from talkingface.person.splats.shape import (
    BENT,
    BODY_BENT_PX,
    BODY_PX,
    DEPTH_SHARE,
    MOST_OPAQUE,
    PLACE_SHARE,
    STEEP,
    lattice_weights,
)

_pool = ThreadPoolExecutor(4, "splats")


class Splats(nn.Module):
    """See the module. `forward` gives what is drawn of one frame."""

    home: Tensor
    spacing: Tensor
    jaw: Tensor
    eye: Tensor
    triangles: Tensor
    first_plate: Tensor
    seen: Tensor
    around: Tensor
    shares: Tensor

    def __init__(
        self, layout: Layout, config: SplatConfig, size: tuple[int, int], at_rest: np.ndarray, colour: Tensor,
        plate: Tensor, seen: Tensor,
    ) -> None:  # fmt: skip
        """`at_rest` [M, 3]: the homes of free splats in pixels; `colour` [N, 3] and `plate` [3, H, W] to begin with, in
        (0, 1); `seen` [H, W]: where the plate was seen and may learn; `size` of the canvas."""
        super().__init__()
        count, free, k = layout.surface + len(layout.home), len(layout.home), config.basis
        self.layout, self.size = layout, size
        round_ = torch.tensor([0.5, 0.0, 0.5])
        self.shape = nn.Parameter(round_.repeat(count, 1))
        self.shape.data[layout.surface :] = torch.tensor([0.7, 0.0, 0.7])
        self.place = nn.Parameter(torch.zeros(count, 2))
        self.place.data[: layout.surface] = 1 / 3  # in the middle of the triangle
        self.depth = nn.Parameter(torch.zeros(free))
        self.follow = nn.Parameter(
            torch.logit(torch.from_numpy(layout.follow).clamp(0.02, 0.98))[layout.sheets :] / STEEP
        )
        self.opacity = nn.Parameter(torch.full((count,), 0.6))
        self.colour = nn.Parameter(torch.logit(colour.clamp(0.02, 0.98)) / STEEP)
        self.moves = nn.Parameter(torch.zeros(count, 5, k))
        self.plate = nn.Parameter(torch.zeros_like(plate))
        self.register_buffer("first_plate", plate, persistent=False)
        self.register_buffer("seen", seen, persistent=False)
        self.direct = nn.Parameter(torch.zeros(k, NUM_FEATURES))
        nn.init.orthogonal_(self.direct, 0.7)
        self.bend = nn.Sequential(nn.Linear(NUM_FEATURES, config.hidden), nn.Tanh(), nn.Linear(config.hidden, k))
        poses, nodes = NUM_FEATURES - FACE_FEATURES, 2 * config.nodes**2
        self.body_direct = nn.Parameter(torch.zeros(nodes, poses))
        self.body = nn.Sequential(nn.Linear(poses, config.hidden), nn.Tanh(), nn.Linear(config.hidden, nodes))
        nn.init.zeros_(self.body[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.body[2].bias)  # type: ignore[arg-type]
        around, shares = lattice_weights(at_rest[:, :2], size, config.nodes)
        self.register_buffer("around", torch.from_numpy(around), persistent=False)
        self.register_buffer("shares", torch.from_numpy(shares), persistent=False)
        for name in ("home", "spacing", "jaw", "eye"):
            self.register_buffer(name, torch.from_numpy(getattr(layout, name).astype(np.float32)), persistent=False)
        self.register_buffer("triangles", torch.from_numpy(layout.triangles.astype(np.int64)), persistent=False)

    def background(self) -> Tensor:
        """The picture behind the person, [3, H, W]."""
        return (self.first_plate + self.seen * self.plate).clamp(0, 1)

    def basis(self, features: Tensor) -> Tensor:
        """The numbers that move splats, [K], from features [NUM_FEATURES] in deviations."""
        return self.direct @ features + BENT * self.bend(features)

    def lattice(self, features: Tensor) -> Tensor:
        """How the body moves at its nodes, pixels [2, G * G]."""
        pose = features[FACE_FEATURES:]
        return (BODY_PX * (self.body_direct @ pose) + BODY_BENT_PX * self.body(pose)).reshape(2, -1)

    def forward(
        self, features: Tensor, vertices: Tensor, head: Tensor, rest: Tensor, jaw: Tensor, look: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Centres [N, 2] px, depths [N], covariances [N, 3] px^2 (xx, xy, yy), opacities [N], colours [N, 3].

        `vertices` [V, 3] px of the refined mesh; `head` and `rest` [3, 4]: model units to px; `jaw` [3] and `look` [2]:
        how far jaw and irises stand from rest, model units.
        """
        n = self.layout.surface
        moved = self.moves @ self.basis(features)
        colour = torch.sigmoid(STEEP * self.colour + moved[:, :3])
        place = self.place + PLACE_SHARE * moved[:, 3:]
        corner = vertices[self.triangles]
        edges = torch.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], -1)
        on_mesh = corner[:, 0] + (edges * place[:n, None]).sum(-1)
        at = self.home + torch.cat([place[n:] * self.spacing[:, None], DEPTH_SHARE * self.depth[:, None]], 1)
        bound = at + self.jaw[:, None] * jaw + self.eye[:, None] * functional.pad(look, (0, 1))
        with_head = bound @ head[:, :3].T + head[:, 3]
        at_rest = at @ rest[:, :3].T + rest[:, 3]
        follow = torch.cat([at.new_ones(self.layout.sheets), torch.sigmoid(STEEP * self.follow)])[:, None]
        drift = (self.lattice(features)[:, self.around] * self.shares).sum(-1).T
        with_body = torch.cat([at_rest[:, :2] + drift, at_rest[:, 2:]], 1)
        place3 = torch.cat([on_mesh, follow * with_head + (1 - follow) * with_body])
        l0, l1, l2 = self.shape.unbind(1)
        factor = torch.stack([torch.stack([l0, torch.zeros_like(l0)], 1), torch.stack([l1, l2], 1)], 1)
        stretch = follow[:, :, None] * head[:2, :2] + (1 - follow[:, :, None]) * rest[:2, :2]
        frame = torch.cat([edges[:, :2], stretch * self.spacing[:, None, None]])
        a = frame @ factor
        cov = torch.stack([(a[:, 0] ** 2).sum(1), (a[:, 0] * a[:, 1]).sum(1), (a[:, 1] ** 2).sum(1)], 1)
        return place3[:, :2], place3[:, 2], cov, MOST_OPAQUE * torch.sigmoid(STEEP * self.opacity), colour


def conics(cov: Tensor, opacity: Tensor) -> tuple[Tensor, Tensor, np.ndarray]:
    """Conics [N, 3] of widened covariances, opacities that make up for it [N], and radii float32 [N, 2]."""
    a, b, d = cov[:, 0] + BLUR, cov[:, 1], cov[:, 2] + BLUR
    det = a * d - b * b
    thin = ((cov[:, 0] * cov[:, 2] - b * b).clamp(min=1e-6) / det).sqrt()
    radius = REACH * torch.stack([a, d], 1).detach().sqrt().numpy()
    return torch.stack([d, -b, a], 1) / det[:, None], opacity * thin, radius


class DrawSplats(torch.autograd.Function):
    """Pictures [B, 3, H, W] of splats [B, N, ...] before backgrounds [B, 3, H, W]; a thread for each."""

    @staticmethod
    def forward(
        ctx: Any,
        centre: Tensor,
        conic: Tensor,
        opacity: Tensor,
        colour: Tensor,
        behind: Tensor,
        radii: list,
        orders: list,
    ) -> Tensor:
        arrays = [v.detach().contiguous().numpy() for v in (centre, conic, opacity, colour)]
        plates = behind.detach().numpy()
        left = np.ones((len(plates), *plates.shape[2:]), np.float32)
        pictures = np.zeros(plates.shape, np.float32)

        def draw(k: int) -> None:
            draw_band(
                orders[k], *(v[k] for v in arrays), radii[k], left[k], pictures[k], 0, plates.shape[2], np.float32(0)
            )
            pictures[k] += left[k] * plates[k]

        list(_pool.map(draw, range(len(plates))))
        ctx.kept = arrays, plates, left, radii, orders
        return torch.from_numpy(pictures)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple:
        arrays, plates, left, radii, orders = ctx.kept
        flows = [np.zeros_like(v) for v in arrays]
        above = gradients[0].contiguous().numpy()
        behind = above * left[:, None]

        def flow(k: int) -> None:
            draw_backward(
                orders[k], *(v[k] for v in arrays), radii[k], left[k].copy(), above[k], plates[k].copy(),
                *(flow[k] for flow in flows),
            )  # fmt: skip

        list(_pool.map(flow, range(len(plates))))
        return *(torch.from_numpy(flow) for flow in flows), torch.from_numpy(behind), None, None
