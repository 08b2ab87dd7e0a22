"""`pcavs`: one face picture, any voice, the head pose of any video. Which of its two designs runs, the config says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

from talkingface.core.errors import WeightsError
from talkingface.core.spec import SystemSpec
from talkingface.core.system import System, Weights
from talkingface.systems.pcavs import SPEC
from talkingface.systems.pcavs.config import PcavsConfig


class PcavsSystem(System):
    """Zhou et al. 2021. See docs/systems/pcavs.md.

    `PcavsSystem(weights, config)` is a `CompactSystem` or an `OfficialSystem`. Nothing changes either afterwards, so
    threads may share one.
    """

    SPEC: ClassVar[SystemSpec] = SPEC

    def __new__(cls, weights: Weights | None, config: PcavsConfig, device: str = "cpu") -> Any:
        """The design that `config` names."""
        if cls is not PcavsSystem:
            return object.__new__(cls)
        if config.variant == "official":
            from talkingface.systems.pcavs.official.system import OfficialSystem

            return object.__new__(OfficialSystem)
        from talkingface.systems.pcavs.compact.system import CompactSystem

        return object.__new__(CompactSystem)


@contextlib.contextmanager
def weights_that_fit() -> Iterator[None]:
    """Around the loading of networks: what does not fit is a WeightsError in one line."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError) as error:
        # a fault of the machine, not of the weights
        if "out of memory" in str(error):
            raise
        problem = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"the weights do not fit their configuration ({problem}); install or train them again"
        ) from error
