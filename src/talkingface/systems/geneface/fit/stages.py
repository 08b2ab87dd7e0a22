"""The job of a fit of `geneface`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.person.stages import ClipJob
from talkingface.systems.geneface.config import GenefaceConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob(ClipJob):
    """See `ClipJob`; `general` are the networks that hear, from the weights, or fresh ones."""

    config: GenefaceConfig
    general: Mapping[str, np.ndarray]
