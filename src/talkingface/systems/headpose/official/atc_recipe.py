"""The general training of ATC-net as published: excerpts of 16 frames of many people, with Adam at 2e-4 throughout.

Losses and weights are the published ones: errors of expression and pose, and their changes from
frame to frame. The compact preset has others (`motion.recipe`), augmentation and lip offsets, of which the paper has
none. The original's targets are the Basel model's coefficients; here they are `mesh478`'s first ones, and the pose
relative to the clip's mean in units of its usual deviation, under which the published weight counts poses more than for
radians.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.audio.mfcc import FRAME_HOP, FRAME_ROWS
from talkingface.core.errors import InputError
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.config import AudioConfig
from talkingface.systems.headpose.motion.from_audio import make_atcnet, mfcc_rows, to_windows
from talkingface.systems.headpose.motion.hearing import MfccHearing
from talkingface.systems.headpose.motion.recipe import clip_targets, measure_rows, mouth_correlations
from talkingface.systems.headpose.official.networks import init_published
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.speaking_clips import SpeakingClip

ROWS, FRAMES = 16, 16
LR = 2e-4
_POSE_NUMBERS = 6
# Published weights of `atc_losses`.
ATC_WEIGHTS = {"expression": 1.0, "pose": 0.2, "pose_smoothness": 0.01, "expression_smoothness": 1e-4}


class AtcRecipe(Recipe):
    """`clips` to train on, `validation` for `evaluate`. Raises InputError if no clip has sound and a face for 16 frames
    in a row."""

    name = "headpose.atcnet"
    phases = (Phase("fit", ("audio",)),)
    loss_weights: Mapping[str, float] = ATC_WEIGHTS
    optimizers: Mapping[str, OptimizerConfig] = {
        "audio": OptimizerConfig(lr=LR, betas=(0.5, 0.999), warmup_steps=0, final_ratio=1.0)
    }

    def __init__(
        self,
        clips: Sequence[SpeakingClip],
        model: LinearFaceModel,
        config: AudioConfig,
        validation: Sequence[SpeakingClip] = (),
    ) -> None:
        self.config, self._validation = config, validation
        self._matrix = measure_rows(model, config.expression)
        self._inputs: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []
        starts = []
        for clip in clips:
            whole = np.convolve(clip.weight > 0, np.ones(FRAMES), mode="valid") == FRAMES if len(clip) >= FRAMES else []
            first = np.flatnonzero(whole)
            if not len(first) or np.abs(clip.samples).max() < 1e-3:
                continue
            starts.append(np.stack([np.full(len(first), len(self._inputs)), first], axis=1))
            self._inputs.append(mfcc_rows(clip.samples, len(clip)).astype(np.float16))
            targets = clip_targets(clip, config.expression)
            self._targets.append(np.delete(targets, np.s_[config.expression : -_POSE_NUMBERS], axis=1))
        if not starts:
            raise InputError(f"no clip shows a speaking face for {FRAMES} frames in a row; prepare more clips")
        self._starts = np.concatenate(starts)

    def networks(self) -> dict[str, nn.Module]:
        """ATC-net, with the published starting weights."""
        self.audio = make_atcnet(self.config)
        init_published(self.audio)
        return {"audio": self.audio}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """MFCC [16, 88, 12] and targets [16, 16, E + 6] of random excerpts."""
        length = FRAME_HOP * FRAMES + FRAME_ROWS - FRAME_HOP
        rows = self._starts[make_rng(seed, step).integers(len(self._starts), size=ROWS)]
        inputs = [self._inputs[clip][FRAME_HOP * first : FRAME_HOP * first + length] for clip, first in rows]
        targets = [self._targets[clip][first : first + FRAMES] for clip, first in rows]
        return {
            "inputs": torch.from_numpy(np.stack(inputs).astype(np.float32)),
            "targets": torch.from_numpy(np.stack(targets).astype(np.float32)),
        }

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `atc_losses`."""
        return atc_losses(self.audio(to_windows(batch["inputs"]))[0].float(), batch["targets"], self.config.expression)

    def evaluate(self) -> dict[str, float]:
        """See `motion.recipe.mouth_correlations`."""
        hearing = MfccHearing(self.config)
        return mouth_correlations(lambda clip: hearing.plain(self.audio, clip), self._validation, self._matrix)


def atc_losses(predicted: Tensor, target: Tensor, expression: int = 64) -> dict[str, Tensor]:
    """ATC-net's numbers [B, T, E + P] against the true ones; `expression` is E.

    "expression" and "pose" are mean squared errors. The smoothness terms are squared changes from frame to frame of
    the prediction, summed over time and numbers and averaged over the batch.
    """
    errors = (predicted - target).square()
    changes = (predicted[:, 1:] - predicted[:, :-1]).square().sum(1)
    return {
        "expression": errors[..., :expression].mean(),
        "pose": errors[..., expression:].mean(),
        "pose_smoothness": changes[:, expression:].sum(1).mean(),
        "expression_smoothness": changes[:, :expression].sum(1).mean(),
    }
