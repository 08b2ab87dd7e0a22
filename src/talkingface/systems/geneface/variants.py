"""The renderers, splats and the published fields: how each is fitted to a clip, and what draws with it.

The only place that tells them apart. Each is imported when it is needed: an avatar is drawn without the training code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from talkingface.core.system import Renderer
from talkingface.core.types import Controls
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.face.pose import Pose
from talkingface.nn.state import named, part
from talkingface.systems.geneface.config import GenefaceConfig

if TYPE_CHECKING:
    from talkingface.person.clip import PersonClip
    from talkingface.systems.geneface.fit.stages import FitJob

_PREFIX = {"splats": "splats", "radnerf": "official"}


def fit_renderer(
    job: FitJob, clip: PersonClip, model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Train on the frames `train` bool [T] of a clip, with figures on `test`: the avatar's tensors."""
    config = job.config
    if config.renderer == "radnerf":
        from talkingface.systems.geneface.official.stage import fit_official

        found = fit_official(job, clip, model, train, test)
    else:
        from talkingface.person.splats.fit import fit_splats

        found = fit_splats(job, clip, model, train, test, config.splats)
    return named(_PREFIX[config.renderer], found)


def load_renderer(
    config: GenefaceConfig, tensors: Mapping[str, np.ndarray], rest: Pose, device: str
) -> Callable[[Controls], Renderer]:
    """What makes renderers of an avatar's `tensors`, whose head rests as `rest` says in the clip.

    Raises KeyError, ValueError or RuntimeError for tensors that do not fit the config.
    """
    own = part(tensors, _PREFIX[config.renderer])
    if config.renderer == "radnerf":
        from talkingface.systems.geneface.official.renderer import load_official

        return load_official(config.official, own, rest, load_mesh478(), device)
    from talkingface.person.splats.renderer import load_splats

    return load_splats(own)
