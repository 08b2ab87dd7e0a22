"""The job of a fit of `geneface`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.core.system import Weights
from talkingface.systems.geneface.config import GenefaceConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """What to fit: the clip at `path`; `folder` keeps unfinished work; the `general` networks that hear, and the
    `weights` that they are from (None: fresh ones); and the device."""

    path: Path
    folder: Path
    config: GenefaceConfig
    general: Mapping[str, np.ndarray]
    weights: Weights | None
    device: str
    face_index: int | None = None
    size: int | str | None = None

    @property
    def seed(self) -> int:
        """That of the trainings."""
        return self.config.fit.seed
