"""`geneface`: a three-dimensional avatar of one person that any voice can drive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from talkingface.core.digest import avatar_digest
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.kept import Kept, once
from talkingface.core.motion import follow_poses
from talkingface.core.spec import SystemSpec
from talkingface.core.system import Renderer, System, Weights
from talkingface.core.types import Avatar, Clip, Controls, Frames, Motion, Photo
from talkingface.systems.geneface import SPEC
from talkingface.systems.geneface.config import HEADS, GenefaceConfig, GenefaceOptions, read_config

_KEPT = 2  # avatars whose networks stay loaded


class GenefaceSystem(System):
    """Ye et al. 2023. See docs/systems/geneface.md."""

    SPEC: ClassVar[SystemSpec] = SPEC

    def __init__(self, weights: Weights | None, config: GenefaceConfig, device: str = "cpu") -> None:
        if weights is not None:  # the networks of a voice are the weights' own, whatever preset a fit is made with
            config = replace(config, speech=read_config(weights.card.get("config", {})).speech)
        super().__init__(weights, config, device)
        self._people: Kept[_Person] = Kept(_KEPT)

    @once
    def general(self) -> Mapping[str, np.ndarray]:
        """The networks that hear any voice."""
        if self.weights is not None:
            return self.weights.tensors
        from talkingface.systems.geneface.init_weights import init_tensors

        return init_tensors(self.config.speech)

    def fit(
        self,
        source: Photo | Clip,
        *,
        face_index: int | None = None,
        size: int | str | None = None,
        folder: Path | None = None,
    ) -> Avatar:
        """See `System.fit`. Trains on the person's clip: some minutes to an hour; stopped work goes on in `folder`."""
        from talkingface.person.stages import clip_and_folder
        from talkingface.systems.geneface.fit.pipeline import fit_avatar
        from talkingface.systems.geneface.fit.stages import FitJob

        path, folder = clip_and_folder(source, SPEC.name, folder)
        job = FitJob(
            path=path,
            folder=folder,
            config=self.config,
            general=self.general,
            weights=self.weights,
            device=self.device,
            face_index=face_index,
            size=size,
        )
        return fit_avatar(job)

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        """See `System.motion_from_audio`. Without an avatar nobody in particular speaks."""
        from talkingface.systems.geneface.speaking import person_speech, speech_motion

        options = cast("GenefaceOptions", controls.own or GenefaceOptions())
        if avatar is None:
            speech = person_speech(self.general, {}, None, self.config.speech)
            return speech_motion(speech, None, pieces, controls, options)
        person = self._person(avatar)
        return speech_motion(person.speech[options.head], person.manner, pieces, controls, options)

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        """See `System.motion_from_video`."""
        from talkingface.person.driver import video_motion

        yield video_motion(source, controls, None if avatar is None else self._person(avatar).manner.rest)

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        """See `System.pose_from_angles`."""
        from talkingface.face.mesh478_motion import turned_rows

        return turned_rows(angles_rad)

    def make_renderer(self, avatar: Avatar, controls: Controls) -> Renderer:
        """See `System.make_renderer`."""
        person = self._person(avatar)
        renderer = person.renderer(controls)
        return _OwnHead(renderer, person.manner.pose) if controls.pose == "source" else renderer

    def _person(self, avatar: Avatar) -> _Person:
        """The networks and the manner of an avatar, loaded once."""
        return self._people.get(avatar_digest(avatar), lambda: _Person(avatar, self))


class _OwnHead:
    """A renderer whose head moves as in the avatar's clip, by rows [T, 6] at the system's clock."""

    def __init__(self, renderer: Renderer, poses: np.ndarray) -> None:
        self._renderer, self._poses = renderer, poses

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`."""
        return self._renderer.frames(follow_poses(motions, self._poses, SPEC.fps), first)

    def __getattr__(self, name: str) -> Any:
        """What can be viewed from all around is drawn by the renderer: a view asks for one pose."""
        return getattr(self._renderer, name)


class _Person:
    """An avatar's networks. Nothing in it changes after it was made, so that several threads may use it."""

    def __init__(self, avatar: Avatar, system: GenefaceSystem) -> None:
        from talkingface.nn.state import part
        from talkingface.systems.geneface.manner import manner_from_tensors
        from talkingface.systems.geneface.speaking import person_speech
        from talkingface.systems.geneface.variants import load_renderer

        tensors, card = avatar.tensors, avatar.card
        try:
            config = read_config(card["config"])
            width, height = (int(v) for v in cast("list[int]", card["size"]))
            self.manner = manner_from_tensors(tensors, (width, height))
            adapter = part(tensors, "adapter")
            self.speech = {
                head: person_speech(system.general, adapter, self.manner, system.config.speech, head) for head in HEADS
            }
            self.renderer = load_renderer(config, tensors, self.manner.rest_pose, system.device)
        except (KeyError, ValueError, TypeError, RuntimeError, IndexError, UsageError) as error:
            raise WeightsError(
                f"the avatar is damaged or of another version ({' '.join(str(error).split())[:200]}); fit it again"
            ) from error
