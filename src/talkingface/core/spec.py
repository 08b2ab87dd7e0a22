"""What a system declares about itself. Read by listings, help, web forms and checks; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from talkingface.core.motion_space import MotionSpace

Source = Literal["photo", "clip"]
Driving = Literal["audio", "video"]
Pose = Literal["still", "generated", "source", "video", "photo", "motion", "angles"]
Background = Literal["keep", "transparent", "replace"]
PoseOrigin = Literal["first", "mean", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSpec:
    """Facts about one talking-face system."""

    name: str
    summary: str
    source: tuple[Source, ...]
    driving: tuple[Driving, ...]
    poses: tuple[Pose, ...]
    """Where head motion may come from (`--pose`): nowhere, the system, the clip that the avatar was made from, another
    video, a photo, a motion file, a table of angles."""
    pose_origins: tuple[PoseOrigin, ...] = ()
    """What head motion from a video may be measured from, the default first; (): that cannot be chosen."""
    more_photos: bool = False
    """Whether an avatar can be told more by further photos of the person (`System.add_photos`)."""
    viewable: bool = False
    """Whether avatars can be seen from all around (`System.open_view`)."""
    backgrounds: tuple[Background, ...] = ("keep",)
    clip_backgrounds: tuple[Background, ...] | None = None
    """Those while the clip itself is shown (`--pose source`); None: the same."""
    motion_space: MotionSpace
    """What motion means with the default weights."""
    other_spaces: tuple[MotionSpace, ...] = ()
    """What it may mean with others: `System.motion_space` of a loaded system says which."""
    latency_frames: Mapping[str, int] | None
    """Frames of lookahead from speech to motion for each `delay`; None: needs the whole voice."""
    presets: tuple[str, ...]
    factory: str
    """"module:attribute" of the System class, imported on first use."""
    config: str
    """"module:attribute" of the function preset name -> config dataclass."""
    options: str = ""
    """"module:attribute" of a frozen dataclass of fields made by `core.options.option`: what only this system can be
    asked for (`--set`). It comes in `Controls.own`; None there: the defaults."""
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

    def space_of(self, name: str) -> MotionSpace:
        """The space called `name` if there is one, else the usual one."""
        return next((space for space in self.other_spaces if space.name == name), self.motion_space)

    @property
    def fps(self) -> float:
        """The clock of the system's motion."""
        return self.motion_space.fps
