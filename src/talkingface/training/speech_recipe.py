"""Training of the speech encoder and of what is read off it: mouth motion, phones, coming speech, lips that meet.

Clips teach what is seen; speech with known phones, and sounds that are no speech, teach what clips are too few for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d
from torch import Tensor, nn
from torch.nn import functional

from talkingface.audio.mel import FLOOR_DB, LevelTracker, normalise, speech_columns
from talkingface.audio.speech_encoder import COLUMNS_PER_FRAME, SILENCE, encoder_columns
from talkingface.audio.speech_encoder import SpeechEncoder as Ear
from talkingface.core.lags import best_lag
from talkingface.face.morphable import CLOSED_GAP, LinearFaceModel
from talkingface.nn.phones import LIP_CLOSURES, PAUSE, PHONES
from talkingface.nn.speech_encoder import SpeechEncoder
from talkingface.nn.speech_encoder_config import (
    DELAYS,
    FRAME_SAMPLES,
    Delay,
    SpeechEncoderConfig,
    SpeechHeadConfig,
)
from talkingface.nn.speech_head import SpeechHead
from talkingface.training.augment_speech import SPEEDS, augment_columns, hide_parts, played
from talkingface.training.hear_differently import (
    RATE_HZ,
    Surroundings,
    breathing,
    clatter,
    coloured_noise,
    heard_differently,
    mixed,
    music,
)
from talkingface.training.mouth_targets import MEASURE_SCALE, correlation_loss, measure_matrix, retime
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.sampling import person_shares
from talkingface.training.speaking_clips import FPS, SpeakingClip
from talkingface.training.synthetic_speech import SpokenText, phone_rows

NUM_MOUTH = 16
OUTPUTS = NUM_MOUTH + len(PHONES) + 2
"""Mouth coefficients, phone logits, and the logits of speech about to begin and of lips that meet."""
COMING_FRAMES = 7
"""How far ahead a head says whether there is speech: real mouths open before the voice."""
FRAMES, TOKEN_FRAMES = 60, 90
"""Length of the rows of a batch while the encoder is trained, and of those of a finished encoder's tokens."""
CLIP_ROWS, SILENT_ROWS, SPOKEN_ROWS = 10, 1, 6
"""How many of a batch are clips, no speech, and speech of known phones."""
SPOKEN_COPIES = 700
"""Augmented rows made of each kind of speech with known phones."""
SILENT_ROWS_MADE, SILENT_FRAMES = 80, 240
"""Sounds that are no speech for each copy of the clips, and their length: a noise that goes on is heard as loud as
speech after some seconds."""
UNHEARD, UNSEEN = 12, 4
"""Frames without a loss at the start and the end of a cut: what they depend on lies outside."""
LEAST_SEEN, MOST_SEEN = 10, 3000
"""Frames that must be seen of a clip, and that count of a person, when batches are drawn."""
SONGS, SONG_S = 16, 12
UNSPOKEN = (coloured_noise, music, music, breathing, clatter)
AHEAD_JITTER = 2
"""Tokens by which attention's lookahead varies while training for files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Encoder input float16 [4 T, 80] or a finished encoder's tokens float16 [2 T, width], targets float32 [T, D] and
    weights float32 [T]."""

    values: np.ndarray
    targets: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Everything that batches are drawn from: `clips` [copies][clips], `silent`, and `spoken` by kind."""

    clips: list[list[Row]]
    silent: list[Row]
    spoken: list[list[Row]]

    def changed(self, change: Callable[[Row], Row]) -> Rows:
        """The same with every row changed."""
        return Rows(
            clips=[[change(row) for row in copy] for copy in self.clips],
            silent=[change(row) for row in self.silent],
            spoken=[[change(row) for row in kind] for kind in self.spoken],
        )


def fitted(values: np.ndarray, num_frames: int) -> np.ndarray:
    """Encoder input cut or filled up with silence to `num_frames`."""
    padded = np.full((COLUMNS_PER_FRAME * num_frames, values.shape[1]), SILENCE, values.dtype)
    padded[: len(values)] = values[: len(padded)]
    return padded


def clip_targets(clip: SpeakingClip) -> np.ndarray:
    """Mouth coefficients, measures relative to the closed neutral mouth in their unit, lips that meet: [T, M + 4]."""
    measures = (clip.measures - clip.neutral_measures) / MEASURE_SCALE
    closed = clip.measures[:, :1] < CLOSED_GAP
    return np.concatenate([clip.expression[:, :NUM_MOUTH], measures, closed], axis=1).astype(np.float32)


class SpeechRecipe(Recipe):
    """Regression of mouth coefficients with losses on what is seen (gap, width, jaw), and phones as a second task, in
    turns with the lookahead of each delay.

    `clips`: training clips; `late_s`: how late each clip's lips are; `spoken`: kinds of speech with known phones, used
    equally; `validation`: clips for `evaluate`; `start`: state of the encoder to begin with; `train_encoder`: whether
    it is trained along (if not, it hears every row once, beforehand); `delays` by name, and `head`, one for all or one
    for each; `copies`: how many augmented versions of each
    clip are made beforehand, and how many sounds that are no speech.
    """

    name = "speech"
    loss_weights = {
        "measures": 2.0,
        "shape": 0.5,
        "speed": 0.5,
        "correlation": 1.0,
        "spread": 0.1,
        "phones": 0.5,
        "coming": 1.5,
        "closed": 0.5,
    }

    def __init__(
        self,
        clips: Sequence[SpeakingClip],
        spoken: Sequence[Sequence[SpokenText]],
        model: LinearFaceModel,
        encoder: SpeechEncoderConfig,
        head: SpeechHeadConfig | Mapping[str, SpeechHeadConfig],
        *,
        start: Mapping[str, Tensor],
        late_s: Mapping[str, float],
        train_encoder: bool = True,
        delays: Mapping[str, Delay] = DELAYS,
        validation: Sequence[SpeakingClip] = (),
        copies: int = 6,
        dropout: float = 0.25,
        seed: int = 0,
    ) -> None:
        self._encoder_config, self._head_config, self._start = encoder, head, start
        self._dropout, self._validation, self._delays = dropout, validation, dict(delays)
        self._turns = tuple(self._delays)
        self._train_encoder = train_encoder
        self.phases = (Phase("fit", ("encoder", *self._turns) if train_encoder else self._turns),)
        heads = OptimizerConfig(lr=2e-3, weight_decay=0.05, warmup_steps=50, final_ratio=0.005)
        slow = OptimizerConfig(lr=2e-4, weight_decay=0.01, warmup_steps=100, final_ratio=0.01)
        self.optimizers = {"encoder": slow, **dict.fromkeys(self._delays, heads)}
        self._matrix = measure_rows(model)
        effect = np.sqrt((model.expression[..., :NUM_MOUTH] ** 2).sum((0, 1)))
        self._effect = torch.from_numpy((effect / np.linalg.norm(effect)).astype(np.float32))
        clips = [clip for clip in clips if clip.weight.sum() > LEAST_SEEN and np.abs(clip.samples).max() > 1e-3]
        seen = [float(clip.weight.sum()) for clip in clips]
        share = person_shares([clip.person for clip in clips], seen, power=0.75, most=MOST_SEEN)
        self._share = share / share.sum()
        rng = make_rng(seed, 1 << 30)
        songs = [music(SONG_S * RATE_HZ, rng) for _ in range(SONGS)]
        around = Surroundings([clip.samples for clip in clips if len(clip) > 2 * FPS], songs)
        rows = Rows(
            clips=[[self._clip_row(clip, late_s, around, rng) for clip in clips] for _ in range(copies)],
            silent=[silent_row(rng, SILENT_FRAMES) for _ in range(SILENT_ROWS_MADE * copies)],
            spoken=[[self._spoken_row(text, around, rng) for text in _repeated(texts)] for texts in spoken if texts],
        )
        if train_encoder:
            self._rows = dict.fromkeys(self._delays, rows)
        else:
            ear = Ear({name: value.numpy() for name, value in start.items()}, encoder)
            self._rows = {
                d: rows.changed(lambda row, how=how: heard_row(ear, row, how)) for d, how in self._delays.items()
            }

    def _clip_row(
        self, clip: SpeakingClip, late_s: Mapping[str, float], around: Surroundings, rng: np.random.Generator
    ) -> Row:
        speed = SPEEDS[int(rng.integers(len(SPEEDS)))]
        values = heard_columns(played(clip.samples, speed), around, rng)
        rows = np.concatenate([clip_targets(clip), clip.weight[:, None]], axis=1)
        rows, known = retime(rows, speed, late_s.get(clip.slug, 0.0))
        weight = (rows[:, -1] > 0.99) * known
        return Row(values=fitted(values, len(rows)), targets=rows[:, :-1], weight=weight.astype(np.float32))

    def _spoken_row(self, text: SpokenText, around: Surroundings, rng: np.random.Generator) -> Row:
        values = heard_columns(text.samples, around, rng)
        frames = len(values) // COLUMNS_PER_FRAME
        rows = phone_rows(text.phones, frames, FPS)
        weight = rows.sum(axis=1)
        coming = maximum_filter1d(weight - rows[:, PAUSE], COMING_FRAMES, origin=-(COMING_FRAMES // 2))
        closed = rows[:, list(LIP_CLOSURES)].sum(axis=1)
        return Row(values=fitted(values, frames), targets=np.column_stack([rows, coming, closed]), weight=weight)

    def networks(self) -> dict[str, nn.Module]:
        """The encoder and a head for each delay."""
        self.encoder = SpeechEncoder(self._encoder_config)
        self.encoder.load_state_dict(dict(self._start))
        width = self._encoder_config.width
        self.heads = nn.ModuleDict(
            {d: SpeechHead(self._head(d), how, width, OUTPUTS, self._dropout) for d, how in self._delays.items()}
        )
        return {"encoder": self.encoder, **{d: self.heads[d] for d in self._delays}}

    def _head(self, delay: str) -> SpeechHeadConfig:
        return self._head_config if isinstance(self._head_config, SpeechHeadConfig) else self._head_config[delay]

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Clips, sounds that are no speech, and speech of known phones, for the delay whose turn it is."""
        rng = make_rng(seed, step)
        rows, frames = self._rows[self._turn(step)], FRAMES if self._train_encoder else TOKEN_FRAMES
        chosen = rng.choice(len(self._share), CLIP_ROWS, p=self._share)
        drawn = [rows.clips[int(rng.integers(len(rows.clips)))][int(k)] for k in chosen]
        drawn += [rows.silent[int(rng.integers(len(rows.silent)))] for _ in range(SILENT_ROWS)]
        batch = gathered(drawn, frames, rng)
        if rows.spoken:
            kinds, drawn = [*rows.spoken, rows.silent], []
            for k in range(SPOKEN_ROWS):
                kind = kinds[(step // len(self._delays) + k) % len(kinds)]
                row = kind[int(rng.integers(len(kind)))]
                drawn.append(_unspoken(row) if kind is rows.silent else row)
            spoken = gathered(drawn, frames, rng)
            batch |= {f"spoken_{name}": value for name, value in spoken.items()}
        if self._train_encoder:
            for name in ("values", "spoken_values"):
                for values in batch[name].numpy() if name in batch else ():
                    hide_parts(values, rng)
        return batch

    def _turn(self, step: int) -> str:
        return self._turns[step % len(self._turns)]

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        step, count = shared["step"], len(batch["values"])
        delay, spoken = self._turn(step), "spoken_values" in batch
        values = torch.cat([batch["values"], batch["spoken_values"]]) if spoken else batch["values"]
        if self._train_encoder:
            ahead = self._delays[delay].ahead
            if delay == "best":
                ahead += step // len(self._delays) % (2 * AHEAD_JITTER + 1) - AHEAD_JITTER
            values = self.encoder(values, ahead)
        heard = self.heads[delay](values).float()
        losses = self._mouth_losses(heard[:count], batch)
        if spoken:
            found = _phone_losses(heard[count:, :, NUM_MOUTH:], batch["spoken_targets"], batch["spoken_weight"])
            found["closed"] = losses["closed"] + found["closed"]
            losses |= found
        return losses

    def _mouth_losses(self, heard: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        weight, targets = batch["weight"][..., None], batch["targets"]
        shape, true_shape = heard[..., :NUM_MOUTH], targets[..., :NUM_MOUTH]
        measures, true = shape @ self._matrix.to(shape.device).T, targets[..., NUM_MOUTH : NUM_MOUTH + 3]
        count, both = weight.sum().clamp(min=1), weight[:, 1:] * weight[:, :-1]
        return {
            "measures": (functional.smooth_l1_loss(measures, true, reduction="none") * weight).sum() / count / 3,
            "shape": (((shape - true_shape) * self._effect.to(shape.device)) ** 2 * weight).sum() / count,
            "speed": ((measures.diff(dim=1) - true.diff(dim=1)) ** 2 * both).sum() / count,
            "correlation": correlation_loss(measures, true, weight),
            "spread": spread_loss(measures, true, weight),
            "closed": binary_loss(heard[..., -1], targets[..., -1], batch["weight"]),
        }

    def evaluate(self) -> dict[str, float]:
        """Median correlation of gap, width and jaw over the validation clips for each delay, best lag within three
        frames, and how far the mouth moves beside the true one."""
        figures = {}
        for delay in self._delays:
            values = []
            for clip in self._validation:
                predicted, true = self.predict(clip, delay), clip_targets(clip)[:, -4:-1]
                lags = [best_lag(predicted[:, k], true[:, k], 3)[1] for k in range(3)]
                values.append([*lags, *(predicted.std(0) / true.std(0))])
            if values:
                names = ("gap", "width", "jaw", "gap_ratio", "width_ratio", "jaw_ratio")
                medians = np.nanmedian(values, axis=0).tolist()
                figures |= {f"{delay}.{name}": value for name, value in zip(names, medians, strict=True)}
        return figures

    def predict(self, clip: SpeakingClip, delay: str) -> np.ndarray:
        """Measures [T, 3], in their unit, that the networks give for a clip as it is."""
        values = torch.from_numpy(fitted(encoder_columns(clip.samples), len(clip)))[None]
        with torch.no_grad():
            shape = self.heads[delay](self.encoder(values, self._delays[delay].ahead))[0, :, :NUM_MOUTH]
        return (shape @ self._matrix.T).numpy()


def heard_columns(samples: np.ndarray, around: Surroundings, rng: np.random.Generator) -> np.ndarray:
    """Encoder input float16 of speech as another listener may hear it."""
    columns = augment_columns(speech_columns(heard_differently(samples, around, rng))[1:], rng)
    return normalise(columns, LevelTracker().push(columns)).astype(np.float16)


def silent_row(rng: np.random.Generator, frames: int = FRAMES) -> Row:
    """Noise, music, breath, clatter, or two of them, in which the mouth rests."""
    count = frames * FRAME_SAMPLES
    made = UNSPOKEN[int(rng.integers(len(UNSPOKEN)))](count, rng)
    if rng.random() < 0.3:
        made = mixed(made, UNSPOKEN[int(rng.integers(len(UNSPOKEN)))](count, rng), rng.uniform(0, 20))
    level = 10 ** (rng.uniform(-75, -6) / 20)
    columns = speech_columns((made / (np.abs(made).max() + 1e-9) * level).astype(np.float32))[1:]
    columns = np.maximum(columns, FLOOR_DB)
    targets = np.zeros((frames, NUM_MOUTH + 4), np.float32)
    targets[:, -1] = 1
    values = normalise(columns, LevelTracker().push(columns)).astype(np.float16)
    return Row(values=fitted(values, frames), targets=targets, weight=np.ones(frames, np.float32))


def _unspoken(row: Row) -> Row:
    """A sound that is no speech as a row of known phones: a pause, and no speech to come."""
    targets = np.zeros((len(row.weight), len(PHONES) + 2), np.float32)
    targets[:, PAUSE] = 1
    return replace(row, targets=targets)


def _repeated(texts: Sequence[SpokenText]) -> list[SpokenText]:
    return [text for text in texts for _ in range(max(1, SPOKEN_COPIES // len(texts)))]


def heard_row(ear: Ear, row: Row, delay: str | Delay) -> Row:
    """The row with the encoder's tokens in place of its input; at least `TOKEN_FRAMES` long, with silence after it."""
    frames = max(len(row.weight), TOKEN_FRAMES)
    tokens = ear.column_tokens(fitted(row.values, frames), delay).astype(np.float16)
    more = ((0, frames - len(row.weight)), (0, 0))
    return Row(values=tokens, targets=np.pad(row.targets, more), weight=np.pad(row.weight, more[0]))


def gathered(rows: Sequence[Row], frames: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """A random cut of each row; shorter rows are followed by silence without a loss."""
    rate = len(rows[0].values) // len(rows[0].weight)
    values = np.full((len(rows), rate * frames, rows[0].values.shape[1]), SILENCE, np.float32)
    targets = np.zeros((len(rows), frames, rows[0].targets.shape[1]), np.float32)
    weight = np.zeros((len(rows), frames), np.float32)
    for k, row in enumerate(rows):
        spare = len(row.weight) - frames
        first = int(rng.integers(0, spare + 1)) if spare > 0 else 0
        taken = min(frames, len(row.weight) - first)
        part = row.values[rate * first : rate * (first + taken)]
        values[k, : len(part)] = part
        targets[k, :taken] = row.targets[first : first + taken]
        weight[k, :taken] = row.weight[first : first + taken]
        if first:
            weight[k, :UNHEARD] = 0
        if spare > first:
            weight[k, -UNSEEN:] = 0
    arrays = {"values": values, "targets": targets, "weight": weight}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def measure_rows(model: LinearFaceModel) -> Tensor:
    """Rows [3, M] that turn mouth coefficients into measures, in their unit."""
    return torch.from_numpy(measure_matrix(model) / MEASURE_SCALE[:, None])


def spread_loss(predicted: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Squared logarithm of how far the mouth moves over how far it should, [B, T, D] with weights [B, T, 1]: distances
    and correlation alone shrink movements."""
    count = weight.sum(1).clamp(min=1)

    def log_power(x: Tensor) -> Tensor:
        away = (x - (x * weight).sum(1, keepdim=True) / count[:, None]) * weight
        return torch.log((away**2).sum(1) / count + 0.02)

    share = (weight.sum(1) > 25).float()
    return (0.25 * (log_power(predicted) - log_power(true)) ** 2 * share).sum() / share.sum().clamp(min=1) / 3


def _phone_losses(logits: Tensor, known: Tensor, weight: Tensor) -> dict[str, Tensor]:
    likelihood = (torch.log_softmax(logits[..., :-2], -1) * known[..., :-2]).sum(-1)
    voiced = weight * (1 - known[..., PAUSE])  # in a pause no phone says where the lips are
    return {
        "phones": -(likelihood * weight).sum() / weight.sum().clamp(min=1),
        "coming": binary_loss(logits[..., -2], known[..., -2], weight),
        "closed": binary_loss(logits[..., -1], known[..., -1], voiced),
    }


def binary_loss(logits: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean cross entropy of logits [B, T] against shares [B, T] in [0, 1]."""
    losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (losses * weight).sum() / weight.sum().clamp(min=1)
