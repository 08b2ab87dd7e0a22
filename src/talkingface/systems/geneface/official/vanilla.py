"""The renderer of the paper, which release 1.1 replaced: plain networks asked at many points of each ray (NeRF).

Also AD-NeRF, which it came from and whose networks are the same, driven by speech in place of landmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.direction_encoding import frequency_features
from talkingface.systems.geneface.official.condition import WindowAttention, WindowEncoder

PLACE_OCTAVES, VIEW_OCTAVES, POSE_OCTAVES = 10, 4, 6
_PLACE, _VIEW = 3 * (1 + 2 * PLACE_OCTAVES), 3 * (1 + 2 * VIEW_OCTAVES)
_LAYERS, _JOINED = 8, 5
_SLOPE = 0.02
NEAR, FAR = 0.3, 0.9
COARSE, FINE = 64, 128
"""Samples of a ray: evenly spread, and where something was seen."""
_LAST = 1e10


class PointNet(nn.Module):
    """Points [N, S, 3] seen along unit directions [N, 3] under a condition -> logits of RGB and density [N, S, 4]."""

    def __init__(self, condition: int, width: int = 256) -> None:
        super().__init__()
        given = _PLACE + condition
        inputs = [given] + [width] * (_LAYERS - 1)
        inputs[_JOINED] += given
        self.density_linears = nn.ModuleList(nn.Linear(before, width) for before in inputs)
        self.density_out_linear = nn.Linear(width, 1)
        half = width // 2
        self.color_linears = nn.ModuleList(nn.Linear(before, half) for before in (width + _VIEW, half, half))
        self.color_out_linear = nn.Linear(half, 3)

    def forward(self, points: Tensor, view: Tensor, condition: Tensor) -> Tensor:
        """`condition` [C], or [N, C] with one for each ray."""
        condition = condition.expand(len(points), -1)[:, None].expand(-1, points.shape[1], -1)
        given = torch.cat([frequency_features(points, PLACE_OCTAVES), condition], -1)
        x = given
        for number, layer in enumerate(self.density_linears):
            x = layer(torch.cat([given, x], -1) if number == _JOINED else x).relu()
        density = self.density_out_linear(x)
        seen = frequency_features(view, VIEW_OCTAVES)[:, None].expand(-1, points.shape[1], -1)
        x = torch.cat([x, seen], -1)
        for layer in self.color_linears:
            x = layer(x).relu()
        return torch.cat([self.color_out_linear(x), density], -1)


class LandmarkNerf(nn.Module):
    """The head, driven by windows of landmarks [S, 1, 204]."""

    def __init__(self, *, condition: int = 64, width: int = 256, window: int = 1, smoothed: int = 5) -> None:
        super().__init__()
        self.model_coarse = PointNet(condition, width)
        self.model_fine = PointNet(condition, width)
        self.lm_encoder = WindowEncoder(204, condition, window)
        self.lmatt_encoder = WindowAttention(condition, smoothed)

    def encode_condition(self, windows: Tensor, *, attention: bool = True) -> Tensor:
        """Windows around a frame -> its condition [C]; without `attention` of the middle window alone."""
        return _encoded(self.lm_encoder, self.lmatt_encoder, windows, None if attention else len(windows) // 2)


class AdNerf(nn.Module):
    """The head, driven by windows of speech [8, 16, inputs]; as published by DeepSpeech's 29 letters."""

    def __init__(
        self, *, inputs: int = 29, condition: int = 64, width: int = 256, window: int = 16, smoothed: int = 8
    ) -> None:
        super().__init__()
        self.model_coarse = PointNet(condition, width)
        self.model_fine = PointNet(condition, width)
        self.aud_net = WindowEncoder(inputs, condition, window)
        self.audatt_net = WindowAttention(condition, smoothed)

    def encode_condition(self, windows: Tensor, *, attention: bool = True) -> Tensor:
        """Windows around a frame -> its condition [C]; without `attention` of the first window alone, as published."""
        return _encoded(self.aud_net, self.audatt_net, windows, None if attention else 0)


class TorsoNerf(nn.Module):
    """The torso, driven by speech, the head's pose and, with `aware`, the head's colour on the same ray."""

    def __init__(self, *, inputs: int = 29, audio: int = 64, width: int = 256, aware: bool = True) -> None:
        super().__init__()
        self.aware = aware
        features = 16
        if aware:
            self.color_encoder = nn.Sequential(
                nn.Linear(3, 16), nn.LeakyReLU(_SLOPE), nn.Linear(16, 32), nn.LeakyReLU(_SLOPE), nn.Linear(32, features)
            )
        condition = audio + 2 * 3 * (1 + 2 * POSE_OCTAVES) + (features if aware else 0)
        self.model_coarse = PointNet(condition, width)
        self.model_fine = PointNet(condition, width)
        self.aud_net = WindowEncoder(inputs, audio, 16)
        self.audatt_net = WindowAttention(audio, 8)

    def encode_condition(self, windows: Tensor, angles: Tensor, place: Tensor, head: Tensor) -> Tensor:
        """Windows [8, 16, inputs], the head's angles [3] and place [3] and its colours [N, 3] -> [N, C], one a ray."""
        parts = [self.audatt_net(self.aud_net(windows))]
        parts += [frequency_features(pose, POSE_OCTAVES) for pose in (angles, place)]
        given = torch.cat(parts).expand(len(head), -1)
        return torch.cat([given, self.color_encoder(head)], -1) if self.aware else given


def _encoded(encoder: WindowEncoder, attention: WindowAttention, windows: Tensor, single: int | None) -> Tensor:
    if single is None:
        return attention(encoder(windows))
    return encoder(windows[single : single + 1])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RayColours:
    """What N rays see: `rgb` [N, 3] with the background, `foreground` [N, 3] without it, `weights` [N, S] of the
    samples, `depth`, `disparity`, `opacity` and `last_weight` [N], the background's."""

    rgb: Tensor
    foreground: Tensor
    weights: Tensor
    depth: Tensor
    disparity: Tensor
    opacity: Tensor
    last_weight: Tensor


def gather_colours(raw: Tensor, depths: Tensor, directions: Tensor, background: Tensor) -> RayColours:
    """Put together samples [N, S, 4] (`PointNet`) at `depths` [N, S] of rays along `directions` [N, 3] of any length.

    The last sample of a ray shows the background [N, 3].
    """
    lengths = functional.pad(depths.diff(dim=-1), (0, 1), value=_LAST) * directions.norm(dim=-1, keepdim=True)
    alpha = -torch.expm1(-(raw[..., 3].relu() + 1e-6) * lengths)
    through = functional.pad((1 - alpha + 1e-10).cumprod(-1)[:, :-1], (1, 0), value=1.0)
    weights = alpha * through
    colours = torch.cat([raw[:, :-1, :3].sigmoid(), background[:, None]], 1)
    shown = weights[..., None] * colours
    depth, opacity = (weights * depths).sum(-1), weights.sum(-1)
    return RayColours(
        rgb=shown.sum(1),
        foreground=shown[:, :-1].sum(1),
        weights=weights,
        depth=depth,
        disparity=1 / (depth / opacity).clamp_min(1e-10),
        opacity=opacity,
        last_weight=weights[:, -1],
    )


def even_depths(rays: int, count: int, near: float, far: float, like: Tensor) -> Tensor:
    """Depths [rays, count] from `near` to `far`."""
    spread = torch.linspace(0, 1, count, dtype=like.dtype, device=like.device)
    return (near * (1 - spread) + far * spread).expand(rays, count)


def important_depths(depths: Tensor, weights: Tensor, quantiles: Tensor) -> Tensor:
    """Depths [N, K] where the weights [N, S] of samples at `depths` [N, S] are, at `quantiles` [K] of them."""
    edges = (depths[:, 1:] + depths[:, :-1]) / 2
    share = weights[:, 1:-1] + 1e-5
    total = functional.pad((share / share.sum(-1, keepdim=True)).cumsum(-1), (1, 0))
    wanted = quantiles.expand(len(depths), -1).contiguous()
    above = torch.searchsorted(total, wanted, right=True)
    low, high = (above - 1).clamp_min(0), above.clamp_max(total.shape[1] - 1)
    below, over = total.gather(1, low), total.gather(1, high)
    width = over - below
    part = (wanted - below) / torch.where(width < 1e-5, 1, width)
    start, end = edges.gather(1, low), edges.gather(1, high)
    return start + part * (end - start)


def merged_depths(depths: Tensor, important: Tensor) -> Tensor:
    """Both kinds, in order."""
    return torch.cat([depths, important], -1).sort(-1).values


Network = Callable[[Tensor, Tensor, Tensor], Tensor]


def render_vanilla(
    coarse: Network,
    fine: Network,
    origins: Tensor,
    directions: Tensor,
    condition: Tensor,
    background: Tensor,
    *,
    near: float = NEAR,
    far: float = FAR,
    samples: int = COARSE,
    important: int = FINE,
) -> tuple[RayColours, RayColours]:
    """Rays [N, 3] over a background [N, 3], without random depths: what the fine and the coarse network see."""
    view = functional.normalize(directions, dim=-1)

    def look(network: Network, depths: Tensor) -> RayColours:
        points = origins[:, None] + depths[..., None] * directions[:, None]
        return gather_colours(network(points, view, condition), depths, directions, background)

    depths = even_depths(len(origins), samples, near, far, origins)
    first = look(coarse, depths)
    quantiles = torch.linspace(0, 1, important, dtype=origins.dtype, device=origins.device)
    found = important_depths(depths, first.weights.detach(), quantiles)
    return look(fine, merged_depths(depths, found)), first
