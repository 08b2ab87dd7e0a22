"""Settings of the `geneface` system. Defaults exist here only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from talkingface.core.config import from_dict, upgrade
from talkingface.core.options import option
from talkingface.nn.speech_encoder_config import Delay, SpeechHeadConfig
from talkingface.person.splats.config import SplatConfig
from talkingface.systems.geneface.motion.config import Hearing, SpeechConfig

CONDITIONS = {
    "idexp_lm3d_normalized": (204, 1, 5),
    "esperanto": (44, 16, 8),
    "deepspeech": (29, 16, 8),
    "speech_tokens": (384, 16, 8),
}
"""What drives a radiance field, by its published name: width, frames of a window, windows smoothed together.
`speech_tokens`, which the toolkit's own encoder gives, takes the place of letters that others' recognisers give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RadNerfConfig:
    """The published renderer: a radiance field of the head and a flat field of the torso. Defaults are the published
    ones."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTraining:
    """How the published renderers are trained on one person. The program's settings: no card of weights keeps them."""

    rays: int = 65536
    """Random pixels of the one frame that a step shows to a radiance field."""
    head_steps: int = 250_000
    torso_steps: int = 250_000
    lips_from: float = 0.8
    """Share of the head's steps after which every other step shows the lips, and the occupancy grid is kept."""
    occupancy_every: int = 16
    loss_weights: dict[str, float] = field(
        default_factory=lambda: {"mse": 1.0, "entropy": 1e-4, "ambient": 0.1, "perceptual": 0.01}
    )
    nerf_steps: int = 400_000
    """Of the renderers before release 1.1, head and torso each."""
    nerf_rays: int = 1600
    in_face: float = 0.95
    """Share of their rays within the face's rectangle; for torsos within the lower half."""
    nerf_samples: int = 64
    nerf_important: int = 128
    nerf_width: int = 256
    smoothed_from: float = 0.5
    """Share of the head's steps after which the condition is an attention over neighbouring windows."""
    least_psnr: float = 21.0
    """In dB. A head that has less after `judged_at` steps began badly and is begun anew."""
    judged_at: int = 1000
    least_s: float = 12.0
    """Shortest clip that is trained on by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialConfig:
    """The published renderer and how it is fitted to a clip."""

    renderer: RadNerfConfig = field(default_factory=RadNerfConfig)
    training: FieldTraining = field(default_factory=FieldTraining)
    view_px: int = 512
    """Side of the square that is cut out of the clip, learned and drawn."""


def tiny_official() -> OfficialConfig:
    """The published networks, small enough for tests."""
    small = RadNerfConfig(
        condition=8, finest=32, log2_rows=9, ambient_width=8, sigma_width=8, geometry=8, color_width=8, side=16
    )
    training = FieldTraining(
        rays=192, head_steps=6, torso_steps=4, nerf_steps=4, nerf_rays=48, nerf_samples=8, nerf_important=8,
        nerf_width=16, occupancy_every=4, least_s=1.0,
    )  # fmt: skip
    return OfficialConfig(renderer=small, training=training, view_px=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How an avatar is made from a clip. The program's settings, not the weights': no card of weights keeps them."""

    least_s: float = 10.0
    """Shortest clip."""
    good_s: float = 20.0
    """Shorter clips get a note."""
    one_shot: bool = True
    """Whether a cut in the clip is an error; false for sentences recorded one by one with a fixed camera."""
    held_out_share: float = 0.2
    """Of the clip, its end, on which the avatar is evaluated and nothing is trained."""
    held_out_most_s: float = 20.0
    """No more than this is held out."""
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GenefaceConfig:
    """All settings of `geneface`."""

    renderer: Literal["splats", "radnerf"] = "splats"
    """splats: what two CPU cores draw; radnerf: the published radiance fields."""
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    """From a voice to the motion of one person."""
    splats: SplatConfig = field(default_factory=SplatConfig)
    """The compact renderer."""
    official: OfficialConfig = field(default_factory=OfficialConfig)
    """The published renderer."""
    fit: FitConfig = field(default_factory=FitConfig)


HEADS = ("own", "shared")
"""Where generated head motion may come from."""


@dataclass(frozen=True, kw_only=True)
class GenefaceOptions:
    """What a user may ask of this system alone."""

    head: str = option(
        "own",
        "generated head motion: own (as far and as fast as the person's, learned from the clip) or shared (the average "
        "speaker's)",
        choices=HEADS,
    )
    blinks: str = option(
        "own",
        "blinks: own (as often and as long as the person's), clip (those of the clip, forwards and backwards) or none",
        choices=("own", "clip", "none"),
    )


TINY_HEAD = SpeechHeadConfig(width=16, dilations=(1, 2))


def read_config(stored: Any) -> GenefaceConfig:
    """The config in a card of any version; settings that came later have their defaults. Raises UsageError."""
    return from_dict(GenefaceConfig, upgrade(stored, GenefaceConfig) if isinstance(stored, dict) else stored)


def preset(name: str) -> GenefaceConfig:
    """The config called `name`: "compact" (two CPU cores), "official" (release 1.1); for tests "tiny",
    "tiny_official"."""
    renderer = "radnerf" if name.endswith("official") else "splats"
    if not name.startswith("tiny"):
        return GenefaceConfig(renderer=renderer)
    return GenefaceConfig(
        renderer=renderer,
        speech=SpeechConfig(
            best=Hearing(delay=Delay(ahead=5, right=2, hop=5), head=TINY_HEAD),
            low=Hearing(delay=Delay(ahead=1, right=1, hop=1), head=TINY_HEAD),
            tune_steps=5,
        ),
        splats=SplatConfig(level=0, scene=300, basis=4, hidden=8, nodes=4, face_px=80, most_frames=40, steps=30),
        official=tiny_official(),
        fit=FitConfig(least_s=1.0, good_s=1.0),
    )
