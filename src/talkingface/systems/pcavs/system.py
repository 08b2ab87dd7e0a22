"""`pcavs`: one face picture, any voice, the head pose of any video."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from talkingface.core.errors import UsageError
from talkingface.core.motion import skip_frames
from talkingface.core.spec import SystemSpec
from talkingface.core.system import System, Weights
from talkingface.core.types import Avatar, Clip, Controls, Frames, Motion, Photo
from talkingface.systems.pcavs import SPEC
from talkingface.systems.pcavs.codes import Talker
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.driving import posed_like, read_driver, rest_of
from talkingface.systems.pcavs.init_weights import init_tensors
from talkingface.systems.pcavs.pose.head_pose import Heads
from talkingface.systems.pcavs.pose.pose_map import PoseMap
from talkingface.systems.pcavs.renderer import Painter, best_photo, make_photo
from talkingface.systems.pcavs.variants import load_talker


class PcavsSystem(System):
    """Zhou et al. 2021. See docs/systems/pcavs.md.

    Motion in space `pcavs`: `expression` is the mouth code less that of silence, `pose` the pose code less that of the
    avatar's picture.
    """

    SPEC: ClassVar[SystemSpec] = SPEC

    def __init__(self, weights: Weights | None, config: PcavsConfig, device: str = "cpu") -> None:
        super().__init__(weights, config, device)
        self._tensors = init_tensors(config.pose_numbers) if weights is None else weights.tensors

    @functools.cached_property
    def talker(self) -> Talker:
        """The networks, loaded on first use."""
        return load_talker(self.config, self._tensors if self.weights else None, self.device)

    @functools.cached_property
    def heads(self) -> Heads:
        """What turns angles and voices into pose codes."""
        return Heads(PoseMap.load(self._tensors), self._tensors, self.config.pose_numbers)

    def fit(
        self,
        source: Photo | Clip,
        *,
        face_index: int | None = None,
        size: int | str | None = None,
        folder: Path | None = None,
    ) -> Avatar:
        """See `System.fit`. Nothing is trained: of a clip the best frame serves as the photo."""
        card: dict[str, object] = {
            "system": SPEC.name,
            "weights": "" if self.weights is None else self.weights.card.get("name", ""),
        }
        if isinstance(source, Photo):
            photo = make_photo(source.opaque(), face_index, size, source.alpha)
            notes = [*source.notes, *photo.notes]
            return Avatar(system=SPEC.name, card={**card, "kind": "photo", "notes": notes}, tensors=photo.tensors)
        driver = read_driver(source, self.talker, face_index)
        assert driver.tracked is not None
        photo = best_photo(driver.tracked, face_index)
        tensors = {**photo.tensors, "clip.pose": driver.codes.pose}
        notes = [*driver.tracked.notes, *driver.tracked.gap_notes(), *photo.notes]
        return Avatar(system=SPEC.name, card={**card, "kind": "clip", "notes": notes}, tensors=tensors)

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        """See `System.motion_from_audio`. The level of the whole voice counts: nothing comes before its end."""
        samples = np.concatenate([np.zeros(0, np.float32), *pieces])
        said = self.talker.hear(samples) - self.talker.silence
        pose = self.heads.moves(samples, len(said), controls)
        yield Motion(
            space=SPEC.motion_space,
            expression=said * np.float32(controls.expression_scale),
            pose=pose.astype(np.float32),
            blink=None,
            fps=SPEC.fps,
        )

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        """See `System.motion_from_video`. The head is held as in the video, not relative to its mean; a photo gives one
        frame. Without an avatar the pose is about the video's mean."""
        codes = read_driver(source, self.talker, None).codes
        rest = codes.pose.mean(axis=0) if avatar is None else rest_of(avatar, self.talker)
        yield Motion(
            space=SPEC.motion_space,
            expression=((codes.mouth - self.talker.silence) * np.float32(controls.expression_scale)),
            pose=(codes.pose - rest) * np.float32(controls.pose_scale),
            blink=None,
            fps=SPEC.fps,
        )

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        """See `System.pose_from_angles`."""
        return self.heads.turned(angles_rad)

    def render(self, avatar: Avatar, motion: Iterator[Motion], controls: Controls, first: int = 0) -> Iterator[Frames]:
        """See `System.render`. Draws the face crop, or with `crop` "full" the whole picture around it."""
        if controls.background not in ("keep", "transparent"):
            raise UsageError("pcavs cannot change the background; use keep or transparent, or --system portrait")
        motion = skip_frames(motion, first)
        if controls.pose == "source" and "clip.pose" in avatar.tensors:
            motion = posed_like(motion, avatar.tensors["clip.pose"] - rest_of(avatar, self.talker))
        return Painter(avatar, self.talker, controls).frames(motion)
