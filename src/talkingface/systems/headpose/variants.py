"""The variants of the renderer, `compact`, `adain` and `unetac`: how each is fitted to a clip, and what draws with it.

The only place that tells them apart. Each is imported when it is needed: an avatar is drawn without the training code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from talkingface.core.system import Renderer, Weights
from talkingface.core.types import Controls
from talkingface.face.mesh478_motion import RestingHead
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.nn.state import named
from talkingface.person.heads import ClipHead
from talkingface.systems.headpose.config import HeadposeConfig

if TYPE_CHECKING:
    from talkingface.person.clip import PersonClip
    from talkingface.systems.headpose.fit.stages import FitJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A person who can be drawn: the `head` in every frame of their clip, where it is at `rest`, and what makes
    renderers."""

    head: ClipHead
    rest: RestingHead
    renderer: Callable[[Controls], Renderer]


def fit_renderer(
    job: FitJob, clip: PersonClip, model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Train on the frames `train` bool [T] of a clip, with figures on `test`: the avatar's tensors.

    Those under "clip." have a row for every frame.
    """
    if job.config.renderer.kind == "compact":
        from talkingface.person.splats.fit import fit_splats
        from talkingface.systems.headpose.compact.renderer import clip_tensors

        splats = fit_splats(job, clip, model, train, test, job.config.splats)
        return named("splats", splats) | clip_tensors(clip, (clip.track.confidence > 0) & train)
    from talkingface.systems.headpose.compositing.clip import clip_tensors as film_tensors
    from talkingface.systems.headpose.official.stage import fit_official

    return fit_official(job, clip, model, train, test) | film_tensors(clip.track, clip.fit)


def load_person(
    config: HeadposeConfig, tensors: Mapping[str, np.ndarray], film: Path | None, size: tuple[int, int], device: str,
    weights: Weights | None,
) -> Drawn:  # fmt: skip
    """The person of an avatar's `tensors`, with what `weights` hold of imported models; `film`: the clip's pictures of
    `size`, which the published renderers draw into.

    Raises KeyError, ValueError, RuntimeError or WeightsError for tensors that do not fit the config.
    """
    if config.renderer.kind == "compact":
        from talkingface.systems.headpose.compact.renderer import load_compact, make_renderer

        person, clip = load_compact(tensors)
        return Drawn(
            head=clip.head, rest=person.resting_head(), renderer=lambda controls: make_renderer(person, clip, controls)
        )
    from talkingface.systems.headpose.compositing.clip import clip_from_tensors
    from talkingface.systems.headpose.official.renderer import load_official
    from talkingface.video.stored import StoredFrames

    if film is None:
        raise KeyError("clip")
    shown = clip_from_tensors(tensors, StoredFrames(film, size), size)
    renderer = load_official(config, tensors, shown, load_mesh478(), device, weights)
    return Drawn(head=shown.head, rest=shown.resting_head(), renderer=renderer)
