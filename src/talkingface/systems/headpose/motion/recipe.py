"""Training of what turns speech into motion: on many people, for general weights, and on the seconds of one person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.lags import best_lag
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.config import AudioConfig
from talkingface.systems.headpose.motion.from_audio import POSE_SCALE
from talkingface.systems.headpose.motion.hearing import Hearing, MfccHearing, TokenHearing
from talkingface.training.augment_speech import SPEEDS
from talkingface.training.mouth_targets import MEASURE_SCALE, correlation_loss, measure_matrix, retime
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.speaking_clips import SpeakingClip
from talkingface.training.speech_recipe import spread_loss

ROWS, FRAMES = 24, 48  # excerpts of a batch, and their length
SILENT_COPIES = 16  # made beforehand
SILENT_ROWS = 2  # excerpts of a batch that are silence or noise, in which the mouth rests


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`inputs` float16 of T frames as `Hearing` has them, `targets` float32 [T, E + 3 + 6], `weight` float32 [T]."""

    inputs: np.ndarray
    targets: np.ndarray
    weight: np.ndarray


class AudioRecipe(Recipe):
    """Regression of mouth expression and head pose, with losses on gap, width and jaw of the mouth, which are what is
    seen.

    `clips`: training clips; `late_s`: delay of each clip's lips; `validation`: clips for `evaluate`; `copies`:
    augmented versions of each clip, made beforehand; `start`: a state dict to go on from; `narrow`: only the last
    layers are trained, for the few seconds of one person. One voice must not narrow what those of many tell apart.
    """

    name = "headpose.audio"
    phases = (Phase("fit", ("audio",)),)
    loss_weights: Mapping[str, float] = {
        "measures": 2.0,
        "shape": 0.5,
        "speed": 0.5,
        "correlation": 1.0,
        "spread": 0.1,
        "pose": 0.2,
        "pose_speed": 0.5,
    }

    def __init__(
        self,
        clips: Sequence[SpeakingClip],
        model: LinearFaceModel,
        config: AudioConfig,
        *,
        late_s: Mapping[str, float],
        validation: Sequence[SpeakingClip] = (),
        copies: int = 4,
        lr: float = 2e-3,
        start: Mapping[str, Tensor] | None = None,
        narrow: bool = False,
        seed: int = 0,
    ) -> None:
        self.config, self._validation, self._start, self._late_s = config, validation, start, late_s
        self._narrow = narrow
        self.optimizers = {"audio": OptimizerConfig(lr=lr, weight_decay=0.02, warmup_steps=50, final_ratio=0.01)}
        num = config.expression
        self._matrix = torch.from_numpy(measure_rows(model, num))
        effect = np.sqrt((model.expression[..., :num] ** 2).sum((0, 1)))
        self._effect = torch.from_numpy((effect / np.linalg.norm(effect)).astype(np.float32))
        clips = [clip for clip in clips if clip.weight.sum() > 10 and np.abs(clip.samples).max() > 1e-3]
        # a long clip counts for less than its length, so that no person outweighs the others
        seconds = np.array([min(clip.weight.sum(), 900.0) for clip in clips]) ** 0.7
        self._share = seconds / seconds.sum()
        self._hearing: Hearing = (
            TokenHearing(config, [clip.samples for clip in clips], seed) if config.encoder else MfccHearing(config)
        )
        rng = make_rng(seed, 1 << 30)
        self._silent = [self._silent_row(rng) for _ in range(SILENT_COPIES)]
        self._copies = [[self._row(clip, rng) for clip in clips] for _ in range(copies)]

    def _row(self, clip: SpeakingClip, rng: np.random.Generator) -> Row:
        speed = SPEEDS[int(rng.integers(len(SPEEDS)))]
        rows = np.concatenate([clip_targets(clip, self.config.expression), clip.weight[:, None]], axis=1)
        rows, known = retime(rows, speed, self._late_s.get(clip.slug, 0.0))
        weight = (rows[:, -1] > 0.99) * known
        inputs = self._hearing.otherwise(clip.samples, speed, len(rows), rng)
        return Row(inputs=inputs, targets=rows[:, :-1], weight=weight.astype(np.float32))

    def _silent_row(self, rng: np.random.Generator) -> Row:
        inputs, frames = self._hearing.silence(rng)
        targets = np.zeros((frames, self.config.expression + 9), np.float32)
        return Row(inputs=inputs, targets=targets, weight=np.ones(frames, np.float32))

    def networks(self) -> dict[str, nn.Module]:
        """The network that hears."""
        self.audio = self._hearing.network()
        if self._start is not None:
            self.audio.load_state_dict(self._start)
        if self._narrow:
            for layer in self._hearing.general_layers(self.audio):
                layer.requires_grad_(False)
        return {"audio": self.audio}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Excerpts of clips, and sounds that are no speech, in which the mouth rests."""
        rng = make_rng(seed, step)
        rows = [self._silent[int(rng.integers(len(self._silent)))] for _ in range(SILENT_ROWS)]
        for _ in range(ROWS - SILENT_ROWS):
            copy = self._copies[int(rng.integers(len(self._copies)))]
            rows.append(copy[int(rng.choice(len(self._share), p=self._share))])
        inputs = []
        targets = np.zeros((ROWS, FRAMES, self.config.expression + 9), np.float32)
        weight = np.zeros((ROWS, FRAMES), np.float32)
        for k, row in enumerate(rows):
            first = int(rng.integers(0, max(0, len(row.weight) - FRAMES) + 1))
            taken = min(FRAMES, len(row.weight) - first)
            cut, weight[k] = self._hearing.cut(row.inputs, row.weight, first, FRAMES)
            targets[k, :taken] = row.targets[first : first + taken]
            inputs.append(cut)
        arrays = {"inputs": np.stack(inputs).astype(np.float32), "targets": targets, "weight": weight}
        return {name: torch.from_numpy(value) for name, value in arrays.items()}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        num, weight = self.config.expression, batch["weight"][..., None]
        if self._narrow:
            for layer in self._hearing.general_layers(self.audio):
                layer.eval()  # keeps the batch statistics of many voices
        predicted = self._hearing.run(self.audio, batch["inputs"]).float()
        true_shape, true, true_pose = batch["targets"].split([num, 3, 6], dim=-1)
        shape, pose = predicted.split([num, 6], dim=-1)
        measures = shape @ self._matrix.to(shape.device).T
        count, both = weight.sum().clamp(min=1), weight[:, 1:] * weight[:, :-1]
        return {
            "measures": (functional.smooth_l1_loss(measures, true, reduction="none") * weight).sum() / count / 3,
            "shape": (((shape - true_shape) * self._effect.to(shape.device)) ** 2 * weight).sum() / count,
            "speed": ((measures.diff(dim=1) - true.diff(dim=1)) ** 2 * both).sum() / count,
            "correlation": correlation_loss(measures, true, weight),
            "spread": spread_loss(measures, true, weight),
            "pose": ((pose - true_pose) ** 2 * weight).sum() / count / 6,
            "pose_speed": (pose.diff(dim=1) ** 2 * both).sum() / count / 6,
        }

    def evaluate(self) -> dict[str, float]:
        """Median correlation of gap, width and jaw over the validation clips, best lag within three frames."""
        return mouth_correlations(
            lambda clip: self._hearing.plain(self.audio, clip), self._validation, self.measure_rows
        )

    @property
    def measure_rows(self) -> np.ndarray:
        """float32 [3, E]: see `measure_rows`."""
        return self._matrix.numpy()


def measure_rows(model: LinearFaceModel, expression: int) -> np.ndarray:
    """float32 [3, E]: gap, width and jaw, in their units, for each of the model's first `expression` coefficients."""
    return measure_matrix(model)[:, :expression] / MEASURE_SCALE[:, None]


def mouth_correlations(
    predict: Callable[[SpeakingClip], np.ndarray], clips: Sequence[SpeakingClip], matrix: np.ndarray
) -> dict[str, float]:
    """Median correlation of gap, width and jaw with the true ones over clips as they are, best lag within three frames.

    `predict` gives a network's numbers [T, >= E] for a clip; `matrix`: `measure_rows`.
    """
    expression, values = matrix.shape[1], []
    for clip in clips:
        predicted, true = predict(clip)[:, :expression] @ matrix.T, clip_targets(clip, expression)[:, -9:-6]
        seen = clip.weight > 0
        values.append([best_lag(predicted[seen, k], true[seen, k], 3)[1] for k in range(3)])
    return dict(zip(("gap", "width", "jaw"), np.median(values, axis=0).tolist(), strict=True)) if values else {}


def clip_targets(clip: SpeakingClip, expression: int) -> np.ndarray:
    """Expression, measures relative to the closed neutral mouth, and pose, each in its unit: float32 [T, E + 3 + 6]."""
    measures = (clip.measures - clip.neutral_measures) / MEASURE_SCALE
    return np.concatenate([clip.expression[:, :expression], measures, clip.pose / POSE_SCALE], 1).astype(np.float32)
