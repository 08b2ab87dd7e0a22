"""Training of speech to mouth motion, on clips and on synthetic speech with known phones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d
from torch import Tensor, nn
from torch.nn import functional

from talkingface.audio.mel import speech_columns
from talkingface.face.morphable import LinearFaceModel
from talkingface.metrics.mouth import CLOSED_GAP
from talkingface.metrics.sync import best_lag, correlation_at
from talkingface.systems.portrait.motion.audio2motion import COLUMNS_PER_FRAME, COMING_FRAMES, FPS, LOOKAHEAD
from talkingface.systems.portrait.motion.augment import (
    SPEEDS,
    augment_columns,
    hide_parts,
    make_noise,
    played,
    to_input,
)
from talkingface.systems.portrait.motion.config import LIP_CLOSURES, PAUSE, PHONES, MouthConfig
from talkingface.systems.portrait.motion.network import MouthNet
from talkingface.systems.portrait.motion.synthetic_speech import SpokenText, phone_rows
from talkingface.training.mouth_targets import MEASURE_SCALE, correlation_loss, measure_matrix, retime
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.speaking_clips import SpeakingClip

LONG_FRAMES = 45
LONG_BATCH, SHORT_BATCH, PHONE_BATCH = (20, 100), (56, 36), (24, 80)
"""Rows and frames of the batches of long clips, short clips and synthetic speech."""
SPOKEN_ROWS = 1200
"""Augmented rows made of each kind of speech with known phones."""
SILENCE = -3.0
OFFSET_RATE = 100
OFFSET_STEPS = np.arange(-24, 25)
UNHEARD = 20
"""Frames at the start of a cut without a loss: the network lacks the sound before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Network input float16 [4 (T + LOOKAHEAD), 80], targets float32 [T, D] and weights float32 [T]."""

    values: np.ndarray
    targets: np.ndarray
    weight: np.ndarray


def pad_columns(values: np.ndarray, num_frames: int) -> np.ndarray:
    """Input cut or filled with silence to `num_frames` plus lookahead."""
    length = COLUMNS_PER_FRAME * (num_frames + LOOKAHEAD)
    padded = np.full((length, values.shape[1]), SILENCE, values.dtype)
    padded[: len(values)] = values[:length]
    return padded


def clip_targets(clip: SpeakingClip, num_mouth: int) -> np.ndarray:
    """Mouth coefficients, measures relative to the closed neutral mouth in their unit, lips that meet: [T, M + 4]."""
    measures = (clip.measures - clip.neutral_measures) / MEASURE_SCALE
    closed = clip.measures[:, :1] < CLOSED_GAP
    return np.concatenate([clip.expression[:, :num_mouth], measures, closed], axis=1).astype(np.float32)


class MouthRecipe(Recipe):
    """Regression of mouth coefficients with losses on what is seen (gap, width, jaw), and phones as a second task.

    `clips`: training clips; `late_s`: how late each clip's lips are; `spoken`: kinds of speech with known phones, used
    equally; `validation`: clips for `evaluate`; `copies`: how many augmented versions of each clip are made beforehand,
    each played at one of `speeds`.
    """

    name = "portrait.audio2motion"
    phases = (Phase("fit", ("mouth",)),)
    loss_weights = {
        "measures": 2.0,
        "shape": 0.5,
        "speed": 0.5,
        "correlation": 1.0,
        "phones": 0.5,
        "coming": 0.5,
        "closed": 0.5,
    }
    optimizers = {"mouth": OptimizerConfig(lr=2e-3, weight_decay=0.02, warmup_steps=50, final_ratio=0.005)}

    def __init__(
        self,
        clips: Sequence[SpeakingClip],
        spoken: Sequence[Sequence[SpokenText]],
        model: LinearFaceModel,
        config: MouthConfig,
        *,
        late_s: Mapping[str, float],
        validation: Sequence[SpeakingClip] = (),
        copies: int = 8,
        speeds: Sequence[float] = SPEEDS,
        dropout: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.config, self._dropout, self._validation = config, dropout, validation
        self._matrix = measure_rows(model)
        basis = model.expression[..., : config.num_mouth]
        effect = np.sqrt((basis**2).sum((0, 1)))
        self._effect = torch.from_numpy((effect / np.linalg.norm(effect)).astype(np.float32))
        clips = [clip for clip in clips if clip.weight.sum() > 10 and np.abs(clip.samples).max() > 1e-3]
        self._long = [k for k, clip in enumerate(clips) if len(clip) >= LONG_FRAMES]
        self._short = [k for k, clip in enumerate(clips) if len(clip) < LONG_FRAMES]
        seconds = np.array([min(clips[k].weight.sum(), 900.0) for k in self._long]) ** 0.8
        self._share = seconds / seconds.sum()
        rng = make_rng(seed, 1 << 30)
        self._copies = [[self._clip_row(clip, late_s, speeds, rng) for clip in clips] for _ in range(copies)]
        self._spoken = [
            [self._spoken_row(text, rng) for text in texts for _ in range(max(1, SPOKEN_ROWS // len(texts)))]
            for texts in spoken
        ]

    def _clip_row(
        self, clip: SpeakingClip, late_s: Mapping[str, float], speeds: Sequence[float], rng: np.random.Generator
    ) -> Row:
        speed = speeds[int(rng.integers(len(speeds)))]
        values = to_input(augment_columns(speech_columns(played(clip.samples, speed)), rng))
        rows = np.concatenate([clip_targets(clip, self.config.num_mouth), clip.weight[:, None]], axis=1)
        rows, known = retime(rows, speed, late_s.get(clip.slug, 0.0))
        weight = (rows[:, -1] > 0.99) * known
        return Row(values=pad_columns(values, len(rows)), targets=rows[:, :-1], weight=weight.astype(np.float32))

    def _spoken_row(self, text: SpokenText, rng: np.random.Generator) -> Row:
        values = to_input(augment_columns(speech_columns(text.samples), rng))
        frames = len(values) // COLUMNS_PER_FRAME
        rows = phone_rows(text.phones, frames, FPS)
        weight = rows.sum(axis=1)
        coming = maximum_filter1d(weight - rows[:, PAUSE], COMING_FRAMES, origin=-(COMING_FRAMES // 2))
        closed = rows[:, list(LIP_CLOSURES)].sum(axis=1)
        targets = np.column_stack([rows, coming, closed])
        return Row(values=pad_columns(values, frames), targets=targets, weight=weight)

    def networks(self) -> dict[str, nn.Module]:
        """The mouth network."""
        self.mouth = MouthNet(self.config, self._dropout)
        return {"mouth": self.mouth}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Clips at every step (short ones at every third), synthetic speech at every second."""
        rng = make_rng(seed, step)
        if self._short and step % 3 == 2:
            rows = [self._pick(self._short, None, rng) for _ in range(SHORT_BATCH[0])]
            batch = self._gather(rows, SHORT_BATCH[1], rng)
        else:
            rows = [self._pick(self._long, self._share, rng) for _ in range(LONG_BATCH[0] - 2)]
            rows += [self._silent(LONG_BATCH[1], rng) for _ in range(2)]
            batch = self._gather(rows, LONG_BATCH[1], rng)
        if step % 2 == 0 and self._spoken:
            kinds = [self._spoken[k % len(self._spoken)] for k in range(PHONE_BATCH[0] - 3)]
            rows = [kind[int(rng.integers(len(kind)))] for kind in kinds]
            rows += [self._silent_phones(PHONE_BATCH[1], rng) for _ in range(3)]
            spoken = self._gather(rows, PHONE_BATCH[1], rng)
            batch |= {f"spoken_{name}": value for name, value in spoken.items()}
        return batch

    def _pick(self, chosen: list[int], share: np.ndarray | None, rng: np.random.Generator) -> Row:
        return self._copies[int(rng.integers(len(self._copies)))][int(rng.choice(chosen, p=share))]

    def _noise(self, frames: int, rng: np.random.Generator) -> np.ndarray:
        columns = make_noise(COLUMNS_PER_FRAME * (frames + LOOKAHEAD), rng.uniform(-100, -35), rng)
        return to_input(np.maximum(columns, -100.0))

    def _silent(self, frames: int, rng: np.random.Generator) -> Row:
        targets = np.zeros((frames, self.config.num_mouth + 4), np.float32)
        targets[:, -1] = 1
        return Row(values=self._noise(frames, rng), targets=targets, weight=np.ones(frames, np.float32))

    def _silent_phones(self, frames: int, rng: np.random.Generator) -> Row:
        targets = np.eye(len(PHONES) + 2, dtype=np.float32)[np.full(frames, PAUSE)]
        return Row(values=self._noise(frames, rng), targets=targets, weight=np.ones(frames, np.float32))

    def _gather(self, rows: Sequence[Row], frames: int, rng: np.random.Generator) -> dict[str, Tensor]:
        width = rows[0].targets.shape[1]
        shape = len(rows), COLUMNS_PER_FRAME * (frames + LOOKAHEAD), rows[0].values.shape[1]
        values = np.full(shape, SILENCE, np.float32)
        targets, weight = np.zeros((len(rows), frames, width), np.float32), np.zeros((len(rows), frames), np.float32)
        for k, row in enumerate(rows):
            spare = len(row.weight) - frames
            first = int(rng.integers(0, spare + 1)) if spare > 0 else 0
            lead = int(rng.integers(0, 1 - spare)) if spare < 0 else 0
            taken = min(frames - lead, len(row.weight) - first)
            part = row.values[COLUMNS_PER_FRAME * first : COLUMNS_PER_FRAME * (first + frames + LOOKAHEAD - lead)]
            values[k, COLUMNS_PER_FRAME * lead :][: len(part)] = part
            targets[k, lead : lead + taken] = row.targets[first : first + taken]
            weight[k, lead : lead + taken] = row.weight[first : first + taken]
            if first:
                weight[k, :UNHEARD] = 0
            hide_parts(values[k], rng)
        arrays = {"values": values, "targets": targets, "weight": weight}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        num, weight = self.config.num_mouth, batch["weight"][..., None]
        heard = self.mouth(batch["values"])[:, LOOKAHEAD:]
        shape = heard[..., :num]
        true_shape, true = batch["targets"][..., :num], batch["targets"][..., num : num + 3]
        measures = shape @ self._matrix.T
        count = weight.sum().clamp(min=1)
        both = weight[:, 1:] * weight[:, :-1]
        losses = {
            "measures": (functional.smooth_l1_loss(measures, true, reduction="none") * weight).sum() / count / 3,
            "shape": (((shape - true_shape) * self._effect) ** 2 * weight).sum() / count,
            "speed": ((measures.diff(dim=1) - true.diff(dim=1)) ** 2 * both).sum() / count,
            "correlation": correlation_loss(measures, true, weight),
            "phones": torch.zeros(()),
            "coming": torch.zeros(()),
            "closed": _binary_loss(heard[..., -1], batch["targets"][..., -1], batch["weight"]),
        }
        if "spoken_values" in batch:
            logits = self.mouth(batch["spoken_values"])[:, LOOKAHEAD:, num:]
            known, weight = batch["spoken_targets"], batch["spoken_weight"]
            likelihood = (torch.log_softmax(logits[..., :-2], -1) * known[..., :-2]).sum(-1)
            losses["phones"] = -(likelihood * weight).sum() / weight.sum().clamp(min=1)
            losses["coming"] = _binary_loss(logits[..., -2], known[..., -2], weight)
            voiced = weight * (1 - known[..., PAUSE])  # in a pause no phone says where the lips are
            losses["closed"] = losses["closed"] + _binary_loss(logits[..., -1], known[..., -1], voiced)
        return losses

    def evaluate(self) -> dict[str, float]:
        """Median correlation of gap, width and jaw over the validation clips, best lag within three frames."""
        values = []
        for clip in self._validation:
            predicted, true = self.predict(clip), clip_targets(clip, self.config.num_mouth)[:, -4:-1]
            values.append([best_lag(predicted[:, k], true[:, k], 3)[1] for k in range(3)])
        return dict(zip(("gap", "width", "jaw"), np.median(values, axis=0).tolist(), strict=True)) if values else {}

    def predict(self, clip: SpeakingClip) -> np.ndarray:
        """Measures [T, 3], in their unit, that the network gives for a clip as it is."""
        return predicted_measures(self.mouth, clip, self._matrix)


def measure_rows(model: LinearFaceModel) -> Tensor:
    """Rows [3, D] that turn mouth coefficients into measures, in their unit."""
    return torch.from_numpy(measure_matrix(model) / MEASURE_SCALE[:, None])


def predicted_measures(mouth: MouthNet, clip: SpeakingClip, rows: Tensor) -> np.ndarray:
    """Measures [T, 3] that a network gives for a clip as it is; `rows` are those of `measure_rows`."""
    values = pad_columns(to_input(speech_columns(clip.samples)), len(clip)).astype(np.float32)
    with torch.no_grad():
        shape = mouth(torch.from_numpy(values)[None])[0, LOOKAHEAD:, : rows.shape[1]]
    return (shape @ rows.T).numpy()


def _binary_loss(logits: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean cross entropy of logits [B, T] against shares [B, T] in [0, 1]."""
    losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (losses * weight).sum() / weight.sum().clamp(min=1)


def lip_offsets(
    mouth: MouthNet, model: LinearFaceModel, clips: Sequence[SpeakingClip], listed_s: Mapping[str, float]
) -> dict[str, float]:
    """How late each clip's lips are against what the network expects from its sound, in seconds.

    Clips of one person come from one source and share most of their offset: each is measured in steps of
    10 ms within 0.24 s, drawn towards the person's, which is drawn towards `listed_s` (by clip; 0 if absent).
    """
    mouth.eval()
    rows = measure_rows(model)
    curves = {}
    for clip in clips:
        true = clip_targets(clip, model.num_mouth)[:, -4:-1]
        curves[clip.slug] = _agreement(predicted_measures(mouth, clip, rows), true)
    people: dict[str, list[str]] = {}
    for clip in clips:
        people.setdefault(clip.person, []).append(clip.slug)
    lags = OFFSET_STEPS / OFFSET_RATE
    offsets = {}
    for slugs in people.values():
        near = (lags - listed_s.get(slugs[0], 0.0)) ** 2 / (2 * 0.03**2)
        shared = lags[np.argmax(np.mean([curves[slug] for slug in slugs], axis=0) - near)]
        for slug in slugs:
            offsets[slug] = float(lags[np.argmax(curves[slug] - (lags - shared) ** 2 / (2 * 0.03**2))])
    return offsets


def _agreement(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Log likelihood of each lag of `OFFSET_STEPS` from the correlations of gap and jaw."""
    times = np.arange(0, len(true) - 1, FPS / OFFSET_RATE)
    fine = [[np.interp(times, np.arange(len(rows)), rows[:, k]) for k in (0, 2)] for rows in (predicted, true)]
    likelihood = np.zeros(len(OFFSET_STEPS))
    for a, b in zip(*fine, strict=True):
        values = np.array([correlation_at(a, b, int(lag)) for lag in OFFSET_STEPS])
        # about every eighth frame says something new
        likelihood -= len(true) / 16 * np.log(1 - np.clip(values, 0, 0.98) ** 2)
    return likelihood
