"""`System`: the interface that every talking-face method implements. Imports no torch.

Stages are generators: typed pieces in, typed pieces out. Recurrent state is a local variable, lookahead is
`core.stream.windows`, so cutting the voice in another way cannot change the picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, cast

import numpy as np

from talkingface.core.checks import check_controls, check_style, check_viewable, is_clip
from talkingface.core.digest import avatar_digest, background_key
from talkingface.core.errors import UsageError
from talkingface.core.kept import Kept
from talkingface.core.motion import resample_motion
from talkingface.core.motion_space import MotionSpace
from talkingface.core.registry import import_attribute
from talkingface.core.spec import SystemSpec
from talkingface.core.timing import as_rate
from talkingface.core.types import Avatar, Clip, Controls, Frames, Motion, Photo
from talkingface.core.view import View

RENDERERS_KEPT = 2
"""Renderers that a system keeps for the next use; each holds about 30 bytes a pixel of its picture."""


class Weights(NamedTuple):
    """Loaded weights: arrays by name, and the card that describes them."""

    tensors: dict[str, np.ndarray]
    card: dict[str, Any]


class Renderer(Protocol):
    """An avatar ready to be drawn. Any number of threads may draw with one at the same time."""

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """Pictures from motion at any rate, frame for frame from `first` on; `Frames.start` continues the motion's.

        The motion comes from its beginning also where the pictures do not: a resumed job must go on exactly as it would
        have, and what is seen may depend on what was. Each `Frames` is the receiver's to keep.
        """
        ...


class ViewableRenderer(Renderer, Protocol):
    """A renderer of a system with `SPEC.viewable`: it draws one frame from anywhere.

    `view_settings`, a tuple of `core.view.ViewSetting`, may say what else it can be asked for.
    """

    def draw(
        self, expression: np.ndarray, pose: np.ndarray, closure: float, view: View | None, *, deep: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """One picture uint8 [H, W, 3] and its depth float32 [H, W] in pixels, infinite where nothing of the person is.

        Without `deep` nobody looks at the depth: it may be any number where the person is, if that takes less time.

        `expression` float32 [E] and `pose` float32 [P] are a row of a motion, `closure` 0 to 1 closes the eyes. `view`
        None is the camera that filmed the avatar. The picture has the background of the controls.
        """
        ...

    def landmarks(self, expression: np.ndarray, pose: np.ndarray, view: View | None) -> np.ndarray:
        """Where the 68 points are in the picture that `draw` gives, float32 [68, 2] in pixels."""
        ...


def _renderer_key(avatar: Avatar, controls: Controls) -> Hashable:
    """Equal where renderers are: what only motion depends on does not count, a background picture does by content."""
    shown = replace(
        controls, background=background_key(controls.background), seed=0, blink=1.0, gaze=1.0, expression_scale=1.0,
        pose_scale=1.0, style=None, pose_origin=None,
    )  # fmt: skip
    return avatar_digest(avatar), shown


class System(ABC):
    """One talking-face method.

    `weights` None means freshly made (random but seeded) weights for `config`: what training and tests begin with.
    `device` is a torch device name.
    """

    SPEC: ClassVar[SystemSpec]

    def __init__(self, weights: Weights | None, config: Any, device: str = "cpu") -> None:
        self.weights = weights
        self.config = config
        self.device = device
        self._renderers: Kept[Renderer] = Kept(RENDERERS_KEPT)

    @abstractmethod
    def fit(
        self,
        source: Photo | Clip,
        *,
        face_index: int | None = None,
        size: int | str | None = None,
        folder: Path | None = None,
    ) -> Avatar:
        """Make an avatar from a photo or a clip (see `clips.source.open_source`).

        `face_index` counts faces from the left; None takes the largest. `size`: see `Controls.size`. The card gets
        "kind" ("photo" or "clip"), "notes" (sentences for the user: "3 faces found, the largest is used"), "weights"
        (their name) and, for a clip that sets the output's rate, "fps". A system that trains keeps unfinished work in
        `folder` (None: in the user's cache) and goes on from there.
        Raises FaceError, InputError, UsageError.
        """

    def add_photos(self, avatar: Avatar, photos: Sequence[Photo]) -> Avatar:
        """`avatar` with what further photos of the person show (`SPEC.more_photos`). Raises FaceError."""
        raise NotImplementedError(f"{self.SPEC.name} declares no further photos")

    @abstractmethod
    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        """Motion at `SPEC.fps` from mono float32 speech at 16 kHz, given as it arrives in pieces of any length.

        The pieces of motion follow each other from frame 0 and cover every frame that begins within the speech.
        `avatar` None: no particular person (a system that needs one raises UsageError). `speak` adds the style of
        `controls` to it.
        """

    def speak(self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls) -> Iterator[Motion]:
        """`motion_from_audio` in the style of `controls`; do not override it.

        Raises UsageError for a style where the motion space has none.
        """
        check_style(self.SPEC, controls.style)
        make = partial(self.motion_from_audio, avatar, pieces)
        return (
            make(controls) if controls.style is None else import_attribute(self.SPEC.motion_space.style)(make, controls)
        )

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        """Motion of the person in a clip, at `SPEC.fps`.

        Only for systems whose spec lists driving by video. A photo gives one frame, or InputError where the system
        reads motion relative to its mean.
        """
        raise UsageError(
            f"system {self.SPEC.name} cannot be driven by a video; it reads {' and '.join(self.SPEC.driving)}"
        )

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        """Head pose rows [T, P] of this system's motion space from yaw, pitch, roll in radians, float32 [T, 3].

        Positive yaw turns the face to the viewer's right, pitch raises it, roll leans it clockwise for the viewer.
        """
        raise UsageError(f"system {self.SPEC.name} takes no head angles; give a video or a motion file for --pose")

    @abstractmethod
    def make_renderer(self, avatar: Avatar, controls: Controls) -> Renderer:
        """What draws an avatar as `controls` say; everything that is paid once for both belongs here.

        `Frames.mask` is given exactly when `controls.background` is "transparent". With `controls.pose` "source" the
        head moves as in the avatar's clip, whatever the motion says. What only motion depends on (the seed, scales) has
        no influence. Called by `open`.
        """

    def open(self, avatar: Avatar, controls: Controls) -> Renderer:
        """The renderer of an avatar: made once, kept for the next use, shared by threads.

        Raises UsageError for controls that the spec does not allow.
        """
        check_controls(self.SPEC, controls, is_clip(avatar))
        return self._renderers.get(_renderer_key(avatar, controls), lambda: self.make_renderer(avatar, controls))

    def open_view(self, avatar: Avatar, controls: Controls) -> ViewableRenderer:
        """`open` for `ViewableRenderer.draw`. Raises UsageError where the spec says that nothing can be viewed."""
        check_viewable(self.SPEC)
        return cast(ViewableRenderer, self.open(avatar, controls))

    def render(self, avatar: Avatar, motion: Iterator[Motion], controls: Controls, first: int = 0) -> Iterator[Frames]:
        """Pictures of an avatar: see `Renderer.frames`."""
        return self.open(avatar, controls).frames(motion, first)

    @property
    def motion_space(self) -> MotionSpace:
        """The space of the system's motion, with the lengths of learned codes as its weights have them."""
        return self.SPEC.motion_space

    def fps(self, avatar: Avatar, controls: Controls) -> float:
        """Output frames per second: what was asked for, else the source clip's, else the system's clock."""
        own = avatar.card.get("fps")
        rate = controls.fps or (own if isinstance(own, (int, float)) else self.SPEC.fps)
        return float(as_rate(rate))

    def stream(self, avatar: Avatar, pieces: Iterator[np.ndarray], controls: Controls) -> Iterator[Frames]:
        """Pictures as speech arrives: the stages chained. This is the only pipeline; do not override it."""
        motion = self.speak(avatar, pieces, controls)
        return self.render(avatar, resample_motion(motion, self.fps(avatar, controls)), controls)
