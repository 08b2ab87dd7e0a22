"""Settings of the `geneface` system. Defaults exist here only; they are the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

CONDITIONS = {
    "idexp_lm3d_normalized": (204, 1, 5),
    "esperanto": (44, 16, 8),
    "deepspeech": (29, 16, 8),
}
"""What drives a radiance field, by its published name: width, frames of a window, windows smoothed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RadNerfConfig:
    """The published renderer: a radiance field of the head and a flat field of the torso."""

    inputs: int = 204
    """Width of the condition: 68 points in three dimensions."""
    window: int = 1
    """Frames of the condition that one vector is made of."""
    smoothed: int = 5
    """Vectors of neighbouring frames that an attention mixes."""
    condition: int = 64
    grid_kind: Literal["tiledgrid", "hashgrid"] = "tiledgrid"
    interpolation: Literal["linear", "smoothstep"] = "linear"
    finest: int = 2048
    log2_rows: int = 16
    ambient_layers: int = 3
    ambient_width: int = 128
    ambient: int = 2
    """Dimensions of the coordinate by which the condition moves the field."""
    sigma_layers: int = 3
    sigma_width: int = 128
    geometry: int = 128
    color_layers: int = 2
    color_width: int = 128
    codes: int = 13000
    """Rows of the tables of individual codes: at least the frames of the clip."""
    code: int = 4
    torso_code: int = 8
    torso_shrink: float = 0.8
    head_aware: bool = False
    """Whether the torso is told the head's colour and opacity at its pixel."""
    side: int = 128
    """Cells a side of the occupancy grids."""
    max_steps: int = 16
    min_near: float = 0.05
    density_threshold: float = 10.0
    torso_threshold: float = 0.01

    @classmethod
    def of(cls, published: Mapping[str, Any]) -> RadNerfConfig:
        """The settings that a `config.yaml` of the published program holds; what it lacks has its default."""
        inputs, window, smoothed = CONDITIONS[published.get("cond_type", "idexp_lm3d_normalized")]
        found: dict[str, Any] = {"inputs": inputs, "window": window, "smoothed": smoothed}
        found |= {ours: published[theirs] for theirs, ours in _PUBLISHED.items() if theirs in published}
        return cls(**found)


_PUBLISHED = {
    "cond_win_size": "window",
    "smo_win_size": "smoothed",
    "cond_out_dim": "condition",
    "grid_type": "grid_kind",
    "grid_interpolation_type": "interpolation",
    "desired_resolution": "finest",
    "log2_hashmap_size": "log2_rows",
    "num_layers_ambient": "ambient_layers",
    "hidden_dim_ambient": "ambient_width",
    "ambient_out_dim": "ambient",
    "num_layers_sigma": "sigma_layers",
    "hidden_dim_sigma": "sigma_width",
    "geo_feat_dim": "geometry",
    "num_layers_color": "color_layers",
    "hidden_dim_color": "color_width",
    "individual_embedding_num": "codes",
    "individual_embedding_dim": "code",
    "torso_individual_embedding_dim": "torso_code",
    "torso_shrink": "torso_shrink",
    "torso_head_aware": "head_aware",
    "grid_size": "side",
    "max_steps": "max_steps",
    "min_near": "min_near",
    "density_thresh": "density_threshold",
    "density_thresh_torso": "torso_threshold",
}
"""Names in the published `config.yaml` -> ours."""
