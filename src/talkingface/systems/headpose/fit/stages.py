"""The job of a fit of `headpose`, and the general weights that it begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from talkingface.core.config import to_dict
from talkingface.core.errors import UsageError
from talkingface.nn.state import tensors_of
from talkingface.person.stages import ClipJob
from talkingface.systems.headpose.config import HeadposeConfig, read_config

POSE_NUMBERS = 6
_LAST = "lstm_fc.0."

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob(ClipJob):
    """See `ClipJob`."""

    config: HeadposeConfig


def config_of_weights(config: HeadposeConfig) -> dict[str, Any]:
    """What a card of general weights keeps of a config: how a person is fitted is the program's, for all later versions
    of it."""
    return {key: value for key, value in to_dict(config).items() if key not in ("fit", "splats")}


def weights_config(job: FitJob) -> HeadposeConfig | None:
    """The config of the weights that the fit begins with; None without weights, or if their card has none."""
    try:
        return None if job.weights is None else read_config(job.weights.card.get("config"))
    except UsageError:
        return None


def general_audio(job: FitJob) -> State | None:
    """The general network of speech to begin with, if there is one of the same shape.

    An ATC-net for another face model, as the official one, gives all but its last layer, which then begins at zero.
    """
    theirs = weights_config(job)
    if job.weights is None or theirs is None or theirs.audio != job.config.audio:
        return None
    state = tensors_of(job.weights.tensors, "audio")
    rows = job.config.audio.expression + POSE_NUMBERS
    for key, value in state.items():
        if key.startswith(_LAST) and len(value) != rows:
            state[key] = value.new_zeros(rows, *value.shape[1:])
    return state or None
