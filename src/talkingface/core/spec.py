"""What a system declares about itself. Read by listings, help, web forms and checks; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Source = Literal["photo", "clip"]
Driving = Literal["audio", "video"]
Pose = Literal["none", "copied", "generated"]
PoseOrigin = Literal["first", "mean", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSpec:
    """Facts about one talking-face system."""

    name: str
    summary: str
    source: tuple[Source, ...]
    driving: tuple[Driving, ...]
    pose: tuple[Pose, ...]
    pose_origins: tuple[PoseOrigin, ...] = ()
    """What head motion from a video may be measured from, the default first; (): that cannot be chosen."""
    features: tuple[str, ...]
    """Kinds of audio features that `motion_from_audio` reads, e.g. ("mel80",)."""
    motion_space: str
    fps: float = 25.0
    latency_frames: int | None
    """Frames of lookahead from speech to picture; None: needs the whole voice."""
    presets: tuple[str, ...]
    factory: str
    """"module:attribute" of the System class, imported on first use."""
    config: str
    """"module:attribute" of the function preset name -> config dataclass."""
    licence: str
    paper: str = ""
    default_crop: Literal["full", "head"] = "full"
    """What is shown unless the user says: systems that draw a face crop put it back into the picture on request."""
    default_weights: str = ""
    weights: tuple[str, ...] = field(default_factory=tuple)
    recipes: str = ""
    """The module with the trainings; "": there are none. It may have `RECIPES`, name -> function of (config, data
    folder) that makes a `training.recipe.Recipe`, and `PIPELINES`, name -> function of (data folder, run folder) that
    makes finished weights and returns their folder."""
    importers: Mapping[str, str] = field(default_factory=dict)
    """`weights import`: kind -> "module:function", from a sequence of paths to `core.foreign.Imported`."""
    baselines: Mapping[str, str] = field(default_factory=dict)
    """What `evaluate --systems` also shows as a floor: name -> a preset whose `render` draws the system's own motion
    without weights."""
