"""`headpose`: an avatar of one person from a short video, with that person's own head motion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, cast

import numpy as np

from talkingface.core.digest import avatar_digest
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.kept import Kept
from talkingface.core.spec import SystemSpec
from talkingface.core.system import Renderer, System, Weights
from talkingface.core.types import Avatar, Clip, Controls, Motion, Photo
from talkingface.systems.headpose import SPEC
from talkingface.systems.headpose.config import HeadposeConfig, read_config

_KEPT = 2  # avatars whose networks stay loaded


class HeadposeSystem(System):
    """Yi et al. 2020 and 2022. See docs/systems/headpose.md."""

    SPEC: ClassVar[SystemSpec] = SPEC

    def __init__(self, weights: Weights | None, config: HeadposeConfig, device: str = "cpu") -> None:
        super().__init__(weights, config, device)
        self._people: Kept[_Person] = Kept(_KEPT)

    def fit(
        self,
        source: Photo | Clip,
        *,
        face_index: int | None = None,
        size: int | str | None = None,
        folder: Path | None = None,
    ) -> Avatar:
        """See `System.fit`. Trains on the person's clip: minutes to an hour; stopped work goes on in `folder`."""
        from talkingface.person.stages import clip_and_folder
        from talkingface.systems.headpose.fit.pipeline import fit_avatar
        from talkingface.systems.headpose.fit.stages import FitJob

        path, folder = clip_and_folder(source, SPEC.name, folder)
        job = FitJob(
            path=path,
            folder=folder,
            config=self.config,
            weights=self.weights,
            device=self.device,
            face_index=face_index,
            size=size,
        )
        return fit_avatar(job)

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        """See `System.motion_from_audio`. Head motion is chosen for the whole voice: nothing comes before its end."""
        from talkingface.systems.headpose.motion.from_audio import speech_motion

        if avatar is None:
            raise UsageError("headpose needs an avatar to compute motion; name one with --face")
        person = self._person(avatar)
        samples = np.concatenate([np.zeros(0, np.float32), *pieces])
        yield speech_motion(
            person.audio_to_motion,
            samples,
            person.drawn.head,
            controls,
            gain=person.gain,
            journal=person.config.relative_matching,
            head_motion=person.head_motion,
        )

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        """See `System.motion_from_video`."""
        from talkingface.person.driver import video_motion

        yield video_motion(source, controls, None if avatar is None else self._person(avatar).drawn.rest)

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        """See `System.pose_from_angles`."""
        from talkingface.face.mesh478_motion import turned_rows

        return turned_rows(angles_rad)

    def make_renderer(self, avatar: Avatar, controls: Controls) -> Renderer:
        """See `System.make_renderer`."""
        return self._person(avatar).drawn.renderer(controls)

    def _person(self, avatar: Avatar) -> _Person:
        """The networks and the clip of an avatar, loaded once."""
        return self._people.get(avatar_digest(avatar), lambda: _Person(avatar, self.device, self.weights))


class _Person:
    """An avatar's networks and what draws it. Nothing in it changes after it was made but the locked cache of decoded
    frames, so that several threads may use it."""

    def __init__(self, avatar: Avatar, device: str, weights: Weights | None) -> None:
        from talkingface.nn.state import part
        from talkingface.systems.headpose.motion.from_audio import AudioToMotion
        from talkingface.systems.headpose.motion.head_motion_generator import load_head_motion
        from talkingface.systems.headpose.variants import load_person

        tensors, card = avatar.tensors, avatar.card
        try:
            self.config = read_config(card["config"])
            width, height = (int(v) for v in cast("list[int]", card["size"]))
            self.gain = float(tensors["gain"].item())
            self.audio_to_motion = AudioToMotion(self.config.audio, part(tensors, "audio"), device)
            film = avatar.files.get("clip")
            self.drawn = load_person(self.config, tensors, film, (width, height), device, weights)
            self.head_motion = load_head_motion(tensors, self.drawn.head.seen, device)
        except (KeyError, ValueError, TypeError, RuntimeError, UsageError) as error:
            raise WeightsError(
                f"the avatar is damaged or of another version ({' '.join(str(error).split())[:200]}); fit it again"
            ) from error
