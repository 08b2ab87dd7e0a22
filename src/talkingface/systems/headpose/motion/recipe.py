"""Training of ATC-net: the compact one on many people, for general weights, and any one on the seconds of one
person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.audio.mfcc import FRAME_HOP, FRAME_ROWS, RATE_HZ
from talkingface.core.lags import best_lag
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.config import AudioConfig
from talkingface.systems.headpose.motion.from_audio import POSE_SCALE, make_atcnet, mfcc_rows, to_windows
from talkingface.training.mouth_targets import MEASURE_SCALE, correlation_loss, measure_matrix, retime
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.speaking_clips import SpeakingClip

SPEEDS = (1.0, 0.89, 0.95, 1.06, 1.12)  # playing speeds of augmented speech: pitch, formants and tempo change together
ROWS, FRAMES = 24, 48  # excerpts of a batch, and their length
SILENT_ROWS = 2  # excerpts of a batch that are silence or noise, in which the mouth rests
WARM_UP_FRAMES = 10  # frames at the start of an excerpt that have no loss: the LSTM lacks what came before them


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """MFCC `inputs` float16 [4 T + 24, 12] of T frames, `targets` float32 [T, E + 3 + 6], `weight` float32 [T]."""

    inputs: np.ndarray
    targets: np.ndarray
    weight: np.ndarray


class AudioRecipe(Recipe):
    """Regression of mouth expression and head pose, with losses on gap, width and jaw of the mouth, which are what is
    seen.

    `clips`: training clips; `late_s`: delay of each clip's lips; `validation`: clips for `evaluate`; `copies`:
    augmented versions of each clip, made beforehand; `start`: a state dict to go on from; `freeze_encoder`: only the
    LSTM and the layer after it are trained, for the few seconds of one person. One voice must not narrow what the
    convolutions of many voices tell apart.
    """

    name = "headpose.audio"
    phases = (Phase("fit", ("audio",)),)
    loss_weights: Mapping[str, float] = {
        "measures": 2.0,
        "shape": 0.5,
        "speed": 0.5,
        "correlation": 1.0,
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
        copies: int = 6,
        lr: float = 2e-3,
        start: Mapping[str, Tensor] | None = None,
        freeze_encoder: bool = False,
        seed: int = 0,
    ) -> None:
        self.config, self._validation, self._start, self._late_s = config, validation, start, late_s
        self._freeze_encoder = freeze_encoder
        self.optimizers = {"audio": OptimizerConfig(lr=lr, weight_decay=0.02, warmup_steps=50, final_ratio=0.01)}
        num = config.expression
        self._matrix = torch.from_numpy(measure_rows(model, num))
        effect = np.sqrt((model.expression[..., :num] ** 2).sum((0, 1)))
        self._effect = torch.from_numpy((effect / np.linalg.norm(effect)).astype(np.float32))
        clips = [clip for clip in clips if clip.weight.sum() > 10 and np.abs(clip.samples).max() > 1e-3]
        # a long clip counts for less than its length, so that no person outweighs the others
        seconds = np.array([min(clip.weight.sum(), 900.0) for clip in clips]) ** 0.7
        self._share = seconds / seconds.sum()
        rng = make_rng(seed, 1 << 30)
        self._copies = [[self._row(clip, rng) for clip in clips] for _ in range(copies)]

    def _row(self, clip: SpeakingClip, rng: np.random.Generator) -> Row:
        speed = SPEEDS[int(rng.integers(len(SPEEDS)))]
        rows = np.concatenate([clip_targets(clip, self.config.expression), clip.weight[:, None]], axis=1)
        rows, known = retime(rows, speed, self._late_s.get(clip.slug, 0.0))
        weight = (rows[:, -1] > 0.99) * known
        inputs = mfcc_rows(augment_speech(clip.samples, speed, rng), len(rows)).astype(np.float16)
        return Row(inputs=inputs, targets=rows[:, :-1], weight=weight.astype(np.float32))

    def networks(self) -> dict[str, nn.Module]:
        """ATC-net."""
        self.audio = make_atcnet(self.config)
        if self._start is not None:
            self.audio.load_state_dict(self._start)
        if self._freeze_encoder:
            self.audio.audio_eocder.requires_grad_(False)
            self.audio.audio_eocder_fc.requires_grad_(False)
        return {"audio": self.audio}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Excerpts of clips, and silence in which the mouth rests."""
        rng = make_rng(seed, step)
        length = FRAME_HOP * FRAMES + FRAME_ROWS - FRAME_HOP
        inputs = np.zeros((ROWS, length, 12), np.float32)
        targets = np.zeros((ROWS, FRAMES, self.config.expression + 9), np.float32)
        weight = np.zeros((ROWS, FRAMES), np.float32)
        for k in range(ROWS - SILENT_ROWS):
            row = self._copies[int(rng.integers(len(self._copies)))][int(rng.choice(len(self._share), p=self._share))]
            first = int(rng.integers(0, max(0, len(row.weight) - FRAMES) + 1))
            taken = min(FRAMES, len(row.weight) - first)
            part = row.inputs[FRAME_HOP * first : FRAME_HOP * first + length]
            inputs[k, : len(part)] = part
            targets[k, :taken] = row.targets[first : first + taken]
            weight[k, :taken] = row.weight[first : first + taken]
            if first:
                weight[k, :WARM_UP_FRAMES] = 0
        for k in range(ROWS - SILENT_ROWS, ROWS):
            noise = room_noise(RATE_HZ * (FRAMES + 8) // 25, rng)
            inputs[k], weight[k] = mfcc_rows(noise, FRAMES), 1
        return {name: torch.from_numpy(value) for name, value in
                (("inputs", inputs), ("targets", targets), ("weight", weight))}  # fmt: skip

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        num, weight = self.config.expression, batch["weight"][..., None]
        if self._freeze_encoder:
            self.audio.audio_eocder.eval()  # keeps the batch statistics of many voices
        predicted = self.audio(to_windows(batch["inputs"]))[0].float()
        true_shape, true, true_pose = batch["targets"].split([num, 3, 6], dim=-1)
        shape, pose = predicted.split([num, 6], dim=-1)
        measures = shape @ self._matrix.to(shape.device).T
        count, both = weight.sum().clamp(min=1), weight[:, 1:] * weight[:, :-1]
        return {
            "measures": (functional.smooth_l1_loss(measures, true, reduction="none") * weight).sum() / count / 3,
            "shape": (((shape - true_shape) * self._effect.to(shape.device)) ** 2 * weight).sum() / count,
            "speed": ((measures.diff(dim=1) - true.diff(dim=1)) ** 2 * both).sum() / count,
            "correlation": correlation_loss(measures, true, weight),
            "pose": ((pose - true_pose) ** 2 * weight).sum() / count / 6,
            "pose_speed": (pose.diff(dim=1) ** 2 * both).sum() / count / 6,
        }

    def evaluate(self) -> dict[str, float]:
        """Median correlation of gap, width and jaw over the validation clips, best lag within three frames."""
        return mouth_correlations(self.audio, self._validation, self.measure_rows)

    @property
    def measure_rows(self) -> np.ndarray:
        """float32 [3, E]: see `measure_rows`."""
        return self._matrix.numpy()


def measure_rows(model: LinearFaceModel, expression: int) -> np.ndarray:
    """float32 [3, E]: gap, width and jaw, in their units, for each of the model's first `expression` coefficients."""
    return measure_matrix(model)[:, :expression] / MEASURE_SCALE[:, None]


def mouth_correlations(network: nn.Module, clips: Sequence[SpeakingClip], matrix: np.ndarray) -> dict[str, float]:
    """Median correlation of gap, width and jaw with the true ones over clips as they are, best lag within three frames.

    `network`: an ATC-net; `matrix`: `measure_rows`.
    """
    device, expression, values = next(network.parameters()).device, matrix.shape[1], []
    for clip in clips:
        rows = torch.from_numpy(mfcc_rows(clip.samples, len(clip)))
        with torch.no_grad():
            numbers = network(to_windows(rows[None]).to(device))[0][0, :, :expression].float().cpu().numpy()
        predicted, true = numbers @ matrix.T, clip_targets(clip, expression)[:, -9:-6]
        seen = clip.weight > 0
        values.append([best_lag(predicted[seen, k], true[seen, k], 3)[1] for k in range(3)])
    return dict(zip(("gap", "width", "jaw"), np.median(values, axis=0).tolist(), strict=True)) if values else {}


def clip_targets(clip: SpeakingClip, expression: int) -> np.ndarray:
    """Expression, measures relative to the closed neutral mouth, and pose, each in its unit: float32 [T, E + 3 + 6]."""
    measures = (clip.measures - clip.neutral_measures) / MEASURE_SCALE
    return np.concatenate([clip.expression[:, :expression], measures, clip.pose / POSE_SCALE], 1).astype(np.float32)


def augment_speech(samples: np.ndarray, speed: float, rng: np.random.Generator) -> np.ndarray:
    """Speech float32 [N] at 16 kHz at another `speed`, with a random equaliser, gain and background noise."""
    if speed != 1.0:
        import soxr

        samples = soxr.resample(samples, RATE_HZ * speed, RATE_HZ)
    samples = _coloured(samples, 4.0, rng)
    if rng.random() < 0.6:
        loud = float(np.sqrt(np.mean(samples**2))) + 1e-6
        noise = _coloured(rng.standard_normal(len(samples)), 8.0, rng)
        samples = samples + noise / max(1e-9, float(noise.std())) * loud * 10 ** (-rng.uniform(8, 45) / 20)
    return samples.astype(np.float32)


def room_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Steady noise of a random spectrum and level, or digital silence: float32 [length]."""
    if rng.random() < 0.2:
        return np.zeros(length, np.float32)
    noise = _coloured(rng.standard_normal(length), 8.0, rng)
    return (noise / noise.std() * 10 ** (rng.uniform(-90, -35) / 20)).astype(np.float32)


def _coloured(samples: np.ndarray, tilt_db: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random frequency response."""
    spectrum = np.fft.rfft(samples)
    x = np.linspace(0, 1, len(spectrum))
    wave = rng.normal(0, tilt_db / 2) * np.cos(2 * np.pi * x * rng.uniform(0.5, 2) + rng.uniform(0, 6))
    return np.fft.irfft(spectrum * 10 ** ((rng.normal(0, tilt_db) * 2 * (x - 0.5) + wave) / 20), len(samples))
