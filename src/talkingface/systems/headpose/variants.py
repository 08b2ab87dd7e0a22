"""The variants of the renderer, `compact`, `adain` and `unetac`: how each is fitted to a clip, and what draws with it.

The only place that tells them apart. Each is imported when it is needed: an avatar is drawn without the training code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from talkingface.core.system import Renderer, Weights
from talkingface.core.types import Controls
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.compositing.clip import AvatarClip
from talkingface.systems.headpose.config import HeadposeConfig

if TYPE_CHECKING:
    from talkingface.person.clip import PersonClip
    from talkingface.systems.headpose.fit.stages import FitJob


def fit_renderer(
    job: FitJob, clip: PersonClip, model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Train on the frames `train` bool [T] of a clip, with figures on `test`: the avatar's tensors.

    Those under "clip." have a row for every frame.
    """
    if job.config.renderer.kind == "compact":
        from talkingface.systems.headpose.compact.stage import fit_compact as fit
    else:
        from talkingface.systems.headpose.official.stage import fit_official as fit
    return fit(job, clip, model, train, test)


def load_renderer(
    config: HeadposeConfig, tensors: Mapping[str, np.ndarray], clip: AvatarClip, model: LinearFaceModel, device: str,
    weights: Weights | None,
) -> Callable[[Controls], Renderer]:  # fmt: skip
    """What makes renderers of an avatar's `tensors`, with what `weights` hold of imported models.

    Raises KeyError, ValueError, RuntimeError or WeightsError for tensors that do not fit the config.
    """
    if config.renderer.kind == "compact":
        from talkingface.systems.headpose.compact.renderer import load_compact

        return load_compact(config, tensors, clip, model, device)
    from talkingface.systems.headpose.official.renderer import load_official

    return load_official(config, tensors, clip, model, device, weights)
