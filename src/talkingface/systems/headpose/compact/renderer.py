"""The compact renderer: splats of the person, whose head, lids, eyes and brows move as in frames of the clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from talkingface.core.motion import ping_pong
from talkingface.core.system import Renderer
from talkingface.core.types import Controls, Frames, Motion
from talkingface.nn.state import named, part
from talkingface.person.clip import FPS, PersonClip
from talkingface.person.eyes import gaze_in_room, lids_of, look_of
from talkingface.person.heads import ClipHead
from talkingface.person.splats.renderer import SplatPerson, SplatRenderer
from talkingface.systems.headpose.motion.head_poses import head_from_tensors, head_tensors

_MOUTH = 16
"""Coefficients of expression that move the mouth; those after them move the brows."""
_STEPS = 255  # of lid closure that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipMotion:
    """What moves beside the mouth in each frame of a clip: the `head`, `brows` float32 [M, 4], `lids` float32 [M] as
    `Motion.blink`, and where the eyes `look` in their head, float32 [M, 2] radians."""

    head: ClipHead
    brows: np.ndarray
    lids: np.ndarray
    look: np.ndarray


def clip_tensors(clip: PersonClip, learned: np.ndarray) -> dict[str, np.ndarray]:
    """What an avatar keeps of its clip's frames; lids and eyes rest as in the frames `learned` bool [T]."""
    tensors = {
        **head_tensors(clip.track, clip.fit),
        "brows": clip.fit.expression[:, _MOUTH:].astype(np.float16),
        "lids": np.round(_STEPS * lids_of(clip, learned)).astype(np.uint8),
        "look": look_of(clip, learned).astype(np.float16),
    }
    return named("clip", tensors)


class CompactRenderer:
    """Draws motion with a person's splats.

    What motion from speech leaves open is that of the clip's frame which it names (`Motion.source`), or of the clip as
    it plays forwards and backwards.
    """

    def __init__(self, renderer: Renderer, clip: ClipMotion, controls: Controls) -> None:
        self._renderer, self._clip, self._controls = renderer, clip, controls

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`."""
        return self._renderer.frames(map(self._completed, motions), first)

    def _completed(self, motion: Motion) -> Motion:
        clip, as_filmed, pose = self._clip, self._controls.pose == "source", motion.pose
        if as_filmed or (motion.source is None and motion.blink is None):
            at = ping_pong((motion.start + np.arange(len(motion))) * (FPS / motion.fps), len(clip.lids))
        elif motion.source is not None:
            at = np.clip(motion.source[:, 0], 0, len(clip.lids) - 1)
        else:
            return motion
        if as_filmed or pose is None:
            pose = _between(clip.head.rows, at) if as_filmed else np.zeros((len(motion), 6), np.float32)
        look = _between(clip.look, at) * np.float32(self._controls.gaze)
        return replace(
            motion,
            expression=np.concatenate([motion.expression[:, :_MOUTH], _between(clip.brows, at)], axis=1),
            pose=pose,
            blink=_between(clip.lids[:, None], at) * np.float32(self._controls.blink > 0),
            gaze=gaze_in_room(look, pose),
        )


def _between(rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows [M, C] at places [T] between them, float32 [T, C]."""
    low = np.floor(at).astype(int)
    share = (at - low)[:, None].astype(np.float32)
    return (rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share).astype(np.float32)


def load_compact(tensors: Mapping[str, np.ndarray]) -> tuple[SplatPerson, ClipMotion]:
    """The person and the clip of an avatar's tensors. Raises KeyError or ValueError for others."""
    person, kept = SplatPerson(part(tensors, "splats")), part(tensors, "clip")
    clip = ClipMotion(
        head=head_from_tensors(kept, person.rest),
        brows=kept["brows"].astype(np.float32),
        lids=kept["lids"].astype(np.float32) / _STEPS,
        look=kept["look"].astype(np.float32),
    )
    if not len(clip.head) == len(clip.brows) == len(clip.lids) == len(clip.look) > 0:
        raise ValueError("heads, brows, lids and eyes of the clip are of different lengths")
    return person, clip


def make_renderer(person: SplatPerson, clip: ClipMotion, controls: Controls) -> CompactRenderer:
    """What draws with these controls."""
    return CompactRenderer(SplatRenderer(person, controls), clip, controls)
