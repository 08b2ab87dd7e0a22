"""The kinds of networks. The only place that tells them apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from talkingface.core.errors import WeightsError
from talkingface.systems.pcavs.codes import Talker
from talkingface.systems.pcavs.config import PcavsConfig


def load_talker(config: PcavsConfig, tensors: Mapping[str, np.ndarray] | None, device: str) -> Talker:
    """The networks of a config, from the weights' tensors; None: fresh ones. Raises WeightsError if they do not fit."""
    try:
        if config.kind == "official":
            from talkingface.systems.pcavs.official.inference import OfficialTalker

            return OfficialTalker(config, tensors, device)
        from talkingface.systems.pcavs.compact.inference import CompactTalker

        return CompactTalker(config, tensors, device)
    except (RuntimeError, KeyError, ValueError) as error:
        if "out of memory" in str(error):
            raise
        problem = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"the weights do not fit their configuration ({problem}); install or train them again"
        ) from error
