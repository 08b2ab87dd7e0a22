"""The kinds of renderer: how each is fitted to a clip, and what draws with it. The only place that tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from talkingface.core.system import Weights
from talkingface.core.types import Controls, Frames, Motion
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.compact.stage import fit_compact, load_compact
from talkingface.systems.headpose.compositing.playback import Clip
from talkingface.systems.headpose.config import HeadposeConfig
from talkingface.systems.headpose.fit.preprocess import Material
from talkingface.systems.headpose.fit.stages import FitJob
from talkingface.systems.headpose.official.stage import fit_classic, load_classic


class Drawer(Protocol):
    """Draws motion."""

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """`fit` trains on the frames `train` bool [T] of a clip, looks at its progress on `test`, and gives the avatar's
    tensors (those under "clip." have a row for every frame); `load` makes drawers of them, with what `weights` hold of
    other people's models."""

    fit: Callable[[FitJob, Material, LinearFaceModel, np.ndarray, np.ndarray], dict[str, np.ndarray]]
    load: Callable[
        [HeadposeConfig, Mapping[str, np.ndarray], Clip, LinearFaceModel, str, Weights | None],
        Callable[[Controls], Drawer],
    ]


_CLASSIC = Kind(fit_classic, load_classic)
_KINDS = {"compact": Kind(fit_compact, load_compact), "adain": _CLASSIC, "unetac": _CLASSIC}


def kind_of(config: HeadposeConfig) -> Kind:
    """The kind that a config names."""
    return _KINDS[config.renderer.kind]
