"""The published design in use: codes in, squares out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from talkingface.core.errors import UsageError
from talkingface.core.motion_space import MotionSpace
from talkingface.core.spec import SystemSpec
from talkingface.core.system import Renderer, Weights
from talkingface.core.types import Avatar, Clip, Controls, Motion, Photo
from talkingface.systems.pcavs import CODES, SPEC
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.official.avatar import from_clip, from_photo
from talkingface.systems.pcavs.official.codes import encode_clip, rest_pose
from talkingface.systems.pcavs.official.inference import OfficialVariant
from talkingface.systems.pcavs.official.init_weights import init_tensors
from talkingface.systems.pcavs.official.pose.head_pose import HeadPose
from talkingface.systems.pcavs.official.pose.pose_map import PoseMap
from talkingface.systems.pcavs.official.renderer import FaceRenderer
from talkingface.systems.pcavs.system import PcavsSystem, weights_that_fit


class OfficialSystem(PcavsSystem):
    """The published networks.

    Motion in space `pcavs`: `expression` is the mouth code minus that of silence, `pose` the pose code minus that of
    the avatar's picture. `variant` holds the networks, `head_pose` turns angles and voices into pose codes; nothing
    changes them, so threads may share a system.
    """

    SPEC: ClassVar[SystemSpec] = replace(
        SPEC, motion_space=CODES, other_spaces=(), pose_origins=("none", "mean"), backgrounds=("keep",)
    )

    def __init__(self, weights: Weights | None, config: PcavsConfig, device: str = "cpu") -> None:
        super().__init__(weights, config, device)
        # weights may lack a pose map or a head motion (the authors' do): then heads stay at rest
        num_pose = config.official.sizes.pose
        tensors = init_tensors(num_pose) if weights is None else weights.tensors
        with weights_that_fit():
            self.variant = OfficialVariant(config, None if weights is None else tensors, device)
        self.head_pose = HeadPose(PoseMap.load(tensors), tensors, num_pose)

    def fit(
        self,
        source: Photo | Clip,
        *,
        face_index: int | None = None,
        size: int | str | None = None,
        folder: Path | None = None,
    ) -> Avatar:
        """See `System.fit`. Nothing is trained: of a clip the best frame serves as the photo."""
        if isinstance(source, Photo):
            kind, face = "photo", from_photo(source, face_index, size)
            tensors = face.tensors
        else:
            clip = encode_clip(source, self.variant, face_index)
            assert clip.tracked is not None
            kind, face = "clip", from_clip(clip.tracked, face_index)
            tensors = {**face.tensors, "clip.pose": clip.codes.pose}
        name = "" if self.weights is None else self.weights.card.get("name", "")
        card = {"system": SPEC.name, "weights": name, "kind": kind, "notes": face.notes}
        return Avatar(system=SPEC.name, card=card, tensors=tensors)

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        """See `System.motion_from_audio`. The level of the whole voice counts: nothing comes before its end."""
        samples = np.concatenate([np.zeros(0, np.float32), *pieces])
        mouth = self.variant.encode_audio(samples) - self.variant.silence
        pose = self.head_pose.from_audio(samples, len(mouth), controls)
        yield _motion(mouth * np.float32(controls.expression_scale), pose)

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        """See `System.motion_from_video`. With origin "none", the default, the head is held as in the video, and a
        photo gives one frame; place and size are about the video's mean, because the codes know no others. Without an
        avatar everything is about the mean."""
        codes = encode_clip(source, self.variant, None).codes
        rest = self._pose_origin(avatar, codes.pose, controls)
        mouth = codes.mouth - self.variant.silence
        yield _motion(
            mouth * np.float32(controls.expression_scale), (codes.pose - rest) * np.float32(controls.pose_scale)
        )

    def _pose_origin(self, avatar: Avatar | None, poses: np.ndarray, controls: Controls) -> np.ndarray:
        """The code float32 [P] that poses [T, P] of a driver are measured from."""
        origin = controls.pose_origin or ("mean" if avatar is None else "none")
        if origin == "none":
            if avatar is None:
                raise UsageError("--pose-origin none needs a face to measure against; name it with --face")
            return rest_pose(avatar, self.variant)
        if controls.pose_origin is not None and len(poses) == 1:
            raise UsageError("--pose-origin mean needs a video; for a photo use --pose-origin none")
        return poses.mean(axis=0)

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        """See `System.pose_from_angles`."""
        return self.head_pose.from_angles(angles_rad)

    @property
    def motion_space(self) -> MotionSpace:
        """See `System.motion_space`: codes as long as these weights make them."""
        return CODES.with_codes(expression=len(self.variant.silence), pose=self.config.official.sizes.pose)

    def make_renderer(self, avatar: Avatar, controls: Controls) -> Renderer:
        """See `System.make_renderer`. Draws the face crop, or with `crop` "full" the whole picture around it."""
        poses = None
        if controls.pose == "source" and "clip.pose" in avatar.tensors:
            poses = avatar.tensors["clip.pose"] - rest_pose(avatar, self.variant)
        return FaceRenderer(avatar, self.variant, controls, poses)


def _motion(mouth: np.ndarray, pose: np.ndarray) -> Motion:
    return Motion(space=CODES.name, expression=mouth, pose=pose.astype(np.float32), blink=None, fps=CODES.fps)
