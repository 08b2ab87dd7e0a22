"""RAD-NeRF as release 1.1 builds it: a radiance field of the head whose coordinates the condition extends.

Names of the tensors are the published ones. Densities and coordinates need single precision.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from talkingface.nn.direction_encoding import SH_FEATURES, frequency_features, harmonic_features
from talkingface.nn.grid_encoder import GridEncoder
from talkingface.nn.ray_march import unpack_bits
from talkingface.systems.geneface.config import RadNerfConfig
from talkingface.systems.geneface.official.condition import Mlp, WindowAttention, WindowEncoder

BOX = (-1.0, -0.5, -1.0, 1.0, 0.5, 1.0)
"""Lower and upper corner of what is drawn, in the field's coordinates."""
_POSE, _POSE_OCTAVES, _PLACE_OCTAVES = 6, 4, 10
_HEAD_FEATURES = 16
_MAX_EXPONENT = 15.0


def make_grid(config: RadNerfConfig, dimensions: int, kind: str | None = None) -> GridEncoder:
    """The grid of features that the settings describe, in three or two dimensions."""
    return GridEncoder(
        dimensions,
        finest=config.finest,
        log2_rows=config.log2_rows,
        kind=kind or config.grid_kind,
        interpolation=config.interpolation,
    )


class HeadField(nn.Module):
    """A head in [-1, 1]^3: densities and colours at points, moved by a condition."""

    aabb_train: Tensor
    aabb_infer: Tensor
    density_grid: Tensor
    density_bitfield: Tensor
    step_counter: Tensor

    def __init__(self, config: RadNerfConfig) -> None:
        super().__init__()
        self.config = config
        self.individual_embeddings = nn.Parameter(0.1 * torch.randn(config.codes, config.code))
        box = torch.tensor(BOX)
        self.register_buffer("aabb_train", box)
        self.register_buffer("aabb_infer", box.clone())
        self.register_buffer("density_grid", torch.zeros(1, config.side**3))
        self.register_buffer("density_bitfield", torch.zeros(config.side**3 // 8, dtype=torch.uint8))
        self.register_buffer("step_counter", torch.zeros(16, 2, dtype=torch.int32))
        self.cond_prenet = WindowEncoder(config.inputs, config.condition, config.window)
        self.cond_att_net = WindowAttention(config.condition, config.smoothed)
        self.position_embedder = make_grid(config, 3)
        placed = self.position_embedder.num_features
        hidden = (config.ambient_width,) * (config.ambient_layers - 1)
        self.ambient_net = Mlp((placed + config.condition, *hidden, config.ambient))
        self.ambient_embedder = make_grid(config, config.ambient)
        hidden = (config.sigma_width,) * (config.sigma_layers - 1)
        self.sigma_net = Mlp((placed + self.ambient_embedder.num_features, *hidden, 1 + config.geometry))
        hidden = (config.color_width,) * (config.color_layers - 1)
        self.color_net = Mlp((SH_FEATURES + config.geometry + config.code, *hidden, 3))

    def encode_condition(self, windows: Tensor) -> Tensor:
        """Windows [S, frames, inputs] around a frame -> its condition [condition]."""
        return self.cond_att_net(self.cond_prenet(windows))

    def density(self, points: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points [M, 3] -> densities [M], ambient coordinates [M, 2] in [-1, 1] and geometry features [M, geometry]."""
        placed = self.position_embedder(points)
        # coordinates and densities in their own precision, whatever the layers are computed in
        ambient = self.ambient_net(placed, condition).to(placed.dtype).tanh()
        moved = self.sigma_net(torch.cat([placed, self.ambient_embedder(ambient)], -1))
        return _exp(moved[:, 0].to(placed.dtype)), ambient, moved[:, 1:]

    def color(self, directions: Tensor, geometry: Tensor, code: Tensor) -> Tensor:
        """Colours [M, 3] in [0, 1] seen along unit directions [M, 3], for one individual code [code]."""
        made = self.color_net(torch.cat([harmonic_features(directions), geometry], -1), code)
        return made.to(directions.dtype).sigmoid()

    def occupied(self) -> Tensor:
        """bool [side^3] in Morton order: cells where something may be."""
        return unpack_bits(self.density_bitfield)


class TorsoField(HeadField):
    """The head with a torso, a flat picture that the head's pose moves."""

    density_grid_torso: Tensor

    def __init__(self, config: RadNerfConfig) -> None:
        super().__init__(config)
        self.torso_individual_codes = nn.Parameter(0.1 * torch.randn(config.codes, config.torso_code))
        self.register_buffer("density_grid_torso", torch.zeros(config.side**2))
        self.torso_embedder = make_grid(config, 2, "tiledgrid")
        given = 2 * (1 + 2 * _PLACE_OCTAVES) + _POSE * (1 + 2 * _POSE_OCTAVES) + config.torso_code
        if config.head_aware:
            self.head_color_weights_encoder = nn.Sequential(
                nn.Linear(4, 16),
                nn.LeakyReLU(0.02),
                nn.Linear(16, 32),
                nn.LeakyReLU(0.02),
                nn.Linear(32, _HEAD_FEATURES),
            )
            given += _HEAD_FEATURES
        self.torso_deform_net = Mlp((given, 64, 64, 2))
        self.torso_canonicial_net = Mlp((self.torso_embedder.num_features + given, 32, 32, 4))

    def torso(
        self, places: Tensor, pose: Tensor, code: Tensor, head: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Opacity [N, 1], colour [N, 3] and displacement [N, 2] at places [N, 2], (row, column) in [-1, 1].

        `pose` [6] of the head (`pose_numbers`), `code` [torso_code]; `head`: colour [N, 3] and opacity [N, 1] of the
        head at these pixels for a head-aware torso, None: as if there was none.
        """
        places = places * self.config.torso_shrink
        pose_features = frequency_features(pose, _POSE_OCTAVES)
        given = [frequency_features(places, _PLACE_OCTAVES), pose_features.expand(len(places), -1)]
        given.append(code.expand(len(places), -1))
        if self.config.head_aware:
            seen = torch.cat(head, -1) if head else places.new_zeros(len(places), 4)
            given.append(self.head_color_weights_encoder(seen))
        joined = torch.cat(given, -1)
        moved = self.torso_deform_net(joined).to(places.dtype)
        features = self.torso_embedder((places + moved).clamp(-1, 1))
        made = self.torso_canonicial_net(torch.cat([features, joined], -1)).to(places.dtype)
        return made[:, :1].sigmoid(), made[:, 1:].sigmoid(), moved


class _Exp(torch.autograd.Function):
    """exp(x), whose gradient does not grow with x past 15."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return grad * x.clamp(-_MAX_EXPONENT, _MAX_EXPONENT).exp()


def _exp(x: Tensor) -> Tensor:
    made = _Exp.apply(x)
    assert isinstance(made, Tensor)
    return made
